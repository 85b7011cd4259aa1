//! Faults made through AWS control planes.

#[cfg(feature = "aws")]
mod asg_scale;
#[cfg(feature = "aws")]
mod aws_iam_deny;
#[cfg(feature = "aws")]
mod clone;
#[cfg(feature = "aws")]
mod dead_man;
#[cfg(feature = "aws")]
mod ec2_stop;
#[cfg(feature = "aws")]
mod endpoints;
#[cfg(feature = "aws")]
mod experiments;
#[cfg(feature = "aws")]
mod fis_experiment;
#[cfg(feature = "aws")]
mod groups;
#[cfg(feature = "aws")]
mod health;
#[cfg(feature = "aws")]
mod instances;
#[cfg(feature = "aws")]
mod launch_refusal;
#[cfg(feature = "aws")]
mod mark;
#[cfg(feature = "aws")]
mod network;
pub mod params;
#[cfg(feature = "aws")]
mod place;
#[cfg(feature = "aws")]
mod record_change;
#[cfg(feature = "aws")]
mod record_mark;
#[cfg(feature = "aws")]
mod roles;
#[cfg(feature = "aws")]
mod route53_health_invert;
#[cfg(feature = "aws")]
mod route53_shift;
#[cfg(feature = "aws")]
mod subnet_isolate;
#[cfg(feature = "aws")]
mod vpc_endpoint_deny;
#[cfg(not(feature = "aws"))]
mod without;
