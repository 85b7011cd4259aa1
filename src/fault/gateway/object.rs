//! A rule as a `GatewayRule` object, which the gateways that watch its namespace take in force: the object is the target, under the run's own name.
//!
//! The object needs no mark beside it: its spec holds the run, the step and the deadline, and never changes (the API server sees to that).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::rule::{self, Flavor, Invert, Wanted};
use crate::clock::Timestamp;
use crate::cluster::access;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{At, GATEWAY_RULES};
use crate::fault::definition::Places;
use crate::fault::kubernetes::place::{self, kubectl, text};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::gateway::Rule;
use crate::gateway::object::{GatewayRuleSpec, GatewayRuleStatus};
use crate::needs::Needs;

/// Label of the run: for people who list what it made.
const RUN: &str = "firedrill.dev/run";
/// Longest name of an object (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;

/// A gateway kind, bound to the rules of one namespace.
#[derive(Debug)]
pub struct Object {
    flavor: &'static Flavor,
    cluster: Arc<Cluster>,
    namespace: String,
    place: Invert,
    places: Places,
    wanted: Option<Wanted>,
}

impl Object {
    /// The kind in a namespace; `wanted`: for a step.
    pub fn new(flavor: &'static Flavor, cluster: Arc<Cluster>, namespace: String, place: Invert, places: &Places, wanted: Option<Wanted>) -> Self {
        Self { flavor, cluster, namespace, place, places: places.clone(), wanted }
    }

    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{}' was opened for undoing, not for a step", self.flavor.name)))
    }

    fn target(&self, name: &str) -> TargetId {
        TargetId { place: self.cluster.place(), id: format!("{}/{}/{name}", GATEWAY_RULES.plural, self.namespace) }
    }

    async fn find(&self, target: &TargetId) -> Result<Option<Value>, ApiError> {
        self.cluster.get(&at(target)).await
    }

    /// What the gateways say of the rule: each that has said anything must have seen it act.
    async fn look(&self, record: &Record) -> Result<(), String> {
        let found = self.find(&record.target).await.map_err(|error| error.to_string())?;
        if !matches!(seen(found.as_ref(), record), Observed::Ours { .. }) {
            return Err("the rule is not in force: its object is not there as firedrill made it".to_owned());
        }
        let status = found.and_then(|object| object.get("status").cloned()).unwrap_or_default();
        let status: GatewayRuleStatus = serde_json::from_value(status).unwrap_or_default();
        if status.gateways.is_empty() {
            return Err(format!("no gateway has taken it; does one run with `firedrill gateway --watch-namespace {}`?", self.namespace));
        }
        match status.gateways.iter().find(|said| !said.proven) {
            Some(said) => Err(format!("gateway '{}': {}", said.name, said.error.as_deref().unwrap_or("it has not seen the rule act yet"))),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Kind for Object {
    fn name(&self) -> &'static str {
        self.flavor.name
    }

    fn expiry(&self) -> Expiry {
        Expiry::Own
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn warnings(&self) -> Vec<String> {
        self.flavor.warning.iter().map(|warning| (*warning).to_owned()).collect()
    }

    fn needs(&self) -> Needs {
        if self.wanted.is_none() {
            return Needs::default();
        }
        let rules = |verb| self.cluster.access(verb, GATEWAY_RULES, Some(&self.namespace));
        access::Needs {
            inject: vec![rules("create")],
            revert: vec![rules("delete")],
            read: vec![self.cluster.check_access(), rules("get"), rules("list")],
        }
        .into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        place::missing(&self.needs(), &self.places).await
    }

    async fn examine(&self, _records: &[Record]) -> Result<Examined, KindError> {
        match self.cluster.list(GATEWAY_RULES, Some(&self.namespace), None, None).await {
            Ok(_) => Ok(Examined::default()),
            Err(ApiError::NotFound { .. }) => {
                let refusal =
                    format!("cluster '{}' does not know GatewayRule; define it: `firedrill crds | kubectl apply -f -`", self.cluster.name());
                Ok(Examined { refusals: vec![refusal], ..Examined::default() })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn resolve(&self, run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = self.wanted()?;
        wanted.check()?;
        Ok(vec![self.target(&object_name(run, &wanted.step))])
    }

    async fn prepare(&self, run: &str, target: &TargetId, undo_by: Timestamp) -> Result<Prepared, KindError> {
        let wanted = self.wanted()?;
        if self.find(target).await?.is_some() {
            return Err(KindError::Conflict(format!("{} is there already; `firedrill sweep` shows what runs left", at(target))));
        }
        wanted.prepared(run, &rule::id(run, &wanted.step), undo_by)
    }

    fn invert(&self) -> Value {
        json!(self.place)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let at = at(&record.target);
        match self.cluster.create(GATEWAY_RULES, at.namespace, &object(record, &rule::of_record(record)?)).await {
            Ok(_) => Ok(()),
            // The name is the run's: when it is there, an earlier call whose answer was lost has made it.
            Err(error @ ApiError::Conflict { .. }) => match self.observe(record).await {
                Observed::Ours { .. } => Ok(()),
                _ => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.find(&record.target).await {
            Ok(found) => seen(found.as_ref(), record),
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let Some(found) = self.find(&record.target).await? else { return Ok(()) };
        if !matches!(seen(Some(&found), record), Observed::Ours { .. }) {
            return Err(KindError::Conflict(format!("{} is not as this run made it", record.target)));
        }
        // By its uid alone: its spec never changes, and gateways write its status at any time.
        Ok(self.cluster.delete(&at(&record.target), text(&found, "/metadata/uid")).await?)
    }

    async fn tidy(&self, _record: &Record) -> Result<(), KindError> {
        // Nothing is beside the object.
        Ok(())
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.look(record).await {
            Ok(()) => Bite::Verified,
            Err(why) => Bite::Unproven { why },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let objects = match self.cluster.list(GATEWAY_RULES, Some(&self.namespace), None, None).await {
            // Where nobody has defined them there are none.
            Err(ApiError::NotFound { .. }) => return Ok(Vec::new()),
            listed => listed?,
        };
        // What this build cannot read, no gateway of it has taken.
        let rules = objects.iter().filter_map(|object| Some((text(object, "/metadata/name"), read(object)?)));
        Ok(rules
            .filter(|(_, rule)| (self.flavor.owns)(&rule.effect))
            .map(|(name, rule)| rule::rebuilt(self.flavor, self.target(name), &self.place, &rule))
            .collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (kubectl, at) = (kubectl(&self.cluster), at(&record.target));
        let made = rule::of_record(record).ok().map(|rule| {
            let mut object = object(record, &rule);
            // A rule that was not planned has no deadline yet.
            if record.undo_by == Timestamp::default() {
                object["spec"]["deadline"] = blank("end, like 2026-12-01T12:00:00Z, at most 24 h ahead,", &record.step).into();
            }
            format!("printf %s {} | {kubectl} create -f -", word(&object.to_string()))
        });
        let namespace = word(at.namespace.unwrap_or_default());
        ByHand { inject: made.into_iter().collect(), undo: vec![format!("{kubectl} delete gatewayrule {} -n {namespace}", word(at.name))] }
    }

    fn blank(&self, run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let wanted = self.wanted().ok()?;
        let rule = wanted.prepared(run, &rule::id(run, step), Timestamp::default()).ok()?;
        Some((self.target(&object_name(run, step)), rule))
    }
}

/// Where an object that was read stands. Its spec never changes: one of another run or id is another object, made in the place of ours.
fn seen(object: Option<&Value>, record: &Record) -> Observed {
    let Some(object) = object else { return Observed::Prior };
    let ours = match rule::of_record(record) {
        Ok(ours) => ours,
        Err(error) => return Observed::Unreadable { error: error.to_string() },
    };
    if (text(object, "/spec/run"), text(object, "/spec/id")) != (ours.run.as_str(), ours.id.as_str()) {
        return Observed::Absent;
    }
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        return Observed::InTransition { detail: "the object is being deleted; its finalizers are waited for".to_owned() };
    }
    match read(object) {
        Some(rule) if rule == ours => Observed::Ours { marked: true },
        _ => Observed::Other { current: object.get("spec").cloned().unwrap_or_default() },
    }
}

fn read(object: &Value) -> Option<Rule> {
    let spec: GatewayRuleSpec = serde_json::from_value(object.get("spec")?.clone()).ok()?;
    Rule::try_from(&spec).ok()
}

/// The object as it is created.
fn object(record: &Record, rule: &Rule) -> Value {
    let at = at(&record.target);
    json!({
        "apiVersion": GATEWAY_RULES.api_version(), "kind": GATEWAY_RULES.kind,
        "metadata": {"name": at.name, "namespace": at.namespace, "labels": {"app.kubernetes.io/managed-by": "firedrill", RUN: rule.run}},
        "spec": GatewayRuleSpec::from(rule),
    })
}

/// `firedrill-<run>-<step>`, as an RFC 1123 name.
fn object_name(run: &str, step: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("firedrill-{run}-{step}").chars().map(plain).take(LONGEST_NAME).collect();
    name.trim_end_matches('-').to_owned()
}

/// Where a target is; empty when it is no rule's.
fn at(target: &TargetId) -> At<'_> {
    let parts = target.id.strip_prefix(GATEWAY_RULES.plural).and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
    let (namespace, name) = parts.unwrap_or_default();
    GATEWAY_RULES.at(Some(namespace), name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Phase;
    use crate::fault::RECORD_VERSION;
    use crate::gateway::Effect;

    fn record() -> Record {
        let deadline = Timestamp(1_800_000_000_000_000);
        let rule = Rule {
            id: "01JRUN-dark".to_owned(),
            run: "01JRUN".to_owned(),
            step: "dark".to_owned(),
            effect: Effect::Refuse,
            services: vec!["sts".to_owned()],
            region: "us-east-1".to_owned(),
            cut_existing: false,
            deadline,
        };
        Record {
            version: RECORD_VERSION,
            run: "01JRUN".to_owned(),
            step: "dark".to_owned(),
            after: vec![],
            kind: "gatewayRefuse".to_owned(),
            action: false,
            keep: false,
            target: TargetId { place: "kubernetes/u".to_owned(), id: format!("gatewayrules/edge/{}", object_name("01JRUN", "dark")) },
            prior: Value::Null,
            ours: json!(rule),
            invert: Value::Null,
            companions: vec![],
            undo_by: deadline,
            phase: Phase::Injected,
        }
    }

    #[test]
    fn only_the_object_that_this_run_made_is_taken_away_and_another_one_under_its_name_is_not_ours() {
        let record = record();
        let made = object(&record, &rule::of_record(&record).unwrap());
        assert_eq!(made["metadata"]["name"], "firedrill-01jrun-dark");
        assert_eq!(seen(Some(&made), &record), Observed::Ours { marked: true });
        assert_eq!(seen(None, &record), Observed::Prior);
        let with = |path: &str, value: Value| {
            let mut other = made.clone();
            *other.pointer_mut(path).unwrap() = value;
            seen(Some(&other), &record)
        };
        // Made anew by hand with something else in it: still this run's, and not what it made.
        assert!(matches!(with("/spec/services", json!(["sqs"])), Observed::Other { .. }));
        assert!(matches!(with("/spec/deadline", json!("2027-12-01T00:00:00Z")), Observed::Other { .. }));
        // Of another run: ours is gone.
        assert_eq!(with("/spec/run", json!("01JOTHER")), Observed::Absent);
        assert_eq!(with("/spec/id", json!("mine")), Observed::Absent);
        let mut leaving = made.clone();
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-22T19:00:00Z");
        assert!(matches!(seen(Some(&leaving), &record), Observed::InTransition { .. }));
    }

    #[test]
    fn a_target_says_where_its_object_is() {
        assert_eq!(at(&record().target).path(), "/apis/firedrill.dev/v1alpha1/namespaces/edge/gatewayrules/firedrill-01jrun-dark");
    }
}
