//! `events.jsonl`: the event stream itself, one JSON object a line, as `firedrill report` can replay it.

use std::io::{self, BufWriter, Write};

use super::Sink;
use crate::event::RunEvent;

/// Writes each event as a line.
#[derive(Debug)]
pub struct Jsonl<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Jsonl<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::new(out) }
    }
}

impl<W: Write + Send> Sink for Jsonl<W> {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        line(&mut self.out, event)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes an event as a line.
///
/// # Errors
/// When it cannot be written as JSON, or `out` takes no more.
pub fn line(out: &mut impl Write, event: &RunEvent) -> io::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    out.write_all(b"\n")
}

/// The whole stream as one text.
///
/// # Errors
/// When an event cannot be written as JSON.
pub fn render(events: &[RunEvent]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut sink = Jsonl::new(&mut out);
    for event in events {
        sink.event(event)?;
    }
    sink.finish()?;
    drop(sink);
    Ok(out)
}
