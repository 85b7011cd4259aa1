//! The run's verdict and cleanliness, and the sentence that says why.

use super::card::{ObjectiveScore, ObjectiveVerdict};
use super::stream::Stream;
use crate::event::{Cleanliness, StepKind, StopReason, Verdict};

/// What is printed last, and decides the exit code.
pub(super) struct RunVerdict {
    pub verdict: Verdict,
    pub cleanliness: Cleanliness,
    pub unreachable: bool,
    pub reason: String,
}

/// Most names that a sentence lists before it counts the rest.
const LISTED: usize = 5;

/// The first that holds: refused, error, aborted, failed, inconclusive, passed.
///
/// - *Refused*: nothing was touched, and the steady state did not hold or a `haltWhen` condition was true.
/// - *Error*: a step failed (a check's gate too), or the journal could not be written. Unreachable only when every failure was.
/// - *Aborted*: stopped for any reason but the end of the hold, or the stream ends before its undo does (a killed run).
/// - *Failed*: an objective missed.
/// - *Inconclusive*: an objective unknown; a fault never verified in effect, last seen not to be, or removed by someone else before undo; no objective.
pub(super) fn judge(stream: &Stream<'_>, objectives: &[ObjectiveScore]) -> RunVerdict {
    let cleanliness = cleanliness(stream);
    let (verdict, why) = verdict(stream, objectives);
    let journal_failed = stream.stops.iter().any(|(reason, _)| *reason == StopReason::JournalFailed);
    let all_unreachable = !stream.failures.is_empty() && stream.failures.iter().all(|failure| failure.unreachable);
    let unreachable = verdict == Verdict::Error && all_unreachable && !journal_failed;
    let reason = match cleanliness {
        Cleanliness::Clean => why,
        Cleanliness::Drifted => format!("{why}; someone else's change was left alone: {}", list(&drifted(stream))),
        Cleanliness::StillInPlace => format!("{why}; STILL IN PLACE: {}", list(&stream.in_place())),
    };
    RunVerdict { verdict, cleanliness, unreachable, reason }
}

fn verdict(stream: &Stream<'_>, objectives: &[ObjectiveScore]) -> (Verdict, String) {
    if stream.info.is_none() {
        return (Verdict::Aborted, "the stream does not hold a run".into());
    }
    if !stream.touched()
        && let Some(why) = refusal(stream)
    {
        return (Verdict::Refused, why);
    }
    if let Some(why) = error(stream) {
        return (Verdict::Error, why);
    }
    if let Some(why) = aborted(stream) {
        return (Verdict::Aborted, why);
    }
    let named = |wanted| -> Vec<String> {
        let those = objectives.iter().filter(move |objective| objective.verdict == wanted);
        those.map(|objective| format!("'{}': {}", objective.id, objective.reason)).collect()
    };
    let missed = named(ObjectiveVerdict::Missed);
    if !missed.is_empty() {
        return (Verdict::Failed, format!("missed {}", list(&missed)));
    }
    let mut doubts: Vec<String> = named(ObjectiveVerdict::Unknown).into_iter().map(|text| format!("unknown {text}")).collect();
    doubts.extend(unverified(stream));
    doubts.extend(stream.lost.iter().map(|(step, target, seen)| format!("fault '{step}' was removed from {target} by someone else: {seen}")));
    if objectives.is_empty() {
        doubts.push("the drill has no objective".into());
    }
    if !doubts.is_empty() {
        return (Verdict::Inconclusive, list(&doubts));
    }
    let met: Vec<String> = objectives.iter().map(|objective| format!("'{}': {}", objective.id, objective.reason)).collect();
    (Verdict::Passed, format!("all objectives met, all faults verified: {}", list(&met)))
}

fn refusal(stream: &Stream<'_>) -> Option<String> {
    if !stream.baseline_problems.is_empty() {
        return Some(format!("the steady state did not hold: {}", list(stream.baseline_problems)));
    }
    let halted = stream.stops.iter().find(|(reason, _)| *reason == StopReason::HaltWhen);
    halted.map(|(_, detail)| format!("halted before anything was touched: {detail}"))
}

