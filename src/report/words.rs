//! The words of reports: one for each verdict, phase, state and length of time.

use std::time::Duration;

use chrono::SecondsFormat;

use crate::clock::Timestamp;
use crate::event::{Cleanliness, Health, Phase, StepKind, StepOutcome, StopReason, Verdict};
pub use crate::score::words::{duration, percent};
use crate::score::{ObjectiveVerdict, Scorecard, TargetKind};

use super::story::{ObjectiveStory, Stage, Story};

/// Characters of a reason that is short enough to be a lead.
const SHORT: usize = 160;
/// Objectives that a lead names.
const NAMED: usize = 5;

/// `+4.2 s`, `−10 s`: where `at` lies from `zero`.
pub fn offset(at: Timestamp, zero: Timestamp) -> String {
    if at < zero { format!("\u{2212}{}", duration(zero.since(at))) } else { format!("+{}", duration(at.since(zero))) }
}

/// `2026-11-22 12:14:03.250 UTC`.
pub fn instant(at: Timestamp) -> String {
    at.utc().format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// `2026-11-22 12:14 UTC`.
pub fn minute(at: Timestamp) -> String {
    at.utc().format("%Y-%m-%d %H:%M UTC").to_string()
}

/// `12:14:03.250`.
pub fn time_of_day(at: Timestamp) -> String {
    at.utc().format("%H:%M:%S%.3f").to_string()
}

/// `2026-11-22T12:14:03Z`, for the head of a line.
pub fn stamp(at: Timestamp) -> String {
    at.utc().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Whole seconds for what counts down or up on a screen: `8 s`, `4m 05s`.
pub fn ticking(length: Duration) -> String {
    let seconds = length.as_secs() + u64::from(length.subsec_millis() >= 500);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, s) => format!("{h}h {m:02}m {s:02}s"),
    }
}

/// `1 target`, `3 targets`.
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "Passed",
        Verdict::Failed => "Failed",
        Verdict::Inconclusive => "Inconclusive",
        Verdict::Aborted => "Aborted",
        Verdict::Error => "Error",
        Verdict::Refused => "Refused",
    }
}

pub fn cleanliness(cleanliness: Cleanliness) -> &'static str {
    match cleanliness {
        Cleanliness::Clean => "Clean",
        Cleanliness::Drifted => "Drifted",
        Cleanliness::StillInPlace => "Still in place",
    }
}

pub fn objective_verdict(verdict: ObjectiveVerdict) -> &'static str {
    match verdict {
        ObjectiveVerdict::Met => "Met",
        ObjectiveVerdict::Missed => "Missed",
        ObjectiveVerdict::Unknown => "Unknown",
    }
}

pub fn target_kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::RecoverWithin => "recover within",
        TargetKind::Availability => "availability",
        TargetKind::DetectWithin => "detect within",
        TargetKind::LoseAtMost => "lose at most",
    }
}

pub fn step_kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Fault => "fault",
        StepKind::Action => "action",
        StepKind::Manual => "manual",
        StepKind::Wait => "wait",
        StepKind::Check => "check",
    }
}

/// A target where room is short: uids are cut to their first characters, and one at the end, which only tells an object from a later one of its name,
/// is left out. `kubernetes/e88a28af/nodes/east-a-01`.
pub fn target(identity: &str) -> String {
    let parts: Vec<&str> = identity.split('/').collect();
    let kept = if parts.len() > 1 && parts.last().is_some_and(|last| is_uid(last)) { &parts[..parts.len() - 1] } else { &parts[..] };
    kept.iter().map(|part| if is_uid(part) { &part[..8] } else { part }).collect::<Vec<_>>().join("/")
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Planned => "planned",
        Phase::Intent => "intent recorded",
        Phase::Injected => "injected",
        Phase::Verified => "verified in effect",
        Phase::Reverting => "reverting",
        Phase::Reverted => "reverted",
        Phase::Gone => "gone",
        Phase::Drifted => "drifted",
        Phase::Stuck => "stuck",
        Phase::Noop => "was so before",
        Phase::Kept => "kept on purpose",
        Phase::Abandoned => "abandoned",
        Phase::Unknown => "unknown phase",
    }
}

