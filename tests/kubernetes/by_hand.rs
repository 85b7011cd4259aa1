//! The runbook of a drill on real clusters, on paper: its commands, typed with the real kubectl, do what firedrill does, and undo it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use super::drain::{firedrill, told};
use super::paper;
use super::testbed::{Cluster, Dump, Options, Testbed, eventually};

/// Every kind that leaves something in place; of `podKill` nothing does.
fn drill(into: &Path, nodes: &[String]) -> PathBuf {
    let ready = |cluster: &str| json!({"workload": {"cluster": cluster, "namespace": "payments", "deployment": "app-1", "ready": "1%"}});
    let app = json!({"labels": {"app": "app"}});
    let drill = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "all-kinds"},
        "spec": {
            "summary": "Every kind at once", "owner": "platform", "hypothesis": "It is undone.", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
            "regionHealthy": {"probe": ready("east"), "stableFor": "100ms", "limit": "2m"}, "baseline": "100ms", "hold": "10m", "undoBy": "30m",
            "objectives": [{"id": "west", "probe": ready("west"), "interval": "1s", "timeout": "1s", "availability": "1%"}],
            "steps": [
                {"id": "grown", "action": {"workloadScale": {"cluster": "west", "namespace": "checkout", "deployment": "app-1", "replicas": 5}}},
                {"id": "drained", "after": ["grown"], "fault": {"nodeDrain": {"cluster": "east", "nodes": {"names": nodes[..3]}}}, "limit": "2m"},
                {"id": "cordoned", "after": ["drained"], "fault": {"nodeCordon": {"cluster": "east", "nodes": {"names": nodes[3..4]}}}},
                {"id": "shrunk", "after": ["grown"], "fault": {"workloadScale": {"cluster": "east", "namespace": "by-hand-small", "deployment": "app", "replicas": 1}}},
                {"id": "unselected", "after": ["grown"], "fault": {"serviceBlackhole": {"cluster": "east", "namespace": "by-hand", "service": "app"}}},
                {"id": "cut-off", "after": ["grown"], "fault": {"egressBlackhole": {"cluster": "east", "namespace": "by-hand", "pods": app, "cidrs": ["203.0.113.0/24"]}}},
                {"id": "nameless", "after": ["drained"], "fault": {"dnsBlackhole": {"cluster": "east", "services": ["dynamodb"], "answer": "NODATA"}}},
            ],
        },
    });
    let file = into.join("drill.yaml");
    std::fs::write(&file, drill.to_string()).unwrap();
    file
}

struct Scene {
    bed: Testbed,
    dir: tempfile::TempDir,
    drill: PathBuf,
    before: Vec<Dump>,
}

impl Scene {
    fn new() -> Self {
        let bed = Testbed::start(Options::SMALL);
        for (namespace, pods) in [("by-hand", 2), ("by-hand-small", 3)] {
            bed.east().namespace(namespace, pods, 1);
        }
        let nodes: Vec<String> =
            bed.east().kubectl(&["get", "nodes", "-o", "name"]).lines().map(|line| line.trim_start_matches("node/").to_owned()).collect();
        let dir = tempfile::tempdir().unwrap();
        let drill = drill(dir.path(), &nodes);
        let before = bed.clusters.iter().map(Cluster::dump).collect();
        Self { bed, dir, drill, before }
    }

    fn returns(&self) {
        self.bed.clusters.iter().zip(&self.before).for_each(|(cluster, before)| cluster.returns_to(before));
    }

