//! What `firedrill policy` prints is enough for the drill, and no verb of it is too much: without any one of them the plan refuses, and names it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use firedrill::drill::about::{Described, Sort, kinds};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::testbed::{Cluster, Options, Testbed, eventually};

/// Of this file alone: its drills drain nodes.
pub fn bed() -> &'static Testbed {
    static BED: OnceLock<Testbed> = OnceLock::new();
    BED.get_or_init(|| Testbed::start(Options { max_unavailable: "100%", ..Options::SMALL }))
}

/// A drill around the example of a kind, where what it names is there.
struct Example {
    name: String,
    folder: tempfile::TempDir,
}

/// Every kind of this build that works on a cluster.
fn examples() -> Vec<Example> {
    let on_clusters = |kind: &Described| kind.sort != Sort::Probe && kind.schema.pointer("/properties/cluster/format").is_some();
    let built: Vec<Described> = kinds().into_iter().filter(|kind| on_clusters(kind) && kind.about.is_some()).collect();
    assert!(built.len() >= 2, "kinds were not found: {built:?}");
    for cluster in &bed().clusters {
        cluster.namespace("watched", 2, 2);
    }
    built.iter().map(example).collect()
}

fn example(kind: &Described) -> Example {
    let sort = kind.sort.name();
    let name = format!("{}-{sort}", kind.name.to_lowercase());
    let step: Value = serde_saphyr::from_str(kind.about.unwrap().example).unwrap();
    furnish(&step[kind.name]);
    let watched = |cluster: &str| json!({"workload": {"cluster": cluster, "namespace": "watched", "deployment": "app", "ready": "50%"}});
    let mut drill = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": name},
        "spec": {
            "summary": "s", "owner": "o", "hypothesis": "h", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
            "baseline": "2s", "hold": "5s", "undoBy": "1h",
            "objectives": [{"id": "watched", "probe": watched("west"), "interval": "500ms", "recoverWithin": "3s", "stableFor": "1s"}],
            "steps": [{"id": "example", sort: step}],
        },
    });
    if kind.sort == Sort::Action {
        // `seen` is read in the region that fails, so that the gate has a need of its own.
        drill["spec"]["regionHealthy"] = json!({"probe": watched("east"), "stableFor": "1s", "limit": "2m"});
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("drill.yaml"), drill.to_string()).unwrap();
    Example { name, folder }
}

/// What an example names: a namespace, its workload, its Service.
fn furnish(parameters: &Value) {
    let Some(namespace) = parameters["namespace"].as_str() else { return };
    let cluster = bed().cluster(parameters["cluster"].as_str().unwrap());
    let named = ["deployment", "statefulSet", "service"].into_iter().find_map(|field| Some((field, parameters[field].as_str()?)));
    let (field, name) = named.unwrap_or(("deployment", "app"));
    let labels = match &parameters["pods"]["labels"] {
        Value::Null => json!({"app": name}),
        labels => labels.clone(),
    };
    let pods = json!({
        "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "example.invalid/app"}]},
    });
    let workload = if field == "statefulSet" { "StatefulSet" } else { "Deployment" };
    let at = json!({"name": name, "namespace": namespace});
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": "apps/v1", "kind": workload, "metadata": at,
            "spec": {"replicas": 4, "selector": {"matchLabels": labels}, "serviceName": name, "template": pods},
        }),
    ];
    if workload == "Deployment" {
        objects[1]["spec"].as_object_mut().unwrap().remove("serviceName");
    }
    if field == "service" {
        objects.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": at, "spec": {"selector": labels, "ports": [{"port": 80}]}}));
    }
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    cluster.apply(&text.join("\n---\n"));
    eventually(|| {
        let seen = cluster.json(&["-n", namespace, "get", workload, name]);
        if seen["status"]["readyReplicas"] == 4 { Ok(()) } else { Err(seen["status"].to_string()) }
    });
}

