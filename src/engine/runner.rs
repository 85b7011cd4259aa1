//! The async shell of a run: turns samples, timers, signals and finished tasks into inputs of the machine, and its commands into work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::drill::spec::{DrillSpec, EnvironmentSpec};
use crate::event::{Event, Health, ObjectiveInfo, Phase, RunEvent, RunStarted, Sample, StepKind, StopReason};
use crate::exit::Exit;
use crate::fault::Record;
use crate::journal::{JournalError, RunEnd, RunHeader};
use crate::plan::Plan;
use crate::probe::ProbeSource;
use crate::probe::watch::{read_once, until_stable};
use crate::score::{self, Scorecard};

use super::World;
use super::baseline::{self, AbortWatch, SettleWatch};
use super::control::{Controlled, StopRequest, Urgency, reached};
use super::ledger::Ledger;
use super::log::EventLog;
use super::machine::{Command, Input, Machine, Script, ScriptStep, Stage};
use super::step::Work;
use super::undo::Undo;

/// Defaults of gates (drill-file.md).
pub(super) const GATE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest that a reading of a gate or a halt condition may take where the file does not say.
pub const GATE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a run is made of.
pub struct Setup {
    /// What is written once when the run opens.
    pub header: RunHeader,
    /// First event of the stream.
    pub started: RunStarted,
    /// The bound drill.
    pub drill: DrillSpec,
    /// Where it runs.
    pub environment: EnvironmentSpec,
    /// What was resolved.
    pub plan: Plan,
    /// How long the steady state is watched.
    pub baseline: Duration,
    /// Actions stay on purpose.
    pub skip_failback: bool,
}

/// How a run ended.
pub struct Outcome {
    /// The whole stream.
    pub events: Vec<RunEvent>,
    /// What it proved.
    pub scorecard: Scorecard,
    /// Exit code of the process.
    pub exit: Exit,
    /// Targets that are, or may be, still in place.
    pub in_place: Vec<Record>,
}

/// What tasks tell the runner.
pub(super) enum Message {
    Input(Input),
    Sample(Sample),
    Injecting(Timestamp),
}

/// Runs a drill from its baseline to its last event. Errors only before anything was touched: the journal could not be opened.
pub async fn run(world: World, setup: Setup, controlled: Controlled, sinks: mpsc::UnboundedSender<RunEvent>) -> Result<Outcome, JournalError> {
    world.journal.open_run(&setup.header).await?;
    let run = setup.header.run.clone();
    let log = EventLog::new(&run, world.clock, world.journal.clone(), sinks, Vec::new());
    log.emit(Event::RunStarted(Box::new(setup.started.clone()))).await;
    if let Some(error) = log.failure().await {
        return Err(error);
    }
    let ledger = Ledger::new(&run, world.journal.clone(), log.clone(), Vec::new());
    let machine = Machine::new(script(&setup));
    let mut runner = Runner::new(world, run, log, ledger, machine, controlled, setup);
    runner.watch_everything();
    let until = runner.world.clock.now().plus(runner.setup.baseline);
    runner.baseline_until = Some(until);
    runner.log.emit(Event::BaselineStarted { until }).await;
    Ok(runner.drive().await)
}

/// Finishes the undo that a journal, or the marks in the world, say is open. Never continues a drill: the verdict is Aborted.
pub async fn finish_undo(
    world: World,
    setup: Setup,
    past: Vec<RunEvent>,
    records: Vec<Record>,
    controlled: Controlled,
    sinks: mpsc::UnboundedSender<RunEvent>,
    why: &str,
) -> Outcome {
    let run = setup.header.run.clone();
    let log = EventLog::new(&run, world.clock, world.journal.clone(), sinks, past);
    let acted = records.iter().any(|record| record.action && !record.keep && !record.phase.is_closed());
    let ledger = Ledger::new(&run, world.journal.clone(), log.clone(), records);
    let machine = Machine::resuming(script(&setup), acted);
    let mut runner = Runner::new(world, run, log, ledger, machine, controlled, setup);
    if runner.log.all().await.is_empty() {
        // The process died before its first event, or the journal is lost: every stream begins with what is known of the run.
        runner.log.emit(Event::RunStarted(Box::new(runner.setup.started.clone()))).await;
    }
    runner.tell_what_only_the_journal_knows().await;
    runner.log.emit(Event::Stopping { reason: StopReason::Resumed, detail: why.to_owned() }).await;
    runner.perform(Command::LiftFaults).await;
    runner.drive().await
}

