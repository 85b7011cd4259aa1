//! `firedrill abandon`: closes what cannot be undone any more, out loud.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal};
use std::time::SystemTime;

use clap::Args;

use super::Context;
use super::listing::{columns, command, plain, print};
use super::report::find_open;
use crate::event::Phase;
use crate::exit::Exit;
use crate::fault::Record;
use crate::journal::{Journal, JournalError};

/// Close a run's records WITHOUT undoing them
///
/// For the rare case that undoing is impossible or was done by hand: the account is gone, the cluster was rebuilt. Whatever the run changed stays as it
/// is; firedrill stops warning of it and lets other runs touch those targets. A tombstone in the journal keeps what was in place. Try `firedrill resume
/// RUN` first: it undoes.
///
/// Asks for the run id to be typed. Without a terminal, pass it as `--yes-abandon RUN`.
#[derive(Debug, Args)]
pub struct Abandon {
    /// Run id, a unique prefix, `latest` or `latest~N`
    pub run: String,

    /// The whole run id once more, instead of typing it
    #[arg(long, value_name = "RUN")]
    pub yes_abandon: Option<String>,
}

/// Runs the command.
pub async fn run(context: &Context, args: Abandon) -> Exit {
    match abandon(context, &args).await {
        Ok(exit) => exit,
        Err(error) => super::fail_journal(&error),
    }
}

async fn abandon(context: &Context, args: &Abandon) -> Result<Exit, JournalError> {
    let journal = super::existing_journal(context, &args.run)?;
    let run = find_open(&journal, &args.run).await?;
    // Held from here, so that what is shown is what is closed.
    let _claim = journal.claim(&run).await?;
    let summary = journal.run(&run).await?;
    let records = journal.records(&run).await?;
    let open: Vec<&Record> = records.iter().filter(|record| !record.phase.is_closed()).collect();
    if open.is_empty() && summary.end.is_some() {
        print(&format!("run {} has nothing in place; there is nothing to abandon\n", plain(&run)));
        return Ok(Exit::Passed);
    }
    eprint!("{}", warning(context, &run, &open));
    if let Err(exit) = confirm(&run, args.yes_abandon.as_deref()) {
        return Ok(exit);
    }
    let left = journal.abandon(&run, SystemTime::now().into()).await?;
    let noun = if left.len() == 1 { "change" } else { "changes" };
    print(&format!("run {} is closed; {} {noun} NOT undone\n", plain(&run), left.len()));
    Ok(Exit::Passed)
}

fn warning(context: &Context, run: &str, open: &[&Record]) -> String {
    if open.is_empty() {
        return format!("run {} died and has nothing in place; abandoning only closes it\n", plain(run));
    }
    let mut text = format!("this closes run {} and leaves in place what it changed:\n", plain(run));
    let row = |record: &&Record| vec![format!("  {}", plain(&record.step)), plain(&record.target.to_string()), phase(record.phase)];
    text.push_str(&columns(&open.iter().map(row).collect::<Vec<_>>()));
    let _ = writeln!(text, "`{}` would undo it", command(context, &format!("resume {run}")));
    text
}

fn phase(phase: Phase) -> String {
    format!("{phase:?}").to_lowercase()
}

/// The whole id, typed or given: a prefix, or a `y` out of habit, is no confirmation.
fn confirm(run: &str, given: Option<&str>) -> Result<(), Exit> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None if io::stdin().is_terminal() => {
            eprint!("type the run id to abandon it: ");
            let mut line = String::new();
            // An unreadable terminal confirms nothing: the line stays empty.
            let _ = io::stdin().lock().read_line(&mut line);
            line
        }
        None => return Err(super::fail(Exit::Usage, format_args!("not confirmed; without a terminal pass --yes-abandon {run}"))),
    };
    if typed.trim() == run {
        return Ok(());
    }
    Err(super::fail(Exit::Usage, format_args!("not confirmed: '{}' is not {run}; nothing was changed", plain(typed.trim()))))
}
