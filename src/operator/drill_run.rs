//! One look at a `DrillRun`: what is to be done about it now. Runs themselves go on in tasks of their own (`rehearse.rs`).
//!
//! The order is that of a run's life: hold the object, freeze its documents, wait for approvals, begin once, finish what a dead leader left, let go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::approval::{DrillApprovalSpec, DrillApprovalStatus};
use super::documents::{Frozen, Run, freeze, run_id, thaw};
use super::lead::{AGAIN, Active, Operator};
use super::memory::Owner;
use super::notify::Notice;
use super::object::{Object, with_finalizer, without_finalizer};
use super::queue::Again;
use super::rehearse::Begun;
use super::resource::Resource;
use super::status::RunPhase;
use super::tell::{self, News, now};
use crate::clock::{Timestamp, seconds};
use crate::cluster::error::ApiError;
use crate::engine::control::Control;
use crate::event::{Cleanliness, Event, RunEvent, StopReason, Verdict};
use crate::exit::Exit;
use crate::journal::{Journal, JournalError, RunEnd, RunHeader, RunSummary};

/// A run whose drill or environment is not there yet waits so long: they may have been applied together.
const PATIENCE: Duration = Duration::from_secs(30);
/// A run waits so long for approvals, from its creation.
const APPROVAL_LIMIT: Duration = Duration::from_hours(24);

type Approval = Object<DrillApprovalSpec, DrillApprovalStatus>;

/// Why a look ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The object, or what belongs to it, does not read.
    #[error("{0}")]
    Unread(String),
}

impl Operator {
    /// Looks at a run.
    pub(super) async fn look_at_run(self: &Arc<Self>, name: &str) -> Result<Again, Trouble> {
        let Some(value) = self.stores.runs.get(name) else { return Ok(Again::Changed) };
        let run = Run::read(&value).map_err(Trouble::Unread)?;
        if self.hears(&run) {
            return Ok(Again::Changed);
        }
        let id = run_id(&run.metadata);
        if let Some(left) = self.pause(&id) {
            return Ok(Again::After(left));
        }
        self.memory.belongs(&id, Owner { name: run.metadata.name.clone(), uid: run.metadata.uid.clone() });
        let phase = run.status.as_ref().and_then(|status| status.phase);
        let undone = phase == Some(RunPhase::Over) && run.status.as_ref().and_then(|status| status.in_place) == Some(0);
        if undone && !run.metadata.held() {
            return Ok(Again::Changed);
        }
        let known = match self.memory.run(&id).await {
            Ok(summary) => Some(summary),
            Err(JournalError::NoSuchRun(_)) => None,
            Err(error) => {
                self.unreadable(&run, &error).await?;
                return Ok(Again::After(AGAIN));
            }
        };
        if let Some(summary) = &known
            && let Some(again) = self.finish(&run, summary).await?
        {
            return Ok(again);
        }
        if phase == Some(RunPhase::Over) {
            // At once, and not when somebody deletes it: then the operator may be gone, and its namespace could not go.
            return if undone || run.metadata.deleted() { self.let_go(&run).await } else { Ok(Again::Changed) };
        }
        self.begin(&run, known).await
    }

    /// Tells a run that is on in this process what its object asks for. False: it is not on.
    fn hears(&self, run: &Run) -> bool {
        let mut active = self.active();
        let Some(active) = active.get_mut(&run.metadata.name).filter(|active| active.uid == run.metadata.uid) else { return false };
        if (run.metadata.deleted() || run.spec.abort) && !active.asked {
            active.asked = true;
            let why = if run.metadata.deleted() { "its DrillRun is being deleted" } else { "spec.abort is set" };
            active.control.stop(StopReason::AbortRequested, why);
        }
        true
    }