/// How a step ended, and why where there is a why.
pub fn outcome(outcome: &StepOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        StepOutcome::Done => ("done", None),
        StepOutcome::Skipped { why } => ("skipped", Some(why)),
        StepOutcome::Failed { why, unreachable: false } => ("failed", Some(why)),
        StepOutcome::Failed { why, unreachable: true } => ("unreachable", Some(why)),
    }
}

pub fn stop(reason: StopReason) -> &'static str {
    match reason {
        StopReason::HoldOver => "the hold is over",
        StopReason::StepFailed => "a step could not be done",
        StopReason::AbortWhen => "an abortWhen condition held",
        StopReason::HaltWhen => "the environment's haltWhen condition became true",
        StopReason::UndoBy => "undoBy is due",
        StopReason::ClockJumped => "the machine slept, or its clock jumped",
        StopReason::JournalFailed => "the journal cannot be written",
        StopReason::AbortRequested => "an abort was requested",
        StopReason::Signal => "a signal asked to stop",
        StopReason::SecondSignal => "a second signal: waits are skipped",
        StopReason::Resumed => "the undo of a run that died is resumed",
    }
}

pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Starting => "starting",
        Stage::Baseline => "baseline",
        Stage::Steps => "steps",
        Stage::Hold => "hold",
        Stage::Undo => "undo",
        Stage::Region => "waiting for the region",
        Stage::FailBack => "fail-back",
        Stage::Settling => "undone, watching the objectives settle",
        Stage::Over => "over",
    }
}

/// Why the verdict is what it is, above tables that have every figure: of a pass and of a long miss only which objectives, else the whole reason.
pub fn lead(card: &Scorecard) -> String {
    let all = card.objectives.len();
    match card.verdict {
        Verdict::Passed if all == 1 => "the objective is met, every fault verified".into(),
        Verdict::Passed => format!("all {all} objectives met, every fault verified"),
        Verdict::Failed if card.reason.chars().count() <= SHORT => card.reason.clone(),
        Verdict::Failed => {
            let missed = card.objectives.iter().filter(|it| it.verdict == ObjectiveVerdict::Missed);
            let names: Vec<String> = missed.map(|it| format!("'{}'", it.id)).collect();
            let more = names.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{} of {} missed: {}{more}", names.len(), count(all, "objective"), names[..names.len().min(NAMED)].join(", "))
        }
        _ => card.reason.clone(),
    }
}

/// The run's verdict, or that it has none yet.
pub fn headline(story: &Story, card: &Scorecard) -> &'static str {
    match story.ended {
        Some(_) => verdict(card.verdict),
        None if story.going_on() => "Going on",
        None => "Unfinished",
    }
}

/// The state of an objective; a detection says whether its alert fires.
pub fn state(objective: &ObjectiveStory, health: Option<Health>) -> &'static str {
    match (health, objective.detects_only()) {
        (None, _) => "no reading yet",
        (Some(Health::Good), false) => "good",
        (Some(Health::Bad), false) => "BAD",
        (Some(Health::Good), true) => "fires",
        (Some(Health::Bad), true) => "quiet",
        (Some(Health::Unknown), _) => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_in_a_cluster_is_short_and_every_other_one_as_it_is() {
        let node = "kubernetes/e88a28af-dbbe-4a2e-be0f-50cc106070eb/nodes/east-a-01/90fe3394-57df-4c3d-8908-c7cc55dfcf2b";
        assert_eq!(target(node), "kubernetes/e88a28af/nodes/east-a-01");
        for other in ["gateway/edge/01KB2QXW8V5Z3M4N7P9R1S6T8D", "edge/127.0.0.1:1/weights", "aws/111122223333/us-east-1/i-0123", ""] {
            assert_eq!(target(other), other);
        }
    }
}
