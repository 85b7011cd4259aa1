//! An objective's readings over time, as finely as a plot can show: each by itself while they are few, then counted in stretches.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Health;

/// Stretches kept at most; half of them are left when they are folded, still more than a plot has columns.
const MOST: usize = 2048;
/// Readings that a live view shows at most.
const RECENT: usize = 64;

/// Readings that began within one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// When the first of them began.
    pub from: Timestamp,
    /// When the last of them began.
    pub to: Timestamp,
    good: u32,
    bad: u32,
    unknown: u32,
}

impl Stretch {
    /// How many said so.
    #[must_use]
    pub fn count(&self, health: Health) -> u32 {
        match health {
            Health::Good => self.good,
            Health::Bad => self.bad,
            Health::Unknown => self.unknown,
        }
    }

    /// How many they are.
    #[must_use]
    pub fn all(&self) -> u64 {
        u64::from(self.good) + u64::from(self.bad) + u64::from(self.unknown)
    }

    /// Takes in what another one counted: nothing that was seen is forgotten.
    pub fn join(&mut self, other: &Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}

/// Readings over time, in bounded room however many there are.
#[derive(Debug, Clone, Default)]
pub struct Track {
    /// In order of time, none of them in the same cell.
    stretches: Vec<Stretch>,
    /// Width of a cell in microseconds; 0 while every instant is one by itself.
    width: i64,
    recent: VecDeque<Health>,
}

impl Track {
    /// Takes the next reading, in whatever order they come.
    pub fn take(&mut self, at: Timestamp, health: Health) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(health);
        let count = |one: Health| u32::from(one == health);
        let new = Stretch { from: at, to: at, good: count(Health::Good), bad: count(Health::Bad), unknown: count(Health::Unknown) };
        match self.stretches.last_mut() {
            Some(last) if cell(last.from, self.width) == cell(at, self.width) => last.join(&new),
            Some(last) if last.from > at => self.insert(&new),
            _ => self.stretches.push(new),
        }
        // Not one more: a list that grows takes twice its room.
        if self.stretches.len() == MOST {
            self.fold();
        }
    }

    fn insert(&mut self, new: &Stretch) {
        let wanted = cell(new.from, self.width);
        match self.stretches.binary_search_by_key(&wanted, |stretch| cell(stretch.from, self.width)) {
            Ok(index) => self.stretches[index].join(new),
            Err(index) => self.stretches.insert(index, *new),
        }
    }

    fn fold(&mut self) {
        let (Some(first), Some(last)) = (self.stretches.first(), self.stretches.last()) else { return };
        let span = i64::try_from(last.from.since(first.from).as_micros()).unwrap_or(i64::MAX);
        self.width = (span / (MOST as i64 / 2)).max(self.width.saturating_mul(2)).max(1);
        let width = self.width;
        self.stretches.dedup_by(|next, kept| {
            let same = cell(next.from, width) == cell(kept.from, width);
            if same {
                kept.join(next);
            }
            same
        });
    }

    /// The stretches in order of time; [`Track::exact`] says whether each is one instant.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Every instant is a stretch by itself.
    #[must_use]
    pub fn exact(&self) -> bool {
        self.width == 0
    }

    /// The longest that a stretch can be.
    #[must_use]
    pub fn resolution(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.width).unwrap_or(0))
    }

    /// What the last readings said, in order of arrival.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = Health> + '_ {
        self.recent.iter().copied()
    }
}

fn cell(at: Timestamp, width: i64) -> i64 {
    if width == 0 { at.0 } else { at.0.div_euclid(width) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(track: &Track, health: Health) -> u64 {
        track.stretches().iter().map(|stretch| u64::from(stretch.count(health))).sum()
    }

    #[test]
    fn one_bad_reading_among_a_million_is_still_there() {
        let mut track = Track::default();
        for n in 0..1_000_000 {
            track.take(Timestamp(n * 1000), if n == 777_777 { Health::Bad } else { Health::Good });
        }
        assert!(track.stretches().len() <= MOST && track.stretches().len() > MOST / 4, "{}", track.stretches().len());
        assert_eq!((total(&track, Health::Good), total(&track, Health::Bad)), (999_999, 1));
        let bad = track.stretches().iter().find(|stretch| stretch.count(Health::Bad) > 0).unwrap();
        assert!(bad.from <= Timestamp(777_777_000) && bad.to >= Timestamp(777_777_000), "it is where it was");
    }

    #[test]
    fn readings_out_of_order_and_at_one_instant_are_counted() {
        let mut track = Track::default();
        for n in [5, 3, 4, 3, 9, 1] {
            track.take(Timestamp(n), Health::Good);
        }
        track.take(Timestamp(3), Health::Unknown);
        assert!(track.exact());
        assert_eq!(track.stretches().iter().map(|it| (it.from.0, it.all())).collect::<Vec<_>>(), [(1, 1), (3, 3), (4, 1), (5, 1), (9, 1)]);
    }

    #[test]
    fn any_order_counts_the_same_and_stays_sorted() {
        let mut track = Track::default();
        for n in 0..20_000_u64 {
            let at = i64::try_from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).unwrap();
            track.take(Timestamp(at), if n % 7 == 0 { Health::Bad } else { Health::Good });
        }
        assert_eq!(total(&track, Health::Bad), 2858);
        assert!(track.stretches().is_sorted_by_key(|stretch| stretch.from) && track.stretches().len() <= MOST);
    }
}
