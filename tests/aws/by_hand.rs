//! The runbook of a drill on an account, on paper: its commands, typed with the real aws CLI, do what firedrill does, and undo it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::evacuate::{firedrill, told, unlike};
use super::paper;
use super::testbed::{Aws, AwsDump, AwsOptions};

/// A folder with nothing but `aws`: the CLI that `scripts/test` installs, so that no other one is found. Without it these tests prove nothing, so they fail.
fn cli(into: &Path) -> PathBuf {
    let wanted = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws_cli/requirements.txt")).unwrap();
    let key: String = Sha256::digest(wanted).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let python = cache.join("firedrill").join(format!("aws-cli-{key}/bin/python"));
    assert!(python.exists(), "{} is missing; install it: scripts/test --setup", python.display());
    let folder = into.join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("aws");
    std::fs::write(&program, format!("#!/bin/sh\nexec '{}' -m awscli \"$@\"\n", python.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn drill(into: &Path) -> PathBuf {
    let quiet = |region: &str| json!({"awsAlarm": {"account": "main", "region": region, "alarm": "checkout-errors", "state": "OK"}});
    let zone = json!({"account": "main", "zone": "staging.example.com", "record": "checkout.staging.example.com", "type": "A", "from": ["east"], "to": ["west"]});
    let drill = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "all-kinds"},
        "spec": {
            "summary": "Every kind at once", "owner": "platform", "hypothesis": "It is undone.", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
            "regionHealthy": {"probe": quiet("us-east-1"), "stableFor": "100ms", "limit": "5m"}, "baseline": "100ms", "hold": "10m", "undoBy": "60m",
            "objectives": [{"id": "west", "probe": quiet("us-west-2"), "interval": "1s", "timeout": "1s", "stableFor": "1s", "availability": "1%"}],
            "steps": [
                {"id": "grown", "action": {"asgScale": {"account": "main", "region": "us-west-2", "group": "web", "desired": 4}}},
                {"id": "refused", "fault": {"launchRefusal": {"account": "main", "groups": {"names": ["web"]}}}},
                {"id": "stopped", "after": ["refused"], "fault": {"ec2Stop": {"account": "main", "instances": {"tags": {"app": "checkout"}, "zones": ["us-east-1a"]}}}},
                {"id": "dark", "after": ["refused"], "fault": {"subnetIsolate": {"account": "main", "subnets": {"tags": {"env": "staging"}}}}},
                {"id": "denied", "fault": {"awsIamDeny": {"account": "main", "roles": {"names": ["app-checkout"]}, "actions": ["iam:*"]}}},
                {"id": "closed", "fault": {"vpcEndpointDeny": {"account": "main", "endpoints": {"tags": {"Name": "dynamodb"}}, "actions": ["dynamodb:*"]}}},
                {"id": "inverted", "fault": {"route53HealthInvert": {"account": "main", "healthChecks": {"tags": {"region": "us-east-1"}}}}},
                {"id": "shifted", "after": ["grown", "stopped", "dark", "denied"], "action": {"route53Shift": zone}},
            ],
        },
    });
    let file = into.join("drill.yaml");
    std::fs::write(&file, drill.to_string()).unwrap();
    file
}

struct Scene {
    aws: Aws,
    dir: tempfile::TempDir,
    drill: PathBuf,
    cli: PathBuf,
    before: AwsDump,
}

impl Scene {
    fn new() -> Self {
        let aws = Aws::start(AwsOptions::ROLES);
        let dir = tempfile::tempdir().unwrap();
        let (drill, cli, before) = (drill(dir.path()), cli(dir.path()), aws.dump());
        Self { aws, dir, drill, cli, before }
    }

    fn firedrill(&self, words: &[&str]) -> Command {
        let mut command = firedrill(&self.aws, None, &self.dir.path().join("state"));
        command.args(words);
        command
    }

