//! Offsets from the start of a drill, and the times of day in a zone that they are.

use std::time::Duration;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::clock::Timestamp;
use crate::drill::zone;

/// A moment of the game day, in microseconds from its start: before it, or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(i64);

impl Moment {
    /// So long before the start.
    #[must_use]
    pub fn before(length: Duration) -> Self {
        Self(-micros(length))
    }

    /// So long after it.
    #[must_use]
    pub fn after(length: Duration) -> Self {
        Self(micros(length))
    }

    /// `T+00:04:10`, `T−24:00:00`: hours, minutes, seconds. A part of a second counts as a whole one.
    #[must_use]
    pub fn offset(self) -> String {
        let (sign, seconds) = (if self.0 < 0 { '−' } else { '+' }, self.0.unsigned_abs().div_ceil(1_000_000));
        format!("T{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// When a drill starts, and in which zone people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    at: DateTime<Tz>,
}

impl Start {
    /// Reads `2026-12-08T10:00` in a zone, or an instant with its offset (`2026-12-08T10:00-05:00`, `…Z`), which without a zone is told in UTC.
    ///
    /// # Errors
    /// A sentence: no time, no zone, a time that the zone's clocks skip or show twice.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, String> {
        let zone = zone.map(zone::parse).transpose()?;
        // Seconds may be left out, as people do.
        let instant = ["%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%dT%H:%M%:z"].iter().find_map(|form| {
            let text = text.strip_suffix(['Z', 'z']).map_or_else(|| text.to_owned(), |text| format!("{text}+00:00"));
            DateTime::parse_from_str(&text, form).ok()
        });
        if let Some(instant) = instant {
            return Ok(Self { at: instant.with_timezone(&zone.unwrap_or(Tz::UTC)) });
        }
        let local = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"].iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        let local = local.ok_or_else(|| format!("'{text}' is no date and time; write it like 2026-12-08T10:00"))?;
        let zone = zone.ok_or_else(|| format!("'{text}' is in which zone? add --time-zone, like America/New_York, or write {text}Z for UTC"))?;
        match zone.from_local_datetime(&local) {
            LocalResult::Single(at) => Ok(Self { at }),
            LocalResult::None => Err(format!("there is no {text} in {zone}: clocks are put forward over it; choose another time")),
            LocalResult::Ambiguous(one, other) => Err(format!(
                "{text} comes twice in {zone}, when clocks are put back; say which with its offset: {} or {}",
                one.format("%Y-%m-%dT%H:%M%:z"),
                other.format("%Y-%m-%dT%H:%M%:z")
            )),
        }
    }

    /// A start that took place.
    ///
    /// # Errors
    /// A sentence: no zone.
    pub fn at(at: Timestamp, zone: Option<&str>) -> Result<Self, String> {
        Ok(Self { at: at.utc().with_timezone(&zone.map(zone::parse).transpose()?.unwrap_or(Tz::UTC)) })
    }

    /// The instant.
    #[must_use]
    pub fn instant(&self) -> Timestamp {
        self.at.with_timezone(&Utc).into()
    }

    /// `2026-12-08 10:00:00 EST`.
    #[must_use]
    pub fn text(&self) -> String {
        self.at.format("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// The same in UTC.
    #[must_use]
    pub fn utc(&self) -> String {
        self.at.with_timezone(&Utc).format("%Y-%m-%d %H:%M:%S UTC").to_string()
    }

    /// As `--start` takes it.
    #[must_use]
    pub fn written(&self) -> String {
        self.at.format("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// Name of the zone.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.at.timezone().name()
    }

    /// `10:04:10 EST`; with the date where it is another one than the start's.
    #[must_use]
    pub fn clock(&self, moment: Moment) -> String {
        let at = self.at + chrono::TimeDelta::microseconds(moment.0);
        // A part of a second counts as a whole one, as in the offset.
        let at = if at.timestamp_subsec_micros() > 0 {
            at + chrono::TimeDelta::microseconds(i64::from(1_000_000 - at.timestamp_subsec_micros()))
        } else {
            at
        };
        let form = if at.date_naive() == self.at.date_naive() { "%H:%M:%S %Z" } else { "%Y-%m-%d %H:%M:%S %Z" };
        at.format(form).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YORK: Option<&str> = Some("America/New_York");

    #[test]
    fn offsets_and_times_of_day_agree() {
        let start = Start::parse("2026-12-08T10:00", NEW_YORK).unwrap();
        assert_eq!((start.text().as_str(), start.utc().as_str()), ("2026-12-08 10:00:00 EST", "2026-12-08 15:00:00 UTC"));
        let later = Moment::after(Duration::from_millis(250_400));
        assert_eq!((later.offset().as_str(), start.clock(later).as_str()), ("T+00:04:11", "10:04:11 EST"));
        let before = Moment::before(Duration::from_hours(24));
        assert_eq!((before.offset().as_str(), start.clock(before).as_str()), ("T−24:00:00", "2026-12-07 10:00:00 EST"));
    }

    #[test]
    fn a_drill_across_the_autumn_fold_is_told_in_the_hour_that_the_clock_on_the_wall_shows() {
        let start = Start::parse("2026-11-01T01:50-04:00", NEW_YORK).unwrap();
        assert_eq!(start.text(), "2026-11-01 01:50:00 EDT");
        assert_eq!(start.clock(Moment::after(Duration::from_mins(20))), "01:10:00 EST");
    }

    #[test]
    fn a_time_that_is_none_or_two_is_refused_with_the_way_out() {
        assert!(Start::parse("2027-03-14T02:30", NEW_YORK).unwrap_err().contains("clocks are put forward"));
        assert!(Start::parse("2026-11-01T01:30", NEW_YORK).unwrap_err().contains("2026-11-01T01:30-04:00 or 2026-11-01T01:30-05:00"));
        assert!(Start::parse("2026-12-08T10:00", None).unwrap_err().contains("--time-zone"));
        assert!(Start::parse("tomorrow", NEW_YORK).unwrap_err().contains("write it like"));
        assert!(Start::parse("2026-12-08T10:00", Some("EST")).unwrap_err().contains("America/New_York"));
        assert_eq!(Start::parse("2026-12-08T10:00Z", None).unwrap().text(), "2026-12-08 10:00:00 UTC");
    }
}
