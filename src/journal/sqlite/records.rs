//! Statements about records: intents, phases and their history, tombstones.

use rusqlite::{OptionalExtension, Row, params};

use super::schema::{damaged, open_condition};
use super::store::{Store, now, run_sum};
use super::{Moved, Result, Tombstone, seal};
use crate::clock::Timestamp;
use crate::event::{Cleanliness, Phase, Verdict};
use crate::fault::{RECORD_VERSION, Record, TargetId};
use crate::journal::{JournalError, RunEnd, phases, place};

/// The largest number of records that one call of `commit_intents` takes.
pub const MOST_INTENTS: usize = 500;

/// A record's row, believed.
struct RecordRow {
    key: i64,
    record: Record,
    stored: String,
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

fn record_sum(run: &str, record: &TargetId, step: &str, body: &str, phase: &str, phase_by: i64) -> i64 {
    let parts = [run, step, &record.place, &record.id, body, phase, &phase_by.to_string()];
    seal(&parts.map(str::as_bytes))
}

/// The phase of a stored text: one that a newer build wrote is not believed, whatever it says.
fn believed(text: &str, phase_by: i64) -> Phase {
    if phase_by > i64::from(RECORD_VERSION) { Phase::Unknown } else { Phase::from(text.to_owned()) }
}

impl Store {
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

    pub(super) fn records(&self, run: &str) -> Result<Vec<Record>> {
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
    pub(super) fn commit_intents(&self, records: &[Record]) -> Result<Vec<(String, u64)>> {
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

    pub(super) fn set_phase(&self, run: &str, step: &str, target: &TargetId, phase: Phase, detail: Option<&str>) -> Result<()> {
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

    pub(super) fn phase_history(&self, run: &str, step: &str, target: &TargetId) -> Result<Vec<Moved>> {
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
    pub(super) fn abandon(&self, run: &str, at: Timestamp) -> Result<Vec<Record>> {
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

    pub(super) fn tombstone(&self, run: &str) -> Result<Option<Tombstone>> {
        let row =
            self.connection.query_row("SELECT at, records FROM tombstones WHERE run = ?1", [run], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
        let row = row.optional().map_err(|error| self.read_failed(&error))?;
        row.map(|(at, text)| Ok(Tombstone { at: Timestamp(at), records: self.parse("a tombstone", &text)? })).transpose()
    }
}