    /// What a dead leader left of the run is finished first. None: nothing was begun.
    async fn finish(self: &Arc<Self>, run: &Run, summary: &RunSummary) -> Result<Option<Again>, Trouble> {
        let run_id = &summary.header.run;
        let events = self.memory.events(run_id).await?;
        let begun = summary.open_records > 0 || !events.is_empty();
        if summary.open_records == 0
            && summary.end.is_none()
            && let Some(end) = events.last().and_then(ended)
        {
            // It came to its end, and died, or lost the API server, before the journal was closed: what it proved stands.
            let _claim = self.memory.claim(run_id).await?;
            self.memory.close_run(run_id, &end).await?;
            return Ok(Some(Again::After(Duration::ZERO)));
        }
        if summary.open_records == 0 && (summary.end.is_some() || !begun) {
            let over = run.status.as_ref().and_then(|status| status.phase) == Some(RunPhase::Over);
            if begun && summary.end.is_some() && (!over || run.status.as_ref().and_then(|status| status.in_place) != Some(0)) {
                // It ended, and nobody could say so.
                self.conclude_from_journal(run, summary).await?;
                return Ok(Some(Again::After(Duration::ZERO)));
            }
            return Ok(None);
        }
        let why = match (&summary.end, run.metadata.deleted()) {
            (_, true) => "its DrillRun is being deleted: its undo is finished",
            (Some(_), false) => "what it left in place is tried to be undone again",
            (None, false) => "the operator that ran it is gone: its undo is finished",
        };
        self.recover(run.metadata.clone(), summary.clone(), why);
        Ok(Some(Again::After(AGAIN)))
    }

    /// A run that has not begun: as far as it can go now.
    async fn begin(self: &Arc<Self>, run: &Run, known: Option<RunSummary>) -> Result<Again, Trouble> {
        if run.metadata.deleted() {
            if let Some(summary) = &known {
                self.close_unbegun(&summary.header.run, Verdict::Aborted).await?;
            }
            return self.let_go(run).await;
        }
        if let Some(add) = with_finalizer(&run.metadata) {
            let held = self.cluster.patched(&Resource::DRILL_RUN.api().at(Some(&self.namespace), &run.metadata.name), &add).await;
            match held {
                Ok(held) => self.stores.runs.put(held),
                Err(ApiError::Conflict { .. } | ApiError::NotFound { .. }) => return Ok(Again::After(Duration::from_millis(200))),
                Err(error) => return Err(error.into()),
            }
        }
        let header = match known {
            Some(summary) => summary.header,
            None => match self.first_sight(run).await? {
                Ok(header) => header,
                Err(again) => return Ok(again),
            },
        };
        if run.status.as_ref().is_none_or(|status| status.run_id.is_none()) {
            // The header was written, and then the process died.
            self.write_status(&run.metadata, |status| status.run_id = Some(header.run.clone())).await?;
        }
        if run.spec.abort {
            self.over(run, &header.run, Verdict::Aborted, "spec.abort was set before it began; nothing was touched").await?;
            return Ok(Again::Changed);
        }
        if !self.approved(run, &header).await? {
            let left = approved_by(run).since(now());
            if left.is_zero() {
                self.over(run, &header.run, Verdict::Refused, "it was not approved within 24 hours; create another run").await?;
            }
            return Ok(if left.is_zero() { Again::Changed } else { Again::After(left) });
        }
        self.start(run, header).await
    }