fn error(stream: &Stream<'_>) -> Option<String> {
    if !stream.failures.is_empty() {
        let failed: Vec<String> =
            stream.failures.iter().map(|failure| format!("step '{}' could not be done: {}", failure.step, failure.why)).collect();
        return Some(list(&failed));
    }
    let stopped = stream.stops.iter().find(|(reason, _)| matches!(reason, StopReason::StepFailed | StopReason::JournalFailed));
    stopped.map(|(reason, detail)| match reason {
        StopReason::JournalFailed => format!("the journal could not be written: {detail}"),
        _ => format!("a step could not be done: {detail}"),
    })
}

fn aborted(stream: &Stream<'_>) -> Option<String> {
    // The least urgent comes first in the order of reasons; the most urgent is what ended the run.
    let urgent = stream.stops.iter().filter(|(reason, _)| *reason != StopReason::HoldOver).max_by_key(|(reason, _)| *reason);
    if let Some((reason, detail)) = urgent {
        if let (StopReason::Resumed, Some(measured)) = (reason, stream.measured) {
            let measured = format!("{measured:?}").to_lowercase();
            return Some(format!("the run ended ({measured}) with changes in place, and was resumed to undo them: {detail}"));
        }
        return Some(format!("{}: {detail}", because(*reason)));
    }
    if !stream.hold_over() {
        return Some("the stream ends before the hold was over".into());
    }
    stream.undo_ended.is_none().then(|| "the stream ends before the undo did".into())
}

fn because(reason: StopReason) -> &'static str {
    match reason {
        StopReason::HoldOver => "the hold was over",
        StopReason::StepFailed => "a step could not be done",
        StopReason::AbortWhen => "an abortWhen condition held",
        StopReason::HaltWhen => "a haltWhen condition became true",
        StopReason::UndoBy => "undoBy was due",
        StopReason::ClockJumped => "the machine slept, or its clock jumped",
        StopReason::JournalFailed => "the journal could not be written",
        StopReason::AbortRequested => "an abort was requested",
        StopReason::Signal => "a signal asked to stop",
        StopReason::SecondSignal => "a second signal asked to stop at once",
        StopReason::Resumed => "the run died, and was resumed to undo",
    }
}

fn unverified(stream: &Stream<'_>) -> Vec<String> {
    let faults = stream.step_infos().iter().filter(|step| step.kind == StepKind::Fault);
    faults
        .filter_map(|step| {
            let seen = stream.steps.get(step.id.as_str());
            match seen.map(|seen| (seen.verified, seen.problem)) {
                Some((_, Some(problem))) => Some(format!("fault '{}' was not verified in effect: {problem}", step.id)),
                Some((Some(_), None)) => None,
                _ => Some(format!("fault '{}' was never verified in effect", step.id)),
            }
        })
        .collect()
}

fn cleanliness(stream: &Stream<'_>) -> Cleanliness {
    if !stream.in_place().is_empty() {
        Cleanliness::StillInPlace
    } else if !drifted(stream).is_empty() {
        Cleanliness::Drifted
    } else {
        Cleanliness::Clean
    }
}

fn drifted(stream: &Stream<'_>) -> Vec<String> {
    use crate::event::Phase;
    let seen = stream.phases.iter().filter(|(_, (phase, _))| *phase == Phase::Drifted).map(|((_, target), _)| (*target).to_owned());
    let mut all: Vec<String> = seen.chain(stream.drifted.iter().map(|target| (*target).to_owned())).collect();
    all.sort();
    all.dedup();
    all
}

/// Joins clauses; names the first few and counts the rest.
fn list(items: &[String]) -> String {
    let shown = items.iter().take(LISTED).cloned().collect::<Vec<_>>().join("; ");
    if items.len() > LISTED { format!("{shown}; and {} more", items.len() - LISTED) } else { shown }
}
