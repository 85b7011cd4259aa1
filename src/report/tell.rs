//! Says what changed, as timestamped lines: for logs, for pipes, and above the live view.

use std::collections::HashMap;
use std::time::Duration;

use super::inert::inert;
use super::story::{Stage, Story};
use super::words;
use crate::clock::Timestamp;
use crate::event::{Event, Health, Phase, RunEvent, StepKind};

/// Longest silence while a run is on.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// An objective that flaps is told at most this often; what is told is always its state then.
const QUIET: Duration = Duration::from_secs(1);
/// Targets of one step that are told one by one; more are told as a count.
const NAMED: usize = 8;

/// Folds events into lines without their line breaks.
#[derive(Debug, Default)]
pub struct Teller {
    /// The run as the lines so far tell it.
    pub story: Story,
    told: HashMap<String, (Timestamp, Option<Health>)>,
    phases: HashMap<(String, Phase), usize>,
    spoke: Timestamp,
}

impl Teller {
    /// Goes on with a run of which nothing is told again.
    #[must_use]
    pub fn after(story: Story) -> Self {
        Self { story, ..Self::default() }
    }

    /// Takes the next event; gives the lines that say what changed, or a heartbeat when it is due.
    pub fn event(&mut self, event: &RunEvent) -> Vec<String> {
        let mut lines = self.changes(event);
        lines.extend(if lines.is_empty() { self.heartbeat(event.at) } else { None });
        self.stamp(lines, event.at)
    }

    /// Takes the next event; gives the lines that say what changed, for a view that shows by itself that the run is alive.
    pub fn event_without_heartbeat(&mut self, event: &RunEvent) -> Vec<String> {
        let lines = self.changes(event);
        self.stamp(lines, event.at)
    }

    /// Takes the next event; gives what changed, without times and as the drill wrote it.
    pub fn changes(&mut self, event: &RunEvent) -> Vec<String> {
        self.story.take(event);
        let mut lines: Vec<String> = self.text(event).into_iter().collect();
        if matches!(event.body, Event::RunStarted(_)) {
            lines.extend(self.warnings());
        }
        if let Event::Sample(sample) = &event.body {
            lines.extend(self.objective(&sample.objective, event.at));
        } else {
            // What was held back while it flapped is told with the next event.
            let ids: Vec<String> = self.told.keys().cloned().collect();
            lines.extend(ids.iter().filter_map(|id| self.objective(id, event.at)));
        }
        lines
    }

    /// Time passes without an event; gives a heartbeat when it is due.
    pub fn tick(&mut self, now: Timestamp) -> Vec<String> {
        let lines = self.heartbeat(now).into_iter().collect();
        self.stamp(lines, now)
    }

    fn stamp(&mut self, lines: Vec<String>, at: Timestamp) -> Vec<String> {
        if !lines.is_empty() {
            self.spoke = self.spoke.max(at);
        }
        lines.iter().map(|line| format!("{} {}", words::stamp(at), inert(line))).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let Some(header) = &self.story.header else { return Vec::new() };
        header.plan.warnings.iter().map(|warning| format!("warning: {warning}")).collect()
    }

    /// The state of an objective, when it is not what was told last and was not told just now.
    fn objective(&mut self, id: &str, at: Timestamp) -> Option<String> {
        let objective = self.story.objective_of(id)?;
        let health = objective.health();
        match self.told.get(id) {
            Some((_, told)) if *told == health => return None,
            Some((when, _)) if at.since(*when) < QUIET => return None,
            _ => {}
        }
        self.told.insert(id.to_owned(), (at, health));
        let why = objective.detail.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        Some(format!("objective {id} {}{why}", words::state(objective, health)))
    }

    fn heartbeat(&self, now: Timestamp) -> Option<String> {
        if self.spoke == Timestamp::default() || self.story.ended.is_some() || now.since(self.spoke) < HEARTBEAT {
            return None;
        }
        let story = &self.story;
        let mut parts = vec![match (story.stage(), story.hold) {
            (Stage::Hold, Some((_, until))) => format!("hold: {} left", words::ticking(until.since(now))),
            (stage, _) => words::stage(stage).to_owned(),
        }];
        let mut states: Vec<String> =
            story.objectives.iter().take(NAMED).map(|it| format!("{} {}", it.info.id, words::state(it, it.health()))).collect();
        if story.objectives.len() > NAMED {
            states.push(format!("and {} more", story.objectives.len() - NAMED));
        }
        // A resumed undo measures nothing.
        parts.extend((!states.is_empty()).then(|| states.join(", ")));
        parts.push(match story.in_place().count() {
            0 => "nothing in place".into(),
            n => format!("{} in place", words::count(n, "target")),
        });
        Some(parts.join("; "))
    }

