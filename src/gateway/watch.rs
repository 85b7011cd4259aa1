//! Rules as objects: a gateway takes the `GatewayRule`s of a namespace in force, drops them when they are deleted, and says so in their status.
//!
//! It fails open, and undo does not depend on the API server: with that away, the rules that are known stay until their deadline and end by the gateway's
//! own clock. While one is in force the namespace is listed again every [`LOOK_AGAIN`], beside being watched: a connection that died without a word
//! must not keep a fault in place that was undone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Rule;
use super::connection::Shared;
use super::object::{GatewayRuleSpec, GatewayRuleStatus, GatewaySaid};
use crate::clock::Timestamp;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::GATEWAY_RULES;
use crate::cluster::watch::Change;

/// How old what is known of the namespace may become while a rule is in force.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The first pause after a call that failed, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How often is looked whether there is something to say.
const TICK: Duration = Duration::from_secs(1);
/// What is new only in how often a rule acted is said this often.
const HITS_EVERY: Duration = Duration::from_secs(10);
/// A rule that was not seen to act is tried again after this long, for this long at most.
const PROOF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// Longest that the last word may take when the gateway stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// Sees whether a rule acts, as a client of the gateway that listens there. `Err` is a sentence.
pub type Prove = Arc<dyn Fn(Rule, SocketAddr) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Which rules a gateway follows, and who it is.
pub struct Watch {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace.
    pub namespace: String,
    /// What the gateway is called in the status of rules.
    pub name: String,
    /// How it finds out that a rule acts.
    pub prove: Prove,
}

/// Begins to follow.
pub(super) fn start(shared: &Arc<Shared>, watch: Watch) {
    let watcher = Arc::new(Watcher { shared: shared.clone(), watch, known: Mutex::default(), news: Notify::new() });
    shared.tasks.spawn(watcher.clone().follow());
    shared.tasks.spawn(watcher.tell());
}

struct Watcher {
    shared: Arc<Shared>,
    watch: Watch,
    /// By name.
    known: Mutex<BTreeMap<String, Known>>,
    /// Something may be to be said.
    news: Notify,
}

/// An object, and what became of it here.
struct Known {
    uid: String,
    version: String,
    generation: Option<i64>,
    status: GatewayRuleStatus,
    /// The rule that was put in force, or why none was.
    taken: Result<Rule, String>,
    /// Whether it was seen to act; none: nobody has looked yet.
    proof: Option<Result<(), String>>,
    /// How often it had acted when it was last looked at.
    hits: u64,
    /// The version at which a write was refused because somebody else wrote first. What became of the object is on its way.
    beaten: Option<String>,
}

