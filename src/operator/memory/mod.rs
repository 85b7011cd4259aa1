//! The journal of a cluster: what runs remember, in `DrillJournal` objects of one namespace, none of which grows with the number of targets.
//!
//! | object | holds |
//! |---|---|
//! | `…-header-0` | the first piece of the header; in its status what changes: the end, how many parts there are, the newest events |
//! | `…-header-N` | the rest of a large header |
//! | `…-records-N` | at most 100 records; in its status their phases |
//! | `…-events-N` | older events |
//!
//! # Guarantees
//! - A write that has returned is in etcd. Intents are committed by the header's count of parts, after the parts themselves: parts without it are intents
//!   that nobody has acted on, and are undone all the same.
//! - Every write tests the `resourceVersion` that this process wrote last. Another writer's is [`JournalError::Busy`], and nothing is mutated after it.
//! - Phases of one part that change at the same time share a write.
//! - Damage is [`JournalError::Unreadable`], never a shorter list: parts carry checksums, and the header counts them.
//!
//! # Assumptions
//! - One process at a time writes a namespace's journal: the leader of its lease.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::journal::{DrillJournalStatus, JournalPart};
use super::object::{self, Object, set, test};
use super::resource::Resource;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::At;
use crate::failpoint;
use crate::fault::TargetId;
use crate::journal::JournalError;

mod calls;
mod part;
mod read;
mod writing;

pub use part::Owner;
use writing::Writing;

type Result<T> = std::result::Result<T, JournalError>;

/// The journal of one namespace.
pub struct Memory {
    cluster: Arc<Cluster>,
    namespace: String,
    /// Runs that this process works on.
    claims: Arc<Mutex<HashSet<String>>>,
    owners: Mutex<HashMap<String, Owner>>,
    /// Runs that this process has written to.
    runs: tokio::sync::Mutex<HashMap<String, Arc<Writing>>>,
    /// Which run has an open record of a target; none until the first commit asks.
    targets: tokio::sync::OnceCell<Mutex<BTreeMap<TargetId, String>>>,
}

/// Text in the tail of events beyond which it becomes a part of its own.
const MOST_TAIL: usize = 32_768;

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held cannot leave it half-written: every use is one step.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn damaged(name: &str, why: impl std::fmt::Display) -> JournalError {
    let way_out = "`firedrill sweep` finds by the marks what is in place";
    JournalError::Unreadable(format!("drilljournal '{name}' is damaged ({why}); nothing is known to be undone; {way_out}"))
}

fn unread(error: &ApiError) -> JournalError {
    JournalError::Unreadable(error.to_string())
}

fn unwritten(error: &ApiError) -> JournalError {
    JournalError::Write(error.to_string())
}

