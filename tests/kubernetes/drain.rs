//! Whole runs of the real binary: killed at every place where it can be, seen by the API server's audit log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use firedrill::clock::Timestamp;
use serde_json::{Value, json};

use super::testbed::{Cluster, Options, Testbed};

/// Everything, as a user that the audit log can be asked about.
pub const ALL: &str = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: everything}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]}";

pub fn firedrill(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.env_remove("FIREDRILL_FAILPOINT").env_remove("FIREDRILL_STATE_DIR").env("FIREDRILL_ALLOW_TMPFS_STATE", "1");
    command.arg("--state-dir").arg(state).stdin(Stdio::null());
    command
}

pub fn told(output: &Output) -> String {
    format!("exit {:?}\n{}{}", output.status.code(), String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A short drill that drains nodes; the objective is the API server itself.
fn drill(into: &Path, cluster: &Cluster, nodes: &[&str]) -> PathBuf {
    let port: u16 = cluster.server.rsplit(':').next().unwrap().parse().unwrap();
    let drill = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "drain"},
        "spec": {
            "summary": "Nodes are drained", "owner": "platform", "hypothesis": "The API server does not notice.",
            "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "baseline": "100ms", "hold": "300ms", "undoBy": "30m",
            "objectives": [{"id": "api", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "100ms", "stableFor": "200ms", "availability": "50%"}],
            "steps": [{"id": "drained", "fault": {"nodeDrain": {"cluster": "east", "nodes": {"names": nodes}}}, "limit": "1m"}],
        },
    });
    let file = into.join("drill.yaml");
    std::fs::write(&file, drill.to_string()).unwrap();
    file
}

fn nodes_of(cluster: &Cluster) -> Vec<String> {
    cluster.kubectl(&["get", "nodes", "-o", "name"]).lines().map(|line| line.trim_start_matches("node/").to_owned()).collect()
}

/// What firedrill owns of nodes, and every annotation.
fn owned(cluster: &Cluster, nodes: &[&str]) -> Value {
    let read = |node: &&str| {
        let node = cluster.json(&["get", "node", node]);
        json!([node["metadata"]["uid"], node["metadata"]["annotations"], node["spec"]["unschedulable"]])
    };
    nodes.iter().map(read).collect()
}

/// Gives each node two pods that can run nowhere else: they come back when it is uncordoned.
fn ballast(cluster: &Cluster, nodes: &[String]) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ballast"}});
    let deployment = |node: &String| {
        let (labels, selector) = (json!({"app": node}), json!({"kubernetes.io/hostname": node}));
        let pod = json!({"nodeSelector": selector, "containers": [{"name": "app", "image": "registry.example.com/app:1"}]});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": node, "namespace": "ballast"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        })
    };
    let objects: Vec<String> = std::iter::once(namespace).chain(nodes.iter().map(deployment)).map(|object| object.to_string()).collect();
    cluster.apply(&objects.join("\n---\n"));
    nodes.iter().for_each(|node| cluster.available("ballast", node));
}

struct Scene<'a> {
    cluster: &'a Cluster,
    environment: PathBuf,
    dir: tempfile::TempDir,
    drill: PathBuf,
    nodes: Vec<&'a str>,
}

impl<'a> Scene<'a> {
    fn new(bed: &'a Testbed, nodes: &[&'a str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = dir.path().join("environment.yaml");
        bed.environment_as(&environment, &[]);
        let drill = drill(dir.path(), bed.east(), nodes);
        Self { cluster: bed.east(), environment, dir, drill, nodes: nodes.to_vec() }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = firedrill(&self.state());
        command.args(words);
        command
    }

    fn run(&self, failpoint: Option<&str>, trace: Option<&Path>) -> Output {
        let mut command = self.command(&["run"]);
        command.arg(&self.drill).arg("--env").arg(&self.environment);
        command.envs(failpoint.map(|name| ("FIREDRILL_FAILPOINT", name))).envs(trace.map(|file| ("FIREDRILL_FAILPOINT_TRACE", file)));
        command.output().unwrap()
    }

    fn sweep(&self) -> Output {
        self.command(&["sweep", "--apply", "--env"]).arg(&self.environment).output().unwrap()
    }
}

/// Every place that a run of this drill passes: the first time, and the second where there is one. How often it passes some of them later depends on how
/// many pods a node has and how long everything takes.
fn places(bed: &Testbed, node: &str) -> Vec<String> {
    let scene = Scene::new(bed, &[node]);
    let trace = scene.dir.path().join("trace");
    let done = scene.run(None, Some(&trace));
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let mut hits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(trace).unwrap().lines() {
        hits.entry(line.split_once('#').unwrap().0.to_owned()).or_default().push(line.to_owned());
    }
    for needed in ["cluster.patch.before", "cluster.patch.after", "cluster.evict.before", "cluster.evict.after", "journal.intents.committed"] {
        assert!(hits.contains_key(needed), "the drill never passes {needed}: {hits:?}");
    }
    hits.into_values().flat_map(|all| all.into_iter().take(2)).collect()
}

/// Runs the drill on one node and kills it at a place. `Err`: it was not killed there.
fn killed<'a>(bed: &'a Testbed, node: &'a str, place: &str) -> Result<(Scene<'a>, Value), String> {
    let scene = Scene::new(bed, &[node]);
    scene.cluster.available("ballast", node);
    let before = owned(scene.cluster, &scene.nodes);
    let done = scene.run(Some(&format!("{place}=kill")), None);
    match done.status.code() {
        None => Ok((scene, before)),
        Some(_) => Err(format!("{place}: was not killed: {}", told(&done))),
    }
}

