//! When a schedule's runs start, and what follows from it: pure, `now` is an argument.

pub mod announce;
pub mod calendar;
pub mod decide;
pub mod rule;
#[cfg(test)]
mod simulation;
pub mod state;

use self::calendar::{Calendar, Coming, coming};
use self::rule::Rule;
use super::spec::DrillScheduleSpec;
use crate::clock::Timestamp;

/// The next `count` instants after `now` at which the schedule fires, in order.
///
/// A local time that daylight saving skips runs once, at the next valid instant; a repeated one runs once, the first time. Instants inside a
/// blackout are left out. A suspended schedule has none. Fewer than `count` when the calendar ends. The error says which field is wrong.
pub fn next_instants(schedule: &DrillScheduleSpec, now: Timestamp, count: usize) -> Result<Vec<Timestamp>, String> {
    let rule = Rule::of(schedule)?;
    if schedule.suspend {
        return Ok(Vec::new());
    }
    let mut instants = Vec::new();
    for one in coming(&rule, &Calendar::new(schedule, &[]), now, count) {
        match one {
            Coming::Start(at) => instants.push(at),
            Coming::LeftOut { closed, last: None, .. } => return Err(closed.reason),
            Coming::LeftOut { .. } => {}
        }
    }
    Ok(instants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn schedule(cron: &str, zone: &str) -> DrillScheduleSpec {
        let json = serde_json::json!({"drill": "d", "environment": "e", "cron": cron, "timeZone": zone});
        serde_json::from_value(json).unwrap()
    }

    fn next(spec: &DrillScheduleSpec, now: &str, count: usize) -> Vec<String> {
        let now = DateTime::parse_from_rfc3339(now).unwrap().with_timezone(&chrono::Utc).into();
        next_instants(spec, now, count).unwrap().iter().map(|at| at.utc().format("%Y-%m-%dT%H:%MZ").to_string()).collect()
    }

    #[test]
    fn the_second_tuesday_of_the_month_fires_at_ten_local_time() {
        let spec = schedule("0 10 * * TUE#2", "America/New_York");
        assert_eq!(next(&spec, "2026-10-01T00:00:00Z", 3), ["2026-10-13T14:00Z", "2026-11-10T15:00Z", "2026-12-08T15:00Z"]);
    }

    #[test]
    fn a_skipped_time_runs_once_at_the_next_valid_instant() {
        // 8 March 2026: 02:00 EST becomes 03:00 EDT (07:00Z).
        let spec = schedule("30 2 * * *", "America/New_York");
        assert_eq!(next(&spec, "2026-03-07T12:00:00Z", 2), ["2026-03-08T07:00Z", "2026-03-09T06:30Z"]);
    }

    #[test]
    fn a_repeated_time_runs_once() {
        // 1 November 2026: 02:00 EDT becomes 01:00 EST.
        let spec = schedule("30 1 * * *", "America/New_York");
        assert_eq!(next(&spec, "2026-10-31T12:00:00Z", 2), ["2026-11-01T05:30Z", "2026-11-02T06:30Z"]);
        let spec = schedule("30 * * * *", "America/New_York");
        assert_eq!(next(&spec, "2026-11-01T04:00:00Z", 3), ["2026-11-01T04:30Z", "2026-11-01T05:30Z", "2026-11-01T07:30Z"]);
    }

    #[test]
    fn the_instant_itself_is_not_after_it() {
        let spec = schedule("0 10 * * *", "UTC");
        assert_eq!(next(&spec, "2026-01-01T10:00:00Z", 1), ["2026-01-02T10:00Z"]);
        assert_eq!(next(&spec, "2026-01-01T09:59:59.999Z", 1), ["2026-01-01T10:00Z"]);
    }

    #[test]
    fn blackouts_are_left_out_and_a_suspended_schedule_never_fires() {
        let mut spec = schedule("0 0 * * *", "UTC");
        spec.blackouts = vec![serde_json::from_value(serde_json::json!({"from": "2026-11-26", "to": "2026-12-02", "reason": "peak week"})).unwrap()];
        assert_eq!(next(&spec, "2026-11-25T12:00:00Z", 1), ["2026-12-02T00:00Z"]);
        spec.suspend = true;
        assert!(next(&spec, "2026-11-25T12:00:00Z", 1).is_empty());
    }
}