impl Watcher {
    /// Follows the namespace until the gateway stops.
    async fn follow(self: Arc<Self>) {
        let (mut pause, mut said) = (PAUSE.0, String::new());
        loop {
            let ended = tokio::select! {
                ended = self.once(&mut said) => ended,
                () = self.shared.stop.cancelled() => return,
            };
            let Err(error) = ended else {
                pause = PAUSE.0;
                continue;
            };
            let hint = if matches!(error, ApiError::NotFound { .. }) { "; is it defined? `firedrill crds | kubectl apply -f -`" } else { "" };
            let now = format!("{error}{hint}");
            if said != now {
                tracing::warn!("cannot follow gatewayrules of namespace {}; rules in force stay until their deadline: {now}", self.watch.namespace);
                said = now;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.shared.stop.cancelled() => return,
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Lists, and watches until the version is too old or it is time to list again.
    async fn once(self: &Arc<Self>, said: &mut String) -> Result<(), ApiError> {
        let Watch { cluster, namespace, .. } = &self.watch;
        let (items, mut version) = cluster.list_at(GATEWAY_RULES, namespace).await?;
        if !said.is_empty() {
            tracing::info!("gatewayrules of namespace {namespace} are followed again");
            said.clear();
        }
        let fresh = Instant::now() + LOOK_AGAIN;
        self.all(items);
        loop {
            let mut changes = cluster.watch(GATEWAY_RULES, namespace, &version).await?;
            loop {
                let change = tokio::select! {
                    change = changes.next() => change,
                    () = sleep_until(fresh), if self.any_in_force() => return Ok(()),
                };
                let Some(change) = change.transpose()? else { break };
                if let Some(now) = change.version() {
                    now.clone_into(&mut version);
                }
                match change {
                    Change::Is(object) => self.is(&object),
                    Change::Gone(object) => self.gone(text(&object, "/metadata/name"), Some(text(&object, "/metadata/uid"))),
                    Change::Mark(_) => {}
                    Change::TooOld => return Ok(()),
                }
            }
        }
    }

    /// Everything that is there: the oldest first, since of two rules the newer acts.
    fn all(self: &Arc<Self>, mut items: Vec<Value>) {
        items.sort_by(|one, other| age(one).cmp(&age(other)));
        let names: Vec<String> = self.hold().keys().cloned().collect();
        for name in names.iter().filter(|name| !items.iter().any(|item| text(item, "/metadata/name") == name.as_str())) {
            self.gone(name, None);
        }
        items.iter().for_each(|item| self.is(item));
    }

    /// An object as it is now.
    fn is(self: &Arc<Self>, object: &Value) {
        let (name, uid) = (text(object, "/metadata/name"), text(object, "/metadata/uid"));
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return self.gone(name, Some(uid));
        }
        // Another object of the same name: the one that is known is gone.
        if self.hold().get(name).is_some_and(|known| known.uid != uid) {
            self.gone(name, None);
        }
        let mut all = self.hold();
        if let Some(known) = all.get_mut(name) {
            known.seen(object);
        } else {
            let taken = self.take(object);
            match &taken {
                Ok(rule) => {
                    tracing::info!("rule {} is in force until {}, by gatewayrule {name}", rule.id, rule.deadline);
                    self.shared.tasks.spawn(self.clone().prove(name.to_owned(), uid.to_owned(), rule.clone()));
                }
                Err(why) => tracing::warn!("gatewayrule {name} is not in force: {why}"),
            }
            all.insert(name.to_owned(), Known::new(object, taken));
        }
        drop(all);
        self.news.notify_one();
    }

    /// The rule of an object, put in force; or why not.
    fn take(&self, object: &Value) -> Result<Rule, String> {
        let spec = object.get("spec").cloned().unwrap_or_default();
        let spec: GatewayRuleSpec = serde_json::from_value(spec).map_err(|error| format!("it cannot be read by this build: {error}"))?;
        let rule = Rule::try_from(&spec).map_err(|error| error.to_string())?;
        self.shared.put(&rule).map_err(|error| error.to_string())?;
        Ok(rule)
    }

    /// An object that is gone, with this uid when one is given: its rule ends.
    fn gone(&self, name: &str, uid: Option<&str>) {
        let mut all = self.hold();
        if uid.is_some_and(|uid| all.get(name).is_some_and(|known| known.uid != uid)) {
            return;
        }
        let Some(known) = all.remove(name) else { return };
        drop(all);
        let Ok(rule) = known.taken else { return };
        // A rule of another content under this id is somebody else's.
        if self.shared.rules.remove(&rule.id, None, Some(&rule)) == Ok(true) {
            tracing::info!("rule {} was removed with gatewayrule {name}", rule.id);
        }
    }

    fn any_in_force(&self) -> bool {
        self.hold().values().any(|known| known.taken.as_ref().is_ok_and(|rule| self.shared.rules.hits(rule).is_some()))
    }

    /// Tries a rule until it is seen to act.
    async fn prove(self: Arc<Self>, name: String, uid: String, rule: Rule) {
        let end = Instant::now() + PROOF.1;
        loop {
            let proof = tokio::select! {
                proof = self.proof(&rule) => proof,
                () = self.shared.stop.cancelled() => return,
            };
            let proven = proof.is_ok();
            match self.hold().get_mut(&name).filter(|known| known.uid == uid) {
                Some(known) => known.proof = Some(proof),
                None => return,
            }
            self.news.notify_one();
            if proven || Instant::now() >= end || self.shared.rules.hits(&rule).is_none() {
                return;
            }
            tokio::select! {
                () = sleep(PROOF.0) => {}
                () = self.shared.stop.cancelled() => return,
            }
        }
    }

    /// Both ends: what a client sees, and what was counted meanwhile.
    async fn proof(&self, rule: &Rule) -> Result<(), String> {
        let ended = || "it ended before it was seen to act".to_owned();
        let before = self.shared.rules.hits(rule).ok_or_else(ended)?;
        (self.watch.prove)(rule.clone(), self.shared.listen).await?;
        let after = self.shared.rules.hits(rule).ok_or_else(ended)?;
        if after > before { Ok(()) } else { Err("no hit was counted".to_owned()) }
    }

    /// Writes what is new into the status of the objects, until the gateway stops; then takes its words back.
    async fn tell(self: Arc<Self>) {
        let mut said = String::new();
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                () = sleep(TICK) => {}
                () = self.shared.stop.cancelled() => {
                    let leaving = self.say(|known, now| {
                        known.status.of(&self.watch.name)?;
                        Some(known.status.without(&self.watch.name, known.generation, now))
                    });
                    // A status that keeps its word of a gateway that is gone is a blemish, and no fault in place.
                    let _ = timeout(GOODBYE, leaving).await;
                    return;
                }
            }
            let told = tokio::select! {
                told = self.say(|known, now| self.news_of(known, now)) => told,
                () = self.shared.stop.cancelled() => continue,
            };
            match told {
                Ok(()) => said.clear(),
                Err(error) => {
                    if said != error.to_string() {
                        said = error.to_string();
                        tracing::warn!("cannot say in their status what became of gatewayrules: {said}");
                    }
                    tokio::select! {
                        () = sleep(PAUSE.1) => {}
                        () = self.shared.stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Writes the statuses that `new` gives. The first error is the answer, but for objects that are gone, or that somebody else wrote first.
    async fn say(&self, new: impl Fn(&mut Known, Timestamp) -> Option<GatewayRuleStatus>) -> Result<(), ApiError> {
        let now = Timestamp::from(SystemTime::now());
        let due: Vec<(String, String, String, GatewayRuleStatus)> = {
            let mut all = self.hold();
            let due = all.iter_mut().filter(|(_, known)| known.beaten.as_ref() != Some(&known.version));
            due.filter_map(|(name, known)| Some((name.clone(), known.uid.clone(), known.version.clone(), new(known, now)?))).collect()
        };
        let mut failed = None;
        for (name, uid, version, status) in due {
            // The whole status is written, so it must be the one that was read: another gateway may have spoken since.
            let patch = [
                json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}),
                json!({"op": "add", "path": "/status", "value": status}),
            ];
            let answer = self.watch.cluster.patch_status(&GATEWAY_RULES.at(Some(&self.watch.namespace), &name), &patch).await;
            let mut all = self.hold();
            let known = all.get_mut(&name).filter(|known| known.uid == uid);
            match (answer, known) {
                (Ok(object), Some(known)) => known.seen(&object),
                (Err(ApiError::Conflict { .. }), Some(known)) => known.beaten = Some(version),
                (Ok(_) | Err(ApiError::Conflict { .. } | ApiError::NotFound { .. }), _) => {}
                (Err(error), _) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The status with what is to be said of a rule, if anything.
    fn news_of(&self, known: &mut Known, now: Timestamp) -> Option<GatewayRuleStatus> {
        let said = self.said(known, now);
        let before = known.status.of(&said.name);
        let same = before.is_some_and(|before| {
            let alike = (before.in_force, before.proven, &before.error) == (said.in_force, said.proven, &said.error);
            alike && (before.hits == said.hits || now.since(before.at) < HITS_EVERY)
        });
        (!same).then(|| known.status.with(said, known.generation, now))
    }

    fn said(&self, known: &mut Known, now: Timestamp) -> GatewaySaid {
        let hits = known.taken.as_ref().ok().and_then(|rule| self.shared.rules.hits(rule));
        known.hits = hits.unwrap_or(known.hits);
        let error = match (&known.taken, hits, &known.proof) {
            (Err(why), ..) => Some(why.clone()),
            (Ok(rule), None, _) if now >= rule.deadline => Some("its deadline has passed".to_owned()),
            (Ok(_), None, _) => Some("it was removed from this gateway by hand".to_owned()),
            (Ok(_), Some(_), Some(Err(why))) => Some(format!("it was not seen to act: {why}")),
            (Ok(_), Some(_), None | Some(Ok(()))) => None,
        };
        GatewaySaid {
            name: self.watch.name.clone(),
            in_force: hits.is_some(),
            proven: known.proof == Some(Ok(())),
            hits: i64::try_from(known.hits).unwrap_or(i64::MAX),
            at: now,
            // As long as the schema allows.
            error: error.map(|why| why.chars().take(512).collect()),
        }
    }

    fn hold(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(object: &Value, taken: Result<Rule, String>) -> Self {
        let mut known = Self {
            uid: text(object, "/metadata/uid").to_owned(),
            version: String::new(),
            generation: None,
            status: GatewayRuleStatus::default(),
            taken,
            proof: None,
            hits: 0,
            beaten: None,
        };
        known.seen(object);
        known
    }

    /// Takes over what others wrote, unless something newer is known: the answer to a write may come before the watch tells of the one before.
    fn seen(&mut self, object: &Value) {
        let version = text(object, "/metadata/resourceVersion");
        if number(version) < number(&self.version) {
            return;
        }
        version.clone_into(&mut self.version);
        self.generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
        self.status = object.get("status").cloned().and_then(|status| serde_json::from_value(status).ok()).unwrap_or_default();
    }
}

/// Versions of one collection are numbers that rise (KEP-5504).
fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

fn age(object: &Value) -> (&str, &str) {
    (text(object, "/metadata/creationTimestamp"), text(object, "/metadata/name"))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
