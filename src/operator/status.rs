//! What the operator writes into the status of drills, environments, schedules and runs: enough for a table and for a decision, and bounded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
pub use crate::cluster::condition::{Condition, ConditionStatus};
use crate::drill::schedule::state::ScheduleState;
use crate::drill::text::Percent;
use crate::event::{Cleanliness, Verdict};
use crate::score::ObjectiveVerdict;

/// Status of a drill or an environment: whether it is valid, by all the rules of `firedrill validate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct DocumentStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Valid`: no mistake was found, or which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// Status of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct DrillScheduleStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the next run is, with the offset of the schedule's zone, `2026-12-08T10:00:00-05:00`; else why there is none: `suspended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub next: Option<String>,
    /// Verdict of the last run that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verdict: Option<Verdict>,
    /// What that run left behind; outranks the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cleanliness: Option<Cleanliness>,
    /// Its score, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub last_score: Option<f64>,
    /// Name of the run that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub active: Option<String>,
    /// What was decided: runs started, announced and missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ScheduleState>,
    /// Whether the schedule is valid, and whether it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunPhase {
    /// Seen; nothing has begun.
    Pending,
    /// Other people must approve it first.
    AwaitingApproval,
    /// The steady state is watched; nothing was touched.
    Baseline,
    /// Steps are under way.
    Steps,
    /// All steps are done, the faults stay.
    Hold,
    /// Faults are being lifted.
    Undo,
    /// Fail-back waits for the failed region.
    Region,
    /// Actions are being failed back.
    FailBack,
    /// Everything is undone; the objectives are watched until they are stable again.
    Settling,
    /// The run has ended. What it left in place is counted beside it, and is still being undone.
    Over,
}

/// Status of a run: its summary. The full report lies elsewhere ([`DrillRunStatus::report`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct DrillRunStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RunPhase>,
    /// The run's id, a ULID, as in marks and reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 26))]
    pub run_id: Option<String>,
    /// SHA-256 of the frozen drill, bound to its environment. Runs with different ones are not comparable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub drill_hash: Option<String>,
    /// SHA-256 of the frozen environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub environment_hash: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When undo begins at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_by: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Targets of the frozen plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<u32>,
    /// Targets that are changed now, or may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place: Option<u32>,
    /// The first of those that a person must act on: the run has ended, and they are still in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 2400)))]
    pub still_in_place: Vec<String>,
    /// The verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What it left behind; outranks the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanliness: Option<Cleanliness>,
    /// 0 to 100, with one digit after the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub score: Option<f64>,
    /// How much of the weight the score rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Percent>,
    /// The slowest recovery with its error bar, as reports write it: `2m 14s ± 1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub recovery: Option<String>,
    /// One sentence that says why, with the figures that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub reason: Option<String>,
    /// The objectives, in the drill's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub objectives: Vec<ObjectiveStatus>,
    /// Who has approved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 512)))]
    pub approved_by: Vec<String>,
    /// Where the full report is: `configmap/NAME`, or a path on the volume of reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub report: Option<String>,
    /// Whether it was accepted, approved, is complete, and is clean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// What one objective proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveStatus {
    /// Its id.
    #[schemars(length(max = 63))]
    pub id: String,
    /// Whether it holds.
    pub verdict: ObjectiveVerdict,
    /// Its recovery with the error bar; none when it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub recovery: Option<String>,
}
