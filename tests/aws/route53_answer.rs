//! `route53Answer` on the emulator: what it says of an answer that is right, wrong, or cannot be had.

use firedrill::clock::Clock;
use firedrill::cluster::Clusters;
use firedrill::event::Health;
use firedrill::probe::open::Opener;
use firedrill::probe::{Probe, ProbeSource};
use serde_json::{Value, json};
use std::sync::Arc;

use super::ground::Ground;
use super::testbed::{Aws, AwsOptions};

fn probe(ground: &Ground, zone: &str, record: &str, answers: &Value) -> Arc<dyn Probe> {
    let opener = Opener::sharing(&ground.environment, Clock::system(), (Clusters::default(), ground.accounts()));
    let spec = json!({"route53Answer": {"account": "main", "zone": zone, "record": record, "answers": answers}});
    opener.open(&serde_json::from_value(spec).unwrap(), "run").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_is_good_when_it_is_one_of_those_expected() {
    let aws = Aws::start(AwsOptions::SMALL);
    let ground = Ground::new(&aws);
    let read = async |record: &str, answers: Value| {
        let reading = probe(&ground, "staging.example.com", record, &answers).read().await;
        (reading.health, reading.detail.unwrap_or_default())
    };
    assert_eq!(read("status.staging.example.com", json!("203.0.113.7")).await, (Health::Good, String::new()));
    let (health, why) = read("status.staging.example.com", json!("203.0.113.8")).await;
    assert!(health == Health::Bad && why.contains("would answer 203.0.113.7"), "{why}");
    let (health, why) = read("nothing.staging.example.com", json!("203.0.113.7")).await;
    assert!(health == Health::Bad && why.contains("NXDOMAIN"), "{why}");
    // All traffic goes east once west has no weight.
    assert_eq!(read("checkout.staging.example.com", json!(["192.0.2.10", "198.51.100.10"])).await.0, Health::Good);
    aws.boto3(
        "route53 = client('route53')\nzone = route53.list_hosted_zones()['HostedZones'][0]['Id']\n\
         for one in route53.list_resource_record_sets(HostedZoneId=zone)['ResourceRecordSets']:\n\
         \x20   if one.get('SetIdentifier') == 'east':\n\
         \x20       change = {'Action': 'UPSERT', 'ResourceRecordSet': {**one, 'Weight': 0}}\n\
         \x20       route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={'Changes': [change]})",
        &json!({}),
    );
    for _ in 0..8 {
        assert_eq!(read("checkout.staging.example.com", json!("198.51.100.10")).await.0, Health::Good);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_asked_is_unknown_and_a_missing_permission_is_named() {
    let aws = Aws::start(AwsOptions::SMALL);
    let ground = Ground::new(&aws);
    let reading = probe(&ground, "other.example.com", "a.other.example.com", &json!("192.0.2.1")).read().await;
    assert!(
        reading.health == Health::Unknown && reading.detail.as_ref().is_some_and(|why| why.contains("no hosted zone 'other.example.com'")),
        "{reading:?}"
    );
    let list = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "route53:ListHostedZonesByName", "Resource": "*"}]});
    let may_not = Ground::as_user(&aws, &aws.user("reader", &[list]));
    aws.enforce(true);
    let asked = probe(&may_not, "staging.example.com", "status.staging.example.com", &json!("203.0.113.7"));
    assert_eq!(asked.missing().await.unwrap(), ["route53:TestDNSAnswer of account main"]);
    assert_eq!(asked.read().await.health, Health::Unknown);
}
