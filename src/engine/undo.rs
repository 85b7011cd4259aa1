//! The undo loop: one code path for normal end, abort, resume, sweep and expiry.
//!
//! Each target has a loop of its own: look, decide by the table, act, look again, without a limit to the retries. Where the act is a single write that is
//! refused unless the target is ours, it comes before the first look. A target waits for those of the steps
//! that came after its own (reverse dependency order), but not for one that is stuck: one failing revert does not stop the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::RngExt;
use tokio::sync::{Semaphore, watch};

use crate::clock::Timestamp;
use crate::event::{Event, Phase};
use crate::fault::{Kind, KindError, Observed, Record};

use super::World;
use super::control::{Urgency, reached};
use super::decision::{Decision, Known, decide};
use super::ledger::Ledger;
use super::log::EventLog;

/// Most writes in flight.
const AT_ONCE: usize = 32;
/// Longest a call may take; its answer counts as lost after that.
const CALL: Duration = Duration::from_secs(30);
/// The same after a second signal.
const HURRIED_CALL: Duration = Duration::from_secs(2);
/// After a second signal a target is given up (and named) after this long.
const HURRIED_TOTAL: Duration = Duration::from_secs(5);
/// First and longest pause between retries (full jitter).
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// A target that could not be undone for this long is called stuck: visible, no longer waited for by others, still retried.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// The same for one that is on its way by itself (stopping, pending), and the pause between two looks at it.
const WAITING_STUCK_AFTER: Duration = Duration::from_secs(600);
const WAITING_PAUSE: Duration = Duration::from_secs(2);
/// A read-back lets the writes that wait go first, for so long at most: one reading then answers many, and no write waits for it.
const READ_BACK_AFTER: Duration = Duration::from_secs(5);
/// Pause between the two readings that must both say "absent".
const ABSENT_PAUSE: Duration = Duration::from_secs(2);

/// Undoes records.
#[derive(Clone)]
pub struct Undo {
    /// The world.
    pub world: World,
    /// Records and their phases.
    pub ledger: Ledger,
    /// Events.
    pub log: EventLog,
    /// How urgent it is.
    pub urgency: watch::Receiver<Urgency>,
    /// A fault found prior by the first look was removed by someone else, unless the run let it expire.
    pub watch_for_loss: bool,
}

struct Turn<'a> {
    record: &'a Record,
    blockers: Arc<[usize]>,
}

impl Undo {
    /// Undoes `records` (faults, or actions; never both at once) and returns when each is closed, or given up after a second signal.
    pub async fn all(&self, records: Vec<Record>) {
        let later = |step: &String| -> Arc<[usize]> {
            (records.iter().enumerate()).filter(|(_, other)| other.after.contains(step)).map(|(index, _)| index).collect()
        };
        // Once for each step, not for each target.
        let mut blockers: BTreeMap<&String, Arc<[usize]>> = BTreeMap::new();
        for record in &records {
            blockers.entry(&record.step).or_insert_with_key(|step| later(step));
        }
        let turns: Vec<Turn> = records.iter().map(|record| Turn { record, blockers: blockers[&record.step].clone() }).collect();
        let (out, _keep) = watch::channel(BTreeSet::new());
        let calls = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks: FuturesUnordered<_> = (turns.iter().enumerate()).map(|(index, turn)| self.one(index, turn, &out, &calls)).collect();
        while tasks.next().await.is_some() {}
    }

    async fn one(&self, index: usize, turn: &Turn<'_>, out: &watch::Sender<BTreeSet<usize>>, calls: &Semaphore) {
        let mut others = out.subscribe();
        let mut urgency = self.urgency.clone();
        tokio::select! {
            _ = others.wait_for(|done| turn.blockers.iter().all(|blocker| done.contains(blocker))) => {}
            () = reached(&mut urgency, Urgency::Hurry) => {}
        }
        let step_aside = || {
            out.send_modify(|done| {
                done.insert(index);
            });
        };
        match self.world.kinds.for_record(turn.record) {
            Ok(kind) => Target { undo: self, kind, record: turn.record.clone(), calls, step_aside: &step_aside }.put_back().await,
            Err(error) => self.close(turn.record, Phase::Stuck, Some(&error.to_string())).await,
        }
        step_aside();
    }

