//! From two flags to a run that is ready: load, bind, open, resolve, refuse.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::environment::{OpenError, Opened, without_folders};
use super::listing::command;
#[cfg(feature = "aws")]
use super::listing::seconds;
use super::session::warn;
use super::{Context, fail_invalid};
#[cfg(feature = "aws")]
use crate::aws::account::Lasting;
use crate::clock::{Clock, Timestamp};
use crate::drill::spec::{Drill, DrillSpec, EnvironmentSpec};
use crate::drill::{bind, freeze, load};
use crate::engine::runner::{GATE_TIMEOUT, Setup, objective_infos};
use crate::event::{Health, ObjectiveInfo, RunStarted};
use crate::exit::Exit;
use crate::fault::registry::Registry;
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, RunHeader};
use crate::plan::{self, Plan, Refusal};
use crate::probe::ProbeSource;
use crate::probe::open::Opener;
use crate::probe::params::ProbeSpec;
use crate::probe::watch::read_once;
use crate::sandbox;

/// The shortest baseline by default, and how many readings of the slowest objective it holds at least.
const BASELINE: (Duration, u32) = (Duration::from_secs(10), 5);

/// How long an undo may take once it has begun: credentials must last so long.
#[cfg(feature = "aws")]
const UNDO: Duration = Duration::from_secs(15 * 60);

/// A drill, bound to an environment and resolved against it.
pub struct Prepared {
    /// Run id.
    pub run: String,
    /// The environment, and the sandbox behind it.
    pub opened: Opened,
    /// Faults and actions.
    pub kinds: Arc<Registry>,
    /// Signals.
    pub probes: Arc<Opener>,
    /// Time.
    pub clock: Clock,
    /// What the engine needs.
    pub setup: Setup,
    /// Why the run may not start.
    pub refusals: Vec<Refusal>,
}

/// Loads, binds, opens and resolves. Prints what is wrong; nothing is mutated.
///
/// # Errors
/// The exit code of whatever is wrong with the files or the sandbox. Guards that refuse are in [`Prepared::refusals`].
pub async fn prepare(file: &Path, env: &str, skip_failback: bool) -> Result<Prepared, Exit> {
    let drill = load::load_drill(file).map_err(|found| fail_invalid(&found))?;
    let opened = Opened::open(env).await.map_err(|error| match error {
        OpenError::Invalid(found) => fail_invalid(&found),
        OpenError::Sandbox(error) => super::fail(Exit::Unreachable, error),
    })?;
    let bound = match bind(&drill, &opened.environment) {
        Ok(bound) => bound,
        Err(found) => {
            opened.close().await;
            return Err(fail_invalid(&found));
        }
    };
    Ok(resolve(drill.value, bound, opened, skip_failback).await)
}

async fn resolve(drill: Drill, bound: Drill, opened: Opened, skip_failback: bool) -> Prepared {
    let run = ulid::Ulid::generate().to_string();
    let clock = Clock::system();
    let (spec, environment) = (&bound.spec, &opened.environment.spec);
    let kinds = Arc::new(Registry::new(environment));
    let probes = Arc::new(Opener::sharing(environment, clock, kinds.connections()));
    let objectives = objective_infos(spec, probes.as_ref(), &run);
    let baseline = spec.baseline.map_or_else(|| default_baseline(&objectives), |length| *length);
    let now = clock.now();
    let mut plan = plan::resolve(&run, spec, environment, kinds.as_ref(), now.plus(baseline)).await;
    let mut refusals = std::mem::take(&mut plan.refusals);
    refusals.extend(freeze::active(&environment.freezes, now).map(|frozen| refusal(frozen.to_string())));
    refusals.extend(unreadable_probes(&bound, &opened.environment.spec, probes.as_ref(), &run).await);
    for halt in &environment.halt_when {
        refusals.extend(halted(&clock, &halt.id, &halt.probe, halt.timeout.map(|t| *t), probes.as_ref(), &run).await);
    }
    #[cfg(feature = "aws")]
    outlasted(kinds.connections().1.lasting().await, plan.undo_by.plus(UNDO), &mut refusals, &mut plan.warnings);
    let environment_hash = hash(&without_folders(&sandbox::hash_basis(&opened.environment)));
    let setup = Setup {
        header: header(&run, &bound, &opened, now),
        started: started(&run, &drill, &bound, &opened, objectives, &plan, environment_hash),
        drill: bound.spec,
        environment: opened.environment.spec.clone(),
        plan,
        baseline,
        skip_failback,
    };
    Prepared { run, kinds, probes, clock, setup, refusals, opened }
}

