//! `firedrill abandon`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Close a run's records WITHOUT undoing them
#[derive(Debug, Args)]
pub struct Abandon {
    /// Run id, or a unique prefix
    pub run: String,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Abandon) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
