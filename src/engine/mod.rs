//! How a run proceeds: pure state machine, async runner, undo loop.
//!
//! [`machine`] decides, [`runner`] does. What is done to the world goes through the traits of [`crate::fault`], [`crate::probe`] and [`crate::journal`]
//! only, so that the simulation in `tests/simulation` runs this very code against an in-memory world on a virtual clock.

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::{Clock, Timestamp};
use crate::fault::KindSource;
use crate::journal::Journal;
use crate::probe::ProbeSource;

pub mod baseline;
pub mod control;
pub mod decision;
pub mod forward;
pub mod ledger;
pub mod log;
pub mod machine;
pub mod recovery;
pub mod runner;
mod step;
pub mod undo;
mod watchers;

/// Everything that a run touches, behind traits.
#[derive(Clone)]
pub struct World {
    /// Time.
    pub clock: Clock,
    /// Memory.
    pub journal: Arc<dyn Journal>,
    /// Faults and actions.
    pub kinds: Arc<dyn KindSource>,
    /// Signals.
    pub probes: Arc<dyn ProbeSource>,
    /// Who does the manual steps.
    pub people: Arc<dyn People>,
}

/// Who does the manual steps: a person at a terminal, or a policy.
#[async_trait]
pub trait People: Send + Sync {
    /// Asks and waits. The runner bounds the wait with the step's limit.
    async fn ask(&self, step: &str, role: &str, instruction: &str, limit: Timestamp) -> Answer;
}

/// What came of a manual step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Confirmed.
    Done,
    /// Skipped by policy; the steps after it go on.
    Skip(String),
    /// It could not be done.
    Failed(String),
}
