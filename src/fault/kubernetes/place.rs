//! Where a Kubernetes kind works: its cluster, how a record finds it again, and what a failed call means to the engine.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::access::Access;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::drill::spec::{ClusterConnection, Protect};
use crate::fault::definition::Places;
use crate::fault::shell::word;
use crate::fault::{KindError, Record};
use crate::needs::Needs;

/// How long a call whose answer was lost may still take effect. The API server ends a request by itself after a minute at most (`--request-timeout`);
/// one that was received and not yet carried out is carried out within a few seconds, or fails its conditions.
pub const SETTLE: Duration = Duration::from_secs(10);

impl From<ApiError> for KindError {
    fn from(error: ApiError) -> Self {
        let text = error.to_string();
        match error {
            ApiError::Config { .. } | ApiError::Unreachable { .. } => Self::Unreachable(text),
            ApiError::LostAnswer { .. } => Self::LostAnswer(text),
            ApiError::OtherCluster { .. } => Self::Refused(text),
            ApiError::Conflict { .. } => Self::Conflict(text),
            ApiError::Denied { .. } | ApiError::NotFound { .. } | ApiError::TooMany { .. } | ApiError::Failed { .. } => Self::Failed(text),
        }
    }
}

/// The cluster that a step names.
pub fn named(places: &Places, cluster: &str) -> Result<Arc<Cluster>, KindError> {
    places.clusters.named(&places.environment, cluster).map_err(KindError::Refused)
}

/// The cluster of a record.
pub fn of_record(record: &Record, places: &Places) -> Result<Arc<Cluster>, KindError> {
    let reference = record.invert.get("cluster").cloned().unwrap_or_default();
    let reference = serde_json::from_value(reference)
        .map_err(|error| KindError::Failed(format!("the record of {} does not say where its cluster is: {error}", record.target)))?;
    Ok(places.clusters.get(&reference))
}

/// Reads: those of `needs` that are not allowed, each asked of its own cluster.
pub async fn missing(needs: &Needs, places: &Places) -> Result<Vec<String>, KindError> {
    let mut missing = Vec::new();
    for cluster in places.clusters.all(&places.environment) {
        let here: Vec<Access> = needs.cluster.all().into_iter().filter(|access| access.cluster == cluster.name()).collect();
        if !here.is_empty() {
            missing.extend(cluster.missing(here).await?.iter().map(Access::to_string));
        }
    }
    Ok(missing)
}

/// What a record keeps of its cluster.
pub fn invert(cluster: &Cluster) -> Value {
    json!({"cluster": cluster.reference()})
}

/// `kubectl` for this cluster, as a person types it.
pub fn kubectl(cluster: &Cluster) -> String {
    kubectl_at(&cluster.reference().connection)
}

/// The same for a cluster that is reached so.
#[must_use]
pub fn kubectl_at(connection: &ClusterConnection) -> String {
    match (&connection.kubeconfig_file, &connection.context) {
        (Some(file), _) => format!("kubectl --kubeconfig {}", word(file)),
        (None, Some(context)) => format!("kubectl --context {}", word(context)),
        (None, None) => "kubectl".to_owned(),
    }
}

/// Whether the environment protects a namespace.
pub fn protected(protect: Option<&Protect>, namespace: &str) -> bool {
    protect.is_some_and(|protect| protect.namespaces.iter().any(|name| name == namespace))
}

/// A label selector as the API takes it.
pub fn selector(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Text at a JSON pointer; empty when there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
