//! What the gateway kinds share: a rule is the target, its absence is the prior state, its deadline is its own expiry.
//!
//! A gateway is steered over its socket ([`super::socket`]), or by objects of a cluster that it watches ([`super::object`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object::Object;
use super::socket::Socket;
use super::trial::Trial;
use super::{blackhole, error, latency, refuse, reset};
use crate::clock::Timestamp;
use crate::cluster::Reference;
use crate::drill::about::Permissions;
use crate::drill::spec::{DrillSpec, EnvironmentSpec, Step};
use crate::event::Phase;
use crate::fault::definition::Places;
use crate::fault::gateway::params::Existing;
use crate::fault::{Kind, KindError, Prepared, RECORD_VERSION, Record, TargetId};
use crate::gateway::aws_host;
use crate::gateway::{Effect, Rule};

/// The longest that putting a rule in force should take: it is in memory at once.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How every rule goes away.
pub const UNDO: &str = "The rule is removed, and its id stays refused until its deadline, so that a late inject cannot bring it back. With firedrill dead \
    the rule ends by itself at the run's `undoBy`; with the gateway dead it is gone. In a cluster its object is deleted, on the condition that it is the one \
    that was read (needs create, get, list and delete of gatewayrules.firedrill.dev in its namespace); with the API server dead the rule ends at the same \
    deadline, by the gateways' own clocks.";
/// What steering over a socket needs. What it needs through a cluster its access reviews say, and `firedrill policy`.
pub const PERMISSIONS: Permissions = Permissions {
    inject: &["write to the gateway's socket (mode 0600: the gateway's own user, or root)"],
    revert: &["the same socket"],
    read: &["the same socket", "a TCP connection to the gateway's proxy port"],
};

/// What makes one kind differ from the other.
#[derive(Debug)]
pub struct Flavor {
    /// Name as written in files.
    pub name: &'static str,
    /// Whether a rule with this effect is of this kind.
    pub owns: fn(&Effect) -> bool,
    /// What people should know before they run it.
    pub warning: Option<&'static str>,
    /// Whether a client in front of the gateway sees the rule act; else a sentence. That the gateway counted a hit meanwhile is looked at as well.
    pub bites: for<'a> fn(&'a Trial) -> BoxFuture<'a, Result<(), String>>,
}

/// What a step asks for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Step id.
    pub step: String,
    /// What the rule does; or why there can be no such rule.
    pub effect: Result<Effect, String>,
    /// AWS service names, or `*`.
    pub services: Vec<String>,
    /// AWS region.
    pub region: String,
    /// Whether open connections are cut.
    pub cut_existing: bool,
}

impl Wanted {
    /// What the plan would be refused for, before anything is tried.
    pub fn check(&self) -> Result<(), KindError> {
        let effect = self.effect.as_ref().map(|_| ()).map_err(String::clone);
        effect.and_then(|()| aws_host::check_names(&self.services, &self.region)).map_err(KindError::Refused)
    }

    /// The rule of this id, as a target's intended state.
    pub fn prepared(&self, run: &str, id: &str, deadline: Timestamp) -> Result<Prepared, KindError> {
        let rule = Rule {
            id: id.to_owned(),
            run: run.to_owned(),
            step: self.step.clone(),
            effect: self.effect.clone().map_err(KindError::Refused)?,
            services: self.services.clone(),
            region: self.region.clone(),
            cut_existing: self.cut_existing,
            deadline,
        };
        let ours = serde_json::to_value(rule).map_err(|error| KindError::Failed(error.to_string()))?;
        Ok(Prepared { prior: Value::Null, ours, companions: Vec::new(), noop: false })
    }
}

/// The rule of a record. The record's `undo_by` is the deadline, whatever the rule said when it was planned.
pub fn of_record(record: &Record) -> Result<Rule, KindError> {
    let rule: Rule = serde_json::from_value(record.ours.clone())
        .map_err(|error| KindError::Failed(format!("the record of {} holds no rule: {error}", record.target)))?;
    Ok(Rule { deadline: record.undo_by, ..rule })
}

/// The record of a rule that was found in force, without a journal.
pub(super) fn rebuilt(flavor: &Flavor, target: TargetId, place: &Invert, rule: &Rule) -> Record {
    Record {
        version: RECORD_VERSION,
        run: rule.run.clone(),
        step: rule.step.clone(),
        after: Vec::new(),
        kind: flavor.name.to_owned(),
        action: false,
        keep: false,
        target,
        prior: Value::Null,
        ours: serde_json::json!(rule),
        invert: serde_json::json!(place),
        companions: Vec::new(),
        undo_by: rule.deadline,
        phase: Phase::Injected,
    }
}

/// The id of a step's rule, and so of its name.
#[must_use]
pub fn id(run: &str, step: &str) -> String {
    format!("{run}-{step}")
}

