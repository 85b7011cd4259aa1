//! The dead-man, as EventBridge Scheduler would act with firedrill dead: each schedule's input is carried out by boto3, as a role that has nothing but the policy
//! that `firedrill policy --purpose dead-man` prints.

use firedrill::aws::policy::{Purpose, document};
use firedrill::event::{Phase, StepOutcome};
use firedrill::fault::{Expiry, KindSource};

use super::contract::Subject;
use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsOptions};
use super::{launch_refusal, vpc_endpoint_deny};

async fn undoes_the_effect_and_sweep_tidies_the_rest(subject: &dyn Subject) {
    let aws = Aws::start(AwsOptions::ROLES);
    let (ground, step) = (Ground::new(&aws), subject.step(&aws));
    let before = aws.dump();
    let kind = ground.kind(&step);
    assert_eq!(kind.expiry(), Expiry::DeadMan);
    let policy = document(&kind.needs().aws, "main", Purpose::DeadMan).unwrap();
    let own = aws.role("firedrill-deadman", &[policy]);
    let run = run_id();
    let (outcome, records) = ground.forward(&step, ground.records(&run, &step).await.unwrap()).await;
    assert_eq!(outcome, StepOutcome::Done);
    subject.bites(&aws).unwrap();
    // From here on nobody of ours lives.
    aws.enforce(true);
    let fired = aws.fire_schedules("us-east-1", &format!("firedrill-{run}"));
    aws.enforce(false);
    assert!(fired.len() == 1 && fired[0].get("ok").is_some(), "{own}: {fired:?}");
    assert!(subject.bites(&aws).is_err(), "{fired:?}");
    let afresh = ground.afresh(&aws);
    let found = afresh.discovered(&run).await;
    assert_eq!(found.len(), records.len(), "the mark is still there");
    let kind = afresh.kinds.for_record(&found[0]).unwrap();
    assert_eq!(kind.observe(&found[0]).await, firedrill::fault::Observed::Prior);
    assert!(afresh.undo(&found).await.iter().all(|(phase, _)| *phase == Phase::Reverted));
    let differences: Vec<String> =
        before.differences(&aws.dump()).into_iter().filter(|line| !subject.unavoidable(line) && !line.contains("firedrill-deadman")).collect();
    assert_eq!(differences, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_man_of_a_launch_refusal_resumes_the_group() {
    undoes_the_effect_and_sweep_tidies_the_rest(&launch_refusal::Refusal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_man_of_an_endpoints_deny_puts_its_policy_back() {
    undoes_the_effect_and_sweep_tidies_the_rest(&vpc_endpoint_deny::Deny).await;
}
