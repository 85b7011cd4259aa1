//! A journal in the in-memory world's durable memory; each write is an effect.

use async_trait::async_trait;
use firedrill::clock::Timestamp;
use firedrill::event::{Event, Phase, RunEvent};
use firedrill::fault::{Record, TargetId};
use firedrill::journal::{Claim, Journal, JournalError, RunEnd, RunHeader, RunSummary};

use super::world::{Answer, Break, Inner, Seen, World};

/// Every kind of write; the teeth test takes each out in turn.
pub const WRITES: [&str; 9] = ["open", "intents", "injected", "verified", "reverting", "reverted", "drifted", "events", "close"];

pub struct SimJournal(pub World);

struct Held;
impl Claim for Held {}

impl SimJournal {
    async fn write(&self, what: &'static str, apply: impl FnOnce(&mut Inner) -> Result<(), JournalError>) -> Result<(), JournalError> {
        let disk = self.0.lock().disk;
        tokio::time::sleep(disk).await;
        let dropped = self.0.lock().broken == Some(Break::JournalWrite(what));
        match self.0.effect(|inner| if dropped { Ok(()) } else { apply(inner) }).await {
            Answer::Got(result) => result,
            Answer::Lost => Err(JournalError::Write("lost".into())),
        }
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Injected => "injected",
        Phase::Verified => "verified",
        Phase::Reverting => "reverting",
        Phase::Reverted => "reverted",
        Phase::Drifted => "drifted",
        _ => "other",
    }
}

#[async_trait]
impl Journal for SimJournal {
    async fn claim(&self, _run: &str) -> Result<Box<dyn Claim>, JournalError> {
        Ok(Box::new(Held))
    }
    async fn open_run(&self, header: &RunHeader) -> Result<(), JournalError> {
        self.write("open", |inner| {
            inner.header = Some(header.clone());
            Ok(())
        })
        .await
    }
    async fn commit_intents(&self, records: &[Record]) -> Result<(), JournalError> {
        self.write("intents", |inner| {
            for record in records {
                inner.ever_intended.insert(record.target.id.clone());
                if inner.records.iter().all(|known| known.target != record.target) {
                    inner.history.push((record.target.id.clone(), record.phase));
                    inner.baseline.insert(record.target.id.clone(), record.prior.clone());
                    inner.records.push(record.clone());
                }
            }
            Ok(())
        })
        .await
    }
    async fn set_phase(&self, _run: &str, _step: &str, target: &TargetId, phase: Phase, _detail: Option<&str>) -> Result<(), JournalError> {
        self.write(name(phase), |inner| {
            inner.history.push((target.id.clone(), phase));
            if phase == Phase::Reverted {
                let (at, read) = (inner.now, inner.objects[&target.id].value.clone());
                inner.seen.push((at, Seen::Reverted { target: target.id.clone(), read }));
            }
            match inner.records.iter_mut().find(|record| record.target == *target) {
                Some(record) => {
                    record.phase = phase;
                    Ok(())
                }
                None => Err(JournalError::Write("no such record".into())),
            }
        })
        .await
    }
    async fn append(&self, _run: &str, events: &[RunEvent]) -> Result<(), JournalError> {
        self.write("events", |inner| {
            for event in events {
                if matches!(event.body, Event::Stopping { .. }) {
                    let at = inner.now;
                    inner.seen.push((at, Seen::Stopping));
                }
                // The same number again is the retry of a write whose answer was lost.
                match inner.events.iter_mut().find(|known| known.seq == event.seq) {
                    Some(known) => *known = event.clone(),
                    None => inner.events.push(event.clone()),
                }
            }
            Ok(())
        })
        .await
    }
    async fn close_run(&self, _run: &str, end: &RunEnd) -> Result<(), JournalError> {
        self.write("close", |inner| {
            inner.end = Some(end.clone());
            Ok(())
        })
        .await
    }
    async fn records(&self, _run: &str) -> Result<Vec<Record>, JournalError> {
        Ok(self.0.lock().records.clone())
    }
    async fn events(&self, _run: &str) -> Result<Vec<RunEvent>, JournalError> {
        Ok(self.0.lock().events.clone())
    }
    async fn run(&self, run: &str) -> Result<RunSummary, JournalError> {
        let inner = self.0.lock();
        let header = inner.header.clone().filter(|header| header.run == run).ok_or_else(|| JournalError::NoSuchRun(run.to_owned()))?;
        let open_records = inner.records.iter().filter(|record| !record.phase.is_closed()).count();
        Ok(RunSummary { header, end: inner.end.clone(), open_records, alive: false })
    }
    async fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        let run = self.0.lock().header.clone().map(|header| header.run);
        match run {
            Some(run) => Ok(vec![self.run(&run).await?]),
            None => Ok(vec![]),
        }
    }
    async fn request_abort(&self, _run: &str) -> Result<(), JournalError> {
        self.0.lock().abort = true;
        Ok(())
    }
    async fn abort_requested(&self, _run: &str) -> Result<bool, JournalError> {
        Ok(self.0.lock().abort)
    }
    async fn abandon(&self, _run: &str, _at: Timestamp) -> Result<Vec<Record>, JournalError> {
        Ok(vec![])
    }
}
