//! Parameters of the gateway kinds that are not built yet, and what several kinds share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::drill::text::{DurationText, Percent};
use crate::fault::definition::Definition;

/// What happens to connections that are already open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub enum Existing {
    /// They go on, as on the day: only new connections broke.
    #[default]
    Keep,
    /// They are cut.
    Cut,
}

/// Connections to the named services are cut after some bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayReset {
    /// A gateway of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "gateway-name"))]
    pub gateway: String,
    /// AWS service names as in endpoints (`dynamodb`, `sts`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    pub services: Vec<String>,
    /// Default: the drill's `failedRegion`. Global services homed there are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// How many bytes of an answer pass before the cut. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1099511627776u64))]
    pub after_bytes: Option<u64>,
    /// What happens to connections that are already open. Default `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
}

/// The named services are slow: every request is delayed, or bytes trickle. At least one of `delay`, `jitter` and `bytesPerSecond`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayLatency {
    /// A gateway of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "gateway-name"))]
    pub gateway: String,
    /// AWS service names as in endpoints (`dynamodb`, `sts`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    pub services: Vec<String>,
    /// Default: the drill's `failedRegion`. Global services homed there are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// Added to each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationText>,
    /// Added on top: a random part of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<DurationText>,
    /// Most bytes a second per connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1099511627776u64))]
    pub bytes_per_second: Option<u64>,
}

/// Chosen operations fail with the error document of that AWS protocol; needs TLS interception.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayError {
    /// A gateway of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "gateway-name"))]
    pub gateway: String,
    /// AWS service names as in endpoints (`dynamodb`, `sts`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    pub services: Vec<String>,
    /// Default: the drill's `failedRegion`. Global services homed there are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// Operations (`ListPolicies`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 128)))]
    pub operations: Vec<String>,
    /// Which error.
    pub error: AwsError,
    /// Share of requests that fail. Default 100%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Makes the choice repeatable. Default: from the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4294967295u64))]
    pub seed: Option<u64>,
}

/// Errors that AWS services answered on the days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AwsError {
    /// 503.
    ServiceUnavailable,
    /// Too many requests.
    Throttling,
    /// Calls that worked the day before are denied.
    AccessDenied,
    /// Credentials cannot be renewed.
    ExpiredToken,
    /// 500.
    InternalError,
}

/// Names of the named services are answered wrongly by the gateway's DNS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayDns {
    /// A gateway of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "gateway-name"))]
    pub gateway: String,
    /// AWS service names as in endpoints (`dynamodb`, `sts`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    pub services: Vec<String>,
    /// Default: the drill's `failedRegion`. Global services homed there are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// What is answered.
    pub answer: DnsAnswer,
}

/// What the gateway's DNS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnsAnswer {
    /// The name exists and has no address: what dynamodb.us-east-1 answered on 20 October 2025.
    #[serde(rename = "NODATA")]
    NoData,
    /// The name does not exist.
    #[serde(rename = "NXDOMAIN")]
    NxDomain,
    /// The server failed.
    #[serde(rename = "SERVFAIL")]
    ServFail,
    /// No answer.
    #[serde(rename = "timeout")]
    Timeout,
}

impl Definition for GatewayReset {}
impl Definition for GatewayLatency {}
impl Definition for GatewayError {}
impl Definition for GatewayDns {}