    /// Freezes the drill and the environment, and says so. `Err`: not now, or never.
    async fn first_sight(&self, run: &Run) -> Result<Result<RunHeader, Again>, Trouble> {
        let drill = self.stores.drills.get(&run.spec.drill);
        let environment = self.stores.environments.get(&run.spec.environment);
        let missing = match (&drill, &environment) {
            (None, _) if run.spec.frozen_drill.is_none() => Some(format!("there is no Drill '{}' in this namespace", run.spec.drill)),
            (_, None) => Some(format!("there is no Environment '{}' in this namespace", run.spec.environment)),
            _ => None,
        };
        if let Some(missing) = &missing
            && now().since(run.metadata.creation_timestamp) < PATIENCE
        {
            self.write_status(&run.metadata, |status| {
                status.phase = Some(RunPhase::Pending);
                tell::set(&mut status.conditions, "Accepted", None, "NotFound", missing, run.metadata.generation);
            })
            .await?;
            return Ok(Err(Again::After(Duration::from_secs(2))));
        }
        let frozen = match (missing, environment) {
            (Some(missing), _) => Err(missing),
            (None, None) => Err(format!("there is no Environment '{}'", run.spec.environment)),
            (None, Some(environment)) => freeze(run, drill.as_deref(), &environment, now()),
        };
        let frozen = match frozen.and_then(unattended).and_then(|frozen| asked_for(run, frozen)) {
            Ok(frozen) => frozen,
            Err(why) => {
                self.over(run, &run_id(&run.metadata), Verdict::Refused, &why).await?;
                return Ok(Err(Again::Changed));
            }
        };
        self.memory.open_run(&frozen.header).await?;
        self.write_status(&run.metadata, |status| {
            status.phase = Some(RunPhase::Pending);
            status.run_id = Some(frozen.header.run.clone());
            status.drill_hash = Some(frozen.drill_hash.clone());
            status.environment_hash = Some(frozen.environment_hash.clone());
            status.in_place = Some(0);
            let message = "the drill and the environment are frozen as they were";
            tell::set(&mut status.conditions, "Accepted", Some(true), "Frozen", message, run.metadata.generation);
        })
        .await?;
        let note = format!("run {}: Drill '{}' in Environment '{}'", frozen.header.run, run.spec.drill, run.spec.environment);
        self.tell(&Resource::DRILL_RUN, &run.metadata, News::of("Accepted", false, &note)).await;
        Ok(Ok(frozen.header))
    }

    /// Whether as many other people as the environment asks for have said yes.
    async fn approved(&self, run: &Run, header: &RunHeader) -> Result<bool, Trouble> {
        let (_, environment) = thaw(header).map_err(Trouble::Unread)?;
        let wanted = usize::try_from(environment.spec.approvals.unwrap_or(0)).unwrap_or(usize::MAX);
        let mut people: BTreeSet<String> = BTreeSet::new();
        for value in self.stores.approvals.all() {
            let Ok(approval) = Approval::read(&value) else { continue };
            if approval.spec.run == run.metadata.name && counts(&approval, run).is_ok() && !approval.metadata.deleted() {
                people.insert(approval.spec.approver);
            }
        }
        let enough = people.len() >= wanted;
        let message = match (wanted, enough) {
            (0, _) => "its environment asks for no approval".to_owned(),
            (_, true) => format!("approved by {}", people.iter().cloned().collect::<Vec<_>>().join(", ")),
            (_, false) => {
                let (some, name, until) = (people.len(), &run.metadata.name, seconds(approved_by(run)));
                format!("{some} of {wanted} other people have approved it; a DrillApproval with 'run: {name}' does; it is refused at {until}")
            }
        };
        let waited = run.status.as_ref().and_then(|status| status.phase) == Some(RunPhase::AwaitingApproval);
        self.write_status(&run.metadata, |status| {
            if !enough {
                status.phase = Some(RunPhase::AwaitingApproval);
            }
            status.approved_by = people.iter().take(10).cloned().collect();
            let reason = if enough { "Approved" } else { "Waiting" };
            tell::set(&mut status.conditions, "Approved", Some(enough), reason, &message, run.metadata.generation);
        })
        .await?;
        if wanted > 0 && (enough || !waited) {
            let reason = if enough { "Approved" } else { "AwaitingApproval" };
            self.tell(&Resource::DRILL_RUN, &run.metadata, News::of(reason, false, &message)).await;
        }
        Ok(enough)
    }

    /// Begins, unless something else is going on, or was left, in the environment.
    async fn start(self: &Arc<Self>, run: &Run, header: RunHeader) -> Result<Again, Trouble> {
        let (bound, environment) = thaw(&header).map_err(Trouble::Unread)?;
        let status = run.status.clone().unwrap_or_default();
        let (control, controlled) = Control::new();
        let occupied = self.occupy(run, &header, control.clone());
        if let Some(why) = occupied {
            self.over(run, &header.run, Verdict::Refused, &why).await?;
            return Ok(Again::Changed);
        }
        let drill_hash = status.drill_hash.unwrap_or_else(|| crate::prepare::hash(&bound.spec));
        self.rehearse(Begun { meta: run.metadata.clone(), header, bound, environment, drill_hash, control, controlled });
        Ok(Again::Changed)
    }

