//! AWS kinds on an AWS-protocol emulator: what each promises, and what other clients see of it.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used)]

mod contract;
mod ec2_stop;
mod ground;
mod subnet_isolate;

#[path = "../testbed/aws.rs"]
mod testbed;
