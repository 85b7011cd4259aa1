//! A story: a run, perhaps its death, perhaps a recovery and its death, and a last healthy recovery.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use firedrill::clock::{Clock, Timestamp};
use firedrill::drill::spec::{Drill, DrillSpec, EnvironmentSpec};
use firedrill::engine::control::Control;
use firedrill::engine::recovery;
use firedrill::engine::runner::{self, Outcome, Setup};
use firedrill::engine::{Answer as Reply, People};
use firedrill::event::{Event, Phase, RunStarted, StopReason};
use firedrill::exit::Exit;
use firedrill::journal::{Journal, RunHeader};
use firedrill::plan;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use super::checks;
use super::journal::SimJournal;
use super::kinds::Source;
use super::world::{Break, Fate, Inner, Object, Seen, World};

const BIRTH: Timestamp = Timestamp(1_800_000_000_000_000);
pub const RUN: &str = "01SIMULATION";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    Resume,
    SweepWithoutJournal,
}

#[derive(Debug, Clone, Copy)]
pub struct Story {
    first: Option<(usize, Fate)>,
    second: Option<(usize, Fate)>,
    recovery: Recovery,
    broken: Option<Break>,
    abort: bool,
    foreign: bool,
    sick: bool,
    stubborn: bool,
    slow: bool,
    slow_disk: bool,
    kept: Option<Kept>,
}

/// Who says that the action stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    ByDrill,
    ByFlag,
}

/// How a story ended, for the checks.
pub struct End {
    pub story: Story,
    pub before: BTreeMap<String, Object>,
    pub inner: Inner,
    pub effects: usize,
    pub recovery_effects: usize,
    /// Numbers of the last process's effects that write to the world.
    pub writes: Vec<usize>,
    pub exit: Option<Exit>,
    pub reason: String,
}

fn drill() -> Drill {
    let fault = |services: &str| json!({"gatewayBlackhole": {"gateway": "sim", "services": [services]}});
    serde_json::from_value(json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "simulated"},
        "spec": {
            "summary": "s", "owner": "o", "hypothesis": "h", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
            "regionHealthy": {"probe": {"http": {"url": "healthy"}}, "stableFor": "3s", "limit": "60s"},
            "baseline": "3s", "hold": "30s", "undoBy": "30m",
            "objectives": [{"id": "checkout", "probe": {"http": {"url": "checkout"}}, "interval": "1s", "recoverWithin": "20s", "stableFor": "5s"}],
            "steps": [
                {"id": "a", "fault": fault("a")},
                {"id": "pause", "after": ["a"], "wait": {"for": "1s"}},
                {"id": "b", "after": ["pause"], "fault": fault("b")},
                {"id": "shift", "after": ["b"], "action": {"edgeShift": {"edge": "e", "to": "us-west-2"}}},
            ],
        },
    }))
    .unwrap()
}

fn environment() -> EnvironmentSpec {
    serde_json::from_value(json!({"allow": {"faults": ["gatewayBlackhole"], "noDeadMan": true}})).unwrap()
}

fn objects(sick: bool) -> BTreeMap<String, Object> {
    let healthy = ["node-a1", "node-a2", "node-b1", "shift-1", "bystander"].map(|id| (id, "healthy"));
    let all = healthy.into_iter().chain([("node-a3", "broken")]).chain(sick.then_some(("later-sick", "yes")));
    all.map(|(id, value)| (id.to_owned(), Object { value: value.to_owned(), mark: None })).collect()
}

struct Nobody;
#[async_trait]
impl People for Nobody {
    async fn ask(&self, _: &str, _: &str, _: &str, _: Timestamp) -> Reply {
        Reply::Done
    }
}

