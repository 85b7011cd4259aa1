//! Timelines of known truth: synthetic streams with the figures that a person computes for them by hand.
//!
//! Times are seconds from T0 (the first inject call). Unless a test says otherwise: one fault `dark`, sent at 0 and verified at 1; readings every second
//! on the second, each taking 100 ms, from −10 on; so an error bar is 1.1 s. The hold ends and undo begins at the instant given to `run`.

mod detection;
mod loss;
mod properties;
mod recovery;
mod runs;
mod shares;

use super::*;
use crate::event::{Event, Health, ObjectiveInfo, Phase, RunStarted, Sample, StepInfo, StepOutcome, StopReason, Verdict};

/// 2026-01-01T00:00:00Z.
pub(super) const BASE: i64 = 1_767_225_600_000_000;

pub(super) fn at(seconds: f64) -> Timestamp {
    Timestamp(BASE + (seconds * 1e6).round() as i64)
}

pub(super) fn span(seconds: f64) -> Span {
    Span(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// What a stretch of readings says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Say {
    Good,
    Bad,
    Unknown,
    /// No reading at all.
    Gap,
    /// Bad and good in turn, bad first.
    Half,
}
pub(super) use Say::*;

/// An objective with the bank's defaults.
pub(super) fn objective(id: &str) -> ObjectiveInfo {
    ObjectiveInfo {
        id: id.into(),
        probe: "http".into(),
        interval: span(1.0),
        timeout: span(1.0),
        weight: 1,
        stable_for: span(30.0),
        ..ObjectiveInfo::default()
    }
}

/// Must recover within that many seconds, stable for 30.
pub(super) fn rto(target: f64) -> ObjectiveInfo {
    ObjectiveInfo { recover_within: Some(span(target)), ..objective("checkout") }
}

pub(super) fn step(id: &str, kind: StepKind) -> StepInfo {
    StepInfo { id: id.into(), kind, name: "x".into(), summary: String::new(), after: vec![], limit: span(60.0) }
}

/// Builds a stream.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub objectives: Vec<ObjectiveInfo>,
    pub steps: Vec<StepInfo>,
    pub events: Vec<(Timestamp, Event)>,
    pub undo: f64,
    latency: f64,
    /// Everything later is lost, as by a kill.
    until: Option<f64>,
}

/// A drill whose hold is over at `undo` seconds after T0, with a fault at 0, cleanly undone 2 s later.
pub(super) fn run(undo: f64) -> Run {
    let mut run = Run { objectives: vec![], steps: vec![], events: vec![], undo, latency: 0.1, until: None };
    run = run.event(-0.5, Event::BaselineEnded { problems: vec![] }).fault("dark", 0.0, 1.0);
    run.event(undo, Event::Stopping { reason: StopReason::HoldOver, detail: "the hold is over".into() })
        .event(undo, Event::UndoStarted { targets: 1, hurried: false })
        .event(undo + 2.0, Event::UndoEnded { left: vec![], drifted: vec![], kept: vec![] })
}

impl Run {
    pub fn event(mut self, seconds: f64, event: Event) -> Self {
        self.events.push((at(seconds), event));
        self
    }

    /// A fault sent and verified then, and reverted one second after undo began.
    pub fn fault(mut self, id: &str, sent: f64, verified: f64) -> Self {
        self.steps.push(step(id, StepKind::Fault));
        let undone = self.undo + 1.0;
        self.event(sent, Event::InjectSent { step: id.into() })
            .phase(sent, id, Phase::Intent)
            .event(verified, Event::FaultVerified { step: id.into(), problem: None })
            .phase(verified, id, Phase::Verified)
            .phase(undone, id, Phase::Reverted)
    }

    pub fn phase(self, seconds: f64, step: &str, phase: Phase) -> Self {
        let event = Event::TargetPhase { step: step.into(), target: format!("{step}-target"), action: false, phase, detail: None };
        self.event(seconds, event)
    }

    /// A step that people or the evacuation take, from and to.
    pub fn acted(mut self, id: &str, kind: StepKind, from: f64, to: f64) -> Self {
        self.steps.push(step(id, kind));
        self.event(from, Event::StepStarted { step: id.into(), limit: at(to + 60.0) })
            .event(to, Event::StepEnded { step: id.into(), outcome: StepOutcome::Done })
    }

    pub fn latency(mut self, seconds: f64) -> Self {
        self.latency = seconds;
        self
    }

