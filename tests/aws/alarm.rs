//! The probe `awsAlarm` reads CloudWatch's own states.

use firedrill::aws::Accounts;
use firedrill::clock::Clock;
use firedrill::cluster::Clusters;
use firedrill::event::Health;
use firedrill::probe::open::Opener;
use firedrill::probe::{Probe, ProbeSource};
use serde_json::{Value, json};
use std::sync::Arc;

use super::ground::Ground;
use super::testbed::{Aws, AwsOptions};

fn opened(ground: &Ground, accounts: Accounts, name: &str, state: Option<&str>) -> Arc<dyn Probe> {
    let mut probe = json!({"awsAlarm": {"account": "main", "region": "us-east-1", "alarm": name}});
    if let Some(state) = state {
        probe["awsAlarm"]["state"] = json!(state);
    }
    let opener = Opener::sharing(&ground.environment, Clock::system(), (Clusters::default(), accounts));
    opener.open(&serde_json::from_value(probe).unwrap(), "run").unwrap()
}

fn set(aws: &Aws, state: &str) {
    let script = "client('cloudwatch').set_alarm_state(AlarmName='checkout-errors', StateValue=args['state'], StateReason='because of the test')";
    aws.boto3(script, &json!({"state": state}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_good_in_the_state_asked_for_and_no_data_is_unknown() {
    let aws = Aws::start(AwsOptions::SMALL);
    let ground = Ground::new(&aws);
    let quiet = opened(&ground, ground.accounts(), "checkout-errors", Some("OK"));
    let paged = opened(&ground, ground.accounts(), "checkout-errors", None);
    for (state, healths) in
        [("OK", [Health::Good, Health::Bad]), ("ALARM", [Health::Bad, Health::Good]), ("INSUFFICIENT_DATA", [Health::Unknown, Health::Unknown])]
    {
        set(&aws, state);
        assert_eq!([quiet.read().await.health, paged.read().await.health], healths, "{state}");
    }
    set(&aws, "ALARM");
    assert_eq!(quiet.read().await.detail.as_deref(), Some("ALARM, OK wanted: because of the test"));
    let nobody = opened(&ground, ground.accounts(), "nobody", Some("OK")).read().await;
    assert_eq!((nobody.health, nobody.detail.as_deref()), (Health::Unknown, Some("account 'main' has no alarm 'nobody' in us-east-1")));
    // An answer that does not come says nothing of the service under test.
    aws.script(&json!({"action": "DescribeAlarms", "serverError": 503}));
    assert_eq!(quiet.read().await.health, Health::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_the_alarm_probe_lacks_is_named_and_with_what_it_says_it_reads() {
    let aws = Aws::start(AwsOptions::SMALL);
    let deaf =
        aws.user("deaf", &[json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}]})]);
    let ground = Ground::as_user(&aws, &deaf);
    let probe = opened(&ground, ground.accounts(), "checkout-errors", Some("OK"));
    let needs = firedrill::aws::policy::document(&probe.needs().aws, "main", firedrill::aws::policy::Purpose::Read).unwrap();
    aws.enforce(true);
    assert_eq!(probe.missing().await.unwrap(), ["cloudwatch:DescribeAlarms of account main"]);
    assert_eq!(probe.read().await.health, Health::Unknown);
    let documents: Vec<Value> = vec![needs];
    let ears = aws.user("ears", &documents);
    let ground = Ground::as_user(&aws, &ears);
    let probe = opened(&ground, ground.accounts(), "checkout-errors", Some("OK"));
    assert_eq!(probe.missing().await.unwrap(), Vec::<String>::new());
    assert_eq!(probe.read().await.health, Health::Good);
}
