//! Statements about runs, and what all statements share: one connection, one thread; every writing one runs inside the transaction of its caller.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::schema::{damaged, open_condition, unreadable, unwritten};
use super::{Result, seal};
use crate::clock::Timestamp;
use crate::event::Cleanliness;
use crate::journal::{JournalError, RunEnd, RunHeader, RunSummary, place};

/// One connection, and where it leads.
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

/// A run's row, believed.
pub(super) struct RunRow {
    pub(super) header: RunHeader,
    pub(super) header_text: String,
    pub(super) end: Option<RunEnd>,
    pub(super) records: i64,
}

/// Checksum of a run's row.
pub(super) fn run_sum(run: &str, started: i64, header: &str, ended: Option<&str>, records: i64) -> i64 {
    seal(&[run, &started.to_string(), header, ended.unwrap_or("-"), &records.to_string()].map(str::as_bytes))
}

pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Store {
    pub(super) fn read_failed(&self, error: &rusqlite::Error) -> JournalError {
        unreadable(&self.path, error)
    }

    pub(super) fn write_failed(&self, error: &rusqlite::Error) -> JournalError {
        unwritten(&self.path, error)
    }

    pub(super) fn refused(&self, why: impl std::fmt::Display) -> JournalError {
        JournalError::Write(format!("{}: {why}", self.path.display()))
    }

    pub(super) fn json<T: serde::Serialize>(&self, value: &T) -> Result<String> {
        serde_json::to_string(value).map_err(|error| self.refused(error))
    }

    pub(super) fn parse<T: serde::de::DeserializeOwned>(&self, what: &str, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| damaged(&self.path, format!("{what}: {error}")))
    }

    /// Runs statements as one transaction unit; the error is a write's.
    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        self.connection.execute_batch(sql).map_err(|error| self.write_failed(&error))
    }

    pub(super) fn open_run(&self, header: &RunHeader) -> Result<()> {
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

    pub(super) fn known(&self, run: &str) -> Result<RunRow> {
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

    pub(super) fn count_open(&self, run: &str) -> Result<usize> {
        let sql = format!("SELECT count(*) FROM records WHERE run = ?1 AND {}", open_condition());
        let count: i64 = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([run], |row| row.get(0)))
            .map_err(|error| self.read_failed(&error))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub(super) fn run(&self, prefix: &str) -> Result<RunSummary> {
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

    pub(super) fn runs(&self) -> Result<Vec<RunSummary>> {
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

    pub(super) fn close_run(&self, run: &str, end: &RunEnd) -> Result<usize> {
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

    pub(super) fn write_end(&self, run: &str, end: &RunEnd) -> Result<()> {
        let known = self.known(run)?;
        let ended = self.json(end)?;
        let sum = run_sum(run, known.header.started.0, &known.header_text, Some(&ended), known.records);
        let done = self.connection.execute("UPDATE runs SET ended = ?1, sum = ?2 WHERE run = ?3", params![ended, sum, run]);
        done.map(drop).map_err(|error| self.write_failed(&error))
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn run_columns(row: &Row<'_>) -> rusqlite::Result<(String, i64, String, Option<String>, i64, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}