impl Story {
    pub fn new() -> Self {
        Self {
            first: None,
            second: None,
            recovery: Recovery::Resume,
            broken: None,
            abort: false,
            foreign: false,
            sick: false,
            stubborn: false,
            slow: false,
            slow_disk: false,
            kept: None,
        }
    }
    pub fn first(self, at: usize, fate: Fate) -> Self {
        Self { first: Some((at, fate)), ..self }
    }
    pub fn second(self, at: usize, fate: Fate) -> Self {
        Self { second: Some((at, fate)), ..self }
    }
    pub fn recover_by(self, recovery: Recovery) -> Self {
        Self { recovery, ..self }
    }
    pub fn broken(self, broken: Break) -> Self {
        Self { broken: Some(broken), ..self }
    }
    pub fn abort_in_the_hold(self) -> Self {
        Self { abort: true, ..self }
    }
    pub fn foreign_change_in_the_hold(self) -> Self {
        Self { foreign: true, ..self }
    }
    pub fn stubborn_target(self) -> Self {
        Self { stubborn: true, ..self }
    }
    pub fn slow_target(self) -> Self {
        Self { slow: true, ..self }
    }
    /// From the hold on each write of the journal takes twenty seconds.
    pub fn slow_disk_from_the_hold_on(self) -> Self {
        Self { slow_disk: true, ..self }
    }
    pub fn kept(self, kept: Kept) -> Self {
        Self { kept: Some(kept), ..self }
    }
    pub fn sick_region(self) -> Self {
        Self { sick: true, ..self }
    }
    pub fn empties_the_journal(&self) -> bool {
        self.recovery == Recovery::SweepWithoutJournal
    }
    pub fn disturbed(&self) -> bool {
        self.first.is_some()
    }
    pub fn has_foreign_change(&self) -> bool {
        self.foreign
    }

    pub fn tell(self) -> End {
        let before = objects(self.sick);
        let inner = Arc::new(Mutex::new(Inner {
            objects: before.clone(),
            now: BIRTH,
            fate: self.first,
            broken: self.broken,
            slow_looks: if self.slow { 50 } else { 0 },
            ..Inner::default()
        }));
        let mut outcome = process(&inner, |world| self.run(world));
        let effects = inner.lock().unwrap().effects;
        let mut recovery_effects = 0;
        // A process that died is followed by recoveries until one lives: the second may die as well, the third is healthy.
        let mut deaths = [self.second, None].into_iter();
        let given_up = |outcome: &Option<Option<Outcome>>| {
            // A run that could not open its journal has touched nothing, and may have left an open run.
            let inner = inner.lock().unwrap();
            matches!(outcome, Some(None)) && inner.header.is_some() && inner.end.is_none() && inner.fate == self.first && self.second.is_none()
        };
        while outcome.is_none() || given_up(&outcome) {
            {
                let mut inner = inner.lock().unwrap();
                let died = inner.now;
                // Sweep sees what has landed: a person runs it later than a supervisor restarts.
                let pause = if self.recovery == Recovery::Resume { Duration::from_secs(1) } else { Duration::from_secs(10) };
                inner.now = died.plus(pause);
                inner.effects = 0;
                inner.writes.clear();
                inner.fate = deaths.next().expect("a healthy recovery must live");
                inner.in_flight.clear();
                if self.empties_the_journal() {
                    inner.lose_the_journal();
                }
            }
            outcome = process(&inner, |world| self.recover(world));
            recovery_effects = inner.lock().unwrap().effects;
        }
        let outcome = outcome.flatten();
        let inner = std::mem::take(&mut *inner.lock().unwrap());
        let (exit, reason) = outcome.map_or((None, String::new()), |outcome| (Some(outcome.exit), outcome.scorecard.reason));
        End { story: self, before, writes: inner.writes.clone(), inner, effects, recovery_effects, exit, reason }
    }

    async fn run(self, world: World) -> Option<Outcome> {
        let mut drill = drill();
        drill.spec.steps.iter_mut().for_each(|step| step.keep = step.action.is_some() && self.kept == Some(Kept::ByDrill));
        let (engine, now) = (engine(&world), world.clock.now());
        let baseline = *drill.spec.baseline.unwrap();
        let mut plan = plan::resolve(RUN, &drill.spec, &environment(), engine.kinds.as_ref(), now.plus(baseline)).await;
        assert_eq!(plan.refusals, []);
        if self.broken == Some(Break::ActionsWithFaults) {
            plan.steps.iter_mut().flat_map(|step| &mut step.records).for_each(|record| record.action = false);
        }
        let (control, controlled) = Control::new();
        let setup = Setup {
            header: RunHeader {
                run: RUN.into(),
                drill: "simulated".into(),
                environment: "sim".into(),
                drill_document: serde_json::to_value(&drill).unwrap(),
                environment_document: json!({"spec": environment()}),
                started: now,
            },
            started: started(&drill.spec, &plan, engine.probes.as_ref()),
            drill: drill.spec,
            environment: environment(),
            plan,
            baseline,
            skip_failback: self.kept == Some(Kept::ByFlag),
        };
        let (sinks, mut told) = mpsc::unbounded_channel::<firedrill::event::RunEvent>();
        let watcher = world.clone();
        tokio::spawn(async move {
            while let Some(event) = told.recv().await {
                if !matches!(event.body, Event::HoldStarted { .. }) {
                    continue;
                }
                if self.abort {
                    control.stop(StopReason::AbortRequested, "asked");
                }
                let mut inner = watcher.lock();
                if self.slow_disk {
                    inner.disk = Duration::from_secs(20);
                }
                if self.stubborn {
                    inner.stubborn_until = inner.now.plus(Duration::from_secs(300));
                }
                if self.foreign {
                    inner.objects.insert("node-a1".into(), Object { value: "repaired by someone".into(), mark: None });
                }
                if self.sick {
                    inner.objects.insert("sick".into(), Object { value: "yes".into(), mark: None });
                }
            }
        });
        runner::run(engine, setup, controlled, sinks).await.ok()
    }