/// Whether a rule acts, as a client of the gateway that listens there sees it. `Err` is a sentence.
pub async fn acts(rule: Rule, listen: SocketAddr) -> Result<(), String> {
    let flavor = match rule.effect {
        Effect::Blackhole => &blackhole::FLAVOR,
        Effect::Refuse => &refuse::FLAVOR,
        Effect::Reset { .. } => &reset::FLAVOR,
        Effect::Latency { .. } => &latency::FLAVOR,
        Effect::Error { .. } => &error::FLAVOR,
    };
    flavor.sees(&Trial::of(&rule, listen)?).await
}

impl Flavor {
    /// Whether a client in front of the gateway sees the rule act; else a sentence that names the host.
    pub async fn sees(&self, trial: &Trial) -> Result<(), String> {
        (self.bites)(trial).await.map_err(|why| format!("{}: {why}", trial.host))
    }
}

/// How a record finds its gateway again: by its socket, or by a cluster and the namespace of its rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invert {
    /// Name of the gateway in its environment.
    pub gateway: String,
    /// Its steering socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The cluster of its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Reference>,
    /// The namespace of its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What every gateway kind asks for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Name of a gateway of the environment.
    pub gateway: &'a str,
    /// AWS service names, or `*`.
    pub services: &'a [String],
    /// AWS region; none is the drill's failed one.
    pub region: Option<&'a str>,
    /// What happens to open connections.
    pub existing: Option<Existing>,
}

/// The kind for a step.
pub fn open(
    flavor: &'static Flavor,
    effect: Effect,
    scope: Scope<'_>,
    places: &Places,
    drill: &DrillSpec,
    step: &Step,
) -> Result<Arc<dyn Kind>, KindError> {
    open_checked(flavor, Ok(effect), scope, places, drill, step)
}

/// The kind for a step whose parameters may make no rule: then `effect` says why, and the plan refuses it.
pub fn open_checked(
    flavor: &'static Flavor,
    effect: Result<Effect, String>,
    scope: Scope<'_>,
    places: &Places,
    drill: &DrillSpec,
    step: &Step,
) -> Result<Arc<dyn Kind>, KindError> {
    let wanted = Wanted {
        step: step.id.clone(),
        effect,
        services: scope.services.to_vec(),
        region: scope.region.unwrap_or(&drill.failed_region).to_owned(),
        cut_existing: scope.existing.unwrap_or_default() == Existing::Cut,
    };
    kind(flavor, found(&places.environment, scope.gateway)?, places, Some(wanted))
}

/// The kind that undoes a record. The record alone says where the gateway is: the environment may have changed since.
pub fn reopen(flavor: &'static Flavor, record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
    let unknown = |error: String| KindError::Failed(format!("the record of {} does not say where its gateway is: {error}", record.target));
    let invert: Invert = serde_json::from_value(record.invert.clone()).map_err(|error| unknown(error.to_string()))?;
    kind(flavor, invert, places, None).map_err(|error| unknown(error.to_string()))
}

/// The kind, once for every gateway of the environment; gateways that watch one namespace have the same rules.
pub fn everywhere(flavor: &'static Flavor, places: &Places) -> Vec<Arc<dyn Kind>> {
    let spec = &places.environment;
    let mut all: Vec<Invert> = Vec::new();
    for invert in spec.gateways.iter().filter_map(|gateway| found(spec, &gateway.name).ok()) {
        let same = |other: &Invert| invert.cluster.is_some() && (&other.cluster, &other.namespace) == (&invert.cluster, &invert.namespace);
        if !all.iter().any(same) {
            all.push(invert);
        }
    }
    all.into_iter().filter_map(|invert| kind(flavor, invert, places, None).ok()).collect()
}

fn kind(flavor: &'static Flavor, place: Invert, places: &Places, wanted: Option<Wanted>) -> Result<Arc<dyn Kind>, KindError> {
    match (&place.socket, &place.cluster, &place.namespace) {
        (Some(socket), ..) => Ok(Arc::new(Socket::new(flavor, socket.into(), place, wanted))),
        (None, Some(cluster), Some(namespace)) => {
            Ok(Arc::new(Object::new(flavor, places.clusters.get(cluster), namespace.clone(), place, places, wanted)))
        }
        (None, ..) => Err(KindError::Refused(format!("gateway '{}' has neither a socket nor a cluster with a namespace", place.gateway))),
    }
}

fn found(places: &EnvironmentSpec, name: &str) -> Result<Invert, KindError> {
    let Some(found) = places.gateways.iter().find(|gateway| gateway.name == name) else {
        let names: Vec<&str> = places.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
        let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
        return Err(KindError::Refused(format!("gateway '{name}' is not in the environment; {has}")));
    };
    let connection = &found.connection;
    let cluster = connection.cluster.as_ref().map(|cluster| {
        let known = places.kubernetes.iter().find(|one| one.name == *cluster);
        known.map(Reference::from).ok_or_else(|| KindError::Refused(format!("cluster '{cluster}' of gateway '{name}' is not in the environment")))
    });
    Ok(Invert {
        gateway: found.name.clone(),
        socket: connection.socket.clone(),
        cluster: cluster.transpose()?,
        namespace: connection.namespace.clone(),
    })
}
