//! How failure is made: the contract that every kind of fault and action keeps, and the record that undoes it.
//!
//! A kind only reads and writes its own part of the world. The decision table, retries, timing, journal and events belong to the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::needs::Needs;

pub mod aws;
pub mod carried;
pub mod definition;
pub mod gateway;
pub mod kubernetes;
pub mod params;
pub mod registry;
pub mod sandbox;
pub mod shell;

/// The version that this build writes into [`Record::version`].
pub const RECORD_VERSION: u32 = 1;

/// What identifies a target for good: an ARN, or group/kind/namespace/name/uid in a cluster, or a rule id in a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetId {
    /// Where it lives: `gateway/edge`, `aws/111122223333/us-east-1`, `kubernetes/<uid of kube-system>`.
    pub place: String,
    /// Identity in that place, unique and stable.
    pub id: String,
}

impl std::fmt::Display for TargetId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.place, self.id)
    }
}

/// What a kind read about a target before anything was touched.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// State of exactly the fields we own.
    pub prior: Value,
    /// State that we intend.
    pub ours: Value,
    /// Objects that inject creates and revert deletes, by run-unique name.
    pub companions: Vec<String>,
    /// Already in the fault state: nothing is touched, nothing is restored.
    pub noop: bool,
}

/// Everything that undoing one target needs; durable before the first write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`RECORD_VERSION`] of the writer; a newer one is treated as [`Phase::Intent`].
    pub version: u32,
    /// Run id.
    pub run: String,
    /// Step id.
    pub step: String,
    /// Every step, direct or not, that this one came after: undone only when those that came after it are.
    pub after: Vec<String>,
    /// Kind of fault or action.
    pub kind: String,
    /// True for actions: undone as fail-back, after every fault.
    pub action: bool,
    /// True for an action that stays on purpose (`keep: true`).
    pub keep: bool,
    /// The target.
    pub target: TargetId,
    /// State before, of exactly the fields we own; never changes afterwards.
    pub prior: Value,
    /// State that we intend.
    pub ours: Value,
    /// How to reach and invert it: data, never code.
    pub invert: Value,
    /// Objects that inject creates and revert deletes.
    pub companions: Vec<String>,
    /// The mutation is gone by then, where it expires by itself.
    pub undo_by: Timestamp,
    /// Where it is on its way.
    pub phase: Phase,
}

/// What a kind sees when it looks at a target.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// As before the run.
    Prior,
    /// As we intended. `marked` when it carries this run's mark.
    Ours {
        /// This run's mark is on it.
        marked: bool,
    },
    /// Between the two (stopping, pending).
    InTransition {
        /// What it is doing.
        detail: String,
    },
    /// Neither: someone else changed it.
    Other {
        /// What is there now.
        current: Value,
    },
    /// No longer there (404 by uid).
    Absent,
    /// It cannot be read.
    Unreadable {
        /// What the failed reading said; on a denial, which permission is missing.
        error: String,
    },
}

/// Whether a fault is seen to bite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bite {
    /// Seen in effect.
    Verified,
    /// Not seen, or not yet: the run is inconclusive, unless it is seen before the step's limit.
    Unproven {
        /// Why.
        why: String,
    },
    /// It cannot be seen here, however long one looks: the run is inconclusive, and nobody waits.
    Unprovable {
        /// Why.
        why: String,
    },
}

/// How far a fault has come that takes more than one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// All was asked for.
    Done,
    /// Something else must happen first: call again.
    Waiting {
        /// What is waited for.
        why: String,
    },
}

/// What is known of a step once its targets are frozen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// What forbids it, one sentence each.
    pub refusals: Vec<String>,
    /// What people should know before they run it.
    pub warnings: Vec<String>,
    /// What is touched, in counts and shares: `30 of 60 nodes (50 %), 300 pods`.
    pub radius: Vec<String>,
    /// How many targets of this kind there are in each place of the environment: what a limit in percent is a share of. Empty: the kind has no share.
    pub population: BTreeMap<String, usize>,
}

/// How a fault goes away when firedrill is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The fault carries its own deadline.
    Own,
    /// A schedule outside firedrill undoes it.
    DeadMan,
    /// It stays; the environment must allow that.
    None,
}

impl Expiry {
    /// As the plan prints it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Own => "own expiry",
            Self::DeadMan => "dead-man",
            Self::None => "no dead-man",
        }
    }
}

