//! Faults that an egress gateway makes: rules with a deadline, steered over its Unix socket, or by objects of a cluster that gateways watch.
//!
//! A kind is a [`rule::Flavor`]: what its rule does, and how a client in front of the gateway sees it ([`trial`]). Everything else is shared in
//! [`rule`], [`socket`] and [`object`].

pub mod blackhole;
#[cfg(test)]
mod contract;
pub mod error;
pub mod latency;
pub mod object;
pub mod params;
pub mod refuse;
pub mod reset;
pub mod rule;
pub mod socket;
pub mod trial;

/// The kind that CONTRIBUTING.md builds: compiled and tested here, so that the page stays true.
#[cfg(test)]
#[path = "../../../docs/worked-example/no_credentials.rs"]
mod worked_example;
