//! Finishing what a dead run left: `resume` from the journal, `sweep` from the marks in the world alone. Both end in the one undo path.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::clock::Timestamp;
use crate::drill::spec::{Drill, DrillSpec, EnvironmentSpec};
use crate::event::{Event, Phase, PlanInfo, RunEvent, RunStarted};
use crate::fault::{KindError, Record};
use crate::journal::{JournalError, RunHeader, RunSummary};
use crate::plan::Plan;

use super::World;
use super::control::Controlled;
use super::runner::{Outcome, Setup, finish_undo};

/// Why a recovery did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A place of the environment could not be searched: what is there stays unknown, never "nothing".
    #[error("cannot search {kind}: {error}")]
    Search {
        /// Kind of fault.
        kind: &'static str,
        /// Why.
        error: KindError,
    },
    /// The journal's copy of a document does not read.
    #[error("the journal's copy of the drill does not read: {0}; use `firedrill sweep --env FILE --apply`")]
    Document(serde_json::Error),
}

/// Finishes the undo of a run whose process died. The caller holds the run's claim.
pub async fn resume(
    world: World,
    summary: RunSummary,
    controlled: Controlled,
    sinks: mpsc::UnboundedSender<RunEvent>,
) -> Result<Outcome, RecoveryError> {
    let run = summary.header.run.clone();
    let records = world.journal.records(&run).await?;
    let past = world.journal.events(&run).await?;
    let drill = match summary.header.drill_document.clone() {
        // Of a sweep without the drill: faults are undone, actions stay, as it did.
        Value::Null => DrillSpec::default(),
        document => serde_json::from_value::<Drill>(document).map_err(RecoveryError::Document)?.spec,
    };
    let environment: EnvironmentSpec = (summary.header.environment_document.get("spec").cloned())
        .map_or_else(|| Ok(EnvironmentSpec::default()), serde_json::from_value)
        .map_err(RecoveryError::Document)?;
    let why = "its undo is finished from the journal";
    Ok(finish_undo(world, setup(summary.header, drill, environment, &records, &past), past, records, controlled, sinks, why).await)
}

/// What sweep found, by run.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    /// The run that the marks name.
    pub run: String,
    /// What is in place, rebuilt from the marks.
    pub records: Vec<Record>,
    /// What the journal knows of the run; none when it is lost, or another machine's.
    pub known: Option<RunSummary>,
}

/// What sweep could find out.
#[derive(Debug)]
pub struct Search {
    /// What carries a mark of ours, by run.
    pub leftovers: Vec<Leftover>,
    /// Where nobody could look: a cluster that is down, a permission that is missing. Each is a [`RecoveryError::Search`].
    pub unsearched: Vec<RecoveryError>,
}

/// Reads: every target in the environment that carries a mark of ours. A place that cannot be searched does not keep others from being: in the region that
/// failed nobody may answer for hours.
pub async fn search(world: &World) -> Result<Search, RecoveryError> {
    let mut unsearched = Vec::new();
    let mut by_run: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for kind in world.kinds.everywhere() {
        let found = match kind.discover().await {
            Ok(found) => found,
            Err(error) => {
                unsearched.push(RecoveryError::Search { kind: kind.name(), error });
                continue;
            }
        };
        for record in found {
            let records = by_run.entry(record.run.clone()).or_default();
            // Two kinds may share a mechanism and both report the mark.
            if !records.iter().any(|known| known.target == record.target) {
                records.push(record);
            }
        }
    }
    let mut leftovers = Vec::new();
    for (run, records) in by_run {
        let known = match world.journal.run(&run).await {
            Ok(summary) => Some(summary),
            Err(JournalError::NoSuchRun(_)) => None,
            Err(error) => return Err(error.into()),
        };
        leftovers.push(Leftover { run, records, known });
    }
    Ok(Search { leftovers, unsearched })
}

/// Undoes one run's leftovers. `drill`, where the caller still has the file, gives the gate of fail-back: without it, actions stay and are named.
/// The caller holds the run's claim.
pub async fn sweep(
    world: World,
    leftover: Leftover,
    drill: DrillSpec,
    environment: (String, EnvironmentSpec),
    controlled: Controlled,
    sinks: mpsc::UnboundedSender<RunEvent>,
) -> Result<Outcome, RecoveryError> {
    let run = leftover.run.clone();
    let (header, past, mut records) = match leftover.known {
        Some(summary) => (summary.header, world.journal.events(&run).await?, world.journal.records(&run).await?),
        None => {
            let header = RunHeader {
                run: run.clone(),
                drill: "(found by sweep)".to_owned(),
                environment: environment.0,
                drill_document: Value::Null,
                environment_document: serde_json::json!({"spec": environment.1}),
                started: world.clock.now(),
            };
            world.journal.open_run(&header).await?;
            (header, Vec::new(), Vec::new())
        }
    };
    let mut unknown: Vec<Record> = Vec::new();
    for mut found in leftover.records {
        match records.iter_mut().find(|record| record.target == found.target) {
            // The journal may call it closed; the mark says otherwise.
            Some(record) => record.phase = if record.phase.is_closed() { Phase::Intent } else { record.phase },
            None => {
                found.phase = Phase::Intent;
                unknown.push(found);
            }
        }
    }
    world.journal.commit_intents(&unknown).await?;
    records.extend(unknown);
    let setup = setup(header, drill, environment.1, &records, &past);
    Ok(finish_undo(world, setup, past, records, controlled, sinks, "sweep found what it left").await)
}

fn setup(header: RunHeader, drill: DrillSpec, environment: EnvironmentSpec, records: &[Record], past: &[RunEvent]) -> Setup {
    let started = past.iter().find_map(|event| match &event.body {
        Event::RunStarted(started) => Some((**started).clone()),
        _ => None,
    });
    let started = started.unwrap_or_else(|| RunStarted {
        run: header.run.clone(),
        firedrill: env!("CARGO_PKG_VERSION").to_owned(),
        drill: header.drill.clone(),
        summary: drill.summary.clone(),
        owner: drill.owner.clone(),
        hypothesis: drill.hypothesis.clone(),
        failed_region: drill.failed_region.clone(),
        surviving_regions: drill.surviving_regions.clone(),
        environment: header.environment.clone(),
        drill_hash: String::new(),
        environment_hash: String::new(),
        hold: (*drill.hold).into(),
        undo_by: (*drill.undo_by).into(),
        objectives: Vec::new(),
        steps: Vec::new(),
        plan: PlanInfo::default(),
    });
    let undo_by = records.iter().map(|record| record.undo_by).max().unwrap_or(Timestamp::default());
    Setup { header, started, drill, environment, plan: Plan { undo_by, ..Plan::default() }, baseline: Duration::ZERO, skip_failback: false }
}
