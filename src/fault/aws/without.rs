//! A build without the AWS SDKs still reads and validates AWS drills; the plan refuses their kinds.

use std::time::Duration;

use super::params::{Ec2Stop, SubnetIsolate};
use crate::fault::definition::Definition;

impl Definition for Ec2Stop {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}

impl Definition for SubnetIsolate {}
