//! `firedrill resume`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Finish the undo of a run that died; never continues a drill
#[derive(Debug, Args)]
pub struct Resume {
    /// Run id, or a unique prefix
    pub run: String,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Resume) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