impl Example {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn firedrill(&self, words: &[&str], environment: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
        command.arg("--state-dir").arg(self.file("state")).args(words).arg(self.file("drill.yaml")).arg("--env").arg(environment);
        command.output().unwrap()
    }

    /// The printed policy of a cluster for a user, as text.
    fn printed(&self, cluster: &Cluster, user: &str) -> String {
        let output = self.firedrill(&["policy", "--cluster", &cluster.name, "--bind-to", &format!("User:{user}")], &bed().environment);
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// An environment in which both clusters are called as `user`.
    fn environment_of(&self, user: &str) -> PathBuf {
        let kubeconfigs: Vec<(&str, PathBuf)> = bed().clusters.iter().map(|cluster| (cluster.name.as_str(), impersonating(cluster, user))).collect();
        let kubeconfigs: Vec<(&str, &Path)> = kubeconfigs.iter().map(|(name, file)| (*name, file.as_path())).collect();
        let file = self.file(&format!("{user}.yaml"));
        bed().environment_as(&file, &kubeconfigs);
        file
    }
}

/// The administrator's kubeconfig, acting as `user`: the API server decides by what that user may do.
fn impersonating(cluster: &Cluster, user: &str) -> PathBuf {
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&cluster.kubeconfig).unwrap()).unwrap();
    config["users"][0]["user"]["as"] = user.into();
    // Beside the administrator's: it names the certificate relative to itself.
    let file = cluster.kubeconfig.with_file_name(format!("{}-{user}.kubeconfig", cluster.name));
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

/// One verb of one rule, in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Verb {
    cluster: String,
    namespace: Option<String>,
    group: String,
    resource: String,
    names: Vec<String>,
    verb: String,
}

impl Verb {
    /// As the plan names it.
    fn named(&self) -> String {
        let (plural, sub) =
            self.resource.split_once('/').map_or((self.resource.as_str(), String::new()), |(plural, sub)| (plural, format!("/{sub}")));
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        format!("permission missing: {} {plural}{group}{sub}", self.verb)
    }

    /// Whether both allow something in common.
    fn meets(&self, other: &Self) -> bool {
        let same = |a: &Self| (a.cluster.clone(), a.group.clone(), a.resource.clone(), a.verb.clone());
        let here = self.namespace.is_none() || other.namespace.is_none() || self.namespace == other.namespace;
        let these = self.names.is_empty() || other.names.is_empty() || self.names.iter().any(|name| other.names.contains(name));
        same(self) == same(other) && here && these
    }

