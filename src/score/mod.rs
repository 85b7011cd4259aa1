//! What a run proved: samples to clocks to verdicts to score, as pure functions of the event stream.
//!
//! # Decisions
//!
//! What scoring.md leaves open is decided here, always so that doubt never flatters:
//!
//! - **Window.** An objective is measured from the early end of its T0 until undo first begins, or until the stream ends. A good answer that began before
//!   undo and came after it does not count, and a recovery that needs the undo is none. A reading that began before T0 belongs to the baseline only if it
//!   was over by then.
//! - **Expected samples.** Length of the window divided by the interval, rounded down, at least 1. A reading that runs longer than the interval stands for
//!   the ticks it kept the probe busy: a slow probe is no gap, and a timeout is not one bad sample but as many as it displaced.
//! - **Recovered.** `stableFor` is shown by a good sample that began at least that long after the first one, with only good ones between. Unknown and missing
//!   samples break the stretch. Where they alone keep a target from being met, it is unknown, not missed.
//! - **Not impacted** is exactly 0 and met, if the watch lasted as long as the target and 90 % of the samples up to the target's deadline were known; else
//!   unknown.
//! - **Relapse.** The first recovery counts; a later relapse shows in availability and is always named. One exception, since the first rule demands it: an
//!   objective that was down (only bad samples for `stableFor`) when undo began has not recovered, whatever came before.
//! - **Cut short.** Not recovered or not detected when measurement ended, before the target could be missed: unknown.
//! - **Detection** that was true in the baseline, true when its clock started, or never read before: unknown. A firing alert proves nothing then.
//! - **Availability** is a share of the known samples and has no error bar.
//! - **Loss** reaches from the oldest lost write to T0, or to the newest lost write when that is later. See `lose.rs`.
//! - **Partial credit** falls on the upper bound, as the verdict does: 1 at the target, 0 at twice the target. Never recovered or detected: 0.
//! - **Precedence.** An objective with a missed target is missed, whatever is unknown beside it. For the run see `verdict.rs`.

pub mod card;
mod fold;
mod lose;
mod objective;
mod series;
mod severity;
mod stream;
mod target;
mod verdict;
pub mod words;

#[cfg(test)]
mod bank;

pub use card::*;
pub use fold::Scorer;

use std::time::Duration;

use crate::clock::{Span, Timestamp};
use crate::event::{Cleanliness, RunEvent, StepKind};
use fold::Samples;
use objective::{Evaluated, only_detects};
use stream::Stream;

/// Scores a run from its events: with or without the final `RunEnded`, finished, killed half-way, or still going.
///
/// Pure and total: the same events give the same card, and no sequence of events panics. Takes linear time for samples that are in order.
#[must_use]
pub fn evaluate(events: &[RunEvent]) -> Scorecard {
    let mut samples = Samples::default();
    events.iter().for_each(|event| samples.take(event));
    card_of(events.iter(), samples)
}

/// The card of these events; their samples are looked at only in `samples`.
fn card_of<'a>(events: impl Iterator<Item = &'a RunEvent> + Clone, mut samples: Samples) -> Scorecard {
    let stream = Stream::read(events, samples.latest);
    let infos = stream.objectives();
    // One after the other, each set of readings freed after its turn.
    let last = |index: usize, id: &str| !infos[index + 1..].iter().any(|info| info.id == id);
    let mut evaluated: Vec<Evaluated> =
        infos.iter().enumerate().map(|(index, info)| objective::evaluate(&stream, info, samples.of(&info.id, last(index, &info.id)))).collect();
    objective::block(&mut evaluated, infos);
    let t0 = stream.first_fault();
    let clocks = run_clocks(&stream, &evaluated, t0.map(|t0| t0.early));
    let mut objectives: Vec<ObjectiveScore> = evaluated.into_iter().map(|one| one.score).collect();

    let total: f64 = objectives.iter().map(|objective| f64::from(objective.weight)).sum();
    let known = objectives.iter().filter(|objective| objective.verdict != ObjectiveVerdict::Unknown);
    let known: f64 = known.map(|objective| f64::from(objective.weight)).sum();
    if total > 0.0 {
        for objective in &mut objectives {
            objective.points = 100.0 * f64::from(objective.weight) * objective.s / total;
        }
    }
    let run = verdict::judge(&stream, &objectives);
    let measured = total > 0.0 && objectives.iter().any(|objective| objective.t0.is_some());
    let sum: f64 = objectives.iter().map(|objective| objective.points).sum();
    let score = match run.cleanliness {
        Cleanliness::StillInPlace => Some(0.0),
        Cleanliness::Clean | Cleanliness::Drifted => measured.then_some(sum.clamp(0.0, 100.0)),
    };
    Scorecard {
        verdict: run.verdict,
        cleanliness: run.cleanliness,
        reason: run.reason,
        unreachable: run.unreachable,
        score,
        // An empty sum of floats is -0.0.
        coverage: if total > 0.0 { known / total + 0.0 } else { 0.0 },
        t0,
        undo_began: stream.undo_began,
        clocks,
        table: table(&objectives),
        objectives,
    }
}

