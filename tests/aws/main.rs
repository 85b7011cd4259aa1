//! AWS kinds on an AWS-protocol emulator: what each promises, and what other clients see of it.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used)]

mod alarm;
mod asg_scale;
mod aws_iam_deny;
mod by_hand;
mod contract;
mod credentials;
mod dead_man;
mod ec2_stop;
mod evacuate;
mod fis_experiment;
mod ground;
mod launch_refusal;
mod route53_answer;
mod route53_health_invert;
mod route53_shift;
mod subnet_isolate;
mod vpc_endpoint_deny;

#[path = "../runbook/paper.rs"]
mod paper;
#[path = "../testbed/aws.rs"]
mod testbed;
