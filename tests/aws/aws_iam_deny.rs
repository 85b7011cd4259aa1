//! `awsIamDeny` under the contract, and what the denied role itself sees.

use serde_json::{Value, json};

use firedrill::clock::Timestamp;
use firedrill::event::Phase;
use firedrill::fault::Record;
use std::time::{Duration, SystemTime};

use super::contract::{Made, Many, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsOptions};

/// Both roles tagged `tier=checkout`.
pub struct Deny;

/// The inline policy that the run put on app-checkout.
const OURS: &str = "iam = client('iam')\n\
    ours = [name for name in iam.list_role_policies(RoleName='app-checkout')['PolicyNames'] if name.startswith('firedrill-')]\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{OURS}{script}"), &json!({}))
}

impl Subject for Deny {
    fn kind(&self) -> &'static str {
        "awsIamDeny"
    }

    fn step(&self, _aws: &Aws) -> Value {
        json!({"fault": {"awsIamDeny": {"account": "main", "roles": {"tags": {"tier": "checkout"}}, "actions": ["ec2:Describe*", "sts:*"], "regions": ["us-east-1"]}}})
    }

    /// As the denied role: what it may do everywhere else it may not do in that region.
    fn bites(&self, aws: &Aws) -> Result<(), String> {
        let session = aws.session(&format!("arn:aws:iam::{}:role/app-checkout", aws.account));
        aws.enforce(true);
        let seen = aws.boto3_as(
            &session,
            "result = [tried(client('ec2', region).describe_instances).get('error') for region in ('us-east-1', 'us-west-2')]\n\
             result.append(tried(client('sts').get_caller_identity).get('error'))",
            &json!({}),
        );
        aws.enforce(false);
        // GetCallerIdentity is always allowed, and the plan says so.
        if seen == json!(["UnauthorizedOperation", null, null]) { Ok(()) } else { Err(seen.to_string()) }
    }

    fn already(&self, _aws: &Aws) -> Made {
        Err("a policy of the run's name cannot be there before the run")
    }

    fn meanwhile(&self, aws: &Aws) -> Made {
        self.replace(aws)
    }

    fn theirs(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "for role in ('app-checkout', 'app-orders'):\n\
             \x20   document = iam.get_role_policy(RoleName=role, PolicyName=ours[0])['PolicyDocument']\n\
             \x20   document['Statement'].append({'Effect': 'Deny', 'Action': 's3:*', 'Resource': '*'})\n\
             \x20   iam.put_role_policy(RoleName=role, PolicyName=ours[0], PolicyDocument=json.dumps(document))",
        );
        Ok(())
    }

    fn adopted(&self, _aws: &Aws) -> Made {
        Err("the mark is the policy's name: without it there is no policy")
    }

    fn replace(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "for role in ('app-checkout', 'app-orders'):\n\
             \x20   was = iam.get_role(RoleName=role)['Role']\n\
             \x20   tags = iam.list_role_tags(RoleName=role)['Tags']\n\
             \x20   for name in iam.list_role_policies(RoleName=role)['PolicyNames']:\n\
             \x20       iam.delete_role_policy(RoleName=role, PolicyName=name)\n\
             \x20   iam.delete_role(RoleName=role)\n\
             \x20   iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(was['AssumeRolePolicyDocument']), Tags=tags)",
        );
        Ok(())
    }

    fn ghost(&self, aws: &Aws) -> Made {
        // A role made after the model of another, with all its inline policies.
        boto3(
            aws,
            "was = iam.get_role(RoleName='app-checkout')['Role']\n\
             iam.create_role(RoleName='app-copy', AssumeRolePolicyDocument=json.dumps(was['AssumeRolePolicyDocument']))\n\
             for name in iam.list_role_policies(RoleName='app-checkout')['PolicyNames']:\n\
             \x20   document = iam.get_role_policy(RoleName='app-checkout', PolicyName=name)['PolicyDocument']\n\
             \x20   iam.put_role_policy(RoleName='app-copy', PolicyName=name, PolicyDocument=json.dumps(document))",
        );
        Ok(())
    }

    fn lists(&self) -> &'static [&'static str] {
        &["GetAccountAuthorizationDetails"]
    }

    fn slow_in_numbers(&self) -> bool {
        true
    }

    fn many(&self) -> Option<Many> {
        let names: fn(&Aws) -> Value = |_| {
            let names: Vec<String> = (0..500).map(|number| format!("app-{number:04}")).collect();
            json!({"fault": {"awsIamDeny": {"account": "main", "roles": {"names": names}, "actions": ["dynamodb:*"]}}})
        };
        Some((AwsOptions { roles: 510, ..AwsOptions::ROLES }, names))
    }
}

