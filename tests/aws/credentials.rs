//! Credentials that end before the undo is sure to be over refuse the plan.

use std::path::Path;
use std::process::Output;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::evacuate::{firedrill, told};
use super::testbed::{Aws, AwsOptions};

/// A drill that may last an hour before its undo begins.
fn drill(into: &Path) -> std::path::PathBuf {
    let quiet = json!({"awsAlarm": {"account": "main", "region": "us-west-2", "alarm": "checkout-errors", "state": "OK"}});
    let drill = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "short"},
        "spec": {
            "summary": "us-east-1 fails", "owner": "platform", "hypothesis": "us-west-2 does not notice.",
            "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "baseline": "100ms", "hold": "1s", "undoBy": "60m",
            "objectives": [{"id": "west", "probe": quiet, "interval": "1s", "timeout": "1s", "stableFor": "1s", "availability": "1%"}],
            "steps": [{"id": "denied", "fault": {"awsIamDeny": {"account": "main", "roles": {"names": ["app-checkout"]}, "actions": ["iam:*"]}}}],
        },
    });
    let file = into.join("drill.yaml");
    std::fs::write(&file, drill.to_string()).unwrap();
    file
}

/// Plans and runs as somebody whose credentials come from a program, as those of most log-in tools do.
struct Person<'a> {
    aws: &'a Aws,
    dir: tempfile::TempDir,
}

impl<'a> Person<'a> {
    fn with_session(aws: &'a Aws, end: Option<DateTime<Utc>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let who = &aws.administrator;
        let mut keys: Value = json!({"Version": 1, "AccessKeyId": who.access_key_id, "SecretAccessKey": who.secret_access_key});
        match end {
            Some(end) => keys["Expiration"] = json!(end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
            None => keys["SessionToken"] = json!("a session that does not say when it ends"),
        }
        std::fs::write(dir.path().join("keys.json"), keys.to_string()).unwrap();
        std::fs::write(dir.path().join("config"), format!("[default]\ncredential_process = cat {}\n", dir.path().join("keys.json").display()))
            .unwrap();
        Self { aws, dir }
    }

    fn says(&self, what: &str) -> Output {
        let mut command = firedrill(self.aws, None, &self.dir.path().join("state"));
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_CONFIG_FILE", self.dir.path().join("config"));
        command.arg(what).arg(drill(self.dir.path())).arg("--env").arg(&self.aws.environment).output().unwrap()
    }
}

#[test]
fn a_session_that_ends_before_the_undo_must_be_over_refuses_and_one_that_lasts_runs() {
    for options in [AwsOptions::SMALL, AwsOptions::ROLES] {
        let aws = Aws::start(options);
        let before = aws.dump();
        // Undo begins within 60 minutes, and has 15 more.
        let ends = Utc::now() + TimeDelta::minutes(70);
        for command in ["plan", "run"] {
            let refused = Person::with_session(&aws, Some(ends)).says(command);
            assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
            let session = format!("account 'main': the session ends {}", ends.format("%Y-%m-%dT%H:%M:%S"));
            assert!(told(&refused).contains(&session) && told(&refused).contains("revert window until"), "{}", told(&refused));
        }
        assert_eq!(before.differences(&aws.dump()), Vec::<String>::new());
        let lasting = Person::with_session(&aws, Some(Utc::now() + TimeDelta::minutes(80))).says("run");
        assert_eq!(lasting.status.code(), Some(0), "{}", told(&lasting));
    }
}

#[test]
fn of_a_session_that_does_not_say_when_it_ends_the_plan_says_until_when_it_must_last() {
    let aws = Aws::start(AwsOptions::SMALL);
    let planned = Person::with_session(&aws, None).says("plan");
    assert_eq!(planned.status.code(), Some(0), "{}", told(&planned));
    assert!(told(&planned).contains("account 'main': the session does not say when it ends; it must last until"), "{}", told(&planned));
}
