//! `firedrill plan`.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Show what a drill would touch; reads only
#[derive(Debug, Args)]
pub struct Plan {
    /// Drill file
    pub drill: PathBuf,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Plan) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