    async fn recover(self, world: World) -> Option<Outcome> {
        let engine = engine(&world);
        let (_control, controlled) = Control::new();
        let (sinks, _told) = mpsc::unbounded_channel();
        match self.recovery {
            Recovery::Resume => {
                let summary = SimJournal(world).run(RUN).await.ok()?;
                if summary.end.is_some() {
                    return None;
                }
                Some(recovery::resume(engine, summary, controlled, sinks).await.unwrap())
            }
            Recovery::SweepWithoutJournal => {
                let found = recovery::search(&engine).await.unwrap().leftovers;
                let leftover = found.into_iter().next()?;
                Some(recovery::sweep(engine, leftover, drill().spec, ("sim".into(), environment()), controlled, sinks).await.unwrap())
            }
        }
    }
}

/// One life of the process, on a runtime of its own: dropping it kills every task, detached ones too. None when it died.
fn process<F: Future<Output = Option<Outcome>>>(inner: &Arc<Mutex<Inner>>, life: impl FnOnce(World) -> F) -> Option<Option<Outcome>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let dead = Arc::new(Notify::new());
        let clock = Clock::starting_at(inner.lock().unwrap().now);
        let world = World { inner: inner.clone(), clock, dead: dead.clone() };
        tokio::select! {
            biased;
            () = dead.notified() => None,
            outcome = life(world) => Some(outcome),
            () = tokio::time::sleep(Duration::from_secs(4 * 3600)) => panic!("the run never ended"),
        }
    })
}

fn engine(world: &World) -> firedrill::engine::World {
    let source = Arc::new(Source(world.clone()));
    firedrill::engine::World {
        clock: world.clock,
        journal: Arc::new(SimJournal(world.clone())),
        kinds: source.clone(),
        probes: source,
        people: Arc::new(Nobody),
    }
}

fn started(drill: &DrillSpec, plan: &plan::Plan, probes: &dyn firedrill::probe::ProbeSource) -> RunStarted {
    RunStarted {
        run: RUN.into(),
        firedrill: "test".into(),
        drill: "simulated".into(),
        summary: drill.summary.clone(),
        owner: drill.owner.clone(),
        hypothesis: drill.hypothesis.clone(),
        failed_region: drill.failed_region.clone(),
        surviving_regions: drill.surviving_regions.clone(),
        environment: "sim".into(),
        drill_hash: "d".into(),
        environment_hash: "e".into(),
        hold: (*drill.hold).into(),
        undo_by: (*drill.undo_by).into(),
        objectives: runner::objective_infos(drill, probes, RUN),
        steps: plan.step_infos(),
        plan: plan.info(),
    }
}

impl End {
    pub fn violations(&self) -> Option<String> {
        let found = checks::violations(self);
        (!found.is_empty()).then(|| format!("{:?}\n  {}\n  exit {:?}: {}", self.story, found.join("\n  "), self.exit, self.reason))
    }

    pub fn assert_restored(&self) {
        if let Some(violations) = self.violations() {
            let seen: Vec<String> = self.inner.seen.iter().map(|(at, seen)| format!("{at} {seen:?}")).collect();
            panic!("{violations}\n{}", seen.join("\n"));
        }
    }

    pub fn reverted_at(&self, id: &str) -> Option<Timestamp> {
        let closed = |seen: &Seen| matches!(seen, Seen::Reverted { target, .. } if target == id);
        self.inner.seen.iter().find(|(_, seen)| closed(seen)).map(|(at, _)| *at)
    }

    pub fn was_stuck(&self, id: &str) -> bool {
        self.inner.history.contains(&(id.to_owned(), Phase::Stuck))
    }

    pub fn assert_lifted_but_evacuated(&self) {
        let in_place: Vec<&String> = self.inner.objects.iter().filter(|(_, object)| object.mark.is_some()).map(|(id, _)| id).collect();
        assert_eq!(in_place, ["shift-1"]);
        assert!(self.inner.problems.is_empty(), "{:?}", self.inner.problems);
    }
}
