//! Whole runs of the real binary on an account: the drill that ships, killed on the way, with the printed policies and nothing more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::testbed::{Aws, AwsDump, AwsOptions, Call, Credentials};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/drills/aws/evacuate-us-east-1.yaml");

/// The real binary, as the administrator or somebody else.
pub fn firedrill(aws: &Aws, who: Option<&Credentials>, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    match who {
        Some(who) => aws.command_as(&mut command, who),
        None => aws.command(&mut command),
    };
    command.env_remove("FIREDRILL_FAILPOINT").env_remove("FIREDRILL_STATE_DIR").env("FIREDRILL_ALLOW_TMPFS_STATE", "1");
    command.arg("--state-dir").arg(state).stdin(Stdio::null());
    command
}

/// How a command ended and what it said.
pub fn told(output: &Output) -> String {
    format!("exit {:?}\n{}{}", output.status.code(), String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What differs although everything is as before: every replacement makes a new association, every update of a health check counts.
fn unavoidable(difference: &str) -> bool {
    [" associations subnet-", " version:"].iter().any(|part| difference.contains(part))
}

pub fn unlike(before: &AwsDump, after: &AwsDump) -> Vec<String> {
    before.differences(after).into_iter().filter(|difference| !unavoidable(difference)).collect()
}

/// Writing calls after the plan: before that, calls that can change nothing ask what is allowed.
fn writes<'a>(calls: &'a [Call], report: &Path) -> Vec<&'a Call> {
    let events = std::fs::read_to_string(report.join("events.jsonl")).unwrap();
    let mut events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let started = events.find(|event| event["type"] == "runStarted").unwrap()["at"].as_str().unwrap().to_owned();
    let written = |call: &&Call| call.mutating && !call.dry_run && call.service.as_deref() != Some("sts") && call.at > started;
    // The SDK sends a call again that is not answered in time: that is one change, and one failpoint.
    let mut seen = BTreeSet::new();
    calls.iter().filter(written).filter(|call| seen.insert(call.invocation.as_ref().expect("an SDK names its invocation"))).collect()
}

/// The shipped drill's steps, with short times and only as many targets as it takes.
fn short(into: &Path, hold: &str) -> PathBuf {
    let quiet = |region: &str| json!({"awsAlarm": {"account": "main", "region": region, "alarm": "checkout-errors", "state": "OK"}});
    let zone = json!({"account": "main", "zone": "staging.example.com", "record": "checkout.staging.example.com", "type": "A", "from": ["east"], "to": ["west"]});
    let drill = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "short"},
        "spec": {
            "summary": "us-east-1 fails", "owner": "platform", "hypothesis": "us-west-2 does not notice.",
            "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "baseline": "100ms", "hold": hold, "undoBy": "60m",
            "regionHealthy": {"probe": quiet("us-east-1"), "stableFor": "100ms", "limit": "5m"},
            "objectives": [{"id": "west", "probe": quiet("us-west-2"), "interval": "1s", "timeout": "1s", "stableFor": "1s", "availability": "1%"}],
            "steps": [
                {"id": "grown", "action": {"asgScale": {"account": "main", "region": "us-west-2", "group": "web", "desired": 4}}},
                {"id": "refused", "fault": {"launchRefusal": {"account": "main", "groups": {"names": ["web"]}}}},
                {"id": "denied", "fault": {"awsIamDeny": {"account": "main", "roles": {"names": ["app-checkout"]}, "actions": ["iam:*"]}}},
                {"id": "stopped", "after": ["refused"], "fault": {"ec2Stop": {"account": "main", "instances": {"tags": {"app": "checkout"}, "zones": ["us-east-1a"]}}}},
                {"id": "dark", "after": ["refused"], "fault": {"subnetIsolate": {"account": "main", "subnets": {"tags": {"env": "staging"}, "zones": ["us-east-1b"]}}}},
                {"id": "shifted", "after": ["grown", "stopped", "dark", "denied"], "action": {"route53Shift": zone}},
            ],
        },
    });
    let file = into.join("drill.yaml");
    std::fs::write(&file, drill.to_string()).unwrap();
    file
}

