//! What cordons and drains share: the nodes that a step names, `spec.unschedulable` as the field that is owned, and its undo.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::params::NodeSelector;
use super::place::{self, kubectl, text};
use super::{mark, place::invert};
use crate::cluster::access::Needs;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{At, NODES};
use crate::cluster::together;
use crate::fault::shell::{blank, word};
use crate::fault::{ByHand, KindError, Observed, Prepared, Record, TargetId};

/// Label of a node's availability zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// The nodes of one cluster.
#[derive(Debug)]
pub struct Nodes {
    /// Their cluster.
    pub cluster: Arc<Cluster>,
    /// What was read of each by [`Nodes::resolve`], by name: planning a thousand nodes takes one listing.
    read: Mutex<HashMap<String, Value>>,
    /// Targets that the last reading found without our mark: tidying those takes no further reading.
    bare: Mutex<HashSet<TargetId>>,
}

impl Nodes {
    /// The nodes of a cluster.
    pub fn of(cluster: Arc<Cluster>) -> Self {
        Self { cluster, read: Mutex::default(), bare: Mutex::default() }
    }

    /// What a cordon needs.
    pub fn needs(&self) -> Needs {
        let node = |verb| self.cluster.access(verb, NODES, None);
        Needs { inject: vec![node("patch")], revert: vec![node("patch")], read: vec![self.cluster.check_access(), node("get"), node("list")] }
    }

    /// Reads: the nodes that a selector names, in order of their names.
    pub async fn resolve(&self, selector: &NodeSelector) -> Result<Vec<TargetId>, KindError> {
        let labels = place::selector(&selector.labels);
        let found = self.cluster.list(NODES, None, Some(&labels), None).await?;
        let named: Vec<Value> = found.into_iter().filter(|node| chosen(selector, node)).collect();
        let missing = selector.names.iter().find(|name| !named.iter().any(|node| text(node, "/metadata/name") == name.as_str()));
        if let Some(missing) = missing {
            return Err(KindError::Refused(format!("cluster '{}' has no such node '{missing}'", self.cluster.name())));
        }
        let targets = named.iter().map(|node| self.target(node)).collect();
        let read = named.into_iter().map(|node| (text(&node, "/metadata/name").to_owned(), node));
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = read.collect();
        Ok(targets)
    }

    /// Reads: how many nodes each cluster of the environment has.
    pub async fn population(clusters: &[Arc<Cluster>]) -> Result<BTreeMap<String, usize>, KindError> {
        let mut population = BTreeMap::new();
        for cluster in clusters {
            population.insert(cluster.place(), cluster.list(NODES, None, None, None).await?.len());
        }
        Ok(population)
    }

    /// The nodes that [`Nodes::resolve`] read.
    pub fn read(&self) -> Vec<Value> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Reads: a node's prior state.
    pub async fn prepare(&self, target: &TargetId) -> Result<Prepared, KindError> {
        let (name, _) = identity(target)?;
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let node = match known {
            Some(node) => node,
            None => self.find(target).await?.ok_or_else(|| KindError::Conflict(format!("node '{name}' is gone")))?,
        };
        if let Some(run) = mark::run(&node) {
            return Err(KindError::Refused(format!("node '{name}' is marked by run {run}; `firedrill sweep` shows what it left")));
        }
        let noop = unschedulable(&node);
        Ok(Prepared { prior: json!({"unschedulable": noop}), ours: json!({"unschedulable": true}), companions: Vec::new(), noop })
    }

    /// Writes: cordons the node, and marks it in the same patch.
    pub async fn cordon(&self, record: &Record) -> Result<(), KindError> {
        match self.cordon_once(record, false).await {
            // A node without a single annotation has no map to add one to; the answer to a failed test does not say so.
            Err(ApiError::Conflict { .. }) => match self.find(&record.target).await? {
                Some(node) if mark::bare(&node) && !unschedulable(&node) => Ok(self.cordon_once(record, true).await?),
                Some(node) if mark::is_on(&node, record) => Ok(()),
                Some(_) => Err(KindError::Conflict(format!("node '{}' is not as it was planned", identity(&record.target)?.0))),
                None => Err(KindError::Conflict(format!("node '{}' is gone", identity(&record.target)?.0))),
            },
            done => Ok(done?),
        }
    }

    async fn cordon_once(&self, record: &Record, bare: bool) -> Result<(), ApiError> {
        let (name, uid) = parts(&record.target);
        let mut operations = vec![mark::same(uid), mark::test("/spec/unschedulable", Value::Null)];
        operations.extend(mark::add(record, bare));
        operations.push(json!({"op": "add", "path": "/spec/unschedulable", "value": true}));
        self.cluster.patch(&at(name), &operations).await
    }

