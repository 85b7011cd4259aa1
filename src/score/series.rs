//! The readings of one objective in order of time, and what can be counted and found in them.

use std::borrow::Cow;
use std::time::Duration;

use super::card::{Coverage, Figure};
use crate::clock::{Span, Timestamp};
use crate::event::{Health, MissingWrite, Sample};

/// Stands for "nothing is missing" where an instant is kept in eight bytes.
const NOTHING: i64 = i64::MIN;
/// The read of a canary failed, or there was none.
const UNREAD: u32 = 0;

/// A reading, placed in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub at: Timestamp,
    /// In microseconds.
    latency: u64,
    missing_since: i64,
    ticks: u32,
    /// Which of the lists of missing writes, from 1; [`UNREAD`] is none.
    missing: u32,
    pub health: Health,
    /// A canary write of this tick was acknowledged.
    pub acknowledged: bool,
}

impl Reading {
    /// How long it took.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency)
    }

    /// When its answer was there.
    pub fn done(&self) -> Timestamp {
        self.at.plus(self.latency())
    }

    /// How many expected samples it stands for: 1, or the ticks that it kept the probe busy.
    pub fn ticks(&self) -> u64 {
        self.ticks.into()
    }

    /// At least one expected sample before it is missing: when that was due.
    pub fn missing_since(&self) -> Option<Timestamp> {
        (self.missing_since != NOTHING).then_some(Timestamp(self.missing_since))
    }
}

/// A reading as it arrived, in 16 bytes.
#[derive(Debug, Clone, Copy)]
struct Small {
    at: Timestamp,
    /// Microseconds of latency above three bits: acknowledged, and what it said.
    rest: u64,
}

impl Small {
    fn of(sample: &Sample) -> Self {
        let latency = u64::try_from(sample.latency.as_micros()).unwrap_or(u64::MAX).min(u64::MAX >> 3);
        let acknowledged = sample.canary.as_ref().is_some_and(|canary| canary.acknowledged.is_some());
        Self { at: sample.at, rest: latency << 3 | u64::from(acknowledged) << 2 | u64::from(badness(sample.health)) }
    }

    fn reading(self, missing: u32) -> Reading {
        let health = match self.rest & 3 {
            0 => Health::Bad,
            1 => Health::Unknown,
            _ => Health::Good,
        };
        Reading { at: self.at, latency: self.rest >> 3, missing_since: NOTHING, ticks: 1, missing, health, acknowledged: self.rest & 4 != 0 }
    }
}

/// An objective's readings in order of arrival, without the texts that scoring does not read.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrived {
    readings: Vec<Small>,
    /// What canary reads could not show, from which reading on: after a loss every read names the same writes.
    changes: Vec<(usize, u32)>,
    lists: Vec<Vec<MissingWrite>>,
}

impl Arrived {
    /// Takes the next one.
    pub fn take(&mut self, sample: &Sample) {
        let missing = sample.canary.as_ref().and_then(|canary| canary.missing.as_deref());
        let list = missing.map_or(UNREAD, |missing| self.list(missing));
        if self.changes.last().map_or(UNREAD, |(_, last)| *last) != list {
            self.changes.push((self.readings.len(), list));
        }
        self.readings.push(Small::of(sample));
    }

    fn list(&mut self, missing: &[MissingWrite]) -> u32 {
        if self.lists.last().is_none_or(|last| last != missing) {
            self.lists.push(missing.to_vec());
        }
        u32::try_from(self.lists.len()).unwrap_or(u32::MAX)
    }

    fn into_readings(self) -> (Vec<Reading>, Vec<Vec<MissingWrite>>) {
        let mut readings = Vec::with_capacity(self.readings.len());
        let mut changes = self.changes.iter().peekable();
        let mut list = UNREAD;
        for (index, small) in self.readings.iter().enumerate() {
            if let Some((_, next)) = changes.next_if(|(from, _)| *from == index) {
                list = *next;
            }
            readings.push(small.reading(list));
        }
        (readings, self.lists)
    }
}

/// Readings in order of time, one an instant.
#[derive(Debug)]
pub(super) struct Series {
    pub interval: Duration,
    pub readings: Vec<Reading>,
    missing: Vec<Vec<MissingWrite>>,
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

impl Series {
    /// Sorts the readings. Of several at one instant the worst counts: bad, then unknown.
    pub fn of(arrived: Arrived, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_micros(1));
        let (mut readings, missing) = arrived.into_readings();
        let order = |reading: &Reading| (reading.at, badness(reading.health));
        // Most streams are in order already, and sorting takes room.
        if !readings.is_sorted_by_key(order) {
            readings.sort_by_key(order);
        }
        readings.dedup_by_key(|reading| reading.at);
        for index in 0..readings.len() {
            let until_next = readings.get(index + 1).map_or(Duration::MAX, |next| next.at.since(readings[index].at));
            let due = index.checked_sub(1).and_then(|before| missing_between(&readings[before], readings[index].at, interval));
            let reading = &mut readings[index];
            reading.ticks = ticks(reading.latency(), until_next, interval);
            reading.missing_since = due.map_or(NOTHING, |due| due.0);
        }
        Self { interval, readings, missing }
    }

