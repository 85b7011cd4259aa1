//! Holds each target of an objective against its readings: met, missed, or not shown either way.

use std::borrow::Cow;
use std::time::Duration;

use super::card::{Coverage, Figure, ObjectiveVerdict, Quantity, TargetKind, TargetScore};
use super::series::{Reading, Series, Stable, stable, stable_at_best};
use super::words::{duration, percent};
use crate::clock::{Span, Timestamp};
use crate::event::Health;

/// Share of the expected samples that must be known (scoring.md).
pub(super) const KNOWN_ENOUGH: f64 = 0.9;

/// The readings between T0 and the beginning of undo.
pub(super) struct Measured<'s> {
    pub series: &'s Series,
    pub readings: Cow<'s, [Reading]>,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// How a recovery went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Recovery {
    /// No bad reading.
    NotImpacted,
    /// Index of the reading that begins the stable stretch, and the figure.
    Recovered(usize, Figure),
    /// No good stretch was long enough before measurement ended.
    NotRecovered {
        /// Good at the end, too short to count: since when.
        good_since: Option<Timestamp>,
    },
}

impl Measured<'_> {
    /// Length of the window.
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }

    /// Counts of the whole window.
    pub fn coverage(&self) -> Coverage {
        self.series.coverage(&self.readings, self.length())
    }

    /// Counts of the readings that began in `[from, to)`, cut to the window.
    pub fn coverage_between(&self, from: Timestamp, to: Timestamp) -> Coverage {
        let (from, to) = (from.max(self.from), to.min(self.to));
        let start = self.readings.partition_point(|reading| reading.at < from);
        let end = self.readings.partition_point(|reading| reading.at < to).max(start);
        self.series.coverage(&self.readings[start..end], to.since(from))
    }

    /// Index of the first bad reading.
    pub fn impact(&self) -> Option<usize> {
        self.readings.iter().position(|reading| reading.health == Health::Bad)
    }

    /// The recovery, from the readings alone.
    pub fn recovery(&self, stable_for: Duration) -> Recovery {
        let Some(impact) = self.impact() else { return Recovery::NotImpacted };
        match stable(&self.readings, impact, stable_for) {
            Stable::Shown(index) => {
                let last_bad = self.readings[..index].iter().rev().find(|reading| reading.health == Health::Bad);
                Recovery::Recovered(index, self.series.figure(self.from, &self.readings[index], last_bad.map(|reading| reading.at)))
            }
            Stable::Running(index) => Recovery::NotRecovered { good_since: Some(self.readings[index].at) },
            Stable::Never => Recovery::NotRecovered { good_since: None },
        }
    }

    /// It was bad without a break until undo began, and long enough (`stable_for`, at least two readings) to be more than one lost request.
    pub fn down_at_end(&self, stable_for: Duration) -> bool {
        let trailing = self.readings.iter().rev().take_while(|reading| reading.health == Health::Bad);
        let Some(first) = trailing.last() else { return false };
        self.to.since(first.at) >= stable_for.max(self.series.interval.saturating_mul(2))
            && self.readings.last().is_some_and(|last| last.at > first.at)
    }

    /// The least upper bound that a recovery after the reading at `impact` could have, were all that is unknown or missing good.
    fn recovery_at_best(&self, impact: usize, stable_for: Duration) -> Duration {
        if let Some((begin, latency)) = stable_at_best(&self.readings, impact, stable_for) {
            return self.least_upper(begin).saturating_add(latency);
        }
        let due = self.readings.last().map_or(self.from, |last| last.at.plus(self.series.interval.max(last.latency())));
        if self.to.since(due) >= self.series.interval { self.least_upper(due) } else { self.least_upper_beyond() }
    }

    /// The upper bound that something still to be seen when the window ended would at least have had.
    fn least_upper_beyond(&self) -> Duration {
        self.length().saturating_add(self.series.interval)
    }

    /// The upper bound of something that began at `at` in a reading that nobody could take.
    fn least_upper(&self, at: Timestamp) -> Duration {
        at.since(self.from).saturating_add(self.series.interval)
    }
}

