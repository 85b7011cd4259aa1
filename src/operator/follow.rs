//! A run's events as its status: how far it is, how much is in place, and at the end what it proved.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::documents::Run;
use super::lead::Operator;
use super::notify::Notice;
use super::object::{Meta, set, test};
use super::resource::Resource;
use super::status::{DrillRunStatus, ObjectiveStatus, RunPhase};
use super::tell::{self, News, cut};
use crate::clock::Timestamp;
use crate::cluster::error::ApiError;
use crate::drill::text::Percent;
use crate::event::{Cleanliness, RunEvent, StopReason, Verdict};
use crate::report::story::{Stage, Story};
use crate::score::Scorecard;

/// A status is written at most so often, but for a change of the phase.
const EVERY: Duration = Duration::from_secs(2);
/// Targets that are named one by one.
const MOST_NAMED: usize = 20;

/// What of a run is worth a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    phase: RunPhase,
    in_place: u32,
}

impl Seen {
    fn of(story: &Story) -> Self {
        let phase = match story.stage() {
            Stage::Starting => RunPhase::Pending,
            Stage::Baseline => RunPhase::Baseline,
            Stage::Steps => RunPhase::Steps,
            Stage::Hold => RunPhase::Hold,
            Stage::Undo => RunPhase::Undo,
            Stage::Region => RunPhase::Region,
            Stage::FailBack => RunPhase::FailBack,
            // Over is said with the verdict.
            Stage::Settling | Stage::Over => RunPhase::Settling,
        };
        Self { phase, in_place: u32::try_from(story.in_place().count()).unwrap_or(u32::MAX) }
    }
}

impl Operator {
    /// Writes a run's status as its events come by, until the run drops its end of the channel.
    pub(super) async fn follow(&self, run: &Meta, mut story: Story, mut events: mpsc::UnboundedReceiver<RunEvent>) {
        let mut written: Option<Seen> = None;
        let mut at = Instant::now();
        loop {
            let seen = Seen::of(&story);
            let patient = written.is_some_and(|written| written.phase == seen.phase) && at.elapsed() < EVERY;
            if written != Some(seen) && !patient {
                at = Instant::now();
                if written.is_none_or(|written| written.phase != seen.phase) {
                    self.say_phase(run, seen, story.stops.last()).await;
                }
                let undo_by = story.header.as_ref().map(|header| story.began.plus(*header.undo_by));
                let (targets, began) = (u32::try_from(story.targets.len()).ok(), story.began);
                let wrote = self.write_status(run, |status| {
                    status.phase = Some(seen.phase);
                    status.in_place = Some(seen.in_place);
                    status.started = Some(began).filter(|began| *began != Timestamp::default());
                    status.undo_by = undo_by;
                    status.targets = targets;
                });
                match wrote.await {
                    Ok(()) => written = Some(seen),
                    // The next event, or the next look, tries again.
                    Err(error) => tracing::warn!("the status of DrillRun '{}' could not be written: {error}", run.name),
                }
            }
            let event = if written == Some(seen) {
                events.recv().await
            } else {
                match tokio::time::timeout_at(at + EVERY, events.recv()).await {
                    Ok(event) => event,
                    Err(_) => continue,
                }
            };
            let Some(event) = event else { return };
            story.take(&event);
            while let Ok(event) = events.try_recv() {
                story.take(&event);
            }
        }
    }

    async fn say_phase(&self, run: &Meta, seen: Seen, stop: Option<&(Timestamp, StopReason, String)>) {
        let (in_place, why) = (seen.in_place, stop.map(|(_, _, detail)| detail.as_str()));
        let (reason, note) = match seen.phase {
            RunPhase::Baseline => ("Baseline", "the steady state is watched; nothing was touched".to_owned()),
            RunPhase::Steps => ("Injecting", "the steps are under way".to_owned()),
            RunPhase::Hold => ("Holding", format!("{in_place} target(s) in place")),
            RunPhase::Undo => ("Undoing", format!("{in_place} target(s) in place; {}", why.unwrap_or("the hold is over"))),
            RunPhase::Region => ("WaitingForRegion", "the faults are lifted; fail-back waits for the failed region".to_owned()),
            RunPhase::Settling => ("Undone", "everything is undone; the objectives are watched until they are stable".to_owned()),
            RunPhase::Pending | RunPhase::AwaitingApproval | RunPhase::FailBack | RunPhase::Over => return,
        };
        let notice = match seen.phase {
            RunPhase::Baseline => Some(Notice::Start),
            RunPhase::Undo if stop.is_some_and(|(_, reason, _)| !matches!(reason, StopReason::HoldOver | StopReason::Resumed)) => Some(Notice::Abort),
            _ => None,
        };
        self.tell(&Resource::DRILL_RUN, run, News { notice, ..News::of(reason, false, &note) }).await;
    }

