//! A run as a task of the operator: planned, run by the engine, told in its status, concluded; and the undo of one whose operator died.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::documents::{Run, thaw};
use super::drill_run::Trouble;
use super::follow::{Ended, last_words};
use super::lead::{Active, Operator};
use super::notify::Notice;
use super::object::Meta;
use super::queue::Key;
use super::resource::Resource;
use super::status::RunPhase;
use super::tell::{News, now, owned_by};
use crate::clock::Clock;
use crate::cluster::error::ApiError;
use crate::cluster::resource::CONFIG_MAPS;
use crate::drill::spec::{Drill, Environment};
use crate::engine::control::{Control, Controlled};
use crate::engine::runner::{self, Outcome};
use crate::engine::{World, recovery};
use crate::event::{RunEvent, Verdict};
use crate::journal::{Journal, RunHeader, RunSummary};
use crate::prepare::{self, Asked, Nobody, Ready};
use crate::report::Format;
use crate::report::story::Story;
use crate::score::{self, Scorecard};

/// Bytes of a report in the cluster: an object takes 1 MiB in all.
const MOST_REPORT: usize = 900 * 1024;

/// A run that may begin.
pub(super) struct Begun {
    pub(super) meta: Meta,
    pub(super) header: RunHeader,
    pub(super) bound: Drill,
    pub(super) environment: Environment,
    pub(super) drill_hash: String,
    pub(super) control: Control,
    pub(super) controlled: Controlled,
}

impl Operator {
    /// Runs a drill that has taken its environment.
    pub(super) fn rehearse(self: &Arc<Self>, begun: Begun) {
        let operator = self.clone();
        self.tasks.spawn(async move {
            let (meta, run) = (begun.meta.clone(), begun.header.run.clone());
            if let Err(error) = operator.rehearsed(begun).await {
                tracing::error!("DrillRun '{}': {error}", meta.name);
                operator.rest(&run);
            }
            operator.leave(&meta);
        });
    }

    async fn rehearsed(self: &Arc<Self>, begun: Begun) -> Result<(), Trouble> {
        let Begun { meta, header, bound, environment, drill_hash, control, controlled } = begun;
        let asked =
            Asked { run: header.run.clone(), drill_hash, bound, environment: &environment, embedded: false, skip_failback: false, begin: None };
        let Ready { run, kinds, probes, clock, mut setup, refusals } = prepare::resolve(asked).await;
        if !refusals.is_empty() {
            let why: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            if let Some(object) = self.stores.runs.get(&meta.name) {
                let object = Run::read(&object).map_err(Trouble::Unread)?;
                self.over(&object, &run, Verdict::Refused, &why.join("; ")).await?;
            }
            return Ok(());
        }
        // As it was frozen; the journal has it already.
        setup.header = header;
        let _claim = self.memory.claim(&run).await?;
        let world = World { clock, journal: self.memory.clone(), kinds, probes, people: Arc::new(Nobody) };
        let (sinks, events) = mpsc::unbounded_channel();
        let follower = self.following(&meta, Story::default(), events);
        // A task of its own: a defect of ours must still be undone, from the journal.
        let watching = tokio::spawn(async move { control.stop_when_the_clock_jumps(clock).await });
        let outcome = tokio::spawn(runner::run(world, setup, controlled, sinks)).await;
        watching.abort();
        let _ = follower.await;
        match outcome {
            Ok(outcome) => self.conclude(&meta, &run, outcome?).await,
            Err(defect) => Err(Trouble::Unread(format!("internal error: {defect}; what is in place is undone from the journal"))),
        }
    }

    /// Finishes the undo of a run that nobody works on.
    pub(super) fn recover(self: &Arc<Self>, meta: Meta, summary: RunSummary, why: &str) {
        let (control, controlled) = Control::new();
        let environment = summary.header.environment.clone();
        self.active().insert(meta.name.clone(), Active { uid: meta.uid.clone(), environment, control, asked: true });
        tracing::info!("DrillRun '{}', run {}: {why}", meta.name, summary.header.run);
        let (operator, why, run) = (self.clone(), why.to_owned(), summary.header.run.clone());
        self.tasks.spawn(async move {
            if operator.stores.runs.get(&meta.name).is_some() {
                operator.tell(&Resource::DRILL_RUN, &meta, News::of("Recovering", true, &why).told_as(Notice::Abort)).await;
            }
            if let Err(error) = operator.recovered(&meta, summary, controlled).await {
                tracing::error!("DrillRun '{}': {error}", meta.name);
                operator.tell(&Resource::DRILL_RUN, &meta, News::of("UndoFailed", true, &error.to_string())).await;
                operator.rest(&run);
            }
            operator.leave(&meta);
        });
    }

    async fn recovered(&self, meta: &Meta, summary: RunSummary, controlled: Controlled) -> Result<(), Trouble> {
        let run = summary.header.run.clone();
        let _claim = self.memory.claim(&run).await?;
        // Again under the claim: it may have ended meanwhile.
        let summary = self.memory.run(&run).await?;
        let (_, environment) = thaw(&summary.header).map_err(Trouble::Unread)?;
        let world = prepare::recovery_world(Clock::system(), self.memory.clone(), &environment.spec);
        let past = Story::of(&self.memory.events(&run).await?).resumed();
        let (sinks, events) = mpsc::unbounded_channel();
        let follower = self.following(meta, past, events);
        let outcome = recovery::resume(world, summary, controlled, sinks).await;
        let _ = follower.await;
        let outcome = outcome.map_err(|error| Trouble::Unread(error.to_string()))?;
        self.conclude(meta, &run, outcome).await
    }

