//! `launchRefusal` under the contract, and what is its alone.

use firedrill::event::{Phase, StepOutcome};
use serde_json::{Value, json};

use super::contract::{Made, Many, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsOptions};

/// The one group of us-east-1.
pub struct Refusal;

/// `web`, and what makes another group of its sort.
pub const WEB: &str = "scaling = client('autoscaling', args.get('region', 'us-east-1'))\n\
    web = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=['web'])['AutoScalingGroups'][0]\n\
    suspended = sorted(one['ProcessName'] for one in web['SuspendedProcesses'])\n\
    marks = [{'ResourceId': 'web', 'ResourceType': 'auto-scaling-group', 'Key': one['Key']} for one in web['Tags'] if one['Key'].startswith('firedrill.dev/')]\n\
    def again(name, tags, size=2):\n\
    \x20   keep = ('Key', 'Value', 'PropagateAtLaunch')\n\
    \x20   scaling.create_auto_scaling_group(AutoScalingGroupName=name, MinSize=min(1, size), MaxSize=10, DesiredCapacity=size, VPCZoneIdentifier=web['VPCZoneIdentifier'],\n\
    \x20       LaunchTemplate={'LaunchTemplateId': web['LaunchTemplate']['LaunchTemplateId'], 'Version': '$Default'},\n\
    \x20       Tags=[{**{key: one[key] for key in keep}, 'ResourceId': name, 'ResourceType': 'auto-scaling-group'} for one in tags])\n\
    def replace():\n\
    \x20   scaling.update_auto_scaling_group(AutoScalingGroupName='web', MinSize=0)\n\
    \x20   scaling.delete_auto_scaling_group(AutoScalingGroupName='web', ForceDelete=True)\n\
    \x20   again('web', [one for one in web['Tags'] if not one['Key'].startswith('firedrill.dev/')])\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{WEB}{script}"), &json!({}))
}

fn suspend(aws: &Aws, processes: &str) {
    boto3(aws, &format!("scaling.suspend_processes(AutoScalingGroupName='web', ScalingProcesses={processes})"));
}

impl Subject for Refusal {
    fn kind(&self) -> &'static str {
        "launchRefusal"
    }

    fn step(&self, _aws: &Aws) -> Value {
        json!({"fault": {"launchRefusal": {"account": "main", "groups": {"tags": {"app": "web"}}}}})
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        // Not only what is said of it: nothing comes.
        let seen = boto3(
            aws,
            "scaling.set_desired_capacity(AutoScalingGroupName='web', DesiredCapacity=4)\n\
             now = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=['web'])['AutoScalingGroups'][0]\n\
             scaling.set_desired_capacity(AutoScalingGroupName='web', DesiredCapacity=3)\n\
             result = [suspended, len(now['Instances'])]",
        );
        if seen == json!([["Launch", "ReplaceUnhealthy", "Terminate"], 3]) { Ok(()) } else { Err(seen.to_string()) }
    }

    fn already(&self, aws: &Aws) -> Made {
        suspend(aws, "['Launch', 'Terminate', 'ReplaceUnhealthy']");
        Ok(())
    }

    fn theirs(&self, aws: &Aws) -> Made {
        boto3(aws, "scaling.resume_processes(AutoScalingGroupName='web', ScalingProcesses=['Terminate'])");
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
        &["DescribeAutoScalingGroups"]
    }

    fn many(&self) -> Option<Many> {
        let made: fn(&Aws) -> Value = |aws| {
            boto3(
                aws,
                "for number in range(500):\n\
                 \x20   again(f'many-{number}', [{'Key': 'app', 'Value': 'many', 'PropagateAtLaunch': False}], size=0)",
            );
            json!({"fault": {"launchRefusal": {"account": "main", "groups": {"tags": {"app": "many"}}}}})
        };
        Some((AwsOptions::ROLES, made))
    }

    /// Asking the group for a fourth instance and back, as [`Self::bites`] does, brings one and ends one.
    fn unavoidable(&self, difference: &str) -> bool {
        difference.contains(" autoScalingGroups web instanceIds")
    }
}

/// Somebody suspended Launch for reasons of their own, and AddToLoadBalancer in the hold: both stay as they are.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_run_suspended_is_resumed_and_what_others_suspend_is_theirs() {
    let aws = Aws::start(AwsOptions::SMALL);
    suspend(&aws, "['Launch']");
    let (ground, step) = (Ground::new(&aws), Refusal.step(&aws));
    let records = ground.records(&run_id(), &step).await.unwrap();
    assert_eq!(records[0].prior, json!({"suspended": ["Launch"]}));
    let (outcome, records) = ground.forward(&step, records).await;
    assert_eq!((outcome, records[0].phase), (StepOutcome::Done, Phase::Verified));
    suspend(&aws, "['AddToLoadBalancer']");
    assert_eq!(boto3(&aws, "result = suspended"), json!(["AddToLoadBalancer", "Launch", "ReplaceUnhealthy", "Terminate"]));
    let ended = ground.undo(&records).await;
    assert_eq!(ended[0].0, Phase::Reverted, "{ended:?}");
    assert_eq!(boto3(&aws, "result = [suspended, len(marks)]"), json!([["AddToLoadBalancer", "Launch"], 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_a_launch_refusal_names_what_protects_a_group_and_how_much_it_touches() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, step) = (Ground::new(&aws), Refusal.step(&aws));
    let plan = ground.plan(&run_id(), &step).await;
    assert_eq!(plan.refusals.len(), 0, "{:?}", plan.refusals);
    assert_eq!(plan.steps[0].radius, ["1 of 1 groups of aws/111122223333/us-east-1, with 3 instances in service"]);
    let protected = ground.changed(|environment| {
        environment.protect.get_or_insert_default().tags.insert("app".to_owned(), "web".to_owned());
    });
    let refused: Vec<String> = protected.plan(&run_id(), &step).await.refusals.into_iter().map(|refusal| refusal.reason).collect();
    assert_eq!(refused, ["group web: tag 'app' protects it"]);
    let nobody = json!({"fault": {"launchRefusal": {"account": "main", "groups": {"names": ["nobody"]}}}});
    let refused = ground.plan(&run_id(), &nobody).await.refusals;
    assert!(refused[0].reason.contains("has no Auto Scaling group 'nobody' that fits"), "{refused:?}");
}
