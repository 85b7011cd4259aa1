//! `subnetIsolate` under the contract.

use firedrill::event::Phase;
use firedrill::fault::{KindError, KindSource, Observed, Record};
use serde_json::{Value, json};

use super::contract::{Made, Many, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsOptions};

/// Two subnets of one zone, which have two network ACLs between them.
pub struct Isolate;

const CHOSEN: &str = "ec2 = client('ec2')\n\
    subnets = sorted(one['SubnetId'] for one in ec2.describe_subnets(Filters=[{'Name': 'availability-zone', 'Values': ['us-east-1a']}])['Subnets'])\n\
    acls = ec2.describe_network_acls()['NetworkAcls']\n\
    def acl_of(subnet):\n\
    \x20   return next(acl for acl in acls if any(one['SubnetId'] == subnet for one in acl['Associations']))\n\
    def association_of(subnet):\n\
    \x20   return next(one['NetworkAclAssociationId'] for one in acl_of(subnet)['Associations'] if one['SubnetId'] == subnet)\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{CHOSEN}{script}"), &json!({}))
}

impl Subject for Isolate {
    fn kind(&self) -> &'static str {
        "subnetIsolate"
    }

    fn step(&self, _aws: &Aws) -> Value {
        json!({"fault": {"subnetIsolate": {"account": "main", "subnets": {"tags": {"env": "staging"}, "zones": ["us-east-1a"]}}}})
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        // The first rule that fits decides, and rule 1 fits everything.
        let first = boto3(
            aws,
            "def first(subnet, egress, addresses):\n\
             \x20   return min((one for one in acl_of(subnet)['Entries'] if one['Egress'] == egress and addresses in one), key=lambda one: one['RuleNumber'])\n\
             def dark(rule, addresses):\n\
             \x20   return rule['RuleAction'] == 'deny' and rule['Protocol'] == '-1' and rule[addresses] in ('0.0.0.0/0', '::/0')\n\
             sides = [(egress, addresses) for egress in (True, False) for addresses in ('CidrBlock', 'Ipv6CidrBlock')]\n\
             result = [all(dark(first(subnet, *side), side[1]) for side in sides) for subnet in subnets]",
        );
        if first == json!([true, true]) { Ok(()) } else { Err(format!("cut off: {first}")) }
    }

    fn already(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "empty = ec2.create_network_acl(VpcId=acls[0]['VpcId'])['NetworkAcl']['NetworkAclId']\n\
             for subnet in subnets:\n\
             \x20   ec2.replace_network_acl_association(AssociationId=association_of(subnet), NetworkAclId=empty)",
        );
        Ok(())
    }

    fn theirs(&self, aws: &Aws) -> Made {
        self.already(aws)
    }

    fn adopted(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "for acl in {acl_of(subnet)['NetworkAclId'] for subnet in subnets}:\n\
             \x20   tags = next(one['Tags'] for one in acls if one['NetworkAclId'] == acl)\n\
             \x20   ec2.delete_tags(Resources=[acl], Tags=[{'Key': tag['Key']} for tag in tags if tag['Key'].startswith('firedrill.dev/')])",
        );
        Ok(())
    }

    fn replace(&self, aws: &Aws) -> Made {
        // Ids of subnets are never given again.
        boto3(
            aws,
            "for subnet in subnets:\n\
             \x20   found = ec2.describe_instances(Filters=[{'Name': 'subnet-id', 'Values': [subnet]}])['Reservations']\n\
             \x20   ids = [one['InstanceId'] for held in found for one in held['Instances']]\n\
             \x20   ec2.terminate_instances(InstanceIds=ids)\n\
             \x20   for one in ec2.describe_network_interfaces(Filters=[{'Name': 'subnet-id', 'Values': [subnet]}])['NetworkInterfaces']:\n\
             \x20       tried(ec2.delete_network_interface, NetworkInterfaceId=one['NetworkInterfaceId'])\n\
             \x20   ec2.delete_subnet(SubnetId=subnet)",
        );
        Ok(())
    }

    fn ghost(&self, _aws: &Aws) -> Made {
        Err("EC2 has no call that copies a network ACL")
    }

    fn lists(&self) -> &'static [&'static str] {
        &["DescribeSubnets", "DescribeNetworkAcls", "DescribeNetworkInterfaces"]
    }

    fn many(&self) -> Option<Many> {
        let step = |_: &Aws| json!({"fault": {"subnetIsolate": {"account": "main", "subnets": {"tags": {"env": "staging"}}}}});
        Some((AwsOptions { subnets: 504, ..AwsOptions::ROLES }, step))
    }

    fn unavoidable(&self, difference: &str) -> bool {
        // Every replacement makes a new association.
        difference.contains(" associations subnet-")
    }
}

