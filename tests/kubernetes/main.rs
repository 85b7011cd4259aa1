//! Kubernetes kinds on a real control plane: what each promises, what a whole drill leaves behind, and what the API server's own audit log says of it.

#![allow(clippy::unwrap_used)]

mod by_hand;
mod contract;
mod dns;
mod drain;
mod egress;
mod evacuate;
mod example;
mod gateway_process;
mod gateway_rules;
mod ground;
mod nodes;
mod pod_kill;
mod policy;
mod scale;
mod service;
mod several;
mod workload;

#[allow(dead_code)]
#[path = "../gateway/ground.rs"]
mod gateway_ground;
#[path = "../runbook/paper.rs"]
mod paper;
#[path = "../testbed/mod.rs"]
mod testbed;
