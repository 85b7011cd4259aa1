//! `firedrill status`: what is going on, what is in place, and the command that undoes it.

use std::fmt::Write as _;
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::listing::{age, columns, command, plain, print, seconds};
use super::report::find_open;
use super::sweep::expiry;
use crate::clock::Timestamp;
use crate::drill::spec::EnvironmentSpec;
use crate::event::Phase;
use crate::exit::Exit;
use crate::fault::Expiry;
use crate::fault::registry::Registry;
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, JournalError, RunSummary};

/// Show runs that are going on, and everything that is still in place
///
/// For each such run: when it started, whether its process is alive, each change that has not been undone yet with the time by which it is to be gone,
/// and the exact command that undoes it. Reads the journal of this machine only; `firedrill sweep` looks at the world itself.
///
/// Exits 0 when nothing is in place, or a live process is taking care of it; 7 when something is in place and no process is, or when the journal
/// cannot be read and so nobody knows.
#[derive(Debug, Args)]
pub struct Status {
    /// Only this run: its id, a unique prefix, `latest` or `latest~N`
    pub run: Option<String>,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: super::Format,
}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    journal: Option<String>,
    in_place: bool,
    runs: Vec<ShownRun>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRun {
    run: String,
    drill: String,
    environment: String,
    started: Timestamp,
    alive: bool,
    ended: bool,
    /// Its embedded sandbox ended with it, and what was in place too.
    gone: bool,
    open: Vec<ShownRecord>,
    /// The command that undoes what is in place.
    undo: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRecord {
    step: String,
    kind: String,
    action: bool,
    target: String,
    phase: Phase,
    undo_by: Timestamp,
    /// It goes away by itself by then.
    expires: bool,
}

/// Runs the command.
pub async fn run(context: &Context, args: Status) -> Exit {
    match look(context, args.run.as_deref()).await {
        Ok(shown) => {
            let exit = if shown.in_place { Exit::StillInPlace } else { Exit::Passed };
            print(&match args.format {
                super::Format::Text => text(&shown, args.run.as_deref(), SystemTime::now().into()),
                super::Format::Json => json(&shown),
            });
            exit
        }
        Err(error @ (JournalError::Unreadable(_) | JournalError::Write(_))) => {
            super::fail(Exit::StillInPlace, format_args!("nobody can say what is in place: {error}"))
        }
        Err(error) => super::fail_journal(&error),
    }
}

fn json(shown: &Shown) -> String {
    // Strings, numbers and lists only: it cannot fail.
    serde_json::to_string_pretty(shown).unwrap_or_default() + "\n"
}

async fn look(context: &Context, only: Option<&str>) -> Result<Shown, JournalError> {
    let Some(journal) = Sqlite::open_existing(context.state_dir.as_deref())? else {
        return only.map_or(Ok(Shown { journal: None, in_place: false, runs: Vec::new() }), |run| Err(JournalError::NoSuchRun(run.to_owned())));
    };
    let wanted = match only {
        Some(name) => vec![journal.run(&find_open(&journal, name).await?).await?],
        None => journal.runs().await?,
    };
    let mut runs = Vec::new();
    for summary in wanted.into_iter().filter(|run| run.end.is_none() || run.open_records > 0 || run.alive) {
        runs.push(show(context, &journal, summary).await?);
    }
    let in_place = runs.iter().any(|run| !run.alive && !run.open.is_empty());
    Ok(Shown { journal: Some(journal.path().display().to_string()), in_place, runs })
}

async fn show(context: &Context, journal: &Sqlite, summary: RunSummary) -> Result<ShownRun, JournalError> {
    let gone = !summary.alive && summary.header.embedded();
    let run = summary.header.run;
    let records = journal.records(&run).await?;
    let kinds = Registry::new(&EnvironmentSpec::default());
    let open = records.into_iter().filter(|record| !record.phase.is_closed()).map(|record| ShownRecord {
        expires: expiry(&record, &kinds) != Expiry::None,
        step: record.step,
        kind: record.kind,
        action: record.action,
        target: record.target.to_string(),
        phase: record.phase,
        undo_by: record.undo_by,
    });
    let verb = if summary.alive {
        "abort"
    } else if gone {
        "abandon"
    } else {
        "resume"
    };
    let ended = summary.end.is_some() || (!summary.alive && journal.came_to_its_end(&run).await?);
    Ok(ShownRun {
        drill: summary.header.drill,
        environment: summary.header.environment,
        started: summary.header.started,
        alive: summary.alive,
        ended,
        gone,
        open: open.collect(),
        undo: command(context, &format!("{verb} {run}")),
        run,
    })
}

fn text(shown: &Shown, only: Option<&str>, now: Timestamp) -> String {
    let Some(journal) = &shown.journal else {
        return "nothing in place: no run has been remembered on this machine yet\n".into();
    };
    if let (true, Some(only)) = (shown.runs.is_empty(), only) {
        return format!("nothing of run {} is in place, and it is over ({})\n", plain(only), plain(journal));
    }
    if shown.runs.is_empty() {
        return format!("nothing in place, and no run is going on ({})\n", plain(journal));
    }
    let mut text = String::new();
    for run in &shown.runs {
        let state = match (run.alive, run.open.is_empty(), run.ended) {
            (true, ..) => "is going on",
            (false, false, false) => "DIED AND LEFT CHANGES IN PLACE",
            (false, false, true) => "ENDED WITH CHANGES IN PLACE",
            (false, true, _) => "died; nothing of it is in place",
        };
        let started = age(now.since(run.started));
        let _ = writeln!(text, "run {} {state}", plain(&run.run));
        let _ = writeln!(
            text,
            "  drill {}, environment {}, started {} ({started} ago)",
            plain(&run.drill),
            plain(&run.environment),
            seconds(run.started)
        );
        if !run.open.is_empty() {
            let mut rows = vec![["  STEP", "TARGET", "PHASE", "UNDO BY"].map(str::to_owned).to_vec()];
            rows.extend(run.open.iter().map(|record| row(record, now)));
            text.push_str(&columns(&rows));
        }
        let purpose = match (run.alive, run.open.is_empty()) {
            (true, _) => "to stop and undo it",
            (false, false) if run.gone => "its embedded sandbox ended with it, and these changes too; to close it",
            (false, false) => "to undo it",
            (false, true) => "to close it",
        };
        let _ = writeln!(text, "  {purpose}: {}\n", run.undo);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn row(record: &ShownRecord, now: Timestamp) -> Vec<String> {
    let left =
        if record.undo_by > now { format!("in {}", age(record.undo_by.since(now))) } else { format!("{} ago", age(now.since(record.undo_by))) };
    let deadline = if record.expires { format!("{} ({left})", seconds(record.undo_by)) } else { "no expiry of its own".to_owned() };
    let phase = format!("{:?}", record.phase).to_lowercase();
    vec![format!("  {}", plain(&record.step)), plain(&record.target), phase, deadline]
}
