//! A run so far: the fold over the event stream that every sink reads from.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::track::Track;
use crate::clock::{Span, Timestamp};
use crate::event::{
    Cleanliness, Event, Health, ObjectiveInfo, Phase, RunEvent, RunStarted, StepInfo, StepKind, StepOutcome, StopReason, TargetInfo, Verdict,
};

/// Remarks kept of each objective: enough to read why it was bad, bounded however long it was.
const REMARKS: usize = 24;

/// What whoever reads about a run needs to know beside its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reader {
    /// How firedrill is called for the run's journal: with `--state-dir` where that is not the default place. None: by its name alone.
    pub program: Option<String>,
    /// A process holds the run now.
    pub alive: bool,
    /// The environment ended with the run's process (an embedded sandbox): nothing is left to undo.
    pub gone: bool,
}

/// A run so far.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// Who reads it.
    pub reader: Reader,
    /// The first event; none in a torn stream.
    pub header: Option<Box<RunStarted>>,
    /// When the stream began.
    pub began: Timestamp,
    /// The last instant that the stream knows of.
    pub last: Timestamp,
    /// The watch over the steady state.
    pub baseline: Option<Baseline>,
    /// Steps in file order, then those that only the stream knows.
    pub steps: Vec<StepStory>,
    /// Objectives in file order, then those that only the stream knows.
    pub objectives: Vec<ObjectiveStory>,
    /// Targets in the order of the plan, then those that only the stream knows.
    pub targets: Vec<TargetStory>,
    /// When the hold began, and when it is planned to end.
    pub hold: Option<(Timestamp, Timestamp)>,
    /// Why the run turned round, in order.
    pub stops: Vec<(Timestamp, StopReason, String)>,
    /// When undo began; more than once in a run that was hurried or resumed.
    pub undo: Vec<(Timestamp, bool)>,
    /// When every fault was lifted for the first time, or was tried to be, and what was left.
    pub lifted: Option<(Timestamp, Vec<String>)>,
    /// Fail-back waits: since when, until when at the latest.
    pub region_waiting: Option<(Timestamp, Timestamp)>,
    /// The answer of that gate.
    pub region_healthy: Option<(Timestamp, bool, String)>,
    /// The end of undo.
    pub undone: Option<Undone>,
    /// Remarks for people, in order.
    pub notes: Vec<(Timestamp, String)>,
    /// The last event; none while the run goes on, or when it was killed.
    pub ended: Option<Ended>,
    steps_by_id: HashMap<String, usize>,
    objectives_by_id: HashMap<String, usize>,
    targets_by_id: HashMap<(String, String), usize>,
}

/// The watch over the steady state.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// When it began.
    pub began: Timestamp,
    /// When it was planned to end.
    pub until: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What was not steady.
    pub problems: Vec<String>,
}

/// A step so far.
#[derive(Debug, Clone)]
pub struct StepStory {
    /// What the drill says of it.
    pub info: StepInfo,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When its limit runs out.
    pub limit: Option<Timestamp>,
    /// When and how it ended.
    pub ended: Option<(Timestamp, StepOutcome)>,
    /// When its first inject call was about to be sent.
    pub sent: Option<Timestamp>,
    /// When it was verified in effect, or what was wrong.
    pub verified: Option<(Timestamp, Option<String>)>,
    /// What a person was asked: role, instruction.
    pub asked: Option<(String, String)>,
    /// Targets found removed by someone else.
    pub lost: Vec<(Timestamp, String, String)>,
}

/// An objective so far.
#[derive(Debug, Clone)]
pub struct ObjectiveStory {
    /// What the drill says of it.
    pub info: ObjectiveInfo,
    /// The readings over time.
    pub track: Track,
    /// Since when the current state holds.
    pub since: Option<Timestamp>,
    /// What the last reading said, when not plainly good.
    pub detail: Option<String>,
    /// The latest changes of what readings said: when, state, why.
    pub remarks: VecDeque<(Timestamp, Health, String)>,
    /// Readings by what they said: good, bad, unknown.
    pub counts: [u64; 3],
}

