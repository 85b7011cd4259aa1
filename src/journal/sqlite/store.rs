//! The journal's statements, on one connection and one thread; every writing one runs inside the transaction of its caller.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::schema::{damaged, open_condition, unreadable, unwritten};
use super::{Moved, Tombstone, seal};
use crate::clock::Timestamp;
use crate::event::{Cleanliness, EVENT_VERSION, Phase, RunEvent, Verdict};
use crate::fault::{RECORD_VERSION, Record, TargetId};
use crate::journal::{JournalError, RunEnd, RunHeader, RunSummary, phases, place};

/// The largest number of records that one call of `commit_intents` takes.
pub const MOST_INTENTS: usize = 500;

type Result<T> = std::result::Result<T, JournalError>;

/// One connection, and where it leads.
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

/// A run's row, believed.
struct RunRow {
    header: RunHeader,
    header_text: String,
    end: Option<RunEnd>,
    records: i64,
}

/// A record's row, believed.
struct RecordRow {
    key: i64,
    record: Record,
    stored: String,
}

fn record_sum(run: &str, record: &TargetId, step: &str, body: &str, phase: &str, phase_by: i64) -> i64 {
    let parts = [run, step, &record.place, &record.id, body, phase, &phase_by.to_string()];
    seal(&parts.map(str::as_bytes))
}

fn run_sum(run: &str, started: i64, header: &str, ended: Option<&str>, records: i64) -> i64 {
    seal(&[run, &started.to_string(), header, ended.unwrap_or("-"), &records.to_string()].map(str::as_bytes))
}

fn event_sum(run: &str, seq: i64, body: &str) -> i64 {
    seal(&[run, &seq.to_string(), body].map(str::as_bytes))
}

