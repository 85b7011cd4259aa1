//! `subnetIsolate` under the contract.

use serde_json::{Value, json};

use super::contract::{Made, Many, Subject};
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
