//! `firedrill status`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Show runs that are going or have something in place
#[derive(Debug, Args)]
pub struct Status {}

/// Runs the command.
pub async fn run(_context: &Context, _args: Status) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
