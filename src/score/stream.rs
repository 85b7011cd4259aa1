//! One pass over the events: everything that scoring asks of a stream, indexed.

use std::collections::BTreeMap;

use super::card::T0;
use crate::clock::Timestamp;
use crate::event::{Event, ObjectiveInfo, Phase, RunEvent, RunStarted, StepInfo, StepKind, StepOutcome, StopReason, Verdict};

/// What the stream says of one step.
#[derive(Debug, Default)]
pub(super) struct StepSeen<'a> {
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// The first inject call.
    pub injected: Option<Timestamp>,
    /// The first time that the fault was verified in effect.
    pub verified: Option<Timestamp>,
    /// What the latest verification found wrong; none when it found the fault in effect.
    pub problem: Option<&'a str>,
}

/// A step that could not be done.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    pub step: &'a str,
    pub why: &'a str,
    pub unreachable: bool,
}

/// The stream, indexed. Order of events does not matter but where the last of several counts (phases, the end of undo); duplicates change nothing.
#[derive(Debug, Default)]
pub(super) struct Stream<'a> {
    pub info: Option<&'a RunStarted>,
    pub baseline_problems: &'a [String],
    pub steps: BTreeMap<&'a str, StepSeen<'a>>,
    pub failures: Vec<Failure<'a>>,
    /// Latest phase of each target, by step and target, and since when.
    pub phases: BTreeMap<(&'a str, &'a str), (Phase, Timestamp)>,
    /// When the latest target was closed after undo began.
    pub last_closed: Option<Timestamp>,
    /// Faults found removed by someone else before undo began: step, target, what was seen.
    pub lost: Vec<(&'a str, &'a str, &'a str)>,
    pub stops: Vec<(StopReason, &'a str)>,
    /// The verdict that the run ended with, when it was resumed only afterwards.
    pub measured: Option<Verdict>,
    resumed: Option<Timestamp>,
    hold_until: Option<Timestamp>,
    /// The first time that undo began. A resumed run undoes again; what it measures after the first time is owed to the undo.
    pub undo_began: Option<Timestamp>,
    /// The latest end of undo: when, what is left, what drifted.
    pub undo_ended: Option<(Timestamp, &'a [String])>,
    pub drifted: Vec<&'a str>,
    /// The latest instant that the stream knows of.
    pub end: Timestamp,
}

impl<'a> Stream<'a> {
    /// Reads the events, the samples apart: `latest` is the latest instant that those know of. A `RunEnded` decides nothing: it was computed from the
    /// others, and a resumed run goes on after one.
    pub fn read(events: impl Iterator<Item = &'a RunEvent> + Clone, latest: Option<Timestamp>) -> Self {
        let end = events.clone().map(|event| event.at).max().max(latest).unwrap_or_default();
        let mut seen = Self { end, ..Self::default() };
        // Two loops, since `lost` and `last_closed` depend on when undo began and streams may be out of order.
        seen.undo_began = events.clone().filter(|event| matches!(event.body, Event::UndoStarted { .. })).map(|event| event.at).min();
        let resumes = events.clone().filter(|event| matches!(event.body, Event::Stopping { reason: StopReason::Resumed, .. }));
        seen.resumed = resumes.map(|event| event.at).min();
        events.for_each(|event| seen.take(event));
        seen
    }

    fn take(&mut self, event: &'a RunEvent) {
        let at = event.at;
        let undoing = self.undo_began.is_some_and(|began| at >= began);
        match &event.body {
            Event::RunStarted(info) => self.info = self.info.or(Some(info)),
            Event::BaselineEnded { problems } => self.baseline_problems = problems,
            Event::StepStarted { step, .. } => earliest(&mut self.step(step).started, at),
            Event::StepEnded { step, outcome } => {
                latest(&mut self.step(step).ended, at);
                if let StepOutcome::Failed { why, unreachable } = outcome
                    && !self.failures.iter().any(|known| known.step == step)
                {
                    self.failures.push(Failure { step, why, unreachable: *unreachable });
                }
            }
            Event::InjectSent { step } => earliest(&mut self.step(step).injected, at),
            Event::FaultVerified { step, problem } => {
                let step = self.step(step);
                step.problem = problem.as_deref();
                if problem.is_none() {
                    earliest(&mut step.verified, at);
                }
            }
            Event::TargetPhase { step, target, phase, .. } => {
                self.phases.insert((step, target), (*phase, at));
                if undoing && phase.is_closed() {
                    latest(&mut self.last_closed, at);
                }
            }
            Event::FaultLost { step, target, detail } => {
                if !undoing {
                    self.lost.push((step, target, detail));
                }
            }
            Event::HoldStarted { until } => self.hold_until = Some(*until),
            Event::Stopping { reason, detail } => self.stops.push((*reason, detail)),
            Event::RunEnded { verdict, .. } if self.resumed.is_none_or(|resumed| at <= resumed) => self.measured = Some(*verdict),
            Event::UndoEnded { left, drifted, .. } => {
                self.undo_ended = Some((at, left));
                self.drifted.extend(drifted.iter().map(String::as_str));
            }
            Event::BaselineStarted { .. }
            | Event::ManualAsked { .. }
            | Event::Sample(_)
            | Event::UndoStarted { .. }
            | Event::FaultsLifted { .. }
            | Event::RegionWaiting { .. }
            | Event::RegionHealthy { .. }
            | Event::Note { .. }
            | Event::RunEnded { .. } => {}
        }
    }

    fn step(&mut self, id: &'a str) -> &mut StepSeen<'a> {
        self.steps.entry(id).or_default()
    }

    /// The objectives of the drill, in file order.
    pub fn objectives(&self) -> &'a [ObjectiveInfo] {
        self.info.map_or(&[], |info| &info.objectives)
    }

    /// The steps of the drill, in file order.
    pub fn step_infos(&self) -> &'a [StepInfo] {
        self.info.map_or(&[], |info| &info.steps)
    }

    /// T0 of the run: the fault whose first inject call was sent first.
    pub fn first_fault(&self) -> Option<T0> {
        let actions: Vec<&str> = self.step_infos().iter().filter(|step| step.kind == StepKind::Action).map(|step| step.id.as_str()).collect();
        let faults = self.steps.iter().filter(|(id, _)| !actions.contains(id));
        let (early, first) = faults.filter_map(|(_, step)| Some((step.injected?, step))).min_by_key(|(at, _)| *at)?;
        Some(T0 { early, late: first.verified.map(|late| late.max(early)) })
    }

    /// T0 of an objective: the step it names, else the run's. A step that injects nothing starts the clock when it starts.
    pub fn t0(&self, objective: &ObjectiveInfo) -> Option<T0> {
        let Some(step) = &objective.clock_from else { return self.first_fault() };
        let step = self.steps.get(step.as_str())?;
        let early = step.injected.or(step.started)?;
        let late = step.injected.map_or(step.ended, |_| step.verified);
        Some(T0 { early, late: late.map(|late| late.max(early)) })
    }

    /// Where measurement ends: when undo began, else the last that the stream knows of.
    pub fn window_end(&self) -> Timestamp {
        self.undo_began.unwrap_or(self.end)
    }

    /// The hold was served to its end.
    pub fn hold_over(&self) -> bool {
        let said = self.stops.iter().any(|(reason, _)| *reason == StopReason::HoldOver);
        said || self.hold_until.zip(self.undo_began).is_some_and(|(until, began)| began >= until)
    }

    /// Something of the world may have been changed.
    pub fn touched(&self) -> bool {
        let written = |phase: Phase| !matches!(phase, Phase::Planned | Phase::Noop);
        self.steps.values().any(|step| step.injected.is_some()) || self.phases.values().any(|(phase, _)| written(*phase))
    }

    /// Targets that may still be in place, as `step: target`.
    pub fn in_place(&self) -> Vec<String> {
        let mut left: Vec<String> =
            self.phases.iter().filter(|(_, (phase, _))| !phase.is_closed()).map(|((step, target), _)| format!("{step}: {target}")).collect();
        match self.undo_ended {
            // Named once when its phase is open too; dropped when its record was closed later (by a resume that died before its own end of undo).
            Some((ended, named)) => left.extend(named.iter().filter(|name| !self.told_by_phase(name, ended)).cloned()),
            // Fail closed: a call was sent, no record of its target came, and no undo was seen to end.
            None => {
                let sent = self.steps.iter().filter(|(_, step)| step.injected.is_some());
                let silent = sent.filter(|(id, _)| !self.phases.keys().any(|(step, _)| step == *id));
                left.extend(silent.map(|(id, _)| format!("{id}: targets unknown")));
            }
        }
        left
    }
}

impl Stream<'_> {
    fn told_by_phase(&self, name: &str, ended: Timestamp) -> bool {
        let same = |step: &str, target: &str| {
            target == name || name.strip_prefix(step).is_some_and(|rest| rest.trim_start_matches([':', '/', ' ']) == target)
        };
        self.phases.iter().any(|((step, target), (phase, since))| same(step, target) && (!phase.is_closed() || *since > ended))
    }
}

fn earliest(slot: &mut Option<Timestamp>, at: Timestamp) {
    *slot = Some(slot.map_or(at, |known| known.min(at)));
}

fn latest(slot: &mut Option<Timestamp>, at: Timestamp) {
    *slot = Some(slot.map_or(at, |known| known.max(at)));
}
