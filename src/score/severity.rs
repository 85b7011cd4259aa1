//! How bad it was, when: the readings of an objective in windows, by their share of bad ones.

use std::time::Duration;

use super::card::{Severity, SeverityWindow};
use super::series::Series;
use super::target::Measured;
use crate::clock::Timestamp;
use crate::event::Health;

/// Length of a window in intervals: the coarsest that still tells the levels apart, and short enough to show when they changed.
const WINDOW: u32 = 10;

/// Level of a share of bad samples, 0–1 (scoring.md).
fn level(bad: f64) -> Severity {
    match bad {
        share if share <= 0.01 => Severity::None,
        share if share <= 0.25 => Severity::Degraded,
        share if share <= 0.90 => Severity::Disruption,
        _ => Severity::Outage,
    }
}

/// A window while it is being filled.
#[derive(Debug, Clone, Copy)]
struct Open {
    from: Timestamp,
    to: Timestamp,
    known: u64,
    bad: u64,
}

/// The windows of all readings, adjacent equals merged. Windows start anew at T0 and when undo begins, so that none mixes before and after. Walks the
/// readings, never the time between them: a stretch without any is one unknown window however long it is.
pub(super) fn windows(series: &Series, measured: Option<&Measured<'_>>, end: Timestamp) -> Vec<SeverityWindow> {
    let Some(first) = series.readings.first() else { return Vec::new() };
    // Silence while it should have been measured is unknown; after that the windows end with the readings.
    let silent_until = measured.map_or(end, |measured| measured.to);
    let end = series.readings.last().map_or(end, |last| silent_until.max(last.at.plus(series.interval)));
    let mut cuts = vec![first.at];
    if let Some(measured) = measured {
        cuts.extend([measured.from, measured.to].into_iter().filter(|cut| *cut > first.at && *cut < end));
    }
    cuts.push(end);
    cuts.dedup();
    let length = series.interval.saturating_mul(WINDOW);
    let mut windows = Windows { interval: series.interval, done: Vec::new() };
    let mut readings = series.readings.iter().peekable();
    for segment in cuts.windows(2) {
        let (start, stop) = (segment[0], segment[1]);
        let mut open: Option<Open> = None;
        while let Some(reading) = readings.next_if(|reading| reading.at < stop) {
            if open.is_none_or(|window| reading.at >= window.to) {
                windows.close(open.take());
                let from = windows.last_end(start).max(window_start(start, reading.at, length));
                windows.unknown_until(start, from);
                // Ends after the reading even where the arithmetic of time saturates.
                let to = from.plus(length).max(reading.at.plus(Duration::from_micros(1))).min(stop);
                open = Some(Open { from, to, known: 0, bad: 0 });
            }
            if let Some(window) = &mut open {
                let known = if reading.health == Health::Unknown { 0 } else { reading.ticks() };
                window.known = window.known.saturating_add(known);
                window.bad = window.bad.saturating_add(if reading.health == Health::Bad { known } else { 0 });
            }
        }
        windows.close(open.take());
        windows.unknown_until(start, stop);
    }
    windows
        .done
        .into_iter()
        .map(|(window, severity)| SeverityWindow {
            from: window.from,
            to: window.to,
            severity,
            bad: (window.known > 0).then(|| window.bad as f64 / window.known as f64),
        })
        .collect()
}

struct Windows {
    interval: Duration,
    done: Vec<(Open, Severity)>,
}

impl Windows {
    fn close(&mut self, window: Option<Open>) {
        let Some(window) = window else { return };
        let expected = (window.to.since(window.from).as_micros() / self.interval.as_micros().max(1)).max(1);
        let severity = if u128::from(window.known) * 2 < expected { Severity::Unknown } else { level(window.bad as f64 / window.known as f64) };
        self.push(window, severity);
    }

    fn last_end(&self, start: Timestamp) -> Timestamp {
        self.done.last().map_or(start, |(window, _)| window.to.max(start))
    }

    /// Nothing was read from the last window (`start` where there is none) until `to`.
    fn unknown_until(&mut self, start: Timestamp, to: Timestamp) {
        let from = self.last_end(start);
        if from < to {
            self.push(Open { from, to, known: 0, bad: 0 }, Severity::Unknown);
        }
    }

    fn push(&mut self, window: Open, severity: Severity) {
        match self.done.last_mut() {
            Some((last, same)) if *same == severity && last.to == window.from => {
                last.to = window.to;
                last.known = last.known.saturating_add(window.known);
                last.bad = last.bad.saturating_add(window.bad);
            }
            _ => self.done.push((window, severity)),
        }
    }
}

fn window_start(start: Timestamp, at: Timestamp, length: Duration) -> Timestamp {
    let length = length.as_micros().max(1);
    let whole = at.since(start).as_micros() / length * length;
    start.plus(Duration::from_micros(u64::try_from(whole).unwrap_or(u64::MAX)))
}
