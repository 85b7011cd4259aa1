//! Faults made through a cluster's API: cordons, drains, evictions, scales, network policies, DNS.

pub mod params;