fn step(names: &[&str]) -> Value {
    json!({"fault": {"awsIamDeny": {"account": "main", "roles": {"names": names}, "actions": ["ec2:Describe*"]}}})
}

async fn refusals(ground: &Ground, names: &[&str]) -> String {
    let plan = ground.plan(&run_id(), &step(names)).await;
    plan.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn firedrill_never_denies_itself_or_what_the_environment_protects() {
    let aws = Aws::start(AwsOptions::ROLES);
    let ground = Ground::new(&aws);
    for own in ["firedrill", "firedrill-undo", "firedrill-deadman"] {
        let said = refusals(&ground, &[own]).await;
        assert!(said.contains(&format!("role {own}: firedrill itself uses it")), "{said}");
    }
    // Somebody's role, from which firedrill's is assumed: without it the undo could not assume anything.
    let ops = aws.role("ops", &[json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})]);
    let caller = Ground::as_user(&aws, &aws.session(&ops));
    let said = refusals(&caller, &["ops"]).await;
    assert!(said.contains("role ops: firedrill itself runs as it"), "{said}");
    assert_eq!(refusals(&ground, &["ops"]).await, "");
    let protecting = ground.changed(|environment| {
        let protect = environment.protect.get_or_insert_default();
        protect.roles = vec!["*/break-glass*".to_owned()];
        protect.tags = [("tier".to_owned(), "checkout".to_owned())].into();
    });
    let said = refusals(&protecting, &["break-glass-admin", "app-orders"]).await;
    assert!(said.contains("protects '*/break-glass*'") && said.contains("role app-orders: tag 'tier' protects it"), "{said}");
    let said = refusals(&ground, &["app-checkout", "nobody"]).await;
    assert!(said.contains("has no role nobody"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_without_room_for_another_policy_is_refused_before_anything_is_written() {
    let aws = Aws::start(AwsOptions::SMALL);
    aws.boto3(
        "statement = {'Sid': 'a' * 10000, 'Effect': 'Allow', 'Action': 's3:GetObject', 'Resource': '*'}\n\
         client('iam').put_role_policy(RoleName='app-checkout', PolicyName='long', PolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': [statement]}))",
        &json!({}),
    );
    let said = refusals(&Ground::new(&aws), &["app-checkout"]).await;
    assert!(said.contains("inline policies have room for"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deny_whose_time_has_passed_denies_nothing_and_is_still_taken_off() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, before) = (Ground::new(&aws), aws.dump());
    let session = aws.session(&format!("arn:aws:iam::{}:role/app-checkout", aws.account));
    let denied = || {
        aws.enforce(true);
        let seen = aws.boto3_as(&session, "result = tried(client('ec2').describe_instances).get('error')", &json!({}));
        aws.enforce(false);
        seen
    };
    let kind = ground.kind(&step(&["app-checkout"]));
    let planned = ground.records(&run_id(), &step(&["app-checkout"])).await.unwrap().remove(0);
    for (ago, expected) in [(Duration::from_secs(110), json!("UnauthorizedOperation")), (Duration::from_secs(130), Value::Null)] {
        // Two minutes after `undoBy` it is over.
        let undo_by = Timestamp::from(SystemTime::now() - ago);
        let ours = kind.prepare(&planned.run, &planned.target, undo_by).await.unwrap().ours;
        let record = Record { undo_by, ours, phase: Phase::Injected, ..planned.clone() };
        kind.inject(&record).await.unwrap();
        assert_eq!(denied(), expected);
        let found = ground.discovered(&record.run).await;
        assert_eq!(found.len(), 1);
        let ended = ground.undo(&found).await;
        assert_eq!(ended[0].0, Phase::Reverted, "{ended:?}");
        assert_eq!(before.differences(&aws.dump()), Vec::<String>::new());
    }
}
