//! What a mark carries of a record: enough to undo it with the journal lost.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RECORD_VERSION, Record, TargetId};
use crate::clock::Timestamp;
use crate::event::Phase;

/// A record without its run, which the mark names beside it, and without how its place is reached.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Carried {
    version: u32,
    target: TargetId,
    step: String,
    after: Vec<String>,
    kind: String,
    action: bool,
    keep: bool,
    prior: Value,
    ours: Value,
    companions: Vec<String>,
    undo_by: Timestamp,
}

/// All of a record but the run and how its place is reached, as text.
#[must_use]
pub fn packed(record: &Record) -> String {
    let carried = Carried {
        version: record.version,
        target: record.target.clone(),
        step: record.step.clone(),
        after: record.after.clone(),
        kind: record.kind.clone(),
        action: record.action,
        keep: record.keep,
        prior: record.prior.clone(),
        ours: record.ours.clone(),
        companions: record.companions.clone(),
        undo_by: record.undo_by,
    };
    serde_json::to_string(&carried).unwrap_or_default()
}

/// The record that [`packed`] was made of; none when this build cannot read it.
#[must_use]
pub fn unpacked(run: &str, packed: &str, invert: Value) -> Option<Record> {
    let carried: Carried = serde_json::from_str(packed).ok()?;
    Some(Record {
        version: carried.version.max(RECORD_VERSION),
        run: run.to_owned(),
        step: carried.step,
        after: carried.after,
        kind: carried.kind,
        action: carried.action,
        keep: carried.keep,
        target: carried.target,
        prior: carried.prior,
        ours: carried.ours,
        invert,
        companions: carried.companions,
        undo_by: carried.undo_by,
        phase: Phase::Injected,
    })
}