    fn following(&self, meta: &Meta, story: Story, events: mpsc::UnboundedReceiver<RunEvent>) -> tokio::task::JoinHandle<()> {
        let (operator, meta) = (self.me(), meta.clone());
        self.tasks.spawn(async move {
            if let Some(operator) = operator.upgrade() {
                operator.follow(&meta, story, events).await;
            }
        })
    }

    /// The run is over, or was given up for now: its object is looked at again.
    fn leave(&self, meta: &Meta) {
        let mut active = self.active();
        if active.get(&meta.name).is_some_and(|active| active.uid == meta.uid) {
            active.remove(&meta.name);
        }
        drop(active);
        self.again(Key { kind: Resource::DRILL_RUN.kind, name: meta.name.clone() });
    }

    async fn conclude(&self, meta: &Meta, run: &str, outcome: Outcome) -> Result<(), Trouble> {
        if !outcome.in_place.is_empty() {
            self.rest(run);
        }
        let in_place: Vec<String> = outcome.in_place.iter().map(|record| record.target.to_string()).collect();
        self.concluded(meta, run, &outcome.events, &outcome.scorecard, &in_place).await
    }

    /// A run that ended, as its journal tells it.
    pub(super) async fn conclude_from_journal(&self, run: &Run, summary: &RunSummary) -> Result<(), Trouble> {
        let events = self.memory.events(&summary.header.run).await?;
        self.concluded(&run.metadata, &summary.header.run, &events, &score::evaluate(&events), &[]).await
    }

    async fn concluded(&self, meta: &Meta, run: &str, events: &[RunEvent], card: &Scorecard, in_place: &[String]) -> Result<(), Trouble> {
        let there = self.stores.runs.get(&meta.name).and_then(|value| Run::read(&value).ok()).filter(|there| there.metadata.uid == meta.uid);
        let before = there.as_ref().and_then(|there| there.status.as_ref()).filter(|status| status.phase == Some(RunPhase::Over));
        // An undo that is tried again and again is no news until it gets on.
        let known = before.is_some_and(|before| before.in_place == u32::try_from(in_place.len()).ok());
        if before.is_none() {
            self.metrics.ended(card.verdict, card.score, card.clocks.recover.map(|figure| *figure.value));
        }
        let report = if there.is_some() { self.report(meta, run, events, card).await } else { None };
        let ended = Ended { at: events.last().map_or_else(now, |event| event.at), card, in_place, report };
        let (reason, note, warning) = last_words(&ended);
        tracing::info!("DrillRun '{}', run {run}: {reason}: {note}", meta.name);
        if let Some(there) = there {
            self.write_status(meta, |status| ended.write(status, there.metadata.generation)).await?;
            if !known {
                let notice = if in_place.is_empty() { Notice::End } else { Notice::StillInPlace };
                self.tell(&Resource::DRILL_RUN, meta, News::of(&reason, warning, &note).told_as(notice)).await;
            }
        }
        Ok(())
    }

    /// Writes the full report: on the volume, if there is one and it takes it, else beside the run. Where it is, if it could be written.
    async fn report(&self, meta: &Meta, run: &str, events: &[RunEvent], card: &Scorecard) -> Option<String> {
        if let Some(volume) = &self.settings.reports {
            match volume.write(&meta.name, run, events, card).await {
                Ok(path) => return Some(path),
                Err(error) => {
                    tracing::warn!("the report of DrillRun '{}' goes into a ConfigMap, for the volume does not take it: {error}", meta.name)
                }
            }
        }
        self.report_beside(meta, events, card).await
    }

    /// In a ConfigMap that goes with the run: as many files as fit, the most useful first.
    async fn report_beside(&self, meta: &Meta, events: &[RunEvent], card: &Scorecard) -> Option<String> {
        let mut data = serde_json::Map::new();
        let mut size = 0;
        for format in [Format::Json, Format::Markdown, Format::Junit, Format::Html] {
            let Ok(Ok(text)) = format.render(events, card).map(String::from_utf8) else { continue };
            if size + text.len() <= MOST_REPORT {
                size += text.len();
                data.insert(format.file_name().to_owned(), Value::String(text));
            }
        }
        let name = format!("{}-report", meta.name);
        let object = json!({
            "apiVersion": "v1", "kind": CONFIG_MAPS.kind,
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "firedrill"}, "ownerReferences": owned_by(&Resource::DRILL_RUN, meta)},
            "data": data,
        });
        let at = CONFIG_MAPS.at(Some(&self.namespace), &name);
        let written = match self.cluster.create(CONFIG_MAPS, Some(&self.namespace), &object).await {
            // Of an earlier try, whose undo was not complete. Nobody else's is touched.
            Err(ApiError::Conflict { .. }) => {
                let ours = super::object::test("/metadata/ownerReferences/0/uid", &json!(meta.uid));
                self.cluster.patched(&at, &[ours, super::object::set("/data", &object["data"])]).await
            }
            done => done,
        };
        match written {
            Ok(_) => Some(format!("configmap/{name}")),
            Err(error) => {
                tracing::warn!("the report of DrillRun '{}' could not be written: {error}", meta.name);
                None
            }
        }
    }
}