    /// Readings that began in `[from, to)`. A good answer that came after `to` is left out: it may be owed to what happened at `to`.
    pub fn window(&self, from: Timestamp, to: Timestamp) -> Cow<'_, [Reading]> {
        let start = self.readings.partition_point(|reading| reading.at < from);
        let end = self.readings.partition_point(|reading| reading.at < to).max(start);
        let inside = &self.readings[start..end];
        let late = |reading: &Reading| reading.health == Health::Good && reading.done() > to;
        // They can only be at the end: when it is only the last ones, the rest is borrowed.
        match inside.iter().position(late) {
            None => Cow::Borrowed(inside),
            Some(first) if inside[first..].iter().all(late) => Cow::Borrowed(&inside[..first]),
            Some(_) => Cow::Owned(inside.iter().filter(|reading| !late(reading)).copied().collect()),
        }
    }

    /// Readings that were over by `to`.
    pub fn before(&self, to: Timestamp) -> impl Iterator<Item = &Reading> {
        self.readings.iter().take_while(move |reading| reading.at < to).filter(move |reading| reading.done() <= to)
    }

    /// What a canary's read could not show; none when the read failed.
    pub fn missing(&self, reading: &Reading) -> Option<&[MissingWrite]> {
        self.missing.get(usize::try_from(reading.missing.checked_sub(1)?).ok()?).map(Vec::as_slice)
    }

    /// Counts what `readings` say of a window of that length.
    pub fn coverage(&self, readings: &[Reading], length: Duration) -> Coverage {
        let expected = u64::try_from(length.as_micros() / self.interval.as_micros().max(1)).unwrap_or(u64::MAX).max(1);
        let mut count = Coverage { expected, ..Coverage::default() };
        for reading in readings {
            let slot = match reading.health {
                Health::Good => &mut count.good,
                Health::Bad => &mut count.bad,
                Health::Unknown => &mut count.unknown,
            };
            *slot = slot.saturating_add(reading.ticks());
        }
        count.share = (count.known() as f64 / expected as f64).min(1.0);
        count
    }

    /// The figure of something first seen by `reading`; `unseen_since` is the last moment when it was known not to be so.
    pub fn figure(&self, from: Timestamp, reading: &Reading, unseen_since: Option<Timestamp>) -> Figure {
        let value = reading.at.since(from);
        let plus_minus = self.interval.saturating_add(reading.latency());
        let least = value.saturating_sub(plus_minus);
        let lower = unseen_since.map_or(least, |since| least.min(since.since(from)));
        Figure { value: Span(value), plus_minus: Span(plus_minus), lower: Span(lower), upper: Span(value.saturating_add(plus_minus)) }
    }
}

/// The first good reading at or after index `from` that begins `stable_for` of only good ones.
///
/// Shown by a good reading that began no earlier than `stable_for` after it, with nothing but good ones between: an unknown or a missing reading breaks
/// the stretch, since it is not a good one.
pub(super) fn stable(readings: &[Reading], from: usize, stable_for: Duration) -> Stable {
    let mut start = None;
    for (index, reading) in readings.iter().enumerate().skip(from) {
        if reading.health != Health::Good {
            start = None;
            continue;
        }
        let begin = match start {
            Some(begin) if reading.missing_since().is_none() => begin,
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
pub(super) fn stable_at_best(readings: &[Reading], from: usize, stable_for: Duration) -> Option<(Timestamp, Duration)> {
    let mut start = None;
    for reading in &readings[from.min(readings.len())..] {
        if reading.health == Health::Bad {
            start = None;
            continue;
        }
        let begin = *start.get_or_insert(match (reading.missing_since(), reading.health) {
            (Some(due), _) => (due, Duration::ZERO),
            (None, Health::Good) => (reading.at, reading.latency()),
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
fn ticks(latency: Duration, until_next: Duration, interval: Duration) -> u32 {
    let interval = interval.as_micros();
    let busy = latency.as_micros().div_ceil(interval);
    let free = (until_next.as_micros() + interval / 2) / interval;
    u32::try_from(busy.min(free)).unwrap_or(u32::MAX).max(1)
}

/// When the first missing sample between two readings was due; none when less than a whole tick is missing, which is jitter.
fn missing_between(before: &Reading, next: Timestamp, interval: Duration) -> Option<Timestamp> {
    let due = before.at.plus(interval.max(before.latency()));
    (next > due && next.since(due) >= interval).then_some(due)
}
