//! The gateway kinds where gateways are steered through a cluster: under the contract of every kind, and what several gateways say of one rule.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use firedrill::clock::Timestamp;
use firedrill::cluster::api::Cluster as Api;
use firedrill::drill::spec::{ClusterConnection, EnvironmentSpec, GatewayConnection, GatewayRef};
use firedrill::event::Phase;
use firedrill::fault::gateway::rule;
use firedrill::fault::params::FaultSpec;
use firedrill::fault::{Bite, KindError};
use firedrill::gateway::Effect;
use firedrill::gateway::watch::Watch;
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::contract::{On, Subject};
use super::gateway_ground::{Ground as Gateway, mirror, rule as by_hand, soon};
use super::ground::{Ground, run_id};
use super::testbed::{Cluster, Options, Testbed, eventually};

/// A gateway kind with the parameters of its example, and a gateway of its own for each case.
pub struct Rule {
    kind: &'static str,
    fault: Value,
    gateways: Mutex<BTreeMap<String, Gateway>>,
}

/// Every gateway kind of this build.
pub fn kinds() -> Vec<Rule> {
    let built = FaultSpec::KINDS.iter().filter(|kind| kind.name.starts_with("gateway"));
    let kinds: Vec<Rule> = built
        .filter_map(|kind| {
            let step: Value = serde_saphyr::from_str((kind.about)()?.example).unwrap();
            Some(Rule { kind: kind.name, fault: step[kind.name].clone(), gateways: Mutex::default() })
        })
        .collect();
    assert!(kinds.len() >= 5, "{:?}", kinds.iter().map(|kind| kind.kind).collect::<Vec<_>>());
    kinds
}

/// Defines the resources of firedrill.
pub fn define(cluster: &Cluster) {
    let output = Command::new(env!("CARGO_BIN_EXE_firedrill")).arg("crds").output().unwrap();
    cluster.apply(&String::from_utf8(output.stdout).unwrap());
    // kubectl takes a definition without any condition yet for an error.
    eventually(|| {
        let output = cluster.try_kubectl(&["wait", "--for=condition=Established", "crd/gatewayrules.firedrill.dev", "--timeout=60s"]);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    });
}

/// A namespace, with what controllers put into each.
pub fn namespace(cluster: &Cluster, name: &str) {
    cluster.kubectl(&["create", "namespace", name]);
    eventually(|| {
        let there = cluster.try_kubectl(&["-n", name, "get", "configmap/kube-root-ca.crt", "serviceaccount/default"]);
        if there.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&there.stderr).into_owned()) }
    });
}

/// Gateways that watch these namespaces of east, and the faults that they make.
pub fn allow(environment: &mut EnvironmentSpec, namespaces: &[String]) {
    environment.allow.faults.extend(kinds().iter().map(|kind| kind.kind.to_owned()));
    environment.gateways.extend(namespaces.iter().map(|namespace| GatewayRef {
        name: format!("edge-{namespace}"),
        connection: GatewayConnection { socket: None, cluster: Some("east".to_owned()), namespace: Some(namespace.clone()) },
    }));
}

/// A gateway that watches a namespace; behind it stands an upstream for all of AWS.
pub async fn gateway(cluster: &Cluster, namespace: &str, name: &str) -> Gateway {
    let ground = Gateway::new(mirror().await);
    let kubeconfig_file = Some(cluster.kubeconfig.display().to_string());
    let connection = ClusterConnection { kubeconfig_file, ..ClusterConnection::default() };
    ground.gateway.watch(Watch {
        cluster: Api::any("own", &connection),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        prove: Arc::new(|rule, listen| rule::acts(rule, listen).boxed()),
    });
    ground
}

/// What curl gets through a gateway: exit code, HTTP status, seconds.
pub fn curl(proxy: SocketAddr, arguments: &[&str]) -> (i32, String, f64) {
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "--noproxy", "", "--max-time", "3"]);
    let output = command.arg("-x").arg(format!("http://{proxy}")).args(arguments).output().expect("curl is installed");
    let said = String::from_utf8(output.stdout).unwrap();
    let (status, seconds) = said.split_once(' ').unwrap();
    (output.status.code().unwrap_or(-1), status.to_owned(), seconds.parse().unwrap())
}

impl Subject for Rule {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn make(&self, on: &On<'_>) {
        namespace(on.cluster, &on.namespace);
        let gateway = tokio::task::block_in_place(|| Handle::current().block_on(gateway(on.cluster, &on.namespace, "edge-0")));
        self.gateways.lock().unwrap().insert(on.namespace.clone(), gateway);
    }

