//! `firedrill validate`.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Check drill and environment files; nothing is read from the world
#[derive(Debug, Args)]
pub struct Validate {
    /// Files and folders
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Validate) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
