//! A build without the AWS SDKs still reads and validates drills with AWS probes; the plan refuses them.

use super::definition::Definition;
use super::params::{AwsAlarmProbe, Route53AnswerProbe};

impl Definition for AwsAlarmProbe {}

impl Definition for Route53AnswerProbe {}
