//! Statements about the event stream, and about requests to abort.

use rusqlite::{OptionalExtension, params};

use super::schema::damaged;
use super::store::{Store, now};
use super::{Result, seal};
use crate::event::{EVENT_VERSION, RunEvent};
use crate::journal::JournalError;

/// The part of an event that every version has.
#[derive(serde::Deserialize)]
struct Version {
    v: u32,
}

fn event_sum(run: &str, seq: i64, body: &str) -> i64 {
    seal(&[run, &seq.to_string(), body].map(str::as_bytes))
}

impl Store {
    pub(super) fn append(&self, run: &str, events: &[RunEvent]) -> Result<()> {
        self.known(run)?;
        let last: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(seq) FROM events WHERE run = ?1")
            .and_then(|mut statement| statement.query_row([run], |row| row.get(0)))
            .map_err(|error| self.read_failed(&error))?;
        let mut next = last.map_or(0, |last| last + 1);
        for event in events {
            let (seq, body) = (i64::try_from(event.seq).unwrap_or(i64::MAX), self.json(event)?);
            if seq < next {
                // The answer of an earlier try was lost, unless it says something else.
                let known: Option<String> = self
                    .connection
                    .query_row("SELECT body FROM events WHERE run = ?1 AND seq = ?2", params![run, seq], |row| row.get(0))
                    .optional()
                    .map_err(|error| self.read_failed(&error))?;
                if known.as_deref() != Some(body.as_str()) {
                    return Err(self.refused(format!("event {seq} of run {run} is written already, and says something else")));
                }
                continue;
            }
            if seq > next {
                return Err(self.refused(format!("event {seq} of run {run} would leave a gap; {next} comes next")));
            }
            let done = self
                .connection
                .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut insert| insert.execute(params![run, seq, body, event_sum(run, seq, &body)]));
            done.map_err(|error| self.write_failed(&error))?;
            next += 1;
        }
        Ok(())
    }

    pub(super) fn events(&self, run: &str, limit: Option<u32>) -> Result<Vec<RunEvent>> {
        self.known(run)?;
        let sql = "SELECT seq, body, sum FROM events WHERE run = ?1 ORDER BY seq LIMIT ?2";
        let rows: rusqlite::Result<Vec<(i64, String, i64)>> = self.connection.prepare_cached(sql).and_then(|mut statement| {
            statement.query_map(params![run, limit.map_or(-1, i64::from)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        });
        let mut events = Vec::new();
        for (next, (seq, body, sum)) in (0_i64..).zip(rows.map_err(|error| self.read_failed(&error))?) {
            if seq != next {
                return Err(damaged(&self.path, format!("event {next} of run {run} is missing")));
            }
            if sum != event_sum(run, seq, &body) {
                return Err(damaged(&self.path, format!("event {seq} of run {run} is damaged")));
            }
            let version: Version = self.parse(&format!("event {seq} of run {run}"), &body)?;
            if version.v > EVENT_VERSION {
                let newer =
                    format!("event {seq} of run {run} was written by a newer firedrill (version {}; this build knows {EVENT_VERSION})", version.v);
                return Err(JournalError::Unreadable(format!("{}: {newer}; use that build", self.path.display())));
            }
            events.push(self.parse(&format!("event {seq} of run {run}"), &body)?);
        }
        Ok(events)
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
