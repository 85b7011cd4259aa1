//! The event stream: a run is a fold over it, live or replayed from the journal.
//!
//! Every sink matches [`Event`] without a wildcard, so that a new event is a compile error until each sink says what it does with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::{Span, Timestamp};

/// The version that this build writes into [`RunEvent::v`]. A reader refuses a newer one.
pub const EVENT_VERSION: u32 = 1;

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// [`EVENT_VERSION`] of the writer.
    pub v: u32,
    /// Position in the run's stream, from 0 without gaps.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// First of every stream; carries everything that scoring and reports need to know about the drill.
    RunStarted(Box<RunStarted>),
    /// The steady state is being watched; ends at `until` unless something is bad.
    BaselineStarted {
        /// When the watch ends.
        until: Timestamp,
    },
    /// The gate: `problems` is empty when the steady state held. No mutation happens before this event.
    BaselineEnded {
        /// One sentence an objective or gate that was not steady.
        problems: Vec<String>,
    },
    /// A step began.
    StepStarted {
        /// Step id.
        step: String,
        /// When its limit runs out.
        limit: Timestamp,
    },
    /// A step ended.
    StepEnded {
        /// Step id.
        step: String,
        /// How.
        outcome: StepOutcome,
    },
    /// A person is asked to do something and to confirm it.
    ManualAsked {
        /// Step id.
        step: String,
        /// The role asked, never a person.
        role: String,
        /// What to do.
        instruction: String,
        /// When the answer is no longer waited for.
        limit: Timestamp,
    },
    /// The first inject call of a fault step is about to be sent: the early end of T0.
    InjectSent {
        /// Step id.
        step: String,
    },
    /// All of a fault step's targets were verified in effect (the late end of T0), or not (`problem`).
    FaultVerified {
        /// Step id.
        step: String,
        /// Why the fault is not known to bite; none when it does.
        problem: Option<String>,
    },
    /// A target's record moved to another phase in the journal.
    TargetPhase {
        /// Step id.
        step: String,
        /// Target identity, as printed.
        target: String,
        /// True for an action's target, false for a fault's.
        action: bool,
        /// The new phase.
        phase: Phase,
        /// What a reader should know: prior, ours and current on drift, the error on stuck.
        detail: Option<String>,
    },
    /// One reading of one objective's probe.
    Sample(Sample),
    /// A fault was found removed by someone else while it should have been in place.
    FaultLost {
        /// Step id.
        step: String,
        /// Target identity.
        target: String,
        /// What was seen.
        detail: String,
    },
    /// All steps are done; the faults stay until `until`.
    HoldStarted {
        /// When the hold ends.
        until: Timestamp,
    },
    /// The run turns round: why nothing more is injected.
    Stopping {
        /// Why.
        reason: StopReason,
        /// A sentence for people.
        detail: String,
    },
    /// Undo begins: the availability window and the hold end here.
    UndoStarted {
        /// What is to be undone, faults first.
        targets: usize,
        /// True when waits are skipped and actions stay (second signal).
        hurried: bool,
    },
    /// No fault of the run is in place any more (or `left` names those that are).
    FaultsLifted {
        /// Targets still in place.
        left: Vec<String>,
    },
    /// Fail-back waits for the failed region to be healthy for a while.
    RegionWaiting {
        /// When the wait is given up and actions stay.
        limit: Timestamp,
    },
    /// The gate of fail-back was answered.
    RegionHealthy {
        /// False when the limit ran out.
        healthy: bool,
        /// What the last reading said.
        detail: String,
    },
    /// The last undo is done.
    UndoEnded {
        /// Targets still in place.
        left: Vec<String>,
        /// Targets that someone else changed; left alone.
        drifted: Vec<String>,
        /// Actions that stay on purpose (`keep: true`, `--skip-failback`).
        kept: Vec<String>,
    },
    /// A remark for people: a retry, a warning of the plan, a sink that failed.
    Note {
        /// One sentence.
        text: String,
    },
    /// Last of every stream.
    RunEnded {
        /// The run's verdict.
        verdict: Verdict,
        /// Beside it, always.
        cleanliness: Cleanliness,
        /// 0–100; none when the run never measured (refused, aborted before T0).
        score: Option<f64>,
        /// Exit code of the process.
        exit_code: u8,
        /// One sentence that says why.
        reason: String,
    },
}

