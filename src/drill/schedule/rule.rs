//! The instants of a cron expression in a zone, daylight saving included.
//!
//! croner is asked for local times only, on a calendar without daylight saving; each becomes an instant here. Its own rule differs: it drops a skipped
//! time of every expression with more than one minute or hour (`0 2,14 * * *`), which would be a drill that silently does not happen.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use croner::Cron;

use crate::clock::Timestamp;
use crate::drill::spec::DrillScheduleSpec;
use crate::drill::{cron, zone};

/// Longest gap in local times, in minutes: a zone may leave out a day when it crosses the date line.
const LONGEST_GAP: i64 = 2 * 24 * 60;
/// Where a search backwards begins, in microseconds; it doubles.
const FIRST_STEP: i64 = 3_600_000_000;

/// When a schedule fires, before anything is taken away.
///
/// A local time that daylight saving skips fires once, at the next valid instant; a repeated one fires once, the first time.
#[derive(Debug, Clone)]
pub struct Rule {
    cron: Cron,
    zone: Tz,
}

/// What daylight saving did to an instant of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// Local times of the rule that do not exist that day fire at this instant: the first of them, and how many there are.
    Skipped {
        /// The first.
        first: NaiveDateTime,
        /// How many.
        count: usize,
    },
    /// The local time comes twice; this is the first, and the second does not fire.
    Repeated,
}

impl Rule {
    /// The rule of a schedule. The error says which field is wrong.
    pub fn of(schedule: &DrillScheduleSpec) -> Result<Self, String> {
        Self::parse(&schedule.cron, &schedule.time_zone)
    }

