//! A build without the AWS SDKs still reads and validates AWS drills; the plan refuses their kinds.

use std::time::Duration;

use super::params::{AwsIamDeny, Ec2Stop, Route53HealthInvert, Route53Shift, SubnetIsolate};
use crate::fault::definition::Definition;

impl Definition for AwsIamDeny {}

impl Definition for Ec2Stop {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}

impl Definition for Route53HealthInvert {}

impl Definition for Route53Shift {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}

impl Definition for SubnetIsolate {}
