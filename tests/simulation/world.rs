//! The in-memory world: objects, durable memory, and the one seam through which every effect passes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firedrill::clock::{Clock, Timestamp};
use firedrill::event::{Phase, RunEvent};
use firedrill::fault::Record;
use firedrill::journal::{RunEnd, RunHeader};
use tokio::sync::Notify;

/// What happens at one chosen effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The process dies before it.
    DieBefore,
    /// The process dies after it, before it sees the answer.
    DieAfter,
    /// The process dies; the effect lands three seconds later, when another process may be at work.
    DieLate,
    /// The effect lands; the process sees an error.
    LoseAnswer,
    /// The process sees an error; the effect lands three seconds later.
    AnswerLostAndLate,
    /// The process sees success; a write to the world never lands.
    AcknowledgedNotApplied,
}

/// A deliberately broken part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The journal forgets one kind of write.
    JournalWrite(&'static str),
    /// Nobody reads back after a revert.
    NoReadBack,
    /// Actions are undone together with the faults.
    ActionsWithFaults,
}

/// How long after its sender died or gave up a late effect lands.
pub const LATE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub value: String,
    pub mark: Option<Mark>,
}

/// What a mark carries: enough to undo without the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub run: String,
    pub step: String,
    pub after: Vec<String>,
    pub prior: String,
}

/// A write to an object: what it expects and what it leaves.
#[derive(Debug, Clone)]
pub struct Write {
    pub target: String,
    pub verb: &'static str,
    pub expect: Object,
    pub leave: Object,
}

/// What the checks look at afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Inject(String),
    Revert(String),
    Landed(String),
    Reverted { target: String, read: String },
    Crash,
    Stopping,
}

#[derive(Default)]
pub struct Inner {
    pub objects: BTreeMap<String, Object>,
    pub now: Timestamp,
    pub effects: usize,
    /// Numbers of the effects that write to the world.
    pub writes: Vec<usize>,
    pub fate: Option<(usize, Fate)>,
    pub broken: Option<Break>,
    pub late: Vec<(Timestamp, Write)>,
    pub seen: Vec<(Timestamp, Seen)>,
    pub in_flight: BTreeMap<String, usize>,
    /// Until then no revert of node-b1 lands.
    pub stubborn_until: Timestamp,
    /// So many looks find node-b1 waiting.
    pub slow_looks: u32,
    /// How long the disk takes for each write of the journal.
    pub disk: Duration,
    pub problems: Vec<String>,
    pub blind: BTreeMap<String, bool>,
    // Durable memory.
    pub header: Option<RunHeader>,
    pub records: Vec<Record>,
    pub baseline: BTreeMap<String, serde_json::Value>,
    pub history: Vec<(String, Phase)>,
    pub events: Vec<RunEvent>,
    pub end: Option<RunEnd>,
    pub abort: bool,
    pub ever_intended: std::collections::BTreeSet<String>,
}

/// One process's view of the world.
#[derive(Clone)]
pub struct World {
    pub inner: Arc<Mutex<Inner>>,
    pub clock: Clock,
    pub dead: Arc<Notify>,
}

/// What the caller of an effect sees.
pub enum Answer<T> {
    Got(T),
    Lost,
}

