//! From a drill and an environment to a run that is ready: opened, resolved, and refused where a guard says so. For the command line and the operator.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

#[cfg(feature = "aws")]
use crate::aws::account::Lasting;
#[cfg(feature = "aws")]
use crate::clock::seconds;
use crate::clock::{Clock, Timestamp};
use crate::drill::freeze;
use crate::drill::spec::{Drill, DrillSpec, Environment, EnvironmentSpec};
use crate::engine::runner::{GATE_TIMEOUT, Setup, objective_infos};
use crate::engine::{Answer, People, World};
use crate::event::{Health, ObjectiveInfo, RunStarted};
use crate::exit::Exit;
use crate::fault::registry::Registry;
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

/// What is to be run.
pub struct Asked<'a> {
    /// Run id.
    pub run: String,
    /// [`hash`] of the drill's spec as it was written.
    pub drill_hash: String,
    /// The drill, bound to the environment.
    pub bound: Drill,
    /// Where.
    pub environment: &'a Environment,
    /// The environment lives and ends with this process.
    pub embedded: bool,
    /// Actions stay on purpose.
    pub skip_failback: bool,
    /// When it begins, where that is not now: deadlines count from there, and freezes are looked at there. Credentials are of that day.
    pub begin: Option<Timestamp>,
}

/// A drill, bound to an environment and resolved against it.
pub struct Ready {
    /// Run id.
    pub run: String,
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

/// Opens and resolves. Nothing is mutated; guards that refuse are in [`Ready::refusals`].
pub async fn resolve(asked: Asked<'_>) -> Ready {
    let clock = Clock::system();
    let Asked { run, drill_hash, bound, environment: document, embedded, skip_failback, begin } = asked;
    let (spec, environment) = (&bound.spec, &document.spec);
    let kinds = Arc::new(Registry::new(environment));
    let probes = Arc::new(Opener::sharing(environment, clock, kinds.connections()));
    let objectives = objective_infos(spec, probes.as_ref(), &run);
    let baseline = spec.baseline.map_or_else(|| default_baseline(&objectives), |length| *length);
    let now = clock.now();
    let then = begin.unwrap_or(now).max(now);
    let mut plan = plan::resolve(&run, spec, environment, kinds.as_ref(), then.plus(baseline)).await;
    let mut refusals = std::mem::take(&mut plan.refusals);
    refusals.extend(freeze::active(&environment.freezes, then).map(|frozen| refusal(frozen.to_string())));
    refusals.extend(unreadable_probes(&bound, environment, probes.as_ref(), &run).await);
    for halt in &environment.halt_when {
        refusals.extend(halted(&clock, &halt.id, &halt.probe, halt.timeout.map(|t| *t), probes.as_ref(), &run).await);
    }
    #[cfg(feature = "aws")]
    if begin.is_none() {
        outlasted(kinds.connections().1.lasting().await, plan.undo_by.plus(UNDO), &mut refusals, &mut plan.warnings);
    }
    let setup = Setup {
        header: header(&run, &bound, document, embedded, now),
        started: started(&run, &bound, document, objectives, &plan, drill_hash),
        drill: bound.spec,
        environment: environment.clone(),
        plan,
        baseline,
        skip_failback,
    };
    Ready { run, kinds, probes, clock, setup, refusals }
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

/// How long the steady state is watched where a drill does not say.
#[must_use]
pub fn default_baseline(objectives: &[ObjectiveInfo]) -> Duration {
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

/// What is written once when a run opens.
#[must_use]
pub fn header(run: &str, bound: &Drill, environment: &Environment, embedded: bool, started: Timestamp) -> RunHeader {
    let mut environment_document = serde_json::to_value(environment).unwrap_or_default();
    if let (true, Some(document)) = (embedded, environment_document.as_object_mut()) {
        document.insert(RunHeader::EMBEDDED.to_owned(), true.into());
    }
    RunHeader {
        run: run.to_owned(),
        drill: bound.metadata.name.clone(),
        environment: environment.metadata.name.clone(),
        drill_document: serde_json::to_value(bound).unwrap_or_default(),
        environment_document,
        started,
    }
}

fn started(run: &str, bound: &Drill, environment: &Environment, objectives: Vec<ObjectiveInfo>, plan: &Plan, drill_hash: String) -> RunStarted {
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
        environment: environment.metadata.name.clone(),
        drill_hash,
        environment_hash: environment_hash(environment),
        hold: (*spec.hold).into(),
        undo_by: (*spec.undo_by).into(),
        objectives,
        steps: plan.step_infos(),
        plan: plan.info(),
    }
}

/// SHA-256 of a document's canonical JSON, in hexadecimal.
#[must_use]
pub fn hash(document: &impl Serialize) -> String {
    let text = serde_json::to_vec(document).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of an environment, wherever its files lie.
#[must_use]
pub fn environment_hash(environment: &Environment) -> String {
    hash(&without_folders(&sandbox::hash_basis(environment)))
}

/// Every file that an environment names.
pub fn files(environment: &mut EnvironmentSpec) -> impl Iterator<Item = &mut String> {
    let kubeconfigs = environment.kubernetes.iter_mut().filter_map(|cluster| cluster.connection.kubeconfig_file.as_mut());
    kubeconfigs.chain(environment.network.as_mut().and_then(|network| network.aws_address_ranges.as_mut()))
}

/// The environment without the folders of this machine, so that its hash is the same wherever its files lie.
#[must_use]
pub fn without_folders(environment: &Environment) -> Environment {
    let mut environment = environment.clone();
    for file in files(&mut environment.spec) {
        *file = Path::new(&*file).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    }
    environment
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

/// The world of a recovery: no person is asked anything.
#[must_use]
pub fn recovery_world(clock: Clock, journal: Arc<dyn Journal>, environment: &EnvironmentSpec) -> World {
    let kinds = Registry::new(environment);
    let probes = Opener::sharing(environment, clock, kinds.connections());
    World { clock, journal, kinds: Arc::new(kinds), probes: Arc::new(probes), people: Arc::new(Nobody) }
}

/// Where nobody can be asked: each manual step fails, and the run turns round.
pub struct Nobody;

#[async_trait::async_trait]
impl People for Nobody {
    async fn ask(&self, _step: &str, _role: &str, _instruction: &str, _limit: Timestamp) -> Answer {
        Answer::Failed("nobody is there to be asked".to_owned())
    }
}
