//! A rule over the gateway's own socket: the rule is the target, under its id.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde_json::Value;

use super::rule::{self, Flavor, Invert, Wanted};
use super::trial::Trial;
use crate::clock::Timestamp;
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::gateway::client::{Client, ClientError};
use crate::gateway::rules::RuleStatus;
use crate::gateway::steering::ErrorCode;

/// A gateway kind, bound to one gateway's socket.
#[derive(Debug)]
pub struct Socket {
    flavor: &'static Flavor,
    place: Invert,
    client: Client,
    wanted: Option<Wanted>,
}

impl Socket {
    /// The kind at a socket; `wanted`: for a step.
    pub fn new(flavor: &'static Flavor, socket: PathBuf, place: Invert, wanted: Option<Wanted>) -> Self {
        Self { flavor, place, client: Client::new(socket), wanted }
    }

    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{}' was opened for undoing, not for a step", self.flavor.name)))
    }

    fn target(&self, id: String) -> TargetId {
        TargetId { place: format!("gateway/{}", self.place.gateway), id }
    }

    async fn find(&self, id: &str) -> Result<Option<RuleStatus>, ClientError> {
        Ok(self.client.list().await?.into_iter().find(|status| status.rule.id == id))
    }

    /// Removes exactly our rule, and fences an inject that may still be on its way.
    async fn withdraw(&self, record: &Record) -> Result<(), KindError> {
        let rule = rule::of_record(record)?;
        self.client.remove(&rule.id, Some(record.undo_by), Some(&rule)).await.map(|_| ()).map_err(kind_error)
    }
}

#[async_trait]
impl Kind for Socket {
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
        wanted.check()?;
        Ok(vec![self.target(rule::id(run, &wanted.step))])
    }

    async fn prepare(&self, run: &str, target: &TargetId, undo_by: Timestamp) -> Result<Prepared, KindError> {
        let wanted = self.wanted()?;
        if self.find(&target.id).await.map_err(kind_error)?.is_some() {
            return Err(KindError::Conflict(format!("gateway '{}' has a rule '{}' already", self.place.gateway, target.id)));
        }
        wanted.prepared(run, &target.id, undo_by)
    }

    fn invert(&self) -> Value {
        serde_json::json!(self.place)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        self.client.put(&rule::of_record(record)?).await.map(|_| ()).map_err(kind_error)
    }

    async fn observe(&self, record: &Record) -> Observed {
        let ours = match rule::of_record(record) {
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
        Ok(mine.map(|rule| rule::rebuilt(self.flavor, self.target(rule.id.clone()), &self.place, &rule)).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let socket = word(&self.client.socket().display().to_string());
        // A rule that was not planned has no deadline yet.
        let planned = record.undo_by != Timestamp::default();
        let length = if planned { String::new() } else { format!(" --for {}", word(&blank("length, like 30m,", &record.step))) };
        let inject = rule::of_record(record).ok().and_then(|rule| serde_json::to_value(rule).ok()).map(|mut rule| {
            rule.as_object_mut().map(|fields| if planned { None } else { fields.remove("deadline") });
            rule.to_string()
        });
        ByHand {
            inject: inject.iter().map(|rule| format!("firedrill gateway put --socket {socket}{length} {}", word(rule))).collect(),
            undo: vec![format!("firedrill gateway remove --socket {socket} {}", word(&record.target.id))],
        }
    }

    fn blank(&self, run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let wanted = self.wanted().ok()?;
        let target = self.target(rule::id(run, step));
        let rule = wanted.prepared(run, &target.id, Timestamp::default()).ok()?;
        Some((target, rule))
    }
}

impl Socket {
    /// Does through the proxy what the rule must act on, and looks at both ends: what the client sees, and what the gateway counted.
    async fn look(&self, record: &Record) -> Result<(), String> {
        let ours = rule::of_record(record).map_err(|error| error.to_string())?;
        let not_there = || format!("rule '{}' is not in force", ours.id);
        let before = self.find(&ours.id).await.map_err(|error| error.to_string())?.ok_or_else(not_there)?;
        if before.rule != ours {
            return Err(format!("rule '{}' is not as firedrill put it", ours.id));
        }
        let status = self.client.status().await.map_err(|error| error.to_string())?;
        let trial = Trial::of(&ours, status.listen)?;
        self.flavor.sees(&trial).await?;
        let after = self.find(&ours.id).await.map_err(|error| error.to_string())?.ok_or_else(not_there)?;
        if after.hits <= before.hits {
            return Err(format!("the gateway counted no hit of rule '{}'", ours.id));
        }
        Ok(())
    }
}

fn kind_error(error: ClientError) -> KindError {
    match error {
        ClientError::Unreachable { .. } => KindError::Unreachable(error.to_string()),
        ClientError::LostAnswer { .. } => KindError::LostAnswer(error.to_string()),
        ClientError::Refused { code: ErrorCode::Conflict | ErrorCode::Over, message } => KindError::Conflict(message),
        ClientError::Refused { code: ErrorCode::Invalid | ErrorCode::Full, message } => KindError::Failed(message),
    }
}