impl World {
    pub fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap();
        inner.now = self.clock.now();
        inner.land_late();
        inner
    }

    /// One effect: counted, and subject to its fate. A latency of ten virtual milliseconds gives other tasks their turn.
    pub async fn effect<T>(&self, apply: impl FnOnce(&mut Inner) -> T) -> Answer<T> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let fate = self.lock().next_fate();
        match fate {
            None | Some(Fate::AcknowledgedNotApplied) => Answer::Got(apply(&mut self.lock())),
            Some(Fate::DieBefore) => self.die().await,
            Some(Fate::DieAfter | Fate::DieLate) => {
                apply(&mut self.lock());
                self.die().await
            }
            Some(Fate::LoseAnswer | Fate::AnswerLostAndLate) => {
                apply(&mut self.lock());
                Answer::Lost
            }
        }
    }

    /// An effect that writes to the world, by compare-and-swap. `Ok(false)` is a conflict.
    pub async fn write(&self, write: Write) -> Answer<bool> {
        let target = write.target.clone();
        {
            let mut inner = self.lock();
            let seen = if write.verb == "inject" { Seen::Inject(target.clone()) } else { Seen::Revert(target.clone()) };
            let at = inner.now;
            inner.seen.push((at, seen));
            inner.check_write(&write);
            *inner.in_flight.entry(target.clone()).or_default() += 1;
            if inner.in_flight[&target] > 1 {
                inner.problems.push(format!("I11: two writes in flight on {target}"));
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (fate, answer) = {
            let mut inner = self.lock();
            if write.verb == "revert" && target == "node-b1" && inner.now < inner.stubborn_until {
                inner.in_flight.remove(&target);
                return Answer::Lost;
            }
            let number = inner.effects;
            inner.writes.push(number);
            let fate = inner.next_fate();
            let due = inner.now.plus(LATE);
            let answer = match fate {
                None | Some(Fate::DieAfter) => Answer::Got(inner.apply(&write)),
                Some(Fate::LoseAnswer) => {
                    inner.apply(&write);
                    Answer::Lost
                }
                Some(Fate::DieBefore) => Answer::Lost,
                Some(Fate::DieLate | Fate::AnswerLostAndLate) => {
                    inner.late.push((due, write));
                    Answer::Lost
                }
                Some(Fate::AcknowledgedNotApplied) => Answer::Got(true),
            };
            inner.in_flight.remove(&target);
            (fate, answer)
        };
        match fate {
            Some(Fate::DieBefore | Fate::DieAfter | Fate::DieLate) => self.die().await,
            _ => answer,
        }
    }

    async fn die<T>(&self) -> T {
        {
            let mut inner = self.lock();
            let at = inner.now;
            inner.seen.push((at, Seen::Crash));
        }
        self.dead.notify_one();
        std::future::pending().await
    }
}

impl Inner {
    fn next_fate(&mut self) -> Option<Fate> {
        let number = self.effects;
        self.effects += 1;
        self.fate.filter(|(at, _)| *at == number).map(|(_, fate)| fate)
    }

    pub fn apply(&mut self, write: &Write) -> bool {
        let at = self.now;
        let Some(object) = self.objects.get_mut(&write.target) else { return false };
        if *object != write.expect {
            return false;
        }
        *object = write.leave.clone();
        self.seen.push((at, Seen::Landed(write.target.clone())));
        true
    }

    fn land_late(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = later;
        for (_, write) in due {
            self.apply(&write);
        }
    }

    fn check_write(&mut self, write: &Write) {
        if !self.ever_intended.contains(&write.target) {
            self.problems.push(format!("I1: {} of {} without a durable intent", write.verb, write.target));
        }
        if write.verb == "inject" && self.seen.iter().any(|(_, seen)| matches!(seen, Seen::Stopping | Seen::Crash)) {
            self.problems.push(format!("I12: inject of {} after the run had turned round", write.target));
        }
        if write.verb == "revert" && write.target.starts_with("shift") {
            let broken: Vec<&String> =
                self.objects.iter().filter(|(name, object)| name.starts_with("node") && object.mark.is_some()).map(|(name, _)| name).collect();
            if !broken.is_empty() {
                self.problems.push(format!("I21: {} failed back while {broken:?} is in place", write.target));
            }
        }
        if write.verb == "revert"
            && write.target.starts_with("node-a")
            && self.objects["node-b1"].mark.is_some()
            && !self.history.contains(&("node-b1".to_owned(), Phase::Stuck))
        {
            self.problems.push("I8: node-a* undone before node-b1, which came after it".to_owned());
        }
    }
}
