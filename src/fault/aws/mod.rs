//! Faults made through AWS control planes.

#[cfg(feature = "aws")]
mod dead_man;
#[cfg(feature = "aws")]
mod ec2_stop;
#[cfg(feature = "aws")]
mod groups;
#[cfg(feature = "aws")]
mod instances;
#[cfg(feature = "aws")]
mod mark;
pub mod params;
#[cfg(feature = "aws")]
mod place;
#[cfg(not(feature = "aws"))]
mod without;