    fn text(&mut self, event: &RunEvent) -> Option<String> {
        let since = |later: Timestamp| words::ticking(later.since(event.at));
        Some(match &event.body {
            Event::RunStarted(header) => format!(
                "run {} of {} in {}: {} ({} fails, {} must carry on)",
                header.run,
                header.drill,
                header.environment,
                header.summary,
                header.failed_region,
                header.surviving_regions.join(", ")
            ),
            Event::BaselineStarted { until } => format!("baseline: watching the steady state for {}", since(*until)),
            Event::BaselineEnded { problems } if problems.is_empty() => "baseline: steady".into(),
            Event::BaselineEnded { problems } => format!("baseline: not steady: {}", problems.join("; ")),
            Event::StepStarted { step, limit } => format!("step {step} began, limit {}", since(*limit)),
            Event::StepEnded { step, outcome } => {
                let (how, why) = words::outcome(outcome);
                let took = self.story.steps.iter().find(|it| it.info.id == *step).and_then(|it| it.took(event.at));
                let took = took.map(|took| format!(" after {}", words::duration(took))).unwrap_or_default();
                format!("step {step} {how}{took}{}", why.map(|why| format!(": {why}")).unwrap_or_default())
            }
            Event::ManualAsked { step, role, instruction, limit } => format!("step {step} asks {role}: {instruction} (within {})", since(*limit)),
            Event::InjectSent { step } => format!("step {step} injects"),
            Event::FaultVerified { step, problem: None } => format!("step {step} verified in effect"),
            Event::FaultVerified { step, problem: Some(problem) } => format!("step {step} NOT verified in effect: {problem}"),
            Event::TargetPhase { step, target, action: _, phase, detail } => return self.phase(step, target, *phase, detail.as_deref()),
            Event::Sample(_) => return None,
            Event::FaultLost { step, target, detail } => {
                format!("fault {step} was removed by someone else: {}: {detail}", words::target(target))
            }
            Event::HoldStarted { until } => format!("hold: the faults stay for {}", since(*until)),
            Event::Stopping { reason, detail } if detail.is_empty() => format!("turning round: {}", words::stop(*reason)),
            Event::Stopping { reason, detail } => format!("turning round: {}: {detail}", words::stop(*reason)),
            Event::UndoStarted { targets, hurried } => {
                format!(
                    "undo of {} begins{}",
                    words::count(*targets, "target"),
                    if *hurried { ", hurried: waits are skipped, actions stay" } else { "" }
                )
            }
            Event::FaultsLifted { left } if left.is_empty() => "every fault is lifted".into(),
            Event::FaultsLifted { left } => format!("faults lifted, but STILL IN PLACE: {}", left.join(", ")),
            Event::RegionWaiting { limit } => format!("fail-back waits for the failed region to be healthy, at most {}", since(*limit)),
            Event::RegionHealthy { healthy: true, detail } => format!("the failed region is healthy: {detail}"),
            Event::RegionHealthy { healthy: false, detail } => format!("the failed region did not become healthy, actions stay: {detail}"),
            Event::UndoEnded { left, drifted, kept } => {
                let mut parts = vec!["undo ended".to_owned()];
                let mut part = |label: &str, names: &[String]| (!names.is_empty()).then(|| parts.push(format!("{label}: {}", names.join(", "))));
                part("STILL IN PLACE", left);
                part("changed by someone else and left alone", drifted);
                part("kept on purpose", kept);
                parts.join("; ")
            }
            Event::Note { text } => format!("note: {text}"),
            Event::RunEnded { verdict, cleanliness, score, exit_code, reason } => {
                let score = score.map(|score| format!(", score {score:.0}")).unwrap_or_default();
                let (verdict, cleanliness) = (words::verdict(*verdict), words::cleanliness(*cleanliness));
                format!("run ended: {}, {}{score}, exit {exit_code}: {reason}", verdict.to_lowercase(), cleanliness.to_lowercase())
            }
        })
    }

