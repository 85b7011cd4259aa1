//! `firedrill sandbox`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Run the two-region sandbox as a process of its own
#[derive(Debug, Args)]
pub struct Sandbox {}

/// Runs the command.
pub async fn run(_context: &Context, _args: Sandbox) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
