//! Parameters of the gateway kind that is not built yet, and what several kinds share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl Definition for GatewayDns {}
