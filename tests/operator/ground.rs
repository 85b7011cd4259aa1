//! One cluster for all tests of the operator's resources, with the definitions that `firedrill crds` prints, applied by a plain kubectl.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::testbed::{Cluster, Options, Testbed, eventually};

/// What the binary prints.
pub fn firedrill(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_firedrill")).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The cluster, which knows every resource.
pub fn cluster() -> &'static Cluster {
    static BED: LazyLock<Testbed> = LazyLock::new(|| {
        let bed = Testbed::start(Options::ONE);
        define(&bed);
        bed
    });
    BED.east()
}

/// Applies the definitions, and waits until the API server serves them.
pub fn define(bed: &Testbed) {
    let applied = kubectl(bed.east(), &["apply", "-f", "-"], &firedrill(&["crds"]));
    assert!(applied.status.success(), "{}", said(&applied));
    // Warnings are of what the API server ignores: formats that it does not know, say.
    assert!(!said(&applied).contains("Warning"), "{}", said(&applied));
    eventually(|| {
        let found = bed.east().json(&["get", "crds"]);
        let is = |one: &Value, about: &str| {
            one["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|it| it["type"] == about && it["status"] == "True"))
        };
        let items: Vec<Value> = found["items"].as_array().unwrap().clone();
        let ours: Vec<&Value> = items.iter().filter(|one| one["spec"]["group"] == "firedrill.dev").collect();
        let all = ours.len() == 7 && ours.iter().all(|one| is(one, "Established") && is(one, "NamesAccepted"));
        // `NonStructuralSchema` is there, and true, when the API server does not prune.
        if all && !ours.iter().any(|one| is(one, "NonStructuralSchema")) { Ok(()) } else { Err(format!("{ours:?}")) }
    });
}

/// A namespace of a test's own.
pub fn namespace(name: &str) -> &'static Cluster {
    let cluster = cluster();
    cluster.kubectl(&["create", "namespace", name]);
    cluster
}

/// kubectl with something on its standard input.
pub fn kubectl(cluster: &Cluster, arguments: &[&str], input: &str) -> Output {
    let mut command = cluster.kubectl_command(&cluster.kubeconfig);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// All that a command printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// Creates an object that must be accepted; what the API server made of it.
pub fn created(cluster: &Cluster, object: &Value) -> Value {
    let output = kubectl(cluster, &["create", "-o", "json", "-f", "-"], &object.to_string());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Creates an object that must be refused; what the user reads.
pub fn denied(cluster: &Cluster, object: &Value) -> String {
    let output = kubectl(cluster, &["create", "-f", "-"], &object.to_string());
    assert!(!output.status.success(), "it was accepted: {object}");
    said(&output)
}

/// Changes an object; whether that was accepted, and what the user reads.
pub fn patched(cluster: &Cluster, namespace: &str, object: &str, patch: &Value) -> Result<String, String> {
    let output = cluster.try_kubectl(&["-n", namespace, "patch", object, "--type=merge", "-p", &patch.to_string()]);
    if output.status.success() { Ok(said(&output)) } else { Err(said(&output)) }
}

/// Writes a status, as a controller would.
pub fn status(cluster: &Cluster, namespace: &str, object: &str, status: &Value) {
    let patch = json!({"status": status}).to_string();
    cluster.kubectl(&["-n", namespace, "patch", object, "--subresource=status", "--type=merge", "-p", &patch]);
}

/// An object of a kind.
pub fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "firedrill.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

/// A small drill of these steps.
pub fn drill(steps: &Value) -> Value {
    json!({
        "summary": "Checkout survives", "owner": "oncall", "hypothesis": "It does.", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
        "hold": "1m", "undoBy": "30m",
        "regionHealthy": {"probe": {"http": {"url": "${endpoints.east}"}}, "stableFor": "10s", "limit": "1m"},
        "objectives": [{"id": "checkout", "probe": {"http": {"url": "${endpoints.checkout}"}}, "interval": "1s", "recoverWithin": "1m"}],
        "steps": steps,
    })
}
