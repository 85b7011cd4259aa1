//! Reads the one event that runs have millions of, in exactly the form in which this build writes it; everything else is left to the general reader.

use std::time::Duration;

use chrono::NaiveDate;

use crate::clock::{Span, Timestamp};
use crate::event::{CanarySample, EVENT_VERSION, Event, Health, MissingWrite, RunEvent, Sample};

/// Length of `2026-11-22T10:00:00.000000Z`.
const INSTANT: usize = 27;

/// Reads events; remembers the day of the last one, which the next one most often shares.
#[derive(Debug, Default)]
pub struct Samples {
    day: Option<([u8; 10], i64)>,
}

impl Samples {
    /// The event, when it is a sample in the plain form; none says nothing about the text.
    pub fn read(&mut self, text: &str) -> Option<RunEvent> {
        let mut rest = Rest { text: text.as_bytes(), samples: self };
        rest.skip(b"{\"v\":")?;
        let v = u32::try_from(rest.number()?).ok().filter(|v| *v == EVENT_VERSION)?;
        rest.skip(b",\"seq\":")?;
        let seq = rest.number()?;
        rest.skip(b",\"at\":")?;
        let at = rest.instant()?;
        rest.skip(b",\"type\":\"sample\",\"objective\":")?;
        let objective = rest.string()?.to_owned();
        rest.skip(b",\"began\":")?;
        let began = rest.instant()?;
        rest.skip(b",\"latency\":")?;
        let latency = rest.seconds()?;
        rest.skip(b",\"health\":")?;
        let health = match rest.string()? {
            "good" => Health::Good,
            "bad" => Health::Bad,
            "unknown" => Health::Unknown,
            _ => return None,
        };
        rest.skip(b",\"detail\":")?;
        let detail = rest.unless_null(|rest| rest.string().map(str::to_owned))?;
        rest.skip(b",\"canary\":")?;
        let canary = rest.unless_null(Rest::canary)?;
        rest.skip(b"}")?;
        let sample = Sample { objective, at: began, latency, health, detail, canary };
        rest.text.is_empty().then_some(RunEvent { v, seq, at, body: Event::Sample(sample) })
    }
}

/// What is left to read.
struct Rest<'t, 's> {
    text: &'t [u8],
    samples: &'s mut Samples,
}

