//! The chart, by real helm, on a real control plane: what it makes is accepted, runs with what it was given, and does not go while something is in place.

#![allow(clippy::unwrap_used)]

mod accepted;
mod helm;
mod installed;
mod process;
mod uninstalled;

#[path = "../testbed/mod.rs"]
mod testbed;