/// RTO.
pub(super) fn recover_within(measured: &Measured<'_>, target: Duration, stable_for: Duration) -> TargetScore {
    let outcome = Outcome { kind: TargetKind::RecoverWithin, target: Quantity::Seconds(Span(target)) };
    let wanted = duration(target);
    match measured.recovery(stable_for) {
        Recovery::NotImpacted => {
            let deadline = measured.from.plus(target);
            if measured.to < deadline {
                let watched = duration(measured.length());
                return outcome.unknown(format!("not impacted, but watched for only {watched} of {wanted} after T0"));
            }
            let deciding = measured.coverage_between(measured.from, deadline);
            if target > Duration::ZERO && deciding.share < KNOWN_ENOUGH {
                return outcome.unknown(format!("no bad sample, but {} were known in the {wanted} after T0", known_of(&deciding)));
            }
            outcome.met(Some(Figure::ZERO), "not impacted".into())
        }
        Recovery::Recovered(index, figure) => {
            let said = format!("recovered in {figure}, target {wanted}");
            if measured.down_at_end(stable_for) {
                return outcome.missed(Some(figure), 0.0, format!("{said}, but was down again when undo began"));
            }
            if *figure.upper <= target {
                return outcome.met(Some(figure), said);
            }
            let impact = measured.impact().unwrap_or(index);
            if measured.recovery_at_best(impact, stable_for) <= target {
                return outcome.unknown(format!("{said}; readings that could decide it are unknown"));
            }
            outcome.missed(Some(figure), linear(*figure.upper, target), format!("{said}{}", over(&figure, target)))
        }
        Recovery::NotRecovered { good_since } => {
            let said = match good_since {
                Some(since) => {
                    let good_for = duration(measured.to.since(since));
                    format!(
                        "good again {} after T0, but only for {good_for} of {} before measurement ended",
                        duration(since.since(measured.from)),
                        duration(stable_for)
                    )
                }
                None => format!("not recovered within {} after T0, when measurement ended", duration(measured.length())),
            };
            if measured.recovery_at_best(measured.impact().unwrap_or(0), stable_for) <= target {
                return outcome.unknown(format!("{said}; target {wanted} not decided"));
            }
            outcome.missed(None, 0.0, format!("{said}; target {wanted}"))
        }
    }
}

/// MTTD. `tainted` says why a true reading would prove nothing.
pub(super) fn detect_within(measured: &Measured<'_>, target: Duration, tainted: Option<String>) -> TargetScore {
    let outcome = Outcome { kind: TargetKind::DetectWithin, target: Quantity::Seconds(Span(target)) };
    let wanted = duration(target);
    if let Some(why) = tainted {
        return outcome.unknown(why);
    }
    let first = measured.readings.iter().position(|reading| reading.health == Health::Good);
    let before = &measured.readings[..first.unwrap_or(measured.readings.len())];
    // It may have become true while nobody could read it: at the earliest in the first unread moment after the last false reading.
    let at_best = unread_since(measured, before, first).map_or_else(
        || first.map_or_else(|| measured.least_upper_beyond(), |index| *detected(measured, index).upper),
        |since| measured.least_upper(since),
    );
    let Some(index) = first else {
        let said = format!("not detected within {} after T0, when measurement ended; target {wanted}", duration(measured.length()));
        return if at_best <= target { outcome.unknown(format!("{said}; not decided")) } else { outcome.missed(None, 0.0, said) };
    };
    let figure = detected(measured, index);
    let said = format!("detected in {figure}, target {wanted}");
    if *figure.upper <= target {
        outcome.met(Some(figure), said)
    } else if at_best <= target {
        outcome.unknown(format!("{said}; readings that could decide it are unknown"))
    } else {
        outcome.missed(Some(figure), linear(*figure.upper, target), format!("{said}{}", over(&figure, target)))
    }
}

/// The figure of a detection first seen by the reading at `index`.
pub(super) fn detected(measured: &Measured<'_>, index: usize) -> Figure {
    let last_false = measured.readings[..index].iter().rev().find(|reading| reading.health == Health::Bad);
    let since = last_false.map_or(measured.from, |reading| reading.at);
    measured.series.figure(measured.from, &measured.readings[index], Some(since))
}