/// A target so far: its undo record as the journal moved it.
#[derive(Debug, Clone)]
pub struct TargetStory {
    /// Step id.
    pub step: String,
    /// Identity, as printed.
    pub target: String,
    /// True for an action's target.
    pub action: bool,
    /// What the plan froze; none when only the stream knows it.
    pub plan: Option<TargetInfo>,
    /// Its phases, in order.
    pub phases: Vec<(Timestamp, Phase, Option<String>)>,
}

/// The end of undo.
#[derive(Debug, Clone)]
pub struct Undone {
    /// When.
    pub at: Timestamp,
    /// Still in place.
    pub left: Vec<String>,
    /// Changed by someone else, left alone.
    pub drifted: Vec<String>,
    /// Stays on purpose.
    pub kept: Vec<String>,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// The run's verdict.
    pub verdict: Verdict,
    /// Beside it.
    pub cleanliness: Cleanliness,
    /// 0–100.
    pub score: Option<f64>,
    /// Exit code of the process.
    pub exit_code: u8,
    /// One sentence.
    pub reason: String,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing has begun.
    Starting,
    /// The steady state is watched.
    Baseline,
    /// Steps are under way.
    Steps,
    /// All steps are done, the faults stay.
    Hold,
    /// Faults are being lifted.
    Undo,
    /// Fail-back waits for the failed region.
    Region,
    /// Actions are being failed back, and the end is measured.
    FailBack,
    /// Everything is undone; the objectives are watched until they are stable again.
    Settling,
    /// The run has ended.
    Over,
}

impl Story {
    /// The story that these events tell.
    #[must_use]
    pub fn of(events: &[RunEvent]) -> Self {
        let mut story = Self::default();
        events.iter().for_each(|event| story.take(event));
        story
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &RunEvent) {
        let at = event.at;
        if self.began == Timestamp::default() {
            self.began = at;
        }
        self.last = self.last.max(at);
        match &event.body {
            Event::RunStarted(header) => self.start(header),
            Event::BaselineStarted { until } => {
                self.baseline = Some(Baseline { began: at, until: *until, ended: None, problems: Vec::new() });
            }
            Event::BaselineEnded { problems } => {
                let baseline = self.baseline.get_or_insert(Baseline { began: at, until: at, ended: None, problems: Vec::new() });
                baseline.ended = Some(at);
                baseline.problems.clone_from(problems);
            }
            Event::StepStarted { step, limit } => {
                let step = self.step(step);
                step.began = Some(at);
                step.limit = Some(*limit);
            }
            Event::StepEnded { step, outcome } => self.step(step).ended = Some((at, outcome.clone())),
            Event::ManualAsked { step, role, instruction, limit } => {
                let step = self.step(step);
                step.asked = Some((role.clone(), instruction.clone()));
                step.limit = Some(*limit);
            }
            Event::InjectSent { step } => {
                self.step(step).sent.get_or_insert(at);
            }
            Event::FaultVerified { step, problem } => self.step(step).verified = Some((at, problem.clone())),
            Event::TargetPhase { step, target, action, phase, detail } => {
                let target = self.target(step, target);
                target.action = *action;
                target.phases.push((at, *phase, detail.clone()));
            }
            Event::Sample(sample) => {
                self.last = self.last.max(sample.at);
                self.objective(&sample.objective).take(sample.at, sample.health, sample.detail.as_deref());
            }
            Event::FaultLost { step, target, detail } => self.step(step).lost.push((at, target.clone(), detail.clone())),
            Event::HoldStarted { until } => self.hold = Some((at, *until)),
            Event::Stopping { reason, detail } => {
                if *reason == StopReason::Resumed {
                    self.goes_on();
                }
                self.stops.push((at, *reason, detail.clone()));
            }
            Event::UndoStarted { targets: _, hurried } => {
                self.goes_on();
                self.undo.push((at, *hurried));
            }
            // A resume lifts again what is lifted already: that does not move the moment at which the last fault went.
            Event::FaultsLifted { left } => {
                if self.lifted.as_ref().is_none_or(|(_, before)| !before.is_empty()) {
                    self.lifted = Some((at, left.clone()));
                }
            }
            Event::RegionWaiting { limit } => self.region_waiting = Some((at, *limit)),
            Event::RegionHealthy { healthy, detail } => self.region_healthy = Some((at, *healthy, detail.clone())),
            Event::UndoEnded { left, drifted, kept } => {
                self.undone = Some(Undone { at, left: left.clone(), drifted: drifted.clone(), kept: kept.clone() });
            }
            Event::Note { text } => self.notes.push((at, text.clone())),
            Event::RunEnded { verdict, cleanliness, score, exit_code, reason } => {
                let (verdict, cleanliness) = (*verdict, *cleanliness);
                self.ended = Some(Ended { at, verdict, cleanliness, score: *score, exit_code: *exit_code, reason: reason.clone() });
            }
        }
    }

