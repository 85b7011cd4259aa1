//! `ec2Stop` under the contract.

use serde_json::{Value, json};

use super::contract::{Made, Many, Subject};
use super::testbed::{Aws, AwsOptions};

/// Two of six instances.
pub struct Stop;

const CHOSEN: &str = "ec2 = client('ec2')\n\
    found = ec2.describe_instances(Filters=[{'Name': 'tag:app', 'Values': ['checkout']}, {'Name': 'availability-zone', 'Values': ['us-east-1a']}])\n\
    all = [one for held in found['Reservations'] for one in held['Instances'] if one['State']['Name'] not in ('terminated', 'shutting-down')]\n\
    ids = sorted(one['InstanceId'] for one in all)\n\
    def wait(state):\n\
    \x20   ec2.get_waiter('instance_' + state).wait(InstanceIds=ids, WaiterConfig={'Delay': 0, 'MaxAttempts': 9})\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{CHOSEN}{script}"), &json!({}))
}

impl Subject for Stop {
    fn kind(&self) -> &'static str {
        "ec2Stop"
    }

    fn step(&self, _aws: &Aws) -> Value {
        json!({"fault": {"ec2Stop": {"account": "main", "instances": {"tags": {"app": "checkout"}, "zones": ["us-east-1a"]}}}})
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        let states = boto3(aws, "result = [one['State']['Name'] for one in all]");
        if states == json!(["stopped", "stopped"]) { Ok(()) } else { Err(format!("they are {states}")) }
    }

    fn already(&self, aws: &Aws) -> Made {
        boto3(aws, "ec2.stop_instances(InstanceIds=ids)\nwait('stopped')");
        Ok(())
    }

    fn slow(&self) -> Option<Value> {
        Some(json!({"transitions": {"instances": {"reads": 3, "ms": 0}}}))
    }

    fn theirs(&self, _aws: &Aws) -> Made {
        Err("an instance runs or is stopped: there is no third state that lasts")
    }

    fn adopted(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "marks = [{'Key': tag['Key']} for tag in all[0]['Tags'] if tag['Key'].startswith('firedrill.dev/')]\nec2.delete_tags(Resources=ids, Tags=marks)",
        );
        Ok(())
    }

    fn replace(&self, aws: &Aws) -> Made {
        // Ids of instances are never given again.
        boto3(aws, "ec2.terminate_instances(InstanceIds=ids)");
        Ok(())
    }

    fn ghost(&self, aws: &Aws) -> Made {
        // A copy that carries the tags of its model.
        boto3(
            aws,
            "marks = [tag for tag in all[0]['Tags'] if not tag['Key'].startswith('aws:')]\n\
             ec2.run_instances(ImageId=all[0]['ImageId'], InstanceType='m7i.large', MinCount=1, MaxCount=1, SubnetId=all[0]['SubnetId'],\n\
             \x20   TagSpecifications=[{'ResourceType': 'instance', 'Tags': marks}])",
        );
        Ok(())
    }

    fn lists(&self) -> &'static [&'static str] {
        &["DescribeInstances", "DescribeInstanceTypes", "DescribeVolumes", "DescribeAutoScalingGroups"]
    }

    fn many(&self) -> Option<Many> {
        let step = |_: &Aws| json!({"fault": {"ec2Stop": {"account": "main", "instances": {"tags": {"app": "checkout"}}}}});
        Some((AwsOptions { instances: 500, ..AwsOptions::ROLES }, step))
    }
}
