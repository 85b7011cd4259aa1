//! Freezes and blackouts: times in which no run starts, and the next instant at which one may.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Tz;

use super::spec::Freeze;
use super::zone;
use crate::clock::Timestamp;

/// The instants of a freeze: the first in it, and the first after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
}

/// Why no run starts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The freeze's reason.
    pub reason: String,
    /// The next instant at which a run may start; none when the freeze cannot be read (it then holds: fail closed).
    pub until: Option<Timestamp>,
}

impl std::fmt::Display for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.until {
            Some(until) => write!(f, "a freeze is on ({}); a run may start from {}", self.reason, until.utc().format("%Y-%m-%dT%H:%M:%SZ")),
            None => write!(f, "a freeze is on ({})", self.reason),
        }
    }
}

/// The freeze that holds at `now`, with the next instant that none of them covers.
///
/// Dates need a zone: the freeze's own. Those of schedules that have none take the schedule's, by [`active_in`].
#[must_use]
pub fn active(freezes: &[Freeze], now: Timestamp) -> Option<Frozen> {
    active_in(freezes, None, now)
}

/// The same, for freezes that take `zone` where they name none.
#[must_use]
pub fn active_in(freezes: &[Freeze], zone: Option<&str>, now: Timestamp) -> Option<Frozen> {
    let mut windows = Vec::new();
    for freeze in freezes {
        match window(freeze, zone) {
            Ok(window) => windows.push((window, &freeze.reason)),
            Err(error) => return Some(Frozen { reason: format!("{}: {error}", freeze.reason), until: None }),
        }
    }
    let covering = |at: Timestamp| windows.iter().find(|(window, _)| window.from <= at && at < window.to);
    let (first, reason) = covering(now)?;
    let mut until = first.to;
    // One freeze may end inside another.
    while let Some((next, _)) = covering(until) {
        until = next.to;
    }
    Some(Frozen { reason: (*reason).clone(), until: Some(until) })
}

/// The instants of a freeze. The error says what is wrong with which end.
pub fn window(freeze: &Freeze, default_zone: Option<&str>) -> Result<Window, String> {
    let zone = freeze.time_zone.as_deref().or(default_zone).map(zone::parse).transpose()?;
    let from = instant(&freeze.from, zone, false)?;
    let to = instant(&freeze.to, zone, true)?;
    if from < to { Ok(Window { from, to }) } else { Err(format!("'to' ({}) is not after 'from' ({})", freeze.to, freeze.from)) }
}

/// An end of a freeze: a date (midnight in the zone) or an RFC 3339 instant. A midnight that comes twice makes the freeze longer.
pub fn instant(text: &str, zone: Option<Tz>, end: bool) -> Result<Timestamp, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&chrono::Utc).into());
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| format!("'{}' is neither a date (2026-11-26) nor an instant (2026-11-26T10:00:00Z)", super::suggest::short(text)))?;
    let zone = zone.ok_or_else(|| format!("the date {text} needs a timeZone"))?;
    midnight(date, zone, end).ok_or_else(|| format!("'{text}' is outside the calendar"))
}

fn midnight(date: NaiveDate, zone: Tz, late: bool) -> Option<Timestamp> {
    let local = date.and_time(NaiveTime::MIN);
    let found = zone.from_local_datetime(&local);
    let at = if late { found.latest() } else { found.earliest() };
    // Where clocks go forward at midnight, the day begins with the first time that exists.
    at.or_else(|| (1..=24).find_map(|quarter| zone.from_local_datetime(&(local + chrono::Duration::minutes(15 * quarter))).earliest()))
        .or_else(|| zone.from_local_datetime(&date.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN)).earliest())
        .map(|at| at.with_timezone(&chrono::Utc).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(from: &str, to: &str, zone: Option<&str>) -> Freeze {
        Freeze { from: from.to_owned(), to: to.to_owned(), time_zone: zone.map(str::to_owned), reason: "peak week".to_owned() }
    }

    fn at(text: &str) -> Timestamp {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&chrono::Utc).into()
    }

    #[test]
    fn a_freeze_holds_from_its_first_midnight_to_its_last_and_says_when_it_ends() {
        let freezes = [freeze("2026-11-26", "2026-12-02", Some("America/New_York"))];
        assert_eq!(active(&freezes, at("2026-11-26T04:59:59Z")), None);
        let held = active(&freezes, at("2026-11-26T05:00:00Z")).unwrap();
        assert_eq!(held.until, Some(at("2026-12-02T05:00:00Z")));
        assert_eq!(held.to_string(), "a freeze is on (peak week); a run may start from 2026-12-02T05:00:00Z");
        assert_eq!(active(&freezes, at("2026-12-02T05:00:00Z")), None);
    }

    #[test]
    fn overlapping_freezes_end_with_the_last() {
        let freezes = [freeze("2026-12-01", "2026-12-05", Some("UTC")), freeze("2026-12-04T12:00:00Z", "2026-12-10T00:00:00Z", None)];
        assert_eq!(active(&freezes, at("2026-12-02T00:00:00Z")).unwrap().until, Some(at("2026-12-10T00:00:00Z")));
    }

    #[test]
    fn a_freeze_that_cannot_be_read_holds() {
        assert_eq!(active(&[freeze("soon", "later", Some("UTC"))], at("2026-12-02T00:00:00Z")).unwrap().until, None);
    }

    #[test]
    fn ends_in_the_wrong_order_and_dates_without_a_zone_are_refused() {
        assert!(window(&freeze("2026-12-02", "2026-11-26", Some("UTC")), None).unwrap_err().contains("is not after"));
        assert!(window(&freeze("2026-12-02", "2026-12-02", Some("UTC")), None).unwrap_err().contains("is not after"));
        assert!(window(&freeze("2026-12-02", "2026-12-03", None), None).unwrap_err().contains("needs a timeZone"));
        assert!(window(&freeze("2026-12-02", "2026-12-03", None), Some("Europe/Berlin")).is_ok());
        assert!(window(&freeze("2026-02-30", "2026-12-03", Some("UTC")), None).unwrap_err().contains("neither a date"));
    }

    #[test]
    fn a_day_that_begins_late_begins_with_its_first_time() {
        // Cairo goes forward at midnight of 24 April 2026: the day begins at 01:00 local, 22:00 UTC.
        assert_eq!(instant("2026-04-24", Some(Tz::Africa__Cairo), false), Ok(at("2026-04-23T22:00:00Z")));
    }
}
