//! Parameters of the sandbox's own actions.

use std::time::Duration;

use crate::fault::definition::Definition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The sandbox edge sends one region's traffic to another; undone as fail-back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EdgeShift {
    /// URL of the edge's control endpoint, usually a look-up.
    #[schemars(length(max = 2048))]
    #[schemars(extend("format" = "probe-url"))]
    pub edge: String,
    /// Region whose traffic leaves. Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub from: Option<String>,
    /// Region that takes it.
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub to: String,
}

impl Definition for EdgeShift {
    fn limit() -> Duration {
        Duration::from_mins(1)
    }
}
