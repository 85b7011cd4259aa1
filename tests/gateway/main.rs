//! The egress gateway on real sockets: what passes, what fails, what is slow, what is counted, how rules come and go, and the contract
//! of every kind that uses it.

// Clippy takes only functions marked as tests for tests; what they share is not.
#![allow(clippy::unwrap_used)]

mod bulk;
mod contract;
mod counts;
mod effects;
mod endpoint;
mod ground;
mod passing;
mod rules;
mod steering;
