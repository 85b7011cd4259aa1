//! Many samples in one row: a run may have millions, and a row for each takes ten times the room and the time.
//!
//! A row of this form stands for as many events as it has samples, from the row's number on. Its `v` is one that builds which do not know the form refuse,
//! as they refuse newer events: none takes a part of a stream for the whole. Undo reads no events.
//!
//! ```text
//! {"v":1001,"n":2,"from":1794304800000000,"objectives":["checkout"],"details":["status 503"],"samples":"0 g 0 12000 12345 - -;0 b 1000000 400000 400100 0 -"}
//! ```
//! Each sample: objective, health, began (µs after `from`), latency (µs), told (µs after it began), detail, canary; `-` where there is none. A canary is
//! the acknowledged number, a comma, and what is missing: `-`, or `number:acknowledged` (µs after `from`) with `/` between.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Span, Timestamp};
use crate::event::{CanarySample, EVENT_VERSION, Event, Health, MissingWrite, RunEvent, Sample};

/// `v` of such a row; far from the versions of single events.
pub const FORM: u32 = 1001;
/// Samples in a row at most.
const MOST: usize = 1024;
/// How every such row begins.
const BEGINNING: &str = "{\"v\":1001,";

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    v: u32,
    n: usize,
    from: i64,
    #[serde(borrow)]
    objectives: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    details: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    samples: Cow<'a, str>,
}

/// Whether a row's text is of this form.
pub fn is_batch(body: &str) -> bool {
    body.starts_with(BEGINNING)
}

/// The row of the samples that `events` begin with, and how many they are; none when there is at most one, or they do not fit the form.
pub fn write(events: &[RunEvent]) -> Option<(String, usize)> {
    let first = events.first()?;
    let follows = |(index, event): &(usize, &RunEvent)| event.v == EVENT_VERSION && event.seq == first.seq + *index as u64;
    let samples: Vec<(&RunEvent, &Sample)> = events
        .iter()
        .take(MOST)
        .enumerate()
        .take_while(follows)
        .map_while(|(_, event)| if let Event::Sample(sample) = &event.body { Some((event, sample)) } else { None })
        .collect();
    let (_, sample) = samples.first().filter(|_| samples.len() > 1)?;
    let from = sample.at;
    let after = |at: Timestamp| at.0.checked_sub(from.0);
    let (mut objectives, mut details) = (Names::default(), Names::default());
    let mut text = String::with_capacity(samples.len() * 32);
    for (event, sample) in &samples {
        if !text.is_empty() {
            text.push(';');
        }
        let health = match sample.health {
            Health::Good => 'g',
            Health::Bad => 'b',
            Health::Unknown => 'u',
        };
        let latency = u64::try_from(sample.latency.as_micros()).ok()?;
        let (objective, told) = (objectives.number(&sample.objective), event.at.0.checked_sub(sample.at.0)?);
        write!(text, "{objective} {health} {} {latency} {told} ", after(sample.at)?).ok()?;
        match &sample.detail {
            Some(detail) => write!(text, "{} ", details.number(detail)).ok()?,
            None => text.push_str("- "),
        }
        canary(&mut text, sample.canary.as_ref(), after)?;
    }
    let row = Row { v: FORM, n: samples.len(), from: from.0, objectives: objectives.list, details: details.list, samples: text.into() };
    Some((serde_json::to_string(&row).ok()?, samples.len()))
}

fn canary(text: &mut String, canary: Option<&CanarySample>, after: impl Fn(Timestamp) -> Option<i64>) -> Option<()> {
    let Some(CanarySample { acknowledged, missing }) = canary else {
        text.push('-');
        return Some(());
    };
    match acknowledged {
        Some(number) => write!(text, "{number},").ok()?,
        None => text.push_str("-,"),
    }
    let Some(missing) = missing else {
        text.push('-');
        return Some(());
    };
    for (index, write) in missing.iter().enumerate() {
        let between = if index == 0 { "" } else { "/" };
        write!(text, "{between}{}:{}", write.number, after(write.acknowledged)?).ok()?;
    }
    Some(())
}

/// Texts by number, each kept once.
#[derive(Default)]
struct Names<'a> {
    list: Vec<Cow<'a, str>>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a str) -> usize {
        let next = self.list.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.list.push(name.into());
        }
        number
    }
}

/// The events of a row; the first has number `seq`. The error says what is wrong with the text.
pub fn read(body: &str, seq: u64) -> Result<Vec<RunEvent>, String> {
    let row: Row<'_> = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let mut events = Vec::with_capacity(row.n.min(MOST));
    for (seq, text) in (seq..).zip(row.samples.split(';')) {
        let sample = sample(&row, text).ok_or_else(|| format!("sample {} of a row cannot be read", events.len()))?;
        let (at, body) = sample;
        events.push(RunEvent { v: EVENT_VERSION, seq, at, body: Event::Sample(body) });
    }
    if events.len() != row.n {
        return Err(format!("a row of {} samples has {}", row.n, events.len()));
    }
    Ok(events)
}

/// How many events a row stands for.
pub fn count(body: &str) -> Result<usize, String> {
    read(body, 0).map(|events| events.len())
}

