//! The kind behind nodeCordon and nodeDrain: a drain is a cordon that then asks the pods to leave.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::evict::{self, Fate};
use super::node::{self, Nodes};
use super::params::NodeSelector;
use super::{node_examine, place};
use crate::clock::Timestamp;
use crate::cluster::resource::{DISRUPTION_BUDGETS, PODS};
use crate::fault::definition::Places;
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Progress, Record, TargetId};
use crate::needs::Needs;

/// What makes a drain differ from a cordon.
#[derive(Debug)]
pub struct Flavor {
    /// Name as written in files.
    pub name: &'static str,
    /// Whether pods are evicted.
    pub evicts: bool,
    /// `kubectl` words that do it by hand.
    pub by_hand: &'static str,
}

/// Nodes of one cluster that are cordoned, or drained.
#[derive(Debug)]
pub struct NodeKind {
    flavor: &'static Flavor,
    nodes: Nodes,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

/// What a step asks for.
#[derive(Debug)]
pub struct Wanted {
    /// Which nodes.
    pub nodes: NodeSelector,
    /// Time that pods have to end; none is each pod's own.
    pub grace: Option<Duration>,
    /// Where the step works.
    pub places: Places,
}

/// The kind for a step.
pub fn open(flavor: &'static Flavor, cluster: &str, wanted: Wanted) -> Result<Arc<dyn Kind>, KindError> {
    let nodes = Nodes::of(place::named(&wanted.places, cluster)?);
    Ok(Arc::new(NodeKind { flavor, nodes, wanted: Some(wanted) }))
}

/// The kind that undoes a record.
pub fn reopen(flavor: &'static Flavor, record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
    Ok(Arc::new(NodeKind { flavor, nodes: Nodes::of(place::of_record(record, places)?), wanted: None }))
}

/// The kind, once for every cluster.
pub fn everywhere(flavor: &'static Flavor, places: &Places) -> Vec<Arc<dyn Kind>> {
    let clusters = places.clusters.all(&places.environment).into_iter();
    clusters.map(|cluster| Arc::new(NodeKind { flavor, nodes: Nodes::of(cluster), wanted: None }) as Arc<dyn Kind>).collect()
}

impl NodeKind {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{}' was opened for undoing, not for a step", self.flavor.name)))
    }

    /// Time that pods have to end. A record that is gone on with by another process falls back to each pod's own.
    fn grace(&self) -> Option<Duration> {
        self.wanted.as_ref().and_then(|wanted| wanted.grace)
    }

    /// Pods that a drain has to move and that are still there.
    async fn staying(&self, node: &str) -> Result<Vec<Value>, KindError> {
        let pods = evict::pods_of(&self.nodes.cluster, node).await?;
        Ok(pods.into_iter().filter(|pod| evict::fate(pod) == Fate::Leaves).collect())
    }
}

#[async_trait]
impl Kind for NodeKind {
    fn name(&self) -> &'static str {
        self.flavor.name
    }

    fn expiry(&self) -> Expiry {
        Expiry::None
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn warnings(&self) -> Vec<String> {
        let drains = self.flavor.evicts.then(|| "moves pods for good: they do not come back when the node is uncordoned".to_owned());
        drains.into_iter().collect()
    }

    fn needs(&self) -> Needs {
        let mut needs = self.nodes.needs();
        let cluster = &self.nodes.cluster;
        if self.flavor.evicts {
            needs.inject.push(cluster.access("create", PODS, None).subresource("eviction"));
            needs.read.push(cluster.access("list", PODS, None));
            needs.read.push(cluster.access("list", DISRUPTION_BUDGETS, None));
        }
        // A share of the nodes of all clusters is what limits in percent are about.
        let others = self.wanted.iter().flat_map(|wanted| wanted.places.clusters.all(&wanted.places.environment));
        for other in others.filter(|other| other.name() != cluster.name()) {
            needs.read.extend([other.check_access(), other.access("list", crate::cluster::resource::NODES, None)]);
        }
        needs.into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let places = &self.wanted()?.places;
        place::missing(&self.needs(), places).await
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        node_examine::examine(&self.nodes, self.flavor.evicts, &self.wanted()?.places, records).await
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        self.nodes.resolve(&self.wanted()?.nodes).await
    }

    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        self.nodes.prepare(target).await
    }

    fn invert(&self) -> Value {
        place::invert(&self.nodes.cluster)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        self.nodes.cordon(record).await
    }

    async fn proceed(&self, record: &Record) -> Result<Progress, KindError> {
        if !self.flavor.evicts {
            return Ok(Progress::Done);
        }
        let pods = self.staying(node::parts(&record.target).0).await?;
        evict::round(&self.nodes.cluster, pods, self.grace()).await
    }

    fn reverts_conditionally(&self) -> bool {
        true
    }

    async fn observe(&self, record: &Record) -> Observed {
        self.nodes.observe(record).await
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        self.nodes.uncordon(record).await
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        self.nodes.tidy(record).await
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.nodes.observe(record).await {
            Observed::Ours { marked: true } => Bite::Verified,
            other => Bite::Unproven { why: format!("the node takes pods: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        self.nodes.discover(self.flavor.name).await
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        self.nodes.by_hand(record, self.flavor.by_hand)
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        Some((self.nodes.blank(step), Prepared { prior: Value::Null, ours: Value::Null, companions: Vec::new(), noop: false }))
    }
}
