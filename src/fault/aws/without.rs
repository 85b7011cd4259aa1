//! A build without the AWS SDKs still reads and validates AWS drills; the plan refuses their kinds.

use std::time::Duration;

use super::params::{AsgScale, AwsIamDeny, Ec2Stop, FisExperiment, LaunchRefusal, Route53HealthInvert, Route53Shift, SubnetIsolate, VpcEndpointDeny};
use crate::fault::definition::Definition;

impl Definition for AwsIamDeny {}

impl Definition for Route53HealthInvert {}

impl Definition for SubnetIsolate {}

impl Definition for VpcEndpointDeny {}

impl Definition for Ec2Stop {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}

impl Definition for Route53Shift {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}

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

impl Definition for FisExperiment {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }
}