#[test]
fn the_shipped_drill_ends_with_the_account_as_it_was_and_every_change_went_through_a_failpoint() {
    let aws = Aws::start(AwsOptions::SMALL);
    let dir = tempfile::tempdir().unwrap();
    let (before, from, trace) = (aws.dump(), aws.last_call(), dir.path().join("trace"));
    let mut run = firedrill(&aws, None, &dir.path().join("state"));
    let report = dir.path().join("report");
    let done = run
        .args(["run", SHIPPED, "--env"])
        .arg(&aws.environment)
        .arg("--report-dir")
        .arg(&report)
        .env("FIREDRILL_FAILPOINT_TRACE", &trace)
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let after = aws.dump();
    before.differences(&after).iter().for_each(|difference| eprintln!("{difference}"));
    assert_eq!(unlike(&before, &after), Vec::<String>::new());
    let hits = std::fs::read_to_string(&trace).unwrap().lines().filter(|line| line.starts_with("aws.before#")).count();
    let calls = aws.calls_since(from);
    let writes = writes(&calls, &report);
    assert_eq!(writes.len(), hits, "writing calls against failpoints passed: {:?}", writes.iter().map(|call| &call.action).collect::<Vec<_>>());
    assert!(told(&done).contains("11 of 11 targets read back as before"), "{}", told(&done));
    // The aws command refuses without a region, which a shell at 3 a.m. may not have.
    let told: Value = serde_json::from_str(&std::fs::read_to_string(report.join("report.json")).unwrap()).unwrap();
    let by_hand: Vec<&Value> = told["targets"].as_array().unwrap().iter().flat_map(|target| target["undoByHand"].as_array().unwrap()).collect();
    assert!(by_hand.len() > 11 && by_hand.iter().all(|command| command.as_str().unwrap().contains(" --region us-")), "{by_hand:?}");
}

/// One account, one drill, one journal.
struct Scene {
    aws: Aws,
    dir: tempfile::TempDir,
    drill: PathBuf,
}

impl Scene {
    fn new(options: AwsOptions, hold: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let drill = short(dir.path(), hold);
        Self { aws: Aws::start(options), dir, drill }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = firedrill(&self.aws, None, &self.state());
        command.args(words);
        command
    }

    fn run(&self, failpoint: &str) -> Output {
        self.command(&["run"]).arg(&self.drill).arg("--env").arg(&self.aws.environment).env("FIREDRILL_FAILPOINT", failpoint).output().unwrap()
    }

    fn sweep(&self) -> Output {
        // The drill's regionHealthy gates the fail-back of its actions.
        self.command(&["sweep", "--apply", "--drill"]).arg(&self.drill).arg("--env").arg(&self.aws.environment).output().unwrap()
    }

    /// Killed there, and brought back: what is wrong.
    fn killed(&self, place: &str, by_sweep: bool) -> Option<String> {
        let before = self.aws.dump();
        let done = self.run(&format!("{place}=kill"));
        if let Some(code) = done.status.code() {
            return Some(format!("{place}: ended with {code} and was not killed: {}", told(&done)));
        }
        let undone = if by_sweep {
            std::fs::remove_dir_all(self.state()).unwrap();
            self.sweep()
        } else {
            self.command(&["resume", "latest"]).output().unwrap()
        };
        let _ = std::fs::remove_dir_all(self.state());
        let differences = unlike(&before, &self.aws.dump());
        // 6: a resumed run is aborted. 0: nothing was to be undone. 2: the run had not begun.
        let ended = matches!(undone.status.code(), Some(0 | 2 | 6));
        let what = if by_sweep { "sweep" } else { "resume" };
        (!differences.is_empty() || !ended).then(|| format!("{place}, {what}: {}\n{}", differences.join("\n"), told(&undone)))
    }
}

