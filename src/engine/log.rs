//! The event log of a run: numbers each event, makes it durable, hands it to the sinks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

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
    /// Held while events are written: what is told meanwhile goes into the next write together.
    writing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// Everything before this number is durable.
    written: u64,
    unwritten: Vec<RunEvent>,
    all: Vec<RunEvent>,
    failed: Option<JournalError>,
}

impl EventLog {
    /// A log whose next event has number `past.len()`; `past` is what the journal already holds (resume).
    #[must_use]
    pub fn new(run: &str, clock: Clock, journal: Arc<dyn Journal>, sinks: mpsc::UnboundedSender<RunEvent>, past: Vec<RunEvent>) -> Self {
        let next = past.len() as u64;
        let inner = Inner { next, written: next, all: past, ..Inner::default() };
        Self { run: run.to_owned(), clock, journal, sinks, inner: Arc::new(Mutex::new(inner)), writing: Arc::default() }
    }

    /// Appends an event that happened now, durably.
    pub async fn emit(&self, body: Event) {
        self.emit_at(self.clock.now(), body).await;
    }

    /// Appends an event that happened at `at`. Samples wait for the next batch; everything else is durable on return, or the failure is kept for
    /// [`EventLog::failure`]: an undo never stops for its story.
    pub async fn emit_at(&self, at: Timestamp, body: Event) {
        let patient = matches!(body, Event::Sample(_));
        let (number, waiting) = self.push(at, body);
        if !patient || waiting >= BATCH {
            self.write(number + 1).await;
        }
    }

    /// Appends an event that happened now, and waits for nothing: it becomes durable beside what comes next.
    pub fn tell(&self, body: Event) {
        self.push(self.clock.now(), body);
        let log = self.clone();
        tokio::spawn(async move { log.flush().await });
    }

    /// Gives an event its number. That, and how many are not durable yet.
    fn push(&self, at: Timestamp, body: Event) -> (u64, usize) {
        let mut inner = self.lock();
        let number = inner.next;
        let event = RunEvent { v: EVENT_VERSION, seq: number, at, body };
        inner.next += 1;
        // A closed channel means that every sink is gone; the journal still has the story.
        let _ = self.sinks.send(event.clone());
        inner.unwritten.push(event.clone());
        inner.all.push(event);
        (number, inner.unwritten.len())
    }

    /// Makes everything so far durable.
    pub async fn flush(&self) {
        let next = self.lock().next;
        self.write(next).await;
    }

    /// The journal's first failure to take an event.
    pub async fn failure(&self) -> Option<JournalError> {
        self.lock().failed.clone()
    }

    /// The whole stream so far.
    pub async fn all(&self) -> Vec<RunEvent> {
        self.lock().all.clone()
    }

    /// Makes every event before `number` durable, and with them what others have told meanwhile.
    async fn write(&self, number: u64) {
        let _turn = self.writing.lock().await;
        let unwritten = {
            let inner = self.lock();
            if inner.written >= number || inner.unwritten.is_empty() {
                return;
            }
            inner.unwritten.clone()
        };
        let appended = self.journal.append(&self.run, &unwritten).await;
        let mut inner = self.lock();
        match appended {
            Ok(()) => {
                inner.unwritten.drain(..unwritten.len());
                inner.written += unwritten.len() as u64;
            }
            // Kept for the next try: the numbers stay without gaps.
            Err(error) => inner.failed = inner.failed.take().or(Some(error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held cannot leave the stream half-written: every use is one step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