    /// What stays or goes is told by name for a few targets, then as a count; what needs a person is always told.
    fn phase(&mut self, step: &str, target: &str, phase: Phase, detail: Option<&str>) -> Option<String> {
        let why = detail.map(|why| format!(": {why}")).unwrap_or_default();
        let line = format!("target {} of {step} {}{why}", words::target(target), words::phase(phase));
        match phase {
            Phase::Drifted | Phase::Stuck | Phase::Unknown | Phase::Abandoned => Some(line.replacen("stuck", "STUCK, still in place", 1)),
            Phase::Planned | Phase::Intent | Phase::Injected | Phase::Verified => None,
            Phase::Noop | Phase::Kept | Phase::Gone | Phase::Reverting | Phase::Reverted => {
                let seen = self.phases.entry((step.to_owned(), phase)).or_default();
                *seen += 1;
                let seen = *seen;
                let action = self.story.steps.iter().any(|it| it.info.id == step && it.info.kind == StepKind::Action);
                match (phase, seen) {
                    (Phase::Reverting, 1) => Some(format!("step {step} is being {}", if action { "failed back" } else { "undone" })),
                    (Phase::Reverting, _) => None,
                    (_, seen) if seen <= NAMED => Some(line),
                    (_, seen) if seen.is_power_of_two() => Some(format!("step {step}: {} {}", words::count(seen, "target"), words::phase(phase))),
                    _ => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Cleanliness, StopReason, Verdict};

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_790_000_000_000_000 + seconds * 1_000_000)
    }

    fn events(bodies: Vec<(i64, Event)>) -> Vec<RunEvent> {
        bodies.into_iter().enumerate().map(|(seq, (seconds, body))| RunEvent { v: 1, seq: seq as u64, at: at(seconds), body }).collect()
    }

    /// Ended with its evacuation in place, since the region stayed sick.
    fn evacuated() -> Vec<(i64, Event)> {
        let (step, target, action) = ("evacuate".to_owned(), "edge/127.0.0.1:1/weights".to_owned(), true);
        let (verdict, cleanliness, reason) = (Verdict::Passed, Cleanliness::StillInPlace, String::new());
        vec![
            (1, Event::TargetPhase { step, target, action, phase: Phase::Verified, detail: None }),
            (11, Event::UndoStarted { targets: 1, hurried: false }),
            (12, Event::FaultsLifted { left: vec![] }),
            (12, Event::RegionWaiting { limit: at(27) }),
            (27, Event::RegionHealthy { healthy: false, detail: "bad".into() }),
            (27, Event::UndoEnded { left: vec!["edge/127.0.0.1:1/weights".into()], drifted: vec![], kept: vec![] }),
            (27, Event::RunEnded { verdict, cleanliness, score: Some(0.0), exit_code: 7, reason }),
        ]
    }

    fn resumed() -> Vec<(i64, Event)> {
        vec![
            (100, Event::Stopping { reason: StopReason::Resumed, detail: "from the journal".into() }),
            (100, Event::UndoStarted { targets: 1, hurried: false }),
            (101, Event::FaultsLifted { left: vec![] }),
            (101, Event::RegionWaiting { limit: at(116) }),
        ]
    }

    #[test]
    fn a_resume_that_waits_for_the_region_counts_what_the_dead_run_left_in_place() {
        let mut teller = Teller::after(Story::of(&events(evacuated())).resumed());
        for event in events(resumed()) {
            teller.event(&event);
        }
        let beat = teller.tick(at(112));
        assert_eq!(beat.len(), 1, "{beat:?}");
        assert!(beat[0].ends_with(" waiting for the region; 1 target in place"), "{beat:?}");
    }

    #[test]
    fn the_faults_were_lifted_when_the_last_of_them_went_and_not_when_a_resume_looked_again() {
        let story = Story::of(&events([evacuated(), resumed()].concat()));
        assert_eq!(story.lifted, Some((at(12), vec![])));
        assert!(story.ended.is_none(), "a run that is being resumed has no end yet");
        let mut stuck = evacuated();
        stuck[2].1 = Event::FaultsLifted { left: vec!["rule".into()] };
        let story = Story::of(&events([stuck, resumed()].concat()));
        assert_eq!(story.lifted, Some((at(101), vec![])), "the first time that every one was");
    }
}
