//! What a plan says of nodes that are cordoned or drained: how many, which pods, which budgets are in the way, and whether firedrill sits on one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::evict::{self, Fate};
use super::node::{self, Nodes};
use super::place::{protected, text};
use super::{budget, own};
use crate::cluster::resource::{DISRUPTION_BUDGETS, NODES, PODS};
use crate::fault::definition::Places;
use crate::fault::{Examined, KindError, Record};

/// At most so many names in one sentence.
const NAMED: usize = 5;

/// Reads: what forbids the step, or should be known of it.
pub async fn examine(nodes: &Nodes, evicts: bool, places: &Places, records: &[Record]) -> Result<Examined, KindError> {
    let population = Nodes::population(&places.clusters.all(&places.environment)).await?;
    let touched: BTreeSet<&str> = records.iter().map(|record| node::parts(&record.target).0).collect();
    let mut examined = Examined::default();
    let of = population.get(&nodes.cluster.place()).copied().unwrap_or_default();
    let all: usize = population.values().sum();
    examined.radius.push(format!(
        "{} of {of} nodes of cluster '{}' ({} of all clusters)",
        touched.len(),
        nodes.cluster.name(),
        share(touched.len(), all)
    ));
    examined.population = population;
    let read = nodes.read();
    examined.refusals.extend(own::node_refusal(&nodes.cluster, &read, &touched).await);
    if evicts {
        pods(nodes, places, &touched, &mut examined).await?;
    }
    Ok(examined)
}

async fn pods(nodes: &Nodes, places: &Places, touched: &BTreeSet<&str>, examined: &mut Examined) -> Result<(), KindError> {
    let all = nodes.cluster.list(PODS, None, None, None).await?;
    let here: Vec<&Value> = all.iter().filter(|pod| touched.contains(text(pod, "/spec/nodeName"))).collect();
    let leaving: Vec<&Value> = here.iter().copied().filter(|pod| evict::fate(pod) == Fate::Leaves).collect();
    let owners: BTreeSet<String> =
        leaving.iter().filter_map(|pod| Some(format!("{}/{}", text(pod, "/metadata/namespace"), text(evict::controller(pod)?, "/name")))).collect();
    examined.radius.push(format!("{} of {} pods ({}), of {} owner(s)", leaving.len(), all.len(), share(leaving.len(), all.len()), owners.len()));
    let unmanaged: Vec<String> = here.iter().filter(|pod| evict::fate(pod) == Fate::Unmanaged).map(|pod| evict::name(pod)).collect();
    if !unmanaged.is_empty() {
        examined.refusals.push(format!("{} pod(s) without an owner would not be started again elsewhere: {}", unmanaged.len(), some(&unmanaged)));
    }
    let kept: Vec<String> = leaving
        .iter()
        .filter(|pod| protected(places.environment.protect.as_ref(), text(pod, "/metadata/namespace")))
        .map(|pod| evict::name(pod))
        .collect();
    if !kept.is_empty() {
        examined.refusals.push(format!("{} pod(s) of protected namespaces would be evicted: {}", kept.len(), some(&kept)));
    }
    examined.refusals.extend(own::pod_refusal(&leaving));
    let local = leaving.iter().filter(|pod| has_local_data(pod)).count();
    if local > 0 {
        examined.warnings.push(format!("{local} pod(s) keep data in emptyDir volumes, which is lost with them"));
    }
    let budgets = nodes.cluster.list(DISRUPTION_BUDGETS, None, None, None).await?;
    let others = nodes.cluster.list(NODES, None, None, None).await?;
    let refuge = others.iter().any(|other| !touched.contains(text(other, "/metadata/name")) && !node::unschedulable(other));
    budget::examine(&budgets, &leaving, refuge, examined);
    Ok(())
}

/// Whether a pod keeps data that ends with it.
pub fn has_local_data(pod: &Value) -> bool {
    pod.pointer("/spec/volumes").and_then(Value::as_array).is_some_and(|volumes| volumes.iter().any(|volume| volume.get("emptyDir").is_some()))
}

/// A share in whole percent.
pub fn share(part: usize, of: usize) -> String {
    format!("{} %", (part * 100 + of / 2).checked_div(of).unwrap_or(0))
}

/// The first few names of many.
pub fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let listed = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}
