//! What a schedule remembers between two decisions: its status, bounded however often it fires and however long nobody looked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::drill::spec::DrillScheduleSpec;
use crate::drill::text::DurationText;

/// Missed instants that are kept one by one; of the others there is a count.
pub const KEPT: usize = 10;

/// What a schedule remembers: part of the status of a `DrillSchedule`. It changes only when something happened, so that looking writes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScheduleState {
    /// The rule by which the next instants are found. When the spec has another, this one's instants are closed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleText>,
    /// Every instant up to this one has been run or recorded as missed. Before the first decision: the creation of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handled: Option<Timestamp>,
    /// Since when the schedule is known to be suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended_since: Option<Timestamp>,
    /// The last run that was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Started>,
    /// Runs that were started in all.
    pub started: u64,
    /// Instants at which no run was started.
    pub missed: Missed,
    /// For each lead of `announce`: up to which instant runs have been announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub announced: Vec<Announced>,
}

/// A rule as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleText {
    /// Five fields.
    #[schemars(length(max = 100))]
    pub cron: String,
    /// IANA name.
    #[schemars(length(max = 64))]
    pub time_zone: String,
}

impl RuleText {
    /// The rule of a schedule.
    #[must_use]
    pub fn of(schedule: &DrillScheduleSpec) -> Self {
        Self { cron: schedule.cron.clone(), time_zone: schedule.time_zone.clone() }
    }
}

/// A run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The instant that it is for; it may have begun up to `startingDeadline` later.
    pub instant: Timestamp,
    /// Name of the `DrillRun`.
    #[schemars(length(max = 63))]
    pub name: String,
}

/// Instants without a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Missed {
    /// How many, in all.
    pub count: u64,
    /// There were more than were counted: nobody looked for so long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// The latest, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub last: Vec<Miss>,
}

impl Missed {
    /// Adds newer ones: `last` are the latest of `count`, in order.
    pub fn add(&mut self, newer: &Self) {
        self.count = self.count.saturating_add(newer.count);
        self.at_least |= newer.at_least;
        self.last.extend(newer.last.iter().cloned());
        let old = self.last.len().saturating_sub(KEPT);
        self.last.drain(..old);
    }
}

/// An instant without a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Miss {
    /// The instant.
    pub instant: Timestamp,
    /// Why, for programs: it is the reason of an Event, too.
    pub reason: MissReason,
    /// Why, for people: the reason of a freeze, the name of a run.
    #[schemars(length(max = 300))]
    pub message: String,
}

/// Why no run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MissReason {
    /// Nobody looked until `startingDeadline` was over.
    TooLate,
    /// The schedule was suspended.
    Suspended,
    /// In a blackout of the schedule.
    Blackout,
    /// In a freeze of the environment.
    Freeze,
    /// An earlier run was going on (`Forbid`), or was not undone in time (`Replace`).
    RunActive,
    /// An earlier run left something in place.
    StillInPlace,
    /// A later instant was due too: only the latest starts.
    Superseded,
    /// The schedule was given another cron or zone.
    ScheduleChanged,
}

impl MissReason {
    /// The word of the status and of Events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLate => "TooLate",
            Self::Suspended => "Suspended",
            Self::Blackout => "Blackout",
            Self::Freeze => "Freeze",
            Self::RunActive => "RunActive",
            Self::StillInPlace => "StillInPlace",
            Self::Superseded => "Superseded",
            Self::ScheduleChanged => "ScheduleChanged",
        }
    }
}

/// How far the runs have been announced with one lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Announced {
    /// One of `announce`.
    pub lead: DurationText,
    /// The last instant that was announced.
    pub through: Timestamp,
}