/// Credentials that end before the undo is sure to be over leave what they changed in place.
#[cfg(feature = "aws")]
fn outlasted(lasting: Vec<(String, Lasting)>, needed: Timestamp, refusals: &mut Vec<Refusal>, warnings: &mut Vec<String>) {
    for (account, lasting) in lasting {
        match lasting {
            Lasting::ForGood | Lasting::Renewed => {}
            Lasting::Until(end) if end >= needed => {}
            Lasting::Until(end) => refusals.push(refusal(format!(
                "account '{account}': the session ends {}, revert window until {}; log in again, for longer, or use credentials that are renewed without a person",
                seconds(end),
                seconds(needed)
            ))),
            Lasting::Unknown => warnings.push(format!("account '{account}': the session does not say when it ends; it must last until {}", seconds(needed))),
        }
    }
}

fn default_baseline(objectives: &[ObjectiveInfo]) -> Duration {
    let slowest = objectives.iter().map(|objective| *objective.interval).max().unwrap_or_default();
    BASELINE.0.max(slowest * BASELINE.1)
}

/// A refusal of no one step.
#[must_use]
pub fn refusal(reason: String) -> Refusal {
    Refusal { step: None, reason, unreachable: false }
}

/// Every probe of a drill and of its environment, and whose it is.
pub fn all_probes<'a>(drill: &'a DrillSpec, environment: &'a EnvironmentSpec) -> impl Iterator<Item = (String, &'a ProbeSpec)> {
    let objectives = drill.objectives.iter().map(|objective| (format!("objective '{}'", objective.id), &objective.probe));
    let checks = drill.steps.iter().filter_map(|step| Some((format!("step '{}'", step.id), &step.check.as_ref()?.probe)));
    let region = drill.region_healthy.iter().map(|gate| ("regionHealthy".to_owned(), &gate.probe));
    let halts = environment.halt_when.iter().map(|halt| (format!("haltWhen '{}'", halt.id), &halt.probe));
    objectives.chain(checks).chain(region).chain(halts)
}

/// Probes that this build cannot read, that lead where no probe may go, or that a cluster does not allow.
async fn unreadable_probes(drill: &Drill, environment: &EnvironmentSpec, probes: &Opener, run: &str) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for (whose, probe) in all_probes(&drill.spec, environment) {
        let missing = match probes.open(probe, run) {
            Ok(probe) => probe.missing().await,
            Err(error) => {
                refusals.push(refusal(format!("{whose}: {error}")));
                continue;
            }
        };
        match missing {
            Ok(missing) => refusals.extend(missing.iter().map(|access| refusal(format!("{whose}: permission missing: {access}")))),
            Err(error) => {
                refusals.push(Refusal { unreachable: error.unreachable, ..refusal(format!("{whose}: {error}")) });
            }
        }
    }
    refusals
}

/// A condition that is true, or cannot be read, refuses: nobody knows that it is safe to start.
async fn halted(clock: &Clock, id: &str, probe: &ProbeSpec, timeout: Option<Duration>, probes: &Opener, run: &str) -> Option<Refusal> {
    let probe = probes.open(probe, run).ok()?;
    let (_, _, reading) = read_once(clock, probe.as_ref(), timeout.unwrap_or(GATE_TIMEOUT)).await;
    let detail = reading.detail.unwrap_or_default();
    match reading.health {
        Health::Good => Some(refusal(format!("haltWhen '{id}' of the environment is true"))),
        Health::Unknown => Some(refusal(format!("haltWhen '{id}' of the environment cannot be read: {detail}"))),
        Health::Bad => None,
    }
}