fn tripped(point: &str, moment: &str) -> Result<()> {
    failpoint::hit(&format!("{point}.{moment}")).map_err(|error| JournalError::Write(error.to_string()))
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Memory {
    /// The journal of a namespace. Nothing is called yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, namespace: &str) -> Self {
        Self {
            cluster,
            namespace: namespace.to_owned(),
            claims: Arc::default(),
            owners: Mutex::default(),
            runs: tokio::sync::Mutex::default(),
            targets: tokio::sync::OnceCell::new(),
        }
    }

    /// Says, before a run is opened, which `DrillRun` it belongs to. Without one it stands alone, and nobody deletes it.
    pub fn belongs(&self, run: &str, owner: Owner) {
        locked(&self.owners).insert(run.to_owned(), owner);
    }

    fn owner(&self, run: &str) -> Option<Owner> {
        locked(&self.owners).get(run).cloned()
    }

    fn at<'a>(&'a self, name: &'a str) -> At<'a> {
        Resource::DRILL_JOURNAL.api().at(Some(&self.namespace), name)
    }

    /// Creates a part. One with the same content is the same: the answer of an earlier try was lost. Returns its version.
    async fn create(&self, manifest: &Value) -> Result<(String, String)> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match self.cluster.create(Resource::DRILL_JOURNAL.api(), Some(&self.namespace), manifest).await {
            Ok(made) => Ok((name, version_of(&made))),
            Err(error @ (ApiError::Conflict { .. } | ApiError::LostAnswer { .. })) => match self.cluster.get(&self.at(&name)).await {
                Ok(Some(found)) if found["spec"] == manifest["spec"] => Ok((name, version_of(&found))),
                Ok(Some(_)) => {
                    Err(JournalError::Busy(format!("drilljournal '{name}' exists and says something else; another process writes this run")))
                }
                Ok(None) | Err(_) => Err(unwritten(&error)),
            },
            Err(error) => Err(unwritten(&error)),
        }
    }

    /// Replaces the status of a part that still is as this process wrote it. Returns its new version.
    async fn put(&self, name: &str, version: &str, before: &DrillJournalStatus, after: &DrillJournalStatus) -> Result<String> {
        let mut version = version.to_owned();
        // Once more when somebody changed only the metadata, or when an answer was lost and nothing had been written.
        for _ in 0..3 {
            let operations = [test("/metadata/resourceVersion", &json!(version)), set("/status", &json!(after))];
            let error = match self.cluster.patch_status(&self.at(name), &operations).await {
                Ok(written) => return Ok(version_of(&written)),
                Err(error @ (ApiError::Conflict { .. } | ApiError::LostAnswer { .. })) => error,
                Err(error) => return Err(unwritten(&error)),
            };
            let found = match self.cluster.get(&self.at(name)).await {
                Ok(Some(found)) => found,
                Ok(None) => return Err(JournalError::Write(format!("drilljournal '{name}' is gone; somebody deleted it"))),
                Err(_) => return Err(unwritten(&error)),
            };
            let status = status_of(&found)?;
            if status == *after {
                return Ok(version_of(&found));
            }
            let unchanged = version_of(&found) == version;
            if status != *before {
                return Err(JournalError::Busy(format!("drilljournal '{name}' was written by another process: {error}")));
            }
            if unchanged && matches!(error, ApiError::Conflict { .. }) {
                return Err(unwritten(&error));
            }
            version = version_of(&found);
        }
        Err(JournalError::Write(format!("drilljournal '{name}' changes faster than it can be written")))
    }

    /// Lets a run's parts go: nothing of it is open any more.
    ///
    /// # Errors
    /// The parts that could not be let go are let go when this is called again.
    pub async fn release(&self, run: &str) -> Result<()> {
        let selector = format!("{}={run},{}", part::RUN, part::OPEN);
        let found =
            self.cluster.list(Resource::DRILL_JOURNAL.api(), Some(&self.namespace), Some(&selector), None).await.map_err(|error| unread(&error))?;
        let mut metas: Vec<object::Meta> = Vec::new();
        for value in &found {
            let part: Object<Value, Value> = Object::read(value).map_err(JournalError::Unreadable)?;
            metas.push(part.metadata);
        }
        // The header last: as long as it says so, the run is asked for again.
        metas.sort_by_key(|meta| meta.labels.get(part::PART).is_some_and(|part| part == part::word(JournalPart::Header)));
        for meta in metas {
            let mut operations = object::without_finalizer(&meta).unwrap_or_default();
            operations.push(json!({"op": "remove", "path": "/metadata/labels/firedrill.dev~1open"}));
            match self.cluster.patch(&self.at(&meta.name), &operations).await {
                Ok(_) | Err(ApiError::NotFound { .. }) => {}
                Err(error) => return Err(unwritten(&error)),
            }
        }
        Ok(())
    }
}

fn version_of(value: &Value) -> String {
    value.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn status_of(value: &Value) -> Result<DrillJournalStatus> {
    let status = value.get("status").cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(status).map_err(|error| damaged(value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default(), error))
}
