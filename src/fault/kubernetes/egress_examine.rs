//! What a plan says of a blackhole: how many pods, from which addresses, which policies are in the way, and whether firedrill would cut itself off.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::egress_blackhole::Wanted;
use super::egress_policy::{Vanishing, has_egress};
use super::node_examine::{share, some};
use super::place::{protected, text};
use super::{budget, own};
use crate::cluster::api::Cluster;
use crate::cluster::resource::{DAEMON_SETS, NETWORK_POLICIES, NODES, PODS};
use crate::fault::{Examined, KindError};

/// Namespace and name of Cilium's agents.
pub const CILIUM: (&str, &str) = ("kube-system", "cilium");

/// Reads: what forbids the step, or should be known of it.
pub async fn examine(cluster: &Cluster, wanted: &Wanted) -> Result<Examined, KindError> {
    let namespace = wanted.parameters.namespace.as_str();
    let (vanishing, source) = wanted.vanishing()?;
    let mut examined = Examined::default();
    let all = cluster.list(PODS, Some(namespace), None, None).await?;
    let all: Vec<&Value> = all.iter().filter(|pod| !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")).collect();
    let selector = json!({"matchLabels": wanted.parameters.pods.labels});
    let chosen: Vec<&Value> = all.iter().copied().filter(|pod| budget::selects(Some(&selector), pod.pointer("/metadata/labels"))).collect();
    examined.radius.push(format!(
        "{} of {} pods of namespace '{namespace}' of cluster '{}' ({})",
        chosen.len(),
        all.len(),
        cluster.name(),
        share(chosen.len(), all.len())
    ));
    examined.radius.push(format!("they lose {}", vanishing.for_people()));
    if let Some(source) = source {
        examined.radius.push(format!("addresses of {source}"));
        examined
            .warnings
            .push("interface VPC endpoints have addresses of your own, which stay open; gateway endpoints do not help the pods".to_owned());
    }
    if protected(wanted.places.environment.protect.as_ref(), namespace) {
        examined.refusals.push(format!("namespace '{namespace}' is protected by the environment (protect.namespaces)"));
    }
    let labels = super::place::selector(&wanted.parameters.pods.labels);
    if chosen.is_empty() {
        examined.refusals.push(format!("no pod of namespace '{namespace}' has the labels {labels}"));
    }
    let on_host = chosen.iter().filter(|pod| pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true)).count();
    if on_host > 0 && on_host == chosen.len() {
        examined.refusals.push(format!("all {on_host} pod(s) use the network of their node (hostNetwork), which no policy touches"));
    } else if on_host > 0 {
        examined.warnings.push(format!("{on_host} of {} pods use the network of their node (hostNetwork), which no policy touches", chosen.len()));
    }
    let policies = cluster.list(NETWORK_POLICIES, Some(namespace), None, None).await?;
    in_the_way(&policies, &chosen, &mut examined);
    if let Some(own) = own::among(&chosen) {
        examined.refusals.push(format!("firedrill's own pod {own} would be cut off; choose labels that it does not have"));
    }
    for address in own::server_addresses(cluster).await {
        if let Some(range) = vanishing.range_of(address) {
            let name = cluster.name();
            examined
                .refusals
                .push(format!("the API server of cluster '{name}' ({address}) lies in {range}: the undo needs it; leave that range out"));
        }
    }
    network(cluster, &vanishing, &mut examined).await?;
    Ok(examined)
}

/// Policies that close something to one of the pods: ours would open it again, because policies are unions.
fn in_the_way(policies: &[Value], chosen: &[&Value], examined: &mut Examined) {
    let everything = json!({});
    let closing: Vec<String> = policies
        .iter()
        .filter(|policy| has_egress(policy))
        .filter(|policy| {
            let selector = policy.pointer("/spec/podSelector").filter(|selector| !selector.is_null()).unwrap_or(&everything);
            chosen.iter().any(|pod| budget::selects(Some(selector), pod.pointer("/metadata/labels")))
        })
        .map(|policy| text(policy, "/metadata/name").to_owned())
        .collect();
    if !closing.is_empty() {
        examined.refusals.push(format!(
            "{} policy(s) with egress already select these pods: {}; policies are unions, so this fault would open what they close",
            closing.len(),
            some(&closing)
        ));
    }
}

/// What is known of the cluster's network.
async fn network(cluster: &Cluster, vanishing: &Vanishing, examined: &mut Examined) -> Result<(), KindError> {
    let nodes = cluster.list(NODES, None, None, None).await?;
    let inside = nodes.iter().filter(|node| internal_addresses(node).any(|address| vanishing.range_of(address).is_some())).count();
    if inside > 0 {
        examined.warnings.push(format!("{inside} of {} nodes have addresses that would vanish; they stay open", nodes.len()));
    }
    let agents = cluster.get(&DAEMON_SETS.at(Some(CILIUM.0), CILIUM.1)).await?.is_some();
    let marked = |node: &Value| {
        let keys = node.pointer("/metadata/annotations").and_then(Value::as_object);
        keys.is_some_and(|keys| keys.keys().any(|key| key.contains("cilium.io/")))
    };
    if agents || nodes.iter().any(marked) {
        examined.warnings.push("the cluster runs Cilium, where address ranges do not match the cluster's own pods and nodes".to_owned());
    }
    if vanishing.range_of(IpAddr::from([169, 254, 20, 10])).is_some() {
        examined.warnings.push("169.254.20.10 would vanish: where NodeLocal DNSCache runs there, the pods lose DNS too".to_owned());
    }
    Ok(())
}

/// The `InternalIP`s of a node.
pub fn internal_addresses(node: &Value) -> impl Iterator<Item = IpAddr> {
    let all = node.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
    all.filter(|address| text(address, "/type") == "InternalIP").filter_map(|address| text(address, "/address").parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(policy: Value) -> Vec<String> {
        let pod = json!({"metadata": {"namespace": "shop", "name": "api-1", "labels": {"app": "api"}}});
        let mut examined = Examined::default();
        in_the_way(&[json!({"metadata": {"name": "theirs"}, "spec": policy})], &[&pod], &mut examined);
        examined.refusals
    }

    #[test]
    fn a_policy_with_egress_over_one_of_the_pods_is_in_the_way_whatever_it_opens() {
        let closing = [
            json!({"podSelector": {}, "policyTypes": ["Egress"]}),
            json!({"policyTypes": ["Ingress", "Egress"]}),
            json!({"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Egress"], "egress": [{}]}),
            json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "egress": []}),
        ];
        for policy in closing {
            let refusals = look(policy.clone());
            assert!(refusals.len() == 1 && refusals[0].contains("theirs"), "{policy}: {refusals:?}");
        }
    }

    #[test]
    fn a_policy_of_ingress_or_of_other_pods_is_not_in_the_way() {
        for policy in [
            json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]}),
        ] {
            assert_eq!(look(policy.clone()), Vec::<String>::new(), "{policy}");
        }
    }
}