    fn runbook(&self, words: &[&str]) -> String {
        let output = firedrill(self.dir.path()).arg("runbook").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn types(&self, lines: &[String]) -> String {
        paper::done(lines, &[self.bed.kubectl_program().parent().unwrap()], &[])
    }

    /// A run that is in its hold.
    fn held(&self) -> paper::Held {
        let mut run = firedrill(self.dir.path());
        let run = run.arg("run").arg(&self.drill).arg("--env").arg(&self.bed.environment).stdout(Stdio::null()).stderr(Stdio::piped());
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

    /// Both clusters once they do not move any more, without marks, and without what is another one each time.
    fn seen(&self, run: &str) -> Vec<BTreeMap<String, Value>> {
        let all = || -> Vec<BTreeMap<String, Value>> {
            self.bed.clusters.iter().zip(&self.before).map(|(cluster, before)| bare(&cluster.dump(), before, run)).collect()
        };
        let mut last = all();
        eventually(|| {
            let now = all();
            if now == last {
                return Ok(());
            }
            last = now;
            Err("the clusters still move".to_owned())
        });
        last
    }
}

fn bare(dump: &Dump, before: &Dump, run: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (key, object) in &dump.objects {
        // The companion of a workload that is scaled: a mark.
        if object.pointer("/metadata/labels/firedrill.dev~1run").is_some() {
            continue;
        }
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.retain(|name, _| !name.starts_with("firedrill.dev/"));
            }
            if metadata.get("annotations").is_some_and(|all| all.as_object().is_some_and(serde_json::Map::is_empty)) {
                metadata.remove("annotations");
            }
            if !before.objects.contains_key(key) {
                metadata.remove("uid");
                metadata.remove("creationTimestamp");
            }
        }
        for taint in object.pointer_mut("/spec/taints").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
            taint.remove("timeAdded");
        }
        let unnamed = |text: &str| text.replace(run, "RUN").replace(&run.to_lowercase(), "RUN");
        found.insert(unnamed(key), serde_json::from_str(&unnamed(&object.to_string())).unwrap());
    }
    found
}

/// The id that a runbook's commands name things after: it stands in the rule of every name that is the run's.
fn id_of(runbook: &str) -> String {
    let found = regex::Regex::new(r"firedrill-([0-9a-hjkmnp-tv-z]{26})-cut-off").unwrap();
    found.captures(runbook).unwrap()[1].to_uppercase()
}

#[test]
fn what_the_runbook_says_typed_by_hand_is_what_firedrill_does_and_its_card_undoes_it() {
    let scene = Scene::new();
    let runbook = scene.runbook(&[scene.drill.to_str().unwrap(), "--env", scene.bed.environment.to_str().unwrap()]);
    let inject = paper::labelled(&runbook, "## Steps", "Do it by hand:");
    assert!(inject.iter().any(|line| line.starts_with("for target in ")), "three nodes are a loop: {inject:?}");
    let ready = regex::Regex::new(r"(?m)^app-1 +([0-9]+)/([0-9]+) ").unwrap();
    for heading in ["### west", "### The gate"] {
        let said = scene.types(&paper::commands(&runbook, heading));
        let counts = ready.captures(&said).unwrap_or_else(|| panic!("{heading}: {said}"));
        assert_eq!(counts[1], counts[2], "{said}");
    }
    // Of a ConfigMap that is not there, kubectl is told to say nothing.
    assert!(runbook.contains("put its id in first (①)"), "{runbook}");
    scene.types(&inject);
    let by_hand = scene.seen(&id_of(&runbook));
    scene.types(&paper::card(&runbook));
    scene.returns();

    // Step by step, as a reader without the card would.
    scene.types(&inject);
    let mut undo: Vec<Vec<String>> = Vec::new();
    for step in ["nameless", "cut-off", "unselected", "shrunk", "cordoned", "drained", "grown"] {
        let number = runbook.lines().find(|line| line.starts_with("### ") && line.contains(&format!(". {step}: "))).unwrap();
        undo.push(paper::labelled(&runbook, number, "Undo it by hand:"));
    }
    scene.types(&undo.concat());
    scene.returns();

    let mut run = scene.held();
    let card = scene.runbook(&["--record", "latest", "--card"]);
    let tool = scene.seen(&id_of(&card));
    for (by_hand, tool) in by_hand.iter().zip(&tool) {
        let keys: std::collections::BTreeSet<&String> = by_hand.keys().chain(tool.keys()).collect();
        let differing = keys.into_iter().filter(|key| by_hand.get(*key) != tool.get(*key));
        let differences: Vec<String> =
            differing.map(|key| format!("{key}:\n  by hand {:?}\n  firedrill {:?}", by_hand.get(key), tool.get(key))).collect();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&run.0), rustix::process::Signal::INT).unwrap();
    assert_eq!(run.0.wait().unwrap().code(), Some(6));
    scene.returns();
}