fn header(run: &str, bound: &Drill, opened: &Opened, started: Timestamp) -> RunHeader {
    let mut environment_document = serde_json::to_value(&opened.environment).unwrap_or_default();
    if let (true, Some(document)) = (opened.embedded(), environment_document.as_object_mut()) {
        document.insert(RunHeader::EMBEDDED.to_owned(), true.into());
    }
    RunHeader {
        run: run.to_owned(),
        drill: bound.metadata.name.clone(),
        environment: opened.environment.metadata.name.clone(),
        drill_document: serde_json::to_value(bound).unwrap_or_default(),
        environment_document,
        started,
    }
}

fn started(
    run: &str,
    drill: &Drill,
    bound: &Drill,
    opened: &Opened,
    objectives: Vec<ObjectiveInfo>,
    plan: &Plan,
    environment_hash: String,
) -> RunStarted {
    let spec = &bound.spec;
    RunStarted {
        run: run.to_owned(),
        firedrill: env!("CARGO_PKG_VERSION").to_owned(),
        drill: bound.metadata.name.clone(),
        summary: spec.summary.clone(),
        owner: spec.owner.clone(),
        hypothesis: spec.hypothesis.clone(),
        failed_region: spec.failed_region.clone(),
        surviving_regions: spec.surviving_regions.clone(),
        environment: opened.environment.metadata.name.clone(),
        drill_hash: hash(&drill.spec),
        environment_hash,
        hold: (*spec.hold).into(),
        undo_by: (*spec.undo_by).into(),
        objectives,
        steps: plan.step_infos(),
        plan: plan.info(),
    }
}

fn hash(document: &impl Serialize) -> String {
    let text = serde_json::to_vec(document).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One run at a time in an environment, and none on top of what an earlier one left: limits and prior states would not mean what they say. An embedded
/// sandbox is the run's own.
pub async fn occupied(context: &Context, journal: &dyn Journal, opened: &Opened, environment: &str) -> Option<Refusal> {
    if opened.embedded() {
        return None;
    }
    let runs = match journal.runs().await {
        Ok(runs) => runs,
        Err(error) => return Some(refusal(error.to_string())),
    };
    runs.into_iter().filter(|other| other.header.environment == environment && !other.header.embedded()).find_map(|other| {
        let (run, open) = (&other.header.run, other.open_records);
        if other.alive {
            let abort = command(context, &format!("abort {run}"));
            return Some(refusal(format!("run {run} is going on in '{environment}'; wait for it, or `{abort}`")));
        }
        let resume = command(context, &format!("resume {run}"));
        (open > 0).then(|| refusal(format!("run {run} has {open} unreverted target(s) in '{environment}'; `{resume}` first")))
    })
}

/// The same for a plan, which makes no journal: where there is none, nothing is in the way.
pub async fn occupied_so_far(context: &Context, prepared: &Prepared) -> Option<Refusal> {
    if context.state_dir.as_ref().is_some_and(|dir| !dir.exists()) {
        return None;
    }
    match Sqlite::open_existing(context.state_dir.as_deref()) {
        Ok(None) => None,
        Ok(Some(journal)) => occupied(context, &journal, &prepared.opened, &prepared.setup.header.environment).await,
        Err(error) => Some(refusal(error.to_string())),
    }
}

/// Prints why a run may not start; the exit code says whether a guard refused or the platform could not be asked.
pub fn refuse(refusals: &[Refusal]) -> Exit {
    for refusal in refusals {
        warn(&format!("refused: {refusal}"));
    }
    warn("nothing was touched");
    exit_of(refusals)
}

/// The exit code of these refusals; passed when there are none.
#[must_use]
pub fn exit_of(refusals: &[Refusal]) -> Exit {
    match refusals {
        [] => Exit::Passed,
        all if all.iter().all(|refusal| refusal.unreachable) => Exit::Unreachable,
        _ => Exit::Refused,
    }
}
