//! The readings of one objective in order of time, and what can be counted and found in them.

use std::time::Duration;

use super::card::{Coverage, Figure};
use crate::clock::{Span, Timestamp};
use crate::event::{Health, Sample};

/// A reading, placed in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub at: Timestamp,
    pub latency: Duration,
    pub health: Health,
    /// How many expected samples it stands for: 1, or the ticks that it kept the probe busy.
    pub ticks: u64,
    /// At least one expected sample before it is missing: when that was due.
    pub missing_since: Option<Timestamp>,
    pub sample: &'a Sample,
}

impl Reading<'_> {
    /// When its answer was there.
    pub fn done(&self) -> Timestamp {
        self.at.plus(self.latency)
    }
}

/// Readings in order of time, one an instant.
#[derive(Debug)]
pub(super) struct Series<'a> {
    pub interval: Duration,
    pub readings: Vec<Reading<'a>>,
}

/// What a search for a stable stretch found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stable {
    /// Index of the reading that begins it.
    Shown(usize),
    /// A stretch was running when the readings ended, too short to count.
    Running(usize),
    /// The last word was not good.
    Never,
}

impl<'a> Series<'a> {
    /// Sorts the samples. Of several at one instant the worst counts: bad, then unknown.
    pub fn of(samples: &[&'a Sample], interval: Duration) -> Self {
        let interval = interval.max(Duration::from_micros(1));
        let mut sorted: Vec<&Sample> = samples.to_vec();
        // Stable and adaptive: linear for a stream that is in order already.
        sorted.sort_by_key(|sample| (sample.at, badness(sample.health)));
        sorted.dedup_by_key(|sample| sample.at);
        let mut readings: Vec<Reading<'a>> = Vec::with_capacity(sorted.len());
        for (index, sample) in sorted.iter().enumerate() {
            let until_next = sorted.get(index + 1).map_or(Duration::MAX, |next| next.at.since(sample.at));
            readings.push(Reading {
                at: sample.at,
                latency: *sample.latency,
                health: sample.health,
                ticks: ticks(*sample.latency, until_next, interval),
                missing_since: readings.last().and_then(|before: &Reading<'_>| missing_between(before, sample.at, interval)),
                sample,
            });
        }
        Self { interval, readings }
    }

    /// Readings that began in `[from, to)`. A good answer that came after `to` is left out: it may be owed to what happened at `to`.
    pub fn window(&self, from: Timestamp, to: Timestamp) -> Vec<Reading<'a>> {
        let start = self.readings.partition_point(|reading| reading.at < from);
        let inside = self.readings[start..].iter().take_while(|reading| reading.at < to);
        inside.filter(|reading| reading.health != Health::Good || reading.done() <= to).copied().collect()
    }

    /// Readings that were over by `to`.
    pub fn before(&self, to: Timestamp) -> impl Iterator<Item = &Reading<'a>> {
        self.readings.iter().take_while(move |reading| reading.at < to).filter(move |reading| reading.done() <= to)
    }

    /// Counts what `readings` say of a window of that length.
    pub fn coverage(&self, readings: &[Reading<'_>], length: Duration) -> Coverage {
        let expected = u64::try_from(length.as_micros() / self.interval.as_micros().max(1)).unwrap_or(u64::MAX).max(1);
        let mut count = Coverage { expected, ..Coverage::default() };
        for reading in readings {
            let slot = match reading.health {
                Health::Good => &mut count.good,
                Health::Bad => &mut count.bad,
                Health::Unknown => &mut count.unknown,
            };
            *slot = slot.saturating_add(reading.ticks);
        }
        count.share = (count.known() as f64 / expected as f64).min(1.0);
        count
    }

    /// The figure of something first seen by `reading`; `unseen_since` is the last moment when it was known not to be so.
    pub fn figure(&self, from: Timestamp, reading: &Reading<'_>, unseen_since: Option<Timestamp>) -> Figure {
        let value = reading.at.since(from);
        let plus_minus = self.interval.saturating_add(reading.latency);
        let least = value.saturating_sub(plus_minus);
        let lower = unseen_since.map_or(least, |since| least.min(since.since(from)));
        Figure { value: Span(value), plus_minus: Span(plus_minus), lower: Span(lower), upper: Span(value.saturating_add(plus_minus)) }
    }
}

/// The first good reading at or after index `from` that begins `stable_for` of only good ones.
///
/// Shown by a good reading that began no earlier than `stable_for` after it, with nothing but good ones between: an unknown or a missing reading breaks
/// the stretch, since it is not a good one.
pub(super) fn stable(readings: &[Reading<'_>], from: usize, stable_for: Duration) -> Stable {
    let mut start = None;
    for (index, reading) in readings.iter().enumerate().skip(from) {
        if reading.health != Health::Good {
            start = None;
            continue;
        }
        let begin = match start {
            Some(begin) if reading.missing_since.is_none() => begin,
            _ => *start.insert(index),
        };
        if reading.at.since(readings[begin].at) >= stable_for {
            return Stable::Shown(begin);
        }
    }
    start.map_or(Stable::Never, Stable::Running)
}

/// The earliest instant at which a stable stretch after `from` *could* have begun, had every unknown or missing reading been good, with the latency of
/// the reading that begins it (0 when nobody could take it); none when the last word is bad.
pub(super) fn stable_at_best(readings: &[Reading<'_>], from: usize, stable_for: Duration) -> Option<(Timestamp, Duration)> {
    let mut start = None;
    for reading in &readings[from.min(readings.len())..] {
        if reading.health == Health::Bad {
            start = None;
            continue;
        }
        let begin = *start.get_or_insert(match (reading.missing_since, reading.health) {
            (Some(due), _) => (due, Duration::ZERO),
            (None, Health::Good) => (reading.at, reading.latency),
            (None, _) => (reading.at, Duration::ZERO),
        });
        if reading.at.since(begin.0) >= stable_for {
            return Some(begin);
        }
    }
    start
}

fn badness(health: Health) -> u8 {
    match health {
        Health::Bad => 0,
        Health::Unknown => 1,
        Health::Good => 2,
    }
}

/// A reading that took three intervals and kept the next two from being made stands for three: no gap, and not one sample of a bad stretch either.
fn ticks(latency: Duration, until_next: Duration, interval: Duration) -> u64 {
    let interval = interval.as_micros();
    let busy = latency.as_micros().div_ceil(interval);
    let free = (until_next.as_micros() + interval / 2) / interval;
    u64::try_from(busy.min(free)).unwrap_or(u64::MAX).max(1)
}

/// When the first missing sample between two readings was due; none when less than a whole tick is missing, which is jitter.
fn missing_between(before: &Reading<'_>, next: Timestamp, interval: Duration) -> Option<Timestamp> {
    let due = before.at.plus(interval.max(before.latency));
    (next > due && next.since(due) >= interval).then_some(due)
}
