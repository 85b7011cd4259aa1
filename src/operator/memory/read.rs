//! Reading runs from their parts: nothing is believed that is not whole.

use std::collections::BTreeMap;

use super::part::{OPEN, PART, Part, RUN, believed, open, records, word};
use super::{Memory, Result, damaged, locked, unread};
use crate::event::{Cleanliness, EVENT_VERSION, RunEvent};
use crate::fault::Record;
use crate::journal::{JournalError, RunEnd, RunHeader, RunSummary, place};
use crate::operator::journal::JournalPart;
use crate::operator::resource::Resource;

/// A run's header and records as they are in the cluster.
pub(super) struct Run {
    pub(super) header: RunHeader,
    /// `…-header-0`.
    pub(super) head: Part,
    /// Parts of records, in order, with the records as they are now.
    pub(super) parts: Vec<(Part, Vec<Record>)>,
}

impl Run {
    pub(super) fn end(&self) -> Result<Option<RunEnd>> {
        let Some(text) = self.head.status.as_ref().and_then(|status| status.end.as_deref()) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| damaged(&self.head.metadata.name, error))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.parts.iter().flat_map(|(_, records)| records)
    }
}

impl Memory {
    async fn parts(&self, selector: &str) -> Result<Vec<Part>> {
        let found =
            self.cluster.list(Resource::DRILL_JOURNAL.api(), Some(&self.namespace), Some(selector), None).await.map_err(|error| unread(&error))?;
        found.iter().map(believed).collect()
    }

    /// One run by its whole id; none when there is no part of it.
    pub(super) async fn read(&self, run: &str) -> Result<Option<Run>> {
        place::check_run_id(run)?;
        let parts = self.parts(&format!("{RUN}={run},{PART} in (header,records)")).await?;
        if parts.is_empty() { Ok(None) } else { whole(run, parts).map(Some) }
    }

    pub(super) async fn known(&self, run: &str) -> Result<Run> {
        self.read(run).await?.ok_or_else(|| JournalError::NoSuchRun(run.to_owned()))
    }

    pub(super) fn summary(&self, run: &Run) -> Result<RunSummary> {
        let open_records = run.records().filter(|record| !record.phase.is_closed()).count();
        let alive = locked(&self.claims).contains(&run.header.run);
        Ok(RunSummary { header: run.header.clone(), end: run.end()?, open_records, alive })
    }

    /// Runs of a label selector beside that of their parts, newest first.
    async fn select(&self, more: &str) -> Result<Vec<Run>> {
        let mut by_run: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        for part in self.parts(&format!("{PART} in (header,records){more}")).await? {
            by_run.entry(part.spec.run_id.clone()).or_default().push(part);
        }
        let mut runs = by_run.into_iter().map(|(run, parts)| whole(&run, parts)).collect::<Result<Vec<Run>>>()?;
        runs.sort_by(|a, b| (b.header.started, &b.header.run).cmp(&(a.header.started, &a.header.run)));
        Ok(runs)
    }

    /// Every run.
    pub(super) async fn every(&self) -> Result<Vec<Run>> {
        self.select("").await
    }

    /// Runs that have not ended, or left something in place.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`]: what is in place is not known.
    pub async fn open_runs(&self) -> Result<Vec<RunSummary>> {
        self.select(&format!(",{OPEN}")).await?.iter().map(|run| self.summary(run)).collect()
    }

    /// The `DrillRun` of a run, by name.
    ///
    /// # Errors
    /// As for other reads.
    pub async fn owner_of(&self, run: &str) -> Result<String> {
        Ok(self.known(run).await?.head.spec.run)
    }

