//! The forward half of the undo protocol: one step from durable intent to verified effect.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::event::{Event, Phase, StepOutcome};
use crate::fault::{Bite, Kind, KindError, Observed, Progress, Record};

use super::ledger::Ledger;
use super::log::EventLog;

/// Most inject calls of one step in flight. Measured: 16 at once reach what an AWS-like control plane gives, 32 what a Kubernetes API server gives.
const AT_ONCE: usize = 32;
/// Most targets of one step that are looked at together: kinds read many at once.
const LOOKED_AT: usize = 1024;
/// Longest a call may take; its answer counts as lost after that, so that no undo waits for it longer.
const CALL: Duration = Duration::from_secs(20);
/// Pause between two looks at whether a fault bites.
const BITE_PAUSE: Duration = Duration::from_millis(500);

/// How often people are told what a step waits for.
const TOLD_EVERY: Duration = Duration::from_secs(15);

/// Targets that wait, and for what.
type Waiting = Mutex<BTreeMap<String, String>>;

/// What a fault or action step works with.
pub struct Forward<'a> {
    /// Time.
    pub clock: &'a Clock,
    /// Records.
    pub ledger: &'a Ledger,
    /// Events.
    pub log: &'a EventLog,
    /// The step's kind.
    pub kind: &'a dyn Kind,
    /// Step id.
    pub step: &'a str,
    /// The step is over by then.
    pub limit: Timestamp,
    /// Nothing more is injected once it is set.
    pub cancel: &'a CancellationToken,
}

enum Injected {
    Yes,
    NotStarted,
    No(KindError),
}