/// The first moment after the last false reading of `before` when a reading was due and nothing was known; none when the next known one followed at once.
fn unread_since(measured: &Measured<'_>, before: &[Reading], first: Option<usize>) -> Option<Timestamp> {
    let interval = measured.series.interval;
    let last_false = before.iter().rposition(|reading| reading.health == Health::Bad);
    let unknown = &before[last_false.map_or(0, |index| index + 1)..];
    let next = unknown.first().or_else(|| first.map(|index| &measured.readings[index]));
    let due = last_false.map_or(measured.from, |index| before[index].at.plus(interval.max(before[index].latency())));
    match next {
        Some(next) if next.missing_since().is_some() || (last_false.is_none() && next.at.since(due) >= interval) => Some(due),
        Some(next) => (!unknown.is_empty()).then_some(next.at),
        None => (measured.to.since(due) >= interval).then_some(due),
    }
}

/// Share of good samples from the deadline of recovery (T0 where there is none) until undo begins.
pub(super) fn availability(measured: &Measured<'_>, target: f64, recover_within: Option<Duration>) -> TargetScore {
    let target = if target.is_finite() { target.clamp(0.0, 100.0) } else { 100.0 };
    let outcome = Outcome { kind: TargetKind::Availability, target: Quantity::Percent(target) };
    let from = measured.from.plus(recover_within.unwrap_or_default());
    if measured.to <= from {
        return outcome.unknown(format!("measurement ended before availability counts, {} after T0", duration(recover_within.unwrap_or_default())));
    }
    let count = measured.coverage_between(from, measured.to);
    if count.share < KNOWN_ENOUGH || count.known() == 0 {
        return outcome.unknown(format!("only {} were known where availability counts", known_of(&count)));
    }
    let bad = count.bad as f64 / count.known() as f64;
    let share = 100.0 * count.good as f64 / count.known() as f64;
    let budget = (100.0 - target) / 100.0;
    let said = format!("{} available ({} of {} samples bad), target {}", percent(share), count.bad, count.known(), percent(target));
    // The tolerance is that of the arithmetic: 100 − 99.9 is not quite 0.1.
    let verdict = if bad <= budget + 1e-9 { ObjectiveVerdict::Met } else { ObjectiveVerdict::Missed };
    let s = match verdict {
        ObjectiveVerdict::Met => 1.0,
        _ if budget <= 0.0 => 0.0,
        _ => (2.0 - bad / budget).clamp(0.0, 1.0),
    };
    let measured = Some(Quantity::Percent(share));
    TargetScore { kind: outcome.kind, target: outcome.target, measured, plus_minus: None, upper: measured, verdict, s, reason: said }
}

/// 1 at the target, 0 at twice the target; on the upper bound, as the verdict is.
pub(super) fn linear(upper: Duration, target: Duration) -> f64 {
    if target.is_zero() { 0.0 } else { (2.0 - upper.as_secs_f64() / target.as_secs_f64()).clamp(0.0, 1.0) }
}

/// `27 of 30 expected samples`.
pub(super) fn known_of(count: &Coverage) -> String {
    format!("{} expected samples", count.told())
}

/// How far the upper bound is over the target, so that a near miss is seen as one.
pub(super) fn over(figure: &Figure, target: Duration) -> String {
    format!(" (over by up to {})", duration(figure.upper.saturating_sub(target)))
}

/// Builds the results of one target.
pub(super) struct Outcome {
    pub kind: TargetKind,
    pub target: Quantity,
}

impl Outcome {
    /// Shown to hold.
    pub fn met(&self, figure: Option<Figure>, reason: String) -> TargetScore {
        self.score(figure, ObjectiveVerdict::Met, 1.0, reason)
    }

    /// Shown not to hold.
    pub fn missed(&self, figure: Option<Figure>, s: f64, reason: String) -> TargetScore {
        self.score(figure, ObjectiveVerdict::Missed, s, reason)
    }

    /// Not shown either way: counts 0, and no figure is given that a reader could take for a result.
    pub fn unknown(&self, reason: String) -> TargetScore {
        self.score(None, ObjectiveVerdict::Unknown, 0.0, reason)
    }

    fn score(&self, figure: Option<Figure>, verdict: ObjectiveVerdict, s: f64, reason: String) -> TargetScore {
        TargetScore {
            kind: self.kind,
            target: self.target,
            measured: figure.map(|figure| Quantity::Seconds(figure.value)),
            plus_minus: figure.map(|figure| figure.plus_minus),
            upper: figure.map(|figure| Quantity::Seconds(figure.upper)),
            verdict,
            s,
            reason,
        }
    }
}
