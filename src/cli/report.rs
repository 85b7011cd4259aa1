//! `firedrill report`: a stored run's events through the sinks that told it while it was on.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Context;
use super::listing::print;
use super::session::report_dir;
use crate::event::{Event, RunEvent};
use crate::exit::Exit;
use crate::journal::{Journal, JournalError};
use crate::report::story::Story;
use crate::report::{Format, files, summary};
use crate::score;

/// Write a stored run's report again
///
/// Scores the run again from its events, prints the summary, and writes the files: report.html for people, report.json for programs, events.jsonl for
/// everything else. Works for runs that were killed, and for runs that are going on.
///
/// Exits 0 when every file is written, whatever the run's own verdict was.
#[derive(Debug, Args)]
pub struct Report {
    /// Run id, or a unique prefix
    pub run: String,

    /// Where the files go [default: reports/RUN in the state directory]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Which files to write
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub format: Vec<Wanted>,
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
    /// events.jsonl
    Jsonl,
}

/// Runs the command.
pub async fn run(context: &Context, args: Report) -> Exit {
    let (state, events) = match events(context, &args.run).await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let Some(run) = events.iter().find_map(|event| if let Event::RunStarted(header) = &event.body { Some(header.run.clone()) } else { None }) else {
        return super::fail(Exit::Internal, format_args!("run '{}' has no events: it died before it began", args.run));
    };
    let dir = report_dir(args.out.as_deref(), &state, &run);
    write(&dir, &formats(&args.format), &events)
}

async fn events(context: &Context, run: &str) -> Result<(PathBuf, Vec<RunEvent>), Exit> {
    let found = async {
        let journal = super::existing_journal(context, run)?;
        let summary = journal.run(run).await?;
        let events = journal.events(&summary.header.run).await?;
        Ok((journal.dir().to_owned(), events))
    };
    found.await.map_err(|error: JournalError| super::fail_journal(&error))
}

fn formats(wanted: &[Wanted]) -> Vec<Format> {
    let has = |one: Wanted| wanted.contains(&Wanted::All) || wanted.contains(&one);
    let each = |format: &Format| match format {
        Format::Html => has(Wanted::Html),
        Format::Json => has(Wanted::Json),
        Format::Jsonl => has(Wanted::Jsonl),
    };
    Format::ALL.into_iter().filter(each).collect()
}

/// Writes the files of a run and prints its summary; [`Exit::Internal`] when one could not be written.
fn write(dir: &Path, formats: &[Format], events: &[RunEvent]) -> Exit {
    let card = score::evaluate(events);
    let written = files::write(dir, formats, events, &card);
    let html = written.iter().find(|file| file.format == Format::Html && file.result.is_ok()).map(|file| file.path.as_path());
    let mut text = summary::summary(&Story::of(events), &card, html);
    for file in written.iter().filter(|file| file.result.is_ok() && file.format != Format::Html) {
        text.push_str(&format!("{}{}\n", " ".repeat(8), file.path.display()));
    }
    print(&text);
    let mut exit = Exit::Passed;
    for file in &written {
        if let Err(error) = &file.result {
            exit = super::fail(Exit::Internal, format_args!("cannot write {}: {error}", file.path.display()));
        }
    }
    exit
}
