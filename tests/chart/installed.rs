//! From `helm install` to a run that a schedule started: the operator has the chart's service account, and nothing more.

use serde_json::{Value, json};

use super::helm::{CHART, helm};
use super::process::{NAMESPACE, Pod, kubeconfig};
use super::testbed::{Cluster, Options, Testbed, eventually};

/// As the API server knows the operator.
const ACCOUNT: &str = "system:serviceaccount:firedrill:firedrill";

/// Installs the chart for drills of these kinds into a namespace under restricted pod security, as the documentation says, and waits for its pods.
pub fn install(bed: &Testbed, more: &[&str]) {
    let cluster = bed.east();
    cluster.apply(r#"{apiVersion: v1, kind: Namespace, metadata: {name: firedrill, labels: {pod-security.kubernetes.io/enforce: restricted}}}"#);
    let arguments = ["install", "firedrill", CHART, "--namespace", NAMESPACE, "--wait", "--timeout", "110s"];
    helm(Some(cluster), &[&arguments[..], more].concat());
}

/// An object of ours in the release's namespace.
pub fn object(kind: &str, name: &str, spec: &Value) -> String {
    json!({"apiVersion": "firedrill.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}).to_string()
}

/// An environment of the cluster itself. In a pod its connection is `inCluster: true`; here it is the same token, from a file.
pub fn environment(cluster: &Cluster, kubeconfig: &std::path::Path, kinds: &[&str]) -> String {
    let here = json!({"name": "here", "uid": cluster.uid, "region": "us-east-1", "connection": {"kubeconfigFile": kubeconfig}});
    let spec = json!({"kubernetes": [here], "network": {"allowPrivate": true}, "allow": {"faults": kinds, "noDeadMan": true}});
    object("Environment", "staging", &spec)
}

/// A drill of these steps, which the API server and `shop/app` must survive.
pub fn drill(cluster: &Cluster, hold: &str, steps: &Value) -> String {
    let port: u16 = cluster.server.rsplit(':').next().unwrap().parse().unwrap();
    let workload = json!({"workload": {"cluster": "here", "namespace": "shop", "deployment": "app", "ready": "50%"}});
    let objectives = json!([
        {"id": "api", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "200ms", "stableFor": "200ms", "availability": "50%"},
        {"id": "shop", "probe": workload, "interval": "200ms", "stableFor": "200ms", "availability": "50%"},
    ]);
    let spec = json!({
        "summary": "A node, a pod and a replica of the shop are lost", "owner": "platform", "hypothesis": "Nobody notices.",
        "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "baseline": "1s", "hold": hold, "undoBy": "2h", "objectives": objectives, "steps": steps,
    });
    object("Drill", "lose-a-node", &spec)
}

pub fn cordon() -> Value {
    json!({"id": "cordoned", "fault": {"nodeCordon": {"cluster": "here", "nodes": {"names": ["east-a-01"]}}}, "limit": "1m"})
}

/// What an account may do, as the API server says.
fn may(cluster: &Cluster, account: &str, words: &[&str]) -> bool {
    let output = cluster.try_kubectl(&[&["auth", "can-i", "--as", account], words].concat());
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => true,
        "no" => false,
        other => panic!("{words:?}: {other}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn a_gateway_takes_the_rules_of_its_namespace_with_an_account_that_may_do_nothing_else() {
    let bed = Testbed::start(Options::ONE);
    let cluster = bed.east();
    install(&bed, &["--set", "gateway.enabled=true", "--set-json", r#"gateway.clients=[{"namespaceSelector": {}}]"#, "--set", "operator.replicas=0"]);
    let account = "system:serviceaccount:firedrill:firedrill-gateway";
    for (words, allowed) in [
        (&["watch", "gatewayrules", "-n", NAMESPACE][..], true),
        (&["delete", "gatewayrules", "-n", NAMESPACE], false),
        (&["watch", "gatewayrules", "-n", "checkout"], false),
        (&["get", "drillruns", "-n", NAMESPACE], false),
        (&["get", "secrets", "-n", NAMESPACE], false),
    ] {
        assert_eq!(may(cluster, account, words), allowed, "{words:?}");
    }
    let _gateway = Pod::start(cluster, "firedrill-gateway", &kubeconfig(cluster, "firedrill-gateway"), "the GatewayRules of namespace firedrill");
    let deadline = (chrono::Utc::now() + chrono::Duration::minutes(10)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let rule = json!({"id": "dark", "run": "by-hand", "step": "dark", "effect": {"blackhole": {}}, "services": ["dynamodb"], "region": "us-east-1", "deadline": deadline});
    cluster.apply(&object("GatewayRule", "dark", &rule));
    eventually(|| {
        let status = cluster.json(&["-n", NAMESPACE, "get", "gatewayrule", "dark"])["status"].take();
        let said = &status["gateways"][0];
        if said["name"] == "the-pod" && said["inForce"] == true { Ok(()) } else { Err(status.to_string()) }
    });
}

#[test]
fn a_schedule_runs_with_the_service_account_of_the_chart_and_nothing_more() {
    let bed = Testbed::start(Options::ONE);
    let cluster = bed.east();
    cluster.namespace("shop", 4, 1);
    let kinds = ["nodeCordon", "podKill", "workloadScale"];
    install(&bed, &["--set", &format!("faults={{{}}}", kinds.join(",")), "--set", "namespaces={shop}", "--set", "probes={workload}"]);
    let before = cluster.dump_namespace("shop");
    for (words, allowed) in [
        (&["patch", "nodes"][..], true),
        (&["create", "pods", "--subresource=eviction", "-n", "shop"], true),
        (&["create", "pods", "--subresource=eviction", "-n", "checkout"], false),
        (&["patch", "deployments", "-n", "checkout"], false),
        (&["get", "secrets", "-n", NAMESPACE], false),
        (&["list", "secrets", "--all-namespaces"], false),
        (&["delete", "nodes"], false),
        (&["create", "networkpolicies", "-n", "shop"], false),
        (&["patch", "deployments", "-n", NAMESPACE], false),
    ] {
        assert_eq!(may(cluster, ACCOUNT, words), allowed, "{words:?}");
    }

    let token = kubeconfig(cluster, "firedrill");
    let operator = Pod::operator(cluster, &token);
    let steps = json!([
        cordon(),
        {"id": "fewer", "fault": {"workloadScale": {"cluster": "here", "namespace": "shop", "deployment": "app", "replicas": 3}}, "limit": "1m"},
        {"id": "killed", "after": ["fewer"], "fault": {"podKill": {"cluster": "here", "namespace": "shop", "pods": {"labels": {"app": "app"}}, "percent": "34%"}}, "limit": "1m"},
    ]);
    // The next whole minute that leaves time to apply it: cron knows no less.
    let due = chrono::Utc::now() + chrono::Duration::seconds(75);
    let schedule = object(
        "DrillSchedule",
        "every-day",
        &json!({"drill": "lose-a-node", "environment": "staging", "cron": due.format("%-M %-H * * *").to_string(), "timeZone": "UTC"}),
    );
    cluster.apply(&[environment(cluster, &token, &kinds), drill(cluster, "2s", &steps), schedule].join("\n---\n"));
    eventually(|| {
        let table = cluster.kubectl(&["-n", NAMESPACE, "get", "drillschedules"]);
        if table.contains("UTC") || table.contains("+00:00") || table.contains('Z') { Ok(()) } else { Err(table) }
    });
    let run = eventually(|| {
        let found = cluster.json(&["-n", NAMESPACE, "get", "drillruns"]);
        found["items"].as_array().unwrap().first().cloned().ok_or_else(|| format!("no run yet:\n{}", operator.log()))
    });
    let name = run["metadata"]["name"].as_str().unwrap();
    let over = eventually(|| {
        let run = cluster.json(&["-n", NAMESPACE, "get", "drillrun", name]);
        if run["status"]["phase"] == "over" { Ok(run) } else { Err(format!("{:#}", run["status"])) }
    });
    let status = &over["status"];
    assert_eq!((&status["verdict"], &status["cleanliness"], &status["inPlace"]), (&json!("passed"), &json!("clean"), &json!(0)), "{status:#}");
    assert!(status["targets"].as_u64().unwrap() >= 3, "{status:#}");
    assert!(cluster.json(&["get", "node", "east-a-01"])["spec"]["unschedulable"].is_null());
    cluster.returns_to(&before);

    // What people see: the README shows it.
    let table = eventually(|| {
        let table = cluster.kubectl(&["-n", NAMESPACE, "get", "drillschedules,drillruns"]);
        if table.matches(" passed ").count() == 2 { Ok(table) } else { Err(table) }
    });
    println!("$ kubectl -n firedrill get drillschedules,drillruns\n{table}");
    // Nothing was tried that the account may not do; and the cluster was touched by it alone.
    let calls: Vec<_> = cluster.audit().into_iter().filter(|entry| entry.user == ACCOUNT).collect();
    assert!(calls.iter().any(|entry| entry.resource == "nodes" && entry.changed()) && calls.iter().any(|entry| entry.subresource == "eviction"));
    let denied: Vec<_> = calls.iter().filter(|entry| entry.status == 403).collect();
    assert!(denied.is_empty(), "{denied:#?}");

    // Nobody's finalizer keeps what is over: without an operator it can be deleted.
    drop(operator);
    cluster.kubectl(&["-n", NAMESPACE, "delete", "drillrun", name, "--timeout=30s"]);
    // What is taken out of the values is taken from the account.
    helm(Some(cluster), &["upgrade", "firedrill", CHART, "--namespace", NAMESPACE, "--reset-values"]);
    for words in [&["patch", "nodes"][..], &["create", "pods", "--subresource=eviction", "-n", "shop"], &["patch", "deployments", "-n", "shop"]] {
        assert!(!may(cluster, ACCOUNT, words), "{words:?}");
    }
}
