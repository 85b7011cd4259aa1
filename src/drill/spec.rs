//! The four kinds of document as plain types; the same types become custom resources.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{DurationText, Percent, Strings};
use crate::clock::Timestamp;
use crate::fault::params::{ActionSpec, FaultSpec};
use crate::probe::params::ProbeSpec;

/// The only `apiVersion` that this build knows.
pub const API_VERSION: &str = "firedrill.dev/v1alpha1";

/// `metadata` of every kind. Beside the name it is the cluster's and its people's: read from a file, so that one file serves both, then forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// A DNS label: lower-case letters, digits and hyphens, at most 63.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub name: String,
    /// Where it is applied to. Says nothing to the command line.
    #[serde(default, skip_serializing)]
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub namespace: Option<String>,
    /// Labels of the custom resource. They say nothing to firedrill.
    #[serde(default, skip_serializing)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the custom resource. They say nothing to firedrill.
    #[serde(default, skip_serializing)]
    pub annotations: BTreeMap<String, String>,
}

/// *What* is rehearsed. Carries no account, cluster or URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillSpec {
    /// One line: what the drill shows.
    #[schemars(length(min = 1, max = 200))]
    pub summary: String,
    /// The role that answers for the drill, never a person.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
    /// What is expected to hold.
    #[schemars(length(min = 1, max = 1000))]
    pub hypothesis: String,
    /// The region that fails. A fault elsewhere names its own region.
    #[schemars(length(max = 32), extend("format" = "aws-region"))]
    pub failed_region: String,
    /// Regions that must carry on.
    #[schemars(length(min = 1, max = 16), inner(length(max = 32)), extend("format" = "aws-region"))]
    pub surviving_regions: Vec<String>,
    /// Gate of fail-back: needed when there are actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_healthy: Option<RegionHealthy>,
    /// How long the steady state is watched before anything is touched. Default: 10s, or five of the longest objective interval when that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<DurationText>,
    /// How long the faults stay after the last step is done.
    pub hold: DurationText,
    /// From the first mutation: undo has begun by then, whatever happens to the run.
    pub undo_by: DurationText,
    /// What must survive, and how fast.
    #[schemars(length(min = 1, max = 200))]
    pub objectives: Vec<Objective>,
    /// What happens.
    #[schemars(length(min = 1, max = 200))]
    pub steps: Vec<Step>,
    /// Conditions that end the drill early.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub abort_when: Vec<AbortWhen>,
    /// Blast radius that the drill may not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// When the failed region counts as healthy again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionHealthy {
    /// What is read.
    pub probe: ProbeSpec,
    /// How long it must have been good.
    pub stable_for: DurationText,
    /// After this long actions stay and the run exits 7.
    pub limit: DurationText,
    /// Time between readings. Default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
    /// Longest a reading may take. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// What must survive, measured by one probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objective {
    /// Unique in the drill.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub id: String,
    /// What is read.
    pub probe: ProbeSpec,
    /// Time from one reading to the next.
    pub interval: DurationText,
    /// Longest a reading may take. Default: the interval, at most 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// RTO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover_within: Option<DurationText>,
    /// How long only good samples make a recovery. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_for: Option<DurationText>,
    /// Share of good samples from the `recoverWithin` deadline (T0 where there is none) until undo begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Percent>,
    /// MTTD: the probe must be false in the baseline and true within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect_within: Option<DurationText>,
    /// RPO: canary probes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lose_at_most: Option<DurationText>,
    /// Share in the score. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u32>,
    /// Objectives that recover first; the report shows what blocked what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 63)))]
    pub depends_on: Vec<String>,
    /// The step that this objective's clocks start with. Default: the first fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub clock_from: Option<String>,
}

/// A step: exactly one of `fault`, `action`, `manual`, `wait`, `check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Unique in the drill.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub id: String,
    /// Steps that are done before this one starts. Steps without it start together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 63)))]
    pub after: Vec<String>,
    /// Longest the step may take. Default: the kind's, shown by plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<DurationText>,
    /// Breaks something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultSpec>,
    /// The evacuation itself; undone as fail-back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionSpec>,
    /// With `action`: it stays on purpose, and is recorded as kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// A person's step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<Manual>,
    /// A pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// A gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

/// A person's step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manual {
    /// Who does it: a role, never a person.
    #[schemars(length(min = 1, max = 100))]
    pub role: String,
    /// What to do.
    #[schemars(length(min = 1, max = 2000))]
    pub instruction: String,
    /// How long the confirmation is waited for.
    pub limit: DurationText,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wait {
    /// How long.
    #[serde(rename = "for")]
    pub duration: DurationText,
}