    /// A resumed run: what was said of its end is no longer the end.
    fn goes_on(&mut self) {
        self.ended = None;
        self.undone = None;
    }

    /// The run as a view of its resumed undo begins with: what is in place is known, and nothing is measured any more.
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.goes_on();
        self.objectives.clear();
        self.objectives_by_id.clear();
        self
    }

    fn start(&mut self, header: &RunStarted) {
        for info in &header.steps {
            self.step(&info.id).info = info.clone();
        }
        for info in &header.objectives {
            self.objective(&info.id).info = info.clone();
        }
        for info in &header.plan.targets {
            let action = header.steps.iter().any(|step| step.id == info.step && step.kind == StepKind::Action);
            let target = self.target(&info.step, &info.target);
            target.action = action;
            target.plan = Some(info.clone());
        }
        self.header = Some(Box::new(header.clone()));
    }

    fn step(&mut self, id: &str) -> &mut StepStory {
        let next = self.steps.len();
        let index = *self.steps_by_id.entry(id.to_owned()).or_insert(next);
        if index == next {
            self.steps.push(StepStory::unknown(id));
        }
        &mut self.steps[index]
    }

    fn objective(&mut self, id: &str) -> &mut ObjectiveStory {
        // Looked up before inserting: this runs once a sample, and an entry would copy the id each time.
        let index = match self.objectives_by_id.get(id) {
            Some(index) => *index,
            None => {
                self.objectives_by_id.insert(id.to_owned(), self.objectives.len());
                self.objectives.push(ObjectiveStory::new(ObjectiveInfo { id: id.to_owned(), ..ObjectiveInfo::default() }));
                self.objectives.len() - 1
            }
        };
        &mut self.objectives[index]
    }

    /// The objective of that id, once the stream has named it.
    #[must_use]
    pub fn objective_of(&self, id: &str) -> Option<&ObjectiveStory> {
        self.objectives_by_id.get(id).map(|index| &self.objectives[*index])
    }

    fn target(&mut self, step: &str, target: &str) -> &mut TargetStory {
        let next = self.targets.len();
        let index = *self.targets_by_id.entry((step.to_owned(), target.to_owned())).or_insert(next);
        if index == next {
            let (step, target) = (step.to_owned(), target.to_owned());
            self.targets.push(TargetStory { step, target, action: false, plan: None, phases: Vec::new() });
        }
        &mut self.targets[index]
    }

    /// A process is running it now.
    #[must_use]
    pub fn going_on(&self) -> bool {
        self.reader.alive && self.ended.is_none()
    }

    /// A firedrill command about this run, to be copied into a shell: `resume` gives `firedrill resume 01K…`.
    #[must_use]
    pub fn command(&self, verb: &str) -> String {
        let run = self.header.as_deref().map_or("RUN", |header| header.run.as_str());
        format!("{} {verb} {run}", self.reader.program.as_deref().unwrap_or("firedrill"))
    }

    /// What a person does about what is in place, and the command.
    #[must_use]
    pub fn way_out(&self) -> (&'static str, String) {
        if self.going_on() {
            ("stop the run and undo it with", self.command("abort"))
        } else if self.reader.gone {
            ("it went with the embedded sandbox, which ended with its command; close the record with", self.command("abandon"))
        } else {
            ("undo it with", self.command("resume"))
        }
    }

    /// When the first fault's first inject call was about to be sent.
    #[must_use]
    pub fn t0(&self) -> Option<Timestamp> {
        self.steps.iter().filter(|step| step.info.kind == StepKind::Fault).filter_map(|step| step.sent).min()
    }

    /// Where offsets are counted from: T0, else the beginning of the stream.
    #[must_use]
    pub fn zero(&self) -> Timestamp {
        self.t0().unwrap_or(self.began)
    }

    /// When undo first began.
    #[must_use]
    pub fn undo_began(&self) -> Option<Timestamp> {
        self.undo.first().map(|(at, _)| *at)
    }

    /// Targets that may be in place: the intent is durable, and nothing closed it since.
    pub fn in_place(&self) -> impl Iterator<Item = &TargetStory> {
        self.targets.iter().filter(|target| !target.phase().is_closed())
    }

    /// What the run is doing.
    #[must_use]
    pub fn stage(&self) -> Stage {
        if self.ended.is_some() {
            return Stage::Over;
        }
        if self.undone.is_some() {
            return Stage::Settling;
        }
        if let Some(began) = self.undo_began() {
            return match (&self.lifted, self.region_waiting, &self.region_healthy) {
                // A resumed run asks once more: only an answer to the last question counts.
                (_, Some((asked, _)), answer) if answer.as_ref().is_none_or(|(at, ..)| *at < asked) => Stage::Region,
                (Some((at, _)), ..) if *at >= began => Stage::FailBack,
                _ => Stage::Undo,
            };
        }
        match (&self.baseline, self.hold) {
            (_, Some(_)) => Stage::Hold,
            _ if self.steps.iter().any(|step| step.began.is_some()) => Stage::Steps,
            (Some(baseline), None) if baseline.ended.is_none() => Stage::Baseline,
            (Some(_), None) => Stage::Steps,
            (None, None) => Stage::Starting,
        }
    }
}