impl<'t> Rest<'t, '_> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.text = self.text.strip_prefix(expected)?;
        Some(())
    }

    fn unless_null<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.skip(b"null").is_some() { Some(None) } else { read(self).map(Some) }
    }

    /// Digits, without a sign, a leading zero, a fraction.
    fn number(&mut self) -> Option<u64> {
        let digits = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.text.split_at(digits);
        if digits == 0 || digits > 19 || (digits > 1 && number[0] == b'0') {
            return None;
        }
        self.text = rest;
        Some(number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    }

    /// A text without escapes.
    fn string(&mut self) -> Option<&'t str> {
        self.skip(b"\"")?;
        let end = self.text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let (text, rest) = self.text.split_at(end);
        self.text = rest;
        self.skip(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    /// Seconds with at most six digits after the point: whole microseconds, so that no rounding is needed.
    fn seconds(&mut self) -> Option<Span> {
        let whole = self.number()?;
        self.skip(b".")?;
        let digits = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&digits) || whole >= 1_000_000_000 {
            return None;
        }
        let (fraction, rest) = self.text.split_at(digits);
        self.text = rest;
        // An exponent follows: not the plain form.
        if matches!(rest.first(), Some(b'e' | b'E')) {
            return None;
        }
        let micros = fraction.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')) * 10_u64.pow(u32::try_from(6 - digits).ok()?);
        Some(Span(Duration::from_micros(whole * 1_000_000 + micros)))
    }

    fn instant(&mut self) -> Option<Timestamp> {
        self.skip(b"\"")?;
        let (text, rest) = self.text.split_at_checked(INSTANT)?;
        let two = |at: usize| Some(10 * digit(text[at])? + digit(text[at + 1])?);
        let fits =
            text[4] == b'-' && text[7] == b'-' && text[10] == b'T' && text[13] == b':' && text[16] == b':' && text[19] == b'.' && text[26] == b'Z';
        let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
        // A leap second is left to the general reader.
        if !fits || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let micros = text[20..26].iter().try_fold(0, |sum, byte| Some(sum * 10 + digit(*byte)?))?;
        let day: [u8; 10] = text[..10].try_into().ok()?;
        let midnight = match self.samples.day {
            Some((known, midnight)) if known == day => midnight,
            _ => {
                let (year, month, date) = (100 * two(0)? + two(2)?, two(5)?, two(8)?);
                let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(date).ok()?)?;
                let midnight = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros();
                self.samples.day = Some((day, midnight));
                midnight
            }
        };
        self.text = rest;
        self.skip(b"\"")?;
        Some(Timestamp(midnight + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros))
    }

    fn canary(&mut self) -> Option<CanarySample> {
        self.skip(b"{\"acknowledged\":")?;
        let acknowledged = self.unless_null(Self::number)?;
        self.skip(b",\"missing\":")?;
        let missing = self.unless_null(Self::writes)?;
        self.skip(b"}")?;
        Some(CanarySample { acknowledged, missing })
    }

    fn writes(&mut self) -> Option<Vec<MissingWrite>> {
        self.skip(b"[")?;
        let mut writes = Vec::new();
        while self.skip(b"]").is_none() {
            if !writes.is_empty() {
                self.skip(b",")?;
            }
            self.skip(b"{\"number\":")?;
            let number = self.number()?;
            self.skip(b",\"acknowledged\":")?;
            let acknowledged = self.instant()?;
            self.skip(b"}")?;
            writes.push(MissingWrite { number, acknowledged });
        }
        Some(writes)
    }
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From 1900 to 2200, so that days change and some lie before 1970.
    fn instants() -> impl Strategy<Value = Timestamp> {
        (-2_208_988_800_000_000_i64..7_258_118_400_000_000).prop_map(Timestamp)
    }

    fn canaries() -> impl Strategy<Value = CanarySample> {
        let write = (any::<u64>(), instants()).prop_map(|(number, acknowledged)| MissingWrite { number, acknowledged });
        (any::<Option<u64>>(), proptest::option::of(proptest::collection::vec(write, 0..4)))
            .prop_map(|(acknowledged, missing)| CanarySample { acknowledged, missing })
    }

    proptest! {
        #[test]
        fn reads_what_the_general_reader_reads_or_leaves_it_alone(
            seq in any::<u64>(), at in instants(), began in instants(), micros in 0_u64..3_000_000_000, objective in ".{0,12}",
            health in prop_oneof![Just(Health::Good), Just(Health::Bad), Just(Health::Unknown)],
            detail in proptest::option::of(".{0,20}"), canary in proptest::option::of(canaries()),
        ) {
            let sample = Sample { objective, at: began, latency: Span(Duration::from_micros(micros)), health, detail, canary };
            let event = RunEvent { v: EVENT_VERSION, seq, at, body: Event::Sample(sample) };
            let text = serde_json::to_string(&event).unwrap();
            if let Some(read) = Samples::default().read(&text) {
                prop_assert_eq!(&read, &serde_json::from_str::<RunEvent>(&text).unwrap());
                prop_assert_eq!(&read, &event);
            }
        }

        #[test]
        fn a_changed_text_is_never_read_as_something_else(place in 0_usize..400, byte in 32_u8..127) {
            let mut text = plain().replace('Ü', "Ue").into_bytes();
            let place = place % text.len();
            text[place] = byte;
            let text = String::from_utf8(text).unwrap();
            if let Some(read) = Samples::default().read(&text) {
                prop_assert_eq!(serde_json::from_str::<RunEvent>(&text).ok(), Some(read), "{}", text);
            }
        }
    }

    fn plain() -> String {
        let missing = Some(vec![MissingWrite { number: 7, acknowledged: Timestamp(1_794_304_800_000_001) }]);
        let sample = Sample {
            objective: "checkout".into(),
            at: Timestamp(1_794_304_800_250_000),
            latency: Span(Duration::from_micros(12_345)),
            health: Health::Bad,
            detail: Some("503, Überlast".into()),
            canary: Some(CanarySample { acknowledged: Some(12), missing }),
        };
        serde_json::to_string(&RunEvent { v: EVENT_VERSION, seq: 41, at: Timestamp(1_794_304_800_262_345), body: Event::Sample(sample) }).unwrap()
    }

    #[test]
    fn the_form_in_which_samples_are_written_is_the_one_that_is_read() {
        // Otherwise everything would still be right, and slow.
        assert!(Samples::default().read(&plain()).is_some(), "{}", plain());
    }
}
