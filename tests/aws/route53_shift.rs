//! `route53Shift` under the contract, and what it refuses.

use serde_json::{Value, json};

use super::contract::{Made, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsOptions};

/// The weighted record of the zone, from east to west.
pub struct Shift;

const SETS: &str = "route53 = client('route53')\n\
    zone = route53.list_hosted_zones_by_name(DNSName='staging.example.com')['HostedZones'][0]['Id']\n\
    every = [one for page in route53.get_paginator('list_resource_record_sets').paginate(HostedZoneId=zone) for one in page['ResourceRecordSets']]\n\
    sets = {one['SetIdentifier']: one for one in every if one['Name'] == 'checkout.staging.example.com.'}\n\
    def change(*changes):\n\
    \x20   batch = {'Changes': [{'Action': action, 'ResourceRecordSet': one} for action, one in changes]}\n\
    \x20   return route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{SETS}{script}"), &json!({}))
}

fn step(zone: &str, from: &str, to: &str) -> Value {
    json!({"action": {"route53Shift": {"account": "main", "zone": zone, "record": "checkout.staging.example.com", "type": "A", "from": from, "to": to}}})
}

impl Subject for Shift {
    fn kind(&self) -> &'static str {
        "route53Shift"
    }

    fn step(&self, _aws: &Aws) -> Value {
        step("staging.example.com", "east", "west")
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        let weights = boto3(aws, "result = {name: one['Weight'] for name, one in sets.items()}");
        if weights == json!({"east": 0, "west": 1}) { Ok(()) } else { Err(weights.to_string()) }
    }

    fn already(&self, aws: &Aws) -> Made {
        boto3(aws, "change(('UPSERT', {**sets['east'], 'Weight': 0}))");
        Ok(())
    }

    fn meanwhile(&self, aws: &Aws) -> Made {
        boto3(aws, "change(('UPSERT', {**sets['east'], 'TTL': 31}))");
        Ok(())
    }

    fn slow(&self) -> Option<Value> {
        Some(json!({"transitions": {"changes": {"reads": 3}}}))
    }

    fn theirs(&self, aws: &Aws) -> Made {
        boto3(aws, "change(('UPSERT', {**sets['east'], 'Weight': 7}))");
        Ok(())
    }

    fn adopted(&self, aws: &Aws) -> Made {
        boto3(aws, "change(*[('DELETE', one) for one in every if '_firedrill' in one['Name']])");
        Ok(())
    }

    fn replace(&self, aws: &Aws) -> Made {
        // A zone of the same name gets another id.
        boto3(
            aws,
            "mine = [one for one in every if one['Type'] not in ('SOA', 'NS')]\n\
             change(*[('DELETE', one) for one in mine])\n\
             route53.delete_hosted_zone(Id=zone)\n\
             zone = route53.create_hosted_zone(Name='staging.example.com', CallerReference='again')['HostedZone']['Id']\n\
             change(*[('CREATE', one) for one in mine if '_firedrill' not in one['Name']])",
        );
        Ok(())
    }

    fn ghost(&self, aws: &Aws) -> Made {
        // A zone made from the file of another.
        boto3(
            aws,
            "mine = [one for one in every if one['Type'] not in ('SOA', 'NS')]\n\
             zone = route53.create_hosted_zone(Name='staging.example.com', CallerReference='copy')['HostedZone']['Id']\n\
             change(*[('CREATE', one) for one in mine])",
        );
        Ok(())
    }

    fn lists(&self) -> &'static [&'static str] {
        &["ListHostedZones", "ListResourceRecordSets"]
    }
}

async fn refusals(aws: &Aws, step: &Value) -> String {
    let plan = Ground::new(aws).plan(&run_id(), step).await;
    plan.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn traffic_is_never_sent_to_what_is_not_healthy_or_has_no_weight() {
    let aws = Aws::start(AwsOptions::SMALL);
    aws.script(&json!({"healthStatus": {"checkout-west": "Failure: connection timed out"}}));
    let said = refusals(&aws, &step("staging.example.com", "east", "west")).await;
    assert!(said.contains("set 'west'") && said.contains("0 of 3 checkers report success") && said.contains("timed out"), "{said}");
    aws.reset();
    assert_eq!(refusals(&aws, &step("staging.example.com", "east", "west")).await, "");
    boto3(&aws, "change(('UPSERT', {**sets['west'], 'Weight': 0}))");
    let said = refusals(&aws, &step("staging.example.com", "east", "west")).await;
    assert!(said.contains("set 'west' has weight 0"), "{said}");
    let said = refusals(&aws, &step("staging.example.com", "east", "north")).await;
    assert!(said.contains("no weighted set 'north'"), "{said}");
    let said = refusals(&aws, &step("staging.example.com", "south", "west")).await;
    assert!(said.contains("no weighted set 'south'; it has: east, west"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_private_and_a_public_zone_of_one_name_are_told_apart_by_id() {
    let aws = Aws::start(AwsOptions::SMALL);
    let id = boto3(
        &aws,
        "vpc = client('ec2').describe_vpcs()['Vpcs'][0]['VpcId']\n\
         route53.create_hosted_zone(Name='staging.example.com', CallerReference='inside', VPC={'VPCRegion': 'us-east-1', 'VPCId': vpc},\n\
         \x20   HostedZoneConfig={'PrivateZone': True})\n\
         result = zone",
    );
    let said = refusals(&aws, &step("staging.example.com", "east", "west")).await;
    assert!(
        said.contains("several hosted zones are named 'staging.example.com'") && said.contains("(private)") && said.contains("(public)"),
        "{said}"
    );
    let id = id.as_str().unwrap().trim_start_matches("/hostedzone/");
    assert_eq!(refusals(&aws, &step(id, "east", "west")).await, "");
}
