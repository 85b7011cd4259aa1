//! Kubernetes clusters as firedrill calls them: one connection each, every write through a failpoint, every cluster known by its uid.

pub mod access;
pub mod api;
pub mod condition;
pub mod connect;
pub mod error;
pub mod rbac;
pub mod resource;
pub mod together;
pub mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::drill::spec::{self, ClusterConnection, EnvironmentSpec};
use api::Cluster;

/// How a cluster is named, known and reached: what a record keeps, so that it can be undone when the environment has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Name in its environment.
    pub name: String,
    /// UID of its `kube-system` namespace.
    pub uid: String,
    /// How it is reached.
    pub connection: ClusterConnection,
}

impl From<&spec::Cluster> for Reference {
    fn from(cluster: &spec::Cluster) -> Self {
        Self { name: cluster.name.clone(), uid: cluster.uid.clone(), connection: cluster.connection.clone() }
    }
}

/// Connections to clusters, each made at its first use and then shared. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Clusters(Arc<Mutex<HashMap<String, Arc<Cluster>>>>);

impl Clusters {
    /// The cluster of a reference. Nothing is called yet.
    #[must_use]
    pub fn get(&self, reference: &Reference) -> Arc<Cluster> {
        let key = serde_json::to_string(reference).unwrap_or_default();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert_with(|| Arc::new(Cluster::new(reference.clone()))).clone()
    }

    /// A cluster of an environment by its name. `Err` says which there are.
    pub fn named(&self, environment: &EnvironmentSpec, name: &str) -> Result<Arc<Cluster>, String> {
        match environment.kubernetes.iter().find(|cluster| cluster.name == name) {
            Some(cluster) => Ok(self.get(&cluster.into())),
            None => {
                let names: Vec<&str> = environment.kubernetes.iter().map(|cluster| cluster.name.as_str()).collect();
                let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
                Err(format!("cluster '{name}' is not in the environment; {has}"))
            }
        }
    }

    /// Every cluster of an environment.
    #[must_use]
    pub fn all(&self, environment: &EnvironmentSpec) -> Vec<Arc<Cluster>> {
        environment.kubernetes.iter().map(|cluster| self.get(&cluster.into())).collect()
    }
}
