//! `asgScale` under the contract, and what is its alone.

use firedrill::event::{Phase, StepOutcome};
use serde_json::{Value, json};

use super::contract::{Made, Subject};
use super::ground::{Ground, run_id};
use super::launch_refusal::WEB;
use super::testbed::{Aws, AwsOptions};

/// The survivor's group grows from three to five.
pub struct Scale;

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{WEB}{script}"), &json!({"region": "us-west-2"}))
}

fn desire(aws: &Aws, desired: u32) {
    boto3(aws, &format!("scaling.set_desired_capacity(AutoScalingGroupName='web', DesiredCapacity={desired})"));
}

fn to(desired: u32) -> Value {
    json!({"action": {"asgScale": {"account": "main", "region": "us-west-2", "group": "web", "desired": desired}}})
}

impl Subject for Scale {
    fn kind(&self) -> &'static str {
        "asgScale"
    }

    fn step(&self, _aws: &Aws) -> Value {
        to(5)
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        let seen = boto3(aws, "result = [web['DesiredCapacity'], sum(one['LifecycleState'] == 'InService' for one in web['Instances'])]");
        if seen == json!([5, 5]) { Ok(()) } else { Err(seen.to_string()) }
    }

    fn already(&self, aws: &Aws) -> Made {
        desire(aws, 5);
        Ok(())
    }

    fn theirs(&self, aws: &Aws) -> Made {
        desire(aws, 7);
        Ok(())
    }

    fn adopted(&self, aws: &Aws) -> Made {
        boto3(aws, "scaling.delete_tags(Tags=marks)");
        Ok(())
    }

    fn replace(&self, aws: &Aws) -> Made {
        boto3(aws, "replace()");
        Ok(())
    }

    fn ghost(&self, aws: &Aws) -> Made {
        boto3(aws, "again('web-2', web['Tags'])");
        Ok(())
    }

    fn lists(&self) -> &'static [&'static str] {
        &["DescribeAutoScalingGroups", "DescribePolicies"]
    }

    /// Which instances end is the termination policy's choice.
    fn unavoidable(&self, difference: &str) -> bool {
        difference.contains(" autoScalingGroups web instanceIds")
    }
}

async fn refusals(ground: &Ground, step: &Value) -> Vec<String> {
    ground.plan(&run_id(), step).await.refusals.into_iter().map(|refusal| refusal.reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capacity_outside_the_limits_and_a_group_that_launches_nothing_are_refused() {
    let aws = Aws::start(AwsOptions::SMALL);
    let ground = Ground::new(&aws);
    assert_eq!(refusals(&ground, &to(11)).await, ["group web may have 1 to 10 instances, and 11 are wanted"]);
    assert_eq!(refusals(&ground, &to(0)).await, ["group web may have 1 to 10 instances, and 0 are wanted"]);
    boto3(&aws, "scaling.suspend_processes(AutoScalingGroupName='web', ScalingProcesses=['Launch'])");
    let refused = refusals(&ground, &to(5)).await;
    assert!(refused.len() == 1 && refused[0].contains("group web: its Launch is suspended"), "{refused:?}");
    // To shrink nothing is launched.
    assert_eq!(refusals(&ground, &to(2)).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_policy_and_a_group_in_the_failed_region_are_named_by_the_plan() {
    let aws = Aws::start(AwsOptions::SMALL);
    let ground = Ground::new(&aws);
    boto3(
        &aws,
        "scaling.put_scaling_policy(AutoScalingGroupName='web', PolicyName='follow-cpu', PolicyType='TargetTrackingScaling',\n\
         \x20   TargetTrackingConfiguration={'PredefinedMetricSpecification': {'PredefinedMetricType': 'ASGAverageCPUUtilization'}, 'TargetValue': 50})",
    );
    let plan = ground.plan(&run_id(), &to(5)).await;
    assert_eq!(plan.warnings, ["step 'example': group web has scaling policies that may move its capacity again: follow-cpu"], "{:?}", plan.refusals);
    assert_eq!(plan.steps[0].radius, ["group web of aws/111122223333/us-west-2: 3 to 5 instances, 3 in service now"]);
    let east = json!({"action": {"asgScale": {"account": "main", "region": "us-east-1", "group": "web", "desired": 5}}});
    let plan = ground.plan(&run_id(), &east).await;
    assert!(plan.warnings[0].contains("group web is in us-east-1, the region that fails"), "{:?}", plan.warnings);
}

/// Desired is not there yet: the step waits for the instances, and says how many are missing when they do not come.
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_do_not_come_are_not_taken_for_a_scaled_group() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, step) = (Ground::new(&aws), to(5));
    let records = ground.records(&run_id(), &step).await.unwrap();
    boto3(&aws, "scaling.suspend_processes(AutoScalingGroupName='web', ScalingProcesses=['Launch'])");
    let kind = ground.kind(&step);
    kind.inject(&records[0]).await.unwrap();
    let seen = kind.bite(&records[0]).await;
    assert_eq!(seen, firedrill::fault::Bite::Unproven { why: "3 of 5 instances are in service".to_owned() });
    boto3(&aws, "scaling.resume_processes(AutoScalingGroupName='web', ScalingProcesses=['Launch'])");
    let (outcome, records) = ground.forward(&step, records).await;
    // By a process that died after its call: the guard says that five are desired, and reading back that it was us.
    assert_eq!((outcome, records[0].phase), (StepOutcome::Done, Phase::Verified));
    assert_eq!(ground.undo(&records).await[0].0, Phase::Reverted);
}
