//! Evictions: which pods of a node are asked to leave, and one round of asking.
//!
//! What kubectl drain does without `--force`: pods of daemon sets and static (mirror) pods stay, nothing is deleted, and a budget's refusal is waiting.

use std::time::Duration;

use futures::StreamExt;
use futures::future::ready;
use serde_json::Value;
use tokio::time::Instant;

use super::mark;
use super::place::text;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::PODS;
use crate::fault::{KindError, Progress};

/// Evictions of one node in flight.
const AT_ONCE: usize = 4;
/// A round asks no further pod after so long: with the longest answer it is over before the engine gives it up. An eviction that is given up while the API
/// server works on it counts against its budget for two minutes, and nobody leaves meanwhile.
const ROUND: Duration = Duration::from_secs(4);
/// Annotation of pods that the kubelet runs from a file.
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// Why a pod stays, or that it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is evicted.
    Leaves,
    /// A daemon set would put it back at once.
    Daemon,
    /// The kubelet runs it from a file.
    Mirror,
    /// Nobody would start it again elsewhere.
    Unmanaged,
    /// It has ended: nothing runs.
    Ended,
}

/// What a drain does with a pod.
pub fn fate(pod: &Value) -> Fate {
    let owner = controller(pod);
    if pod.pointer(MIRROR).is_some() {
        return Fate::Mirror;
    }
    match (text(pod, "/status/phase"), owner) {
        ("Succeeded" | "Failed", _) => Fate::Ended,
        (_, Some(owner)) if text(owner, "/kind") == "DaemonSet" => Fate::Daemon,
        (_, Some(_)) => Fate::Leaves,
        (_, None) => Fate::Unmanaged,
    }
}

/// The owner that would start a pod again.
pub fn controller(pod: &Value) -> Option<&Value> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// `namespace/name` of a pod.
pub fn name(pod: &Value) -> String {
    format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

/// Reads: every pod of a node.
pub async fn pods_of(cluster: &Cluster, node: &str) -> Result<Vec<Value>, ApiError> {
    cluster.list(PODS, None, None, Some(&format!("spec.nodeName={node}"))).await
}

/// Writes: asks each pod that is not leaving yet to leave, once. Done when none that should is there any more.
pub async fn round(cluster: &Cluster, pods: Vec<Value>, grace: Option<Duration>) -> Result<Progress, KindError> {
    let staying: Vec<Value> = pods.into_iter().filter(|pod| fate(pod) == Fate::Leaves).collect();
    let Some(first) = staying.first().map(name) else { return Ok(Progress::Done) };
    let count = staying.len();
    let asked = staying.into_iter().filter(|pod| text(pod, "/metadata/deletionTimestamp").is_empty());
    let begun = Instant::now();
    let answers = futures::stream::iter(asked).take_while(|_| ready(begun.elapsed() < ROUND)).map(|pod| async move {
        let (namespace, pod_name) = (text(&pod, "/metadata/namespace"), text(&pod, "/metadata/name"));
        let answer = cluster.evict(namespace, pod_name, mark::uid(&pod), grace).await;
        (name(&pod), answer)
    });
    let mut why = format!("{count} pod(s) are still leaving, {first} first");
    let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
    for (pod, answer) in answers {
        match answer {
            // 409: another pod has this name by now; the next round sees it.
            Ok(()) | Err(ApiError::Conflict { .. } | ApiError::LostAnswer { .. }) => {}
            Err(ApiError::TooMany { what, .. }) => why = format!("{count} pod(s) still to leave; {pod}: {what}"),
            // Two budgets that cover one pod: the API server refuses with 500 until one of them is changed.
            Err(ApiError::Failed { code: 500, what, .. }) => why = format!("{count} pod(s) still to leave; {pod}: {what}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Progress::Waiting { why })
}