fn script(setup: &Setup) -> Script {
    let index: BTreeMap<&str, usize> = setup.plan.steps.iter().enumerate().map(|(index, step)| (step.id.as_str(), index)).collect();
    let steps = (setup.plan.steps.iter()).map(|step| ScriptStep {
        id: step.id.clone(),
        after: step.after.iter().filter_map(|id| index.get(id.as_str()).copied()).collect(),
        failback: step.kind == StepKind::Action && step.records.iter().any(|record| !record.keep),
    });
    let longest = setup.started.objectives.iter().map(|objective| *objective.stable_for).max().unwrap_or_default();
    Script {
        steps: steps.collect(),
        hold: *setup.started.hold,
        undo_by: setup.plan.undo_by,
        region_limit: setup.drill.region_healthy.as_ref().map(|gate| *gate.limit),
        settle: longest * 2 + Duration::from_secs(15),
        skip_failback: setup.skip_failback,
    }
}

/// A run that is on.
pub(super) struct Runner {
    pub(super) world: World,
    pub(super) run: String,
    pub(super) log: EventLog,
    pub(super) ledger: Ledger,
    machine: Machine,
    controlled: Controlled,
    pub(super) setup: Arc<Setup>,
    pub(super) send: mpsc::UnboundedSender<Message>,
    receive: mpsc::UnboundedReceiver<Message>,
    /// Watchers and steps; dropped with the run. Undo is never among them.
    pub(super) tasks: JoinSet<()>,
    pub(super) steps: CancellationToken,
    baseline_until: Option<Timestamp>,
    baseline: Vec<Sample>,
    aborts: Vec<AbortWatch>,
    settle: Option<SettleWatch>,
    over: bool,
}

impl Runner {
    fn new(world: World, run: String, log: EventLog, ledger: Ledger, machine: Machine, controlled: Controlled, setup: Setup) -> Self {
        let (send, receive) = mpsc::unbounded_channel();
        let aborts = (setup.drill.abort_when.iter()).map(|when| AbortWatch::new(&when.objective, when.availability_below.0, *when.window)).collect();
        Self {
            world,
            run,
            log,
            ledger,
            machine,
            controlled,
            setup: Arc::new(setup),
            send,
            receive,
            tasks: JoinSet::new(),
            steps: CancellationToken::new(),
            baseline_until: None,
            baseline: Vec::new(),
            aborts,
            settle: None,
            over: false,
        }
    }

    async fn drive(mut self) -> Outcome {
        let mut urgency = self.controlled.urgency.clone();
        let mut left = false;
        while !self.over {
            let tick = [self.machine.next_tick(), self.baseline_until].into_iter().flatten().min();
            let clock = self.world.clock;
            tokio::select! {
                biased;
                () = reached(&mut urgency, Urgency::Leave) => {
                    left = true;
                    break;
                }
                Some(StopRequest { reason, detail }) = self.controlled.requests.recv() => self.input(Input::Stop { reason, detail }).await,
                // Ahead of the samples: no flood of them may put off the end of the hold, or undoBy.
                () = clock.sleep_until(tick.unwrap_or_default()), if tick.is_some() => self.tick().await,
                Some(message) = self.receive.recv() => self.take(message).await,
            }
        }
        self.steps.cancel();
        if left {
            let text = "left before the undo was done: a third signal".to_owned();
            self.log.emit(Event::Note { text }).await;
        }
        self.tasks.abort_all();
        self.end().await
    }

