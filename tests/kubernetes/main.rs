//! Kubernetes kinds on a real control plane: what each promises, what a whole drill leaves behind, and what the API server's own audit log says of it.

#![allow(clippy::unwrap_used)]

mod contract;
mod dns;
mod drain;
mod egress;
mod evacuate;
mod ground;
mod nodes;
mod pod_kill;
mod policy;
mod scale;
mod service;
mod several;
mod workload;

#[path = "../testbed/mod.rs"]
mod testbed;
