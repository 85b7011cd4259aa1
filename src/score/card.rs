//! The scorecard: what evaluation hands to reports, as plain data that serialises.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::duration;
use crate::clock::{Span, Timestamp};
use crate::event::{Cleanliness, StepKind, Verdict};
use crate::exit::Exit;

/// What a run proved. Times are instants or seconds; shares are 0–1; scores and percentages 0–100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scorecard {
    /// The run's verdict.
    pub verdict: Verdict,
    /// Beside it, always.
    pub cleanliness: Cleanliness,
    /// One sentence that says why, with the figures that decided.
    pub reason: String,
    /// True when a [`Verdict::Error`] is owed only to a platform that could not be reached.
    pub unreachable: bool,
    /// 0–100: `100 × Σ w·s / Σ w`, and 0 while something is still in place. None when no clock ever started, or nothing carries weight.
    pub score: Option<f64>,
    /// `Σ w(known) / Σ w`, 0–1: how much of the weight the score rests on. Printed next to it, never hidden.
    pub coverage: f64,
    /// When the first fault began; none when none did.
    pub t0: Option<T0>,
    /// When undo began: measurement ends here.
    pub undo_began: Option<Timestamp>,
    /// The clocks of the run as a whole.
    pub clocks: RunClocks,
    /// The objectives, in file order.
    pub objectives: Vec<ObjectiveScore>,
    /// The table that the score came from: one row an objective and target.
    pub table: Vec<ScoreRow>,
}

impl Scorecard {
    /// The exit code of the process that ran this run.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::of_run(self.verdict, self.cleanliness, self.unreachable)
    }
}

/// The start of every clock, as an interval. Clocks run from `early`, so that slow verification never flatters a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct T0 {
    /// The first inject call was about to be sent.
    pub early: Timestamp,
    /// The fault was verified in effect; none when it never was.
    pub late: Option<Timestamp>,
}

/// A measured length of time with its error bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// As measured.
    pub value: Span,
    /// One probe interval plus the latency of the reading that decided; 0 where the figure is exact.
    pub plus_minus: Span,
    /// The least that the readings allow: further away than `plusMinus` when readings before the deciding one were missing.
    pub lower: Span,
    /// `value + plusMinus`: what a target is held against.
    pub upper: Span,
}

impl Figure {
    /// Exactly nothing: not impacted, none lost.
    pub const ZERO: Self = Self {
        value: Span(std::time::Duration::ZERO),
        plus_minus: Span(std::time::Duration::ZERO),
        lower: Span(std::time::Duration::ZERO),
        upper: Span(std::time::Duration::ZERO),
    };
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration(*self.value))?;
        if self.plus_minus.is_zero() {
            return Ok(());
        }
        write!(f, " ± {}", duration(*self.plus_minus))
    }
}

/// The clocks of a run, each from T0 unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct RunClocks {
    /// To the first bad sample of any objective; none when nothing was impacted.
    pub impact: Option<Figure>,
    /// To the first true sample of any `detectWithin` objective that was false before.
    pub detect: Option<Figure>,
    /// Decide and act: each `manual` and `action` step, from detection.
    pub steps: Vec<StepClock>,
    /// The slowest recovery; none while one is missing or not known.
    pub recover: Option<Figure>,
    /// The largest loss; none when no canary was read.
    pub lose: Option<Loss>,
    /// From the beginning of undo until every objective was good for its `stableFor` after the last undo; none when that was not seen.
    pub fail_back: Option<Figure>,
}

/// When a step of people or of the evacuation began and ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepClock {
    /// Step id.
    pub step: String,
    /// `manual` or `action`.
    pub kind: StepKind,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended, however it ended.
    pub ended: Option<Timestamp>,
    /// From detection to its start (decide). None without a detection, or when it began before one: see `beforeDetect`.
    pub decide: Option<Span>,
    /// From detection to its end (act).
    pub act: Option<Span>,
    /// It began before anything was detected: nobody waited for the alert.
    pub before_detect: bool,
}

/// Acknowledged writes that the surviving side could not show when undo began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// How far back the loss reaches.
    pub age: Figure,
    /// How many writes.
    pub count: u64,
}

/// Whether an objective holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ObjectiveVerdict {
    /// Shown to hold.
    Met,
    /// Shown not to hold.
    Missed,
    /// Not shown either way. Never counts as met.
    Unknown,
}

