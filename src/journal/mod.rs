//! What a run remembers: the trait; SQLite for the CLI, cluster objects for the operator.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::event::{Phase, RunEvent};
use crate::fault::{Record, TargetId};

pub mod phases;
pub mod place;
pub mod sqlite;
mod witness;

/// Why the journal failed. The message names the file and the way out.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum JournalError {
    /// The place is unusable (missing, unwritable, tmpfs, NFS, world-writable, another owner).
    #[error("{0}")]
    Unusable(String),
    /// A write did not become durable.
    #[error("cannot write the journal: {0}")]
    Write(String),
    /// Torn, corrupt or newer: never "nothing to undo".
    #[error("cannot read the journal: {0}")]
    Unreadable(String),
    /// Another run has open records of this target, or holds the run.
    #[error("{0}")]
    Busy(String),
    /// No such run.
    #[error("no run '{0}' in the journal; `firedrill history` lists the runs")]
    NoSuchRun(String),
    /// The prefix of a run's id fits several.
    #[error("'{prefix}' fits several runs: {}; give more of the id, or `latest`", candidates.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// The first runs that it fits.
        candidates: Vec<String>,
    },
}

/// What is written once when a run opens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunHeader {
    /// Run id, a ULID.
    pub run: String,
    /// Name of the drill.
    pub drill: String,
    /// Name of the environment.
    pub environment: String,
    /// The bound drill document.
    pub drill_document: Value,
    /// The environment document, so that resume needs no file.
    pub environment_document: Value,
    /// When the run opened.
    pub started: Timestamp,
}

impl RunHeader {
    /// The name in [`RunHeader::environment_document`] of what [`RunHeader::embedded`] tells.
    pub const EMBEDDED: &'static str = "embedded";

    /// The environment lived in the run's own process and ended with it: nothing of it can be in place once that is dead.
    #[must_use]
    pub fn embedded(&self) -> bool {
        self.environment_document.get(Self::EMBEDDED) == Some(&Value::Bool(true))
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEnd {
    /// When.
    pub at: Timestamp,
    /// Verdict as in the report.
    pub verdict: crate::event::Verdict,
    /// Beside it.
    pub cleanliness: crate::event::Cleanliness,
    /// 0–100.
    pub score: Option<f64>,
    /// Exit code.
    pub exit_code: u8,
}

/// A run as `status` and `history` list it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// What was written when it opened.
    pub header: RunHeader,
    /// How it ended; none while it is open.
    pub end: Option<RunEnd>,
    /// Records that are not closed.
    pub open_records: usize,
    /// A process holds the run now.
    pub alive: bool,
}

/// The claim of one process on one run; released when dropped, or when the process dies.
pub trait Claim: Send + Sync {}

/// Durable memory of runs. Every method that writes returns after the write is durable.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Claims a run for this process: `run`, `resume` and `abandon` each hold it. [`JournalError::Busy`] while another process does.
    async fn claim(&self, run: &str) -> Result<Box<dyn Claim>, JournalError>;

    /// Opens a run.
    async fn open_run(&self, header: &RunHeader) -> Result<(), JournalError>;

    /// Makes the intents of one step durable, at most 500 at once, in one transaction. [`JournalError::Busy`] when another run has an open record of
    /// one of the targets. A record that exists already keeps its recorded prior state (baseline once).
    async fn commit_intents(&self, records: &[Record]) -> Result<(), JournalError>;

    /// Moves a record to another phase.
    async fn set_phase(&self, run: &str, step: &str, target: &TargetId, phase: Phase, detail: Option<&str>) -> Result<(), JournalError>;

    /// Appends events in one transaction.
    async fn append(&self, run: &str, events: &[RunEvent]) -> Result<(), JournalError>;

    /// Closes a run.
    async fn close_run(&self, run: &str, end: &RunEnd) -> Result<(), JournalError>;

    /// All records of a run.
    async fn records(&self, run: &str) -> Result<Vec<Record>, JournalError>;

    /// All events of a run, in order.
    async fn events(&self, run: &str) -> Result<Vec<RunEvent>, JournalError>;

    /// One run. A unique prefix of the id will do.
    async fn run(&self, run: &str) -> Result<RunSummary, JournalError>;

    /// All runs, newest first.
    async fn runs(&self) -> Result<Vec<RunSummary>, JournalError>;

    /// Asks a live run to abort.
    async fn request_abort(&self, run: &str) -> Result<(), JournalError>;

    /// Whether someone asked.
    async fn abort_requested(&self, run: &str) -> Result<bool, JournalError>;

    /// Closes every open record without undoing, and leaves a tombstone.
    async fn abandon(&self, run: &str, at: Timestamp) -> Result<Vec<Record>, JournalError>;
}
