//! `fisExperiment` under the contract, and what is its alone. An experiment of the emulator acts on nothing: that it bites is not proven here.

use firedrill::event::{Phase, StepOutcome};
use firedrill::fault::{Bite, Expiry, Observed};
use serde_json::{Value, json};

use super::contract::{Made, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsOptions};

/// The template "stop checkout" of us-east-1.
pub struct Experiment;

const FIS: &str = "fis = client('fis')\n\
    template = next(one['id'] for one in fis.list_experiment_templates()['experimentTemplates'] if one['description'] == 'stop checkout')\n\
    whole = fis.get_experiment_template(id=template)['experimentTemplate']\n\
    all = fis.list_experiments(experimentTemplateId=template, maxResults=100)['experiments']\n\
    open = [one for one in all if one['state']['status'] in ('pending', 'initiating', 'running', 'stopping')]\n\
    def another(description, actions):\n\
    \x20   return fis.create_experiment_template(clientToken=description, description=description, roleArn=whole['roleArn'], stopConditions=[{'source': 'none'}],\n\
    \x20       targets=whole['targets'], actions=actions)['experimentTemplate']['id']\n";

fn boto3(aws: &Aws, script: &str) -> Value {
    aws.boto3(&format!("{FIS}{script}"), &json!({}))
}

fn of(template: &Value) -> Value {
    json!({"fault": {"fisExperiment": {"account": "main", "template": template}}})
}

impl Subject for Experiment {
    fn kind(&self) -> &'static str {
        "fisExperiment"
    }

    fn step(&self, aws: &Aws) -> Value {
        of(&boto3(aws, "result = template"))
    }

    fn bites(&self, aws: &Aws) -> Result<(), String> {
        let states = boto3(aws, "result = [fis.get_experiment(id=one['id'])['experiment']['state']['status'] for one in open]");
        if states == json!(["running"]) { Ok(()) } else { Err(states.to_string()) }
    }

    fn provable(&self) -> bool {
        false
    }

    fn already(&self, _aws: &Aws) -> Made {
        Err("an experiment that somebody else started is not taken for the fault: the plan refuses")
    }

    fn meanwhile(&self, aws: &Aws) -> Made {
        boto3(
            aws,
            "import time\ntime.sleep(1.1)\nfis.update_experiment_template(id=template, description='stop checkout', stopConditions=[{'source': 'none'}])",
        );
        Ok(())
    }

    fn theirs(&self, _aws: &Aws) -> Made {
        Err("an experiment goes on or is over: there is no third state that lasts")
    }

    fn adopted(&self, aws: &Aws) -> Made {
        boto3(aws, "fis.untag_resource(resourceArn=open[0]['arn'], tagKeys=list(open[0]['tags']))");
        Ok(())
    }

    fn replace(&self, _aws: &Aws) -> Made {
        Err("an experiment outlives its template, and is never made again under its id")
    }

    fn ghost(&self, aws: &Aws) -> Made {
        boto3(aws, "fis.start_experiment(experimentTemplateId=another('other', whole['actions']), clientToken='ghost', tags=open[0]['tags'])");
        Ok(())
    }

    fn lists(&self) -> &'static [&'static str] {
        &["ListExperiments"]
    }

    /// They stay in the history, with their tags.
    fn unavoidable(&self, difference: &str) -> bool {
        difference.contains(" experiments ") && difference.contains(r#""state":"stopped""#)
    }
}

