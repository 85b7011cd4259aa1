//! nodeCordon and nodeDrain under the contract, and what is theirs alone.

use serde_json::{Value, json};

use super::contract::{On, Subject};

pub struct Cordon;
pub struct Drain;

/// The node, without what moves by itself.
fn node(on: &On<'_>) -> Value {
    let mut node = on.cluster.json(&["get", "node", &on.node]);
    node.as_object_mut().unwrap().remove("status");
    for field in ["generation", "resourceVersion", "managedFields"] {
        node["metadata"].as_object_mut().unwrap().remove(field);
    }
    node
}

fn fresh(on: &On<'_>) {
    adopt(on);
    on.cluster.kubectl(&["uncordon", &on.node]);
}

fn cordoned(on: &On<'_>) -> Result<(), String> {
    let listed = on.cluster.kubectl(&["get", "node", &on.node, "--no-headers"]);
    if listed.contains("SchedulingDisabled") { Ok(()) } else { Err(listed) }
}

fn cordon_by_hand(on: &On<'_>) -> bool {
    on.cluster.kubectl(&["cordon", &on.node]);
    // The taint that a controller adds belongs to the state before.
    super::testbed::eventually(|| {
        let node = on.cluster.json(&["get", "node", &on.node]);
        if node["spec"]["taints"].to_string().contains("unschedulable") { Ok(()) } else { Err(node["spec"].to_string()) }
    });
    true
}

/// Someone takes the mark off: the cordon is theirs now.
fn adopt(on: &On<'_>) -> bool {
    on.cluster.kubectl(&["annotate", "node", &on.node, "firedrill.dev/run-", "firedrill.dev/record-", "firedrill.dev/expires-"]);
    true
}

/// A backup is restored: another node of that name, cordoned, with a copy of our mark.
fn replace(on: &On<'_>) -> bool {
    let mut node = on.cluster.json(&["get", "node", &on.node]);
    on.cluster.kubectl(&["delete", "node", &on.node]);
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        node["metadata"].as_object_mut().unwrap().remove(field);
    }
    on.cluster.kubectl_create(&node.to_string());
    true
}

impl Subject for Cordon {
    fn kind(&self) -> &'static str {
        "nodeCordon"
    }

    fn make(&self, on: &On<'_>) {
        fresh(on);
    }

    fn step(&self, on: &On<'_>) -> Value {
        json!({"fault": {"nodeCordon": {"cluster": on.cluster.name, "nodes": {"names": [on.node]}}}})
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        cordoned(on)
    }

    fn already(&self, on: &On<'_>) -> bool {
        cordon_by_hand(on)
    }

    fn theirs(&self, on: &On<'_>) -> bool {
        adopt(on)
    }

    fn replace(&self, on: &On<'_>) -> bool {
        replace(on)
    }

    fn state(&self, on: &On<'_>) -> Value {
        node(on)
    }
}

impl Subject for Drain {
    fn kind(&self) -> &'static str {
        "nodeDrain"
    }

    fn make(&self, on: &On<'_>) {
        fresh(on);
        on.cluster.namespace(&on.namespace, 3, 1);
        // A pod of the case on its node, whatever the scheduler did with the others.
        let pin = json!({"spec": {"template": {"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100, "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on.node]}]}}]}}}}}});
        on.cluster.kubectl(&["-n", &on.namespace, "patch", "deployment", "app", "-p", &pin.to_string()]);
        on.cluster.available(&on.namespace, "app");
    }

    fn step(&self, on: &On<'_>) -> Value {
        json!({"fault": {"nodeDrain": {"cluster": on.cluster.name, "nodes": {"names": [on.node]}}}})
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        cordoned(on)?;
        let selector = format!("spec.nodeName={}", on.node);
        let pods = on.cluster.json(&["get", "pods", "-A", "--field-selector", &selector]);
        let owned = |pod: &Value| pod["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet";
        let left: Vec<String> =
            pods["items"].as_array().unwrap().iter().filter(|pod| owned(pod)).map(|pod| pod["metadata"]["name"].to_string()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:?}")) }
    }

    fn already(&self, on: &On<'_>) -> bool {
        cordon_by_hand(on)
    }

    fn theirs(&self, on: &On<'_>) -> bool {
        adopt(on)
    }

    fn replace(&self, on: &On<'_>) -> bool {
        replace(on)
    }

    fn state(&self, on: &On<'_>) -> Value {
        node(on)
    }
}