/// The phase of a stored text: one that a newer build wrote is not believed, whatever it says.
fn believed(text: &str, phase_by: i64) -> Phase {
    if phase_by > i64::from(RECORD_VERSION) { Phase::Unknown } else { Phase::from(text.to_owned()) }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Store {
    fn read_failed(&self, error: &rusqlite::Error) -> JournalError {
        unreadable(&self.path, error)
    }

    fn write_failed(&self, error: &rusqlite::Error) -> JournalError {
        unwritten(&self.path, error)
    }

    fn refused(&self, why: impl std::fmt::Display) -> JournalError {
        JournalError::Write(format!("{}: {why}", self.path.display()))
    }

    fn json<T: serde::Serialize>(&self, value: &T) -> Result<String> {
        serde_json::to_string(value).map_err(|error| self.refused(error))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, what: &str, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| damaged(&self.path, format!("{what}: {error}")))
    }

    /// Runs statements as one transaction unit; the error is a write's.
    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        self.connection.execute_batch(sql).map_err(|error| self.write_failed(&error))
    }

    // ---- runs -------------------------------------------------------------------------------------------------------------------------------

    pub fn open_run(&self, header: &RunHeader) -> Result<()> {
        place::check_run_id(&header.run)?;
        let text = self.json(header)?;
        if let Some(known) = self.run_row(&header.run)? {
            // The answer of an earlier try was lost.
            return if known.header == *header { Ok(()) } else { Err(self.refused(format!("run {} exists already", header.run))) };
        }
        let count = self.run_count()?;
        let write = || -> rusqlite::Result<()> {
            let sum = run_sum(&header.run, header.started.0, &text, None, 0);
            self.connection.execute("INSERT INTO runs VALUES (?1, ?2, ?3, NULL, 0, ?4)", params![header.run, header.started.0, text, sum])?;
            let sum = seal(&[b"meta", (count + 1).to_string().as_bytes()]);
            self.connection.execute("UPDATE meta SET runs = ?1, sum = ?2", [count + 1, sum])?;
            Ok(())
        };
        write().map_err(|error| self.write_failed(&error))
    }

    fn run_count(&self) -> Result<i64> {
        let read =
            self.connection.query_row("SELECT runs, sum FROM meta WHERE one = 1", [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        match read {
            Ok((count, sum)) if sum == seal(&[b"meta", count.to_string().as_bytes()]) => Ok(count),
            Ok(_) => Err(damaged(&self.path, "the number of runs is damaged".into())),
            Err(error) => Err(self.read_failed(&error)),
        }
    }

    fn believe_run(&self, row: (String, i64, String, Option<String>, i64, i64)) -> Result<RunRow> {
        let (run, started, header, ended, records, sum) = row;
        if sum != run_sum(&run, started, &header, ended.as_deref(), records) {
            return Err(damaged(&self.path, format!("the row of run {} is damaged", run.escape_debug())));
        }
        let end = ended.map(|text| self.parse("end of a run", &text)).transpose()?;
        Ok(RunRow { header: self.parse("header of a run", &header)?, header_text: header, end, records })
    }

    fn run_row(&self, run: &str) -> Result<Option<RunRow>> {
        let sql = "SELECT run, started, header, ended, records, sum FROM runs WHERE run = ?1";
        let row = self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row([run], run_columns).optional());
        row.map_err(|error| self.read_failed(&error))?.map(|row| self.believe_run(row)).transpose()
    }

    fn known(&self, run: &str) -> Result<RunRow> {
        self.run_row(run)?.ok_or_else(|| JournalError::NoSuchRun(run.to_owned()))
    }

    fn summary(&self, row: RunRow) -> Result<RunSummary> {
        let run = row.header.run.as_str();
        let may_be_open = row.end.as_ref().is_none_or(|end| end.cleanliness == Cleanliness::StillInPlace);
        // A run that ended clean has no open record: `close_run` made sure, and its row is sealed. The index says the same, cheaply.
        let open_records =
            if may_be_open { self.records(run)?.iter().filter(|record| !record.phase.is_closed()).count() } else { self.count_open(run)? };
        let alive = place::is_held(&self.dir, run)?;
        Ok(RunSummary { header: row.header, end: row.end, open_records, alive })
    }

    fn count_open(&self, run: &str) -> Result<usize> {
        let sql = format!("SELECT count(*) FROM records WHERE run = ?1 AND {}", open_condition());
        let count: i64 = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([run], |row| row.get(0)))
            .map_err(|error| self.read_failed(&error))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub fn run(&self, prefix: &str) -> Result<RunSummary> {
        if let Some(row) = self.run_row(prefix)? {
            return self.summary(row);
        }
        place::check_run_id(prefix)?;
        let sql = "SELECT run FROM runs WHERE substr(upper(run), 1, length(?1)) = upper(?1) ORDER BY run LIMIT 11";
        let found: rusqlite::Result<Vec<String>> =
            self.connection.prepare(sql).and_then(|mut found| found.query_map([prefix], |row| row.get(0))?.collect());
        match found.map_err(|error| self.read_failed(&error))?.as_slice() {
            [] => Err(JournalError::NoSuchRun(prefix.to_owned())),
            [one] => self.summary(self.known(one)?),
            many => Err(JournalError::Ambiguous { prefix: prefix.to_owned(), candidates: many.to_vec() }),
        }
    }

    pub fn runs(&self) -> Result<Vec<RunSummary>> {
        let sql = "SELECT run, started, header, ended, records, sum FROM runs ORDER BY started DESC, run DESC";
        let rows: rusqlite::Result<Vec<_>> =
            self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_map([], run_columns)?.collect());
        let rows = rows.map_err(|error| self.read_failed(&error))?;
        let (have, want) = (rows.len(), self.run_count()?);
        if i64::try_from(have).ok() != Some(want) {
            return Err(damaged(&self.path, format!("{have} of {want} runs are left")));
        }
        rows.into_iter().map(|row| self.summary(self.believe_run(row)?)).collect()
    }

    pub fn close_run(&self, run: &str, end: &RunEnd) -> Result<usize> {
        let known = self.known(run)?;
        let open = self.records(run)?.iter().filter(|record| !record.phase.is_closed()).count();
        if known.end.as_ref() == Some(end) {
            return Ok(open);
        }
        if known.end.is_some_and(|before| before.cleanliness != Cleanliness::StillInPlace) {
            return Err(self.refused(format!("run {run} is closed already")));
        }
        if open > 0 && end.cleanliness != Cleanliness::StillInPlace {
            return Err(self.refused(format!("run {run} cannot be closed as {:?}: {open} targets are still in place", end.cleanliness)));
        }
        self.write_end(run, end)?;
        Ok(open)
    }

    fn write_end(&self, run: &str, end: &RunEnd) -> Result<()> {
        let known = self.known(run)?;
        let ended = self.json(end)?;
        let sum = run_sum(run, known.header.started.0, &known.header_text, Some(&ended), known.records);
        let done = self.connection.execute("UPDATE runs SET ended = ?1, sum = ?2 WHERE run = ?3", params![ended, sum, run]);
        done.map(drop).map_err(|error| self.write_failed(&error))
    }

    // ---- records ----------------------------------------------------------------------------------------------------------------------------

    fn believe_record(&self, run: &str, row: RecordColumns) -> Result<RecordRow> {
        let RecordColumns { key, step, place, id, body, phase, phase_by, sum } = row;
        let target = TargetId { place, id };
        if sum != record_sum(run, &target, &step, &body, &phase, phase_by) {
            return Err(damaged(&self.path, format!("a record of run {run} is damaged")));
        }
        let mut record: Record = self.parse(&format!("a record of run {run}"), &body)?;
        record.phase = believed(&phase, phase_by);
        Ok(RecordRow { key, record, stored: body })
    }

    fn record_row(&self, run: &str, step: &str, target: &TargetId) -> Result<Option<RecordRow>> {
        let sql = "SELECT key, step, place, id, body, phase, phase_by, sum FROM records WHERE run = ?1 AND step = ?2 AND place = ?3 AND id = ?4";
        let row = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([run, step, &target.place, &target.id], RecordColumns::of).optional());
        row.map_err(|error| self.read_failed(&error))?.map(|row| self.believe_record(run, row)).transpose()
    }

    pub fn records(&self, run: &str) -> Result<Vec<Record>> {
        Ok(self.record_rows(run)?.into_iter().map(|row| row.record).collect())
    }

    fn record_rows(&self, run: &str) -> Result<Vec<RecordRow>> {
        let known = self.known(run)?;
        let sql = "SELECT key, step, place, id, body, phase, phase_by, sum FROM records WHERE run = ?1 ORDER BY key";
        let rows: rusqlite::Result<Vec<_>> =
            self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_map([run], RecordColumns::of)?.collect());
        let rows = rows.map_err(|error| self.read_failed(&error))?;
        if i64::try_from(rows.len()).ok() != Some(known.records) {
            return Err(damaged(&self.path, format!("{} of {} records of run {run} are left", rows.len(), known.records)));
        }
        rows.into_iter().map(|row| self.believe_record(run, row)).collect()
    }

    /// Returns how many records each run of the batch has now.
    pub fn commit_intents(&self, records: &[Record]) -> Result<Vec<(String, u64)>> {
        if records.len() > MOST_INTENTS {
            return Err(self.refused(format!("{} intents at once; {MOST_INTENTS} is the most", records.len())));
        }
        let mut counts: Vec<(String, i64)> = Vec::new();
        for record in records {
            if !counts.iter().any(|(run, _)| *run == record.run) {
                let known = self.known(&record.run)?;
                if known.end.is_some() {
                    return Err(self.refused(format!("run {} has ended; it takes no more intents", record.run)));
                }
                counts.push((record.run.clone(), known.records));
            }
            self.refuse_foreign(record)?;
            if self.put(record)?
                && let Some((_, count)) = counts.iter_mut().find(|(run, _)| *run == record.run)
            {
                *count += 1;
            }
        }
        for (run, count) in &counts {
            let known = self.known(run)?;
            let sum = run_sum(run, known.header.started.0, &known.header_text, None, *count);
            let done = self.connection.execute("UPDATE runs SET records = ?1, sum = ?2 WHERE run = ?3", params![count, sum, run]);
            done.map_err(|error| self.write_failed(&error))?;
        }
        Ok(counts.into_iter().map(|(run, count)| (run, u64::try_from(count).unwrap_or(0))).collect())
    }

    /// One run owns a target at a time.
    fn refuse_foreign(&self, record: &Record) -> Result<()> {
        let sql = format!("SELECT run FROM records WHERE place = ?1 AND id = ?2 AND run <> ?3 AND {} LIMIT 1", open_condition());
        let other: Option<String> = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([&record.target.place, &record.target.id, &record.run], |row| row.get(0)).optional())
            .map_err(|error| self.read_failed(&error))?;
        let Some(other) = other else { return Ok(()) };
        let count = self.count_open(&other)?;
        let noun = if count == 1 { "target" } else { "targets" };
        Err(JournalError::Busy(if place::is_held(&self.dir, &other)? {
            format!(
                "run {other} is going on and has {count} {noun} in place, {} among them; wait for it, or `firedrill abort {other}` first",
                record.target
            )
        } else {
            format!("run {other} has {count} unreverted {noun}; `firedrill resume {other}` first")
        }))
    }

    /// Writes one intent; true when it is new. What was recorded first about the prior state stays.
    fn put(&self, record: &Record) -> Result<bool> {
        if !matches!(record.phase, Phase::Planned | Phase::Intent | Phase::Noop) {
            return Err(self.refused(format!(
                "{}: a record begins as planned, intent or noop, not as {}",
                record.target,
                phases::text(record.phase)
            )));
        }
        let Some(known) = self.record_row(&record.run, &record.step, &record.target)? else {
            let body = self.json(record)?;
            let phase = phases::text(record.phase);
            let sum = record_sum(&record.run, &record.target, &record.step, &body, phase, i64::from(record.version));
            let sql = "INSERT INTO records (run, step, place, id, body, phase, phase_by, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let (place, id) = (&record.target.place, &record.target.id);
            let row = params![record.run, record.step, place, id, body, phase, record.version, sum];
            let done = self.connection.prepare_cached(sql).and_then(|mut insert| insert.execute(row));
            done.map_err(|error| self.write_failed(&error))?;
            self.log_phase(self.connection.last_insert_rowid(), record.phase, None)?;
            return Ok(true);
        };
        let same = known.record.kind == record.kind
            && known.record.action == record.action
            && known.record.ours == record.ours
            && known.record.invert == record.invert;
        let shown = format!("step {} of run {}, target {}", record.step, record.run, record.target);
        if !same {
            return Err(self.refused(format!("{shown} is recorded with another intended state")));
        }
        match (known.record.phase, record.phase) {
            (Phase::Planned, Phase::Intent | Phase::Noop) => self.write_phase(&known, record.phase, None)?,
            // Closed: a mutation now would have no open record.
            (closed, Phase::Intent) if closed.is_closed() => {
                return Err(self.refused(format!("{shown} is {} already; it takes no new intent", phases::text(closed))));
            }
            _ => {}
        }
        Ok(false)
    }

    fn log_phase(&self, key: i64, phase: Phase, detail: Option<&str>) -> Result<()> {
        let sql = "INSERT INTO phases SELECT ?1, coalesce(max(n), -1) + 1, ?2, ?3, ?4 FROM phases WHERE record = ?1";
        let done = self.connection.prepare_cached(sql).and_then(|mut insert| insert.execute(params![key, now().0, phases::text(phase), detail]));
        done.map(drop).map_err(|error| self.write_failed(&error))
    }

    fn write_phase(&self, row: &RecordRow, phase: Phase, detail: Option<&str>) -> Result<()> {
        let (record, text) = (&row.record, phases::text(phase));
        let sum = record_sum(&record.run, &record.target, &record.step, &row.stored, text, i64::from(RECORD_VERSION));
        let done = self
            .connection
            .prepare_cached("UPDATE records SET phase = ?1, phase_by = ?2, sum = ?3 WHERE key = ?4")
            .and_then(|mut update| update.execute(params![text, RECORD_VERSION, sum, row.key]));
        done.map_err(|error| self.write_failed(&error))?;
        self.log_phase(row.key, phase, detail)
    }

    pub fn set_phase(&self, run: &str, step: &str, target: &TargetId, phase: Phase, detail: Option<&str>) -> Result<()> {
        let Some(row) = self.record_row(run, step, target)? else {
            self.known(run)?;
            return Err(self.refused(format!("step {step} of run {run} has no record of {target}; an intent comes first")));
        };
        if !phases::may_follow(row.record.phase, phase) {
            let (from, to) = (phases::text(row.record.phase), phases::text(phase));
            return Err(self.refused(format!("step {step} of run {run}, target {target}: {from} cannot become {to}")));
        }
        self.write_phase(&row, phase, detail)
    }

    pub fn phase_history(&self, run: &str, step: &str, target: &TargetId) -> Result<Vec<Moved>> {
        let Some(row) = self.record_row(run, step, target)? else { return Ok(Vec::new()) };
        let sql = "SELECT at, phase, detail FROM phases WHERE record = ?1 ORDER BY n";
        let moved: rusqlite::Result<Vec<Moved>> = self.connection.prepare_cached(sql).and_then(|mut statement| {
            statement
                .query_map([row.key], |row| {
                    Ok(Moved { at: Timestamp(row.get(0)?), phase: Phase::from(row.get::<_, String>(1)?), detail: row.get(2)? })
                })?
                .collect()
        });
        moved.map_err(|error| self.read_failed(&error))
    }

    /// Returns the records as they were.
    pub fn abandon(&self, run: &str, at: Timestamp) -> Result<Vec<Record>> {
        let known = self.known(run)?;
        let open: Vec<RecordRow> = self.record_rows(run)?.into_iter().filter(|row| !row.record.phase.is_closed()).collect();
        if open.is_empty() && known.end.is_some() {
            return Ok(Vec::new());
        }
        for row in &open {
            self.write_phase(row, Phase::Abandoned, Some("closed by `firedrill abandon` without being undone"))?;
        }
        let left: Vec<Record> = open.into_iter().map(|row| row.record).collect();
        let text = self.json(&left)?;
        let done = self.connection.execute(
            "INSERT INTO tombstones VALUES (?1, ?2, ?3) ON CONFLICT (run) DO UPDATE SET at = excluded.at, records = excluded.records",
            params![run, at.0, text],
        );
        done.map_err(|error| self.write_failed(&error))?;
        if known.end.is_none() {
            let (cleanliness, exit_code) = if left.is_empty() { (Cleanliness::Clean, 6) } else { (Cleanliness::StillInPlace, 7) };
            self.write_end(run, &RunEnd { at, verdict: Verdict::Aborted, cleanliness, score: None, exit_code })?;
        }
        Ok(left)
    }

    pub fn tombstone(&self, run: &str) -> Result<Option<Tombstone>> {
        let row =
            self.connection.query_row("SELECT at, records FROM tombstones WHERE run = ?1", [run], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
        let row = row.optional().map_err(|error| self.read_failed(&error))?;
        row.map(|(at, text)| Ok(Tombstone { at: Timestamp(at), records: self.parse("a tombstone", &text)? })).transpose()
    }

    // ---- events and requests ----------------------------------------------------------------------------------------------------------------

    pub fn append(&self, run: &str, events: &[RunEvent]) -> Result<()> {
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

    pub fn events(&self, run: &str, limit: Option<u32>) -> Result<Vec<RunEvent>> {
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

    pub fn request_abort(&self, run: &str) -> Result<()> {
        self.known(run)?;
        let done = self.connection.execute("INSERT INTO aborts VALUES (?1, ?2) ON CONFLICT (run) DO NOTHING", params![run, now().0]);
        done.map(drop).map_err(|error| self.write_failed(&error))
    }

    pub fn abort_requested(&self, run: &str) -> Result<bool> {
        let found = self.connection.prepare_cached("SELECT 1 FROM aborts WHERE run = ?1").and_then(|mut statement| statement.exists([run]));
        found.map_err(|error| self.read_failed(&error))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The part of an event that every version has.
#[derive(serde::Deserialize)]
struct Version {
    v: u32,
}

fn run_columns(row: &Row<'_>) -> rusqlite::Result<(String, i64, String, Option<String>, i64, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

struct RecordColumns {
    key: i64,
    step: String,
    place: String,
    id: String,
    body: String,
    phase: String,
    phase_by: i64,
    sum: i64,
}

impl RecordColumns {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: row.get(0)?,
            step: row.get(1)?,
            place: row.get(2)?,
            id: row.get(3)?,
            body: row.get(4)?,
            phase: row.get(5)?,
            phase_by: row.get(6)?,
            sum: row.get(7)?,
        })
    }
}
