//! `nodeCordon`: nodes take no new pods.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::node_kind::{self, Flavor, Wanted};
use super::params::NodeSelector;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::fault::definition::{Definition, Places};
use crate::fault::{Kind, KindError, Record};

const FLAVOR: Flavor = Flavor { name: "nodeCordon", evicts: false, by_hand: "cordon" };

/// Nodes take no new pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeCordon {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// Which nodes.
    pub nodes: NodeSelector,
}

impl Definition for NodeCordon {
    fn limit() -> Duration {
        Duration::from_mins(2)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "One JSON patch per node sets `spec.unschedulable`, on the condition that it was not set, and marks the node with annotations.",
            undo: "One JSON patch per node takes both away, on the condition that the mark is still this run's. A node that someone uncordoned meanwhile is \
                   left so; one whose mark someone took off is left cordoned: it is theirs now.",
            verified: "The node is read back unschedulable, with this run's mark.",
            must_know: &[
                "Pods that run on the nodes stay: nodeDrain moves them.",
                "A node that is cordoned already is left as it is, now and at the end.",
                "Nodes that the cluster is called at, and control-plane nodes, are refused.",
                "A Kubernetes fault stays when firedrill dies: the environment must say `allow.noDeadMan: true`; `resume` or `sweep` undoes it.",
            ],
            permissions: Permissions {
                inject: &["patch nodes"],
                revert: &["patch nodes"],
                read: &["get namespaces (kube-system)", "get, list nodes"],
            },
            example: "nodeCordon: {cluster: east, nodes: {zones: [us-east-1a]}}",
        })
    }

    fn open(&self, places: &Places, _drill: &DrillSpec, _step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        node_kind::open(&FLAVOR, &self.cluster, Wanted { nodes: self.nodes.clone(), grace: None, places: places.clone() })
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        node_kind::reopen(&FLAVOR, record, places)
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        node_kind::everywhere(&FLAVOR, places)
    }
}
