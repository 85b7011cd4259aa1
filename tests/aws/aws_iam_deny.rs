//! `awsIamDeny` under the contract, and what the denied role itself sees.

use serde_json::{Value, json};

use super::contract::{Made, Subject};
use super::testbed::Aws;

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
}
