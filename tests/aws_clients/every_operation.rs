//! The request of every operation that boto3 can make, as boto3 writes it, read back by the gateway.

use std::collections::{BTreeMap, BTreeSet};

use firedrill::gateway::aws_call::{self, recognise};
use firedrill::gateway::aws_host::{AwsHost, classify};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::boto3::python;

/// What `every_operation.py` says.
#[derive(Deserialize)]
struct Line {
    service: String,
    signing: String,
    operation: String,
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Line {
    /// Service and operation as the gateway reads them; the signature as in us-west-2.
    fn read(&self, host: Option<&AwsHost>) -> Option<(String, Option<String>)> {
        let named = |(name, value): (&String, &String)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        let mut headers: HeaderMap = self.headers.iter().map(named).collect();
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKID/20251020/us-west-2/{}/aws4_request, SignedHeaders=host, Signature=0", self.signing);
        headers.insert("authorization", scope.parse().unwrap());
        headers.insert("host", HeaderValue::from_static("127.0.0.1:1"));
        let call = recognise(host, &self.method.parse().unwrap(), &self.target.parse().unwrap(), &headers, self.body.as_bytes())?;
        Some((call.service, call.operation))
    }
}

#[test]
fn every_operation_that_boto3_can_call_is_recognised() {
    let output =
        std::process::Command::new(python()).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws_clients/every_operation.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Line> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut by_host, mut by_signature) = (Vec::new(), Vec::new());
    for line in &lines {
        let wanted = Some((line.service.clone(), Some(line.operation.clone())));
        let host = classify(&format!("{}.us-east-1.amazonaws.com", line.service)).filter(|host| host.service == line.service);
        if line.read(Some(&host.unwrap_or_else(|| panic!("{} is a service of its host name", line.service)))) != wanted {
            by_host.push(format!("{} {}", line.service, line.operation));
        }
        // With an endpoint given by hand, only the signature tells the service.
        let found = line.read(None);
        if found != wanted {
            by_signature.push((line.service.clone(), format!("{} {}: {found:?}", line.service, line.operation)));
        }
        assert!(aws_call::operations(&line.service).contains(&line.operation.as_str()), "{wanted:?}");
    }
    assert!(lines.len() > 19_000, "{}", lines.len());
    // On the wire these are others of S3's: its deprecated ones, and one whose host name differs (s3express-control).
    let others = ["GetBucketLifecycle", "GetBucketNotification", "ListDirectoryBuckets", "PutBucketLifecycle", "PutBucketNotification"];
    assert_eq!(by_host, others.map(|name| format!("s3 {name}")));
    // Services that share the name in signatures and a path with another one, mostly for tags: the first of them is taken.
    let services: BTreeSet<&str> = by_signature.iter().map(|(service, _)| service.as_str()).collect();
    println!("{} operations; by the signature alone {} are taken for another one, of {services:?}", lines.len(), by_signature.len());
    assert!(by_signature.len() <= 60, "{by_signature:#?}");
}
