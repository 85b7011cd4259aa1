//! The journal's trait, call by call.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::part::{self, Owner};
use super::writing::Writing;
use super::{Memory, Result, locked, tripped, unread, unwritten};
use crate::clock::Timestamp;
use crate::cluster::error::ApiError;
use crate::event::{Cleanliness, Phase, RunEvent, Verdict};
use crate::fault::{Record, TargetId};
use crate::journal::{Claim, Journal, JournalError, RunEnd, RunHeader, RunSummary, place};
use crate::operator::journal::JournalPart;
use crate::operator::object::set;
use crate::operator::resource::Resource;

/// The largest number of records that one call of `commit_intents` takes.
const MOST_INTENTS: usize = 500;

/// A run that this process works on; given back when it is dropped.
struct Held {
    run: String,
    claims: Arc<Mutex<HashSet<String>>>,
}

impl Claim for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        locked(&self.claims).remove(&self.run);
    }
}

impl Memory {
    /// The run for writing: what is in the cluster is read once.
    async fn writing(&self, run: &str) -> Result<Arc<Writing>> {
        let mut runs = self.runs.lock().await;
        if let Some(known) = runs.get(run) {
            return Ok(known.clone());
        }
        let read = self.known(run).await?;
        let events = self.stream(&read.head).await?;
        let owner = self.owner(run);
        let writing = Arc::new(Writing::of(read, &events, owner)?);
        runs.insert(run.to_owned(), writing.clone());
        Ok(writing)
    }

    /// Which run has an open record of a target.
    async fn targets(&self) -> Result<&Mutex<BTreeMap<TargetId, String>>> {
        self.targets
            .get_or_try_init(|| async {
                let mut open = BTreeMap::new();
                for summary in self.open_runs().await? {
                    let records = self.known(&summary.header.run).await?;
                    let held = records.records().filter(|record| !record.phase.is_closed());
                    open.extend(held.map(|record| (record.target.clone(), record.run.clone())));
                }
                Ok(Mutex::new(open))
            })
            .await
    }

    /// One run owns a target at a time.
    async fn refuse_foreign(&self, records: &[Record]) -> Result<()> {
        let mut open = locked(self.targets().await?);
        for record in records {
            if let Some(other) = open.get(&record.target).filter(|other| **other != record.run) {
                return Err(JournalError::Busy(format!("{} is in the hands of run {other}, which has not undone it", record.target)));
            }
        }
        open.extend(records.iter().filter(|record| record.phase != Phase::Noop).map(|record| (record.target.clone(), record.run.clone())));
        Ok(())
    }

    async fn moved(&self, run: &str, target: &TargetId, phase: Phase) -> Result<()> {
        let mut open = locked(self.targets().await?);
        if !phase.is_closed() {
            open.insert(target.clone(), run.to_owned());
        } else if open.get(target).is_some_and(|owner| owner == run) {
            open.remove(target);
        }
        Ok(())
    }

    /// `spec.abort` of the run's `DrillRun`.
    async fn drill_run(&self, run: &str) -> Result<(String, Option<Value>)> {
        let name = self.resolve(run).await?.head.spec.run;
        let at = Resource::DRILL_RUN.api().at(Some(&self.namespace), &name);
        let found = self.cluster.get(&at).await.map_err(|error| unread(&error))?;
        Ok((name, found))
    }
}

#[async_trait]
impl Journal for Memory {
    async fn claim(&self, run: &str) -> Result<Box<dyn Claim>> {
        place::check_run_id(run)?;
        if !locked(&self.claims).insert(run.to_owned()) {
            return Err(JournalError::Busy(format!("run {run} is going on in this process; set spec.abort of its DrillRun to stop it")));
        }
        let held = Box::new(Held { run: run.to_owned(), claims: self.claims.clone() });
        if self.read(run).await?.is_some() {
            // Whoever worked on it before, and does not know yet that it is not the leader any more, cannot commit an intent from now on.
            self.runs.lock().await.remove(run);
            let holder = format!("{}/{}", std::process::id(), ulid::Ulid::generate());
            self.writing(run).await?.take_over(self, &holder).await?;
        }
        Ok(held)
    }

    async fn open_run(&self, header: &RunHeader) -> Result<()> {
        place::check_run_id(&header.run)?;
        tripped("journal.run", "before")?;
        if let Some(known) = self.read(&header.run).await? {
            // The answer of an earlier try was lost.
            return if known.header == *header { Ok(()) } else { Err(JournalError::Write(format!("run {} exists already", header.run))) };
        }
        let text = serde_json::to_string(header).map_err(|error| JournalError::Write(error.to_string()))?;
        let owner: Option<Owner> = self.owner(&header.run);
        let name = owner.as_ref().map_or_else(|| header.run.to_lowercase(), |owner| owner.name.clone());
        // The first piece last: without it there is no run.
        for spec in part::of_text(&name, &header.run, JournalPart::Header, 0, &text).iter().rev() {
            self.create(&part::manifest(&header.run, owner.as_ref(), spec)).await?;
        }
        tripped("journal.run", "after")
    }