impl StepStory {
    fn unknown(id: &str) -> Self {
        let info = StepInfo {
            id: id.to_owned(),
            kind: StepKind::Fault,
            name: "unknown".into(),
            summary: String::new(),
            after: Vec::new(),
            limit: Span::default(),
        };
        Self { info, began: None, limit: None, ended: None, sent: None, verified: None, asked: None, lost: Vec::new() }
    }

    /// How long it took, or has taken at `now`.
    #[must_use]
    pub fn took(&self, now: Timestamp) -> Option<Duration> {
        let began = self.began?;
        Some(self.ended.as_ref().map_or(now, |(at, _)| *at).since(began))
    }
}

impl ObjectiveStory {
    fn new(info: ObjectiveInfo) -> Self {
        Self { info, track: Track::default(), since: None, detail: None, remarks: VecDeque::new(), counts: [0; 3] }
    }

    fn take(&mut self, at: Timestamp, health: Health, detail: Option<&str>) {
        let changed = self.health() != Some(health);
        self.counts[match health {
            Health::Good => 0,
            Health::Bad => 1,
            Health::Unknown => 2,
        }] += 1;
        self.track.take(at, health);
        if changed {
            self.since = Some(at);
        }
        if changed || self.detail.as_deref() != detail {
            self.detail = detail.map(str::to_owned);
            if changed || health != Health::Good {
                if self.remarks.len() == REMARKS {
                    self.remarks.pop_front();
                }
                self.remarks.push_back((at, health, detail.unwrap_or_default().to_owned()));
            }
        }
    }

    /// What the last reading said; none before the first.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.track.recent().next_back()
    }

    /// True when it only watches for detection: *good* means that the alert fires.
    #[must_use]
    pub fn detects_only(&self) -> bool {
        let info = &self.info;
        info.detect_within.is_some() && info.recover_within.is_none() && info.availability.is_none() && info.lose_at_most.is_none()
    }
}

impl TargetStory {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phases.last().map_or(Phase::Planned, |(_, phase, _)| *phase)
    }

    /// Since when it may have been in place: its first durable intent.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.phases.iter().find(|(_, phase, _)| !phase.is_closed()).map(|(at, ..)| *at)
    }
}