    pub(super) async fn resolve(&self, prefix: &str) -> Result<Run> {
        place::check_run_id(prefix)?;
        if let Some(run) = self.read(prefix).await? {
            return Ok(run);
        }
        let matches = |run: &Run| run.header.run.to_uppercase().starts_with(&prefix.to_uppercase());
        let mut fits: Vec<Run> = self.every().await?.into_iter().filter(matches).collect();
        fits.sort_by(|a, b| a.header.run.cmp(&b.header.run));
        match fits.len() {
            0 => Err(JournalError::NoSuchRun(prefix.to_owned())),
            1 => fits.pop().ok_or_else(|| JournalError::NoSuchRun(prefix.to_owned())),
            _ => {
                let candidates = fits.into_iter().take(11).map(|run| run.header.run).collect();
                Err(JournalError::Ambiguous { prefix: prefix.to_owned(), candidates })
            }
        }
    }

    /// Events, and the text of those that are in no part of their own yet.
    pub(super) async fn stream(&self, head: &Part) -> Result<Vec<RunEvent>> {
        let run = &head.spec.run_id;
        let status = head.status.clone().unwrap_or_default();
        let mut parts = self.parts(&format!("{RUN}={run},{PART}={}", word(JournalPart::Events))).await?;
        let wanted = status.event_parts.unwrap_or(0);
        // What comes after was created and never committed.
        parts.retain(|part| part.spec.number < wanted);
        let mut text = joined(&head.metadata.name, JournalPart::Events, wanted, parts)?;
        text.push_str(status.tail.as_deref().unwrap_or_default());
        let mut events: Vec<RunEvent> = Vec::new();
        for line in text.lines() {
            let wrong = |why: String| damaged(&head.metadata.name, format!("event {}: {why}", events.len()));
            let event: RunEvent = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if event.v > EVENT_VERSION {
                return Err(JournalError::Unreadable(format!(
                    "event {} of run {run} was written by a newer firedrill (version {}; this build knows {EVENT_VERSION}); use that build",
                    events.len(),
                    event.v
                )));
            }
            if event.seq != events.len() as u64 {
                return Err(wrong(format!("{} stands in its place", event.seq)));
            }
            events.push(event);
        }
        Ok(events)
    }
}

/// Puts the parts of one text together.
fn joined(name: &str, part: JournalPart, wanted: u32, mut parts: Vec<Part>) -> Result<String> {
    parts.sort_by_key(|part| part.spec.number);
    complete(name, part, wanted, &parts)?;
    Ok(parts.iter().filter_map(|part| part.spec.text.as_deref()).collect())
}

/// That the first `wanted` parts are there.
fn complete(name: &str, part: JournalPart, wanted: u32, parts: &[Part]) -> Result<()> {
    let missing = (0..wanted).find(|number| parts.iter().all(|part| part.spec.number != *number));
    missing.map_or(Ok(()), |number| Err(damaged(name, format!("part {number} of its {} is missing", word(part)))))
}

/// A run from its parts.
fn whole(run: &str, parts: Vec<Part>) -> Result<Run> {
    let (heads, mut others): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.spec.part == JournalPart::Header);
    let Some(head) = heads.iter().find(|part| part.spec.number == 0).cloned() else {
        return Err(damaged(&super::part::name(run, JournalPart::Header, 0), "it is missing, and other parts of the run are there"));
    };
    let name = head.metadata.name.clone();
    let wanted = u32::try_from(heads.len()).unwrap_or(u32::MAX);
    let text = joined(&name, JournalPart::Header, wanted, heads)?;
    let header: RunHeader = serde_json::from_str(&text).map_err(|error| damaged(&name, format!("its header: {error}")))?;
    if header.run != run {
        return Err(damaged(&name, "it is the header of another run"));
    }
    others.sort_by_key(|part| part.spec.number);
    let status = head.status.clone().unwrap_or_default();
    complete(&name, JournalPart::Records, status.record_parts.unwrap_or(0), &others)?;
    let parts = others.into_iter().map(|part| records(&part).map(|records| (part, records))).collect::<Result<Vec<_>>>()?;
    let run = Run { header, head, parts };
    let open = run.parts.iter().map(|(_, records)| open(records)).sum::<u32>();
    match run.end()? {
        Some(end) if open > 0 && end.cleanliness != Cleanliness::StillInPlace => {
            Err(damaged(&name, format!("it ended with nothing in place, and {open} records are open")))
        }
        _ => Ok(run),
    }
}
