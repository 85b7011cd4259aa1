//! Parameters of the Kubernetes kinds.

use std::time::Duration;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::drill::text::Percent;
use crate::fault::definition::Definition;

/// Which nodes: every condition that is given must hold, and at least one is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct NodeSelector {
    /// Labels with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[schemars(extend("minProperties" = 1))]
    pub labels: BTreeMap<String, String>,
    /// Availability zones, by the label `topology.kubernetes.io/zone`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 32)))]
    #[schemars(extend("format" = "aws-zone"))]
    pub zones: Vec<String>,
    /// Node names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 500), inner(length(max = 253)))]
    pub names: Vec<String>,
}

/// Which pods of a namespace: all labels must match, and at least one is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct PodSelector {
    /// Labels with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[schemars(extend("minProperties" = 1))]
    pub labels: BTreeMap<String, String>,
}

/// Pods are evicted: a count or a share, chosen by a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodKill {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// Their namespace.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: String,
    /// Which pods.
    pub pods: PodSelector,
    /// How many; or `percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub count: Option<u32>,
    /// What share of those that match, rounded up; or `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Makes the choice repeatable. Default: from the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4294967295u64))]
    pub seed: Option<u64>,
}

/// A Service selects nothing: its selector is swapped for a run-unique one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceBlackhole {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// The Service's namespace.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: String,
    /// Name of the Service.
    #[schemars(length(max = 63))]
    pub service: String,
}

impl Definition for PodKill {}

impl Definition for ServiceBlackhole {
    fn limit() -> Duration {
        Duration::from_mins(1)
    }
}
