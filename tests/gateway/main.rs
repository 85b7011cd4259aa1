//! The egress gateway on real sockets: what passes, what fails, how rules come and go, and the contract of the two kinds that use it.

// Clippy takes only functions marked as tests for tests; what they share is not.
#![allow(clippy::unwrap_used)]

mod contract;
mod ground;
mod passing;
mod rules;
mod steering;