fn sample(row: &Row<'_>, text: &str) -> Option<(Timestamp, Sample)> {
    let mut fields = text.split(' ');
    let mut next = || fields.next();
    let after = |text: &str| Some(Timestamp(row.from.checked_add(signed(text)?)?));
    let name = |list: &[Cow<'_, str>], text: &str| list.get(usize::try_from(unsigned(text)?).ok()?).map(|name| name.as_ref().to_owned());
    let objective = name(&row.objectives, next()?)?;
    let health = match next()? {
        "g" => Health::Good,
        "b" => Health::Bad,
        "u" => Health::Unknown,
        _ => return None,
    };
    let began = after(next()?)?;
    let latency = Span(Duration::from_micros(unsigned(next()?)?));
    let told = Timestamp(began.0.checked_add(signed(next()?)?)?);
    let detail = match next()? {
        "-" => None,
        number => Some(name(&row.details, number)?),
    };
    let canary = match next()? {
        "-" => None,
        text => {
            let (acknowledged, missing) = text.split_once(',')?;
            let acknowledged = if acknowledged == "-" { None } else { Some(unsigned(acknowledged)?) };
            let write = |text: &str| {
                let (number, acknowledged) = text.split_once(':')?;
                Some(MissingWrite { number: unsigned(number)?, acknowledged: after(acknowledged)? })
            };
            let missing = match missing {
                "-" => None,
                "" => Some(Vec::new()),
                list => Some(list.split('/').map(write).collect::<Option<Vec<_>>>()?),
            };
            Some(CanarySample { acknowledged, missing })
        }
    };
    next().is_none().then_some((told, Sample { objective, at: began, latency, health, detail, canary }))
}

fn unsigned(text: &str) -> Option<u64> {
    // `parse` also takes a plus sign.
    text.bytes().next().filter(u8::is_ascii_digit)?;
    text.parse().ok()
}

fn signed(text: &str) -> Option<i64> {
    text.bytes().next().filter(|byte| byte.is_ascii_digit() || *byte == b'-')?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> impl Strategy<Value = Vec<RunEvent>> {
        let write = (any::<u64>(), 0_i64..4_000_000_000_000_000).prop_map(|(number, at)| MissingWrite { number, acknowledged: Timestamp(at) });
        let canary = (any::<Option<u64>>(), proptest::option::of(proptest::collection::vec(write, 0..3)))
            .prop_map(|(acknowledged, missing)| CanarySample { acknowledged, missing });
        let health = prop_oneof![Just(Health::Good), Just(Health::Bad), Just(Health::Unknown)];
        let one = (".{0,6}", 0_i64..4_000_000_000_000_000, -5_000_000_i64..5_000_000, 0_u64..9_000_000_000, health);
        let one = (one, proptest::option::of(".{0,9}"), proptest::option::of(canary));
        proptest::collection::vec(one, 2..40).prop_map(|all| {
            let event = |(seq, ((objective, at, told, latency, health), detail, canary)): (u64, _)| {
                let sample = Sample { objective, at: Timestamp(at), latency: Span(Duration::from_micros(latency)), health, detail, canary };
                RunEvent { v: EVENT_VERSION, seq, at: Timestamp(at + told), body: Event::Sample(sample) }
            };
            (7..).zip(all).map(event).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(events in samples()) {
            let (body, count) = write(&events).unwrap();
            prop_assert!(is_batch(&body));
            prop_assert_eq!(count, events.len());
            prop_assert_eq!(super::count(&body).unwrap(), count);
            prop_assert_eq!(read(&body, 7).unwrap(), events);
        }

        #[test]
        fn a_changed_row_is_an_error_or_other_samples_and_never_a_panic(events in samples(), place in any::<prop::sample::Index>(), byte in 32_u8..127) {
            let mut body = write(&events).unwrap().0.into_bytes();
            let place = place.index(body.len());
            body[place] = byte;
            if let Ok(body) = String::from_utf8(body) {
                let _ = read(&body, 7);
            }
        }
    }

    #[test]
    fn only_samples_that_follow_each_other_share_a_row() {
        let sample = |seq: u64, at: i64| {
            let sample = Sample {
                objective: "checkout".into(),
                at: Timestamp(at),
                latency: Span(Duration::from_millis(12)),
                health: Health::Good,
                detail: None,
                canary: None,
            };
            RunEvent { v: EVENT_VERSION, seq, at: Timestamp(at), body: Event::Sample(sample) }
        };
        let note = RunEvent { v: EVENT_VERSION, seq: 2, at: Timestamp(0), body: Event::Note { text: "x".into() } };
        assert_eq!(write(&[sample(0, 1), sample(1, 2), note.clone(), sample(3, 3)]).unwrap().1, 2);
        assert_eq!(write(&[sample(0, 1), sample(1, 2), sample(3, 3)]).unwrap().1, 2, "a gap is for the journal to refuse");
        assert!(write(&[sample(0, 1), note.clone()]).is_none() && write(&[note, sample(3, 1)]).is_none() && write(&[]).is_none());
        assert!(write(&[sample(0, i64::MIN), sample(1, i64::MAX)]).is_none(), "what does not fit is written plainly");
        let many: Vec<RunEvent> = (0..2000).map(|n| sample(n, n as i64 * 1000)).collect();
        let (body, count) = write(&many).unwrap();
        assert_eq!(count, MOST);
        assert!(body.len() < 32 * MOST, "{} bytes a sample", body.len() / MOST);
    }
}