    fn runbook(&self, words: &[&str]) -> String {
        let output = self.firedrill(&["runbook"]).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn types(&self, lines: &[String]) -> String {
        let who = &self.aws.administrator;
        let environment = [
            ("AWS_ACCESS_KEY_ID", who.access_key_id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", who.secret_access_key.as_str()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // Nobody sits there to page through an answer.
            ("AWS_PAGER", ""),
        ];
        paper::done(lines, &[&self.cli], &environment.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn is_as_before(&self) {
        assert_eq!(unlike(&self.before, &self.aws.dump()), Vec::<String>::new());
    }

    fn held(&self) -> paper::Held {
        let mut run = self.firedrill(&["run"]);
        let run = run.arg(&self.drill).arg("--env").arg(&self.aws.environment).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut run = paper::Held(run.spawn().unwrap());
        let mut said = Vec::new();
        for line in BufReader::new(run.0.stderr.take().unwrap()).lines().map_while(Result::ok) {
            if line.contains("hold:") {
                return run;
            }
            said.push(line);
        }
        panic!("the hold never began: {}", said.join("\n"));
    }
}

/// What differs from before, without the run's own name, and without marks and schedules, which only firedrill makes.
fn changed(before: &AwsDump, now: &AwsDump, run: &str) -> Vec<String> {
    let deadline = regex::Regex::new(r"20\d\d-\d\d-\d\dT[0-9:.]+Z").unwrap();
    let all = before.differences(now).into_iter().map(|line| deadline.replace_all(&line.replace(run, "RUN"), "TIME").into_owned());
    // A group that grows makes instances of its own, which are others each time.
    let own = regex::Regex::new(r"\bi-[0-9a-f]{8,17}\b").unwrap();
    let all = all.map(|line| own.replace_all(&line, "INSTANCE").into_owned());
    let all =
        all.map(|line| line.split_once(" instances INSTANCE: new: ").map_or(line.clone(), |(place, _)| format!("{place} instances: a new one")));
    // The clone that a subnet gets has another id each time; that it is the clone, and lets nothing through, is asked for apart.
    let clone = regex::Regex::new(r#"-> "acl-[0-9a-f]+"$"#).unwrap();
    let all = all.map(|line| clone.replace_all(&line, "-> the clone").into_owned());
    // An update of a health check counts, also one that was undone.
    all.filter(|line| !["firedrill.dev/", " schedules ", " version:"].iter().any(|part| line.contains(part))).collect()
}

fn id_of(text: &str) -> String {
    regex::Regex::new(r"firedrill-([0-9A-HJKMNP-TV-Z]{26})-denied").unwrap().captures(text).unwrap()[1].to_owned()
}

#[test]
fn what_the_runbook_says_typed_by_hand_is_what_firedrill_does_and_its_card_undoes_it() {
    let scene = Scene::new();
    let runbook = scene.runbook(&[scene.drill.to_str().unwrap(), "--env", scene.aws.environment.to_str().unwrap()]);
    let inject = paper::labelled(&runbook, "## Steps", "Do it by hand:");
    assert!(inject.iter().filter(|line| line.starts_with("for target in ")).count() >= 2, "the subnets of both network ACLs are loops: {inject:?}");
    scene.types(&inject);
    // A network ACL without entries, not a copy with entries that deny first: nothing passes either.
    let dark = scene.aws.boto3(
        "acls = client('ec2').describe_network_acls(Filters=[{'Name': 'tag-key', 'Values': ['firedrill.dev/clone']}])['NetworkAcls']\n\
         result = [sum(len(acl['Associations']) for acl in acls), [one for acl in acls for one in acl['Entries'] if one['RuleAction'] == 'allow']]",
        &json!({}),
    );
    assert_eq!(dark, json!([6, []]));
    let by_hand = changed(&scene.before, &scene.aws.dump(), &id_of(&runbook));
    scene.types(&paper::card(&runbook));
    scene.is_as_before();

    let mut run = scene.held();
    let card = scene.runbook(&["--record", "latest", "--card"]);
    let tool = changed(&scene.before, &scene.aws.dump(), &id_of(&card));
    let (only_hand, only_tool): (Vec<&String>, Vec<&String>) =
        (by_hand.iter().filter(|line| !tool.contains(line)).collect(), tool.iter().filter(|line| !by_hand.contains(line)).collect());
    assert!(only_hand.is_empty() && only_tool.is_empty(), "by hand: {only_hand:#?}\nfiredrill: {only_tool:#?}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&run.0), rustix::process::Signal::INT).unwrap();
    assert_eq!(run.0.wait().unwrap().code(), Some(6));
    scene.is_as_before();
}

#[test]
fn the_card_of_a_run_that_was_killed_in_its_hold_undoes_it_by_hand_and_resume_agrees() {
    let scene = Scene::new();
    let mut run = scene.held();
    run.0.kill().unwrap();
    run.0.wait().unwrap();
    let card = scene.runbook(&["--record", "latest", "--card"]);
    // It has what the journal says has begun, and names of its own: nothing is left to the scribe.
    assert!(!["strike the others through", "①", "NOT READY"].iter().any(|said| card.contains(said)), "{card}");
    scene.types(&paper::card(&card));
    scene.is_as_before();
    let resumed = scene.firedrill(&["resume", "latest"]).output().unwrap();
    assert_eq!(resumed.status.code(), Some(6), "{}", told(&resumed));
    let out = scene.dir.path().join("report");
    assert!(scene.firedrill(&["report", "latest", "--format", "json", "--out"]).arg(&out).status().unwrap().success());
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let phases: Vec<&str> = report["targets"].as_array().unwrap().iter().map(|target| target["phase"].as_str().unwrap()).collect();
    assert!(phases.len() > 10 && phases.iter().all(|phase| *phase == "reverted"), "{phases:?}\n{}", told(&resumed));
    scene.is_as_before();
}

#[test]
fn the_card_of_the_shipped_drill_is_one_page_with_every_box_and_the_gate() {
    let scene = Scene::new();
    let (game, shipped) = (scene.dir.path().join("game"), concat!(env!("CARGO_MANIFEST_DIR"), "/drills/aws/evacuate-us-east-1.yaml"));
    scene.runbook(&[shipped, "--env", scene.aws.environment.to_str().unwrap(), "--out", game.to_str().unwrap()]);
    let pages = paper::printed(&game.join("abort-card.html"));
    assert_eq!(pages.len(), 2, "{pages:#?}");
    for part in ["iam-denied", "subnets-cut-off", "instances-stopped", "nothing-launches", "healthy?", "traffic-west", "west-grows", "Afterwards"] {
        assert!(pages[0].contains(part), "{part}: {}", pages[0]);
    }
    assert!(pages[1].contains("Abort card, the back") && pages[1].contains("Block A: subnets-cut-off"), "{}", pages[1]);
}

#[test]
fn an_experiment_is_started_and_stopped_by_hand() {
    let scene = Scene::new();
    let template = scene.aws.boto3("result = client('fis').list_experiment_templates()['experimentTemplates'][0]['id']", &json!({}));
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(&scene.drill).unwrap()).unwrap();
    document["spec"]["steps"] = json!([{"id": "tried", "fault": {"fisExperiment": {"account": "main", "template": template}}}]);
    document["spec"].as_object_mut().unwrap().remove("regionHealthy");
    std::fs::write(&scene.drill, document.to_string()).unwrap();
    let runbook = scene.runbook(&[scene.drill.to_str().unwrap(), "--env", scene.aws.environment.to_str().unwrap()]);
    let states = || {
        let script = "fis = client('fis')\nresult = [fis.get_experiment(id=one['id'])['experiment']['state']['status'] for one in fis.list_experiments()['experiments']]";
        scene.aws.boto3(script, &json!({}))
    };
    assert_eq!(states(), json!([]));
    scene.types(&paper::labelled(&runbook, "## Steps", "Do it by hand:"));
    assert!(["pending", "initiating", "running"].contains(&states()[0].as_str().unwrap()), "{}", states());
    scene.types(&paper::card(&runbook));
    assert!(["stopping", "stopped"].contains(&states()[0].as_str().unwrap()), "{}", states());
}

#[test]
fn the_probes_of_the_shipped_drill_and_its_gate_are_read_by_hand() {
    let scene = Scene::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/drills/aws/evacuate-us-east-1.yaml");
    let runbook = scene.runbook(&[shipped, "--env", scene.aws.environment.to_str().unwrap()]);
    let read = |heading: &str| scene.types(&paper::commands(&runbook, heading));
    assert_eq!(read("### west-is-quiet").trim(), "OK");
    assert_eq!(read("### The gate").trim(), "OK");
    // The zone is named in the drill; its id is looked up in the command.
    let answer: Value = serde_json::from_str(&read("### somebody-answers")).unwrap();
    let data = answer["RecordData"].as_array().unwrap();
    assert!(!data.is_empty() && data.iter().all(|one| ["192.0.2.10", "198.51.100.10"].contains(&one.as_str().unwrap())), "{answer}");
}

#[test]
fn an_instance_that_was_never_stopped_holds_up_nobody_who_follows_the_card() {
    let scene = Scene::new();
    let runbook = scene.runbook(&[scene.drill.to_str().unwrap(), "--env", scene.aws.environment.to_str().unwrap()]);
    let number = runbook.lines().find(|line| line.starts_with("### ") && line.contains(". stopped: ")).unwrap();
    let undo = paper::labelled(&runbook, number, "Undo it by hand:");
    // Waiting for it to have stopped would take ten minutes, and then fail.
    assert!(!undo.concat().contains("instance-stopped"), "{undo:?}");
    scene.types(&undo);
    scene.is_as_before();
}
