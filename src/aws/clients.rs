//! How AWS is called: time limits on every call, adaptive retries, and a budget of retries whose reserve only undo may use.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::retry::RetryPartition;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use serde::Serialize;

/// What calls are made for. Undo has credentials, clients and a retry budget of its own: nothing that a run uses up is missing when it is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Use {
    /// Planning, injecting, watching.
    Run,
    /// Undoing.
    Undo,
}

/// Longest a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(4);
/// Longest one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(8);
/// Longest a call may take with its retries; the engine gives a call up after 20 s, and an undo's after 30 s.
const OPERATION: (Duration, Duration) = (Duration::from_secs(18), Duration::from_secs(27));
/// Most attempts of a call. What fails after that is read back, and tried again by the engine.
const ATTEMPTS: u32 = 5;

impl Use {
    /// Retries that neither the other use nor another account can spend: tokens and a rate of their own, for all clients that share it.
    #[must_use]
    pub fn budget(self) -> RetryPartition {
        RetryPartition::custom(self.session()).build()
    }

    /// What its sessions are called in AWS's own logs.
    #[must_use]
    pub const fn session(self) -> &'static str {
        match self {
            Self::Run => "firedrill",
            Self::Undo => "firedrill-undo",
        }
    }

    /// Time limits of every call.
    #[must_use]
    pub fn timeouts(self) -> TimeoutConfig {
        let operation = match self {
            Self::Run => OPERATION.0,
            Self::Undo => OPERATION.1,
        };
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).operation_timeout(operation).build()
    }
}

/// Retries that slow down when a service throttles.
#[must_use]
pub fn retries() -> RetryConfig {
    RetryConfig::adaptive().with_max_attempts(ATTEMPTS).with_initial_backoff(Duration::from_millis(200)).with_max_backoff(Duration::from_secs(4))
}

/// The clients of one region.
#[derive(Debug, Clone)]
pub struct Clients {
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// EC2 Auto Scaling.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// IAM; global, called in any region.
    pub iam: aws_sdk_iam::Client,
    /// Route 53; global, called in any region.
    pub route53: aws_sdk_route53::Client,
    /// EventBridge Scheduler.
    pub scheduler: aws_sdk_scheduler::Client,
    /// Fault Injection Service.
    pub fis: aws_sdk_fis::Client,
    /// CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// STS.
    pub sts: aws_sdk_sts::Client,
}

impl Clients {
    /// The clients of a configuration's region, which take their retries from one budget.
    #[must_use]
    pub fn new(config: &SdkConfig, budget: &RetryPartition) -> Self {
        macro_rules! client {
            ($service:ident) => {
                $service::Client::from_conf($service::config::Builder::from(config).retry_partition(budget.clone()).build())
            };
        }
        Self {
            ec2: client!(aws_sdk_ec2),
            autoscaling: client!(aws_sdk_autoscaling),
            iam: client!(aws_sdk_iam),
            route53: client!(aws_sdk_route53),
            scheduler: client!(aws_sdk_scheduler),
            fis: client!(aws_sdk_fis),
            cloudwatch: client!(aws_sdk_cloudwatch),
            sts: client!(aws_sdk_sts),
        }
    }
}
