//! What was lost: acknowledged canary writes that the surviving side could not show when undo began.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::card::{Figure, Loss, Quantity, TargetKind, TargetScore};
use super::series::Series;
use super::target::{Measured, Outcome, linear, over};
use super::words::duration;
use crate::clock::{Span, Timestamp};

/// What the canary's readings say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub loss: Loss,
    /// Writes were acknowledged after the last read that worked: nobody knows about them.
    pub unaccounted: bool,
}

/// Judges the last read that was answered between T0 and undo; none when there is none. Reads after undo began do not count: the undo may have brought
/// the writes back.
///
/// A write acknowledged less than the normal replication lag before that read is on its way, not lost.
pub(super) fn find(measured: &Measured<'_>) -> Option<Found> {
    let in_time = measured.series.readings.iter().filter(|reading| reading.at >= measured.from && reading.done() <= measured.to);
    let (read, missing) = in_time.filter_map(|reading| Some((reading, measured.series.missing(reading)?))).next_back()?;
    let lag = normal_lag(measured.series, measured.from);
    let lost = missing.iter().filter(|write| {
        let judged = write.acknowledged < measured.to && write.acknowledged <= read.done();
        judged && read.done().since(write.acknowledged) >= lag
    });
    let acknowledged: Vec<Timestamp> = lost.map(|write| write.acknowledged).collect();
    let age = match (acknowledged.iter().min(), acknowledged.iter().max()) {
        (Some(oldest), Some(newest)) => {
            let value = measured.from.max(*newest).since(*oldest);
            let plus_minus = measured.series.interval.saturating_add(read.latency());
            let (lower, upper) = (value.saturating_sub(plus_minus), value.saturating_add(plus_minus));
            Figure { value: Span(value), plus_minus: Span(plus_minus), lower: Span(lower), upper: Span(upper) }
        }
        _ => Figure::ZERO,
    };
    // What was written in the last moments could not have been judged by a read either.
    let judgeable = measured.to.minus(lag.max(measured.series.interval));
    let mut later = measured.series.readings.iter().filter(|reading| reading.at > read.at && reading.at < judgeable);
    let unaccounted = later.any(|reading| reading.acknowledged);
    Some(Found { loss: Loss { age, count: acknowledged.len() as u64 }, unaccounted })
}

/// RPO.
pub(super) fn lose_at_most(measured: &Measured<'_>, target: Duration) -> TargetScore {
    let outcome = Outcome { kind: TargetKind::LoseAtMost, target: Quantity::Seconds(Span(target)) };
    let wanted = duration(target);
    let Some(found) = find(measured) else {
        return outcome.unknown("the surviving side was never read between T0 and the end of measurement".into());
    };
    let Loss { age, count } = found.loss;
    let said = match count {
        0 => format!("no acknowledged write lost, target {wanted}"),
        1 => format!("1 acknowledged write lost, {age} back, target {wanted}"),
        many => format!("{many} acknowledged writes lost, {age} back, target {wanted}"),
    };
    if *age.upper > target {
        return outcome.missed(Some(age), linear(*age.upper, target), format!("{said}{}", over(&age, target)));
    }
    if found.unaccounted {
        return outcome.unknown(format!("{said}, as far as read: writes were acknowledged after the last read that was answered"));
    }
    outcome.met(Some(age), said)
}

/// The largest replication lag seen before T0: of the writes that one read missed and a later one showed, the age at the last read that missed it, plus
/// one interval, since that is how finely it was watched. 0 when every read showed everything.
fn normal_lag(series: &Series, t0: Timestamp) -> Duration {
    let mut lag = Duration::ZERO;
    let mut pending: HashMap<u64, Duration> = HashMap::new();
    for (reading, missing) in series.before(t0).filter_map(|reading| Some((reading, series.missing(reading)?))) {
        let now: HashSet<u64> = missing.iter().map(|write| write.number).collect();
        pending.retain(|number, age| {
            if !now.contains(number) {
                lag = lag.max(age.saturating_add(series.interval));
            }
            now.contains(number)
        });
        pending.extend(missing.iter().map(|write| (write.number, reading.done().since(write.acknowledged))));
    }
    lag
}
