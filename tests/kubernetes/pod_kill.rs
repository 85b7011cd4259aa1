//! podKill under the contract, and what is its alone.

use std::collections::{BTreeMap, BTreeSet};

use firedrill::event::Phase;
use firedrill::fault::{Bite, Observed, Progress};
use serde_json::{Value, json};

use super::contract::{On, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Cluster, Options, Testbed, eventually};

/// Two of the three pods that [`Cluster::namespace`] makes.
pub struct Kill;

fn pods(cluster: &Cluster, namespace: &str) -> BTreeSet<String> {
    let found = cluster.json(&["-n", namespace, "get", "pods"]);
    found["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
}

/// The first pods of each namespace, as it was made.
static FIRST: std::sync::Mutex<BTreeMap<String, BTreeSet<String>>> = std::sync::Mutex::new(BTreeMap::new());

fn step(namespace: &str, share: &Value) -> Value {
    let mut kill = json!({"cluster": "east", "namespace": namespace, "pods": {"labels": {"app": "app"}}});
    kill.as_object_mut().unwrap().extend(share.as_object().unwrap().clone());
    json!({"fault": {"podKill": kill}})
}

impl Subject for Kill {
    fn kind(&self) -> &'static str {
        "podKill"
    }

    fn make(&self, on: &On<'_>) {
        on.cluster.namespace(&on.namespace, 3, 1);
        FIRST.lock().unwrap().insert(on.namespace.clone(), pods(on.cluster, &on.namespace));
    }

    fn step(&self, on: &On<'_>) -> Value {
        step(&on.namespace, &json!({"percent": "50%"}))
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        let now = pods(on.cluster, &on.namespace);
        let stayed = FIRST.lock().unwrap()[&on.namespace].intersection(&now).count();
        // The drains of other cases may have moved the third one.
        if stayed <= 1 { Ok(()) } else { Err(format!("{stayed} of the first pods are there")) }
    }

    /// Its owner goes, and another of the same name comes.
    fn replace(&self, on: &On<'_>) -> bool {
        let set = on.cluster.kubectl(&["-n", &on.namespace, "get", "replicasets", "-o", "name"]);
        on.cluster.kubectl(&["-n", &on.namespace, "delete", set.trim(), "--wait=true"]);
        on.cluster.available(&on.namespace, "app");
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_run_chooses_the_same_pods_and_no_budget_is_broken() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("kill-choice", 6, 1);
    let before = east.dump_namespace("kill-choice");
    let half = step("kill-choice", &json!({"percent": "50%"}));
    let run = run_id();
    let (records, again) = (ground.records(&run, &half).await, ground.records(&run, &half).await);
    assert_eq!(records.len(), 3);
    assert_eq!(records, again.into_iter().map(|record| firedrill::fault::Record { undo_by: records[0].undo_by, ..record }).collect::<Vec<_>>());
    let plan = ground.plan(&run, &half).await;
    assert!(plan.steps[0].radius[0].starts_with("3 of 6 matching pods (50 %) of namespace 'kill-choice'"), "{:?}", plan.steps[0].radius);
    ground.inject(&half, &records).await.unwrap();
    for record in &records {
        assert_eq!(ground.kind(&half).bite(record).await, Bite::Verified);
    }
    assert!(ground.undo(&records, Phase::Verified).await.iter().all(|(phase, _)| *phase == Phase::Reverted));
    east.returns_to(&before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_waited_for_and_the_undo_waits_for_the_owner() {
    let bed = Testbed::start(Options::ONE);
    let (ground, east) = (Ground::new(&bed), bed.east());
    east.namespace("kill-budget", 3, 1);
    let two = step("kill-budget", &json!({"count": 2}));
    let (kind, records) = (ground.kind(&two), ground.records(&run_id(), &two).await);
    // What replaces the first pod finds no node: the budget stays used up.
    let nodes = east.kubectl(&["get", "nodes", "-o", "name"]);
    nodes.lines().for_each(|node| drop(east.kubectl(&["cordon", node])));
    kind.inject(&records[0]).await.unwrap();
    kind.inject(&records[1]).await.unwrap();
    assert_eq!(kind.bite(&records[0]).await, Bite::Verified);
    let Progress::Waiting { why } = kind.proceed(&records[1]).await.unwrap() else { panic!("evicted against the budget") };
    assert!(why.contains("disruption budget"), "{why}");
    assert!(matches!(kind.bite(&records[1]).await, Bite::Unproven { .. }));
    assert_eq!(kind.observe(&records[1]).await, Observed::Prior);
    let Observed::InTransition { detail } = kind.observe(&records[0]).await else { panic!("its owner is one short") };
    assert!(detail.starts_with("ReplicaSet app-") && detail.ends_with("has 2 of 3 pods ready"), "{detail}");
    nodes.lines().for_each(|node| drop(east.kubectl(&["uncordon", node])));
    let undo = ground.undo(&records, Phase::Injected);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(90), undo).await.expect("the undo ends when the owner is whole again");
    assert!(ended.iter().all(|(phase, _)| *phase == Phase::Reverted), "{ended:?}");
    // Now that the owner is whole again the budget gives way.
    east.available("kill-budget", "app");
    assert_eq!(kind.proceed(&records[1]).await.unwrap(), Progress::Done);
    assert_eq!(kind.bite(&records[1]).await, Bite::Verified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_would_start_again_is_refused() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("kill-refused", 2, 1);
    let refused = async |step: &Value, text: &str| {
        let plan = ground.plan(&run_id(), step).await;
        assert!(plan.refusals.iter().any(|refusal| refusal.to_string().contains(text)), "no '{text}' in {:?}", plan.refusals);
    };
    refused(&step("kill-refused", &json!({"count": 5})), "5 pods are asked for, 2 match").await;
    east.kubectl(&["-n", "kill-refused", "patch", "pdb", "app", "--type=merge", "-p", r#"{"spec": {"maxUnavailable": 0}}"#]);
    refused(&step("kill-refused", &json!({"count": 1})), "disruption budget kill-refused/app never allows an eviction").await;
    let lonely = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lonely", "namespace": "kill-refused", "labels": {"app": "app"}},
        "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}});
    east.apply(&lonely.to_string());
    refused(&step("kill-refused", &json!({"count": 1})), "1 of the pods that match have no owner").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_eviction_a_pod_and_only_what_the_plan_asked_for() {
    let bed = Testbed::shared();
    let east = bed.east();
    east.namespace("kill-audit", 3, 3);
    let two = step("kill-audit", &json!({"count": 2}));
    let needs = Ground::new(bed).kind(&two).needs();
    let user = east.user("killer", &super::ground::roles(&needs.cluster.all(), "killer"));
    let ground = Ground::as_user(bed, "east", &user);
    let records = ground.records(&run_id(), &two).await;
    ground.inject(&two, &records).await.unwrap();
    assert!(ground.undo(&records, Phase::Verified).await.iter().all(|(phase, _)| *phase == Phase::Reverted));
    let changes = || -> Vec<String> {
        let changed = east.audit().into_iter().filter(|entry| entry.user == user.name && entry.changed());
        changed.map(|entry| format!("{} {}/{}", entry.verb, entry.resource, entry.subresource)).collect()
    };
    assert_eq!(changes(), ["create pods/eviction", "create pods/eviction"]);
    for (number, gone) in needs.cluster.all().into_iter().enumerate() {
        let left: Vec<_> = needs.cluster.all().into_iter().filter(|access| *access != gone).collect();
        let user = east.user(&format!("killer-{number}"), &super::ground::roles(&left, &format!("killer-{number}")));
        let plan = Ground::as_user(bed, "east", &user).plan(&run_id(), &two).await;
        let refusals: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
        assert!(refusals.iter().any(|text| text.contains(&gone.to_string())), "without '{gone}': {refusals:?}");
    }
    eventually(|| if pods(east, "kill-audit").len() == 3 { Ok(()) } else { Err("not three pods".to_owned()) });
}
