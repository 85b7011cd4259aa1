//! `firedrill run`: the whole drill, from the baseline to the report.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::listing::command;
use super::people::{Terminal, Unattended};
use super::prepare::{Prepared, occupied, prepare, refuse};
use super::session::{Telling, conclude, listen, report_dir, warn};
use super::{Context, fail};
use crate::engine::control::Control;
use crate::engine::{World, runner};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::sqlite::Sqlite;
use crate::prepare::refusal;

/// Run a drill: inject, hold, undo everything, score it, write the report
///
/// Everything must be well for the baseline first, or nothing is touched. The exit code says what was proved, or what is left (`firedrill --help`).
///
/// Ctrl-C (or SIGTERM, SIGHUP, `firedrill abort`) stops it: nothing more is injected, everything is undone in order. A second Ctrl-C lifts every fault at
/// once and leaves actions in place; a third leaves at once and names what is still in place.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill run first-drill.yaml --env sandbox
  firedrill run drill.yaml --env environments.yaml#staging
  firedrill run drill.yaml --env staging.yaml --unattended=fail --report-dir report     in a pipeline")]
pub struct Run {
    /// Drill file, or FILE#name
    pub drill: PathBuf,

    /// Where it runs: FILE, FILE#name, or sandbox[:VARIANT] (docs/sandbox.md), which is started in this command
    #[arg(long, value_name = "ENV")]
    pub env: String,

    /// Folder of report.html, report.md, junit.xml, report.json and events.jsonl [default: reports/RUN in the state directory]
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,

    /// Confirm a manual step in advance; may be given more than once
    #[arg(long, value_name = "STEP")]
    pub confirm: Vec<String>,

    /// What manual steps do when nobody is at the terminal
    #[arg(long, value_name = "POLICY")]
    pub unattended: Option<Unattended>,

    /// Leave actions (the evacuation) in place on purpose; they are recorded as kept
    #[arg(long)]
    pub skip_failback: bool,
}

/// Runs the command.
pub async fn run(context: &Context, args: Run) -> Exit {
    let prepared = match prepare(&args.drill, &args.env, args.skip_failback).await {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let (exit, opened) = run_prepared(context, &args, prepared).await;
    opened.close().await;
    exit
}

async fn run_prepared(context: &Context, args: &Run, prepared: Prepared) -> (Exit, super::environment::Opened) {
    let Prepared { run, opened, kinds, probes, clock, setup, refusals } = prepared;
    let people = match Terminal::new(&setup.drill, &args.confirm, args.unattended) {
        Ok(people) => people,
        Err(error) => return (fail(Exit::Usage, error), opened),
    };
    if !refusals.is_empty() {
        return (refuse(&refusals), opened);
    }
    let journal = match Sqlite::open_default(context.state_dir.as_deref()) {
        Ok(journal) => Arc::new(journal),
        Err(error) => return (refuse(&[refusal(error.to_string())]), opened),
    };
    if let Some(occupied) = occupied(context, journal.as_ref(), &opened, &setup.header.environment).await {
        return (refuse(&[occupied]), opened);
    }
    let (control, controlled) = Control::new();
    if let Err(error) = listen(&control, clock) {
        return (fail(Exit::Internal, format!("cannot listen for signals: {error}")), opened);
    }
    let _claim = match journal.claim(&run).await {
        Ok(claim) => claim,
        Err(error) => return (refuse(&[refusal(error.to_string())]), opened),
    };
    let dir = report_dir(args.report_dir.as_deref(), journal.dir(), &run);
    let telling = Telling::start(clock);
    let world = World { clock, journal: journal.clone(), kinds, probes, people: Arc::new(people) };
    // A task of its own: a defect of ours must still name what is in place.
    let outcome = tokio::spawn(runner::run(world, setup, controlled, telling.sinks.clone())).await;
    telling.finish().await;
    match outcome {
        Err(defect) => (defective(context, journal.as_ref(), &run, &defect.to_string()).await, opened),
        Ok(Ok(outcome)) => {
            let exit = conclude(context, &outcome, &dir, opened.embedded());
            (exit, opened)
        }
        Ok(Err(error)) => (refuse(&[refusal(error.to_string())]), opened),
    }
}

/// The engine broke down: what is in place is what the journal says.
async fn defective(context: &Context, journal: &dyn Journal, run: &str, defect: &str) -> Exit {
    warn(&format!("internal error: {defect}"));
    match journal.run(run).await {
        Ok(summary) if summary.open_records == 0 => Exit::Internal,
        _ => {
            warn(&format!("STILL IN PLACE, or not known; undo it with: {}", command(context, &format!("resume {run}"))));
            Exit::StillInPlace
        }
    }
}
