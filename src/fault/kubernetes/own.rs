//! Whether firedrill itself, or its way to the API server, is inside the blast radius: then it could not undo what it did.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::place::text;
use crate::cluster::api::Cluster;

/// The variables that the chart sets from the downward API.
const POD: (&str, &str) = ("POD_NAMESPACE", "POD_NAME");

/// The pod that firedrill runs in, as `namespace/name`; none outside a cluster.
fn own_pod() -> Option<String> {
    Some(format!("{}/{}", std::env::var(POD.0).ok()?, std::env::var(POD.1).ok()?))
}

/// The pod that firedrill runs in, as `namespace/name`, when it is one of these.
pub fn among(pods: &[&Value]) -> Option<String> {
    own_pod().filter(|own| pods.iter().any(|pod| super::evict::name(pod) == *own))
}

/// Refuses evictions of the pod that firedrill runs in.
pub fn pod_refusal(leaving: &[&Value]) -> Option<String> {
    among(leaving).map(|own| format!("firedrill's own pod {own} would be evicted; let it run on a node that the drill spares"))
}

/// The addresses that the cluster is called at; none when they cannot be told.
pub async fn server_addresses(cluster: &Cluster) -> Vec<IpAddr> {
    let Some(host) = cluster.server().await else { return Vec::new() };
    // The port only makes it an address for the resolver.
    let found = tokio::net::lookup_host((host.as_str(), 443)).await;
    found.map(|all| all.map(|address| address.ip()).collect()).unwrap_or_default()
}

/// Refuses nodes that are the way to the API server: the address that the cluster is called at, or control-plane nodes when it cannot be told.
pub async fn node_refusal(cluster: &Cluster, nodes: &[Value], touched: &BTreeSet<&str>) -> Vec<String> {
    let server = cluster.server().await;
    let mut refusals = Vec::new();
    for node in nodes.iter().filter(|node| touched.contains(text(node, "/metadata/name"))) {
        let name = text(node, "/metadata/name");
        let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
        if server.as_deref().is_some_and(|server| addresses(node).any(|address| address == server)) {
            refusals.push(format!("node '{name}' is the address that cluster '{}' is called at: the undo would have to cross it", cluster.name()));
        } else if labels.is_some_and(|labels| labels.contains_key("node-role.kubernetes.io/control-plane")) {
            refusals.push(format!("node '{name}' is a control-plane node of cluster '{}': the undo needs its API server", cluster.name()));
        }
    }
    refusals
}

fn addresses(node: &Value) -> impl Iterator<Item = &str> {
    node.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten().map(|address| text(address, "/address"))
}