    async fn commit_intents(&self, records: &[Record]) -> Result<()> {
        tripped("journal.intents", "before")?;
        if records.len() > MOST_INTENTS {
            return Err(JournalError::Write(format!("{} intents at once; {MOST_INTENTS} is the most", records.len())));
        }
        self.refuse_foreign(records).await?;
        let mut by_run: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
        for record in records {
            by_run.entry(&record.run).or_default().push(record.clone());
        }
        for (run, of_run) in by_run {
            let writing = self.writing(run).await?;
            if let Err(error) = writing.commit(self, &of_run).await {
                // What never got a record is nobody's.
                let held = writing.records();
                let mut open = locked(self.targets().await?);
                open.retain(|target, owner| owner != run || held.iter().any(|record| record.target == *target));
                return Err(error);
            }
        }
        tripped("journal.intents", "after")
    }

    async fn set_phase(&self, run: &str, step: &str, target: &TargetId, phase: Phase, detail: Option<&str>) -> Result<()> {
        tripped("journal.phase", "before")?;
        self.writing(run).await?.set_phase(self, step, target, phase, detail).await?;
        self.moved(run, target, phase).await?;
        tripped("journal.phase", "after")
    }

    async fn append(&self, run: &str, events: &[RunEvent]) -> Result<()> {
        tripped("journal.events", "before")?;
        self.writing(run).await?.append(self, events).await?;
        tripped("journal.events", "after")
    }

    async fn close_run(&self, run: &str, end: &RunEnd) -> Result<()> {
        tripped("journal.end", "before")?;
        if self.writing(run).await?.close(self, end).await? == 0 {
            self.release(run).await?;
            self.runs.lock().await.remove(run);
            locked(&self.owners).remove(run);
        }
        tripped("journal.end", "after")
    }

    async fn records(&self, run: &str) -> Result<Vec<Record>> {
        Ok(self.known(run).await?.records().cloned().collect())
    }

    async fn events(&self, run: &str) -> Result<Vec<RunEvent>> {
        let read = self.known(run).await?;
        self.stream(&read.head).await
    }

    async fn run(&self, run: &str) -> Result<RunSummary> {
        self.summary(&self.resolve(run).await?)
    }

    async fn runs(&self) -> Result<Vec<RunSummary>> {
        self.every().await?.iter().map(|run| self.summary(run)).collect()
    }

    async fn request_abort(&self, run: &str) -> Result<()> {
        tripped("journal.abort", "before")?;
        let (name, found) = self.drill_run(run).await?;
        if found.is_none() {
            return Err(JournalError::Write(format!("drillrun '{name}' is gone; its undo goes on by itself")));
        }
        let at = Resource::DRILL_RUN.api().at(Some(&self.namespace), &name);
        match self.cluster.patch(&at, &[set("/spec/abort", &json!(true))]).await {
            Ok(_) | Err(ApiError::NotFound { .. }) => tripped("journal.abort", "after"),
            Err(error) => Err(unwritten(&error)),
        }
    }

    async fn abort_requested(&self, run: &str) -> Result<bool> {
        let (_, found) = self.drill_run(run).await?;
        Ok(found.is_some_and(|found| found.pointer("/spec/abort") == Some(&Value::Bool(true))))
    }

    async fn abandon(&self, run: &str, at: Timestamp) -> Result<Vec<Record>> {
        tripped("journal.abandon", "before")?;
        let writing = self.writing(run).await?;
        let open: Vec<Record> = writing.records().into_iter().filter(|record| !record.phase.is_closed()).collect();
        for record in &open {
            let detail = format!("closed by `firedrill abandon` without being undone; it was {:?}", record.phase);
            writing.set_phase(self, &record.step, &record.target, Phase::Abandoned, Some(&detail)).await?;
            self.moved(run, &record.target, Phase::Abandoned).await?;
        }
        if writing.end().await.is_none() {
            let (cleanliness, exit_code) = if open.is_empty() { (Cleanliness::Clean, 6) } else { (Cleanliness::StillInPlace, 7) };
            writing.close(self, &RunEnd { at, verdict: Verdict::Aborted, cleanliness, score: None, exit_code }).await?;
        }
        self.release(run).await?;
        tripped("journal.abandon", "after")?;
        Ok(open)
    }
}
