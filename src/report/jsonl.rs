//! `events.jsonl`: the event stream itself, one JSON object a line, as `firedrill report` can replay it.

use std::io::{self, BufWriter, Write};

use super::Sink;
use crate::clock::{Span, Timestamp};
use crate::event::{Event, Health, RunEvent, Sample};

/// 10000-01-01T00:00:00Z in microseconds.
const YEAR_10000: i64 = 253_402_300_800_000_000;

/// Writes each event as a line.
#[derive(Debug)]
pub struct Jsonl<W: Write> {
    out: BufWriter<W>,
    lines: Lines,
}

impl<W: Write> Jsonl<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::new(out), lines: Lines::default() }
    }
}

impl<W: Write + Send> Sink for Jsonl<W> {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        self.lines.line(&mut self.out, event)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Makes lines of events, the same that the general writer makes; samples, of which runs have millions, in a fraction of the time.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    /// The second of the last instant, and how it is written up to the point.
    second: Option<(i64, String)>,
}

impl Lines {
    /// Writes an event as a line.
    ///
    /// # Errors
    /// When it cannot be written as JSON, or `out` takes no more.
    pub fn line(&mut self, out: &mut impl Write, event: &RunEvent) -> io::Result<()> {
        self.line.clear();
        match &event.body {
            Event::Sample(sample) => self.sample(event, sample)?,
            _ => serde_json::to_writer(&mut self.line, event)?,
        }
        self.line.push(b'\n');
        out.write_all(&self.line)
    }

    fn sample(&mut self, event: &RunEvent, sample: &Sample) -> io::Result<()> {
        write!(self.line, "{{\"v\":{},\"seq\":{},\"at\":", event.v, event.seq)?;
        self.instant(event.at);
        self.line.extend_from_slice(b",\"type\":\"sample\",\"objective\":");
        self.text(&sample.objective)?;
        self.line.extend_from_slice(b",\"began\":");
        self.instant(sample.at);
        self.line.extend_from_slice(b",\"latency\":");
        self.seconds(sample.latency)?;
        self.line.extend_from_slice(match sample.health {
            Health::Good => b",\"health\":\"good\",\"detail\":",
            Health::Bad => b",\"health\":\"bad\",\"detail\":",
            Health::Unknown => b",\"health\":\"unknown\",\"detail\":",
        });
        match &sample.detail {
            Some(detail) => self.text(detail)?,
            None => self.line.extend_from_slice(b"null"),
        }
        self.line.extend_from_slice(b",\"canary\":");
        match &sample.canary {
            Some(canary) => serde_json::to_writer(&mut self.line, canary)?,
            None => self.line.extend_from_slice(b"null"),
        }
        self.line.push(b'}');
        Ok(())
    }

    /// RFC 3339 with microseconds; neighbours most often share the second.
    fn instant(&mut self, at: Timestamp) {
        // What is not a date of four digits has a form of its own.
        if !(0..YEAR_10000).contains(&at.0) {
            self.line.extend_from_slice(format!("\"{at}\"").as_bytes());
            return;
        }
        let second = at.0.div_euclid(1_000_000);
        let known = self.second.take().filter(|(known, _)| *known == second);
        let (_, text) = self.second.insert(known.unwrap_or_else(|| {
            let mut text = at.to_string();
            // The point, six digits and the Z are written anew each time.
            text.truncate(text.len().saturating_sub(8));
            (second, text)
        }));
        self.line.push(b'"');
        self.line.extend_from_slice(text.as_bytes());
        self.line.push(b'.');
        self.digits(at.0.rem_euclid(1_000_000).unsigned_abs());
        self.line.extend_from_slice(b"Z\"");
    }

    /// Six digits.
    fn digits(&mut self, number: u64) {
        let digit = |by: u64| b'0' + u8::try_from(number / by % 10).unwrap_or(0);
        self.line.extend_from_slice(&[100_000, 10_000, 1_000, 100, 10, 1].map(digit));
    }

    /// A number of seconds as the general writer has it: the shortest that reads as the same; plainly written from a millisecond on.
    fn seconds(&mut self, length: Span) -> io::Result<()> {
        let micros = length.as_micros();
        let Some(micros) = u64::try_from(micros).ok().filter(|micros| (1_000..1_000_000_000_000_000).contains(micros)) else {
            return serde_json::to_writer(&mut self.line, &length).map_err(io::Error::from);
        };
        write!(self.line, "{}.", micros / 1_000_000)?;
        self.digits(micros % 1_000_000);
        while self.line.ends_with(b"0") && !self.line.ends_with(b".0") {
            self.line.pop();
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            return serde_json::to_writer(&mut self.line, text).map_err(io::Error::from);
        }
        self.line.push(b'"');
        self.line.extend_from_slice(text.as_bytes());
        self.line.push(b'"');
        Ok(())
    }
}

/// The whole stream as one text.
///
/// # Errors
/// When an event cannot be written as JSON.
pub fn render(events: &[RunEvent]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut lines = Lines::default();
    for event in events {
        lines.line(&mut out, event)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{CanarySample, MissingWrite};

    proptest! {
        #[test]
        fn a_sample_is_written_as_the_general_writer_does(
            seq in any::<u64>(), at in any::<i64>(), began in -9_000_000_000_000_000_i64..250_000_000_000_000_000,
            micros in prop_oneof![any::<u64>(), 0_u64..5_000_000, 0_u64..2_000], objective in ".{0,12}",
            health in prop_oneof![Just(Health::Good), Just(Health::Bad), Just(Health::Unknown)],
            detail in proptest::option::of(".{0,20}"), acknowledged in any::<Option<u64>>(), canary in any::<bool>(),
        ) {
            let missing = acknowledged.map(|number| vec![MissingWrite { number, acknowledged: Timestamp(began) }]);
            let canary = canary.then_some(CanarySample { acknowledged, missing });
            let sample = Sample { objective, at: Timestamp(began), latency: Span(Duration::from_micros(micros)), health, detail, canary };
            let event = RunEvent { v: 1, seq, at: Timestamp(at), body: Event::Sample(sample) };
            let written = String::from_utf8(render(&[event.clone(), event.clone()]).unwrap()).unwrap();
            let wanted = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(written, format!("{wanted}\n{wanted}\n"));
        }
    }
}