    fn step(&self, on: &On<'_>) -> Value {
        let mut fault = self.fault.clone();
        fault["gateway"] = json!(format!("edge-{}", on.namespace));
        json!({"fault": {self.kind: fault}})
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        let proxy = self.gateways.lock().unwrap()[&on.namespace].gateway.address();
        let list = ["-d", "Action=ListPolicies&Version=2010-05-08", "http://iam.amazonaws.com/"];
        let request: &[&str] = if self.kind == "gatewayError" { &list } else { &["http://dynamodb.us-east-1.amazonaws.com/"] };
        // Of several tries the fastest: the machine is slow at times, and a rule always.
        let tries = if self.kind == "gatewayLatency" { 3 } else { 1 };
        let all: Vec<_> = (0..tries).map(|_| curl(proxy, request)).collect();
        let slow = all.iter().all(|(_, _, seconds)| *seconds >= 0.25);
        let failed = all.iter().all(|(exit, status, _)| *exit != 0 || status != "200");
        if failed || (self.kind == "gatewayLatency" && slow) { Ok(()) } else { Err(format!("{all:?}")) }
    }

    fn theirs(&self, on: &On<'_>) -> bool {
        // What `kubectl replace --force` makes of a file that was edited.
        remade(on, |object| object["spec"]["services"] = json!(["sqs"]));
        true
    }

    fn replace(&self, on: &On<'_>) -> bool {
        remade(on, |object| {
            object["spec"]["run"] = json!("another");
            object["spec"]["id"] = json!("another-rule");
        });
        true
    }
}

/// Deletes the one rule, and makes it anew with something else in it.
fn remade(on: &On<'_>, change: impl Fn(&mut Value)) {
    let all = on.cluster.json(&["-n", &on.namespace, "get", "gatewayrules"]);
    let mut object = all["items"][0].clone();
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all}");
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    object.as_object_mut().unwrap().remove("status");
    change(&mut object);
    on.cluster.kubectl(&["-n", &on.namespace, "delete", "gatewayrule", object["metadata"]["name"].as_str().unwrap()]);
    on.cluster.kubectl_create(&object.to_string());
}

/// One cluster of these tests alone, and a namespace of it with its ground.
fn scene(name: &str) -> (&'static Cluster, Ground) {
    static BED: std::sync::LazyLock<Testbed> = std::sync::LazyLock::new(|| {
        let bed = Testbed::start(Options::ONE);
        define(bed.east());
        bed
    });
    namespace(BED.east(), name);
    (BED.east(), Ground::new(&BED).changed(|environment| allow(environment, &[name.to_owned()])))
}

fn step(namespace: &str, services: &[&str]) -> Value {
    json!({"fault": {"gatewayRefuse": {"gateway": format!("edge-{namespace}"), "services": services}}})
}

/// The status of the only rule, as soon as it is as wanted.
fn status(cluster: &Cluster, namespace: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(|| {
        let status = cluster.json(&["-n", namespace, "get", "gatewayrules"])["items"][0]["status"].clone();
        if wanted(&status) { Ok(status) } else { Err(format!("{status:#}")) }
    })
}