    /// Takes the environment for a run, or says who has it.
    fn occupy(&self, run: &Run, header: &RunHeader, control: Control) -> Option<String> {
        let environment = &header.environment;
        let mut active = self.active();
        if let Some((name, _)) = active.iter().find(|(_, active)| active.environment == *environment) {
            return Some(format!("DrillRun '{name}' is going on in Environment '{environment}'; create another run when it is over"));
        }
        let left = |value: &std::sync::Arc<serde_json::Value>| {
            let other = Run::read(value).ok()?;
            let in_place = other.status.as_ref().and_then(|status| status.in_place).unwrap_or(0);
            (other.spec.environment == *environment && other.metadata.uid != run.metadata.uid && in_place > 0).then(|| {
                format!("DrillRun '{}' has {in_place} target(s) in place in Environment '{environment}', which are undone first", other.metadata.name)
            })
        };
        if let Some(why) = self.stores.runs.all().iter().find_map(left) {
            return Some(why);
        }
        active.insert(
            run.metadata.name.clone(),
            Active { uid: run.metadata.uid.clone(), environment: environment.clone(), control, asked: run.spec.abort },
        );
        None
    }

    /// A run ends before it began.
    pub(super) async fn over(&self, run: &Run, id: &str, verdict: Verdict, why: &str) -> Result<(), Trouble> {
        self.close_unbegun(id, verdict).await?;
        self.write_status(&run.metadata, |status| {
            status.phase = Some(RunPhase::Over);
            status.run_id = Some(id.to_owned());
            status.ended = Some(now());
            status.in_place = Some(0);
            status.verdict = Some(verdict);
            status.cleanliness = Some(Cleanliness::Clean);
            status.reason = Some(tell::cut(why, 2_048).to_owned());
            let reason = format!("{verdict:?}");
            if verdict == Verdict::Refused && status.conditions.iter().all(|one| one.about != "Accepted" || one.reason == "NotFound") {
                tell::set(&mut status.conditions, "Accepted", Some(false), "Refused", why, run.metadata.generation);
            }
            tell::set(&mut status.conditions, "Complete", Some(true), &reason, why, run.metadata.generation);
            tell::set(&mut status.conditions, "Clean", Some(true), "NothingTouched", "nothing was touched", run.metadata.generation);
        })
        .await?;
        self.metrics.ended(verdict, None, None);
        self.tell(&Resource::DRILL_RUN, &run.metadata, News::of(&format!("{verdict:?}"), true, why).told_as(Notice::End)).await;
        Ok(())
    }

