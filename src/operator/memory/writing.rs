//! A run that this process writes: what it has written, and the order of its writes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::part::{self, Owner, Part};
use super::read::Run;
use super::{MOST_TAIL, Memory, Result, damaged, locked, tripped};
use crate::clock::Timestamp;
use crate::event::{Phase, RunEvent};
use crate::fault::{RECORD_VERSION, Record, TargetId};
use crate::journal::{JournalError, RunEnd, phases};
use crate::operator::journal::{DrillJournalSpec, DrillJournalStatus, JournalPart, RecordState};

/// Characters of a record's detail.
const MOST_DETAIL: usize = 1_024;

/// Which part a record is in, and its number there.
type Place = (Arc<Records>, usize);

/// A run that is written.
pub(super) struct Writing {
    run: String,
    owner_name: String,
    owner: Option<Owner>,
    head: tokio::sync::Mutex<Head>,
    parts: RwLock<Vec<Arc<Records>>>,
    index: Mutex<HashMap<(String, TargetId), Place>>,
}

/// `…-header-0`, and the events that were written.
struct Head {
    name: String,
    version: String,
    status: DrillJournalStatus,
    /// Checksum of each event, by its number: an event that is written again must say the same.
    events: Vec<u64>,
    end: Option<RunEnd>,
}

/// A part of records.
struct Records {
    name: String,
    number: u32,
    /// As they should be.
    wanted: Mutex<Wanted>,
    /// Held while it is written: what changes meanwhile goes into the next write together.
    turn: tokio::sync::Mutex<Written>,
}

struct Wanted {
    records: Vec<Record>,
    states: BTreeMap<u32, RecordState>,
    changes: u64,
}

struct Written {
    version: String,
    status: DrillJournalStatus,
    through: u64,
}

impl Records {
    fn of(part: &Part, records: Vec<Record>) -> Self {
        let status = part.status.clone().unwrap_or_default();
        let states = status.states.iter().map(|state| (state.number, state.clone())).collect();
        Self {
            name: part.metadata.name.clone(),
            number: part.spec.number,
            wanted: Mutex::new(Wanted { records, states, changes: 0 }),
            turn: tokio::sync::Mutex::new(Written { version: part.metadata.resource_version.clone(), status, through: 0 }),
        }
    }
}

impl Writing {
    pub(super) fn of(run: Run, events: &[RunEvent], owner: Option<Owner>) -> Result<Self> {
        let end = run.end()?;
        let Run { header, head, parts } = run;
        let sums = events.iter().map(|event| line(event).map(|line| sum(&line))).collect::<Result<Vec<u64>>>()?;
        let head_of =
            Head { name: head.metadata.name, version: head.metadata.resource_version, status: head.status.unwrap_or_default(), events: sums, end };
        let writing = Self {
            run: header.run,
            owner_name: head.spec.run,
            owner,
            head: tokio::sync::Mutex::new(head_of),
            parts: RwLock::default(),
            index: Mutex::default(),
        };
        for (part, records) in parts {
            writing.hold(&part, records);
        }
        Ok(writing)
    }

    fn hold(&self, part: &Part, records: Vec<Record>) {
        let keys: Vec<(String, TargetId)> = records.iter().map(|record| (record.step.clone(), record.target.clone())).collect();
        let held = Arc::new(Records::of(part, records));
        let mut index = locked(&self.index);
        for (number, key) in keys.into_iter().enumerate() {
            index.insert(key, (held.clone(), number));
        }
        self.parts.write().unwrap_or_else(std::sync::PoisonError::into_inner).push(held);
    }

    fn find(&self, step: &str, target: &TargetId) -> Option<Place> {
        locked(&self.index).get(&(step.to_owned(), target.clone())).cloned()
    }