/// What is not as it was after the way back.
fn unlike(scene: &Scene<'_>, before: &Value, place: &str, undone: &Output) -> Option<String> {
    let after = owned(scene.cluster, &scene.nodes);
    if after != *before {
        return Some(format!("{place}: {before} became {after}; {}", told(undone)));
    }
    // 6: a resumed run is aborted. 0: nothing was to be undone. 2: the run had not begun, or there is none.
    (!matches!(undone.status.code(), Some(0 | 2 | 6))).then(|| format!("{place}: {}", told(undone)))
}

/// Does the same to many at once: they mostly wait.
fn at_once<T: Send, R: Send>(all: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = all.into_iter().map(|one| scope.spawn(move || each(one))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn killed_at_any_place_of_a_drain_the_nodes_are_as_before_after_resume_and_after_sweep_without_a_journal() {
    let bed = Testbed::start(Options { nodes: 10, pods: 20, deployments: 4, max_unavailable: "100%", ..Options::ONE });
    let nodes = nodes_of(bed.east());
    ballast(bed.east(), &nodes);
    let before = bed.east().dump();
    let places = places(&bed, &nodes[0]);
    let mut failed = Vec::new();
    // Two nodes are left for the pods of the others.
    for places in places.chunks(nodes.len() - 2) {
        let kills = || at_once(places.iter().zip(&nodes).collect(), |(place, node)| (place, killed(&bed, node, place)));
        let resumed = at_once(kills(), |(place, killed)| match killed {
            Ok((scene, before)) => unlike(&scene, &before, place, &scene.command(&["resume", "latest"]).output().unwrap()),
            Err(why) => Some(why),
        });
        failed.extend(resumed.into_iter().flatten().map(|why| format!("resume: {why}")));
        // Their journals are lost. One sweep finds what all of them left.
        let scenes: Vec<_> = kills();
        for (_, killed) in &scenes {
            match killed {
                Ok((scene, _)) => std::fs::remove_dir_all(scene.state()).unwrap(),
                Err(why) => failed.push(format!("sweep: {why}")),
            }
        }
        let scenes: Vec<_> = scenes.into_iter().filter_map(|(place, killed)| Some((place, killed.ok()?))).collect();
        let undone = scenes[0].1.0.sweep();
        failed.extend(scenes.iter().filter_map(|(place, (scene, before))| Some(format!("sweep: {}", unlike(scene, before, place, &undone)?))));
    }
    assert!(failed.is_empty(), "{} of {} places:\n{}", failed.len(), places.len(), failed.join("\n"));
    // Evicted pods are wherever there was room, as many as before.
    bed.east().returns_to(&before);
}

#[test]
fn the_audit_log_has_one_call_a_node_to_inject_one_to_revert_none_elsewhere_and_none_before_its_intent() {
    let bed = Testbed::start(Options { nodes: 10, pods: 20, deployments: 4, max_unavailable: "100%", ..Options::ONE });
    let cluster = bed.east();
    let user = cluster.user("firedrill", ALL);
    let all = nodes_of(cluster);
    let nodes: Vec<&str> = all[..4].iter().map(String::as_str).collect();
    let scene = Scene::new(&bed, &nodes);
    bed.environment_as(&scene.environment, &[("east", &user.kubeconfig)]);
    let trace = scene.dir.path().join("trace");
    let done = scene.run(None, Some(&trace));
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));

    let calls: Vec<_> = cluster.audit().into_iter().filter(|entry| entry.user == user.name && !entry.resource.ends_with("reviews")).collect();
    let (evictions, others): (Vec<_>, Vec<_>) = calls.iter().partition(|entry| entry.subresource == "eviction");
    assert!(!evictions.is_empty());
    let mut by_node: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for call in &others {
        assert_eq!((call.verb.as_str(), call.resource.as_str(), call.status), ("patch", "nodes", 200), "{call:?}");
        let cordons = call.body.as_array().unwrap().iter().any(|step| step["op"] == "add" && step["path"] == "/spec/unschedulable");
        by_node.entry(&call.name).or_default().push(if cordons { "inject" } else { "revert" });
    }
    let expected: BTreeMap<&str, Vec<&str>> = nodes.iter().map(|node| (*node, vec!["inject", "revert"])).collect();
    assert_eq!(by_node, expected);

    // Nothing outside the frozen set, nothing before its durable intent.
    let events = events(&scene.state());
    let mut intents: BTreeMap<String, Timestamp> = BTreeMap::new();
    for event in events.iter().filter(|event| event["type"] == "targetPhase" && event["phase"] == "intent") {
        let at: Timestamp = serde_json::from_value(event["at"].clone()).unwrap();
        intents.insert(event["target"].as_str().unwrap().to_owned(), at);
    }
    assert_eq!(intents.len(), nodes.len(), "{intents:?}");
    for call in &others {
        let intent = intents.iter().find(|(target, _)| target.contains(&format!("nodes/{}/", call.name))).expect("an intent for this node");
        // The event is told once the intent is durable.
        assert!(*intent.1 <= call.at, "{} was called at {}, its intent is of {}", call.name, call.at, intent.1);
    }

    // Each of these calls passed a failpoint, and nothing else did: a new way to change something would be one call too many.
    let hits = std::fs::read_to_string(trace).unwrap();
    let written = hits.lines().filter(|line| line.starts_with("cluster.") && line.contains(".before#")).count();
    assert_eq!(written, calls.len());
}

fn events(state: &Path) -> Vec<Value> {
    let reports = std::fs::read_dir(state.join("reports")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(reports.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