fn run_clocks(stream: &Stream<'_>, evaluated: &[Evaluated], t0: Option<Timestamp>) -> RunClocks {
    let infos = stream.objectives();
    let scores = || evaluated.iter().zip(infos).map(|(one, info)| (&one.score, info));
    // An objective's clock may start later than the run's.
    let from_run_t0 = |score: &ObjectiveScore, figure: Option<Figure>| shifted(figure?, score.t0?.early, t0?);
    let impact = scores().filter_map(|(score, _)| from_run_t0(score, score.clocks.impact)).min_by_key(|figure| figure.value);
    let detect = scores().filter_map(|(score, _)| from_run_t0(score, score.clocks.detect)).min_by_key(|figure| figure.value);
    let detected = detect.zip(t0).map(|(figure, t0)| t0.plus(*figure.value));
    let with_target = infos.iter().any(|info| info.recover_within.is_some());
    let recovering = scores().filter(|(_, info)| if with_target { info.recover_within.is_some() } else { !only_detects(info) });
    let services = scores().filter(|(_, info)| !only_detects(info));
    RunClocks {
        impact,
        detect,
        steps: step_clocks(stream, detected),
        recover: worst(recovering.map(|(score, _)| score.clocks.recover)),
        lose: scores().filter_map(|(score, _)| score.clocks.lose).max_by_key(|loss| (loss.age.upper, loss.count)),
        fail_back: worst(services.map(|(score, _)| score.clocks.fail_back)),
    }
}

/// The slowest; none while one is missing.
fn worst(figures: impl Iterator<Item = Option<Figure>>) -> Option<Figure> {
    figures.collect::<Option<Vec<Figure>>>()?.into_iter().max_by_key(|figure| figure.upper)
}

fn shifted(figure: Figure, own: Timestamp, run: Timestamp) -> Option<Figure> {
    let (later, earlier) = (own.since(run), run.since(own));
    let shift = |span: Span| Span(span.saturating_add(later).saturating_sub(earlier));
    Some(Figure { value: shift(figure.value), plus_minus: figure.plus_minus, lower: shift(figure.lower), upper: shift(figure.upper) })
}

fn step_clocks(stream: &Stream<'_>, detected: Option<Timestamp>) -> Vec<StepClock> {
    let people = stream.step_infos().iter().filter(|step| matches!(step.kind, StepKind::Manual | StepKind::Action));
    let clock = |step: &crate::event::StepInfo| {
        let seen = stream.steps.get(step.id.as_str());
        let (started, ended) = (seen.and_then(|seen| seen.started), seen.and_then(|seen| seen.ended));
        let after = |at: Option<Timestamp>| at.zip(detected).filter(|(at, detected)| at >= detected).map(|(at, detected)| Span(at.since(detected)));
        let before_detect = started.is_some_and(|at| detected.is_none_or(|detected| at < detected));
        StepClock { step: step.id.clone(), kind: step.kind, started, ended, decide: after(started), act: after(ended), before_detect }
    };
    people.map(clock).collect()
}

fn table(objectives: &[ObjectiveScore]) -> Vec<ScoreRow> {
    objectives.iter().flat_map(rows).collect()
}

fn rows(objective: &ObjectiveScore) -> Vec<ScoreRow> {
    let row = |target: Option<&TargetScore>, counts: bool| ScoreRow {
        objective: objective.id.clone(),
        target: target.map(|target| target.kind),
        wanted: target.map_or_else(|| "–".into(), |target| target.target.to_string()),
        measured: target.map_or_else(|| objective.reason.clone(), measured_in_words),
        verdict: target.map_or(objective.verdict, |target| target.verdict),
        s: target.map_or(0.0, |target| target.s),
        counts,
        weight: objective.weight,
        points: if counts { objective.points } else { 0.0 },
    };
    // Of two that count the same, the missed one is why.
    let missed_first = |target: &TargetScore| target.verdict != ObjectiveVerdict::Missed;
    let worse = |a: &TargetScore, b: &TargetScore| a.s.total_cmp(&b.s).then(missed_first(a).cmp(&missed_first(b)));
    let worst = objective.targets.iter().enumerate().min_by(|(_, a), (_, b)| worse(a, b)).map(|(index, _)| index);
    match worst {
        None => vec![row(None, true)],
        Some(worst) => objective.targets.iter().enumerate().map(|(index, target)| row(Some(target), index == worst)).collect(),
    }
}

fn measured_in_words(target: &TargetScore) -> String {
    match (target.measured, target.plus_minus) {
        (Some(Quantity::Seconds(span)), _) if span.is_zero() && target.plus_minus.is_some_and(|bar| bar.is_zero()) => match target.kind {
            TargetKind::RecoverWithin => "not impacted".into(),
            _ => "none lost".into(),
        },
        (Some(measured), Some(bar)) if *bar > Duration::ZERO => format!("{measured} ± {}", words::duration(*bar)),
        (Some(measured), _) => measured.to_string(),
        (None, _) => target.reason.clone(),
    }
}