/// What a stream says about its drill, once, at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStarted {
    /// Run id, a ULID.
    pub run: String,
    /// firedrill's version.
    pub firedrill: String,
    /// `metadata.name` of the drill.
    pub drill: String,
    /// One line.
    pub summary: String,
    /// A role.
    pub owner: String,
    /// What is expected to hold.
    pub hypothesis: String,
    /// Region that the drill fails.
    pub failed_region: String,
    /// Regions that must carry on.
    pub surviving_regions: Vec<String>,
    /// Name of the environment.
    pub environment: String,
    /// SHA-256 of the drill's bound, canonical JSON; runs with different hashes are not comparable.
    pub drill_hash: String,
    /// SHA-256 of the environment's canonical JSON.
    pub environment_hash: String,
    /// Planned length of the hold.
    pub hold: Span,
    /// From the first mutation: undo has begun by then.
    pub undo_by: Span,
    /// The objectives, in file order.
    pub objectives: Vec<ObjectiveInfo>,
    /// The steps, in file order.
    pub steps: Vec<StepInfo>,
    /// What the plan resolved and warned of.
    pub plan: PlanInfo,
}

/// An objective as scoring and reports need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveInfo {
    /// Objective id.
    pub id: String,
    /// Probe kind and address, for people.
    pub probe: String,
    /// Time from one sample to the next.
    pub interval: Span,
    /// Longest a reading may take.
    pub timeout: Span,
    /// Share in the score.
    pub weight: u32,
    /// RTO.
    pub recover_within: Option<Span>,
    /// How long only good samples make a recovery.
    pub stable_for: Span,
    /// Percentage 0–100 of good samples from the `recoverWithin` deadline (T0 where there is none) until undo begins.
    pub availability: Option<f64>,
    /// MTTD.
    pub detect_within: Option<Span>,
    /// RPO.
    pub lose_at_most: Option<Span>,
    /// Step id that its clocks start with; none means the first fault.
    pub clock_from: Option<String>,
    /// Objectives that must recover first.
    pub depends_on: Vec<String>,
}

/// A step as reports need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepInfo {
    /// Step id.
    pub id: String,
    /// What it is.
    pub kind: StepKind,
    /// Kind of fault or action, `manual`, `wait`, `check`.
    pub name: String,
    /// One line for people: parameters, instruction.
    pub summary: String,
    /// Step ids it waits for.
    pub after: Vec<String>,
    /// Its limit.
    pub limit: Span,
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepKind {
    /// Breaks something.
    Fault,
    /// The evacuation itself.
    Action,
    /// A person's step.
    Manual,
    /// A pause.
    Wait,
    /// A gate.
    Check,
}

/// What the plan resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct PlanInfo {
    /// The frozen targets.
    pub targets: Vec<TargetInfo>,
    /// Warnings, one sentence each.
    pub warnings: Vec<String>,
}

/// A frozen target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetInfo {
    /// Step id.
    pub step: String,
    /// Identity, as printed.
    pub target: String,
    /// State before, of exactly the fields we own.
    pub prior: Value,
    /// State that we intend.
    pub ours: Value,
    /// How the fault goes away when firedrill is dead: `own expiry`, `dead-man`, `no dead-man`.
    pub expiry: String,
    /// Already in the fault state: nothing is touched, nothing restored.
    pub noop: bool,
    /// How a person undoes it by hand.
    pub undo_by_hand: Vec<String>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StepOutcome {
    /// As planned.
    Done,
    /// Not done on purpose (`--unattended=skip`, a run that turned round first).
    Skipped {
        /// Why.
        why: String,
    },
    /// Could not be done: an error of the run, or a failed gate.
    Failed {
        /// Why.
        why: String,
        /// True when the platform could not be reached at all.
        unreachable: bool,
    },
}

