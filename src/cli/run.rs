//! `firedrill run`.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Run a drill, undo it, score it
#[derive(Debug, Args)]
pub struct Run {
    /// Drill file
    pub drill: PathBuf,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Run) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
