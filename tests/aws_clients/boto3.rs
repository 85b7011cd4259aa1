//! boto3.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::ground::{Counts, Ground};
use crate::{ERRORS, Row, Seen, Sight, compare};

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("sts", "GetCallerIdentity", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "403 ExpiredToken", "500 InternalFailure"]),
    ("sts", "AssumeRole", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "400 ExpiredTokenException!", "500 InternalFailure"]),
    // Not signed: what a pod's web identity does.
    ("sts", "AssumeRoleWithWebIdentity", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "400 ExpiredTokenException!", "500 InternalFailure"]),
    ("iam", "ListPolicies", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "403 ExpiredToken", "500 ServiceFailure!"]),
    // A code that boto3 does not take for throttling.
    ("sns", "GetSMSAttributes", "query", ["503 ServiceUnavailable", "429 Throttled! once", "403 AccessDenied", "403 ExpiredToken", "500 InternalError!"]),
    ("ec2", "DescribeInstances", "ec2", ["503 ServiceUnavailable", "503 RequestLimitExceeded", "403 UnauthorizedOperation", "400 RequestExpired", "500 InternalError"]),
    ("dynamodb", "GetItem", "json 1.0", ["503 ServiceUnavailableException", "400 ThrottlingException!", "400 AccessDeniedException", "400 ExpiredTokenException", "500 InternalServerError!"]),
    ("sqs", "SendMessage", "json 1.0", ["503 ServiceUnavailable", "400 RequestThrottled!", "400 AccessDenied", "400 ExpiredToken", "500 InternalFailure"]),
    ("acm", "DeleteCertificate", "json 1.1", ["503 ServiceUnavailableException", "400 ThrottlingException!", "400 AccessDeniedException!", "400 ExpiredTokenException", "500 InternalServerException!"]),
    ("eks", "CreateCapability", "rest-json", ["503 ServiceUnavailableException!", "429 ThrottlingException!", "403 AccessDeniedException!", "403 ExpiredTokenException", "500 ServerException!"]),
    ("eks", "ListClusters", "rest-json", ["503 ServiceUnavailableException!", "429 ThrottlingException!", "403 AccessDeniedException!", "403 ExpiredTokenException", "500 ServerException!"]),
    ("lambda", "Invoke", "rest-json", ["503 ServiceUnavailableException", "429 TooManyRequestsException!", "403 AccessDeniedException", "403 ExpiredTokenException", "500 ServiceException!"]),
    ("route53", "ListHostedZones", "rest-xml", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "403 ExpiredToken", "500 InternalFailure"]),
    ("route53", "ChangeTagsForResource", "rest-xml", ["503 ServiceUnavailable", "400 ThrottlingException!", "403 AccessDenied", "403 ExpiredToken", "500 InternalFailure"]),
    ("s3", "GetObject", "rest-xml", ["503 ServiceUnavailable", "503 SlowDown", "403 AccessDenied!", "400 ExpiredToken", "500 InternalError"]),
    // No body: the status is all there is.
    ("s3", "HeadObject", "rest-xml", ["503 503", "503 503", "403 403", "400 400", "500 500"]),
    ("monitoring", "PutMetricData", "json 1.0", ["503 ServiceUnavailable", "400 Throttling", "400 AccessDenied", "400 ExpiredToken", "500 InternalServiceError!"]),
    ("eventsv2", "ListEventBuses", "cbor", ["503 ServiceUnavailableException", "429 ThrottlingException!", "403 AccessDeniedException!", "400 ExpiredTokenException", "500 InternalException!"]),
];

/// What `boto3_clients.py` says.
#[derive(Deserialize)]
struct Line {
    service: String,
    operation: String,
    code: String,
    status: u16,
    message: String,
    request: String,
    typed: Option<String>,
    protocol: String,
}

/// The Python that scripts/test put into the cache, or the way to get it: without it this test proves nothing, so it fails.
pub fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"));
    let digest = Sha256::digest(include_bytes!("requirements.txt"));
    let key: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let python = cache.join("firedrill").join(format!("aws-clients-{key}/bin/python"));
    assert!(python.exists(), "boto3 is not installed at {}; install it: scripts/test --setup", python.display());
    python
}

async fn see(endpoint: &str) -> Sight {
    let home = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(python());
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws_clients/boto3_clients.py"), endpoint]);
    // Nobody's profile, proxy or credentials.
    command.env_clear().env("HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(300), command.output()).await.expect("boto3 gave up in time").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let read = |line: &str| -> ((String, String), Seen) {
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let row = TABLE.iter().find(|row| row.0 == line.service && row.1 == line.operation).expect("a row for every call");
        assert_eq!(line.protocol, row.2, "{} {}", line.service, line.operation);
        let seen = Seen { status: line.status, code: line.code, typed: line.typed.is_some(), message: line.message, request: line.request };
        ((line.service, line.operation), seen)
    };
    lines.lines().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_raises_its_own_exceptions_in_every_protocol_and_retries_what_it_retries_at_aws() {
    let all = ERRORS.map(async |(error, _)| -> (Sight, Counts) {
        let ground = Ground::new(error).await;
        let seen = see(&ground.endpoint()).await;
        (seen, ground.counts().await)
    });
    compare("boto3", TABLE, &futures::future::join_all(all).await);
}

#[test]
fn the_table_of_service_models_is_what_their_publisher_says() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/aws-models");
    let output = std::process::Command::new(python()).args([script, "--check"]).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}