/// Where a target's record is on its way. Order and meaning: undo.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", from = "String")]
pub enum Phase {
    /// Frozen by the plan.
    Planned,
    /// Durable before the mutation.
    Intent,
    /// The call returned.
    Injected,
    /// Seen in effect.
    Verified,
    /// Undo has begun.
    Reverting,
    /// Read back as prior.
    Reverted,
    /// The target no longer exists.
    Gone,
    /// Someone else changed it since; left alone.
    Drifted,
    /// Still in place; a human must act.
    Stuck,
    /// Was in the fault state before the drill; untouched.
    Noop,
    /// Stays on purpose.
    Kept,
    /// Closed by `abandon` without undoing.
    Abandoned,
    /// Written by a newer build: treated as [`Phase::Intent`].
    Unknown,
}

impl From<String> for Phase {
    fn from(text: String) -> Self {
        match text.as_str() {
            "planned" => Self::Planned,
            "intent" => Self::Intent,
            "injected" => Self::Injected,
            "verified" => Self::Verified,
            "reverting" => Self::Reverting,
            "reverted" => Self::Reverted,
            "gone" => Self::Gone,
            "drifted" => Self::Drifted,
            "stuck" => Self::Stuck,
            "noop" => Self::Noop,
            "kept" => Self::Kept,
            "abandoned" => Self::Abandoned,
            _ => Self::Unknown,
        }
    }
}

impl Phase {
    /// True when nothing of ours can be in place any more, or what is stays on purpose.
    #[must_use]
    pub fn is_closed(self) -> bool {
        match self {
            Self::Planned | Self::Reverted | Self::Gone | Self::Drifted | Self::Noop | Self::Kept | Self::Abandoned => true,
            Self::Intent | Self::Injected | Self::Verified | Self::Reverting | Self::Stuck | Self::Unknown => false,
        }
    }
}

/// Why a run turned round, least urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// The hold is over: the normal end.
    HoldOver,
    /// `firedrill resume` or `sweep` of a run that died.
    Resumed,
    /// A step could not be done.
    StepFailed,
    /// An `abortWhen` condition held.
    AbortWhen,
    /// A `haltWhen` condition of the environment became true.
    HaltWhen,
    /// `undoBy` is due.
    UndoBy,
    /// The machine slept, or its clock jumped.
    ClockJumped,
    /// The journal cannot be written.
    JournalFailed,
    /// `firedrill abort`, or `spec.abort`.
    AbortRequested,
    /// First Ctrl-C, SIGTERM or SIGHUP.
    Signal,
    /// Second signal.
    SecondSignal,
}

/// One reading of an objective's probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Objective id.
    pub objective: String,
    /// When the reading was due and began. Written as `began`: the event around it has an `at` of its own on the same level.
    #[serde(rename = "began")]
    pub at: Timestamp,
    /// How long it took.
    pub latency: Span,
    /// What it said.
    pub health: Health,
    /// Why, when not plainly good.
    pub detail: Option<String>,
    /// Canary readings only.
    pub canary: Option<CanarySample>,
}

/// What a reading says of the thing under test. For `detectWithin` objectives good means *true* (the alert fires).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// As it should be.
    Good,
    /// Not as it should be; a refused or timed-out request to the thing under test.
    Bad,
    /// The measuring instrument is broken.
    Unknown,
}

/// What a canary saw: numbered writes on one side, read back on the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct CanarySample {
    /// Number of the write of this tick, when it was acknowledged.
    pub acknowledged: Option<u64>,
    /// Acknowledged writes that the reading side could not show, oldest first; none when the read itself failed.
    pub missing: Option<Vec<MissingWrite>>,
}

/// An acknowledged write that the reading side could not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingWrite {
    /// Its number.
    pub number: u64,
    /// When it was acknowledged.
    pub acknowledged: Timestamp,
}

/// A run's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// All objectives met, all faults verified.
    Passed,
    /// An objective missed.
    Failed,
    /// An objective unknown, or a fault not verified, or removed by someone else.
    Inconclusive,
    /// Stopped before its end.
    Aborted,
    /// A step could not be done.
    Error,
    /// Guards; nothing touched.
    Refused,
}

/// What the run left behind; outranks the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cleanliness {
    /// Everything is as before.
    Clean,
    /// Someone else's change was left alone.
    Drifted,
    /// Something is still in place.
    StillInPlace,
}
