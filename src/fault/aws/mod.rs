//! Faults made through AWS control planes.

pub mod params;
