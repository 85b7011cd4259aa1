//! What drills write about probes: every kind's parameters, in every build.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::choice;

choice! {
    /// A probe: exactly one kind.
    ProbeSpec as ProbeKind {
        /// A request whose answer is checked.
        http / "http" => Http(HttpProbe),
        /// A query of a Prometheus-compatible endpoint.
        prometheus / "prometheus" => Prometheus(PrometheusProbe),
        /// Numbered writes on one side, read back on the other.
        canary / "canary" => Canary(CanaryProbe),
    }
}

/// A request whose answer is checked. Every condition that is given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// `http` or `https`, no user information.
    pub url: String,
    /// `GET` (default), `HEAD` or `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Status code. Default: any 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_status: Option<u16>,
    /// Response headers that must be present with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect_header: BTreeMap<String, String>,
    /// A regular expression that the body must match (first 64 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_body: Option<String>,
    /// A JSON pointer (RFC 6901) into the body and the value expected there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_json: Option<ExpectJson>,
}

/// A JSON pointer and the value expected there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectJson {
    /// RFC 6901: `/status/phase`.
    pub pointer: String,
    /// Compared as JSON.
    pub equals: serde_json::Value,
}

/// A query of a Prometheus-compatible endpoint; true when its vector is not empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusProbe {
    /// A source of the environment.
    pub source: String,
    /// PromQL.
    pub query: String,
    /// PromQL that returns samples while the source measures at all; empty means unknown. Needed with `detectWithin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<String>,
}

/// Numbered writes on one side, read back on the other.
///
/// The write is `POST` with the JSON body `{"number": N, "run": "…"}`; 2xx acknowledges. The read is `GET …?run=…` and answers `{"numbers": [1, 2, …]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryProbe {
    /// URL that takes writes.
    pub write: String,
    /// URL on the surviving side.
    pub read: String,
}
