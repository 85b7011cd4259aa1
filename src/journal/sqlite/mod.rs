//! The journal of one machine: one SQLite file in a private directory, written by one thread in the order of the calls.
//!
//! # Guarantees
//! - A write that has returned is on disk: write-ahead log, `synchronous=FULL`; intents also in a second place (`witness.rs`).
//! - Writes happen in the order in which their futures were first polled. Dropping such a future loses neither the write nor its place; only its answer.
//! - Writes that wait at the same time share one sync, so that 10,000 targets do not need 10,000 of them.
//! - Damage is [`JournalError::Unreadable`], never a shorter list: rows carry checksums, runs count their records, the file counts its runs, events
//!   have no gaps.
//!
//! # Caveats
//! - Opening checks the whole file and blocks meanwhile.
//! - Whoever can write the directory can write a wrong journal; the checks are against accidents.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::{JournalError, place, witness};
use crate::clock::Timestamp;
use crate::event::{Event, Phase, RunEvent, RunStarted};
use crate::failpoint;
use crate::fault::{Record, TargetId};

mod batch;
mod calls;
mod events;
mod records;
mod sample;
mod schema;
mod store;

pub use records::MOST_INTENTS;
pub use schema::{FILE, SCHEMA_VERSION};
use store::Store;

type Result<T> = std::result::Result<T, JournalError>;

/// Most writes that share one transaction.
const MOST_TOGETHER: usize = 256;

/// A phase that a record was in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// When it was written.
    pub at: Timestamp,
    /// The phase.
    pub phase: Phase,
    /// What was said about it.
    pub detail: Option<String>,
}

/// What `abandon` left behind: the records that it closed, in the phase that they were in.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    /// When.
    pub at: Timestamp,
    /// What was in place then, and may still be.
    pub records: Vec<Record>,
}

/// First eight bytes of the SHA-256 over the parts, each with its length in front.
fn seal(parts: &[&[u8]]) -> i64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(first)
}

/// Tells the caller of a write how it went; called after the commit with the commit's result.
type Finish = Box<dyn FnOnce(&Store, Result<()>) + Send>;

enum Job {
    Read(Box<dyn FnOnce(&Store) + Send>),
    Write(Write),
}

/// A write: its statements, to be run inside a transaction, or the reason why there is none.
type Write = Box<dyn FnOnce(Result<&Store>) -> Finish + Send>;

