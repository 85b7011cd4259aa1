//! `nodeDrain`: nodes take no new pods and lose those they have.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::node_kind::{self, Flavor, Wanted};
use super::params::NodeSelector;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::drill::text::DurationText;
use crate::fault::definition::{Definition, Places};
use crate::fault::{Kind, KindError, Record};

const FLAVOR: Flavor = Flavor { name: "nodeDrain", evicts: true, by_hand: "drain --ignore-daemonsets --delete-emptydir-data" };

/// Nodes take no new pods and lose those they have, by evictions that honour disruption budgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeDrain {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// Which nodes.
    pub nodes: NodeSelector,
    /// Time that pods have to end. Default: each pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<DurationText>,
}

impl Definition for NodeDrain {
    fn limit() -> Duration {
        Duration::from_mins(15)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "Each node is cordoned as by nodeCordon; then its pods are evicted (policy/v1), many at once, and asked again while a disruption \
                        budget holds them up. Nothing is ever deleted or forced.",
            undo: "The nodes are uncordoned as by nodeCordon. The evicted pods do not come back as they were: they run elsewhere by then, or wait until a node takes pods.",
            verified: "The node is read back unschedulable with this run's mark, and no pod is left on it that had to leave.",
            must_know: &[
                "Pods of daemon sets and static pods stay, as with `kubectl drain --ignore-daemonsets`.",
                "Pods without an owner are refused by the plan: nobody would start them again. Data in emptyDir volumes is lost; the plan counts such pods.",
                "A budget that never allows an eviction, and two budgets over one pod, are refused; one that is used up at the moment is waited for until the step's limit.",
                "When the limit runs out with pods left, the fault counts as not proven and the run ends inconclusive; the nodes are uncordoned all the same.",
                "Nodes that the cluster is called at, control-plane nodes, and pods of protected namespaces are refused.",
            ],
            permissions: Permissions {
                inject: &["patch nodes", "create pods/eviction"],
                revert: &["patch nodes"],
                read: &["get namespaces (kube-system)", "get, list nodes", "list pods", "list poddisruptionbudgets.policy"],
            },
            example: "nodeDrain: {cluster: east, nodes: {labels: {topology.kubernetes.io/region: us-east-1}}}",
        })
    }

    fn open(&self, places: &Places, _drill: &DrillSpec, _step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let wanted = Wanted { nodes: self.nodes.clone(), grace: self.grace_period.map(|grace| *grace), places: places.clone() };
        node_kind::open(&FLAVOR, &self.cluster, wanted)
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        node_kind::reopen(&FLAVOR, record, places)
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        node_kind::everywhere(&FLAVOR, places)
    }
}
