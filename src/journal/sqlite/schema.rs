//! The journal's file: made whole or not at all, opened with the settings that make it durable, checked before it is believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::seal;
use crate::fault::RECORD_VERSION;
use crate::journal::{JournalError, phases, place, witness};

/// The version of the tables below, in the file's `user_version`. A file with another one is not read.
pub const SCHEMA_VERSION: i64 = 1;

/// `application_id` of the file: "fdrl".
const APPLICATION_ID: i64 = 0x6664_726c;

/// How long a write waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// Size up to which the whole file is checked at every opening: some 0.1 s.
const CHECKED_WHOLE: u64 = 32 << 20;

/// Name of the file in the state directory.
pub const FILE: &str = "journal.db";

/// What a reader is told when the file cannot be believed.
const WAY_OUT: &str = "what it knew may still be in place; keep it; `firedrill sweep --env FILE` finds leftovers by their marks, without it";

/// A record is open unless this build knows that its phase is closed. Text of the query and of the partial index, which must be the same.
pub fn open_condition() -> String {
    let closed = phases::CLOSED.map(|phase| format!("'{phase}'")).join(", ");
    format!("(phase NOT IN ({closed}) OR phase_by > {RECORD_VERSION})")
}

/// Every table. `sum` is a checksum over the row: SQLite's own checks see damaged pages, not a flipped bit inside a value.
fn tables() -> Vec<String> {
    let mut tables: Vec<String> = [
        "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), runs INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT",
        "CREATE TABLE runs (run TEXT NOT NULL PRIMARY KEY, started INTEGER NOT NULL, header TEXT NOT NULL, ended TEXT, records INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT",
        "CREATE TABLE records (key INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, step TEXT NOT NULL, place TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, phase TEXT NOT NULL, phase_by INTEGER NOT NULL, sum INTEGER NOT NULL, UNIQUE (run, step, place, id)) STRICT",
        "CREATE TABLE phases (record INTEGER NOT NULL REFERENCES records, n INTEGER NOT NULL, at INTEGER NOT NULL, phase TEXT NOT NULL, detail TEXT, PRIMARY KEY (record, n)) STRICT, WITHOUT ROWID",
        "CREATE TABLE events (run TEXT NOT NULL REFERENCES runs, seq INTEGER NOT NULL, body TEXT NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (run, seq)) STRICT, WITHOUT ROWID",
        "CREATE TABLE aborts (run TEXT NOT NULL PRIMARY KEY REFERENCES runs, at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE tombstones (run TEXT NOT NULL PRIMARY KEY REFERENCES runs, at INTEGER NOT NULL, records TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ]
    .map(str::to_owned)
    .into();
    tables.push(format!("CREATE INDEX open_targets ON records (place, id, run) WHERE {}", open_condition()));
    tables
}

/// Opens the journal in a directory that [`place::prepare`] has accepted; makes it when there is none and none has been lost.
pub fn open(dir: &Path) -> Result<Connection, JournalError> {
    let path = dir.join(FILE);
    // The directory's own lock: two first runs at once make one file.
    let unwritable = |error: io::Error| JournalError::Write(format!("{}: {error}", path.display()));
    let making = File::open(dir).map_err(unwritable)?;
    making.lock().map_err(unwritable)?;
    let promised = witness::all(dir)?;
    if fs::symlink_metadata(&path).is_err() {
        if let Some(run) = promised.keys().next() {
            return Err(damaged(&path, format!("the file is gone, but run {run} had changes in place")));
        }
        make(dir, &path)?;
    }
    drop(making);
    look(&path)?;
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW)
            .map_err(|error| unreadable(&path, &error))?;
    configure(&connection, &path)?;
    check(&connection, &path)?;
    for (run, count) in promised {
        let known: i64 = connection
            .query_row("SELECT count(*) FROM records WHERE run = ?1", [&run], |row| row.get(0))
            .map_err(|error| unreadable(&path, &error))?;
        if u64::try_from(known).unwrap_or(0) < count {
            return Err(damaged(&path, format!("run {run} had {count} records and {known} are left")));
        }
    }
    Ok(connection)
}

/// A journal that exists under its name is complete: it is made under another name, synced, then renamed.
fn make(dir: &Path, path: &Path) -> Result<(), JournalError> {
    let new = dir.join(format!("{FILE}.new"));
    let failed = |error: &dyn std::fmt::Display| JournalError::Write(format!("{}: {error}", new.display()));
    for left in [new.clone(), dir.join(format!("{FILE}.new-wal")), dir.join(format!("{FILE}.new-shm"))] {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
    }
    // SQLite gives its side files the mode of the main file.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(|error| failed(&error))?;
    let fill = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(&new, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let wanted: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        debug_assert_eq!(wanted, "wal");
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch("BEGIN")?;
        for table in tables() {
            connection.execute(&table, [])?;
        }
        connection.execute("INSERT INTO meta VALUES (1, 0, ?1)", [seal(&[b"meta", b"0"])])?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        connection.execute_batch("COMMIT")?;
        connection.close().map_err(|(_, error)| error)
    };
    fill().map_err(|error| failed(&error))?;
    let settle = || -> io::Result<()> {
        File::open(&new)?.sync_all()?;
        fs::rename(&new, path)?;
        File::open(dir)?.sync_all()
    };
    settle().map_err(|error| failed(&error))
}

