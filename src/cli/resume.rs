//! `firedrill resume`: finishes the undo of a run whose process died.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::listing::command;
use super::report::find_open;
use super::session::{Telling, conclude, listen, report_dir, say, warn};
use super::sweep::gate_is_missing;
use super::{Context, existing_journal, fail, fail_journal};
use crate::clock::Clock;
use crate::drill::spec::EnvironmentSpec;
use crate::engine::control::Control;
use crate::engine::recovery::{self, RecoveryError};
use crate::exit::Exit;
use crate::journal::{Journal, JournalError};
use crate::prepare::recovery_world;

/// Finish the undo of a run that died
///
/// Reads in the journal what was in place, looks at each target, and puts back what is still as the run made it. Never continues a drill: its verdict is
/// aborted. May be repeated, and stopped, at any time. Exits 7 while something is in place.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill status                which runs, and what is in place
  firedrill resume latest         the run that began last
  firedrill resume 01KB2QXW8V     the first letters of a run id are enough")]
pub struct Resume {
    /// Run id, a unique prefix (`firedrill status` lists them), `latest` or `latest~N`
    pub run: String,

    /// Folder of the report [default: reports/RUN in the state directory]
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(context: &Context, args: Resume) -> Exit {
    match resume(context, &args).await {
        Ok(exit) => exit,
        Err(RecoveryError::Journal(error @ JournalError::NoSuchRun(_))) => {
            fail(Exit::Usage, format!("{error}, and `firedrill sweep --env FILE` finds what is in place without the journal"))
        }
        Err(RecoveryError::Journal(error)) => fail_journal(&error),
        Err(error) => fail(Exit::Refused, error),
    }
}

async fn resume(context: &Context, args: &Resume) -> Result<Exit, RecoveryError> {
    let journal = Arc::new(existing_journal(context, &args.run)?);
    let run = find_open(&journal, &args.run).await?;
    let _claim = journal.claim(&run).await?;
    // Read again under the claim: the run may have ended meanwhile.
    let summary = journal.run(&run).await?;
    if summary.end.is_some() && summary.open_records == 0 {
        say(&format!("run {run} is over and has nothing in place"));
        return Ok(Exit::Passed);
    }
    if summary.header.embedded() {
        let why = "the embedded sandbox of run";
        let abandon = command(context, &format!("abandon {run}"));
        return Ok(fail(
            Exit::StillInPlace,
            format!("{why} {run} ended with its command, and what was in place with it; close the record with: {abandon}"),
        ));
    }
    let environment: EnvironmentSpec = match summary.header.environment_document.get("spec").cloned() {
        Some(spec) => serde_json::from_value(spec).map_err(RecoveryError::Document)?,
        None => EnvironmentSpec::default(),
    };
    let clock = Clock::system();
    let (control, controlled) = Control::new();
    if let Err(error) = listen(&control, clock) {
        return Ok(fail(Exit::Internal, format!("cannot listen for signals: {error}")));
    }
    let dir = report_dir(args.report_dir.as_deref(), journal.dir(), &run);
    let telling = Telling::resume(clock, &journal, &run).await;
    let world = recovery_world(clock, journal.clone(), &environment);
    let of_a_sweep = summary.header.drill_document.is_null();
    let outcome = recovery::resume(world, summary, controlled, telling.sinks.clone()).await;
    telling.finish().await;
    let outcome = outcome?;
    let exit = conclude(context, &outcome, &dir, false);
    if of_a_sweep && outcome.in_place.iter().any(|record| record.action) {
        warn(&gate_is_missing(context, "FILE"));
    }
    Ok(exit)
}
