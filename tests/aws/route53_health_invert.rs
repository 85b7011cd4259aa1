//! `route53HealthInvert` under the contract.

use serde_json::{Value, json};

use super::contract::{Made, Many, Subject};
use super::testbed::{Aws, AwsOptions};

/// The health check of east.
pub struct Invert;

const CHECKS: &str = "route53 = client('route53')\n\
    checks = {one['CallerReference']: one for one in route53.list_health_checks()['HealthChecks']}\n\
    east = checks['east']\n\
    tags = route53.list_tags_for_resource(ResourceType='healthcheck', ResourceId=east['Id'])['ResourceTagSet']['Tags']\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{CHECKS}{script}"), &json!({}))
}

impl Subject for Invert {
    fn kind(&self) -> &'static str {
        "route53HealthInvert"
    }

    fn step(&self, _aws: &Aws) -> Value {
        json!({"fault": {"route53HealthInvert": {"account": "main", "healthChecks": {"tags": {"region": "us-east-1"}}}}})
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        let seen = boto3(aws, "result = {name: one['HealthCheckConfig']['Inverted'] for name, one in checks.items()}");
        if seen == json!({"east": true, "west": false}) { Ok(()) } else { Err(seen.to_string()) }
    }

    fn already(&self, aws: &Aws) -> Made {
        boto3(aws, "route53.update_health_check(HealthCheckId=east['Id'], Inverted=True)");
        Ok(())
    }

    fn theirs(&self, _aws: &Aws) -> Made {
        Err("a health check is inverted or not: there is no third state")
    }

    fn adopted(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "marks = [tag['Key'] for tag in tags if tag['Key'].startswith('firedrill.dev/')]\n\
             route53.change_tags_for_resource(ResourceType='healthcheck', ResourceId=east['Id'], RemoveTagKeys=marks)",
        );
        Ok(())
    }

    fn replace(&self, aws: &Aws) -> Made {
        // Ids of health checks are never given again.
        boto3(
            aws,
            "zone = route53.list_hosted_zones()['HostedZones'][0]['Id']\n\
             for one in route53.list_resource_record_sets(HostedZoneId=zone)['ResourceRecordSets']:\n\
             \x20   if one.get('HealthCheckId') == east['Id']:\n\
             \x20       route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={'Changes': [{'Action': 'DELETE', 'ResourceRecordSet': one}]})\n\
             route53.delete_health_check(HealthCheckId=east['Id'])",
        );
        Ok(())
    }

    fn ghost(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "copy = route53.create_health_check(CallerReference='copy', HealthCheckConfig={**east['HealthCheckConfig'], 'Inverted': True})\n\
             route53.change_tags_for_resource(ResourceType='healthcheck', ResourceId=copy['HealthCheck']['Id'], AddTags=tags)",
        );
        Ok(())
    }

    fn lists(&self) -> &'static [&'static str] {
        &["ListHealthChecks"]
    }

    fn slow_in_numbers(&self) -> bool {
        true
    }

    fn many(&self) -> Option<Many> {
        let made: fn(&Aws) -> Value = |aws| {
            aws.boto3(
                "route53 = client('route53')\n\
                 for number in range(500):\n\
                 \x20   config = {'Type': 'HTTPS', 'FullyQualifiedDomainName': f'{number}.example.com', 'Port': 443}\n\
                 \x20   made = route53.create_health_check(CallerReference=f'many-{number}', HealthCheckConfig=config)['HealthCheck']['Id']\n\
                 \x20   route53.change_tags_for_resource(ResourceType='healthcheck', ResourceId=made, AddTags=[{'Key': 'app', 'Value': 'many'}])",
                &json!({}),
            );
            json!({"fault": {"route53HealthInvert": {"account": "main", "healthChecks": {"tags": {"app": "many"}}}}})
        };
        Some((AwsOptions::ROLES, made))
    }

    fn unavoidable(&self, difference: &str) -> bool {
        // It counts the updates.
        difference.contains(" healthChecks ") && difference.contains(" version: ")
    }
}