    /// The rule of an expression and a zone. The error says which of them is wrong.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self, String> {
        let zone = zone::parse(time_zone)?;
        let cron = cron::parse(expression).map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.message).collect::<Vec<_>>().join("; "))?;
        Ok(Self { cron, zone })
    }

    /// The instant as people in the schedule's zone read it.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> DateTime<Tz> {
        self.zone.from_utc_datetime(&at.utc().naive_utc())
    }

    /// The first instant after `after`; none when the calendar ends.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        #[cfg(test)]
        tests::STEPS.with(|steps| steps.set(steps.get() + 1));
        // Instants come in the order of their local times, and this local time is not after `after`: no instant is lost before it.
        let mut local = self.local(after).naive_local();
        loop {
            let next = self.cron.find_next_occurrence(&local.and_utc(), false).ok()?.naive_utc();
            if next <= local {
                return None;
            }
            // Not after `after`: the second half of a repeated hour, whose local times have fired.
            match self.instant(next)? {
                at if at > after => return Some(at),
                _ => local = next,
            }
        }
    }

    /// The last instant after `after` and not after `until`. Its cost does not depend on how many lie between.
    #[must_use]
    pub fn last(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let within = |from: Timestamp| self.next(from).filter(|next| *next <= until);
        let mut step = FIRST_STEP;
        let mut found = loop {
            let from = Timestamp(until.0.saturating_sub(step)).max(after);
            match within(from) {
                Some(next) => break next,
                None if from == after => return None,
                None => step = step.saturating_mul(2),
            }
        };
        let mut none_after = until;
        while let Some(next) = within(found) {
            found = next;
            let middle = Timestamp(found.0 + (none_after.0 - found.0) / 2);
            match within(middle) {
                Some(next) => found = next,
                None => none_after = middle,
            }
        }
        Some(found)
    }

    /// How many instants there are after `after` and not after `until`, counted up to `most`.
    #[must_use]
    pub fn count(&self, after: Timestamp, until: Timestamp, most: usize) -> usize {
        self.from(after).take_while(|at| *at <= until).take(most).count()
    }

    /// The instants after `after`, in order.
    pub fn from(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after), |at| self.next(*at))
    }

    /// What daylight saving did to this instant of the rule.
    #[must_use]
    pub fn shift(&self, at: Timestamp) -> Option<Shift> {
        let local = self.local(at).naive_local();
        match self.zone.from_local_datetime(&local) {
            chrono::LocalResult::Ambiguous(..) => return Some(Shift::Repeated),
            chrono::LocalResult::Single(_) | chrono::LocalResult::None => {}
        }
        let minutes = (1..=LONGEST_GAP).map(|minutes| local - TimeDelta::minutes(minutes));
        let gap = minutes.take_while(|minute| self.zone.from_local_datetime(minute) == chrono::LocalResult::None);
        let skipped: Vec<NaiveDateTime> = gap.filter(|minute| self.cron.is_time_matching(&minute.and_utc()).unwrap_or(false)).collect();
        skipped.last().map(|first| Shift::Skipped { first: *first, count: skipped.len() })
    }

    /// The instant of a local time: its first, or the end of the gap that it lies in.
    fn instant(&self, local: NaiveDateTime) -> Option<Timestamp> {
        let minutes = (0..=LONGEST_GAP).map(|minutes| local + TimeDelta::minutes(minutes));
        let at = minutes.filter_map(|minute| self.zone.from_local_datetime(&minute).earliest()).next()?;
        Some(at.to_utc().into())
    }
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// Times that the calendar was searched: the measure of work that no clock can make flaky.
        pub static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    pub fn at(text: &str) -> Timestamp {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc().into()
    }

    fn from(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let rule = Rule::parse(expression, zone).unwrap();
        rule.from(at(after)).take(count).map(|at| at.utc().format("%dT%H:%MZ").to_string()).collect()
    }

    #[test]
    fn every_skipped_time_runs_not_only_those_of_one_hour_and_minute() {
        // 8 March 2026: 02:00 EST becomes 03:00 EDT (07:00Z).
        assert_eq!(from("0 2,14 * * *", "America/New_York", "2026-03-07T20:00:00Z", 3), ["08T07:00Z", "08T18:00Z", "09T06:00Z"]);
        // 02:00 and 02:30 run once together, at 03:00.
        assert_eq!(from("*/30 2 * * *", "America/New_York", "2026-03-07T20:00:00Z", 3), ["08T07:00Z", "09T06:00Z", "09T06:30Z"]);
        // What is due at 03:00 anyway runs once too.
        assert_eq!(from("0 2,3 * * *", "America/New_York", "2026-03-07T20:00:00Z", 2), ["08T07:00Z", "09T06:00Z"]);
        assert_eq!(from("*/20 * * * *", "America/New_York", "2026-03-08T06:30:00Z", 3), ["08T06:40Z", "08T07:00Z", "08T07:20Z"]);
    }

    #[test]
    fn a_skipped_midnight_runs_when_the_day_begins() {
        // Cairo goes forward at midnight of Friday, 24 April 2026.
        assert_eq!(from("0 0 * * FRI", "Africa/Cairo", "2026-04-22T00:00:00Z", 2), ["23T22:00Z", "30T21:00Z"]);
    }

    #[test]
    fn a_day_that_a_zone_left_out_runs_when_the_next_begins() {
        // Samoa had no 30 December 2011.
        assert_eq!(from("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1), ["30T10:00Z"]);
    }

    #[test]
    fn asked_in_the_second_of_two_equal_hours_the_first_is_over() {
        // 1 November 2026: 01:00 to 02:00 comes at 05:00Z and again at 06:00Z.
        assert_eq!(from("30 1 * * *", "America/New_York", "2026-11-01T06:10:00Z", 1), ["02T06:30Z"]);
        assert_eq!(from("*/20 * * * *", "America/New_York", "2026-11-01T06:10:00Z", 1), ["01T07:00Z"]);
    }

    #[test]
    fn what_daylight_saving_did_is_known() {
        let rule = Rule::parse("0,30 2 * * *", "America/New_York").unwrap();
        let first = at("2026-03-08T02:00:00Z").utc().naive_utc();
        assert_eq!(rule.shift(at("2026-03-08T07:00:00Z")), Some(Shift::Skipped { first, count: 2 }));
        assert_eq!(rule.shift(at("2026-03-09T06:00:00Z")), None);
        let rule = Rule::parse("30 1 * * *", "America/New_York").unwrap();
        assert_eq!(rule.shift(at("2026-11-01T05:30:00Z")), Some(Shift::Repeated));
        // The day of the gap, after the gap: nothing of this rule was skipped.
        let rule = Rule::parse("0 3 * * *", "America/New_York").unwrap();
        assert_eq!(rule.shift(at("2026-03-08T07:00:00Z")), None);
    }

    #[test]
    fn the_last_of_a_million_instants_is_found_without_walking_them() {
        STEPS.with(|steps| steps.set(0));
        let rule = Rule::parse("* * * * *", "America/New_York").unwrap();
        assert_eq!(rule.last(at("2020-01-01T00:00:00Z"), at("2026-06-01T00:00:30Z")), Some(at("2026-06-01T00:00:00Z")));
        let rule = Rule::parse("0 0 29 2 *", "UTC").unwrap();
        assert_eq!(rule.last(at("1990-01-01T00:00:00Z"), at("2026-06-01T00:00:30Z")), Some(at("2024-02-29T00:00:00Z")));
        assert_eq!(rule.last(at("2024-02-29T00:00:00Z"), at("2026-06-01T00:00:30Z")), None);
        let steps = STEPS.with(Cell::get);
        assert!(steps < 200, "{steps} searches");
    }

    const ZONES: [&str; 8] = [
        "UTC",
        "America/New_York",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Africa/Casablanca",
        "America/Santiago",
        "Pacific/Chatham",
    ];
    const EXPRESSIONS: [&str; 9] = [
        "30 2 * * *",
        "*/7 * * * *",
        "0,30 1-3 * * *",
        "0 10 * * TUE#2",
        "15 0 L * *",
        "0 0 * * SUN",
        "45 23 * * SAT#L",
        "0 2,14 1-7 3,4,9,10,11 *",
        "59 1 * * FRI-SUN",
    ];

    /// All instants of some days by the words of the documents alone: each local minute that matches, at its first instant or the end of its gap.
    fn by_the_words(rule: &Rule, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut found: Vec<Timestamp> = Vec::new();
        let mut minute = from.utc().date_naive().and_time(chrono::NaiveTime::MIN) - TimeDelta::days(2);
        while minute < to.utc().naive_utc() + TimeDelta::days(2) {
            if rule.cron.is_time_matching(&minute.and_utc()).unwrap() {
                let mut later = minute;
                while rule.zone.from_local_datetime(&later) == chrono::LocalResult::None {
                    later += TimeDelta::minutes(1);
                }
                found.push(rule.zone.from_local_datetime(&later).earliest().unwrap().to_utc().into());
            }
            minute += TimeDelta::minutes(1);
        }
        found.dedup();
        found.retain(|at| from < *at && *at <= to);
        found
    }

    /// The day of 2026 before clocks change, from 0.
    const CHANGES: [(&str, i64); 14] = [
        ("America/New_York", 65),
        ("America/New_York", 303),
        ("Europe/Berlin", 86),
        ("Europe/Berlin", 296),
        ("Australia/Lord_Howe", 93),
        ("Australia/Lord_Howe", 275),
        ("Africa/Cairo", 112),
        ("Africa/Cairo", 300),
        ("Africa/Casablanca", 44),
        ("Africa/Casablanca", 79),
        ("America/Santiago", 93),
        ("America/Santiago", 247),
        ("Pacific/Chatham", 93),
        ("Pacific/Chatham", 268),
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_instants_are_those_of_the_words_from_whichever_moment_one_asks(
            (zone, day) in prop_oneof![1 => (prop::sample::select(&ZONES[..]), 0i64..365), 3 => prop::sample::select(&CHANGES[..])],
            expression in prop::sample::select(&EXPRESSIONS[..]), offset in 0i64..86_400, asked in prop::collection::vec(0i64..4 * 86_400, 4),
        ) {
            let rule = Rule::parse(expression, zone).unwrap();
            let from = Timestamp(at("2026-01-01T00:00:00Z").0 + (day * 86_400 + offset) * 1_000_000);
            let to = Timestamp(from.0 + 4 * 86_400 * 1_000_000);
            let expected = by_the_words(&rule, from, to);
            prop_assert_eq!(rule.from(from).take_while(|at| *at <= to).collect::<Vec<_>>(), expected.clone());
            // Often enough to ask in the hour that comes twice.
            for moment in (0..4 * 86_400).step_by(1_020).map(|seconds| Timestamp(from.0 + seconds * 1_000_000)) {
                prop_assert_eq!(rule.next(moment).filter(|next| *next <= to), expected.iter().copied().find(|at| *at > moment));
            }
            for moment in asked.into_iter().map(|seconds| Timestamp(from.0 + seconds * 1_000_000)) {
                prop_assert_eq!(rule.next(moment).filter(|next| *next <= to), expected.iter().copied().find(|at| *at > moment));
                prop_assert_eq!(rule.last(from, moment), expected.iter().copied().rfind(|at| *at <= moment));
            }
        }
    }
}