    /// A role with this one verb, and its binding.
    fn role(&self, name: &str, user: &str) -> [Value; 2] {
        let (kind, mut metadata) = (if self.namespace.is_some() { "Role" } else { "ClusterRole" }, json!({"name": name}));
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = namespace.clone().into();
        }
        let mut rule = json!({"apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb]});
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        let api = "rbac.authorization.k8s.io";
        [
            json!({"apiVersion": format!("{api}/v1"), "kind": kind, "metadata": metadata, "rules": [rule]}),
            json!({
                "apiVersion": format!("{api}/v1"), "kind": format!("{kind}Binding"), "metadata": metadata,
                "roleRef": {"apiGroup": api, "kind": kind, "name": name}, "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
            }),
        ]
    }
}

/// The verbs of printed roles.
fn verbs(cluster: &str, printed: &str) -> BTreeSet<Verb> {
    let words = |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect() };
    let mut all = BTreeSet::new();
    for document in printed.split("---\n").skip(1) {
        let document: Value = serde_saphyr::from_str(document).unwrap();
        assert!(document["metadata"]["name"].as_str().unwrap().starts_with("firedrill-"), "{document}");
        for rule in document["rules"].as_array().into_iter().flatten() {
            for (group, resource) in words(&rule["apiGroups"]).into_iter().zip(words(&rule["resources"])) {
                for verb in words(&rule["verbs"]) {
                    all.insert(Verb {
                        cluster: cluster.to_owned(),
                        namespace: document["metadata"]["namespace"].as_str().map(str::to_owned),
                        group: group.clone(),
                        resource: resource.clone(),
                        names: words(&rule["resourceNames"]),
                        verb,
                    });
                }
            }
        }
    }
    all
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until the API servers know the new roles.
fn plans(example: &Example, environment: &Path) {
    eventually(|| {
        let output = example.firedrill(&["plan"], environment);
        if output.status.code() == Some(0) { Ok(()) } else { Err(format!("{}: {}", example.name, told(&output))) }
    });
}

/// One at a time: they drain the same nodes.
pub static TURN: Mutex<()> = Mutex::const_new(());

#[test]
fn with_the_printed_policy_and_nothing_more_the_drill_of_every_kind_runs_and_is_undone() {
    let _turn = TURN.blocking_lock();
    for example in examples() {
        let user = format!("runs-{}", example.name);
        let environment = example.environment_of(&user);
        let before = example.firedrill(&["plan"], &environment);
        assert_eq!(before.status.code(), Some(5), "{} needs no permission at all: {}", example.name, told(&before));
        for cluster in &bed().clusters {
            let printed = example.printed(cluster, &user);
            if printed.contains("---\n") {
                cluster.apply(&printed);
            }
        }
        plans(&example, &environment);
        let output = example.firedrill(&["run"], &environment);
        let said = told(&output);
        // An action alone proves no recovery, and a network policy cuts nothing here: inconclusive. Nothing is left, and nothing was denied.
        let unproven = example.name.ends_with("-action") || example.name.starts_with("egressblackhole");
        assert_eq!(output.status.code(), Some(if unproven { 4 } else { 0 }), "{} exits {:?}: {said}", example.name, output.status.code());
        assert!(!said.contains("permission missing") && !said.contains("forbidden"), "{}: {said}", example.name);
        println!("{} runs with its printed policy, exit {:?}", example.name, output.status.code());
        for cluster in &bed().clusters {
            cluster.available("watched", "app");
        }
    }
}

#[test]
fn without_any_single_verb_of_the_printed_policy_the_plan_refuses_and_names_it() {
    let _turn = TURN.blocking_lock();
    let mut told_off = 0;
    for example in examples() {
        let all: Vec<Verb> = bed().clusters.iter().flat_map(|cluster| verbs(&cluster.name, &example.printed(cluster, "x"))).collect();
        assert!(all.len() > 3, "{}: {all:?}", example.name);
        // One user for each verb that is taken away, and one with all of them.
        let users: Vec<String> = (0..=all.len()).map(|index| format!("{}-{index}", example.name)).collect();
        for cluster in &bed().clusters {
            let mut objects = Vec::new();
            for (index, user) in users.iter().enumerate() {
                let missing = all.get(index);
                let left = all.iter().filter(|verb| verb.cluster == cluster.name && missing.is_none_or(|missing| !missing.meets(verb)));
                objects.extend(left.enumerate().flat_map(|(number, verb)| verb.role(&format!("{user}-{number}"), user)));
            }
            if objects.is_empty() {
                continue;
            }
            cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
        }
        plans(&example, &example.environment_of(&users[all.len()]));
        for (verb, user) in all.iter().zip(&users) {
            let output = example.firedrill(&["plan"], &example.environment_of(user));
            let (said, wanted) = (told(&output), verb.named());
            assert_eq!(output.status.code(), Some(5), "{} without {verb:?}: {said}", example.name);
            let named = said.lines().any(|line| line.contains(&wanted) && line.contains(&format!("of cluster {}", verb.cluster)));
            assert!(named, "{} without {verb:?} does not say '{wanted}': {said}", example.name);
            told_off += 1;
        }
        println!("{}: {} verbs, each named when it is missing", example.name, all.len());
    }
    assert!(told_off >= 10, "{told_off}");
}
