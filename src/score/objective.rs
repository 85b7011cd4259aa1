//! One objective: its clocks, its targets, its verdict.

use std::time::Duration;

use super::card::{Blocker, Coverage, Figure, ObjectiveClocks, ObjectiveScore, ObjectiveVerdict, Relapse, TargetScore};
use super::lose;
use super::series::{Arrived, Series, Stable, stable};
use super::severity;
use super::stream::Stream;
use super::target::{KNOWN_ENOUGH, Measured, Recovery, availability, detect_within, detected, known_of, recover_within};
use super::words::duration;
use crate::clock::Timestamp;
use crate::event::{Health, ObjectiveInfo};

/// An objective's result and the instants that the run's clocks and `dependsOn` need.
pub(super) struct Evaluated {
    pub score: ObjectiveScore,
    pub impacted: Option<Timestamp>,
    pub recovered: Option<Timestamp>,
}

/// It only detects: false is then the normal state of its probe, neither an impact nor an outage.
pub(super) fn only_detects(info: &ObjectiveInfo) -> bool {
    info.detect_within.is_some() && info.recover_within.is_none() && info.availability.is_none()
}

/// Evaluates one objective.
pub(super) fn evaluate(stream: &Stream<'_>, info: &ObjectiveInfo, arrived: Arrived) -> Evaluated {
    let series = Series::of(arrived, *info.interval);
    let t0 = stream.t0(info);
    let to = stream.window_end();
    let measured = t0.map(|t0| Measured { readings: series.window(t0.early, to), series: &series, from: t0.early, to });
    let severity = if only_detects(info) { Vec::new() } else { severity::windows(&series, measured.as_ref(), stream.end) };
    let mut score = ObjectiveScore {
        id: info.id.clone(),
        verdict: ObjectiveVerdict::Unknown,
        reason: String::new(),
        t0,
        targets: Vec::new(),
        clocks: ObjectiveClocks::default(),
        not_impacted: false,
        relapse: None,
        samples: Coverage::default(),
        weight: info.weight,
        s: 0.0,
        points: 0.0,
        blocked_by: Vec::new(),
        severity,
    };
    let Some(measured) = measured else {
        score.reason = match &info.clock_from {
            Some(step) => format!("its clock starts with step '{step}', which never started"),
            None => "no fault was injected, so no clock started".into(),
        };
        return Evaluated { score, impacted: None, recovered: None };
    };
    score.samples = measured.coverage();
    let tainted = info.detect_within.and_then(|_| tainted(stream, &measured));
    let (impacted, recovered) = clocks(&mut score, &measured, stream, info, tainted.is_some());
    score.targets = targets(&measured, info, tainted);
    if score.samples.share < KNOWN_ENOUGH {
        let why = format!("only {} were known", known_of(&score.samples));
        score.targets = score.targets.into_iter().map(|target| unknown(target, &why)).collect();
    }
    conclude(&mut score);
    Evaluated { score, impacted, recovered }
}

fn targets(measured: &Measured<'_>, info: &ObjectiveInfo, tainted: Option<String>) -> Vec<TargetScore> {
    let recover = info.recover_within.map(|target| recover_within(measured, *target, *info.stable_for));
    let available = info.availability.map(|target| availability(measured, target, info.recover_within.map(|span| *span)));
    let detect = info.detect_within.map(|target| detect_within(measured, *target, tainted));
    let lose = info.lose_at_most.map(|target| lose::lose_at_most(measured, *target));
    [recover, available, detect, lose].into_iter().flatten().collect()
}

/// Fills in the clocks; returns when the objective was impacted and when it had recovered.
fn clocks(
    score: &mut ObjectiveScore,
    measured: &Measured<'_>,
    stream: &Stream<'_>,
    info: &ObjectiveInfo,
    tainted: bool,
) -> (Option<Timestamp>, Option<Timestamp>) {
    score.clocks.lose = lose::find(measured).map(|found| found.loss);
    if info.detect_within.is_some() && !tainted {
        let first = measured.readings.iter().position(|reading| reading.health == Health::Good);
        score.clocks.detect = first.map(|index| detected(measured, index));
    }
    if only_detects(info) {
        return (None, None);
    }
    score.clocks.fail_back = fail_back(measured.series, stream, *info.stable_for);
    let impact = measured.impact().map(|index| &measured.readings[index]);
    score.clocks.impact = impact.map(|reading| measured.series.figure(measured.from, reading, None));
    let recovered = match measured.recovery(*info.stable_for) {
        Recovery::NotImpacted => {
            // Nothing read is not the same as nothing wrong.
            score.not_impacted = score.samples.share >= KNOWN_ENOUGH;
            score.clocks.recover = score.not_impacted.then_some(Figure::ZERO);
            None
        }
        Recovery::Recovered(index, figure) => {
            score.clocks.recover = Some(figure);
            score.relapse = relapse(measured, index, *info.stable_for);
            Some(measured.readings[index].at)
        }
        Recovery::NotRecovered { .. } => None,
    };
    (impact.map(|reading| reading.at), recovered)
}