async fn refusals(ground: &Ground, step: &Value) -> String {
    ground.plan(&run_id(), step).await.refusals.into_iter().map(|refusal| refusal.reason).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_runs_with_our_tags_claims_no_bite_here_and_is_stopped_even_when_its_template_is_gone() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, step) = (Ground::new(&aws), Experiment.step(&aws));
    let (outcome, records) = ground.forward(&step, ground.records(&run_id(), &step).await.unwrap()).await;
    assert_eq!((outcome, records[0].phase), (StepOutcome::Done, Phase::Injected));
    let kind = ground.kind(&step);
    let Bite::Unprovable { why } = kind.bite(&records[0]).await else { panic!("claimed") };
    assert!(why.contains("an emulator, which acts on nothing"), "{why}");
    assert_eq!(boto3(&aws, "result = [one['tags']['firedrill.dev/run'] for one in open]"), json!([records[0].run]));
    aws.script(&json!({"transitions": {"experiments": {"reads": 4}}}));
    kind.revert(&records[0]).await.unwrap();
    assert!(matches!(kind.observe(&records[0]).await, Observed::InTransition { .. }));
    boto3(&aws, "fis.delete_experiment_template(id=template)");
    assert_eq!(ground.undo(&records).await[0].0, Phase::Reverted);
    let left = aws.boto3("result = [one['state']['status'] for one in client('fis').list_experiments()['experiments']]", &json!({}));
    assert_eq!(left, json!(["stopped"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_safety_lever_refuses_the_plan_and_the_start_and_is_said_to_be_unchecked_where_there_is_none() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, step) = (Ground::new(&aws), Experiment.step(&aws));
    aws.script(&json!({"safetyLever": null}));
    let plan = ground.plan(&run_id(), &step).await;
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    assert!(plan.warnings.iter().any(|warning| warning.contains("FIS safety lever: not checked")), "{:?}", plan.warnings);
    aws.script(&json!({"safetyLever": "disengaged"}));
    let plan = ground.plan(&run_id(), &step).await;
    assert!(!plan.warnings.iter().any(|warning| warning.contains("lever")), "{:?}", plan.warnings);
    let records: Vec<_> = plan.steps.into_iter().flat_map(|step| step.records).collect();
    aws.script(&json!({"safetyLever": "engaged"}));
    let refused = refusals(&ground, &step).await;
    assert!(refused.contains("the FIS safety lever is engaged"), "{refused}");
    // Engaged between plan and start.
    let (outcome, records) = ground.forward(&step, records).await;
    assert!(format!("{outcome:?}").contains("the FIS safety lever is engaged"), "{outcome:?}");
    assert_eq!(boto3(&aws, "result = len(all)"), json!(0));
    assert_eq!(ground.undo(&records).await[0].0, Phase::Reverted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_ends_by_itself_needs_no_dead_man_and_one_that_leaves_things_behind_is_refused() {
    let aws = Aws::start(AwsOptions::SMALL);
    let ground = Ground::new(&aws).changed(|environment| environment.allow.no_dead_man = false);
    // The template's only action ends after five minutes.
    let plan = ground.plan(&run_id(), &Experiment.step(&aws)).await;
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    assert_eq!(plan.steps[0].expiry, Some(Expiry::Own));
    assert_eq!(plan.steps[0].records[0].ours["endsWithin"], json!(300));
    let action = |id: &str, parameters: &str| {
        boto3(
            &aws,
            &format!(
                "result = another('{id}' + str(len({parameters})), {{'one': {{'actionId': '{id}', 'parameters': {parameters}, 'targets': {{'Instances': 'checkout'}}}}}})"
            ),
        )
    };
    let stays = refusals(&ground, &of(&action("aws:ec2:stop-instances", "{}"))).await;
    assert!(stays.contains("would not start them again: give it startInstancesAfterDuration, or use ec2Stop"), "{stays}");
    let gone = refusals(&ground, &of(&action("aws:ec2:terminate-instances", "{}"))).await;
    assert!(gone.contains("ends resources for good"), "{gone}");
    let open = refusals(&ground, &of(&action("aws:ec2:reboot-instances", "{}"))).await;
    assert_eq!(open, "the fault has no dead-man; the environment must say allow.noDeadMan: true");
    let long = refusals(&ground, &of(&action("aws:ec2:stop-instances", "{'startInstancesAfterDuration': 'PT2H'}"))).await;
    assert!(long.contains("its actions may last 7200 s, which is beyond undoBy"), "{long}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_of_others_on_the_same_template_is_refused_and_never_stopped() {
    let aws = Aws::start(AwsOptions::SMALL);
    let (ground, step) = (Ground::new(&aws), Experiment.step(&aws));
    let records = ground.records(&run_id(), &step).await.unwrap();
    boto3(&aws, "fis.start_experiment(experimentTemplateId=template, clientToken='theirs')");
    let refused = refusals(&ground, &step).await;
    assert!(refused.contains("which is not firedrill's, is going on"), "{refused}");
    // Never injected: what goes on is not ours.
    ground.kind(&step).revert(&records[0]).await.unwrap();
    assert_eq!(ground.undo(&records).await[0].0, Phase::Drifted);
    assert_eq!(boto3(&aws, "result = len(open)"), json!(1));
}