/// Three subnets that share a network ACL: the first that is cut off has the clone made, the others find it.
fn sharing() -> Value {
    json!({"fault": {"subnetIsolate": {"account": "main", "subnets": {"tags": {"tier": "private"}}}}})
}

/// Name of the network ACL that a target has; before that somebody gives it the ACLs of these names, one after the other.
fn acl(aws: &Aws, record: &Record, give: &[&str]) -> String {
    let name = aws.boto3(
        "ec2 = client('ec2')\n\
         def named(acl):\n\
         \x20   return next((tag['Value'] for tag in acl['Tags'] if tag['Key'] == 'Name'), None)\n\
         def held():\n\
         \x20   return next((acl, one) for acl in ec2.describe_network_acls()['NetworkAcls'] for one in acl['Associations'] if one['SubnetId'] == args['subnet'])\n\
         for name in args['give']:\n\
         \x20   to = next(acl['NetworkAclId'] for acl in ec2.describe_network_acls()['NetworkAcls'] if named(acl) == name)\n\
         \x20   ec2.replace_network_acl_association(AssociationId=held()[1]['NetworkAclAssociationId'], NetworkAclId=to)\n\
         result = named(held()[0])",
        &json!({"subnet": record.target.id.strip_prefix("subnet/").unwrap(), "give": give}),
    );
    name.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_that_somebody_moves_while_others_are_cut_off_or_restored_is_left_alone() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, step) = (Ground::new(&aws), sharing());
    let records: Vec<Record> = ground.records(&run_id(), &step).await.unwrap();
    let [first, moved, returned] = records.as_slice() else { panic!("{records:?}") };
    let kind = ground.kind(&step);
    kind.inject(first).await.unwrap();
    // The plan has read associations that there are no more: one subnet has another ACL now, one has its own again.
    assert_eq!(acl(&aws, moved, &["data"]), "data");
    assert_eq!(acl(&aws, returned, &["data", "private"]), "private");
    let refused = kind.inject(moved).await;
    assert!(matches!(&refused, Err(KindError::Conflict(why)) if why.contains("by now")), "{refused:?}");
    kind.inject(returned).await.unwrap();
    assert_eq!([first, moved, returned].map(|record| acl(&aws, record, &[])), ["firedrill example", "data", "firedrill example"]);

    // The same between the undo's look and its change.
    let undoing = ground.kinds.for_record(returned).unwrap();
    assert_eq!(undoing.observe(returned).await, Observed::Ours { marked: true });
    assert_eq!(acl(&aws, returned, &["data"]), "data");
    undoing.revert(returned).await.unwrap();
    assert_eq!(acl(&aws, returned, &[]), "data");
    let injected: Vec<Record> = records.iter().map(|record| Record { phase: Phase::Injected, ..record.clone() }).collect();
    let ended: Vec<Phase> = ground.undo(&injected).await.into_iter().map(|(phase, _)| phase).collect();
    assert_eq!(ended, [Phase::Reverted, Phase::Drifted, Phase::Drifted]);
    assert_eq!([first, moved, returned].map(|record| acl(&aws, record, &[])), ["private", "data", "data"]);
    assert!(!aws.dump().0.to_string().contains(&first.run), "the clone is left");
}