/// A gate: the probe must become good within the limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// What is read.
    pub probe: ProbeSpec,
    /// How long it may take to become good.
    pub limit: DurationText,
    /// Time between readings. Default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
    /// Longest a reading may take. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// Ends the drill early when an objective's availability over `for` is below the threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbortWhen {
    /// Objective id.
    #[schemars(length(max = 63))]
    pub objective: String,
    /// Share of good samples among the known ones of the window.
    pub availability_below: Percent,
    /// Length of the window.
    #[serde(rename = "for")]
    pub window: DurationText,
}

/// Blast radius: counts of targets of one kind across the environment's regions and clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Most targets of one kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub max_targets: Option<u32>,
    /// Largest share of all that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_percent: Option<Percent>,
    /// Most regions with a fault at once. Environment only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_regions: Option<u32>,
}

/// *Where*: accounts, clusters, gateways, endpoints, guards, freezes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// AWS accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub aws: Vec<AwsAccount>,
    /// Kubernetes clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub kubernetes: Vec<Cluster>,
    /// Egress gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub gateways: Vec<GatewayRef>,
    /// Prometheus-compatible query endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub prometheus: Vec<PrometheusRef>,
    /// URLs by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200, "format" = "endpoint-url"))]
    pub endpoints: BTreeMap<String, String>,
    /// DNS names by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200, "format" = "dns-name"))]
    pub records: BTreeMap<String, String>,
    /// IP addresses by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200, "format" = "ip-address"))]
    pub vips: BTreeMap<String, Strings>,
    /// What drills may do here.
    #[serde(default)]
    pub allow: Allow,
    /// What no drill may touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<Protect>,
    /// Blast radius that no drill may exceed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// No run starts in these, by hand or by schedule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub freezes: Vec<Freeze>,
    /// True: a run is refused, or aborted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub halt_when: Vec<HaltWhen>,
    /// Which addresses probes may read, and which are AWS's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How many other people approve a run (operator).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10))]
    pub approvals: Option<u32>,
    /// Tests only: the AWS accounts are an emulator's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emulator: bool,
    /// With `emulator`: its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "endpoint-url"))]
    pub endpoint_url: Option<String>,
}

/// An AWS account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsAccount {
    /// Name that drills use.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub name: String,
    /// Twelve digits; checked against the caller's account before every plan.
    #[schemars(length(max = 12), extend("format" = "aws-account"))]
    pub account: String,
    /// Regions that drills may touch.
    #[schemars(length(min = 1, max = 64), inner(length(max = 32)), extend("format" = "aws-region"))]
    pub regions: Vec<String>,
    /// Role for runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "role-arn"))]
    pub role_arn: Option<String>,
    /// Role for undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "role-arn"))]
    pub undo_role_arn: Option<String>,
    /// Role of the dead-man schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("format" = "role-arn"))]
    pub dead_man_role_arn: Option<String>,
}

/// A Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Name that drills use.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub name: String,
    /// UID of the `kube-system` namespace: no other cluster is ever touched.
    #[schemars(length(max = 36), extend("format" = "uid"))]
    pub uid: String,
    /// AWS region that the cluster stands for.
    #[schemars(length(max = 32), extend("format" = "aws-region"))]
    pub region: String,
    /// How it is reached.
    pub connection: ClusterConnection,
    /// Address and port of the cluster's DNS as firedrill reaches it: how dnsBlackhole is seen to bite. Default: the address of the Service
    /// kube-system/kube-dns, which is often reached from inside the cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("format" = "socket-address"))]
    pub dns: Option<String>,
}

/// How a cluster is reached: exactly one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterConnection {
    /// A context of the default kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub context: Option<String>,
    /// A kubeconfig file, relative to the environment file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub kubeconfig_file: Option<String>,
    /// The cluster that firedrill itself runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_cluster: Option<bool>,
}

/// An egress gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayRef {
    /// Name that drills use.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub name: String,
    /// How its rules are steered.
    pub connection: GatewayConnection,
}

/// How a gateway is steered: `socket`, or `cluster` with `namespace`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConnection {
    /// Its Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("format" = "socket-path"))]
    pub socket: Option<String>,
    /// A cluster of this environment, where `GatewayRule` objects are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), extend("format" = "cluster-name"))]
    pub cluster: Option<String>,
    /// Namespace of the `GatewayRule` objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), extend("format" = "kubernetes-name"))]
    pub namespace: Option<String>,
}

