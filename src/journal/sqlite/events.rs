//! Statements about the event stream, and about requests to abort.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use rusqlite::{OptionalExtension, params};

use super::batch;
use super::sample::Samples;
use super::schema::damaged;
use super::store::{Store, now};
use super::{Result, seal};
use crate::event::{EVENT_VERSION, Event, RunEvent};
use crate::journal::JournalError;

/// Bytes of text that go from one thread to the other together, and how many such chunks may wait.
const CHUNK: usize = 128 << 10;
const WAITING: usize = 4;

/// The part of an event that every version has.
#[derive(serde::Deserialize)]
struct Version {
    v: u32,
}

fn event_sum(run: &str, seq: i64, body: &str) -> i64 {
    seal(&[run, &seq.to_string(), body].map(str::as_bytes))
}

/// Rows on their way from the reading thread to the decoding one.
#[derive(Default)]
struct Chunk {
    text: String,
    /// Number, checksum, and where the text ends.
    rows: Vec<(i64, i64, usize)>,
}

impl Chunk {
    fn push(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        self.text.push_str(row.get_ref(1)?.as_str()?);
        self.rows.push((row.get(0)?, row.get(2)?, self.text.len()));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.text.len() >= CHUNK
    }
}

/// Believes no row that is damaged, missing or newer.
struct Decoder<'a, T> {
    run: &'a str,
    path: &'a Path,
    next: i64,
    samples: Samples,
    take: T,
}

impl<T: FnMut(RunEvent)> Decoder<'_, T> {
    fn all(mut self, chunks: &Receiver<Chunk>) -> Result<()> {
        for chunk in chunks {
            let mut from = 0;
            for (seq, sum, to) in &chunk.rows {
                let text = &chunk.text[from..*to];
                self.row(*seq, *sum, text)?;
                from = *to;
            }
        }
        Ok(())
    }

    fn row(&mut self, seq: i64, sum: i64, body: &str) -> Result<()> {
        let (run, next) = (self.run, self.next);
        if seq != next {
            return Err(damaged(self.path, format!("event {next} of run {run} is missing")));
        }
        if sum != event_sum(run, seq, body) {
            return Err(damaged(self.path, format!("event {seq} of run {run} is damaged")));
        }
        if batch::is_batch(body) {
            let first = u64::try_from(seq).unwrap_or(0);
            let events = batch::read(body, first).map_err(|why| damaged(self.path, format!("event {seq} of run {run}: {why}")))?;
            self.next += i64::try_from(events.len()).unwrap_or(i64::MAX);
            events.into_iter().for_each(&mut self.take);
            return Ok(());
        }
        self.next += 1;
        let event = match self.samples.read(body) {
            Some(sample) => sample,
            None => self.other(seq, body)?,
        };
        (self.take)(event);
        Ok(())
    }

    fn other(&self, seq: i64, body: &str) -> Result<RunEvent> {
        let run = self.run;
        let wrong = |error: serde_json::Error| damaged(self.path, format!("event {seq} of run {run}: {error}"));
        let version: Version = serde_json::from_str(body).map_err(wrong)?;
        if version.v > EVENT_VERSION {
            let newer =
                format!("event {seq} of run {run} was written by a newer firedrill (version {}; this build knows {EVENT_VERSION})", version.v);
            return Err(JournalError::Unreadable(format!("{}: {newer}; use that build", self.path.display())));
        }
        serde_json::from_str(body).map_err(wrong)
    }
}

