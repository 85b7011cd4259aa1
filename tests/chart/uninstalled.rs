//! `helm uninstall` asks first whether something is in place.

use std::process::{Child, Output};

use serde_json::{Value, json};

use super::helm::{CHART, command, helm, said};
use super::installed::{cordon, drill, environment, install, object};
use super::process::{NAMESPACE, Pod, kubeconfig, run};
use super::testbed::{Cluster, Options, Testbed, eventually};

/// Nobody plays the kubelet but this test: the simulated one would call every Job's pod completed.
fn kubelet(cluster: &Cluster, uninstalling: Child) -> (Output, Output) {
    let pod = eventually(|| {
        let pods = cluster.json(&["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=uninstall"]);
        let fresh = pods["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|pod| pod["status"]["phase"] == "Pending" && pod["metadata"]["deletionTimestamp"].is_null());
        fresh.cloned().ok_or_else(|| format!("the Job has no pod yet: {pods:#}"))
    });
    let token = kubeconfig(cluster, pod["spec"]["serviceAccountName"].as_str().unwrap());
    let ran = run(&pod["spec"], &token);
    let code = ran.status.code().unwrap();
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError");
    let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ended = json!({"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }, "message": if code == 0 { String::new() } else { said(&ran) }, "startedAt": now, "finishedAt": now});
    let status = json!({"status": {
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": ended}}],
    }});
    let name = pod["metadata"]["name"].as_str().unwrap();
    cluster.kubectl(&["-n", NAMESPACE, "patch", "pod", name, "--subresource=status", "--type=merge", "-p", &status.to_string()]);
    (ran, uninstalling.wait_with_output().unwrap())
}

fn uninstall(cluster: &Cluster) -> Child {
    command(Some(cluster), &["uninstall", "firedrill", "--namespace", NAMESPACE, "--timeout", "90s"]).spawn().unwrap()
}

fn there(cluster: &Cluster, what: &str) -> bool {
    cluster.try_kubectl(&["-n", NAMESPACE, "get", what]).status.success()
}

fn run_of(cluster: &Cluster, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(|| {
        let run = cluster.json(&["-n", NAMESPACE, "get", "drillrun", "held"]);
        if wanted(&run["status"]) { Ok(run) } else { Err(format!("{:#}", run["status"])) }
    })
}

#[test]
fn helm_uninstall_is_refused_while_a_run_has_something_in_place_and_says_which() {
    let bed = Testbed::start(Options::ONE);
    let cluster = bed.east();
    cluster.namespace("shop", 2, 1);
    install(&bed, &["--set", "faults={nodeCordon}", "--set", "namespaces={shop}", "--set", "probes={workload}"]);
    bed.kill("east", "kwok");
    let token = kubeconfig(cluster, "firedrill");
    let operator = Pod::operator(cluster, &token);
    let held = object("DrillRun", "held", &json!({"drill": "lose-a-node", "environment": "staging"}));
    cluster.apply(&[environment(cluster, &token, &["nodeCordon"]), drill(cluster, "30m", &json!([cordon()])), held].join("\n---\n"));
    run_of(cluster, |status| status["phase"] == "hold" && status["inPlace"] == 1);

    let (check, refused) = kubelet(cluster, uninstall(cluster));
    let reason = "refused: DrillRun 'held' is not over and has 1 target(s) in place; wait for its end, or set its spec.abort";
    assert_eq!(check.status.code(), Some(5), "{}", said(&check));
    assert!(said(&check).contains(reason) && said(&check).contains("/nodes/east-a-01/"), "{}", said(&check));
    assert!(!refused.status.success() && said(&refused).contains("firedrill-uninstall"), "{}", said(&refused));
    println!("$ helm uninstall firedrill --namespace firedrill\n{}\n{}", said(&refused), said(&check));
    // Where a person looks next.
    let pod = cluster.kubectl(&["-n", NAMESPACE, "describe", "pods", "-l", "app.kubernetes.io/component=uninstall"]);
    assert!(pod.contains("DrillRun 'held' is not over"), "{pod}");
    // All of it is still there, and the run goes on.
    for what in ["deployment/firedrill", "serviceaccount/firedrill", "role/firedrill"] {
        assert!(there(cluster, what), "{what} is gone");
    }
    assert_eq!(cluster.json(&["get", "node", "east-a-01"])["spec"]["unschedulable"], true);
    run_of(cluster, |status| status["phase"] == "hold");

    // helm counts the release as half gone. The way back, which restarts nothing:
    let pods = || cluster.kubectl(&["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "name"]);
    let before = pods();
    helm(Some(cluster), &["rollback", "firedrill", "1", "--namespace", NAMESPACE]);
    assert!(helm(Some(cluster), &["list", "--namespace", NAMESPACE]).contains("deployed"));
    helm(Some(cluster), &["upgrade", "firedrill", CHART, "--namespace", NAMESPACE]);
    assert_eq!(pods(), before);

    cluster.kubectl(&["-n", NAMESPACE, "patch", "drillrun", "held", "--type=merge", "-p", r#"{"spec": {"abort": true}}"#]);
    let over = run_of(cluster, |status| status["phase"] == "over");
    assert_eq!((&over["status"]["verdict"], &over["status"]["inPlace"]), (&json!("aborted"), &json!(0)), "{over:#}");
    assert!(cluster.json(&["get", "node", "east-a-01"])["spec"]["unschedulable"].is_null());
    let (check, gone) = kubelet(cluster, uninstall(cluster));
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    assert!(gone.status.success(), "{}", said(&gone));
    for what in ["deployment/firedrill", "serviceaccount/firedrill", "role/firedrill", "networkpolicy/firedrill"] {
        assert!(!there(cluster, what), "{what} is left");
    }
    drop(operator);
    // What people wrote, and what runs proved, stays; and goes without an operator when it is deleted.
    assert!(there(cluster, "drill/lose-a-node") && there(cluster, "drillrun/held"));
    cluster.kubectl(&["-n", NAMESPACE, "delete", "drillrun", "held", "--timeout=30s"]);
}