    /// Moves a record on; an undo never stops because its journal does.
    pub async fn close(&self, record: &Record, phase: Phase, detail: Option<&str>) {
        if let Err(error) = self.ledger.set(record, phase, detail).await {
            self.log.emit(Event::Note { text: format!("{}: {error}; the undo goes on", record.target) }).await;
        }
    }

    fn urgency(&self) -> Urgency {
        *self.urgency.borrow()
    }
}

/// One target on its way back.
struct Target<'a> {
    undo: &'a Undo,
    kind: Arc<dyn Kind>,
    record: Record,
    calls: &'a Semaphore,
    step_aside: &'a (dyn Fn() + Sync),
}

impl Target<'_> {
    async fn put_back(mut self) {
        let mut known = Known::default();
        let begun = self.undo.world.clock.now();
        let before = self.record.phase;
        let mut first_look = self.at_once().await;
        let mut attempt = 0;
        let mut hurried_since: Option<Timestamp> = None;
        loop {
            if self.undo.urgency() >= Urgency::Hurry {
                let since = *hurried_since.get_or_insert(self.undo.world.clock.now());
                if self.undo.world.clock.now().since(since) >= HURRIED_TOTAL {
                    return self.set(Phase::Stuck, Some("given up after a second signal")).await;
                }
            }
            let observed = self.observe().await;
            if std::mem::take(&mut first_look) {
                self.say_if_lost(&observed, before).await;
            }
            let decision = decide(&self.record, &observed, known);
            known.absent_before = decision == Decision::ConfirmAbsent;
            let trouble = match decision {
                Decision::Revert => self.reverting("revert").await.err().map(|error| error.to_string()),
                Decision::Fence => match self.write("tidy").await {
                    Ok(()) => {
                        known.fenced = true;
                        self.pause(self.kind.settle()).await;
                        continue;
                    }
                    Err(error) => Some(error.to_string()),
                },
                Decision::Close | Decision::Gone | Decision::Drifted { .. } => match self.reverting("tidy").await {
                    Ok(()) => return self.closed(decision).await,
                    Err(error) => Some(error.to_string()),
                },
                Decision::ConfirmAbsent => {
                    self.pause(ABSENT_PAUSE).await;
                    continue;
                }
                // What is on its way needs its time: instances take minutes to stop.
                Decision::Wait { why } => {
                    attempt += 1;
                    self.report_trouble(attempt, begun, WAITING_STUCK_AFTER, &why).await;
                    self.pause(WAITING_PAUSE).await;
                    continue;
                }
                Decision::Retry { error } => Some(error),
            };
            let Some(trouble) = trouble else {
                self.after_writes().await;
                continue;
            };
            attempt += 1;
            self.report_trouble(attempt, begun, STUCK_AFTER, &trouble).await;
            self.pause(backoff(attempt)).await;
        }
    }

    async fn closed(&mut self, decision: Decision) {
        match decision {
            Decision::Drifted { detail } => self.set(Phase::Drifted, Some(&detail)).await,
            Decision::Gone => self.set(Phase::Gone, Some("the target no longer exists")).await,
            Decision::Close | Decision::Revert | Decision::Fence | Decision::Wait { .. } | Decision::ConfirmAbsent | Decision::Retry { .. } => {
                self.set(Phase::Reverted, None).await;
            }
        }
    }

    /// Writes, and says beside it that the target is on its way back. The write does not wait for that to be durable: an undo that starts again goes by the
    /// record and by what it sees, and from an older phase it is the more careful.
    async fn reverting(&mut self, what: &'static str) -> Result<(), KindError> {
        let before = std::mem::replace(&mut self.record.phase, Phase::Reverting);
        let said = async {
            if before != Phase::Reverting {
                self.undo.close(&self.record, Phase::Reverting, None).await;
            }
        };
        tokio::join!(said, self.write(what)).1
    }

    /// Puts back what the run saw in place, if the write itself is refused unless it still is. False: what is seen next may be of our own making.
    async fn at_once(&mut self) -> bool {
        if !self.kind.reverts_conditionally() || !matches!(self.record.phase, Phase::Injected | Phase::Verified) {
            return true;
        }
        let written = self.reverting("revert").await;
        if written.is_ok() {
            self.after_writes().await;
        }
        matches!(written, Err(KindError::Conflict(_)))
    }

    async fn say_if_lost(&self, observed: &Observed, before: Phase) {
        let gone = match observed {
            Observed::Prior => "it was back in its prior state before the undo began",
            Observed::Absent => "the target no longer existed when the undo began",
            Observed::Other { .. } => "someone else had changed it before the undo began",
            Observed::Ours { .. } | Observed::InTransition { .. } | Observed::Unreadable { .. } => return,
        };
        let watched = self.undo.watch_for_loss && !self.record.action && !self.kind.momentary();
        if watched && matches!(before, Phase::Injected | Phase::Verified) {
            let (step, target) = (self.record.step.clone(), self.record.target.to_string());
            self.undo.log.emit(Event::FaultLost { step, target, detail: gone.to_owned() }).await;
        }
    }

    async fn report_trouble(&mut self, attempt: u32, begun: Timestamp, stuck_after: Duration, trouble: &str) {
        if self.record.phase != Phase::Stuck && self.undo.world.clock.now().since(begun) >= stuck_after {
            self.set(Phase::Stuck, Some(trouble)).await;
            (self.step_aside)();
        } else if attempt.is_power_of_two() {
            self.undo.log.emit(Event::Note { text: format!("{}: not undone yet (attempt {attempt}): {trouble}", self.record.target) }).await;
        }
    }

    async fn observe(&self) -> Observed {
        match tokio::time::timeout(self.call_limit(), self.kind.observe(&self.record)).await {
            Ok(observed) => observed,
            Err(_) => Observed::Unreadable { error: "no answer in time".to_owned() },
        }
    }

    async fn write(&self, what: &'static str) -> Result<(), KindError> {
        let _permit = self.calls.acquire().await;
        crate::failpoint::hit("undo.before").map_err(|tripped| KindError::Failed(tripped.to_string()))?;
        crate::fence::check();
        let call = async {
            match what {
                "revert" => self.kind.revert(&self.record).await,
                _ => self.kind.tidy(&self.record).await,
            }
        };
        let answer =
            tokio::time::timeout(self.call_limit(), call).await.unwrap_or_else(|_| Err(KindError::LostAnswer("no answer in time".to_owned())));
        crate::failpoint::hit("undo.after").map_err(|tripped| KindError::LostAnswer(tripped.to_string()))?;
        answer
    }

    async fn set(&mut self, phase: Phase, detail: Option<&str>) {
        self.record.phase = phase;
        self.undo.close(&self.record, phase, detail).await;
    }

    /// Waits behind the writes that wait now.
    async fn after_writes(&self) {
        let mut urgency = self.undo.urgency.clone();
        tokio::select! {
            _ = self.calls.acquire() => {}
            () = tokio::time::sleep(READ_BACK_AFTER) => {}
            () = reached(&mut urgency, Urgency::Hurry) => {}
        }
    }

    /// Waits, but not longer than until the next signal.
    async fn pause(&self, length: Duration) {
        let mut urgency = self.undo.urgency.clone();
        let now = *urgency.borrow_and_update();
        let length = if now >= Urgency::Hurry { length.min(PAUSE.0) } else { length };
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            Ok(_) = urgency.wait_for(|next| *next > now) => {}
        }
    }

    fn call_limit(&self) -> Duration {
        if self.undo.urgency() >= Urgency::Hurry { HURRIED_CALL } else { CALL }
    }
}

/// Capped exponential backoff with full jitter.
fn backoff(attempt: u32) -> Duration {
    let cap = PAUSE.0.saturating_mul(1 << attempt.min(10)).min(PAUSE.1);
    cap.mul_f64(rand::rng().random_range(0.05..1.0))
}