    /// Closes a journal that has a header and nothing else, if there is one.
    async fn close_unbegun(&self, id: &str, verdict: Verdict) -> Result<(), Trouble> {
        let exit = if verdict == Verdict::Refused { Exit::Refused } else { Exit::Aborted };
        let end = RunEnd { at: now(), verdict, cleanliness: Cleanliness::Clean, score: None, exit_code: exit.code() };
        match self.memory.run(id).await {
            Ok(summary) if summary.end.is_none() => Ok(self.memory.close_run(id, &end).await?),
            Ok(_) | Err(JournalError::NoSuchRun(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything is undone: the object may go.
    async fn let_go(&self, run: &Run) -> Result<Again, Trouble> {
        self.memory.release(&run_id(&run.metadata)).await?;
        let Some(operations) = without_finalizer(&run.metadata) else { return Ok(Again::Changed) };
        match self.cluster.patch(&Resource::DRILL_RUN.api().at(Some(&self.namespace), &run.metadata.name), &operations).await {
            Ok(_) | Err(ApiError::NotFound { .. }) => Ok(Again::Changed),
            // Somebody else took one of theirs: its place is another now.
            Err(ApiError::Conflict { .. }) => Ok(Again::After(Duration::from_millis(200))),
            Err(error) => Err(error.into()),
        }
    }

    async fn unreadable(&self, run: &Run, error: &JournalError) -> Result<(), Trouble> {
        let message = error.to_string();
        let said = run.status.iter().flat_map(|status| &status.conditions).any(|one| one.about == "Clean" && one.message == message);
        self.write_status(&run.metadata, |status| {
            tell::set(&mut status.conditions, "Clean", None, "JournalUnreadable", &message, run.metadata.generation);
        })
        .await?;
        if !said {
            self.tell(&Resource::DRILL_RUN, &run.metadata, News::of("JournalUnreadable", true, &message)).await;
        }
        Ok(())
    }

    /// Whether an approval counts, for whoever made it.
    pub(super) async fn look_at_approval(&self, name: &str) -> Result<Again, Trouble> {
        let Some(value) = self.stores.approvals.get(name) else { return Ok(Again::Changed) };
        let approval = Approval::read(&value).map_err(Trouble::Unread)?;
        let run = self.stores.runs.get(&approval.spec.run).map(|run| Run::read(&run)).transpose().map_err(Trouble::Unread)?;
        let counted = match &run {
            None => Err(("NoSuchRun", format!("there is no DrillRun '{}'; an approval comes after its run", approval.spec.run))),
            Some(run) => counts(&approval, run),
        };
        let holds = counted.is_ok();
        let (reason, message) = counted.err().unwrap_or_else(|| ("Counts", "it counts".to_owned()));
        let mut after = approval.status.clone().unwrap_or_default();
        // Kept as it was decided: a run that is gone takes nothing back.
        if run.is_none() && !after.conditions.is_empty() {
            return Ok(Again::Changed);
        }
        tell::set(&mut after.conditions, "Counts", Some(holds), reason, &message, approval.metadata.generation);
        after.observed_generation = approval.metadata.generation;
        if approval.status.as_ref() != Some(&after) {
            let operations = [super::object::test("/metadata/uid", &json!(approval.metadata.uid)), super::object::set("/status", &json!(after))];
            self.cluster.patch_status(&Resource::DRILL_APPROVAL.api().at(Some(&self.namespace), name), &operations).await?;
        }
        Ok(Again::Changed)
    }
}

/// Until when a run waits for approvals.
fn approved_by(run: &Run) -> Timestamp {
    run.metadata.creation_timestamp.plus(APPROVAL_LIMIT)
}

/// Whether an approval of a run counts; else the reason, and a sentence that says it.
fn counts(approval: &Approval, run: &Run) -> Result<(), (&'static str, String)> {
    if approval.metadata.creation_timestamp < run.metadata.creation_timestamp {
        return Err(("OlderThanRun", "it is older than the run, and was for another one of that name".to_owned()));
    }
    if run.spec.requested_by.as_deref() == Some(approval.spec.approver.as_str()) {
        return Err(("OwnRun", "nobody approves his own run".to_owned()));
    }
    Ok(())
}

/// How a run ended, when this is its last event and it left nothing.
fn ended(event: &RunEvent) -> Option<RunEnd> {
    match event.body {
        Event::RunEnded { verdict, cleanliness, score, exit_code, .. } if cleanliness != Cleanliness::StillInPlace => {
            Some(RunEnd { at: event.at, verdict, cleanliness, score, exit_code })
        }
        _ => None,
    }
}

/// In a cluster nobody can be asked: a drill with manual steps is refused before anything is touched.
fn unattended(frozen: Frozen) -> Result<Frozen, String> {
    let (drill, _) = thaw(&frozen.header)?;
    let manual: Vec<&str> = drill.spec.steps.iter().filter(|step| step.manual.is_some()).map(|step| step.id.as_str()).collect();
    if manual.is_empty() {
        return Ok(frozen);
    }
    let steps = manual.join("', '");
    Err(format!(
        "manual step '{steps}' needs a person, and the operator can ask nobody; run this drill with `firedrill run`, or make it a check that waits for what the person does"
    ))
}

/// Where others must approve, somebody must have asked: else that one could approve it.
fn asked_for(run: &Run, frozen: Frozen) -> Result<Frozen, String> {
    let (_, environment) = thaw(&frozen.header)?;
    if environment.spec.approvals.unwrap_or(0) == 0 || run.spec.requested_by.is_some() {
        return Ok(frozen);
    }
    let whose = if run.spec.scheduled.is_some() { "its DrillSchedule" } else { "another run" };
    Err(format!(
        "Environment '{}' asks for approvals, and the run does not say who asked for it: write your user name into spec.requestedBy of {whose}",
        run.spec.environment
    ))
}
