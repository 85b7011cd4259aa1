//! Writes a run's files: each whole or not at all, and each whatever happens to the others.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::account::Account;
use super::jsonl::Lines;
use super::story::{Reader, Story};
use super::{html, json, jsonl, junit, markdown};
use crate::event::RunEvent;
use crate::score::Scorecard;

/// Bytes written at once.
const BUFFER: usize = 256 << 10;

/// A file of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `report.html`, for people.
    Html,
    /// `report.json`, for programs.
    Json,
    /// `report.md`, for pull requests, wikis and chat.
    Markdown,
    /// `junit.xml`, for CI servers.
    Junit,
    /// `events.jsonl`, the stream.
    Jsonl,
}

impl Format {
    /// All of them. The stream comes first: the others can be made from it again.
    pub const ALL: [Self; 5] = [Self::Jsonl, Self::Json, Self::Html, Self::Markdown, Self::Junit];

    /// Name of the file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Html => "report.html",
            Self::Json => "report.json",
            Self::Markdown => "report.md",
            Self::Junit => "junit.xml",
            Self::Jsonl => "events.jsonl",
        }
    }

    /// The file's content.
    ///
    /// # Errors
    /// When the stream has no header (not for [`Self::Jsonl`]), or a template fails.
    pub fn render(self, events: &[RunEvent], scorecard: &Scorecard) -> io::Result<Vec<u8>> {
        match self {
            Self::Jsonl => jsonl::render(events),
            _ => {
                let mut out = Vec::new();
                self.tell(&Account::of(events), scorecard, &mut out)?;
                Ok(out)
            }
        }
    }

    /// Writes a file that is made from the account; the stream itself is not one.
    fn tell(self, account: &Account, scorecard: &Scorecard, mut out: impl Write) -> io::Result<()> {
        match self {
            Self::Html => out.write_all(html::page(account, scorecard)?.as_bytes()),
            Self::Json => json::write(account.story(), scorecard, out),
            Self::Markdown => out.write_all(markdown::render(account.story(), scorecard)?.as_bytes()),
            Self::Junit => out.write_all(&junit::render(account.story(), scorecard)?),
            Self::Jsonl => Err(io::Error::other("the stream is written event by event")),
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
    let mut writer = Writer::new(dir, &Format::ALL);
    for event in events {
        writer.event(event);
    }
    writer.finish(scorecard).0
}

/// Writes the files of a run while its events come by: only the stream itself is written as they do, the others from the account at the end.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    formats: Vec<Format>,
    account: Account,
    /// None when it was not asked for.
    stream: Option<io::Result<Draft>>,
    lines: Lines,
}

impl Writer {
    /// Will write these files.
    #[must_use]
    pub fn new(dir: &Path, formats: &[Format]) -> Self {
        let stream = formats.contains(&Format::Jsonl).then(|| Draft::new(&dir.join(Format::Jsonl.file_name())));
        Self { dir: dir.to_owned(), formats: formats.to_vec(), account: Account::default(), stream, lines: Lines::default() }
    }

    /// For this reader.
    #[must_use]
    pub fn read_by(mut self, reader: Reader) -> Self {
        self.account.read_by(reader);
        self
    }

    /// The run so far.
    #[must_use]
    pub fn story(&self) -> &Story {
        self.account.story()
    }

    /// Takes the next event.
    pub fn event(&mut self, event: &RunEvent) {
        self.account.take(event);
        if let Some(Ok(draft)) = &mut self.stream
            && let Err(error) = self.lines.line(&mut draft.out, event)
        {
            self.stream = Some(Err(error));
        }
    }

    /// Writes what is left to write; the account is there for whoever wants to tell more.
    #[must_use]
    pub fn finish(self, scorecard: &Scorecard) -> (Vec<Written>, Account) {
        let Self { dir, formats, account, mut stream, lines: _ } = self;
        let one = |format: &Format| {
            let path = dir.join(format.file_name());
            let result = match (format, stream.take()) {
                (Format::Jsonl, Some(draft)) => draft.and_then(Draft::settle),
                (_, kept) => {
                    stream = kept;
                    whole(&path, |out| format.tell(&account, scorecard, out))
                }
            };
            Written { format: *format, path, result }
        };
        (formats.iter().map(one).collect(), account)
    }
}

/// Replaces `path` by what is written; at no moment is half of it there.
fn whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut draft = Draft::new(path)?;
    write(&mut draft.out)?;
    draft.settle()
}

/// A file under another name until it is whole; removed when it is given up.
#[derive(Debug)]
struct Draft {
    out: BufWriter<File>,
    draft: PathBuf,
    path: PathBuf,
    settled: bool,
}

impl Draft {
    fn new(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // In the same directory, since a rename does not cross file systems; a name of its own, since two processes may write the same report.
        let draft = path.with_file_name(format!(".{name}.{}.tmp", ulid::Ulid::generate()));
        let file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
        Ok(Self { out: BufWriter::with_capacity(BUFFER, file), draft, path: path.to_owned(), settled: false })
    }

    fn settle(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        fs::rename(&self.draft, &self.path)?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.settled {
            // The error that matters is the one being returned.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

/// A stream that does not begin with `RunStarted` says too little for a report.
pub(super) fn headless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the stream does not say which drill was run (no runStarted event)")
}