    fn all(&self) -> Vec<Arc<Records>> {
        self.parts.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The records as they should be.
    pub(super) fn records(&self) -> Vec<Record> {
        self.all().iter().flat_map(|part| locked(&part.wanted).records.clone()).collect()
    }

    /// Moves a record and writes its part. Gives the record back.
    pub(super) async fn set_phase(&self, memory: &Memory, step: &str, target: &TargetId, phase: Phase, detail: Option<&str>) -> Result<()> {
        let Some((part, number)) = self.find(step, target) else {
            return Err(JournalError::Write(format!("step {step} of run {} has no record of {target}; an intent comes first", self.run)));
        };
        let mine = {
            let mut wanted = locked(&part.wanted);
            let Some(record) = wanted.records.get_mut(number) else { return Err(damaged(&part.name, "a record is missing")) };
            if !phases::may_follow(record.phase, phase) {
                let (from, to) = (phases::text(record.phase), phases::text(phase));
                return Err(JournalError::Write(format!("step {step} of run {}, target {target}: {from} cannot become {to}", self.run)));
            }
            record.phase = phase;
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let detail = detail.map(|detail| detail.chars().take(MOST_DETAIL).collect());
            wanted.states.insert(number, RecordState { number, phase, version: RECORD_VERSION, at: now(), detail });
            wanted.changes += 1;
            wanted.changes
        };
        self.write(memory, &part, mine).await
    }

    /// Writes a part with at least its first `through` changes.
    async fn write(&self, memory: &Memory, part: &Records, through: u64) -> Result<()> {
        let mut written = part.turn.lock().await;
        if written.through >= through {
            return Ok(());
        }
        let (status, changes) = {
            let wanted = locked(&part.wanted);
            let states: Vec<RecordState> = wanted.states.values().cloned().collect();
            (part::status_of(&wanted.records, &states), wanted.changes)
        };
        written.version = memory.put(&part.name, &written.version, &written.status, &status).await?;
        written.status = status;
        written.through = changes;
        Ok(())
    }

    /// Makes intents durable: new records in new parts, then the header's count of them. Those that were known take the phase that is asked for.
    pub(super) async fn commit(&self, memory: &Memory, records: &[Record]) -> Result<()> {
        let mut head = self.head.lock().await;
        if head.end.is_some() {
            return Err(JournalError::Write(format!("run {} has ended; it takes no more intents", self.run)));
        }
        let mut new: Vec<Record> = Vec::new();
        for record in records {
            match self.find(&record.step, &record.target) {
                None if new.iter().any(|one| one.step == record.step && one.target == record.target) => {}
                None => new.push(record.clone()),
                Some((part, number)) => {
                    let known = locked(&part.wanted).records[number].clone();
                    if let Some(phase) = again(&known, record)? {
                        self.set_phase(memory, &record.step, &record.target, phase, None).await?;
                    }
                }
            }
        }
        if !new.is_empty() {
            let first = self.all().iter().map(|part| part.number + 1).max().unwrap_or(0);
            let specs = part::of_records(&self.owner_name, &self.run, first, &new)?;
            let mut made = specs.iter().map(|spec| self.create(memory, spec)).collect::<FuturesUnordered<_>>();
            // Parts that were made are held even when another fails: they may be asked about.
            let mut failed = None;
            let mut parts = Vec::new();
            while let Some(one) = made.next().await {
                match one {
                    Ok(part) => parts.push(part),
                    Err(error) => failed = Some(error),
                }
            }
            drop(made);
            parts.sort_by_key(|part: &Part| part.spec.number);
            let count = first + u32::try_from(specs.len()).unwrap_or(u32::MAX);
            for part in parts {
                let records = part::records(&part)?;
                self.hold(&part, records);
            }
            if let Some(error) = failed {
                return Err(error);
            }
            let status = DrillJournalStatus { record_parts: Some(count), ..head.status.clone() };
            self.put_head(memory, &mut head, status).await?;
        }
        tripped("journal.intents", "committed")
    }

    async fn create(&self, memory: &Memory, spec: &DrillJournalSpec) -> Result<Part> {
        let manifest = part::manifest(&self.run, self.owner.as_ref(), spec);
        let (name, resource_version) = memory.create(&manifest).await?;
        let metadata = crate::operator::object::Meta { name, resource_version, ..Default::default() };
        Ok(Part { metadata, spec: spec.clone(), status: None })
    }

    async fn put_head(&self, memory: &Memory, head: &mut Head, status: DrillJournalStatus) -> Result<()> {
        head.version = memory.put(&head.name, &head.version, &head.status, &status).await?;
        head.status = status;
        Ok(())
    }

    /// Appends events: to the tail in the header's status, which becomes a part of its own when it is long.
    pub(super) async fn append(&self, memory: &Memory, events: &[RunEvent]) -> Result<()> {
        let mut head = self.head.lock().await;
        let mut text = String::new();
        let mut sums = Vec::new();
        for event in events {
            let line = line(event)?;
            let next = (head.events.len() + sums.len()) as u64;
            if event.seq > next {
                return Err(JournalError::Write(format!("event {} of run {} would leave a gap; {next} comes next", event.seq, self.run)));
            }
            let seq = usize::try_from(event.seq).unwrap_or(usize::MAX);
            let known = head.events.get(seq).or_else(|| sums.get(seq - head.events.len().min(seq)).filter(|_| event.seq < next)).copied();
            match known {
                Some(known) if known == sum(&line) => {}
                Some(_) => {
                    return Err(JournalError::Write(format!("event {} of run {} is written already, and says something else", event.seq, self.run)));
                }
                None => {
                    sums.push(sum(&line));
                    text.push_str(&line);
                }
            }
        }
        if sums.is_empty() {
            return Ok(());
        }
        let tail = head.status.tail.clone().unwrap_or_default() + &text;
        let mut status = head.status.clone();
        if tail.len() <= MOST_TAIL {
            status.tail = Some(tail);
        } else {
            let first = status.event_parts.unwrap_or(0);
            let specs = part::of_text(&self.owner_name, &self.run, JournalPart::Events, first, &tail);
            for spec in &specs {
                self.create_events(memory, spec).await?;
            }
            status.event_parts = Some(first + u32::try_from(specs.len()).unwrap_or(u32::MAX));
            status.tail = None;
        }
        self.put_head(memory, &mut head, status).await?;
        head.events.extend(sums);
        Ok(())
    }

    /// One that is there already was never committed: somebody died before the header said so.
    async fn create_events(&self, memory: &Memory, spec: &DrillJournalSpec) -> Result<()> {
        match self.create(memory, spec).await {
            Err(JournalError::Busy(_)) => {
                let name = part::name(&self.run, JournalPart::Events, spec.number);
                let found = memory.cluster.get(&memory.at(&name)).await.map_err(|error| super::unread(&error))?;
                if let Some(found) = found {
                    memory.cluster.delete_unchanged(&memory.at(&name), &found).await.map_err(|error| super::unwritten(&error))?;
                }
                self.create(memory, spec).await.map(drop)
            }
            done => done.map(drop),
        }
    }

    /// Writes how the run ended.
    pub(super) async fn close(&self, memory: &Memory, end: &RunEnd) -> Result<usize> {
        use crate::event::Cleanliness::StillInPlace;
        let mut head = self.head.lock().await;
        let open = self.records().iter().filter(|record| !record.phase.is_closed()).count();
        if head.end.as_ref() == Some(end) {
            return Ok(open);
        }
        if head.end.as_ref().is_some_and(|before| before.cleanliness != StillInPlace) {
            return Err(JournalError::Write(format!("run {} is closed already", self.run)));
        }
        if open > 0 && end.cleanliness != StillInPlace {
            return Err(JournalError::Write(format!(
                "run {} cannot be closed as {:?}: {open} targets are still in place",
                self.run, end.cleanliness
            )));
        }
        // A move that could not be written at its time, while the API server was away: closed means that it says so.
        for part in self.all() {
            let changes = locked(&part.wanted).changes;
            self.write(memory, &part, changes).await?;
        }
        let text = serde_json::to_string(end).map_err(|error| JournalError::Write(error.to_string()))?;
        let status = DrillJournalStatus { end: Some(text), ..head.status.clone() };
        self.put_head(memory, &mut head, status).await?;
        head.end = Some(end.clone());
        Ok(open)
    }

    /// How the run ended, as far as this process knows.
    pub(super) async fn end(&self) -> Option<RunEnd> {
        self.head.lock().await.end.clone()
    }

    /// Says that this process works on the run: whoever wrote it before can write nothing more.
    pub(super) async fn take_over(&self, memory: &Memory, holder: &str) -> Result<()> {
        let mut head = self.head.lock().await;
        let status = DrillJournalStatus { holder: Some(holder.to_owned()), ..head.status.clone() };
        if status == head.status { Ok(()) } else { self.put_head(memory, &mut head, status).await }
    }
}

/// What a record that is committed again becomes; none when it stays as it is. Its prior state stays as it was first recorded.
fn again(known: &Record, record: &Record) -> Result<Option<Phase>> {
    let shown = format!("step {} of run {}, target {}", record.step, record.run, record.target);
    let same = known.kind == record.kind && known.action == record.action && known.ours == record.ours && known.invert == record.invert;
    if !same {
        return Err(JournalError::Write(format!("{shown} is recorded with another intended state")));
    }
    match (known.phase, record.phase) {
        (Phase::Planned, phase @ (Phase::Intent | Phase::Noop)) => Ok(Some(phase)),
        // Closed: a mutation now would have no open record.
        (closed, Phase::Intent) if closed.is_closed() => {
            Err(JournalError::Write(format!("{shown} is {} already; it takes no new intent", phases::text(closed))))
        }
        _ => Ok(None),
    }
}

fn line(event: &RunEvent) -> Result<String> {
    let mut text = serde_json::to_string(event).map_err(|error| JournalError::Write(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

fn sum(line: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let mut first = [0; 8];
    first.copy_from_slice(&Sha256::digest(line)[..8]);
    u64::from_be_bytes(first)
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
