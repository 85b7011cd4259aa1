//! dnsBlackhole under the contract, and what a client of the real CoreDNS sees of it.

use std::process::Command;
use std::sync::LazyLock;

use firedrill::event::Phase;
use firedrill::fault::Bite;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::contract::{On, Subject};
use super::egress::shell;
use super::ground::{Ground, run_id};
use super::testbed::{Cluster, Dig, Options, Testbed, eventually};

pub struct Dns;

/// As the testbed installs it.
const INSTALLED: &str = include_str!("../fixtures/Corefile");
const EAST: &str = "dynamodb.us-east-1.amazonaws.com";
const WEST: &str = "dynamodb.us-west-2.amazonaws.com";

impl Subject for Dns {
    fn kind(&self) -> &'static str {
        "dnsBlackhole"
    }

    fn make(&self, on: &On<'_>) {
        reset(on.cluster);
    }

    fn step(&self, on: &On<'_>) -> Value {
        step(on.cluster, json!({}))
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        let told = on.cluster.dig(EAST, "A");
        if told == (Dig { code: "NOERROR".to_owned(), answers: Vec::new() }) { Ok(()) } else { Err(format!("{told:?}")) }
    }

    fn meanwhile(&self, on: &On<'_>) -> bool {
        edit(on.cluster, |text| text.replace("cache 30", "cache 31"));
        true
    }

    fn theirs(&self, on: &On<'_>) -> bool {
        edit(on.cluster, |text| text.replace("rcode NOERROR", "rcode REFUSED"));
        true
    }

    fn replace(&self, on: &On<'_>) -> bool {
        // An add-on manager makes it again as it was; a restored backup brings our annotations along.
        let mut map = config_map(on.cluster);
        on.cluster.kubectl(&["-n", "kube-system", "delete", "configmap", "coredns"]);
        for field in ["uid", "creationTimestamp"] {
            map["metadata"].as_object_mut().unwrap().remove(field);
        }
        map["data"]["Corefile"] = json!(INSTALLED);
        on.cluster.kubectl_create(&map.to_string());
        true
    }

    fn state(&self, on: &On<'_>) -> Value {
        config_map(on.cluster)
    }
}

fn step(cluster: &Cluster, more: Value) -> Value {
    let mut fault = json!({"cluster": cluster.name, "services": ["dynamodb"], "answer": "NODATA"});
    fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"fault": {"dnsBlackhole": fault}})
}

/// The ConfigMap, without what moves by itself.
fn config_map(cluster: &Cluster) -> Value {
    let mut map = cluster.json(&["-n", "kube-system", "get", "configmap", "coredns"]);
    for field in ["resourceVersion", "managedFields"] {
        map["metadata"].as_object_mut().unwrap().remove(field);
    }
    map
}

fn corefile(cluster: &Cluster) -> String {
    config_map(cluster)["data"]["Corefile"].as_str().unwrap().to_owned()
}

fn edit(cluster: &Cluster, change: impl Fn(&str) -> String) {
    let text = corefile(cluster);
    let changed = change(&text);
    assert_ne!(text, changed);
    let patch = json!([{"op": "replace", "path": "/data/Corefile", "value": changed}]);
    cluster.kubectl(&["-n", "kube-system", "patch", "configmap", "coredns", "--type=json", "-p", &patch.to_string()]);
}

/// As it was installed, and answering so.
fn reset(cluster: &Cluster) {
    if corefile(cluster) != INSTALLED {
        edit(cluster, |_| INSTALLED.to_owned());
    }
    cluster.kubectl(&[
        "-n",
        "kube-system",
        "annotate",
        "configmap",
        "coredns",
        "firedrill.dev/run-",
        "firedrill.dev/expires-",
        "firedrill.dev/record-",
    ]);
    eventually(|| undisturbed(cluster, EAST));
}

fn undisturbed(cluster: &Cluster, name: &str) -> Result<(), String> {
    let told = cluster.dig(name, "A");
    if told.code == "NOERROR" && told.answers == ["192.0.2.53"] { Ok(()) } else { Err(format!("{name}: {told:?}")) }
}

/// One cluster for the tests of this file: they change its DNS, one after the other.
static BED: LazyLock<Mutex<Testbed>> = LazyLock::new(|| Mutex::new(Testbed::start(Options::ONE)));

