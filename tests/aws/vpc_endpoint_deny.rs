//! `vpcEndpointDeny` under the contract, and what is its alone. No call goes through an endpoint of the emulator: that it denies is not proven here.

use firedrill::event::{Phase, StepOutcome};
use firedrill::fault::Bite;
use serde_json::{Value, json};

use super::contract::{Made, Many, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsOptions};

/// The endpoint of us-east-1, for DynamoDB.
pub struct Deny;

const ENDPOINT: &str = "import json\n\
    ec2 = client('ec2')\n\
    found = ec2.describe_vpc_endpoints(Filters=[{'Name': 'tag:Name', 'Values': ['dynamodb']}])['VpcEndpoints'][0]\n\
    number, text = found['VpcEndpointId'], found['PolicyDocument']\n\
    policy = json.loads(text)\n\
    all = policy['Statement'] if isinstance(policy['Statement'], list) else [policy['Statement']]\n\
    ours = [one for one in all if one.get('Sid', '').startswith('firedrill')]\n\
    def write(policy):\n\
    \x20   ec2.modify_vpc_endpoint(VpcEndpointId=number, PolicyDocument=policy if isinstance(policy, str) else json.dumps(policy))\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{ENDPOINT}{script}"), &json!({}))
}

impl Subject for Deny {
    fn kind(&self) -> &'static str {
        "vpcEndpointDeny"
    }

    fn step(&self, _aws: &Aws) -> Value {
        json!({"fault": {"vpcEndpointDeny": {"account": "main", "endpoints": {"tags": {"Name": "dynamodb"}}, "actions": ["dynamodb:*"]}}})
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        let seen = boto3(aws, "result = [[one['Effect'], one['Principal'], one['Action'], one['Resource']] for one in policy['Statement']][1:]");
        if seen == json!([["Deny", "*", ["dynamodb:*"], "*"]]) { Ok(()) } else { Err(seen.to_string()) }
    }

    fn provable(&self) -> bool {
        false
    }

    fn already(&self, _aws: &Aws) -> Made {
        Err("the statement names its run: nobody else can have added it")
    }

    fn meanwhile(&self, aws: &Aws) -> Made {
        self.theirs(aws)
    }

    fn theirs(&self, aws: &Aws) -> Made {
        boto3(aws, "write({**policy, 'Statement': [{**policy['Statement'][0], 'Sid': 'Theirs', 'Action': 'dynamodb:GetItem'}]})");
        Ok(())
    }

    fn adopted(&self, aws: &Aws) -> Made {
        boto3(aws, "write({**policy, 'Statement': [policy['Statement'][0], {**ours[0], 'Sid': 'KeptByUs'}]})");
        Ok(())
    }

    fn replace(&self, aws: &Aws) -> Made {
        // Ids of endpoints are never given again.
        boto3(aws, "ec2.delete_vpc_endpoints(VpcEndpointIds=[number])");
        Ok(())
    }

    fn ghost(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "ec2.create_vpc_endpoint(VpcId=found['VpcId'], ServiceName='com.amazonaws.us-east-1.s3', VpcEndpointType='Gateway', PolicyDocument=text,\n\
             \x20   TagSpecifications=[{'ResourceType': 'vpc-endpoint', 'Tags': found['Tags']}])",
        );
        Ok(())
    }

    fn lists(&self) -> &'static [&'static str] {
        &["DescribeVpcEndpoints"]
    }

    fn many(&self) -> Option<Many> {
        let made: fn(&Aws) -> Value = |aws| {
            boto3(
                aws,
                "tags = [{'ResourceType': 'vpc-endpoint', 'Tags': [{'Key': 'app', 'Value': 'many'}]}]\n\
                 for number in range(500):\n\
                 \x20   ec2.create_vpc_endpoint(VpcId=found['VpcId'], ServiceName='com.amazonaws.us-east-1.s3', VpcEndpointType='Gateway', PolicyDocument=text,\n\
                 \x20       TagSpecifications=tags)",
            );
            json!({"fault": {"vpcEndpointDeny": {"account": "main", "endpoints": {"tags": {"app": "many"}}, "actions": ["s3:*"]}}})
        };
        Some((AwsOptions::ROLES, made))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_comes_back_byte_for_byte_and_the_bite_is_never_claimed() {
    let aws = Aws::start(AwsOptions::SMALL);
    let policy =
        "{ \"Statement\" :\n  {\"Resource\":\"*\", \"Effect\":\"Allow\",  \"Principal\":\"*\",\"Action\":\"*\"} , \"Version\": \"2008-10-17\" }";
    aws.boto3(&format!("{ENDPOINT}write(args['policy'])"), &json!({"policy": policy}));
    let (ground, step) = (Ground::new(&aws), Deny.step(&aws));
    let (outcome, records) = ground.forward(&step, ground.records(&run_id(), &step).await.unwrap()).await;
    // Injected, and not verified: the run is inconclusive.
    assert_eq!((outcome, records[0].phase), (StepOutcome::Done, Phase::Injected));
    assert!(matches!(ground.kind(&step).bite(&records[0]).await, Bite::Unprovable { .. }));
    assert_eq!(boto3(&aws, "result = len(policy['Statement'])"), json!(2));
    assert_eq!(ground.undo(&records).await[0].0, Phase::Reverted);
    assert_eq!(boto3(&aws, "result = text"), json!(policy));
}

/// A statement of ours is taken out of whatever the policy has become; what others wrote stays, and is named.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_added_to_the_policy_stays_and_ours_goes() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, step) = (Ground::new(&aws), Deny.step(&aws));
    let (_, records) = ground.forward(&step, ground.records(&run_id(), &step).await.unwrap()).await;
    boto3(&aws, "write({**policy, 'Statement': policy['Statement'] + [{**policy['Statement'][0], 'Sid': 'Added'}]})");
    let ended = ground.undo(&records).await;
    assert_eq!(ended[0].0, Phase::Drifted, "{ended:?}");
    assert_eq!(boto3(&aws, "result = [one['Sid'] for one in policy['Statement']]"), json!(["OwnTables", "Added"]));
    assert!(ground.discovered(&records[0].run).await.is_empty());
}

