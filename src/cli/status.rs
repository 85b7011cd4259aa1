//! `firedrill status`: what is going on, what is in place, and the command that undoes it.

use std::fmt::Write as _;
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::listing::{age, columns, command, plain, print};
use super::report::find_open;
use super::sweep::expiry;
use crate::clock::{Timestamp, seconds};
use crate::drill::spec::EnvironmentSpec;
use crate::event::Phase;
use crate::exit::Exit;
use crate::fault::registry::Registry;
use crate::fault::{Expiry, Record};
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, JournalError, RunSummary};

mod in_cluster;

/// Show runs that are going on, and everything that is still in place
///
/// For each such run: when it started, whether its process is alive, each change that has not been undone yet with the time by which it is to be gone,
/// and the exact command that undoes it. Reads the journal of this machine only, or with --namespace that of an operator; `firedrill sweep` looks at the
/// world itself.
///
/// Exits 0 when nothing is in place, or a live process is taking care of it; 7 when something is in place and no process is, or when the journal
/// cannot be read and so nobody knows.
#[derive(Debug, Args)]
#[command(after_help = "\
What the operator of a cluster runs, and has in place:
  firedrill status --context staging --namespace firedrill")]
pub struct Status {
    /// Only this run: its id, a unique prefix, `latest` or `latest~N`; with --namespace also the name of its DrillRun
    pub run: Option<String>,

    /// Which operator.
    #[command(flatten)]
    place: in_cluster::Place,

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
    /// Its object, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    drill_run: Option<String>,
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
    let looked = match &args.place.namespace {
        Some(namespace) => in_cluster::look(context, &args.place, namespace, args.run.as_deref()).await,
        None => look(context, args.run.as_deref()).await,
    };
    match looked {
        Ok(shown) => {
            print(&match args.format {
                super::Format::Text => text(&shown, args.run.as_deref(), SystemTime::now().into()),
                super::Format::Json => json(&shown),
            });
            match busy(&shown) {
                Some(why) if args.place.idle => super::fail(Exit::Refused, format_args!("refused: {why}")),
                _ if shown.in_place => Exit::StillInPlace,
                _ => Exit::Passed,
            }
        }
        Err(error @ (JournalError::Unreadable(_) | JournalError::Write(_))) => {
            super::fail(Exit::StillInPlace, format_args!("nobody can say what is in place: {error}"))
        }
        Err(error) => super::fail_journal(&error),
    }
}

/// Why an operator cannot be taken away now, in one line for whoever reads only the last one.
fn busy(shown: &Shown) -> Option<String> {
    let said = shown.runs.iter().map(|run| {
        let name = run.drill_run.as_ref().map_or_else(|| format!("run {}", run.run), |name| format!("DrillRun '{name}'"));
        let what = if run.ended { "is over" } else { "is not over" };
        format!("{name} {what} and has {} target(s) in place", run.open.len())
    });
    let said: Vec<String> = said.take(10).map(|line| plain(&line)).collect();
    let way_out = "wait for its end, or set its spec.abort and wait until it is over, then try again";
    (!said.is_empty()).then(|| format!("{}; {way_out}", said.join("; ")))
}

/// Whether something is in place that no process takes care of.
fn in_place(runs: &[ShownRun]) -> bool {
    runs.iter().any(|run| !run.alive && !run.open.is_empty())
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
    Ok(Shown { journal: Some(journal.path().display().to_string()), in_place: in_place(&runs), runs })
}

async fn show(context: &Context, journal: &Sqlite, summary: RunSummary) -> Result<ShownRun, JournalError> {
    let gone = !summary.alive && summary.header.embedded();
    let run = summary.header.run;
    let records = journal.records(&run).await?;
    let verb = if summary.alive {
        "abort"
    } else if gone {
        "abandon"
    } else {
        "resume"
    };
    let ended = summary.end.is_some() || (!summary.alive && journal.came_to_its_end(&run).await?);
    Ok(ShownRun {
        drill_run: None,
        drill: summary.header.drill,
        environment: summary.header.environment,
        started: summary.header.started,
        alive: summary.alive,
        ended,
        gone,
        open: open(records),
        undo: command(context, &format!("{verb} {run}")),
        run,
    })
}

/// Those that are not undone yet.
fn open(records: Vec<Record>) -> Vec<ShownRecord> {
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
    open.collect()
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
            // Only in a cluster: the operator tries again.
            (true, false, true) => "ENDED WITH CHANGES IN PLACE, and is being undone",
            (true, ..) => "is going on",
            (false, false, false) => "DIED AND LEFT CHANGES IN PLACE",
            (false, false, true) => "ENDED WITH CHANGES IN PLACE",
            (false, true, _) => "died; nothing of it is in place",
        };
        let started = age(now.since(run.started));
        let name = run.drill_run.as_ref().map_or_else(String::new, |name| format!(" (DrillRun {})", plain(name)));
        let _ = writeln!(text, "run {}{name} {state}", plain(&run.run));
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
