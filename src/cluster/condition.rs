//! A condition in the status of an object.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A condition, as every Kubernetes client knows it (`metav1.Condition`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about: `Valid`, `Complete`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63))]
    pub about: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// `metadata.generation` that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it last changed from one status to another.
    pub last_transition_time: Timestamp,
    /// Why, in one word for programs.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$"))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 2048))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}
