//! `firedrill history`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// List runs, newest first
#[derive(Debug, Args)]
pub struct History {}

/// Runs the command.
pub async fn run(_context: &Context, _args: History) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
