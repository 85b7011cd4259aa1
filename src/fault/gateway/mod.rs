//! Faults that an egress gateway makes: rules with a deadline, steered over its Unix socket.

pub mod params;