/// Why a call of a kind failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// A guard: touching this is refused.
    #[error("refused: {0}")]
    Refused(String),
    /// The platform cannot be reached.
    #[error("cannot reach {0}")]
    Unreachable(String),
    /// The answer was lost: neither success nor failure. Read back.
    #[error("no answer: {0}")]
    LostAnswer(String),
    /// Conditional write refused: the target is not in the expected state. Read back.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The call failed.
    #[error("{0}")]
    Failed(String),
}

/// How a person does it by hand, one shell command a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByHand {
    /// Commands that inject.
    pub inject: Vec<String>,
    /// Commands that undo.
    pub undo: Vec<String>,
}

/// One kind of fault or action, bound to one place of an environment (and, for planning, to one step).
///
/// Every method may be called again after a crash, in any order: inject and revert are idempotent.
#[async_trait]
pub trait Kind: Send + Sync {
    /// The kind's name as written in files.
    fn name(&self) -> &'static str;

    /// How the fault goes away when firedrill is dead.
    fn expiry(&self) -> Expiry;

    /// Longest time after which a call whose answer was lost may still take effect. Zero for kinds whose revert fences late injects.
    fn settle(&self) -> Duration;

    /// Whether [`Kind::revert`] is a single write that is refused ([`KindError::Conflict`]) unless the target is ours and has this run's mark. What the run
    /// saw in place is then put back without another look before it.
    fn reverts_conditionally(&self) -> bool {
        false
    }

    /// Whether the platform mends what it did within the hold, as it should: to be found prior again is no loss then.
    fn momentary(&self) -> bool {
        false
    }

    /// What people should know of this step before they run it, beside what every step of its kind says of itself. The plan prints it.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What must be allowed, from the step's parameters alone: the plan checks it, and `firedrill policy` prints it.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Reads: those of [`Kind::needs`] that are not allowed, by name.
    async fn missing(&self) -> Result<Vec<String>, KindError> {
        Ok(Vec::new())
    }

    /// Reads: what forbids the step, or should be known of it, now that its targets are frozen.
    async fn examine(&self, _records: &[Record]) -> Result<Examined, KindError> {
        Ok(Examined::default())
    }

    /// Reads: which targets the step names, by stable identity. None matched is an empty list; the engine makes it an error.
    async fn resolve(&self, run: &str) -> Result<Vec<TargetId>, KindError>;

    /// Reads: the target's prior state, and what we intend.
    async fn prepare(&self, run: &str, target: &TargetId, undo_by: Timestamp) -> Result<Prepared, KindError>;

    /// Data that [`KindSource::for_record`] needs to reach the target again without the drill.
    fn invert(&self) -> Value;

    /// Writes: makes the failure, by compare-and-swap, with the mark in the same write.
    async fn inject(&self, record: &Record) -> Result<(), KindError>;

    /// Writes: goes on with what inject began, where that takes more than one call (evictions that a disruption budget holds up). Called again and again
    /// until it is done; dropped when the run turns round, so it makes nothing that would have to be undone.
    async fn proceed(&self, _record: &Record) -> Result<Progress, KindError> {
        Ok(Progress::Done)
    }

    /// Reads: where the target is now.
    async fn observe(&self, record: &Record) -> Observed;

    /// Writes: puts prior back, conditionally, and drops the mark.
    async fn revert(&self, record: &Record) -> Result<(), KindError>;

    /// Writes: drops our mark and companions from a target that is already prior, or gone, or someone else's. Nothing to drop is success.
    async fn tidy(&self, record: &Record) -> Result<(), KindError>;

    /// Reads: whether the fault bites.
    async fn bite(&self, record: &Record) -> Bite;

    /// Reads: targets in the kind's place that carry a firedrill mark, as records rebuilt from the marks alone (sweep).
    async fn discover(&self) -> Result<Vec<Record>, KindError>;

    /// How a person does it by hand.
    fn by_hand(&self, record: &Record) -> ByHand;

    /// What [`Kind::by_hand`] may be asked for when nothing was looked up: a target and its states, with a [`shell::blank`] for each part that only the
    /// platform knows. None: without a look-up there are no commands. `run` and `step` name what is made.
    fn blank(&self, _run: &str, _step: &str) -> Option<(TargetId, Prepared)> {
        None
    }
}

/// Opens kinds: the environment's in production, an in-memory world's in the simulation.
pub trait KindSource: Send + Sync {
    /// The kind of a fault or action step. `Err` names a kind that this build does not run, or a place that the environment lacks.
    fn for_step(&self, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError>;

    /// The kind that can undo a record, from the record alone.
    fn for_record(&self, record: &Record) -> Result<Arc<dyn Kind>, KindError>;

    /// One kind for every place and mechanism that sweep must search.
    fn everywhere(&self) -> Vec<Arc<dyn Kind>>;
}
