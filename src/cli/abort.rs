//! `firedrill abort`: a request in the journal that the live run obeys.

use std::time::Duration;

use clap::Args;

use super::Context;
use super::listing::{command, plain, print};
use super::report::find_open;
use crate::exit::Exit;
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, JournalError, RunSummary};

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(250);

/// Ask a live run to stop and undo
///
/// Does what one Ctrl-C in the run's own terminal does: nothing more is injected, everything is undone in order, the report is written. Works from
/// another terminal or for another person with the same state directory. The run answers within a few seconds; --wait stays until it has ended.
///
/// A run whose process has died cannot obey (exit 5): `firedrill resume RUN` undoes what it left. One that has ended needs nothing (exit 0).
#[derive(Debug, Args)]
pub struct Abort {
    /// Run id, a unique prefix, `latest` or `latest~N`
    pub run: String,

    /// Wait until the run has ended; exits 7 when it left something in place
    #[arg(long)]
    pub wait: bool,
}

/// Runs the command.
pub async fn run(context: &Context, args: Abort) -> Exit {
    match abort(context, &args).await {
        Ok(exit) => exit,
        Err(error) => super::fail_journal(&error),
    }
}

async fn abort(context: &Context, args: &Abort) -> Result<Exit, JournalError> {
    let journal = super::existing_journal(context, &args.run)?;
    let summary = journal.run(&find_open(&journal, &args.run).await?).await?;
    let run = summary.header.run.clone();
    if !summary.alive {
        return Ok(not_alive(context, &summary));
    }
    journal.request_abort(&run).await?;
    print(&format!("asked run {} to stop and undo\n", plain(&run)));
    if args.wait { wait(context, &journal, &run).await } else { Ok(Exit::Passed) }
}

fn not_alive(context: &Context, summary: &RunSummary) -> Exit {
    let run = &summary.header.run;
    let why = match (&summary.end, summary.open_records) {
        (Some(end), 0) => {
            print(&format!("run {} has ended already ({:?}, {:?}); nothing to do\n", plain(run), end.verdict, end.cleanliness));
            return Exit::Passed;
        }
        (_, 0) => format!("run {run} is not alive and has nothing in place; `{}` closes it", command(context, &format!("resume {run}"))),
        (_, open) => {
            format!("run {run} is not alive, and {open} of its changes are in place; `{}` undoes them", command(context, &format!("resume {run}")))
        }
    };
    super::fail(Exit::Refused, why)
}

async fn wait(context: &Context, journal: &Sqlite, run: &str) -> Result<Exit, JournalError> {
    loop {
        let summary = journal.run(run).await?;
        if !summary.alive {
            return Ok(match (&summary.end, summary.open_records) {
                (Some(end), 0) => {
                    print(&format!("run {} has ended: {:?}, {:?}\n", plain(run), end.verdict, end.cleanliness));
                    Exit::Passed
                }
                (_, 0) => super::fail(Exit::Internal, format_args!("run {run} died before it could say how it ended; nothing of it is in place")),
                (_, open) => {
                    let undo = command(context, &format!("resume {run}"));
                    super::fail(Exit::StillInPlace, format_args!("run {run} is gone, and {open} of its changes are in place; `{undo}` undoes them"))
                }
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}
