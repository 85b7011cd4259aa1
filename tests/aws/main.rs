//! AWS kinds on an AWS-protocol emulator: what each promises, and what other clients see of it.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used)]

mod alarm;
mod asg_scale;
mod contract;
mod ec2_stop;
mod fis_experiment;
mod ground;
mod launch_refusal;
mod subnet_isolate;
mod vpc_endpoint_deny;

#[path = "../testbed/aws.rs"]
mod testbed;
