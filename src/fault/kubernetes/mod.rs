//! Faults made through a cluster's API: cordons, drains, evictions, scales, network policies, DNS.

pub mod budget;
pub mod companion;
pub mod evict;
pub mod mark;
pub mod node;
pub mod node_cordon;
pub mod node_drain;
pub mod node_examine;
pub mod node_kind;
pub mod object;
pub mod own;
pub mod params;
pub mod place;
pub mod replicas;
pub mod workload_scale;