#[test]
fn the_card_of_a_run_that_was_killed_in_its_hold_undoes_it_by_hand_and_resume_agrees() {
    let scene = Scene::new();
    let mut run = scene.held();
    run.0.kill().unwrap();
    run.0.wait().unwrap();
    let card = scene.runbook(&["--record", "latest", "--card"]);
    // It has what the journal says has begun, and names of its own: nothing is left to the scribe.
    assert!(!["strike the others through", "①", "NOT READY", "put its id in first"].iter().any(|said| card.contains(said)), "{card}");
    scene.types(&paper::card(&card));
    scene.returns();
    let resumed = firedrill(scene.dir.path()).args(["resume", "latest"]).output().unwrap();
    assert_eq!(resumed.status.code(), Some(6), "{}", told(&resumed));
    let again =
        firedrill(scene.dir.path()).args(["report", "latest", "--format", "json", "--out"]).arg(scene.dir.path().join("report")).output().unwrap();
    assert!(again.status.success(), "{}", told(&again));
    let report: Value = serde_json::from_slice(&std::fs::read(scene.dir.path().join("report/report.json")).unwrap()).unwrap();
    let phases: Vec<&str> = report["targets"].as_array().unwrap().iter().map(|target| target["phase"].as_str().unwrap()).collect();
    assert!(phases.len() == 9 && phases.iter().all(|phase| *phase == "reverted"), "{phases:?}\n{}", told(&resumed));
    scene.returns();
    let empty = scene.runbook(&["--record", "latest", "--card"]);
    assert!(empty.contains("Nothing is in place"), "{empty}");
}

#[test]
fn a_pod_that_is_killed_by_hand_is_replaced_and_the_undo_only_looks() {
    let bed = Testbed::shared();
    let (east, dir) = (bed.east(), tempfile::tempdir().unwrap());
    east.namespace("by-hand-kill", 2, 1);
    let pods = |namespace: &str| -> std::collections::BTreeSet<String> {
        let list = east.json(&["-n", namespace, "get", "pods"]);
        let alive = list["items"].as_array().unwrap().iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        alive.map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
    };
    let before = pods("by-hand-kill");
    let text = std::fs::read_to_string(drill(dir.path(), &["a", "b", "c", "d"].map(str::to_owned))).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let kill = json!({"podKill": {"cluster": "east", "namespace": "by-hand-kill", "pods": {"labels": {"app": "app"}}, "count": 1}});
    document["spec"]["steps"] = json!([{"id": "killed", "fault": kill}]);
    document["spec"].as_object_mut().unwrap().remove("regionHealthy");
    let file = dir.path().join("kill.yaml");
    std::fs::write(&file, document.to_string()).unwrap();
    let output = firedrill(dir.path()).arg("runbook").arg(&file).arg("--env").arg(&bed.environment).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let runbook = String::from_utf8(output.stdout).unwrap();
    let kubectl = bed.kubectl_program();
    let types = |label: &str| _ = paper::done(&paper::labelled(&runbook, "## Steps", label), &[kubectl.parent().unwrap()], &[]);
    types("Do it by hand:");
    east.available("by-hand-kill", "app");
    let after = pods("by-hand-kill");
    assert!(after.len() == 2 && before.difference(&after).count() == 1, "{before:?} {after:?}");
    types("Undo it by hand:");
    assert_eq!(pods("by-hand-kill"), after);
}
