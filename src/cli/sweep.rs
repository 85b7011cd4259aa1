//! `firedrill sweep`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Find what is left in place without the journal, by marks alone; --apply undoes it
#[derive(Debug, Args)]
pub struct Sweep {
    /// Environment file, or FILE#name
    #[arg(long)]
    pub env: String,
}

/// Runs the command.
pub async fn run(_context: &Context, _args: Sweep) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