impl Forward<'_> {
    /// Intent, inject, verify. `records` are the step's frozen targets.
    pub async fn go(&self, records: Vec<Record>) -> StepOutcome {
        let action = records.iter().any(|record| record.action);
        if let Err(error) = self.ledger.intend(records.clone()).await {
            return failed(error.to_string());
        }
        let mine: Vec<Record> = records.into_iter().filter(|record| record.phase != Phase::Noop).collect();
        if self.cancel.is_cancelled() {
            return StepOutcome::Skipped { why: "the run turned round first".to_owned() };
        }
        if !action {
            self.log.emit(Event::InjectSent { step: self.step.to_owned() }).await;
        }
        if let Err(outcome) = self.inject_all(&mine).await {
            return outcome;
        }
        if self.cancel.is_cancelled() {
            return StepOutcome::Skipped { why: "the run turned round first".to_owned() };
        }
        let problem = self.verify_all(&mine).await;
        if !action {
            self.log.emit(Event::FaultVerified { step: self.step.to_owned(), problem }).await;
            return StepOutcome::Done;
        }
        problem.map_or(StepOutcome::Done, failed)
    }

    async fn inject_all(&self, records: &[Record]) -> Result<(), StepOutcome> {
        let turns = &Semaphore::new(AT_ONCE);
        // Those whose call is over are remembered while the next ones call.
        let mut calls =
            futures::stream::iter(records.to_vec()).map(|record| async move { self.inject(&record, turns).await }).buffer_unordered(AT_ONCE * 2);
        let mut outcome = Ok(());
        // Every call is awaited to its end: a dropped call could be a mutation that nobody knows of.
        while let Some(injected) = calls.next().await {
            match injected {
                Injected::Yes => {}
                Injected::NotStarted if self.cancel.is_cancelled() => {}
                Injected::NotStarted => outcome = outcome.and(Err(failed("the step's limit ran out".to_owned()))),
                Injected::No(error) => {
                    let unreachable = matches!(error, KindError::Unreachable(_));
                    outcome = outcome.and(Err(StepOutcome::Failed { why: error.to_string(), unreachable }));
                }
            }
        }
        outcome
    }

    async fn inject(&self, record: &Record, turns: &Semaphore) -> Injected {
        let turn = turns.acquire().await;
        crate::fence::check();
        if self.cancel.is_cancelled() || self.clock.now() >= self.limit {
            return Injected::NotStarted;
        }
        let answer = match crate::failpoint::hit("inject.before") {
            Ok(()) => in_time(self.kind.inject(record), |why| Err(KindError::LostAnswer(why))).await,
            Err(tripped) => Err(KindError::Failed(tripped.to_string())),
        };
        if let Err(tripped) = crate::failpoint::hit("inject.after") {
            return Injected::No(KindError::LostAnswer(tripped.to_string()));
        }
        let landed = match answer {
            Ok(()) => Ok(()),
            Err(error @ (KindError::Refused(_) | KindError::Unreachable(_))) => Err(error),
            // Neither success nor failure until it is read back.
            Err(error) => match in_time(self.kind.observe(record), |error| Observed::Unreadable { error }).await {
                // In the fault state, and not by us: someone was there between plan and inject.
                Observed::Ours { marked: false } if matches!(error, KindError::Conflict(_)) => Err(error),
                // On its way: whether it bites is seen later.
                Observed::Ours { .. } | Observed::InTransition { .. } => Ok(()),
                Observed::Other { current } => Err(KindError::Conflict(format!("{error}; it is now {current}"))),
                Observed::Prior | Observed::Absent | Observed::Unreadable { .. } => Err(error),
            },
        };
        drop(turn);
        match landed {
            Ok(()) => match self.ledger.set(record, Phase::Injected, None).await {
                Ok(()) => Injected::Yes,
                Err(error) => Injected::No(KindError::Failed(error.to_string())),
            },
            Err(error) => Injected::No(error),
        }
    }

    /// Looks until every target is seen to bite or the limit runs out; says why not.
    async fn verify_all(&self, records: &[Record]) -> Option<String> {
        let calls = &Semaphore::new(AT_ONCE);
        let waiting = &Mutex::default();
        let looks = futures::stream::iter(records.to_vec()).map(|record| async move {
            match self.verify(&record, calls, waiting).await {
                Bite::Verified => self.ledger.set(&record, Phase::Verified, None).await.err().map(|error| error.to_string()),
                Bite::Unproven { why } | Bite::Unprovable { why } => Some(format!("{}: {why}", record.target)),
            }
        });
        let problems = looks.buffered(LOOKED_AT).filter_map(futures::future::ready).collect::<Vec<String>>();
        let problems = tokio::select! {
            problems = problems => problems,
            never = self.tell_of(waiting) => never,
        };
        match problems.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            [first, others @ ..] => Some(format!("{first} (and {} more)", others.len())),
        }
    }

    /// Says now and then what the step waits for: a drain may stand before a budget for minutes.
    async fn tell_of(&self, waiting: &Waiting) -> Vec<String> {
        loop {
            self.clock.sleep_until(self.clock.now().plus(TOLD_EVERY)).await;
            let text = {
                let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.first_key_value().map(|(target, why)| format!("step '{}' waits for {} target(s): {target}: {why}", self.step, waiting.len()))
            };
            if let Some(text) = text {
                self.log.emit(Event::Note { text }).await;
            }
        }
    }

    /// Goes on with a fault that takes several calls, and looks at one that is complete.
    async fn look(&self, record: &Record, calls: &Semaphore, waiting: &Waiting) -> Bite {
        let proceeded = {
            let _permit = calls.acquire().await;
            in_time(self.kind.proceed(record), |why| Err(KindError::LostAnswer(why))).await
        };
        {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match &proceeded {
                Ok(Progress::Waiting { why }) => waiting.insert(record.target.to_string(), why.clone()),
                // Nearly always: most kinds wait for nothing.
                _ if waiting.is_empty() => None,
                Ok(Progress::Done) | Err(_) => waiting.remove(&record.target.to_string()),
            };
        }
        match proceeded {
            Ok(Progress::Done) => in_time(self.kind.bite(record), unproven).await,
            Ok(Progress::Waiting { why }) => unproven(why),
            Err(error) => unproven(error.to_string()),
        }
    }

    async fn verify(&self, record: &Record, calls: &Semaphore, waiting: &Waiting) -> Bite {
        loop {
            let seen = tokio::select! {
                seen = self.look(record, calls, waiting) => seen,
                () = self.cancel.cancelled() => unproven("the run turned round first".to_owned()),
            };
            let again = self.clock.now().plus(BITE_PAUSE);
            if matches!(seen, Bite::Verified | Bite::Unprovable { .. }) || again >= self.limit || self.cancel.is_cancelled() {
                return seen;
            }
            tokio::select! {
                () = self.clock.sleep_until(again) => {}
                () = self.cancel.cancelled() => {}
            }
        }
    }
}

fn failed(why: String) -> StepOutcome {
    StepOutcome::Failed { why, unreachable: false }
}

fn unproven(why: String) -> Bite {
    Bite::Unproven { why }
}

/// What a call answers, or what it means that there was no answer in time.
async fn in_time<T>(call: impl Future<Output = T>, late: impl FnOnce(String) -> T) -> T {
    tokio::time::timeout(CALL, call).await.unwrap_or_else(|_| late(format!("no answer within {CALL:?}")))
}
