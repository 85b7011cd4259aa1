//! What drills write about probes: every kind's parameters, in every build.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::definition::{Definition, Entry};
use crate::choice;
use crate::drill::text::{DurationText, Percent, RecordType, Strings};

choice! {
    /// A probe: exactly one kind.
    ProbeSpec as ProbeKind defined by Definition, Entry {
        /// A request whose answer is checked.
        http / "http" => Http(HttpProbe),
        /// A TCP connection that opens.
        tcp / "tcp" => Tcp(TcpProbe),
        /// A DNS question with the answers expected.
        dns / "dns" => Dns(DnsProbe),
        /// A query of a Prometheus-compatible endpoint.
        prometheus / "prometheus" => Prometheus(PrometheusProbe),
        /// The ready share of a Kubernetes workload.
        workload / "workload" => Workload(WorkloadProbe),
        /// The state of a CloudWatch alarm.
        aws_alarm / "awsAlarm" => AwsAlarm(AwsAlarmProbe),
        /// What Route 53 would answer, asked of its API.
        route53_answer / "route53Answer" => Route53Answer(Route53AnswerProbe),
        /// Numbered writes on one side, read back on the other.
        canary / "canary" => Canary(CanaryProbe),
        /// Your own status page tells the truth.
        status_page / "statusPage" => StatusPage(StatusPageProbe),
    }
}

/// A request whose answer is checked. Every condition that is given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// `http` or `https`, no user information.
    #[schemars(length(max = 2048))]
    #[schemars(extend("format" = "probe-url"))]
    pub url: String,
    /// `GET` (default), `HEAD` or `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[schemars(extend("format" = "http-method"))]
    pub method: Option<String>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[schemars(extend("format" = "http-header"))]
    pub headers: BTreeMap<String, String>,
    /// Status code. Default: any 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub expect_status: Option<u16>,
    /// Response headers that must be present with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[schemars(extend("format" = "http-header"))]
    pub expect_header: BTreeMap<String, String>,
    /// A regular expression that the body must match (first 64 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[schemars(extend("format" = "regex"))]
    pub expect_body: Option<String>,
    /// A JSON pointer (RFC 6901) into the body and the value expected there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_json: Option<ExpectJson>,
    /// What the server's certificate must be. Default: valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_tls: Option<ExpectTls>,
}

/// A JSON pointer and the value expected there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectJson {
    /// RFC 6901: `/status/phase`.
    #[schemars(length(max = 256))]
    #[schemars(extend("format" = "json-pointer"))]
    pub pointer: String,
    /// Compared as JSON.
    pub equals: serde_json::Value,
}

/// A query of a Prometheus-compatible endpoint; true when its vector is not empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusProbe {
    /// A source of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "prometheus-name"))]
    pub source: String,
    /// PromQL.
    #[schemars(length(max = 2048))]
    pub query: String,
    /// PromQL that returns samples while the source measures at all; empty means unknown. Needed with `detectWithin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub alive: Option<String>,
}

/// Numbered writes on one side, read back on the other.
///
/// The write is `POST` with the JSON body `{"number": N, "run": "…"}`; 2xx acknowledges. The read is `GET …?run=…` and answers `{"numbers": [1, 2, …]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryProbe {
    /// URL that takes writes.
    #[schemars(length(max = 2048))]
    #[schemars(extend("format" = "probe-url"))]
    pub write: String,
    /// URL on the surviving side.
    #[schemars(length(max = 2048))]
    #[schemars(extend("format" = "probe-url"))]
    pub read: String,
}

/// What a server's certificate must be, beside valid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectTls {
    /// It must not expire within this time.
    pub valid_for: DurationText,
}

/// A TCP connection that opens; good when the handshake completes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpProbe {
    /// Name or address, often a look-up.
    #[schemars(length(max = 253))]
    #[schemars(extend("format" = "address"))]
    pub host: String,
    /// Port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// A DNS question; good when every answer is one of those expected, and there is at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsProbe {
    /// The name asked for, often a look-up.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Addresses, names or texts: every answer must be one of these.
    pub answers: Strings,
    /// Default `A`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub record_type: Option<RecordType>,
    /// The server asked: `host`, `host:port` or `[v6]:port`, port 53 unless given. Default: the system's resolver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[schemars(extend("format" = "address"))]
    pub server: Option<String>,
}

/// A Kubernetes workload; good when the ready share of its replicas reaches `ready`. Exactly one of `deployment`, `statefulSet`, `daemonSet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadProbe {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// The workload's namespace.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: String,
    /// Name of a Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub deployment: Option<String>,
    /// Name of a StatefulSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub stateful_set: Option<String>,
    /// Name of a DaemonSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub daemon_set: Option<String>,
    /// Share of the wanted replicas that must be ready.
    pub ready: Percent,
}

/// A CloudWatch alarm; good when it is in the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsAlarmProbe {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// The alarm's region.
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: String,
    /// Name of the alarm.
    #[schemars(length(max = 255))]
    pub alarm: String,
    /// Default `ALARM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AlarmState>,
}

/// States of a CloudWatch alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// The threshold is crossed.
    #[default]
    Alarm,
    /// It is not.
    Ok,
    /// Not enough data to tell.
    InsufficientData,
}

/// What Route 53 would answer (`TestDNSAnswer`); good when every answer is one of those expected, and there is at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route53AnswerProbe {
    /// An account of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "account-name"))]
    pub account: String,
    /// Hosted zone id, or the zone's name.
    #[schemars(length(max = 255))]
    pub zone: String,
    /// Record name, often a look-up.
    #[schemars(length(max = 255))]
    pub record: String,
    /// Default `A`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub record_type: Option<RecordType>,
    /// Values expected.
    pub answers: Strings,
}

/// Your own status page; good when it says what it should. At least one of `expectBody` and `expectJson`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusPageProbe {
    /// The page, often a look-up.
    #[schemars(length(max = 2048))]
    #[schemars(extend("format" = "probe-url"))]
    pub url: String,
    /// A regular expression that the body must match (first 64 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[schemars(extend("format" = "regex"))]
    pub expect_body: Option<String>,
    /// A JSON pointer (RFC 6901) into the body and the value expected there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_json: Option<ExpectJson>,
}
