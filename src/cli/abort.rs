//! `firedrill abort`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Ask a live run to stop and undo
#[derive(Debug, Args)]
pub struct Abort {
    /// Run id, or a unique prefix
    pub run: String,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Abort) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