/// A panic of the other thread goes on in this one.
fn joined(ended: std::thread::Result<Result<()>>) -> Result<()> {
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Store {
    pub(super) fn append(&self, run: &str, events: &[RunEvent]) -> Result<()> {
        self.known(run)?;
        let mut next = self.last_row(run, i64::MAX)?.map_or(Ok(0), |(seq, body)| Ok(seq + self.stands_for(run, seq, &body)?))?;
        let mut rest = events;
        while let [event, ..] = rest {
            let seq = i64::try_from(event.seq).unwrap_or(i64::MAX);
            if seq < next {
                // The answer of an earlier try was lost, unless it says something else.
                if self.stored(run, seq)? != Some(self.json(event)?) {
                    return Err(self.refused(format!("event {seq} of run {run} is written already, and says something else")));
                }
                rest = &rest[1..];
                continue;
            }
            if seq > next {
                return Err(self.refused(format!("event {seq} of run {run} would leave a gap; {next} comes next")));
            }
            let (body, taken) = match batch::write(rest) {
                Some(row) => row,
                None => (self.json(event)?, 1),
            };
            let done = self
                .connection
                .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut insert| insert.execute(params![run, seq, body, event_sum(run, seq, &body)]));
            done.map_err(|error| self.write_failed(&error))?;
            next += i64::try_from(taken).unwrap_or(i64::MAX);
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// The last row of a run that begins at `seq` or before.
    fn last_row(&self, run: &str, seq: i64) -> Result<Option<(i64, String)>> {
        let sql = "SELECT seq, body FROM events WHERE run = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let row = self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row(params![run, seq], read).optional());
        row.map_err(|error| self.read_failed(&error))
    }

    /// How many events a row stands for.
    fn stands_for(&self, run: &str, seq: i64, body: &str) -> Result<i64> {
        if !batch::is_batch(body) {
            return Ok(1);
        }
        let count = batch::count(body).map_err(|why| damaged(&self.path, format!("event {seq} of run {run}: {why}")))?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// An event that is written already, as this build would write it alone.
    fn stored(&self, run: &str, seq: i64) -> Result<Option<String>> {
        let Some((first, body)) = self.last_row(run, seq)? else { return Ok(None) };
        if !batch::is_batch(&body) {
            return Ok((first == seq).then_some(body));
        }
        let row =
            batch::read(&body, u64::try_from(first).unwrap_or(0)).map_err(|why| damaged(&self.path, format!("event {first} of run {run}: {why}")))?;
        let event = usize::try_from(seq - first).ok().and_then(|index| row.into_iter().nth(index));
        event.map(|event| self.json(&event)).transpose()
    }

    pub(super) fn events(&self, run: &str, limit: Option<u32>) -> Result<Vec<RunEvent>> {
        let mut events = Vec::new();
        self.each_event(run, limit, |event| events.push(event))?;
        Ok(events)
    }

    /// Hands every event to `take`, in order. This thread reads rows while another one checks and decodes them: a run may
    /// have millions.
    pub(super) fn each_event(&self, run: &str, limit: Option<u32>, take: impl FnMut(RunEvent) + Send) -> Result<()> {
        self.known(run)?;
        let sql = "SELECT seq, body, sum FROM events WHERE run = ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.read_failed(&error))?;
        let mut rows = statement.query(params![run, limit.map_or(-1, i64::from)]).map_err(|error| self.read_failed(&error))?;
        let decoder = Decoder { run, path: &self.path, next: 0, samples: Samples::default(), take };
        std::thread::scope(|threads| {
            let (send, chunks) = sync_channel::<Chunk>(WAITING);
            let decoding = threads.spawn(move || decoder.all(&chunks));
            let mut chunk = Chunk::default();
            loop {
                let row = rows.next().map_err(|error| self.read_failed(&error));
                let more = row.and_then(|row| row.map(|row| chunk.push(row).map_err(|error| self.read_failed(&error))).transpose());
                match more {
                    // Whoever decodes has given up, and says why at the end.
                    Ok(Some(())) if chunk.is_full() && send.send(std::mem::take(&mut chunk)).is_err() => break,
                    Ok(Some(())) => {}
                    Ok(None) => {
                        let _ = send.send(chunk);
                        break;
                    }
                    Err(error) => {
                        drop(send);
                        // Damage in front of the unreadable row is the better answer.
                        return joined(decoding.join()).and(Err(error));
                    }
                }
            }
            drop(send);
            joined(decoding.join())
        })
    }

    /// Whether the last event, but for a few remarks, is the run's end.
    pub(super) fn came_to_its_end(&self, run: &str) -> Result<bool> {
        let sql = "SELECT body FROM events WHERE run = ?1 ORDER BY seq DESC LIMIT 8";
        let bodies: rusqlite::Result<Vec<String>> =
            self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_map([run], |row| row.get(0))?.collect());
        let bodies = bodies.map_err(|error| self.read_failed(&error))?;
        let mut last = bodies.iter().map(|body| serde_json::from_str(body).ok().map(|event: RunEvent| event.body));
        Ok(matches!(last.find(|body| !matches!(body, Some(Event::Note { .. }))), Some(Some(Event::RunEnded { .. }))))
    }

    pub(super) fn request_abort(&self, run: &str) -> Result<()> {
        self.known(run)?;
        let done = self.connection.execute("INSERT INTO aborts VALUES (?1, ?2) ON CONFLICT (run) DO NOTHING", params![run, now().0]);
        done.map(drop).map_err(|error| self.write_failed(&error))
    }

    pub(super) fn abort_requested(&self, run: &str) -> Result<bool> {
        let found = self.connection.prepare_cached("SELECT 1 FROM aborts WHERE run = ?1").and_then(|mut statement| statement.exists([run]));
        found.map_err(|error| self.read_failed(&error))
    }
}