    async fn end(self) -> Outcome {
        self.log.flush().await;
        let events = self.log.all().await;
        let scorecard = score::evaluate(&events);
        let exit = scorecard.exit();
        let in_place: Vec<Record> = self.ledger.in_place(false).into_iter().chain(self.ledger.in_place(true)).collect();
        let exit = if in_place.is_empty() { exit } else { Exit::StillInPlace };
        let ended = Event::RunEnded {
            verdict: scorecard.verdict,
            cleanliness: scorecard.cleanliness,
            score: scorecard.score,
            exit_code: exit.code(),
            reason: scorecard.reason.clone(),
        };
        self.log.emit(ended).await;
        let end = RunEnd {
            at: self.world.clock.now(),
            verdict: scorecard.verdict,
            cleanliness: scorecard.cleanliness,
            score: scorecard.score,
            exit_code: exit.code(),
        };
        // A run with something in place stays open: resume and status must find it.
        if in_place.is_empty()
            && let Err(error) = self.world.journal.close_run(&self.run, &end).await
        {
            self.log.emit(Event::Note { text: format!("the run could not be closed: {error}") }).await;
        }
        Outcome { events: self.log.all().await, scorecard, exit, in_place }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Input(input) => self.input(input).await,
            Message::Injecting(at) => self.aborts.iter_mut().for_each(|watch| watch.start(at)),
            Message::Sample(sample) => {
                if self.machine.stage() == Stage::Baseline {
                    self.baseline.push(sample.clone());
                }
                let abort = self.aborts.iter_mut().find_map(|watch| watch.take(&sample));
                let settled = self.settle.as_mut().is_some_and(|watch| watch.take(&sample));
                self.log.emit_at(sample.at, Event::Sample(sample)).await;
                self.stop_without_a_journal().await;
                if let Some(detail) = abort
                    && matches!(self.machine.stage(), Stage::Steps | Stage::Hold(_))
                {
                    self.input(Input::Stop { reason: StopReason::AbortWhen, detail }).await;
                }
                if settled {
                    self.input(Input::Settled).await;
                }
            }
        }
    }

    /// What cannot be remembered may not go on.
    async fn stop_without_a_journal(&mut self) {
        if matches!(self.machine.stage(), Stage::Steps | Stage::Hold(_))
            && let Some(error) = self.log.failure().await
        {
            self.input(Input::Stop { reason: StopReason::JournalFailed, detail: error.to_string() }).await;
        }
    }

    async fn tick(&mut self) {
        let now = self.world.clock.now();
        if self.baseline_until.is_some_and(|until| now >= until) {
            self.baseline_until = None;
            let mut problems = baseline::problems(&self.setup.started.objectives, &self.baseline);
            problems.extend(self.region_problem().await);
            self.log.emit(Event::BaselineEnded { problems: problems.clone() }).await;
            self.input(Input::BaselineEnded { problems }).await;
        } else {
            self.input(Input::Tick).await;
        }
    }

    /// The gate of fail-back must be good before the drill, or it could never open again.
    async fn region_problem(&self) -> Option<String> {
        let gate = self.setup.drill.region_healthy.as_ref()?;
        let probe = self.world.probes.open(&gate.probe, &self.run).ok()?;
        let (_, _, reading) = read_once(&self.world.clock, probe.as_ref(), gate.timeout.map_or(GATE_TIMEOUT, |t| *t)).await;
        (reading.health != Health::Good).then(|| format!("'regionHealthy' is not good: {}", reading.detail.unwrap_or_default()))
    }

    async fn input(&mut self, input: Input) {
        if let Input::Stop { .. } = &input {
            // Before anything else: after a stop no inject starts.
            self.steps.cancel();
        }
        for command in self.machine.step(input, self.world.clock.now()) {
            self.perform(command).await;
        }
    }

    async fn perform(&mut self, command: Command) {
        match command {
            Command::StartStep(index) => self.start_step(index).await,
            Command::CancelSteps => self.steps.cancel(),
            Command::SayStopping(reason, detail) => self.log.tell(Event::Stopping { reason, detail }),
            Command::SayNote(text) => self.log.emit(Event::Note { text }).await,
            Command::SayHold(until) => {
                self.log.emit(Event::HoldStarted { until }).await;
                self.watch_faults();
            }
            Command::LiftFaults => self.lift(),
            Command::AskRegion(limit) => self.ask_region(limit).await,
            Command::FailBack => self.fail_back(),
            Command::KeepActions => {
                for record in self.ledger.in_place(true) {
                    let kept = self.ledger.set(&record, Phase::Kept, Some("--skip-failback")).await;
                    self.note_failure(kept).await;
                }
            }
            Command::Settle(_) => {
                self.say_undo_ended().await;
                self.settle = Some(SettleWatch::new(&self.setup.started.objectives));
            }
            Command::Finish => {
                if self.machine.undo_begun() && self.settle.is_none() {
                    self.say_undo_ended().await;
                }
                self.over = true;
            }
        }
    }

    /// The process may have died between a record's move and its event: the stream must not tell an older story than the journal.
    async fn tell_what_only_the_journal_knows(&self) {
        let mut told = BTreeMap::new();
        for event in self.log.all().await {
            if let Event::TargetPhase { step, target, phase, .. } = event.body {
                told.insert((step, target), phase);
            }
        }
        for record in self.ledger.all() {
            if told.get(&(record.step.clone(), record.target.to_string())) != Some(&record.phase) {
                self.ledger.say(&record, record.phase, None).await;
            }
        }
    }

    async fn note_failure(&self, result: Result<(), JournalError>) {
        if let Err(error) = result {
            self.log.emit(Event::Note { text: error.to_string() }).await;
        }
    }

    // ---- forward ------------------------------------------------------------------------------------------------------------------------------

    async fn start_step(&mut self, index: usize) {
        let (world, log, ledger, setup, send) = (self.world.clone(), self.log.clone(), self.ledger.clone(), self.setup.clone(), self.send.clone());
        let (run, cancel) = (self.run.clone(), self.steps.clone());
        let limit = world.clock.now().plus(setup.plan.steps[index].limit);
        log.emit(Event::StepStarted { step: setup.plan.steps[index].id.clone(), limit }).await;
        self.tasks.spawn(async move {
            let step = &setup.plan.steps[index];
            let work = Work { world: &world, log: &log, ledger: &ledger, setup: &setup, run: &run, step, limit, cancel: &cancel, send: &send };
            let outcome = work.go().await;
            log.emit(Event::StepEnded { step: step.id.clone(), outcome: outcome.clone() }).await;
            let _ = send.send(Message::Input(Input::StepEnded { step: index, outcome }));
        });
    }

    // ---- backward -----------------------------------------------------------------------------------------------------------------------------

    fn undo(&self) -> Undo {
        let watch_for_loss = self.machine.stop_reason() != Some(StopReason::Resumed) && self.world.clock.now() < self.setup.plan.undo_by;
        let urgency = self.controlled.urgency.clone();
        Undo { world: self.world.clone(), ledger: self.ledger.clone(), log: self.log.clone(), urgency, watch_for_loss }
    }

    fn lift(&mut self) {
        let faults = self.ledger.in_place(false);
        let hurried = *self.controlled.urgency.borrow() >= Urgency::Hurry;
        // The first revert does not wait for the story.
        self.log.tell(Event::UndoStarted { targets: faults.len() + self.ledger.in_place(true).len(), hurried });
        let (undo, log, ledger, send) = (self.undo(), self.log.clone(), self.ledger.clone(), self.send.clone());
        // Detached: no select, no dropped runner can stop it.
        tokio::spawn(async move {
            undo.all(faults).await;
            for record in ledger.in_place(true).iter().filter(|record| record.keep) {
                undo.close(record, Phase::Kept, Some("stays on purpose (keep: true)")).await;
            }
            let left: Vec<String> = ledger.in_place(false).iter().map(|record| record.target.to_string()).collect();
            log.emit(Event::FaultsLifted { left: left.clone() }).await;
            let _ = send.send(Message::Input(Input::FaultsLifted { left: left.len() }));
        });
    }

    async fn ask_region(&mut self, limit: Timestamp) {
        self.log.emit(Event::RegionWaiting { limit }).await;
        let (world, log, setup, send, run) = (self.world.clone(), self.log.clone(), self.setup.clone(), self.send.clone(), self.run.clone());
        let mut urgency = self.controlled.urgency.clone();
        self.tasks.spawn(async move {
            let answer = tokio::select! {
                answer = region_healthy(&world, &setup, &run, limit) => answer,
                () = reached(&mut urgency, Urgency::Hurry) => Err("not waited for after a second signal".to_owned()),
            };
            let (healthy, detail) = match answer {
                Ok(()) => (true, "good".to_owned()),
                Err(detail) => (false, detail),
            };
            log.emit(Event::RegionHealthy { healthy, detail }).await;
            let _ = send.send(Message::Input(Input::RegionAnswered { healthy }));
        });
    }

    fn fail_back(&mut self) {
        let (undo, ledger, send) = (self.undo(), self.ledger.clone(), self.send.clone());
        tokio::spawn(async move {
            undo.all(ledger.in_place(true)).await;
            let _ = send.send(Message::Input(Input::FailedBack));
        });
    }

    async fn say_undo_ended(&self) {
        let named = |phase: Phase| -> Vec<String> {
            self.ledger.all().iter().filter(|record| record.phase == phase).map(|record| record.target.to_string()).collect()
        };
        let left = self.ledger.in_place(false).iter().chain(&self.ledger.in_place(true)).map(|record| record.target.to_string()).collect();
        self.log.emit(Event::UndoEnded { left, drifted: named(Phase::Drifted), kept: named(Phase::Kept) }).await;
    }
}

