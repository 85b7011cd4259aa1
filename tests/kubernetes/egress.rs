//! egressBlackhole under the contract, its plan, and a whole run with nothing more than it says that it needs.

use std::path::Path;
use std::process::{Command, Output};

use firedrill::event::Phase;
use firedrill::fault::Record;
use serde_json::{Value, json};

use super::contract::{On, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Cluster, Testbed};

pub struct Egress;

impl Subject for Egress {
    fn kind(&self) -> &'static str {
        "egressBlackhole"
    }

    fn step(&self, on: &On<'_>) -> Value {
        step(on.cluster, &on.namespace, json!({"cidrs": ["203.0.113.0/24", "2001:db8::/32"]}))
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        Err(format!("the testbed has no network that could enforce {:?}", policies(on.cluster, &on.namespace)))
    }

    fn provable(&self) -> bool {
        false
    }

    fn theirs(&self, on: &On<'_>) -> bool {
        let patch = json!([{"op": "add", "path": "/spec/egress/0/to/-", "value": {"ipBlock": {"cidr": "203.0.113.7/32"}}}]);
        on.cluster.kubectl(&["-n", &on.namespace, "patch", "networkpolicy", &only(on), "--type=json", "-p", &patch.to_string()]);
        true
    }

    fn ghost(&self, on: &On<'_>, _record: &Record) -> bool {
        // A backup that is restored under another name.
        let mut policy = on.cluster.json(&["-n", &on.namespace, "get", "networkpolicy", &only(on)]);
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
            policy["metadata"].as_object_mut().unwrap().remove(field);
        }
        policy["metadata"]["name"] = json!("restored");
        on.cluster.kubectl_create(&policy.to_string());
        true
    }
}

fn step(cluster: &Cluster, namespace: &str, more: Value) -> Value {
    let mut fault = json!({"cluster": cluster.name, "namespace": namespace, "pods": {"labels": {"app": "app"}}});
    fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"fault": {"egressBlackhole": fault}})
}

fn policies(cluster: &Cluster, namespace: &str) -> Vec<String> {
    cluster.kubectl(&["-n", namespace, "get", "networkpolicies", "-o", "name"]).lines().map(str::to_owned).collect()
}

fn only(on: &On<'_>) -> String {
    let all = policies(on.cluster, &on.namespace);
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].rsplit('/').next().unwrap().to_owned()
}

fn policy(name: &str, namespace: &str, spec: Value) -> String {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
        .to_string()
}

const RANGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ip-ranges.json");

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_the_policy_as_it_was_planned_and_kubectl_reads_it() {
    let (bed, namespace) = (Testbed::shared(), "egress-shape");
    let cluster = bed.east();
    cluster.namespace(namespace, 2, 1);
    let mut ground = Ground::new(bed);
    let step = step(cluster, namespace, json!({"services": ["DYNAMODB", "s3"]}));
    ground = ground.with_ranges(RANGES);
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    let made = cluster.json(&["-n", namespace, "get", "networkpolicies"]);
    let spec = &made["items"][0]["spec"];
    // 3.218.180.0/22 and 3.218.184.0/22 do not make a larger one: they are not its halves.
    let v4 = ["3.218.180.0/22", "3.218.184.0/22", "52.94.0.0/22", "52.216.0.0/15", "54.231.0.0/16"];
    assert_eq!(spec["egress"][0]["to"][0], json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": v4}}));
    let v6 = ["2600:1f70:8000:c0::/60", "2600:1fa0:8000::/39"];
    assert_eq!(spec["egress"][0]["to"][1], json!({"ipBlock": {"cidr": "::/0", "except": v6}}));
    assert_eq!(spec["egress"][0]["to"][2], json!({"namespaceSelector": {}}));
    assert_eq!((&spec["policyTypes"], &spec["podSelector"]), (&json!(["Egress"]), &json!({"matchLabels": {"app": "app"}})));
    let name = made["items"][0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(name, format!("firedrill-{}-example", records[0].run.to_lowercase()));
    let ended = ground.undo(&records, Phase::Verified).await;
    assert!(ended.iter().all(|(phase, _)| *phase == Phase::Reverted), "{ended:?}");
    assert_eq!(policies(cluster, namespace), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_refuses_what_would_open_something_touch_nothing_or_cut_the_undo_off() {
    let (bed, namespace) = (Testbed::shared(), "egress-plan");
    let cluster = bed.east();
    cluster.namespace(namespace, 2, 1);
    let ground = Ground::new(bed).with_ranges(RANGES);
    let refused = async |step: Value| {
        let plan = ground.plan(&run_id(), &step).await;
        plan.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let good = json!({"cidrs": ["203.0.113.0/24"]});
    assert_eq!(refused(step(cluster, namespace, good.clone())).await, "");

    let rows = [
        (json!({"pods": {"labels": {"app": "none"}}, "cidrs": ["203.0.113.0/24"]}), "no pod of namespace 'egress-plan' has the labels app=none"),
        (json!({"services": ["DYNAMODB", "STS"]}), "does not list service 'STS' in us-east-1; it lists AMAZON, DYNAMODB, EC2, S3 there"),
        (json!({"services": ["S3"], "region": "eu-west-1"}), "does not list region 'eu-west-1'"),
        // The API server of the testbed is at 127.0.0.1.
        (json!({"cidrs": ["127.0.0.0/8"]}), "the API server of cluster 'east' (127.0.0.1) lies in 127.0.0.0/8"),
    ];
    for (fault, why) in rows {
        let said = refused(step(cluster, namespace, fault)).await;
        assert!(said.contains(why), "{why}: {said}");
    }

    // A policy that closes everything: ours beside it would open nearly all.
    cluster.kubectl_create(&policy("default-deny", namespace, json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})));
    let said = refused(step(cluster, namespace, good.clone())).await;
    assert!(said.contains("default-deny") && said.contains("would open what they close"), "{said}");
    cluster.kubectl(&["-n", namespace, "delete", "networkpolicy", "default-deny"]);
    cluster.kubectl_create(&policy("others", namespace, json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]})));
    assert_eq!(refused(step(cluster, namespace, good.clone())).await, "", "it selects other pods");

    let protecting = Ground::new(bed).protecting(namespace);
    let plan = protecting.plan(&run_id(), &step(cluster, namespace, good)).await;
    assert!(plan.refusals.iter().any(|refusal| refusal.reason.contains("protected")), "{:?}", plan.refusals);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_says_how_many_pods_lose_what_and_how_old_the_ranges_are() {
    let (bed, namespace) = (Testbed::shared(), "egress-radius");
    let cluster = bed.east();
    cluster.namespace(namespace, 3, 1);
    cluster.kubectl(&["-n", namespace, "create", "deployment", "other", "--image=registry.example.com/other:1"]);
    cluster.kubectl(&["-n", namespace, "wait", "--for=condition=Available", "deployment/other", "--timeout=60s"]);
    let ground = Ground::new(bed).with_ranges(RANGES);
    let plan = ground.plan(&run_id(), &step(cluster, namespace, json!({"services": ["S3"]}))).await;
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    let radius = plan.steps[0].radius.join("\n");
    for said in ["3 of 4 pods of namespace 'egress-radius' of cluster 'east' (75 %)", "52.216.0.0/15", "2026-10-20-14-03-08", "1792504988"] {
        assert!(radius.contains(said), "{said}: {radius}");
    }
    let warnings = plan.warnings.join("\n");
    assert!(warnings.contains("VPC endpoints") && warnings.contains("inconclusive"), "{warnings}");
    assert!(!warnings.contains("Cilium"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_has_the_name_already_is_left_alone() {
    let (bed, namespace) = (Testbed::shared(), "egress-taken");
    let cluster = bed.east();
    cluster.namespace(namespace, 1, 1);
    let ground = Ground::new(bed);
    let step = step(cluster, namespace, json!({"cidrs": ["203.0.113.0/24"]}));
    let run = run_id();
    let records = ground.records(&run, &step).await;
    let name = format!("firedrill-{}-example", run.to_lowercase());
    cluster.kubectl_create(&policy(&name, namespace, json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]})));
    let before = cluster.dump_namespace(namespace);
    assert!(ground.inject(&step, &records).await.is_err());
    let ended = ground.undo(&records, Phase::Intent).await;
    assert_eq!(ended[0].0, Phase::Drifted, "{ended:?}");
    assert_eq!(before.differences(&cluster.dump_namespace(namespace)), Vec::<String>::new());
    let refusals = ground.plan(&run, &step).await.refusals;
    assert!(refusals.iter().any(|refusal| refusal.reason.contains("already")), "{refusals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_people_do_and_undo_it() {
    let (bed, namespace) = (Testbed::shared(), "egress-by-hand");
    let cluster = bed.east();
    cluster.namespace(namespace, 1, 1);
    let ground = Ground::new(bed);
    let before = cluster.dump_namespace(namespace);
    let step = step(cluster, namespace, json!({"cidrs": ["203.0.113.0/24"]}));
    let records = ground.records(&run_id(), &step).await;
    let by_hand = ground.kind(&step).by_hand(&records[0]);
    by_hand.inject.iter().for_each(|command| shell(bed, command));
    let made = cluster.json(&["-n", namespace, "get", "networkpolicies"]);
    assert_eq!(made["items"][0]["spec"], records[0].ours["spec"]);
    by_hand.undo.iter().for_each(|command| shell(bed, command));
    assert_eq!(before.differences(&cluster.dump_namespace(namespace)), Vec::<String>::new());
}

/// Runs a command of a runbook, with the testbed's kubectl.
pub fn shell(bed: &Testbed, command: &str) {
    let kubectl = bed.kubectl_program();
    let path = format!("{}:{}", kubectl.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", command]).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn firedrill(state: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firedrill")).args(arguments).env("XDG_STATE_HOME", state).env("HOME", state).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_no_more_than_it_needs_makes_and_deletes_one_policy_and_ends_inconclusive() {
    let (bed, namespace) = (Testbed::shared(), "egress-run");
    let cluster = bed.east();
    cluster.namespace(namespace, 2, 1);
    let roles = json!([
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "egress-run-cluster"}, "rules": [
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
        ]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "egress-run", "namespace": namespace}, "rules": [
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["get", "list", "create", "delete"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        ]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "egress-run", "namespace": "kube-system"}, "rules": [
            {"apiGroups": ["apps"], "resources": ["daemonsets"], "resourceNames": ["cilium"], "verbs": ["get"]},
        ]},
    ]);
    let roles = roles.as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    let user = cluster.user("egress-run", &roles);
    let folder = tempfile::tempdir().unwrap();
    let environment = folder.path().join("env.yaml");
    bed.environment_as(&environment, &[("east", &user.kubeconfig)]);
    // Beside the environment file, as people keep it.
    let mut spec: Value = serde_json::from_str(&std::fs::read_to_string(&environment).unwrap()).unwrap();
    spec["spec"]["network"]["awsAddressRanges"] = json!("ip-ranges.json");
    std::fs::write(&environment, spec.to_string()).unwrap();
    std::fs::copy(RANGES, folder.path().join("ip-ranges.json")).unwrap();
    let port: u16 = cluster.server.rsplit(':').next().unwrap().parse().unwrap();
    let drill = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "cut"},
        "spec": {
            "summary": "The shop loses S3", "owner": "shop-oncall", "hypothesis": "It goes on without pictures.", "failedRegion": "us-east-1",
            "survivingRegions": ["us-west-2"], "baseline": "1s", "hold": "5s", "undoBy": "10m",
            "objectives": [{"id": "shop", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "200ms", "timeout": "200ms", "recoverWithin": "2s", "stableFor": "1s"}],
            "steps": [{"id": "cut", "fault": step(cluster, namespace, json!({"services": ["S3"]}))["fault"]}],
        },
    });
    let file = folder.path().join("drill.yaml");
    std::fs::write(&file, drill.to_string()).unwrap();
    let before = cluster.dump_namespace(namespace);
    let output = firedrill(folder.path(), &["run", file.to_str().unwrap(), "--env", environment.to_str().unwrap()]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("whether the cluster's network enforces it cannot be seen through the API"), "{said}");
    assert_eq!(before.differences(&cluster.dump_namespace(namespace)), Vec::<String>::new());
    let calls: Vec<_> = cluster.audit().into_iter().filter(|entry| entry.user == user.name && !entry.resource.ends_with("reviews")).collect();
    let calls: Vec<_> = calls.iter().map(|entry| (entry.verb.as_str(), entry.resource.as_str(), entry.status / 100)).collect();
    assert_eq!(calls, [("create", "networkpolicies", 2), ("delete", "networkpolicies", 2)]);
}