/// The journal in a state directory.
#[derive(Debug)]
pub struct Sqlite {
    dir: PathBuf,
    // None only while dropping.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Sqlite {
    /// Opens the journal in `dir`; makes the directory (not the folders above it) and the file when they are missing.
    ///
    /// Blocks while it checks the place and the file. [`JournalError::Unusable`] names what is wrong with the place,
    /// [`JournalError::Unreadable`] what is wrong with the file.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::start(dir, false)
    }

    /// Opens the journal where the flag says, else in the default place, which is made with the folders above it.
    pub fn open_default(dir: Option<&Path>) -> Result<Self> {
        match dir {
            Some(dir) => Self::open(dir),
            None => Self::start(&place::default_dir()?, true),
        }
    }

    /// Opens the journal for looking, and makes nothing. None when no run was ever remembered there.
    ///
    /// A directory that was asked for and does not exist is [`JournalError::Unusable`]: "nothing is in place" would be an answer about the wrong place.
    pub fn open_existing(dir: Option<&Path>) -> Result<Option<Self>> {
        let path = dir.map_or_else(place::default_dir, |dir| Ok(dir.to_owned()))?;
        match std::fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && dir.is_none() => Ok(None),
            Err(error) => Err(JournalError::Unusable(format!("cannot read state directory {}: {error}; is --state-dir right?", path.display()))),
            // Anything of ours (the file, or only what is left beside it) is for `open` to judge.
            Ok(mut entries) => match entries.next() {
                None => Ok(None),
                Some(_) if path.join(FILE).symlink_metadata().is_err() && witness::all(&path)?.is_empty() => Ok(None),
                Some(_) => Self::start(&path, false).map(Some),
            },
        }
    }

    fn start(dir: &Path, make_parents: bool) -> Result<Self> {
        let (dir, connection) = schema::open_in(dir, make_parents)?;
        let store = Store { path: dir.join(FILE), dir: dir.clone(), connection };
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || serve(&store, &queue));
        let thread = thread.map_err(|error| JournalError::Write(format!("cannot start the journal's thread: {error}")))?;
        Ok(Self { dir, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// The state directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn send(&self, job: Job) {
        // A thread that has ended drops the job and with it the answer's sender; the receiver sees that.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Read(Box::new(move |store| {
            let _ = reply.send(work(store));
        })));
        answer.await.unwrap_or_else(|_| Err(JournalError::Unreadable("the journal's thread has ended".into())))
    }

    /// Queues a write: `work` in a transaction, `then` after its commit. Nothing is awaited before it is queued.
    async fn write<T: Send + 'static>(
        &self,
        point: &'static str,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
        then: impl FnOnce(&Store, &T) -> Result<()> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Write(Box::new(move |store| {
            let worked = store.and_then(|store| tripped(point, "before").and_then(|()| in_savepoint(store, work)));
            Box::new(move |store, committed| {
                let done = worked.and_then(|value| {
                    committed?;
                    then(store, &value)?;
                    tripped(point, "after")?;
                    Ok(value)
                });
                let _ = reply.send(done);
            })
        })));
        answer.await.unwrap_or_else(|_| Err(JournalError::Write("the journal's thread has ended".into())))
    }

    /// Hands every event of a run to `take`, in order, and keeps none of them; then gives the state back that `take` has worked on.
    pub async fn replay<S: Send + 'static>(&self, run: &str, mut state: S, take: fn(&mut S, &RunEvent)) -> Result<S> {
        let run = run.to_owned();
        self.read(move |store| {
            store.each_event(&run, None, |event| take(&mut state, &event))?;
            Ok(state)
        })
        .await
    }

    /// First event of a run without reading the others: what `history` compares runs by. None when the run died before it.
    pub async fn started(&self, run: &str) -> Result<Option<RunStarted>> {
        let run = run.to_owned();
        let first = self.read(move |store| store.events(&run, Some(1))).await?.into_iter().next();
        Ok(first.and_then(|event| match event.body {
            Event::RunStarted(started) => Some(*started),
            _ => None,
        }))
    }

    /// Whether the run's last process said how the run ended. One with something in place may, and stays open.
    pub async fn came_to_its_end(&self, run: &str) -> Result<bool> {
        let run = run.to_owned();
        self.read(move |store| store.came_to_its_end(&run)).await
    }

    /// Every phase that a record was in, oldest first.
    pub async fn phase_history(&self, run: &str, step: &str, target: &TargetId) -> Result<Vec<Moved>> {
        let (run, step, target) = (run.to_owned(), step.to_owned(), target.clone());
        self.read(move |store| store.phase_history(&run, &step, &target)).await
    }

    /// What `abandon` left behind, if the run was abandoned.
    pub async fn tombstone(&self, run: &str) -> Result<Option<Tombstone>> {
        let run = run.to_owned();
        self.read(move |store| store.tombstone(&run)).await
    }
}

impl Drop for Sqlite {
    /// Waits for the writes that are queued: they were promised.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn tripped(point: &str, moment: &str) -> Result<()> {
    failpoint::hit(&format!("{point}.{moment}")).map_err(|error| JournalError::Write(error.to_string()))
}

/// Runs one caller's statements so that its failure takes back its own and nobody else's.
fn in_savepoint<T>(store: &Store, work: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
    store.execute_batch("SAVEPOINT one")?;
    match work(store) {
        Ok(value) => store.execute_batch("RELEASE one").map(|()| value),
        Err(error) => {
            // Fails when SQLite has given up the whole transaction already (full disk); the commit then says so to everybody.
            let _ = store.execute_batch("ROLLBACK TO one; RELEASE one");
            Err(error)
        }
    }
}

/// The thread: jobs in order, neighbouring writes in one transaction, each answered after its commit.
fn serve(store: &Store, queue: &Receiver<Job>) {
    let mut waiting = None;
    while let Some(job) = waiting.take().or_else(|| queue.recv().ok()) {
        let first = match job {
            Job::Read(work) => {
                work(store);
                continue;
            }
            Job::Write(work) => work,
        };
        let begun = store.execute_batch("BEGIN IMMEDIATE");
        let mut finishes = vec![first(begun.clone().map(|()| store))];
        // SQLite may give up the whole transaction by itself (full disk): then nothing more may join it.
        while finishes.len() < MOST_TOGETHER && !store.connection.is_autocommit() {
            match queue.try_recv() {
                Ok(Job::Write(work)) => finishes.push(work(Ok(store))),
                Ok(read) => {
                    waiting = Some(read);
                    break;
                }
                Err(_) => break,
            }
        }
        let committed = begun.and_then(|()| commit(store));
        for finish in finishes {
            finish(store, committed.clone());
        }
    }
}

fn commit(store: &Store) -> Result<()> {
    if store.connection.is_autocommit() {
        return Err(JournalError::Write(format!("{}: the write was taken back; is the disk full?", store.path().display())));
    }
    let committed = store.execute_batch("COMMIT");
    if committed.is_err() && !store.connection.is_autocommit() {
        let _ = store.execute_batch("ROLLBACK");
    }
    committed
}