/// A Prometheus-compatible query endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusRef {
    /// Name that drills use.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub name: String,
    /// Base URL; `/api/v1/query` is appended.
    #[schemars(length(max = 2048), extend("format" = "endpoint-url"))]
    pub url: String,
}

/// What drills may do in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// Fault kinds that may be used.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 63)), extend("format" = "fault-kind"))]
    pub faults: Vec<String>,
    /// Whether faults may be used that stay when firedrill dies.
    #[serde(default)]
    pub no_dead_man: bool,
}

/// What no drill may touch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Protect {
    /// Kubernetes namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 253)))]
    pub namespaces: Vec<String>,
    /// IAM role patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 253)))]
    pub roles: Vec<String>,
    /// Tags that protect.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub tags: BTreeMap<String, String>,
}

/// A time in which no run starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// First instant: a date (midnight in `timeZone`) or an RFC 3339 instant.
    #[schemars(length(max = 40))]
    pub from: String,
    /// First instant after it.
    #[schemars(length(max = 40))]
    pub to: String,
    /// IANA name. Default in schedules: the schedule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "time-zone"))]
    pub time_zone: Option<String>,
    /// Shown to whoever is refused.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
}

/// A condition of the environment under which no drill runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HaltWhen {
    /// Unique in the environment.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub id: String,
    /// Good means: halt.
    pub probe: ProbeSpec,
    /// Time between readings. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
    /// Longest a reading may take. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// Which addresses probes may read, and which are AWS's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// Probes may read loopback and private addresses too. Link-local and metadata addresses never.
    #[serde(default)]
    pub allow_private: bool,
    /// AWS's address ranges (`ip-ranges.json`), relative to the environment file: what egressBlackhole's `services` are looked up in. Never fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub aws_address_ranges: Option<String>,
}

/// *When*: a drill in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillScheduleSpec {
    /// Name of the drill.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub drill: String,
    /// Name of the environment.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub environment: String,
    /// Five fields, plus `#` and `L`.
    #[schemars(length(max = 100), extend("format" = "cron"))]
    pub cron: String,
    /// IANA name.
    #[schemars(length(max = 64), extend("format" = "time-zone"))]
    pub time_zone: String,
    /// How late a missed run may still start. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline: Option<DurationText>,
    /// What happens when the previous run is still going. Default `Forbid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// Who asks for its runs: a role or an account. An environment that asks for approvals takes no run that says nobody, and that one's approval does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub requested_by: Option<String>,
    /// No runs while true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Times without runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub blackouts: Vec<Freeze>,
    /// How long before a run it is announced; at most 720h each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub announce: Vec<DurationText>,
    /// Finished runs kept that passed. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub successful_runs_history_limit: Option<u32>,
    /// Finished runs kept that did not. Default 10. One that left something in place is always kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub failed_runs_history_limit: Option<u32>,
}

/// What happens when the previous run is still going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// The new run is recorded as missed.
    Forbid,
    /// The old run is aborted and undone first.
    Replace,
}

/// *One run*: names a drill and an environment; its state is in the status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillRunSpec {
    /// Name of the drill.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub drill: String,
    /// What that drill says in this run, whatever becomes of the drill of that name. Default: what it says when the run is first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_drill: Option<Box<DrillSpec>>,
    /// Name of the environment.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub environment: String,
    /// Who asked for the run: a role or an account, never shown in reports. An environment that asks for approvals takes no run without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub requested_by: Option<String>,
    /// The schedule's run: which schedule, for which instant. Without it somebody asked for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Scheduled>,
    /// The only field that may change, from false to true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abort: bool,
}

/// Which instant of which schedule a run is for: there is never another run for the same two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scheduled {
    /// Name of the `DrillSchedule`.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub schedule: String,
    /// Its UID: a schedule that is deleted and made again is another one.
    #[schemars(length(max = 36), extend("format" = "uid"))]
    pub uid: String,
    /// The instant of its cron.
    pub at: Timestamp,
}

/// A document: `apiVersion`, `metadata` and the spec of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document<Spec> {
    /// `firedrill.dev/v1alpha1`.
    pub api_version: String,
    /// `Drill`, `Environment`, `DrillSchedule` or `DrillRun`.
    pub kind: String,
    /// The name.
    pub metadata: Metadata,
    /// What the kind says.
    pub spec: Spec,
}

/// *What* is rehearsed.
pub type Drill = Document<DrillSpec>;
/// *Where*.
pub type Environment = Document<EnvironmentSpec>;
/// *When*.
pub type DrillSchedule = Document<DrillScheduleSpec>;
/// *One run*.
pub type DrillRun = Document<DrillRunSpec>;
