//! Faults made through a cluster's API: cordons, drains, evictions, scales, network policies, DNS.

pub mod address_ranges;
pub mod budget;
pub mod companion;
pub mod corefile;
pub mod dns_blackhole;
pub mod dns_block;
pub mod dns_examine;
pub mod dns_zones;
pub mod egress_blackhole;
pub mod egress_examine;
pub mod egress_policy;
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
pub mod pod_kill;
pub mod replicas;
pub mod service_blackhole;
pub mod workload_scale;
