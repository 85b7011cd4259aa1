//! `DrillJournal`: what a run remembers, in parts of which none grows with the number of targets.
//!
//! A run's journal is many objects: its header, its records at most [`MOST_RECORDS`] a part, and its events. The spec of a part is written once and
//! never changes; what changes is in the status: the phases of records, and in that of the header how far the run is. A part stays well below the 1.5 MB that etcd takes: 10,000 targets are 100 parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::Phase;

/// Most records in one part. A step's intents (at most 500 at once) are durable when each of their parts is.
pub const MOST_RECORDS: usize = 100;
/// Most characters of one record's JSON.
pub const MOST_OF_RECORD: usize = 65_536;
/// Most characters of a part's text. Parts of records stop there too: the writer begins the next one.
pub const MOST_TEXT: usize = 524_288;

/// A part of a run's journal, written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillJournalSpec {
    /// Name of the `DrillRun`.
    #[schemars(length(max = 63), extend("format" = "name"))]
    pub run: String,
    /// The run's id, a ULID, as in marks and reports.
    #[schemars(length(min = 26, max = 26))]
    pub run_id: String,
    /// What it holds.
    pub part: JournalPart,
    /// Position among the parts of the same sort, from 0 without gaps.
    pub number: u32,
    /// Of a header or of events: the next piece of one text, the header's JSON or the events' JSON lines, cut anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 524_288))]
    pub text: Option<String>,
    /// Of records: what undoing each target needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub records: Vec<JournalRecord>,
    /// SHA-256 of the text, or of the records' bodies one after the other: a damaged part is never taken for nothing to undo.
    #[schemars(length(min = 64, max = 64))]
    pub sum: String,
}

/// What a part of a journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JournalPart {
    /// What was written when the run opened: the frozen drill and environment.
    Header,
    /// What undo needs.
    Records,
    /// What happened.
    Events,
}

/// What undoing one target needs; durable before the first write to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JournalRecord {
    /// Position in the part, from 0.
    #[schemars(range(max = 99))]
    pub number: u32,
    /// Step id.
    #[schemars(length(max = 63))]
    pub step: String,
    /// Kind of fault or action.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Where the target lives: `kubernetes/<uid of kube-system>`, `aws/111122223333/us-east-1`.
    #[schemars(length(max = 253))]
    pub place: String,
    /// The target's identity there.
    #[schemars(length(max = 2048))]
    pub id: String,
    /// The whole record as JSON. Text, because the API server would write numbers of its own way.
    #[schemars(length(max = 65_536))]
    pub body: String,
}

/// Where the records of a part are on their way; of the first part of a header, what changes in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct DrillJournalStatus {
    /// Records that are not closed. None of a part whose status was never written: then every record is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<u32>,
    /// One for each record that has moved since it was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub states: Vec<RecordState>,
    /// Of a header: how the run ended, as JSON; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub end: Option<String>,
    /// Of a header: how many parts of records there are at least. One that is missing is damage, and never nothing to undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_parts: Option<u32>,
    /// Of a header: how many parts of events there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_parts: Option<u32>,
    /// Of a header: the newest events, which are in no part of their own yet, as JSON lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub tail: Option<String>,
    /// Of a header: which process works on the run. One that did so before finds that it has changed, and writes nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub holder: Option<String>,
}

/// Where one record is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordState {
    /// The record's number in the part.
    #[schemars(range(max = 99))]
    pub number: u32,
    /// Its phase. One that a reader does not know counts as intent: open.
    pub phase: Phase,
    /// Version of the record format of who wrote this. A newer one counts as intent.
    pub version: u32,
    /// When it came into the phase.
    pub at: Timestamp,
    /// What a reader should know: prior, ours and current on drift, the error on stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_schema_are_those_of_the_constants() {
        let schema = super::super::structural::structural::<DrillJournalSpec>().unwrap();
        assert_eq!(schema.pointer("/properties/text/maxLength").unwrap(), MOST_TEXT);
        assert_eq!(schema.pointer("/properties/records/maxItems").unwrap(), MOST_RECORDS);
        assert_eq!(schema.pointer("/properties/records/items/properties/body/maxLength").unwrap(), MOST_OF_RECORD);
        assert_eq!(schema.pointer("/properties/records/items/properties/number/maximum").unwrap(), MOST_RECORDS - 1);
    }
}