/// What one objective proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveScore {
    /// Objective id.
    pub id: String,
    /// Missed when a target is missed, else unknown when one is unknown, else met.
    pub verdict: ObjectiveVerdict,
    /// One sentence with the figures.
    pub reason: String,
    /// Start of its clocks.
    pub t0: Option<T0>,
    /// Each of its targets.
    pub targets: Vec<TargetScore>,
    /// Its clocks, whether or not a target asks for them.
    pub clocks: ObjectiveClocks,
    /// No sample between T0 and undo was bad.
    pub not_impacted: bool,
    /// It went bad again after it had recovered.
    pub relapse: Option<Relapse>,
    /// How much of what should have been read was read, between T0 and undo.
    pub samples: Coverage,
    /// Share in the score.
    pub weight: u32,
    /// 0–1: the worst of its targets; 0 when unknown.
    pub s: f64,
    /// What it added to the score, before `StillInPlace` makes that 0.
    pub points: f64,
    /// Objectives of `dependsOn` that kept this one from recovering.
    pub blocked_by: Vec<Blocker>,
    /// How bad it was, when. Empty for objectives that only detect: an alert that does not fire is not an outage.
    pub severity: Vec<SeverityWindow>,
}

/// The clocks of one objective, each from its T0 unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveClocks {
    /// To the first bad sample.
    pub impact: Option<Figure>,
    /// To the first true sample.
    pub detect: Option<Figure>,
    /// To the first good sample after impact that begins `stableFor` of only good ones; 0 when not impacted.
    pub recover: Option<Figure>,
    /// From the beginning of undo to the first good sample after the last undo that begins `stableFor` of only good ones.
    pub fail_back: Option<Figure>,
    /// What was lost.
    pub lose: Option<Loss>,
}

/// Bad samples after a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relapse {
    /// From T0 to the first of them.
    pub after: Span,
    /// How many, until undo began.
    pub bad: u64,
    /// It was down when undo began, and had been for at least `stableFor`.
    pub down_at_undo: bool,
}

/// Samples between T0 and undo. A reading that runs longer than its interval stands for the ticks it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Length of the window divided by the interval; at least 1.
    pub expected: u64,
    /// Good samples.
    pub good: u64,
    /// Bad samples.
    pub bad: u64,
    /// Samples that said unknown. What is missing altogether is in no count.
    pub unknown: u64,
    /// Known of expected, 0–1.
    pub share: f64,
}

impl Coverage {
    /// Samples that say something about the thing under test.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// For people: `57 of 57`. A window can hold one reading more than it has intervals.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{} of {}", self.known().min(self.expected), self.expected)
    }
}

/// A target of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetKind {
    /// RTO.
    RecoverWithin,
    /// Share of good samples.
    Availability,
    /// MTTD.
    DetectWithin,
    /// RPO.
    LoseAtMost,
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecoverWithin => "recoverWithin",
            Self::Availability => "availability",
            Self::DetectWithin => "detectWithin",
            Self::LoseAtMost => "loseAtMost",
        })
    }
}

/// What a target is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Quantity {
    /// A length of time.
    Seconds(Span),
    /// 0–100.
    Percent(f64),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(span) => f.write_str(&duration(**span)),
            Self::Percent(percent) => f.write_str(&super::words::percent(*percent)),
        }
    }
}

/// What one target of an objective proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetScore {
    /// Which.
    pub kind: TargetKind,
    /// What the drill asks for.
    pub target: Quantity,
    /// What was measured; none when there is nothing to measure (never recovered, never detected, unknown).
    pub measured: Option<Quantity>,
    /// Error bar of `measured`; none for a share of samples, which is a count.
    pub plus_minus: Option<Span>,
    /// What was held against the target: `measured + plusMinus`, or the share itself.
    pub upper: Option<Quantity>,
    /// Whether it fits.
    pub verdict: ObjectiveVerdict,
    /// 0–1.
    pub s: f64,
    /// Why, as the clause of a sentence.
    pub reason: String,
}

/// An objective that another one waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// Objective id.
    pub objective: String,
    /// When it recovered; none when it did not.
    pub until: Option<Timestamp>,
}

/// How bad, said honestly: by the share of bad samples in a window. The order is the order of badness; unknown stands aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// At most 1 %.
    None,
    /// At most 25 %.
    Degraded,
    /// At most 90 %.
    Disruption,
    /// More.
    Outage,
    /// Fewer than half of the expected samples are known.
    Unknown,
}

/// A stretch of one severity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeverityWindow {
    /// Beginning.
    pub from: Timestamp,
    /// End, not included.
    pub to: Timestamp,
    /// How bad.
    pub severity: Severity,
    /// Share of bad among the known samples, 0–1; none when none is known.
    pub bad: Option<f64>,
}

/// A row of the table that the score came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoreRow {
    /// Objective id.
    pub objective: String,
    /// The target; none for an objective without one.
    pub target: Option<TargetKind>,
    /// What the drill asks for, in words.
    pub wanted: String,
    /// What was measured, in words, with its error bar.
    pub measured: String,
    /// Verdict of this target.
    pub verdict: ObjectiveVerdict,
    /// 0–1, of this target.
    pub s: f64,
    /// This target is the objective's worst: the one whose `s` counts. One row an objective.
    pub counts: bool,
    /// Weight of the objective.
    pub weight: u32,
    /// Points of the objective in the row that counts, else 0: the column adds up to the score.
    pub points: f64,
}
