//! Parameters of the AWS kinds: plain types that no cargo feature removes, so that every build reads AWS drills.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::drill::text::{RecordType, Strings};

/// Which instances or subnets: every condition that is given must hold, and at least one is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct ZonedSelector {
    /// Tags with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    #[schemars(extend("minProperties" = 1))]
    pub tags: BTreeMap<String, String>,
    /// Availability zones (`us-east-1a`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 32)))]
    #[schemars(extend("format" = "aws-zone"))]
    pub zones: Vec<String>,
    /// Resource ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 500), inner(length(max = 64)))]
    pub ids: Vec<String>,
}

/// Which resources by id or tag: every condition that is given must hold, and at least one is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct TaggedSelector {
    /// Tags with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    #[schemars(extend("minProperties" = 1))]
    pub tags: BTreeMap<String, String>,
    /// Resource ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 500), inner(length(max = 64)))]
    pub ids: Vec<String>,
}

/// Which resources by name or tag: every condition that is given must hold, and at least one is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct NamedSelector {
    /// Tags with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    #[schemars(extend("minProperties" = 1))]
    pub tags: BTreeMap<String, String>,
    /// Names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 500), inner(length(max = 255)))]
    pub names: Vec<String>,
}

/// Instances are stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ec2Stop {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// Which instances.
    pub instances: ZonedSelector,
}

/// Subnets lose all traffic: each gets a clone of its network ACL that denies everything first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubnetIsolate {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// Which subnets.
    pub subnets: ZonedSelector,
    /// Network interfaces of managed services that may be cut off too; any that is not named here is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub including: Vec<ManagedInterface>,
}

/// Network interfaces that a managed service owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ManagedInterface {
    /// NAT gateways.
    Nat,
    /// VPC endpoints.
    VpcEndpoint,
    /// EKS control planes.
    Eks,
    /// RDS databases.
    Rds,
}

/// Roles are denied API calls by an inline policy that expires by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsIamDeny {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Which roles.
    pub roles: NamedSelector,
    /// IAM actions (`iam:*`, `dynamodb:PutItem`).
    #[schemars(length(min = 1, max = 64), inner(length(max = 128)))]
    #[schemars(extend("format" = "iam-action"))]
    pub actions: Vec<String>,
    /// Regions in which calls are denied, by `aws:RequestedRegion`. Default: everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 32)))]
    #[schemars(extend("format" = "aws-region"))]
    pub regions: Vec<String>,
}

/// Weighted records send traffic away from one set identifier to another; undone as fail-back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route53Shift {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Hosted zone id, or the zone's name.
    #[schemars(length(max = 255))]
    pub zone: String,
    /// Record name.
    #[schemars(length(max = 255))]
    pub record: String,
    /// Record type.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// Set identifiers whose weight becomes 0.
    pub from: Strings,
    /// Set identifiers that keep a weight above 0.
    pub to: Strings,
}

/// Health checks are inverted, so that DNS fails over by its own rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route53HealthInvert {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Which health checks.
    pub health_checks: TaggedSelector,
}

/// Auto Scaling groups launch nothing: fail over with what is provisioned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaunchRefusal {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// Which Auto Scaling groups.
    pub groups: NamedSelector,
}

/// VPC endpoints deny service operations by their policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VpcEndpointDeny {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// Which VPC endpoints.
    pub endpoints: TaggedSelector,
    /// Operations as IAM actions (`dynamodb:*`, `sts:AssumeRole`).
    #[schemars(length(min = 1, max = 64), inner(length(max = 128)))]
    #[schemars(extend("format" = "iam-action"))]
    pub actions: Vec<String>,
}

/// An experiment template of the AWS Fault Injection Service runs; stopping it is the undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FisExperiment {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// Id of the experiment template (`EXT…`).
    #[schemars(length(max = 64))]
    pub template: String,
}

/// A survivor's Auto Scaling group gets another desired capacity; undone as fail-back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AsgScale {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// The group's region.
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: String,
    /// Name of the group.
    #[schemars(length(max = 255))]
    pub group: String,
    /// Desired capacity, within the group's minimum and maximum.
    #[schemars(range(max = 10000))]
    pub desired: u32,
}
