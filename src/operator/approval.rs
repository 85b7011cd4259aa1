//! `DrillApproval`: one person's yes to one run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One person's yes to one run. Deleting it takes the yes back, as long as the run has not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillApprovalSpec {
    /// Name of the `DrillRun`, in the same namespace. An approval that is older than the run is for another run of that name, and does not count.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub run: String,
    /// Who approves: the user that creates this object, as the API server knows them. Nobody else's name is admitted, nor that of who asked for the run.
    #[schemars(length(min = 1, max = 512))]
    pub approver: String,
}

/// What became of the approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct DrillApprovalStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether it counts, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<super::status::Condition>,
}