/// Places that a run of the drill and its undo pass: of each write on AWS both sides, of the others the first two times. A whole run of the tests takes every
/// third write, the two sides in turn, and of the others one; `EVERY=1` takes all.
fn places() -> Vec<String> {
    let scene = Scene::new(AwsOptions::ROLES, "200ms");
    let trace = scene.dir.path().join("trace");
    let mut run = scene.command(&["run"]);
    let done = run.arg(&scene.drill).arg("--env").arg(&scene.aws.environment).env("FIREDRILL_FAILPOINT_TRACE", &trace).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let passed = std::fs::read_to_string(trace).unwrap();
    let (calls, others): (Vec<&str>, Vec<&str>) = passed.lines().partition(|place| place.starts_with("aws."));
    assert!(calls.len() > 80, "{} places of calls", calls.len());
    let hit = |place: &str| place.split_once('#').unwrap().1.parse::<usize>().unwrap();
    let taken = |place: &&str| match place.split_once('#').unwrap().0 {
        _ if super::contract::every() => hit(place) <= 2 || place.starts_with("aws."),
        "aws.before" => hit(place) % 6 == 1,
        "aws.after" => hit(place) % 6 == 4,
        _ => hit(place) == 1,
    };
    calls.into_iter().chain(others).filter(taken).map(str::to_owned).collect()
}

