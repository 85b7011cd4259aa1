//! The records of a run, in memory and in the journal at once, with an event for every move.

use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Event, Phase};
use crate::fault::Record;
use crate::journal::{Journal, JournalError};

use super::log::EventLog;

/// Intents are committed in transactions of at most this many (undo.md).
const CHUNK: usize = 500;

/// Cheap to clone; all clones are one ledger.
#[derive(Clone)]
pub struct Ledger {
    run: String,
    journal: Arc<dyn Journal>,
    log: EventLog,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Ledger {
    /// A ledger that already holds `records` (resume), or none.
    #[must_use]
    pub fn new(run: &str, journal: Arc<dyn Journal>, log: EventLog, records: Vec<Record>) -> Self {
        Self { run: run.to_owned(), journal, log, records: Arc::new(Mutex::new(records)) }
    }

    /// Makes intents durable before any mutation; on failure the caller must not mutate. A failed commit may have become durable all the same: its
    /// records are held, and the undo looks at them.
    pub async fn intend(&self, mut records: Vec<Record>) -> Result<(), JournalError> {
        for record in &mut records {
            if record.phase == Phase::Planned {
                record.phase = Phase::Intent;
            }
        }
        for chunk in records.chunks(CHUNK) {
            self.hold(|all| all.extend_from_slice(chunk));
            self.journal.commit_intents(chunk).await?;
        }
        // Together: a thousand targets are a few writes, not a thousand.
        futures::future::join_all(records.iter().map(|record| self.say(record, record.phase, None))).await;
        Ok(())
    }

    /// Moves a record to another phase: journal first, then memory, then the event; the journal takes both writes in this order, and makes them durable
    /// together. Memory and the event move even when the journal fails, so that an undo goes on; the error is for those who must stop instead.
    pub async fn set(&self, record: &Record, phase: Phase, detail: Option<&str>) -> Result<(), JournalError> {
        let written = self.journal.set_phase(&self.run, &record.step, &record.target, phase, detail);
        let told = async {
            self.hold(|all| {
                if let Some(own) = all.iter_mut().find(|own| own.step == record.step && own.target == record.target) {
                    own.phase = phase;
                }
            });
            self.say(record, phase, detail).await;
        };
        tokio::join!(biased; written, told).0
    }

    /// Every record as it is now.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        self.hold(|all| all.clone())
    }

    /// Targets that are, or may be, still in place.
    #[must_use]
    pub fn in_place(&self, actions: bool) -> Vec<Record> {
        self.hold(|all| all.iter().filter(|record| record.action == actions && !record.phase.is_closed()).cloned().collect())
    }

    /// Tells where a record is.
    pub async fn say(&self, record: &Record, phase: Phase, detail: Option<&str>) {
        let event = Event::TargetPhase {
            step: record.step.clone(),
            target: record.target.to_string(),
            action: record.action,
            phase,
            detail: detail.map(str::to_owned),
        };
        self.log.emit(event).await;
    }

    fn hold<T>(&self, with: impl FnOnce(&mut Vec<Record>) -> T) -> T {
        // A panic while the lock was held cannot leave the list half-written: every use is one call.
        with(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
