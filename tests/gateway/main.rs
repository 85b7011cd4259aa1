//! The egress gateway on real sockets: what passes, what fails, how rules come and go, and the contract of the two kinds that use it.

mod contract;
mod ground;
mod passing;
mod rules;
mod steering;