#[test]
#[allow(clippy::print_stdout)]
fn killed_on_its_way_the_account_is_as_before_after_resume_and_after_sweep_without_a_journal() {
    let places = places();
    let mut cases: Vec<(&String, bool)> = places.iter().flat_map(|place| [(place, false), (place, true)]).collect();
    let todo = std::sync::Mutex::new(cases.drain(..).rev().collect::<Vec<_>>());
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut scene = Scene::new(AwsOptions::ROLES, "200ms");
                loop {
                    let next = todo.lock().unwrap().pop();
                    let Some((place, by_sweep)) = next else { return };
                    if let Some(why) = scene.killed(place, by_sweep) {
                        failed.lock().unwrap().push(why);
                        scene = Scene::new(AwsOptions::ROLES, "200ms");
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} places:\n{}", failed.len(), places.len(), failed.join("\n\n"));
    println!("killed at {} places, resumed, and again swept: {}", places.len(), places.join(" "));
}

#[test]
fn aborted_two_seconds_after_the_stop_while_instances_are_stopping_all_run_again() {
    let scene = Scene::new(AwsOptions::SMALL, "5m");
    let before = scene.aws.dump();
    // Four seconds to stop, four to start.
    scene.aws.script(&json!({"transitions": {"instances": {"reads": 0, "ms": 4000}}}));
    let from = scene.aws.last_call();
    let mut run = scene.command(&["run"]);
    let mut run = run.arg(&scene.drill).arg("--env").arg(&scene.aws.environment).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !scene.aws.calls_since(from).iter().any(|call| call.is("StopInstances") && !call.dry_run) {
        assert!(Instant::now() < end, "StopInstances was never called");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = run.wait().unwrap();
    assert_eq!(ended.code(), Some(6));
    assert_eq!(unlike(&before, &scene.aws.dump()), Vec::<String>::new());
    let starts =
        scene.aws.calls_since(from).into_iter().filter(|call| call.is("StartInstances") && !call.dry_run && call.status == Some(200)).count();
    assert_eq!(starts, 2);
}

/// The documents that `firedrill policy` prints, by purpose.
fn printed(scene: &Scene, purpose: &str) -> Value {
    let words = ["--account", "main", "--purpose", purpose];
    let done = scene.command(&["policy"]).arg(&scene.drill).arg("--env").arg(&scene.aws.environment).args(words).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn actions(document: &Value) -> Vec<String> {
    let statements = document["Statement"].as_array().unwrap().iter();
    let mut all: Vec<String> =
        statements.flat_map(|one| one["Action"].as_array().unwrap()).map(|action| action.as_str().unwrap().to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

fn without(document: &Value, action: &str) -> Value {
    let mut document = document.clone();
    let statements = document["Statement"].as_array_mut().unwrap();
    statements.iter_mut().for_each(|one| one["Action"].as_array_mut().unwrap().retain(|one| one != action));
    statements.retain(|one| !one["Action"].as_array().unwrap().is_empty());
    document
}

/// Permissions that no call can ask for without using them.
const UNASKABLE: [&str; 1] = ["iam:PassRole"];

#[test]
fn with_the_printed_policies_and_nothing_more_the_drill_runs_and_each_action_that_is_missing_is_named_by_the_plan() {
    let scene = Scene::new(AwsOptions::SMALL, "200ms");
    let (read, inject, revert) = (printed(&scene, "read"), printed(&scene, "inject"), printed(&scene, "revert"));
    let before = scene.aws.dump();
    let user = scene.aws.user("drill", &[read.clone(), inject.clone(), revert.clone()]);
    let cases: Vec<(String, Credentials)> = [&inject, &revert, &read]
        .into_iter()
        .enumerate()
        .flat_map(|(index, document)| actions(document).into_iter().map(move |action| (index, action)))
        .filter(|(_, action)| !UNASKABLE.contains(&action.as_str()))
        .map(|(index, action)| {
            // Taken from every document: who may undo with it may inject with it.
            let policies = [&read, &inject, &revert].map(|document| without(document, &action));
            let policies: Vec<Value> = policies.into_iter().filter(|document| !document["Statement"].as_array().unwrap().is_empty()).collect();
            let who = scene.aws.user(&format!("no-{index}-{}", action.replace(':', "-")), &policies);
            (action, who)
        })
        .collect();
    scene.aws.enforce(true);
    let run = |who: &Credentials, word: &str, state: &Path| {
        firedrill(&scene.aws, Some(who), state).arg(word).arg(&scene.drill).arg("--env").arg(&scene.aws.environment).output().unwrap()
    };
    let done = run(&user, "run", &scene.state());
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let todo = std::sync::Mutex::new(cases);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let dir = tempfile::tempdir().unwrap();
                loop {
                    let next = todo.lock().unwrap().pop();
                    let Some((action, who)) = next else { return };
                    let done = run(&who, "plan", dir.path());
                    if done.status.code() != Some(5) || !told(&done).contains(&action) {
                        failed.lock().unwrap().push(format!("without {action}: {}", told(&done)));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    scene.aws.enforce(false);
    assert_eq!(unlike(&before, &scene.aws.dump()), Vec::<String>::new());
}

#[test]
fn with_firedrill_dead_the_schedules_bring_traffic_and_instances_back_and_sweep_tidies_up() {
    let scene = Scene::new(AwsOptions::ROLES, "5m");
    let before = scene.aws.dump();
    // The last write of the run is on its way: everything is in place, and nobody will undo it.
    let mut run = scene.command(&["run"]);
    let mut run = run.arg(&scene.drill).arg("--env").arg(&scene.aws.environment).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(run.stderr.take().unwrap()));
    assert!(lines.map_while(Result::ok).any(|line| line.contains("hold:")), "the hold never began");
    run.kill().unwrap();
    run.wait().unwrap();
    let fired = scene.aws.fire_schedules("us-east-1", "firedrill-");
    assert!(fired.len() >= 7 && fired.iter().all(|one| one.get("error").is_none()), "{fired:?}");
    let works = scene.aws.boto3(
        "ec2 = client('ec2')\n\
         ec2.get_waiter('instance_running').wait(Filters=[{'Name': 'tag:app', 'Values': ['checkout']}], WaiterConfig={'Delay': 0, 'MaxAttempts': 9})\n\
         acls = ec2.describe_network_acls(Filters=[{'Name': 'tag-key', 'Values': ['firedrill.dev/run']}])['NetworkAcls']\n\
         first = [one for acl in acls for one in acl['Entries'] if one['RuleNumber'] <= 2]\n\
         group = client('autoscaling').describe_auto_scaling_groups(AutoScalingGroupNames=['web'])['AutoScalingGroups'][0]\n\
         result = {'clones': len(acls), 'denies': len(first), 'suspended': len(group['SuspendedProcesses'])}",
        &json!({}),
    );
    assert_eq!(works, json!({"clones": 2, "denies": 0, "suspended": 0}));
    std::fs::remove_dir_all(scene.state()).unwrap();
    let swept = scene.sweep();
    assert_eq!(swept.status.code(), Some(0), "{}", told(&swept));
    assert_eq!(unlike(&before, &scene.aws.dump()), Vec::<String>::new());
}