/// Looks at the file itself before SQLite does: SQLite takes an empty file for a new database.
fn look(path: &Path) -> Result<(), JournalError> {
    let about = fs::symlink_metadata(path).map_err(|error| damaged(path, error.to_string()))?;
    if !about.is_file() {
        return Err(damaged(path, "not a plain file".into()));
    }
    let mut magic = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if &magic == b"SQLite format 3\0" => Ok(()),
        Ok(()) => Err(damaged(path, "not a journal: its first bytes are wrong".into())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(damaged(path, format!("truncated to {} bytes", about.len()))),
        Err(error) => Err(damaged(path, error.to_string())),
    }
}

fn configure(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let set = || -> rusqlite::Result<(String, i64)> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        connection.pragma_update(None, "cell_size_check", "ON")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Only macOS has a sync that the disk may ignore; elsewhere these two do nothing.
        connection.pragma_update(None, "fullfsync", "ON")?;
        connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
        let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        Ok((mode, connection.pragma_query_value(None, "synchronous", |row| row.get(0))?))
    };
    match set() {
        Ok((mode, 2)) if mode == "wal" => Ok(()),
        Ok((mode, synchronous)) => Err(JournalError::Unusable(format!(
            "{} cannot be made durable (journal mode {mode}, synchronous {synchronous}); pass a --state-dir on a local disk",
            path.display()
        ))),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Believes nothing that is newer, foreign, or damaged.
fn check(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(|error| unreadable(path, &error));
    let (application, version) = (number("application_id")?, number("user_version")?);
    if application != APPLICATION_ID {
        return Err(damaged(path, "not a journal of firedrill".into()));
    }
    if version > SCHEMA_VERSION {
        let newer = format!("written by a newer firedrill (format {version}; this build knows {SCHEMA_VERSION}); use that build, above all to undo");
        return Err(JournalError::Unreadable(format!("{}: {newer}", path.display())));
    }
    if version != SCHEMA_VERSION {
        return Err(damaged(path, format!("format {version} was never written")));
    }
    let all = |sql: &str| -> rusqlite::Result<Vec<String>> { connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect() };
    let read = |sql: &str| all(sql).map_err(|error| unreadable(path, &error));
    let mut have = read("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let mut want = tables();
    have.sort();
    want.sort();
    if have != want {
        return Err(damaged(path, "its tables are not those of this format".into()));
    }
    // Every page where that is quick. Events are most of a large file; each is checked when it is read, and none is needed to undo.
    let size = fs::metadata(path).map_or(0, |about| about.len());
    let pages: &[&str] = if size <= CHECKED_WHOLE {
        &["PRAGMA quick_check(1)"]
    } else {
        &["PRAGMA quick_check('meta')", "PRAGMA quick_check('phases')", "PRAGMA quick_check('aborts')", "PRAGMA quick_check('tombstones')"]
    };
    // And the indexes of the two tables that undo depends on against their rows, which the quick check leaves out.
    for sql in pages.iter().chain(&["PRAGMA integrity_check('runs')", "PRAGMA integrity_check('records')"]) {
        match read(sql)?.as_slice() {
            [fine] if fine == "ok" => {}
            problems => return Err(damaged(path, problems.first().cloned().unwrap_or_else(|| "the check said nothing".into()))),
        }
    }
    Ok(())
}

/// An error for a file that is damaged.
pub fn damaged(path: &Path, what: String) -> JournalError {
    JournalError::Unreadable(format!("{}: {what}; {WAY_OUT}", path.display()))
}

/// What a failed reading means.
pub fn unreadable(path: &Path, error: &rusqlite::Error) -> JournalError {
    damaged(path, error.to_string())
}

/// What a failed writing means: damage is damage, everything else is a write that did not become durable.
pub fn unwritten(path: &Path, error: &rusqlite::Error) -> JournalError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => damaged(path, error.to_string()),
        Some(DiskFull) => JournalError::Write(format!("{}: the disk is full; free some space", path.display())),
        Some(DatabaseBusy | DatabaseLocked) => {
            JournalError::Write(format!("{}: another process has been writing for {} seconds", path.display(), BUSY.as_secs()))
        }
        _ => JournalError::Write(format!("{}: {error}", path.display())),
    }
}

/// The canonical directory, so that no link in it can be exchanged later.
pub fn canonical(dir: &Path) -> Result<PathBuf, JournalError> {
    dir.canonicalize().map_err(|error| JournalError::Unusable(format!("cannot read state directory {}: {error}", dir.display())))
}

/// Makes the place and opens the journal in it.
pub fn open_in(dir: &Path, make_parents: bool) -> Result<(PathBuf, Connection), JournalError> {
    place::prepare(dir, make_parents)?;
    let dir = canonical(dir)?;
    let connection = open(&dir)?;
    Ok((dir, connection))
}
