//! The egress gateway: a forward proxy that knows AWS hosts and applies rules with a deadline each. It fails open.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A rule: what fails, for whom, until when. Rules live in memory only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Run-unique: `<run>-<step>`.
    pub id: String,
    /// Run that owns it.
    pub run: String,
    /// Step that made it.
    pub step: String,
    /// What happens.
    pub effect: Effect,
    /// AWS service names, or `*`.
    pub services: Vec<String>,
    /// AWS region; global services homed there are included.
    pub region: String,
    /// Whether connections that are already open are cut.
    pub cut_existing: bool,
    /// The rule is gone by then.
    pub deadline: Timestamp,
}

/// What a rule does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It hangs.
    Blackhole,
    /// It is refused at once.
    Refuse,
}
