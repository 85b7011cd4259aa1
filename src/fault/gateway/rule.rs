//! What the gateway kinds share: a rule of one gateway is the target, its absence is the prior state, its deadline is its own expiry.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::trial::Trial;
use crate::clock::Timestamp;
use crate::drill::about::Permissions;
use crate::drill::spec::{DrillSpec, EnvironmentSpec, Step};
use crate::event::Phase;
use crate::fault::definition::Places;
use crate::fault::gateway::params::Existing;
use crate::fault::shell::word;
use crate::fault::{Bite, ByHand, Expiry, Kind, KindError, Observed, Prepared, RECORD_VERSION, Record, TargetId};
use crate::gateway::aws_host;
use crate::gateway::client::{Client, ClientError};
use crate::gateway::rules::RuleStatus;
use crate::gateway::steering::ErrorCode;
use crate::gateway::{Effect, Rule};

/// The longest that putting a rule in force should take: it is in memory at once.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How every rule goes away.
pub const UNDO: &str = "The rule is removed, and its id stays refused until its deadline, so that a late inject cannot bring it back. With firedrill dead \
    the rule ends by itself at the run's `undoBy`; with the gateway dead it is gone.";
/// What steering needs.
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

/// How a record finds its gateway again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invert {
    /// Name of the gateway in its environment.
    pub gateway: String,
    /// Its steering socket.
    pub socket: String,
}

/// A gateway kind, bound to one gateway.
#[derive(Debug)]
pub struct GatewayRule {
    flavor: &'static Flavor,
    place: Invert,
    client: Client,
    wanted: Option<Wanted>,
}

impl GatewayRule {
    /// The kind for undoing, observing and discovering.
    fn new(flavor: &'static Flavor, place: Invert) -> Self {
        let client = Client::new(&place.socket);
        Self { flavor, place, client, wanted: None }
    }

    /// The kind for a step.
    fn for_step(flavor: &'static Flavor, place: Invert, wanted: Wanted) -> Self {
        Self { wanted: Some(wanted), ..Self::new(flavor, place) }
    }

    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{}' was opened for undoing, not for a step", self.flavor.name)))
    }

    /// The rule of a record. The record's `undo_by` is the deadline, whatever the rule said when it was planned.
    fn rule(record: &Record) -> Result<Rule, KindError> {
        let rule: Rule = serde_json::from_value(record.ours.clone())
            .map_err(|error| KindError::Failed(format!("the record of {} holds no rule: {error}", record.target)))?;
        Ok(Rule { id: record.target.id.clone(), deadline: record.undo_by, ..rule })
    }

    fn target(&self, id: String) -> TargetId {
        TargetId { place: format!("gateway/{}", self.place.gateway), id }
    }

    async fn find(&self, id: &str) -> Result<Option<RuleStatus>, ClientError> {
        Ok(self.client.list().await?.into_iter().find(|status| status.rule.id == id))
    }

    /// Removes exactly our rule, and fences an inject that may still be on its way.
    async fn withdraw(&self, record: &Record) -> Result<(), KindError> {
        let rule = Self::rule(record)?;
        self.client.remove(&rule.id, Some(record.undo_by), Some(&rule)).await.map(|_| ()).map_err(kind_error)
    }
}

