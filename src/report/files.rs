//! Writes a run's files: each whole or not at all, and each whatever happens to the others.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{html, json, jsonl};
use crate::event::RunEvent;
use crate::score::Scorecard;

/// A file of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `report.html`, for people.
    Html,
    /// `report.json`, for programs.
    Json,
    /// `events.jsonl`, the stream.
    Jsonl,
}

impl Format {
    /// All of them. The stream comes first: the others can be made from it again.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::Json, Self::Html];

    /// Name of the file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Html => "report.html",
            Self::Json => "report.json",
            Self::Jsonl => "events.jsonl",
        }
    }

    /// The file's content.
    ///
    /// # Errors
    /// When the stream has no header (not for [`Self::Jsonl`]), or a template fails.
    pub fn render(self, events: &[RunEvent], scorecard: &Scorecard) -> io::Result<Vec<u8>> {
        match self {
            Self::Html => html::render(events, scorecard).map(String::into_bytes),
            Self::Json => json::render(events, scorecard),
            Self::Jsonl => jsonl::render(events),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name())
    }
}

/// What became of a file.
#[derive(Debug)]
pub struct Written {
    /// Which.
    pub format: Format,
    /// Where it is, or should have been.
    pub path: PathBuf,
    /// Whether it is there.
    pub result: io::Result<()>,
}

/// Writes every file of a run into `dir`, which is created where it is missing. One that fails does not stop the others.
///
/// Files appear whole, by a rename, with the permissions that the umask gives: reports are made to be shared, and hold no secrets.
#[must_use]
pub fn write_all(dir: &Path, events: &[RunEvent], scorecard: &Scorecard) -> Vec<Written> {
    write(dir, &Format::ALL, events, scorecard)
}

/// Writes these files of a run; see [`write_all`].
#[must_use]
pub fn write(dir: &Path, formats: &[Format], events: &[RunEvent], scorecard: &Scorecard) -> Vec<Written> {
    let one = |format: &Format| {
        let path = dir.join(format.file_name());
        let result = fs::create_dir_all(dir).and_then(|()| whole(&path, &format.render(events, scorecard)?));
        Written { format: *format, path, result }
    };
    formats.iter().map(one).collect()
}

/// Replaces `path` by a file with this content; at no moment is half of it there.
fn whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // In the same directory, since a rename does not cross file systems; a name of its own, since two processes may write the same report.
    let draft = path.with_file_name(format!(".{name}.{}.tmp", ulid::Ulid::generate()));
    let written = draft_and_rename(&draft, path, content);
    if written.is_err() {
        // The error that matters is the one being returned.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn draft_and_rename(draft: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

/// A stream that does not begin with `RunStarted` says too little for a report.
pub(super) fn headless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the stream does not say which drill was run (no runStarted event)")
}
