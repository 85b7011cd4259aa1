//! Raw patches of nodes by a plain kube client: what cordoning them costs when nothing is guarded, remembered or read back.

use std::path::PathBuf;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// Cordons or uncordons every node of a cluster, so many at once.
pub async fn all(kubeconfig: PathBuf, at_once: usize, unschedulable: bool) -> Result<Value, Box<dyn std::error::Error>> {
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
    let nodes: Api<Node> = Api::all(Client::try_from(config)?);
    let names: Vec<String> = nodes.list(&ListParams::default()).await?.items.iter().map(ResourceExt::name_any).collect();
    let patch = Patch::Merge(json!({"spec": {"unschedulable": if unschedulable { json!(true) } else { Value::Null }}}));
    let (parameters, began) = (PatchParams::default(), Instant::now());
    let calls = futures::stream::iter(&names).map(|name| nodes.patch(name, &parameters, &patch));
    let done: Vec<Node> = calls.buffer_unordered(at_once).try_collect().await?;
    Ok(json!({"nodes": done.len(), "seconds": began.elapsed().as_secs_f64()}))
}
