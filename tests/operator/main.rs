//! The operator on a real control plane: what the API server makes of its custom resources.

#![allow(clippy::unwrap_used)]

mod accepted;
mod admission;
mod chart;
mod ground;
mod journal;
mod leaders;
mod process;
mod refused;
mod runs;
mod tables;
mod told;

#[path = "../journal_contract/mod.rs"]
mod journal_contract;
#[path = "../testbed/mod.rs"]
mod testbed;
