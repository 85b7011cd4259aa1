//! The gateway as an endpoint: AWS clients with `endpoint_url` set to it, and an emulator behind it.

use firedrill::gateway::aws_call::AwsError;
use firedrill::gateway::{Effect, Rule};
use tokio::io::AsyncWriteExt;

use crate::ground::*;

/// A signed call as an SDK sends it to an endpoint: only the signature tells service and region.
fn signed(service: &str, region: &str, host: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /?x=1 HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20251020/{region}/{service}/aws4_request, SignedHeaders=host, Signature=00\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn denied(services: &[&str], operations: &[&str]) -> Rule {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let effect = Effect::Error { operations: names(operations), error: AwsError::AccessDenied, per_million: 1_000_000, seed: None };
    Rule { services: names(services), ..rule("denied", effect) }
}

#[tokio::test]
async fn a_call_to_the_gateway_itself_is_passed_on_as_it_was_signed() {
    let emulator = mirror().await;
    let ground = Ground::with(echo().await, Some(emulator));
    let mut stream = ground.connect().await;
    let host = format!("{}", ground.gateway.address());
    for _ in 0..2 {
        let (head, body) = exchange(&mut stream, &signed("sts", "us-west-2", &host, "Action=GetCallerIdentity")).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(body.starts_with("POST /?x=1 HTTP/1.1\r\n"), "{body}");
        assert!(body.to_lowercase().contains(&format!("\r\nhost: {host}\r\n")), "the Host is signed: {body}");
        assert!(body.ends_with("|Action=GetCallerIdentity"), "{body}");
    }
}

#[tokio::test]
async fn rules_act_on_calls_by_the_service_and_region_of_their_signature() {
    let ground = Ground::with(echo().await, Some(mirror().await));
    let refuse = Rule { services: vec!["sqs".to_owned()], ..rule("no", Effect::Refuse) };
    ground.put(refuse).await;
    ground.put(denied(&["iam", "sts"], &["ListUsers", "AssumeRoleWithWebIdentity"])).await;
    let mut stream = ground.connect().await;
    for (service, region, body, status) in [
        ("iam", "us-east-1", "Action=ListUsers&Version=2010-05-08", 403),
        ("iam", "us-east-1", "Action=ListRoles&Version=2010-05-08", 200),
        ("iam", "us-west-2", "Action=ListUsers&Version=2010-05-08", 200),
        ("ec2", "us-east-1", "Action=ListUsers&Version=2010-05-08", 200),
        ("sqs", "us-west-2", "Action=ListQueues&Version=2012-11-05", 200),
    ] {
        let (head, _) = exchange(&mut stream, &signed(service, region, "localhost", body)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{service} {region} {body}: {head}");
    }
    stream.write_all(signed("sqs", "us-east-1", "localhost", "Action=ListQueues&Version=2012-11-05").as_bytes()).await.unwrap();
    assert_eq!(ending(&mut stream).await.unwrap_err(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn without_an_endpoint_a_call_is_refused_by_name_and_an_error_rule_still_answers() {
    let ground = Ground::new(echo().await);
    let call = signed("iam", "us-east-1", "localhost", "Action=ListUsers&Version=2010-05-08");
    let mut stream = ground.connect().await;
    let (head, body) = exchange(&mut stream, &call).await;
    assert!(head.starts_with("HTTP/1.1 501 ") && body.contains("'--endpoint URL'"), "{head}{body}");
    ground.put(denied(&["iam"], &["*"])).await;
    let (head, body) = exchange(&mut stream, &call).await;
    assert!(head.starts_with("HTTP/1.1 403 ") && body.contains("AccessDenied"), "{head}{body}");
    ground.client.remove("denied", None, None).await.unwrap();
    let (head, _) = exchange(&mut stream, &call).await;
    assert!(head.starts_with("HTTP/1.1 501 "), "{head}");
}

#[tokio::test]
async fn an_emulator_that_is_down_is_told_and_one_that_is_the_gateway_itself_is_no_loop() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ground = Ground::with(echo().await, Some(closed));
    let (head, body) = exchange(&mut ground.connect().await, &signed("sts", "us-east-1", "x", "Action=A")).await;
    assert!(head.starts_with("HTTP/1.1 502 ") && body.contains("cannot connect"), "{head}{body}");
    // Through a second gateway and back.
    let second = Ground::with(echo().await, Some(ground.gateway.address()));
    let (head, body) = exchange(&mut second.connect().await, &signed("sts", "us-east-1", "x", "Action=A")).await;
    assert!(head.starts_with("HTTP/1.1 508 ") && body.contains("through this gateway before"), "{head}{body}");
}
