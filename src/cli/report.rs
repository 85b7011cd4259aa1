//! `firedrill report`: a stored run's events through the sinks that told it while it was on.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Context;
use super::listing::{print, program};
use super::session::{report_dir, warn};
use crate::event::{Event, RunEvent};
use crate::exit::Exit;
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, JournalError};
use crate::report::files::Writer;
use crate::report::story::Reader;
use crate::report::{Format, Written, summary};
use crate::score::Scorer;

mod browser;

/// Write a stored run's report again
///
/// Scores the run again from its events, prints the summary, and writes the files: report.html for people, report.md for pull requests and chat,
/// junit.xml for CI servers, report.json for programs, events.jsonl for everything else. Works for runs that were killed, and for runs that are going on.
///
/// Exits 0 when every file is written, whatever the run's own verdict was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill report latest --open
  firedrill report latest~1 --format md,junit --out artifacts")]
pub struct Report {
    /// Run id, a unique prefix, `latest`, or `latest~N` for the Nth before it
    pub run: String,

    /// Where the files go [default: reports/RUN in the state directory]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Which files to write: one or more of these, with commas between, as in md,junit
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub format: Vec<Wanted>,

    /// Open report.html in a browser ($BROWSER, else the desktop's); prints its path where there is no display
    #[arg(long)]
    pub open: bool,
}

/// What `--format` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wanted {
    /// All of them
    All,
    /// report.html
    Html,
    /// report.json
    Json,
    /// report.md
    Md,
    /// junit.xml
    Junit,
    /// events.jsonl
    Jsonl,
}

/// Runs the command.
pub async fn run(context: &Context, args: Report) -> Exit {
    let mut formats = formats(&args.format);
    if args.open && !formats.contains(&Format::Html) {
        formats.push(Format::Html);
    }
    let told = match replay(context, &args, &formats).await {
        Ok(told) => told,
        Err(error) => return super::fail_journal(&error),
    };
    let Told { writer: Some(writer), scorer, .. } = told else {
        return super::fail(Exit::Internal, format_args!("run '{}' has no events: it died before it began", args.run));
    };
    let card = summary::so_far(writer.story(), scorer.card());
    let (written, account) = writer.finish(&card);
    let html = written.iter().find(|file| file.format == Format::Html && file.result.is_ok()).map(|file| file.path.clone());
    // The page for people first.
    let mut files: Vec<&Path> = html.as_deref().into_iter().collect();
    files.extend(written.iter().filter(|file| file.result.is_ok() && file.format != Format::Html).map(|file| file.path.as_path()));
    print(&summary::with_files(account.story(), &card, &files));
    let exit = ended(&written);
    if let (true, Some(html)) = (args.open, html) {
        open(&html);
    }
    exit
}

/// What takes the events as they are read: nothing keeps them.
struct Told {
    dir: Box<dyn Fn(&str) -> PathBuf + Send>,
    reader: Reader,
    formats: Vec<Format>,
    /// None until the stream has said which run it is.
    writer: Option<Writer>,
    scorer: Scorer,
}

impl Told {
    fn take(&mut self, event: &RunEvent) {
        if let (None, Event::RunStarted(header)) = (&self.writer, &event.body) {
            self.writer = Some(Writer::new(&(self.dir)(&header.run), &self.formats).read_by(self.reader.clone()));
        }
        self.scorer.take(event);
        if let Some(writer) = &mut self.writer {
            writer.event(event);
        }
    }
}

async fn replay(context: &Context, args: &Report, formats: &[Format]) -> Result<Told, JournalError> {
    let journal = super::existing_journal(context, &args.run)?;
    let run = find(&journal, &args.run).await?;
    // Before the events are read: a run that ends meanwhile says so itself.
    let summary = journal.run(&run).await?;
    let reader = Reader { program: Some(program(context)), alive: summary.alive, gone: summary.header.embedded() };
    let (out, state) = (args.out.clone(), journal.dir().to_owned());
    let dir = Box::new(move |run: &str| report_dir(out.as_deref(), &state, run));
    let told = Told { dir, reader, formats: formats.to_vec(), writer: None, scorer: Scorer::default() };
    journal.replay(&run, told, Told::take).await
}

/// The id of the run that a person named: an id, a unique prefix, `latest`, `latest~2`.
pub(super) async fn find(journal: &Sqlite, name: &str) -> Result<String, JournalError> {
    let Some(back) = latest(name) else { return Ok(journal.run(name).await?.header.run) };
    let runs = journal.runs().await?;
    runs.into_iter().nth(back).map(|run| run.header.run).ok_or_else(|| JournalError::NoSuchRun(name.to_owned()))
}

/// The same, for what is done to runs that live or left something: where a beginning fits several runs, those come first.
pub(super) async fn find_open(journal: &Sqlite, name: &str) -> Result<String, JournalError> {
    match find(journal, name).await {
        Err(JournalError::Ambiguous { prefix, candidates }) => {
            let begins = |run: &str| run.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
            let wanted = journal.runs().await?.into_iter().filter(|run| begins(&run.header.run));
            let open: Vec<String> = wanted.filter(|run| run.alive || run.open_records > 0).map(|run| run.header.run).collect();
            match open.as_slice() {
                [] => Err(JournalError::Ambiguous { prefix, candidates }),
                [one] => Ok(one.clone()),
                _ => Err(JournalError::Ambiguous { prefix, candidates: open }),
            }
        }
        found => found,
    }
}

/// How many runs before the latest one.
fn latest(name: &str) -> Option<usize> {
    match name.strip_prefix("latest")? {
        "" => Some(0),
        back => back.strip_prefix('~')?.parse().ok(),
    }
}

fn formats(wanted: &[Wanted]) -> Vec<Format> {
    let has = |one: Wanted| wanted.contains(&Wanted::All) || wanted.contains(&one);
    let each = |format: &Format| match format {
        Format::Html => has(Wanted::Html),
        Format::Json => has(Wanted::Json),
        Format::Markdown => has(Wanted::Md),
        Format::Junit => has(Wanted::Junit),
        Format::Jsonl => has(Wanted::Jsonl),
    };
    Format::ALL.into_iter().filter(each).collect()
}

fn ended(written: &[Written]) -> Exit {
    let mut exit = Exit::Passed;
    for file in written {
        if let Err(error) = &file.result {
            exit = super::fail(Exit::Internal, format_args!("cannot write {}: {error}", file.path.display()));
        }
    }
    exit
}

/// The report is written and said to be: that no browser shows it is worth a word, not an exit code.
fn open(html: &Path) {
    let html = html.canonicalize().unwrap_or_else(|_| html.to_owned());
    match browser::open(&html) {
        Ok(with) => print(&format!("opened  {} with {with}\n", html.display())),
        Err(why) => warn(&format!("not opened: {why}; the report is {}", html.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_runs_have_names() {
        assert_eq!(["latest", "latest~0", "latest~3"].map(latest), [Some(0), Some(0), Some(3)]);
        assert_eq!(["01KB2QXW", "latest~", "latest~x", "latest2", "late"].map(latest), [None; 5]);
    }
}
