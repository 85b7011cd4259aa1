//! The event log of a run: numbers each event, makes it durable, hands it to the sinks.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use crate::clock::{Clock, Timestamp};
use crate::event::{EVENT_VERSION, Event, RunEvent};
use crate::journal::{Journal, JournalError};

/// Samples are written together: one transaction for at most this many.
const BATCH: usize = 64;

/// Cheap to clone; all clones write one stream.
#[derive(Clone)]
pub struct EventLog {
    run: String,
    clock: Clock,
    journal: Arc<dyn Journal>,
    sinks: mpsc::UnboundedSender<RunEvent>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    unwritten: Vec<RunEvent>,
    all: Vec<RunEvent>,
    failed: Option<JournalError>,
}

impl EventLog {
    /// A log whose next event has number `past.len()`; `past` is what the journal already holds (resume).
    #[must_use]
    pub fn new(run: &str, clock: Clock, journal: Arc<dyn Journal>, sinks: mpsc::UnboundedSender<RunEvent>, past: Vec<RunEvent>) -> Self {
        let inner = Inner { next: past.len() as u64, all: past, ..Inner::default() };
        Self { run: run.to_owned(), clock, journal, sinks, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Appends an event that happened now, durably.
    pub async fn emit(&self, body: Event) {
        self.emit_at(self.clock.now(), body).await;
    }

    /// Appends an event that happened at `at`. Samples wait for the next batch; everything else is durable on return, or the failure is kept for
    /// [`EventLog::failure`]: an undo never stops for its story.
    pub async fn emit_at(&self, at: Timestamp, body: Event) {
        let mut inner = self.inner.lock().await;
        let patient = matches!(body, Event::Sample(_)) && inner.unwritten.len() + 1 < BATCH;
        let event = RunEvent { v: EVENT_VERSION, seq: inner.next, at, body };
        inner.next += 1;
        // A closed channel means that every sink is gone; the journal still has the story.
        let _ = self.sinks.send(event.clone());
        inner.unwritten.push(event.clone());
        inner.all.push(event);
        if !patient {
            self.write(&mut inner).await;
        }
    }

    /// Makes everything so far durable.
    pub async fn flush(&self) {
        let mut inner = self.inner.lock().await;
        self.write(&mut inner).await;
    }

    /// The journal's first failure to take an event.
    pub async fn failure(&self) -> Option<JournalError> {
        self.inner.lock().await.failed.clone()
    }

    /// The whole stream so far.
    pub async fn all(&self) -> Vec<RunEvent> {
        self.inner.lock().await.all.clone()
    }

    async fn write(&self, inner: &mut Inner) {
        if inner.unwritten.is_empty() {
            return;
        }
        match self.journal.append(&self.run, &inner.unwritten).await {
            Ok(()) => inner.unwritten.clear(),
            // Kept for the next try: the numbers stay without gaps.
            Err(error) => inner.failed = inner.failed.take().or(Some(error)),
        }
    }
}