async fn region_healthy(world: &World, setup: &Setup, run: &str, limit: Timestamp) -> Result<(), String> {
    let Some(gate) = &setup.drill.region_healthy else { return Err("the drill has no regionHealthy".to_owned()) };
    let probe = world.probes.open(&gate.probe, run)?;
    let (interval, timeout) = (gate.interval.map_or(GATE_INTERVAL, |i| *i), gate.timeout.map_or(GATE_TIMEOUT, |t| *t));
    until_stable(&world.clock, probe.as_ref(), interval, timeout, *gate.stable_for, limit.since(world.clock.now()), |_| {}).await
}

/// An objective as scoring and reports need it, with the defaults filled in (drill-file.md).
#[must_use]
pub fn objective_infos(drill: &DrillSpec, probes: &dyn ProbeSource, run: &str) -> Vec<ObjectiveInfo> {
    let info = |objective: &crate::drill::spec::Objective| ObjectiveInfo {
        id: objective.id.clone(),
        probe: probes.open(&objective.probe, run).map_or_else(|error| error, |probe| probe.describe()),
        interval: (*objective.interval).into(),
        timeout: objective.timeout.map_or_else(|| (*objective.interval).min(Duration::from_secs(5)), |timeout| *timeout).into(),
        weight: objective.weight.unwrap_or(1),
        recover_within: objective.recover_within.map(|d| (*d).into()),
        stable_for: objective.stable_for.map_or(Duration::from_secs(30), |d| *d).into(),
        availability: objective.availability.map(|percent| percent.0),
        detect_within: objective.detect_within.map(|d| (*d).into()),
        lose_at_most: objective.lose_at_most.map(|d| (*d).into()),
        clock_from: objective.clock_from.clone(),
        depends_on: objective.depends_on.clone(),
    };
    drill.objectives.iter().map(info).collect()
}
