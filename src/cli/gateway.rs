//! `firedrill gateway`.

use clap::Args;

use super::Context;
use crate::exit::Exit;

/// Run the egress gateway: an AWS-aware forward proxy that faults can steer
#[derive(Debug, Args)]
pub struct Gateway {}

/// Runs the command.
pub async fn run(_context: &Context, _args: Gateway) -> Exit {
    super::fail(Exit::Internal, "not built yet")
}
