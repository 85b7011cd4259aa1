//! A build without the AWS SDKs still reads and validates AWS drills; the plan refuses their kinds.

use std::time::Duration;

use super::params::{AsgScale, Ec2Stop, FisExperiment, LaunchRefusal, SubnetIsolate, VpcEndpointDeny};
use crate::fault::definition::Definition;

impl Definition for Ec2Stop {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}

impl Definition for SubnetIsolate {}

impl Definition for LaunchRefusal {
    fn limit() -> Duration {
        Duration::from_mins(2)
    }
}

impl Definition for AsgScale {
    fn limit() -> Duration {
        Duration::from_mins(15)
    }
}

impl Definition for VpcEndpointDeny {}

impl Definition for FisExperiment {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}