/// A policy too long for tags leaves its digest there, which is enough for sweep.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_policy_is_swept_without_the_journal_and_one_that_would_not_fit_is_refused() {
    let aws = Aws::start(AwsOptions::SMALL);
    boto3(&aws, "write({'Version': '2012-10-17', 'Statement': [{**policy['Statement'][0], 'Sid': f'S{at}'} for at in range(150)]})");
    let before = aws.dump();
    let (ground, step) = (Ground::new(&aws), Deny.step(&aws));
    let (_, records) = ground.forward(&step, ground.records(&run_id(), &step).await.unwrap()).await;
    let found = ground.afresh(&aws).discovered(&records[0].run).await;
    assert_eq!((found.len(), &found[0].target, &found[0].ours), (1, &records[0].target, &records[0].ours));
    let by_hand = ground.kind(&step).by_hand(&found[0]);
    assert!(by_hand.undo[0].contains("S149") && !by_hand.undo[0].contains(&records[0].run), "{by_hand:?}");
    assert_eq!(ground.undo(&found).await[0].0, Phase::Reverted);
    assert_eq!(before.differences(&aws.dump()), Vec::<String>::new());
    boto3(&aws, "write({'Version': '2012-10-17', 'Statement': [{**policy['Statement'][0], 'Sid': f'S{at}'} for at in range(250)]})");
    let refused = ground.plan(&run_id(), &step).await.refusals;
    assert!(refused[0].reason.contains("characters, and 20480 are the most"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_undo_may_need_is_warned_of() {
    let aws = Aws::start(AwsOptions::SMALL);
    let ground = Ground::new(&aws);
    boto3(
        &aws,
        "ec2.create_vpc_endpoint(VpcId=found['VpcId'], ServiceName='com.amazonaws.us-east-1.ec2', VpcEndpointType='Interface',\n\
         \x20   TagSpecifications=[{'ResourceType': 'vpc-endpoint', 'Tags': [{'Key': 'Name', 'Value': 'ec2'}]}])",
    );
    let step = json!({"fault": {"vpcEndpointDeny": {"account": "main", "endpoints": {"tags": {"Name": "ec2"}}, "actions": ["ec2:*"]}}});
    let plan = ground.plan(&run_id(), &step).await;
    let warned = plan.warnings.iter().find(|warning| warning.contains("is one of ec2, which undoing calls"));
    assert!(warned.is_some_and(|warning| warning.contains("run firedrill elsewhere")), "{:?} {:?}", plan.warnings, plan.refusals);
}