    /// Reads: where a node is.
    pub async fn observe(&self, record: &Record) -> Observed {
        let node = match self.find(&record.target).await {
            Ok(Some(node)) => node,
            Ok(None) => return Observed::Absent,
            Err(error) => return Observed::Unreadable { error: error.to_string() },
        };
        let mut bare = self.bare.lock().unwrap_or_else(PoisonError::into_inner);
        if mark::is_on(&node, record) {
            bare.remove(&record.target)
        } else {
            bare.insert(record.target.clone())
        };
        drop(bare);
        match (unschedulable(&node), mark::run(&node)) {
            (false, _) => Observed::Prior,
            (true, Some(run)) if run != record.run => Observed::Other { current: json!({"unschedulable": true, "run": run}) },
            (true, _) => Observed::Ours { marked: mark::is_on(&node, record) },
        }
    }

    /// Writes: uncordons a node that is ours, and takes the mark off in the same patch.
    pub async fn uncordon(&self, record: &Record) -> Result<(), KindError> {
        let (name, uid) = identity(&record.target)?;
        let mut operations = vec![mark::same(uid), mark::test("/spec/unschedulable", true.into())];
        operations.extend(mark::remove(record, &marked(record)));
        operations.push(json!({"op": "remove", "path": "/spec/unschedulable"}));
        match self.cluster.patch(&at(name), &operations).await {
            Err(ApiError::NotFound { .. }) => Err(KindError::Conflict(format!("node '{name}' is gone"))),
            done => Ok(done?),
        }
    }

    /// Writes: takes our mark off a node that is not ours any more; a call only when there is one.
    pub async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        if self.bare.lock().unwrap_or_else(PoisonError::into_inner).remove(&record.target) {
            return Ok(());
        }
        let Some(node) = self.find(&record.target).await? else { return Ok(()) };
        if !mark::is_on(&node, record) {
            return Ok(());
        }
        let (name, uid) = identity(&record.target)?;
        let mut operations = vec![mark::same(uid)];
        operations.extend(mark::remove(record, &node));
        Ok(self.cluster.patch(&at(name), &operations).await?)
    }

    /// Reads: nodes with a mark of the kind `kind`.
    pub async fn discover(&self, kind: &str) -> Result<Vec<Record>, KindError> {
        let nodes = self.cluster.list(NODES, None, None, None).await?;
        let carried = nodes.iter().filter_map(|node| mark::carried(node, self.target(node), invert(&self.cluster)));
        Ok(carried.filter(|record| record.kind == kind).collect())
    }

    /// How a person cordons and uncordons.
    pub fn by_hand(&self, record: &Record, inject: &str) -> ByHand {
        let (kubectl, name) = (kubectl(&self.cluster), word(parts(&record.target).0));
        ByHand {
            inject: vec![format!("{kubectl} {inject} {name}")],
            undo: vec![
                format!("{kubectl} uncordon {name}"),
                format!("{kubectl} annotate node {name} {}- {}- {}-", mark::RUN, mark::EXPIRES, mark::RECORD),
            ],
        }
    }

    /// All nodes of a step that was not looked up.
    pub fn blank(&self, step: &str) -> TargetId {
        TargetId { place: self.cluster.place(), id: format!("nodes/{}/<uid>", blank("each node", step)) }
    }

    fn target(&self, node: &Value) -> TargetId {
        TargetId { place: self.cluster.place(), id: format!("nodes/{}/{}", text(node, "/metadata/name"), mark::uid(node)) }
    }

    /// The node with the uid of the target; none when it is gone, or another has its name.
    async fn find(&self, target: &TargetId) -> Result<Option<Value>, ApiError> {
        let (name, uid) = parts(target);
        Ok(together::node(&self.cluster, name).await?.filter(|node| mark::uid(node) == uid))
    }
}

/// The mark as a successful cordon wrote it.
fn marked(record: &Record) -> Value {
    let all: serde_json::Map<String, Value> = mark::annotations(record).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    json!({"metadata": {"annotations": all}})
}

fn at(name: &str) -> At<'_> {
    NODES.at(None, name)
}

/// Name and uid of a target; empty when it is no node's.
pub fn parts(target: &TargetId) -> (&str, &str) {
    target.id.strip_prefix("nodes/").and_then(|rest| rest.split_once('/')).unwrap_or_default()
}

fn identity(target: &TargetId) -> Result<(&str, &str), KindError> {
    let (name, uid) = parts(target);
    if name.is_empty() { Err(KindError::Failed(format!("{target} is no node"))) } else { Ok((name, uid)) }
}

/// Whether new pods are kept off the node.
pub fn unschedulable(node: &Value) -> bool {
    node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false)
}

fn chosen(selector: &NodeSelector, node: &Value) -> bool {
    let zone = node.pointer("/metadata/labels").and_then(|labels| labels.get(ZONE)).and_then(Value::as_str).unwrap_or_default();
    let name = text(node, "/metadata/name");
    (selector.zones.is_empty() || selector.zones.iter().any(|wanted| wanted == zone))
        && (selector.names.is_empty() || selector.names.iter().any(|wanted| wanted == name))
}
