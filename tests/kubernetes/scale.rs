//! workloadScale under the contract, as a fault and as an action, and what is its alone.

use firedrill::event::Phase;
use firedrill::fault::{KindError, Observed, Record};
use serde_json::{Value, json};

use super::contract::{On, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Cluster, Testbed, eventually};

/// Fewer replicas than the three that [`Cluster::namespace`] makes.
pub struct Down;

fn replicas(cluster: &Cluster, namespace: &str) -> i64 {
    cluster.json(&["-n", namespace, "get", "deployment", "app"])["spec"]["replicas"].as_i64().unwrap()
}

fn scale(cluster: &Cluster, namespace: &str, replicas: u32) {
    cluster.kubectl(&["-n", namespace, "scale", "deployment", "app", &format!("--replicas={replicas}")]);
}

/// Names of our companions in a namespace, as kubectl finds them.
fn companions(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let found = cluster.kubectl(&["-n", namespace, "get", "configmaps", "-l", "firedrill.dev/run", "-o", "name"]);
    found.lines().map(str::to_owned).collect()
}

/// The same object as another one: what a backup restores.
fn copied(mut object: Value) -> Value {
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    object
}

impl Subject for Down {
    fn kind(&self) -> &'static str {
        "workloadScale"
    }

    fn step(&self, on: &On<'_>) -> Value {
        json!({"fault": {"workloadScale": {"cluster": on.cluster.name, "namespace": on.namespace, "deployment": "app", "replicas": 1}}})
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        let pods = on.cluster.kubectl(&["-n", &on.namespace, "get", "pods", "-o", "name"]);
        if pods.lines().count() == 1 { Ok(()) } else { Err(pods) }
    }

    fn already(&self, on: &On<'_>) -> bool {
        scale(on.cluster, &on.namespace, 1);
        on.cluster.available(&on.namespace, "app");
        true
    }

    fn theirs(&self, on: &On<'_>) -> bool {
        scale(on.cluster, &on.namespace, 2);
        on.cluster.available(&on.namespace, "app");
        true
    }

    fn replace(&self, on: &On<'_>) -> bool {
        let deployment = on.cluster.json(&["-n", &on.namespace, "get", "deployment", "app"]);
        on.cluster.kubectl(&["-n", &on.namespace, "delete", "deployment", "app", "--wait=true"]);
        on.cluster.kubectl_create(&copied(deployment).to_string());
        true
    }

    /// A rollback brings back whatever annotations the workload had, and a backup of the companion is restored under another name.
    fn ghost(&self, on: &On<'_>, record: &Record) -> bool {
        let name = record.companions[0].rsplit('/').next().unwrap();
        let mut companion = copied(on.cluster.json(&["-n", &on.namespace, "get", "configmap", name]));
        on.cluster.kubectl(&["-n", &on.namespace, "set", "env", "deployment/app", "RELEASE=2"]);
        on.cluster.kubectl(&["-n", &on.namespace, "rollout", "undo", "deployment/app"]);
        companion["metadata"]["name"] = "restored".into();
        on.cluster.kubectl_create(&companion.to_string());
        true
    }
}

