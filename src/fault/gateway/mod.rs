//! Faults that an egress gateway makes: rules with a deadline, steered over its Unix socket.
//!
//! A kind is a [`rule::Flavor`]: what its rule does, and what a client sees of it. Everything else is shared in [`rule`].

pub mod blackhole;
#[cfg(test)]
mod contract;
pub mod params;
pub mod refuse;
pub mod rule;
