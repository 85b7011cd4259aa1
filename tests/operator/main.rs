//! The operator on a real control plane: what the API server makes of its custom resources.

#![allow(clippy::unwrap_used)]

mod accepted;
mod chart;
mod ground;
mod refused;
mod tables;

#[path = "../testbed/mod.rs"]
mod testbed;