    /// Changes the status of the run that this is about, if it is still there; one of the same name that was made later is another.
    pub(super) async fn write_status(&self, run: &Meta, change: impl FnOnce(&mut DrillRunStatus)) -> Result<(), ApiError> {
        let Some(value) = self.stores.runs.get(&run.name) else { return Ok(()) };
        let Ok(known) = Run::read(&value) else { return Ok(()) };
        if known.metadata.uid != run.uid {
            return Ok(());
        }
        let before = known.status.unwrap_or_default();
        let mut after = before.clone();
        change(&mut after);
        after.observed_generation = known.metadata.generation;
        if after == before {
            return Ok(());
        }
        let operations = [test("/metadata/uid", &serde_json::json!(run.uid)), set("/status", &serde_json::json!(after))];
        match self.cluster.patch_status(&Resource::DRILL_RUN.api().at(Some(&self.namespace), &run.name), &operations).await {
            Ok(written) => {
                self.stores.runs.put(written);
                Ok(())
            }
            Err(ApiError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// How a run ended.
pub(super) struct Ended<'a> {
    pub(super) at: Timestamp,
    pub(super) card: &'a Scorecard,
    pub(super) in_place: &'a [String],
    pub(super) report: Option<String>,
}

impl Ended<'_> {
    /// Into the status.
    pub(super) fn write(&self, status: &mut DrillRunStatus, generation: Option<i64>) {
        let card = self.card;
        status.phase = Some(RunPhase::Over);
        status.ended = Some(self.at);
        status.in_place = Some(u32::try_from(self.in_place.len()).unwrap_or(u32::MAX));
        status.still_in_place = self.in_place.iter().take(MOST_NAMED).map(|target| cut(target, 2_400).to_owned()).collect();
        status.verdict = Some(card.verdict);
        status.cleanliness = Some(card.cleanliness);
        status.score = card.score.map(|score| (score * 10.0).round() / 10.0);
        status.coverage = card.t0.map(|_| Percent((card.coverage * 1_000.0).round() / 10.0));
        status.recovery = card.clocks.recover.map(|figure| figure.to_string());
        status.reason = Some(cut(&card.reason, 2_048).to_owned());
        let objective = |one: &crate::score::ObjectiveScore| ObjectiveStatus {
            id: one.id.clone(),
            verdict: one.verdict,
            recovery: one.clocks.recover.map(|figure| figure.to_string()),
        };
        status.objectives = card.objectives.iter().take(200).map(objective).collect();
        if self.report.is_some() {
            status.report.clone_from(&self.report);
        }
        let verdict = format!("{:?}", card.verdict);
        tell::set(&mut status.conditions, "Complete", Some(true), &verdict, &card.reason, generation);
        let (clean, reason, message) = match card.cleanliness {
            Cleanliness::Clean => (true, "Undone", "everything is undone".to_owned()),
            Cleanliness::Drifted => (true, "Drifted", "someone else's change was left alone".to_owned()),
            Cleanliness::StillInPlace => {
                (false, "StillInPlace", format!("{} target(s) are still in place; their undo is tried again", self.in_place.len()))
            }
        };
        tell::set(&mut status.conditions, "Clean", Some(clean), reason, &message, generation);
    }
}

/// The reason and the sentence of the last Event.
pub(super) fn last_words(ended: &Ended<'_>) -> (String, String, bool) {
    let card = ended.card;
    if !ended.in_place.is_empty() {
        let named: Vec<&str> = ended.in_place.iter().take(3).map(String::as_str).collect();
        return (
            "StillInPlace".to_owned(),
            format!("{} target(s) are still in place: {}; {}", ended.in_place.len(), named.join(", "), card.reason),
            true,
        );
    }
    (format!("{:?}", card.verdict), card.reason.clone(), card.verdict != Verdict::Passed)
}