async fn proven(ground: &Ground, step: &Value, records: &[firedrill::fault::Record]) {
    let kind = ground.kind(step);
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        match kind.bite(&records[0]).await {
            Bite::Verified => return,
            Bite::Unproven { why } | Bite::Unprovable { why } => assert!(tokio::time::Instant::now() < end, "{why}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_clusters_dns_gets_the_chosen_answer_for_that_region_and_no_other() {
    let bed = BED.lock().await;
    let cluster = bed.east();
    reset(cluster);
    let ground = Ground::new(&bed);
    let rows = [
        (json!({"answer": "NODATA"}), "NOERROR", vec![EAST, "streams.dynamodb.us-east-1.amazonaws.com", "dynamodb.us-east-1.api.aws"]),
        (json!({"answer": "NXDOMAIN", "services": ["iam", "s3"]}), "NXDOMAIN", vec!["iam.amazonaws.com", "bucket.s3.us-east-1.amazonaws.com"]),
        (json!({"answer": "SERVFAIL", "services": ["*"]}), "SERVFAIL", vec![EAST, "sts.amazonaws.com", "db.abc.us-east-1.rds.amazonaws.com"]),
    ];
    for (fault, code, names) in rows {
        let step = step(cluster, fault);
        let before = corefile(cluster);
        let records = ground.records(&run_id(), &step).await;
        ground.inject(&step, &records).await.unwrap();
        proven(&ground, &step, &records).await;
        for name in names {
            for kind in ["A", "AAAA"] {
                assert_eq!(cluster.dig(name, kind), Dig { code: code.to_owned(), answers: Vec::new() }, "{name} {kind}");
            }
        }
        undisturbed(cluster, WEST).unwrap();
        undisturbed(cluster, "example.amazonaws.com").unwrap();
        let ended = ground.undo(&records, Phase::Verified).await;
        assert_eq!(ended[0].0, Phase::Reverted, "{ended:?}");
        assert_eq!(corefile(cluster), before, "byte for byte");
        eventually(|| undisturbed(cluster, EAST));
        // While CoreDNS changes over, the old one may still read a question.
        let kind = ground.kind(&step);
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while kind.bite(&records[0]).await == Bite::Verified {
            assert!(tokio::time::Instant::now() < end, "it is undone");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_elsewhere_in_the_corefile_survives_and_only_our_block_goes() {
    let bed = BED.lock().await;
    let cluster = bed.east();
    reset(cluster);
    let ground = Ground::new(&bed);
    let step = step(cluster, json!({}));
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    edit(cluster, |text| text.replace("cache 30", "cache 60") + "example.org:53 {\n    errors\n}\n");
    let ended = ground.undo(&records, Phase::Verified).await;
    assert_eq!(ended[0].0, Phase::Reverted, "{ended:?}");
    assert_eq!(corefile(cluster), INSTALLED.replace("cache 30", "cache 60") + "example.org:53 {\n    errors\n}\n");
    assert!(!config_map(cluster).to_string().contains("firedrill"), "the mark is gone too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_whose_mark_is_gone_or_whose_object_was_made_again_is_still_found_by_sweep() {
    let bed = BED.lock().await;
    let cluster = bed.east();
    for again in [false, true] {
        reset(cluster);
        let ground = Ground::new(&bed);
        let (run, step) = (run_id(), step(cluster, json!({})));
        let records = ground.records(&run, &step).await;
        ground.inject(&step, &records).await.unwrap();
        if again {
            let map = config_map(cluster);
            cluster.kubectl(&["-n", "kube-system", "delete", "configmap", "coredns"]);
            cluster.kubectl_create(
                &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"}, "data": map["data"]})
                    .to_string(),
            );
        } else {
            cluster.kubectl(&["-n", "kube-system", "annotate", "configmap", "coredns", "firedrill.dev/run-", "firedrill.dev/record-"]);
        }
        let found = ground.discovered(&run).await;
        assert_eq!(found.len(), 1, "{found:?}");
        let ended = ground.undo(&found, Phase::Injected).await;
        assert_eq!(ended[0].0, Phase::Reverted, "{ended:?}");
        assert_eq!(corefile(cluster), INSTALLED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_refuses_what_it_cannot_change_safely_and_says_whom_it_touches() {
    let bed = BED.lock().await;
    let cluster = bed.east();
    reset(cluster);
    let ground = Ground::new(&bed);
    let refused = async |ground: &Ground, step: &Value| {
        let plan = ground.plan(&run_id(), step).await;
        plan.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let good = step(cluster, json!({}));
    let plan = ground.plan(&run_id(), &good).await;
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    let pods = cluster.kubectl(&["get", "pods", "-A", "-o", "name"]).lines().count();
    let radius = plan.steps[0].radius.join("\n");
    assert!(radius.contains(&format!("{pods} of {pods} pods of cluster 'east' (100 %)")), "{radius}");
    assert!(radius.contains("NODATA") && radius.contains(EAST), "{radius}");
    assert!(refused(&Ground::new(&bed).protecting("kube-system"), &good).await.contains("protected"));

    let rows = [
        (INSTALLED.replace("    reload 2s\n", ""), "it has no `reload`"),
        (INSTALLED.replace("    loop\n", "    loop {\n"), "line 1: a block is not closed"),
        (format!("{INSTALLED}{EAST}:53 {{\n    errors\n}}\n"), "serves dynamodb.us-east-1.amazonaws.com already"),
        (format!("{INSTALLED}# firedrill 01OTHER dns begin\n# firedrill 01OTHER dns end\n"), "a block of firedrill is in it already"),
    ];
    for (changed, why) in rows {
        edit(cluster, |_| changed.clone());
        let said = refused(&ground, &good).await;
        assert!(said.contains(why), "{why}: {said}");
        edit(cluster, |_| INSTALLED.to_owned());
    }
    let said = refused(&ground, &step(cluster, json!({"services": ["dynamo"]}))).await;
    assert!(said.contains("did you mean 'dynamodb'?"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_dns_cannot_be_asked_the_fault_is_not_proven() {
    let bed = BED.lock().await;
    let cluster = bed.east();
    reset(cluster);
    let step = step(cluster, json!({}));
    for (dns, says) in [(Some("127.0.0.1:1".to_owned()), "127.0.0.1:1"), (None, "10.96.0.10:53")] {
        // Without the field the Service's address is asked; whoever answers there, it is not this CoreDNS.
        let ground = Ground::new(&bed).changed(|environment| environment.kubernetes[0].dns = dns);
        let records = ground.records(&run_id(), &step).await;
        let Bite::Unproven { why } = ground.kind(&step).bite(&records[0]).await else { panic!("it was not even injected") };
        assert!(why.contains(says), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_people_do_and_undo_it() {
    let bed = BED.lock().await;
    let cluster = bed.east();
    reset(cluster);
    let ground = Ground::new(&bed);
    let before = config_map(cluster);
    let step = step(cluster, json!({}));
    let records = ground.records(&run_id(), &step).await;
    let by_hand = ground.kind(&step).by_hand(&records[0]);
    by_hand.inject.iter().for_each(|command| shell(&bed, command));
    assert!(corefile(cluster).starts_with(INSTALLED) && corefile(cluster).contains(EAST));
    by_hand.undo.iter().for_each(|command| shell(&bed, command));
    assert_eq!(config_map(cluster), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_no_more_than_it_needs_patches_once_and_back_and_passes() {
    let bed = BED.lock().await;
    let cluster = bed.east();
    reset(cluster);
    let rbac = "rbac.authorization.k8s.io/v1";
    let roles = [
        json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "dns-run"}, "rules": [
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        ]}),
        json!({"apiVersion": rbac, "kind": "Role", "metadata": {"name": "dns-run", "namespace": "kube-system"}, "rules": [
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["coredns"], "verbs": ["get", "patch"]},
        ]}),
    ];
    let user = cluster.user("dns-run", &roles.map(|role| role.to_string()).join("\n---\n"));
    let folder = tempfile::tempdir().unwrap();
    let (environment, drill) = (folder.path().join("env.yaml"), folder.path().join("drill.yaml"));
    bed.environment_as(&environment, &[("east", &user.kubeconfig)]);
    let port: u16 = cluster.server.rsplit(':').next().unwrap().parse().unwrap();
    let document = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "dark"},
        "spec": {
            "summary": "DynamoDB has no addresses", "owner": "shop-oncall", "hypothesis": "It goes on from the cache.", "failedRegion": "us-east-1",
            "survivingRegions": ["us-west-2"], "baseline": "1s", "hold": "5s", "undoBy": "10m",
            "objectives": [{
                "id": "shop", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "200ms", "timeout": "200ms", "recoverWithin": "2s",
                "stableFor": "1s",
            }],
            "steps": [{"id": "dark", "limit": "1m", "fault": step(cluster, json!({}))["fault"]}],
        },
    });
    std::fs::write(&drill, document.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.args(["run", drill.to_str().unwrap(), "--env", environment.to_str().unwrap()]);
    let output = command.env("XDG_STATE_HOME", folder.path()).env("HOME", folder.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(corefile(cluster), INSTALLED);
    let calls: Vec<_> = cluster.audit().into_iter().filter(|entry| entry.user == user.name && !entry.resource.ends_with("reviews")).collect();
    let calls: Vec<_> = calls.iter().map(|entry| (entry.verb.as_str(), entry.resource.as_str(), entry.name.as_str(), entry.status)).collect();
    assert_eq!(calls, [("patch", "configmaps", "coredns", 200); 2]);
}