fn in_force(status: &Value) -> Vec<(String, bool)> {
    let all = status["gateways"].as_array().cloned().unwrap_or_default();
    all.iter().map(|said| (said["name"].as_str().unwrap().to_owned(), said["inForce"] == true)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gateway_says_what_became_of_a_rule_and_one_that_cannot_take_it_keeps_it_from_being_proven() {
    let (cluster, ground) = scene("several");
    let (first, second) = (gateway(cluster, "several", "edge-0").await, gateway(cluster, "several", "edge-1").await);
    let (run, step) = (run_id(), step("several", &["dynamodb"]));
    let records = ground.records(&run, &step).await;
    // Somebody has put another rule of that id into the second one.
    let taken = by_hand(&format!("{run}-example"), Effect::Blackhole);
    second.put(firedrill::gateway::Rule { services: vec!["sqs".to_owned()], ..taken.clone() }).await;
    ground.inject(&step, &records).await.unwrap();
    let said = status(cluster, "several", |status| in_force(status).len() == 2 && status["gateways"][0]["proven"] == true);
    assert_eq!(in_force(&said), [("edge-0".to_owned(), true), ("edge-1".to_owned(), false)]);
    assert_eq!(said["gateways"][1]["error"], format!("rule '{run}-example' exists with another content; remove it first"));
    assert!(said["gateways"][0]["hits"].as_u64().unwrap() >= 1, "{said:#}");
    let condition = &said["conditions"][0];
    assert_eq!(
        (condition["type"].as_str(), condition["status"].as_str(), condition["reason"].as_str()),
        (Some("InForce"), Some("False"), Some("Partly"))
    );
    let Bite::Unproven { why } = ground.kind(&step).bite(&records[0]).await else { panic!("a gateway has not taken it") };
    assert!(why.contains("gateway 'edge-1': rule") && why.contains("another content"), "{why}");
    let table = cluster.kubectl(&["-n", "several", "get", "gatewayrules"]);
    assert!(
        table.lines().next().unwrap().starts_with("NAME") && table.contains("IN FORCE") && table.lines().nth(1).unwrap().contains("False"),
        "{table}"
    );
    // It stops: nothing of it is in force any more, and what is left is as it should be.
    second.gateway.stop().await;
    let said = status(cluster, "several", |status| in_force(status).len() == 1);
    assert_eq!(said["conditions"][0]["status"], "True", "{said:#}");
    assert_eq!(ground.kind(&step).bite(&records[0]).await, Bite::Verified);
    let ended = ground.undo(&records, Phase::Verified).await;
    assert_eq!(ended[0].0, Phase::Reverted, "{ended:?}");
    eventually(|| {
        let left = tokio::task::block_in_place(|| Handle::current().block_on(first.client.list())).unwrap();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_in_the_hold_takes_the_rules_that_are_there_and_without_any_a_rule_is_not_proven() {
    let (cluster, ground) = scene("later");
    let step = step("later", &["dynamodb"]);
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    let Bite::Unproven { why } = ground.kind(&step).bite(&records[0]).await else { panic!("there is no gateway") };
    assert!(why.contains("no gateway has taken it; does one run with `firedrill gateway --watch-namespace later`?"), "{why}");
    let gateway = gateway(cluster, "later", "edge-0").await;
    ground.bites(&step, &records[0]).await;
    assert_ne!(curl(gateway.gateway.address(), &["http://dynamodb.us-east-1.amazonaws.com/"]).1, "200");
    assert_eq!(curl(gateway.gateway.address(), &["http://dynamodb.us-west-2.amazonaws.com/"]).1, "200");
    assert_eq!(ground.undo(&records, Phase::Verified).await[0].0, Phase::Reverted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_in_force_and_that_no_client_sees_act_is_not_proven() {
    let (cluster, ground) = scene("hidden");
    let gateway = gateway(cluster, "hidden", "edge-0").await;
    // Something stronger is in front of it: the hang cannot be seen.
    gateway.put(firedrill::gateway::Rule { services: vec!["*".to_owned()], ..by_hand("stronger", Effect::Refuse) }).await;
    let step = json!({"fault": {"gatewayBlackhole": {"gateway": "edge-hidden", "services": ["dynamodb"]}}});
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    let said = status(cluster, "hidden", |status| !status["gateways"][0]["error"].is_null());
    assert_eq!((&said["gateways"][0]["inForce"], &said["gateways"][0]["proven"]), (&json!(true), &json!(false)), "{said:#}");
    let Bite::Unproven { why } = ground.kind(&step).bite(&records[0]).await else { panic!("it was reset") };
    assert!(why.contains("gateway 'edge-0': it was not seen to act") && why.contains("it was reset"), "{why}");
    // It is tried again: without the other one it is seen.
    gateway.client.take_away("stronger").await.unwrap();
    ground.bites(&step, &records[0]).await;
    assert_eq!(ground.undo(&records, Phase::Verified).await[0].0, Phase::Reverted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_rule_for_this_build_is_told_in_its_status_and_a_deadline_ends_a_rule_whose_object_stays() {
    let (cluster, _) = scene("told");
    let gateway = gateway(cluster, "told", "edge-0").await;
    let object = |name: &str, services: Value, deadline: Timestamp| {
        json!({
            "apiVersion": "firedrill.dev/v1alpha1", "kind": "GatewayRule", "metadata": {"name": name, "namespace": "told"},
            "spec": {"id": name, "run": "by-hand", "step": "by-hand", "effect": {"refuse": {}}, "services": services, "region": "us-east-1", "deadline": deadline},
        })
        .to_string()
    };
    let said = |name: &str, wanted: &str| {
        eventually(|| {
            let status = cluster.json(&["-n", "told", "get", "gatewayrule", name])["status"].clone();
            let error = status["gateways"][0]["error"].as_str().unwrap_or_default().to_owned();
            if error.contains(wanted) { Ok(status) } else { Err(format!("{name}: {status:#}")) }
        })
    };
    cluster.kubectl_create(&object("mistyped", json!(["dynamobd"]), soon(600_000)));
    let status = said("mistyped", "did you mean 'dynamodb'?");
    assert_eq!((&status["gateways"][0]["inForce"], &status["conditions"][0]["status"]), (&json!(false), &json!("False")), "{status:#}");
    cluster.kubectl_create(&object("over", json!(["sts"]), soon(0)));
    said("over", "the deadline of rule 'over' has passed");
    cluster.kubectl_create(&object("endless", json!(["sts"]), soon(48 * 3_600_000)));
    said("endless", "more than 24 h away");
    cluster.kubectl_create(&object("short", json!(["dynamodb"]), soon(6_000)));
    let status = said("short", "its deadline has passed");
    assert_eq!((&status["gateways"][0]["inForce"], &status["gateways"][0]["proven"]), (&json!(false), &json!(true)), "it was in force: {status:#}");
    assert_eq!(curl(gateway.gateway.address(), &["http://dynamodb.us-east-1.amazonaws.com/"]).1, "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_left_alone_and_a_plan_says_what_is_missing() {
    let (cluster, ground) = scene("taken");
    let (run, step) = (run_id(), step("taken", &["dynamodb"]));
    let records = ground.records(&run, &step).await;
    let name = format!("firedrill-{}-example", run.to_lowercase());
    let theirs = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "GatewayRule", "metadata": {"name": name, "namespace": "taken"},
        "spec": {"id": "mine", "run": "by-hand", "step": "s", "effect": {"refuse": {}}, "services": ["sqs"], "region": "us-east-1", "deadline": soon(60_000)},
    });
    cluster.kubectl_create(&theirs.to_string());
    let before = cluster.dump_namespace("taken");
    assert!(matches!(ground.inject(&step, &records).await, Err(KindError::Conflict(_))));
    assert_eq!(ground.undo(&records, Phase::Intent).await[0].0, Phase::Gone, "nothing of this run is there");
    // Nor when it takes the place of ours between the look and the call.
    assert!(matches!(ground.kind(&step).revert(&records[0]).await, Err(KindError::Conflict(_))));
    assert_eq!(before.differences(&cluster.dump_namespace("taken")), Vec::<String>::new());
    let refusals = ground.plan(&run, &step).await.refusals;
    assert!(refusals.iter().any(|refusal| refusal.reason.contains("is there already")), "{refusals:?}");

    // Each permission that it needs, and nothing else: the plan names the one that is not there.
    let needs = ground.kind(&step).needs().cluster.all();
    assert_eq!(needs.len(), 5, "{needs:?}");
    for missing in &needs {
        let left: Vec<_> = needs.iter().filter(|access| *access != missing).cloned().collect();
        let name = format!("taken-without-{}-{}", missing.verb, missing.resource);
        let user = cluster.user(&name, &super::ground::roles(&left, &name));
        let file = Some(user.kubeconfig.display().to_string());
        let limited = Ground::of(ground.environment.clone()).changed(|environment| environment.kubernetes[0].connection.kubeconfig_file = file);
        let refusals = limited.plan(&run_id(), &step).await.refusals;
        assert!(refusals.iter().any(|refusal| refusal.reason.contains(&missing.to_string())), "{missing}: {refusals:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_know_the_resource_is_refused_by_the_plan_with_the_way_out() {
    let bed = Testbed::shared();
    let ground = Ground::new(bed).changed(|environment| allow(environment, &["default".to_owned()]));
    let refusals = ground.plan(&run_id(), &step("default", &["dynamodb"])).await.refusals;
    assert!(refusals.iter().any(|refusal| refusal.reason.contains("firedrill crds | kubectl apply -f -")), "{refusals:?}");
    // There is nothing to be found where there can be nothing.
    assert!(ground.discovered("any").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_by_hand_of_a_rule_do_and_undo_it() {
    let (cluster, ground) = scene("by-hand");
    let gateway = gateway(cluster, "by-hand", "edge-0").await;
    let before = cluster.dump_namespace("by-hand");
    let bed = Testbed::shared();
    for rule in kinds() {
        let mut fault = rule.fault.clone();
        fault["gateway"] = json!("edge-by-hand");
        let step = json!({"fault": {rule.kind: fault}});
        let records = ground.records(&run_id(), &step).await;
        let by_hand = ground.kind(&step).by_hand(&records[0]);
        by_hand.inject.iter().for_each(|command| super::egress::shell(bed, command));
        ground.bites(&step, &records[0]).await;
        by_hand.undo.iter().for_each(|command| super::egress::shell(bed, command));
        assert_eq!(before.differences(&cluster.dump_namespace("by-hand")), Vec::<String>::new(), "{}", rule.kind);
    }
    drop(gateway);
}