fn relapse(measured: &Measured<'_>, recovered: usize, stable_for: Duration) -> Option<Relapse> {
    let mut bad = measured.readings[recovered..].iter().filter(|reading| reading.health == Health::Bad).peekable();
    let after = bad.peek()?.at.since(measured.from).into();
    let bad = bad.fold(0u64, |sum, reading| sum.saturating_add(reading.ticks()));
    Some(Relapse { after, bad, down_at_undo: measured.down_at_end(stable_for) })
}

/// From the beginning of undo to the first good reading after the last undo that begins a stable stretch.
fn fail_back(series: &Series, stream: &Stream<'_>, stable_for: Duration) -> Option<Figure> {
    let began = stream.undo_began?;
    let (ended, _) = stream.undo_ended?;
    if !stream.in_place().is_empty() {
        return None;
    }
    let last_undo = stream.last_closed.unwrap_or(ended);
    let from = series.readings.partition_point(|reading| reading.at < last_undo);
    match stable(&series.readings, from, stable_for) {
        Stable::Shown(index) => Some(series.figure(began, &series.readings[index], None)),
        Stable::Running(_) | Stable::Never => None,
    }
}

/// Why a true reading after T0 would prove nothing; none when it was false before.
fn tainted(stream: &Stream<'_>, measured: &Measured<'_>) -> Option<String> {
    let baseline_end = stream.first_fault().map_or(measured.from, |first| first.early.min(measured.from));
    let mut known = measured.series.before(baseline_end).filter(|reading| reading.health != Health::Unknown).peekable();
    if known.peek().is_none() {
        return Some("it was not read before the fault, so it is not known to have been false".into());
    }
    if known.any(|reading| reading.health == Health::Good) {
        return Some("it was already true before the fault, so being true proves nothing".into());
    }
    let last = measured.series.before(measured.from).filter(|reading| reading.health != Health::Unknown).last();
    last.filter(|reading| reading.health == Health::Good).map(|_| "it was already true when its clock started, so being true proves nothing".into())
}

fn unknown(target: TargetScore, why: &str) -> TargetScore {
    let reason = format!("{why}; those say: {}", target.reason);
    TargetScore { measured: None, plus_minus: None, upper: None, verdict: ObjectiveVerdict::Unknown, s: 0.0, reason, ..target }
}

/// Verdict, share and sentence of an objective from its targets.
fn conclude(score: &mut ObjectiveScore) {
    let any = |verdict| score.targets.iter().any(|target| target.verdict == verdict);
    score.verdict = if any(ObjectiveVerdict::Missed) {
        ObjectiveVerdict::Missed
    } else if any(ObjectiveVerdict::Unknown) || score.targets.is_empty() {
        ObjectiveVerdict::Unknown
    } else {
        ObjectiveVerdict::Met
    };
    score.s = score.targets.iter().map(|target| target.s).fold(1.0, f64::min);
    if score.targets.is_empty() {
        score.s = 0.0;
        score.reason = "it has no target".into();
        return;
    }
    let mut clauses: Vec<String> = score.targets.iter().map(|target| target.reason.clone()).collect();
    if let Some(relapse) = &score.relapse {
        let samples = if relapse.bad == 1 { "sample" } else { "samples" };
        clauses.push(format!("bad again {} after T0 ({} {samples})", duration(*relapse.after), relapse.bad));
    }
    score.reason = clauses.join("; ");
}

/// Fills in who waited for whom: a dependency blocks an objective while both are down.
pub(super) fn block(evaluated: &mut [Evaluated], infos: &[ObjectiveInfo]) {
    let when: Vec<(Option<Timestamp>, Option<Timestamp>)> = evaluated.iter().map(|one| (one.impacted, one.recovered)).collect();
    for (index, info) in infos.iter().enumerate() {
        let (Some(impacted), recovered) = when[index] else { continue };
        let blocks = |dependency: usize| {
            let (down, up) = when[dependency];
            let until_then = up.is_none_or(|up| up > impacted);
            // It recovered no sooner than what it depends on.
            let waited = recovered.is_none_or(|own| up.is_some_and(|up| up <= own));
            down.is_some() && until_then && waited
        };
        let dependencies = info.depends_on.iter().filter_map(|id| infos.iter().position(|other| other.id == *id));
        let blockers = dependencies.filter(|dependency| *dependency != index && blocks(*dependency));
        evaluated[index].score.blocked_by =
            blockers.map(|dependency| Blocker { objective: infos[dependency].id.clone(), until: when[dependency].1 }).collect();
    }
}
