//! A second, independent memory of how many intents a run has: without it a damaged write-ahead log would look like an older, shorter journal.
//!
//! SQLite ends a write-ahead log at the first frame whose checksum is wrong, so one flipped bit silently drops every later commit. After each
//! commit of intents the number of the run's records is therefore appended to `runs/<run>.intents` and synced; a database that knows fewer is
//! [`JournalError::Unreadable`]. The file goes when the run has ended with nothing open.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::JournalError;

fn path_of(dir: &Path, run: &str) -> PathBuf {
    dir.join("runs").join(format!("{run}.intents"))
}

/// Remembers that the run has `count` records. Durable when it returns.
pub fn remember(dir: &Path, run: &str, count: u64) -> Result<(), JournalError> {
    let path = path_of(dir, run);
    let write = || -> io::Result<()> {
        let new = !path.exists();
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        // One write, so that a crash leaves a whole line or a torn one without its end.
        file.write_all(format!("{count}\n").as_bytes())?;
        file.sync_data()?;
        if new { File::open(dir.join("runs"))?.sync_all() } else { Ok(()) }
    };
    write().map_err(|error| JournalError::Write(format!("{}: {error}", path.display())))
}

/// Forgets a run that has nothing open any more.
pub fn forget(dir: &Path, run: &str) -> Result<(), JournalError> {
    let path = path_of(dir, run);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JournalError::Write(format!("{}: {error}", path.display()))),
        _ => Ok(()),
    }
}

/// How many records each run must have at least.
pub fn all(dir: &Path) -> Result<BTreeMap<String, u64>, JournalError> {
    let runs = dir.join("runs");
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| JournalError::Unreadable(format!("{}: {error}", path.display()));
    let entries = match fs::read_dir(&runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(unreadable(&runs, &error)),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&runs, &error))?.path();
        let Some(run) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".intents")) else { continue };
        match fs::read_to_string(&path) {
            Ok(text) => found.insert(run.to_owned(), highest(&text).ok_or_else(|| unreadable(&path, &"not a list of numbers: it is damaged"))?),
            // The run ended cleanly between the listing and the reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path, &error)),
        };
    }
    Ok(found)
}

/// The highest number of whole lines; a last line without its end is a crash's and does not count. None when a whole line is no number.
fn highest(text: &str) -> Option<u64> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().try_fold(0, |most, line| line.parse::<u64>().ok().map(|count| most.max(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_a_crash_and_anything_else_is_damage() {
        assert_eq!(highest(""), Some(0));
        assert_eq!(highest("3\n500\n"), Some(500));
        assert_eq!(highest("3\n50"), Some(3));
        assert_eq!(highest("3\nx0\n"), None);
        assert_eq!(highest("\0\0\n"), None);
    }
}
