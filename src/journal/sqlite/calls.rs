//! The journal's trait, call by call: what is queued, and what follows its commit.

use async_trait::async_trait;

use super::store::Store;
use super::{Result, Sqlite, tripped};
use crate::clock::Timestamp;
use crate::event::{Phase, RunEvent};
use crate::fault::{Record, TargetId};
use crate::journal::{Claim, Journal, JournalError, RunEnd, RunHeader, RunSummary, place, witness};

#[async_trait]
impl Journal for Sqlite {
    async fn claim(&self, run: &str) -> Result<Box<dyn Claim>> {
        let (dir, run) = (self.dir.clone(), run.to_owned());
        // Not on the journal's thread: it may wait for somebody who looks, and a write must not wait for that.
        let claimed = tokio::task::spawn_blocking(move || place::claim(&dir, &run)).await;
        let held = claimed.map_err(|error| JournalError::Write(format!("cannot claim the run: {error}")))??;
        Ok(Box::new(held))
    }

    async fn open_run(&self, header: &RunHeader) -> Result<()> {
        let header = header.clone();
        self.write("journal.run", move |store| store.open_run(&header), done).await
    }

    async fn commit_intents(&self, records: &[Record]) -> Result<()> {
        let records = records.to_vec();
        let promise = |store: &Store, counts: &Vec<(String, u64)>| {
            tripped("journal.intents", "committed")?;
            counts.iter().try_for_each(|(run, count)| witness::remember(&store.dir, run, *count))
        };
        self.write("journal.intents", move |store| store.commit_intents(&records), promise).await.map(drop)
    }

    async fn set_phase(&self, run: &str, step: &str, target: &TargetId, phase: Phase, detail: Option<&str>) -> Result<()> {
        let (run, step, target, detail) = (run.to_owned(), step.to_owned(), target.clone(), detail.map(str::to_owned));
        self.write("journal.phase", move |store| store.set_phase(&run, &step, &target, phase, detail.as_deref()), done).await
    }

    async fn append(&self, run: &str, events: &[RunEvent]) -> Result<()> {
        let (run, events) = (run.to_owned(), events.to_vec());
        self.write("journal.events", move |store| store.append(&run, &events), done).await
    }

    async fn close_run(&self, run: &str, end: &RunEnd) -> Result<()> {
        let (run, end) = (run.to_owned(), end.clone());
        let closed = run.clone();
        let settle = move |store: &Store, open: &usize| if *open == 0 { witness::forget(&store.dir, &closed) } else { Ok(()) };
        self.write("journal.end", move |store| store.close_run(&run, &end), settle).await.map(drop)
    }

    async fn records(&self, run: &str) -> Result<Vec<Record>> {
        let run = run.to_owned();
        self.read(move |store| store.records(&run)).await
    }

    async fn events(&self, run: &str) -> Result<Vec<RunEvent>> {
        let run = run.to_owned();
        self.read(move |store| store.events(&run, None)).await
    }

    async fn run(&self, run: &str) -> Result<RunSummary> {
        let run = run.to_owned();
        self.read(move |store| store.run(&run)).await
    }

    async fn runs(&self) -> Result<Vec<RunSummary>> {
        self.read(Store::runs).await
    }

    async fn request_abort(&self, run: &str) -> Result<()> {
        let run = run.to_owned();
        self.write("journal.abort", move |store| store.request_abort(&run), done).await
    }

    async fn abort_requested(&self, run: &str) -> Result<bool> {
        let run = run.to_owned();
        self.read(move |store| store.abort_requested(&run)).await
    }

    async fn abandon(&self, run: &str, at: Timestamp) -> Result<Vec<Record>> {
        let run = run.to_owned();
        let closed = run.clone();
        let settle = move |store: &Store, _: &Vec<Record>| witness::forget(&store.dir, &closed);
        self.write("journal.abandon", move |store| store.abandon(&run, at), settle).await
    }
}

/// Nothing follows the commit.
fn done(_: &Store, (): &()) -> Result<()> {
    Ok(())
}