    /// An objective and its readings: each entry says what is read from then on; good from −10 to the first, the last until undo.
    pub fn reads(self, info: ObjectiveInfo, script: &[(f64, Say)]) -> Self {
        let until = self.undo;
        self.reads_until(info, until, script)
    }

    pub fn reads_until(mut self, info: ObjectiveInfo, until: f64, script: &[(f64, Say)]) -> Self {
        let interval = info.interval.as_secs_f64();
        let id = info.id.clone();
        self.objectives.push(info);
        let ticks = if matches!(script, [(-10.0, Gap)]) { 0 } else { ((until + 10.0) / interval).ceil() as usize };
        let mut turn = false;
        for tick in 0..ticks {
            let now = -10.0 + tick as f64 * interval;
            let say = script.iter().rev().find(|(from, _)| *from <= now + 1e-9).map_or(Good, |(_, say)| *say);
            turn = !turn;
            let health = match say {
                Good => Health::Good,
                Bad => Health::Bad,
                Unknown => Health::Unknown,
                Half if turn => Health::Bad,
                Half => Health::Good,
                Gap => continue,
            };
            let latency = self.latency;
            self = self.reading(&id, now, latency, health);
        }
        self
    }

    pub fn reading(self, id: &str, seconds: f64, latency: f64, health: Health) -> Self {
        let sample = Sample { objective: id.into(), at: at(seconds), latency: span(latency), health, detail: None, canary: None };
        self.event(seconds + latency, Event::Sample(sample))
    }

    /// Loses everything after that moment, as a kill does.
    pub fn killed(mut self, seconds: f64) -> Self {
        self.until = Some(seconds);
        self
    }

    /// Takes out events.
    pub fn without(mut self, which: impl Fn(&Event) -> bool) -> Self {
        self.events.retain(|(_, event)| !which(event));
        self
    }

    /// Replaces the end of the hold by another reason to stop.
    pub fn stopped(self, reason: StopReason) -> Self {
        let undo = self.undo;
        self.without(|event| matches!(event, Event::Stopping { .. })).event(undo, Event::Stopping { reason, detail: "said so".into() })
    }

    pub fn events(&self) -> Vec<RunEvent> {
        let started = RunStarted {
            run: "01J00000000000000000000000".into(),
            firedrill: "0.1.0".into(),
            drill: "evacuate".into(),
            summary: "s".into(),
            owner: "o".into(),
            hypothesis: "h".into(),
            failed_region: "us-east-1".into(),
            surviving_regions: vec!["us-west-2".into()],
            environment: "sandbox".into(),
            drill_hash: "d".into(),
            environment_hash: "e".into(),
            hold: span(self.undo.max(0.0)),
            undo_by: span(3600.0),
            objectives: self.objectives.clone(),
            steps: self.steps.clone(),
            plan: crate::event::PlanInfo::default(),
        };
        let mut all = vec![(at(-11.0), Event::RunStarted(Box::new(started)))];
        all.extend(self.events.iter().filter(|(when, _)| self.until.is_none_or(|until| *when <= at(until))).cloned());
        all.sort_by_key(|(when, _)| *when);
        all.into_iter().enumerate().map(|(seq, (at, body))| RunEvent { v: 1, seq: seq as u64, at, body }).collect()
    }

    pub fn card(&self) -> Scorecard {
        evaluate(&self.events())
    }
}

/// The first objective of the card.
pub(super) fn first(card: &Scorecard) -> &ObjectiveScore {
    &card.objectives[0]
}

/// Value and error bar in seconds.
pub(super) fn figure(figure: Option<Figure>) -> Option<(f64, f64)> {
    figure.map(|figure| (figure.value.as_secs_f64(), figure.plus_minus.as_secs_f64()))
}

#[track_caller]
pub(super) fn near(is: f64, should: f64) {
    assert!((is - should).abs() < 1e-6, "is {is}, should be {should}");
}

/// Verdict of the first objective and its s.
#[track_caller]
pub(super) fn expect(card: &Scorecard, verdict: ObjectiveVerdict, s: f64) {
    let one = first(card);
    assert_eq!(one.verdict, verdict, "{}", one.reason);
    near(one.s, s);
}

pub(super) use ObjectiveVerdict::{Met, Missed, Unknown as NotKnown};

#[test]
fn the_bank_holds_a_plain_run_that_passes() {
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (100.0, Good)]).card();
    assert_eq!((card.verdict, card.cleanliness), (Verdict::Passed, Cleanliness::Clean), "{}", card.reason);
    assert_eq!(card.score, Some(100.0));
    assert_eq!(card.exit().code(), 0);
}