#[async_trait]
impl Kind for GatewayRule {
    fn name(&self) -> &'static str {
        self.flavor.name
    }

    fn expiry(&self) -> Expiry {
        Expiry::Own
    }

    /// Zero: removing leaves a tombstone that refuses a late inject.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    fn warnings(&self) -> Vec<String> {
        self.flavor.warning.iter().map(|warning| (*warning).to_owned()).collect()
    }

    async fn resolve(&self, run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = self.wanted()?;
        check(wanted).map_err(KindError::Refused)?;
        Ok(vec![self.target(format!("{run}-{}", wanted.step))])
    }

    async fn prepare(&self, run: &str, target: &TargetId, undo_by: Timestamp) -> Result<Prepared, KindError> {
        let wanted = self.wanted()?;
        if self.find(&target.id).await.map_err(kind_error)?.is_some() {
            return Err(KindError::Conflict(format!("gateway '{}' has a rule '{}' already", self.place.gateway, target.id)));
        }
        let rule = Rule {
            id: target.id.clone(),
            run: run.to_owned(),
            step: wanted.step.clone(),
            effect: wanted.effect.clone().map_err(KindError::Refused)?,
            services: wanted.services.clone(),
            region: wanted.region.clone(),
            cut_existing: wanted.cut_existing,
            deadline: undo_by,
        };
        let ours = serde_json::to_value(rule).map_err(|error| KindError::Failed(error.to_string()))?;
        Ok(Prepared { prior: Value::Null, ours, companions: Vec::new(), noop: false })
    }

    fn invert(&self) -> Value {
        serde_json::json!(self.place)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        self.client.put(&Self::rule(record)?).await.map(|_| ()).map_err(kind_error)
    }

    async fn observe(&self, record: &Record) -> Observed {
        let ours = match Self::rule(record) {
            Ok(ours) => ours,
            Err(error) => return Observed::Unreadable { error: error.to_string() },
        };
        match self.find(&ours.id).await {
            // Rules live in memory: a gateway that was restarted has none, and that is the prior state.
            Ok(None) => Observed::Prior,
            Ok(Some(status)) if status.rule == ours => Observed::Ours { marked: true },
            Ok(Some(status)) => Observed::Other { current: serde_json::json!(status.rule) },
            // Nobody listens, and the deadline has passed: neither the gateway nor a rule that it might still have kept is there.
            Err(ClientError::Unreachable { .. }) if Timestamp::from(SystemTime::now()) > record.undo_by => Observed::Absent,
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        self.withdraw(record).await
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        match self.withdraw(record).await {
            // Someone else's rule under our id stays.
            Err(KindError::Conflict(_)) => Ok(()),
            done => done,
        }
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.look(record).await {
            Ok(()) => Bite::Verified,
            Err(why) => Bite::Unproven { why },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let rules = self.client.list().await.map_err(kind_error)?;
        let mine = rules.into_iter().map(|status| status.rule).filter(|rule| (self.flavor.owns)(&rule.effect));
        Ok(mine.map(|rule| self.rebuild(rule)).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let socket = word(&self.place.socket);
        let inject = Self::rule(record).ok().and_then(|rule| serde_json::to_string(&rule).ok());
        ByHand {
            inject: inject.iter().map(|rule| format!("firedrill gateway put --socket {socket} {}", word(rule))).collect(),
            undo: vec![format!("firedrill gateway remove --socket {socket} {}", word(&record.target.id))],
        }
    }
}

impl GatewayRule {
    /// Does through the proxy what the rule must act on, and looks at both ends: what the client sees, and what the gateway counted.
    async fn look(&self, record: &Record) -> Result<(), String> {
        let ours = Self::rule(record).map_err(|error| error.to_string())?;
        let not_there = || format!("rule '{}' is not in force", ours.id);
        let before = self.find(&ours.id).await.map_err(|error| error.to_string())?.ok_or_else(not_there)?;
        if before.rule != ours {
            return Err(format!("rule '{}' is not as firedrill put it", ours.id));
        }
        let status = self.client.status().await.map_err(|error| error.to_string())?;
        let trial = Trial::of(&ours, status.listen)?;
        (self.flavor.bites)(&trial).await.map_err(|why| format!("{}: {why}", trial.host))?;
        let after = self.find(&ours.id).await.map_err(|error| error.to_string())?.ok_or_else(not_there)?;
        if after.hits <= before.hits {
            return Err(format!("the gateway counted no hit of rule '{}'", ours.id));
        }
        Ok(())
    }

    fn rebuild(&self, rule: Rule) -> Record {
        Record {
            version: RECORD_VERSION,
            run: rule.run.clone(),
            step: rule.step.clone(),
            after: Vec::new(),
            kind: self.flavor.name.to_owned(),
            action: false,
            keep: false,
            target: self.target(rule.id.clone()),
            prior: Value::Null,
            ours: serde_json::json!(rule),
            invert: self.invert(),
            companions: Vec::new(),
            undo_by: rule.deadline,
            phase: Phase::Injected,
        }
    }
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
    Ok(Arc::new(GatewayRule::for_step(flavor, place(&places.environment, scope.gateway)?, wanted)))
}

/// The kind that undoes a record. The record alone says where the gateway is: the environment may have changed since.
pub fn reopen(flavor: &'static Flavor, record: &Record) -> Result<Arc<dyn Kind>, KindError> {
    let place: Invert = serde_json::from_value(record.invert.clone())
        .map_err(|error| KindError::Failed(format!("the record of {} does not say where its gateway is: {error}", record.target)))?;
    Ok(Arc::new(GatewayRule::new(flavor, place)))
}

/// The kind, once for every gateway that can be steered from here.
pub fn everywhere(flavor: &'static Flavor, places: &Places) -> Vec<Arc<dyn Kind>> {
    let spec = &places.environment;
    let reached = spec.gateways.iter().filter_map(|gateway| place(spec, &gateway.name).ok());
    reached.map(|place| Arc::new(GatewayRule::new(flavor, place)) as Arc<dyn Kind>).collect()
}

fn place(places: &EnvironmentSpec, name: &str) -> Result<Invert, KindError> {
    let Some(found) = places.gateways.iter().find(|gateway| gateway.name == name) else {
        let names: Vec<&str> = places.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
        let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
        return Err(KindError::Refused(format!("gateway '{name}' is not in the environment; {has}")));
    };
    match &found.connection.socket {
        Some(socket) => Ok(Invert { gateway: found.name.clone(), socket: socket.clone() }),
        None => Err(KindError::Refused(format!("gateway '{name}' is steered through a cluster, which is not built yet; give it a socket"))),
    }
}

/// What the gateway would refuse, before anything is tried.
fn check(wanted: &Wanted) -> Result<(), String> {
    if let Err(why) = &wanted.effect {
        return Err(why.clone());
    }
    aws_host::check_names(&wanted.services, &wanted.region)
}

fn kind_error(error: ClientError) -> KindError {
    match error {
        ClientError::Unreachable { .. } => KindError::Unreachable(error.to_string()),
        ClientError::LostAnswer { .. } => KindError::LostAnswer(error.to_string()),
        ClientError::Refused { code: ErrorCode::Conflict | ErrorCode::Over, message } => KindError::Conflict(message),
        ClientError::Refused { code: ErrorCode::Invalid | ErrorCode::Full, message } => KindError::Failed(message),
    }
}