fn fault(cluster: &Cluster, namespace: &str, replicas: u32) -> Value {
    json!({"fault": {"workloadScale": {"cluster": cluster.name, "namespace": namespace, "deployment": "app", "replicas": replicas}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_scales_up_waits_for_the_pods_and_is_undone() {
    let bed = Testbed::shared();
    let (ground, west) = (Ground::new(bed), bed.west());
    west.namespace("scale-up", 2, 1);
    let before = west.dump_namespace("scale-up");
    let step = json!({"action": {"workloadScale": {"cluster": "west", "namespace": "scale-up", "deployment": "app", "replicas": 5}}});
    let records = ground.records(&run_id(), &step).await;
    assert!(records[0].action);
    ground.inject(&step, &records).await.unwrap();
    ground.bites(&step, &records[0]).await;
    let status = west.json(&["-n", "scale-up", "get", "deployment", "app"])["status"]["readyReplicas"].clone();
    assert_eq!(status, 5, "said to bite before its pods were ready");
    let annotations = west.json(&["-n", "scale-up", "get", "deployment", "app"])["metadata"]["annotations"].to_string();
    assert!(!annotations.contains("firedrill"), "{annotations}");
    assert_eq!(ground.undo(&records, Phase::Verified).await[0].0, Phase::Reverted);
    assert_eq!(replicas(west, "scale-up"), 2);
    west.returns_to(&before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_is_scaled_too() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("scale-set", 1, 1);
    let selector = json!({"app": "store"});
    let template = json!({"metadata": {"labels": selector}, "spec": {"containers": [{"name": "store", "image": "registry.example.com/store:1"}]}});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "store", "namespace": "scale-set"},
        "spec": {"replicas": 2, "serviceName": "store", "selector": {"matchLabels": selector}, "template": template}});
    east.apply(&set.to_string());
    let step = json!({"fault": {"workloadScale": {"cluster": "east", "namespace": "scale-set", "statefulSet": "store", "replicas": 0}}});
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    ground.bites(&step, &records[0]).await;
    assert_eq!(east.kubectl(&["-n", "scale-set", "get", "pods", "-l", "app=store", "-o", "name"]), "");
    assert_eq!(ground.undo(&records, Phase::Verified).await[0].0, Phase::Reverted);
    assert_eq!(east.json(&["-n", "scale-set", "get", "statefulset", "store"])["spec"]["replicas"], 2);
    assert_eq!(companions(east, "scale-set"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_the_companion_alone_is_enough() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("scale-killed", 3, 1);
    let before = east.dump_namespace("scale-killed");
    let step = fault(east, "scale-killed", 1);
    let set = |count: u32| scale(east, "scale-killed", count);
    // What the object is like when the process died: the companion made and nothing patched; the number put back and the companion still there.
    for number_is_put_back in [false, true] {
        let records = ground.records(&run_id(), &step).await;
        ground.inject(&step, &records).await.unwrap();
        set(3);
        assert_eq!(companions(east, "scale-killed").len(), 1, "{number_is_put_back}");
        assert_eq!(ground.kind(&step).observe(&records[0]).await, Observed::Prior);
        let plan = ground.plan(&run_id(), &step).await;
        let refusal = plan.refusals.first().map(ToString::to_string).unwrap_or_default();
        assert!(refusal.contains(&format!("marked by run {}", records[0].run)), "a second run would record what is not the prior state: {refusal}");
        let found = ground.discovered(&records[0].run).await;
        assert_eq!(found.len(), 1);
        let phase = if number_is_put_back { Phase::Reverting } else { Phase::Intent };
        assert_eq!(ground.undo(&found, phase).await[0].0, Phase::Reverted);
        assert_eq!(companions(east, "scale-killed"), [""; 0]);
        east.returns_to(&before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inject_that_lands_while_it_is_undone_is_undone_too() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("scale-late", 3, 1);
    let step = fault(east, "scale-late", 1);
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    // The companion was made; the patch is still on its way when the undo looks.
    scale(east, "scale-late", 3);
    let late = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        tokio::task::block_in_place(|| scale(east, "scale-late", 1));
    };
    let (ended, ()) = tokio::join!(ground.undo(&records, Phase::Intent), late);
    assert_eq!(ended[0].0, Phase::Reverted);
    assert_eq!((replicas(east, "scale-late"), companions(east, "scale-late").len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_without_our_companion_is_theirs() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("scale-adopted", 3, 1);
    let step = fault(east, "scale-adopted", 1);
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    east.kubectl(&["-n", "scale-adopted", "delete", "configmap", "-l", "firedrill.dev/run"]);
    assert!(matches!(ground.kind(&step).revert(&records[0]).await, Err(KindError::Conflict(_))));
    assert_eq!(ground.undo(&records, Phase::Verified).await[0].0, Phase::Drifted);
    assert_eq!(replicas(east, "scale-adopted"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_else_sets_the_replicas_is_named_before_anything_is_touched() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("scale-owned", 2, 1);
    let step = fault(east, "scale-owned", 0);
    east.kubectl(&["-n", "scale-owned", "label", "deployment", "app", "kustomize.toolkit.fluxcd.io/name=apps"]);
    let plan = ground.plan(&run_id(), &step).await;
    assert!(plan.refusals.is_empty() && plan.warnings.iter().any(|text| text.contains("Flux Kustomization 'apps'")), "{plan:?}");
    assert_eq!(plan.steps[0].radius, ["2 of 2 replicas (100 %) of Deployment scale-owned/app of cluster 'east' go; 0 stay"]);
    east.kubectl(&["-n", "scale-owned", "autoscale", "deployment", "app", "--min=2", "--max=4"]);
    let refused = |text: &'static str, plan: &firedrill::plan::Plan| {
        assert!(plan.refusals.iter().any(|refusal| refusal.to_string().contains(text)), "no '{text}' in {:?}", plan.refusals);
    };
    refused("HorizontalPodAutoscaler 'app' sets the replicas", &ground.plan(&run_id(), &step).await);
    let mut protecting = ground.environment.clone();
    protecting.protect = Some(serde_json::from_value(json!({"namespaces": ["scale-owned"]})).unwrap());
    let guarded = Ground::of(protecting);
    refused("namespace 'scale-owned' is protected", &guarded.plan(&run_id(), &step).await);
    let missing = json!({"fault": {"workloadScale": {"cluster": "east", "namespace": "scale-owned", "deployment": "other", "replicas": 1}}});
    refused("has no Deployment 'other' in namespace 'scale-owned'", &ground.plan(&run_id(), &missing).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_change_to_inject_and_one_to_revert_and_only_what_the_plan_asked_for() {
    let bed = Testbed::shared();
    let east = bed.east();
    east.namespace("scale-audit", 3, 1);
    let step = fault(east, "scale-audit", 1);
    let needs = Ground::new(bed).kind(&step).needs();
    let user = east.user("scaler", &super::ground::roles(&needs.cluster.all(), "scaler"));
    let ground = Ground::as_user(bed, "east", &user);
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    ground.bites(&step, &records[0]).await;
    assert_eq!(ground.undo(&records, Phase::Verified).await[0].0, Phase::Reverted);
    let changes: Vec<String> = (east.audit().into_iter())
        .filter(|entry| entry.user == user.name && entry.changed())
        .map(|entry| format!("{} {}", entry.verb, entry.resource))
        .collect();
    assert_eq!(changes, ["create configmaps", "patch deployments", "patch deployments", "delete configmaps"]);
    // Each single permission that is missing is named by the plan.
    for (number, gone) in needs.cluster.all().into_iter().enumerate() {
        let left: Vec<_> = needs.cluster.all().into_iter().filter(|access| *access != gone).collect();
        let user = east.user(&format!("scaler-{number}"), &super::ground::roles(&left, &format!("scaler-{number}")));
        let plan = Ground::as_user(bed, "east", &user).plan(&run_id(), &step).await;
        let refusals: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
        assert!(refusals.iter().any(|text| text.contains(&gone.to_string())), "without '{gone}': {refusals:?}");
    }
    eventually(|| if replicas(east, "scale-audit") == 3 { Ok(()) } else { Err("not put back".to_owned()) });
}
