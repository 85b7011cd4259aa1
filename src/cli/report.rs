//! `firedrill report`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Write a stored run's report again
#[derive(Debug, Args)]
pub struct Report {
    /// Run id, or a unique prefix
    pub run: String,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Report) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
