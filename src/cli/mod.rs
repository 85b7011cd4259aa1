//! The command line: one file per subcommand.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::drill::diagnostic::Diagnostic;
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::journal::sqlite::Sqlite;

pub mod abandon;
pub mod abort;
pub mod admission;
pub mod compare;
pub mod completions;
pub mod crds;
pub mod environment;
pub mod explain;
pub mod gateway;
pub mod history;
pub mod init;
pub mod listing;
pub mod operator;
pub mod people;
pub mod plan;
pub mod policy;
pub mod prepare;
pub mod report;
pub mod resume;
pub mod run;
pub mod runbook;
pub mod sandbox;
pub mod schedule;
pub mod schema;
pub mod session;
pub mod status;
pub mod sweep;
pub mod validate;

/// Rehearse the loss of a cloud region; everything is undone.
#[derive(Debug, Parser)]
#[command(name = "firedrill", version, max_term_width = 100, after_help = exit_codes())]
pub struct Cli {
    /// Where runs are remembered [default: $XDG_STATE_HOME/firedrill]
    #[arg(long, global = true, env = "FIREDRILL_STATE_DIR", value_name = "DIR", help_heading = "Everywhere")]
    pub state_dir: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Init(init::Init),
    Validate(validate::Validate),
    Plan(plan::Plan),
    Policy(policy::Policy),
    Run(run::Run),
    Runbook(runbook::Runbook),
    Resume(resume::Resume),
    Abort(abort::Abort),
    Sweep(sweep::Sweep),
    Status(status::Status),
    Report(report::Report),
    History(history::History),
    Compare(compare::Compare),
    Schedule(schedule::Schedule),
    Abandon(abandon::Abandon),
    Explain(explain::Explain),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Crds(crds::Crds),
    Admission(admission::Admission),
    Operator(operator::Operator),
    Gateway(gateway::Gateway),
    Sandbox(sandbox::Sandbox),
}

/// What every command has.
#[derive(Debug)]
pub struct Context {
    /// Where runs are remembered, when a flag or the environment says so.
    pub state_dir: Option<PathBuf>,
}

/// Prints an error for people and gives the exit code back.
pub fn fail(exit: Exit, message: impl std::fmt::Display) -> Exit {
    eprintln!("firedrill: error: {message}");
    exit
}

/// Prints every mistake of a file and gives the exit code back.
pub fn fail_invalid(found: &[Diagnostic]) -> Exit {
    found.iter().for_each(|diagnostic| eprintln!("{diagnostic}"));
    Exit::Usage
}

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prints why the journal failed and gives the exit code back: a journal that cannot be trusted is a guard that refuses.
pub fn fail_journal(error: &JournalError) -> Exit {
    let exit = match error {
        JournalError::Unusable(_) | JournalError::Unreadable(_) | JournalError::Busy(_) => Exit::Refused,
        JournalError::NoSuchRun(_) | JournalError::Ambiguous { .. } => Exit::Usage,
        JournalError::Write(_) => Exit::Internal,
    };
    fail(exit, error)
}

/// Opens the journal that must know `run`; makes nothing.
pub fn existing_journal(context: &Context, run: &str) -> Result<Sqlite, JournalError> {
    Sqlite::open_existing(context.state_dir.as_deref())?.ok_or_else(|| JournalError::NoSuchRun(run.to_owned()))
}

fn exit_codes() -> String {
    let rows: Vec<String> = Exit::TABLE.iter().map(|(exit, meaning)| format!("  {:>2}  {meaning}", exit.code())).collect();
    let begin = "Begin with:\n  firedrill init                                      a drill and an environment, with comments\n  \
        firedrill run first-drill.yaml --env sandbox        run it, in two regions on loopback\n  \
        firedrill explain                                   what can fail, and what can be measured";
    format!("{begin}\n\nExit codes:\n{}", rows.join("\n"))
}

/// Runs one command to its exit code.
pub async fn main(cli: Cli) -> Exit {
    let context = Context { state_dir: cli.state_dir };
    match cli.command {
        Command::Init(args) => init::run(&context, args).await,
        Command::Validate(args) => validate::run(&context, args).await,
        Command::Plan(args) => plan::run(&context, args).await,
        Command::Policy(args) => policy::run(&context, args).await,
        Command::Run(args) => run::run(&context, args).await,
        Command::Runbook(args) => runbook::run(&context, args).await,
        Command::Resume(args) => resume::run(&context, args).await,
        Command::Abort(args) => abort::run(&context, args).await,
        Command::Sweep(args) => sweep::run(&context, args).await,
        Command::Status(args) => status::run(&context, args).await,
        Command::Report(args) => report::run(&context, args).await,
        Command::History(args) => history::run(&context, args).await,
        Command::Compare(args) => compare::run(&context, args).await,
        Command::Schedule(args) => schedule::run(&context, args).await,
        Command::Abandon(args) => abandon::run(&context, args).await,
        Command::Explain(args) => explain::run(&context, args).await,
        Command::Schema(args) => schema::run(&context, args).await,
        Command::Completions(args) => completions::run(&context, args).await,
        Command::Crds(args) => crds::run(&context, args).await,
        Command::Admission(args) => admission::run(&context, args).await,
        Command::Operator(args) => operator::run(&context, args).await,
        Command::Gateway(args) => gateway::run(&context, args).await,
        Command::Sandbox(args) => sandbox::run(&context, args).await,
    }
}
