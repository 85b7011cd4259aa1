//! The parts of a run's journal as objects: named, made, checked, believed.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Result, damaged};
use crate::event::Phase;
use crate::fault::{RECORD_VERSION, Record};
use crate::journal::JournalError;
use crate::operator::journal::{
    DrillJournalSpec, DrillJournalStatus, JournalPart, JournalRecord, MOST_OF_RECORD, MOST_RECORDS, MOST_TEXT, RecordState,
};
use crate::operator::object::{FINALIZER, Object};
use crate::operator::resource::Resource;
use crate::operator::{GROUP, VERSION};

/// Label with the run's id.
pub const RUN: &str = "firedrill.dev/run";
/// Label with what a part holds.
pub const PART: &str = "firedrill.dev/part";
/// Label of the parts of a run that has not ended, or left something in place: what a new leader asks for.
pub const OPEN: &str = "firedrill.dev/open";

/// Most characters in the first piece of a header: that object is written again with every event.
const FIRST_PIECE: usize = 4_096;

/// A part of a journal.
pub type Part = Object<DrillJournalSpec, DrillJournalStatus>;

/// Which `DrillRun` a run belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its uid: the journal goes when it goes.
    pub uid: String,
}

/// Name of a part.
#[must_use]
pub fn name(run: &str, part: JournalPart, number: u32) -> String {
    format!("{}-{}-{number}", run.to_lowercase(), word(part))
}

/// A part's sort as it stands in names and labels.
#[must_use]
pub fn word(part: JournalPart) -> &'static str {
    match part {
        JournalPart::Header => "header",
        JournalPart::Records => "records",
        JournalPart::Events => "events",
    }
}

/// The object that is created. Events may go with their run at any time; the header and the records stay until nothing is open.
#[must_use]
pub fn manifest(run: &str, owner: Option<&Owner>, spec: &DrillJournalSpec) -> Value {
    let mut labels = json!({RUN: run, PART: word(spec.part)});
    let mut metadata = json!({"name": name(run, spec.part, spec.number)});
    if spec.part != JournalPart::Events {
        labels[OPEN] = json!("true");
        metadata["finalizers"] = json!([FINALIZER]);
    }
    metadata["labels"] = labels;
    if let Some(owner) = owner {
        let kind = Resource::DRILL_RUN.kind;
        metadata["ownerReferences"] = json!([{"apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "name": owner.name, "uid": owner.uid}]);
    }
    json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": Resource::DRILL_JOURNAL.kind, "metadata": metadata, "spec": spec})
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sum<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    texts.into_iter().for_each(|text| digest.update(text));
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The parts of one text, numbered from `first`.
#[must_use]
pub fn of_text(owner: &str, run: &str, part: JournalPart, first: u32, text: &str) -> Vec<DrillJournalSpec> {
    let spec = |(number, piece): (u32, &str)| DrillJournalSpec {
        run: owner.to_owned(),
        run_id: run.to_owned(),
        part,
        number,
        sum: sum([piece]),
        text: Some(piece.to_owned()),
        records: Vec::new(),
    };
    let begin = if part == JournalPart::Header { FIRST_PIECE } else { MOST_TEXT };
    (first..).zip(pieces(text, begin)).map(spec).collect()
}

/// Cuts a text between characters: the first piece of at most `first` bytes, the others of at most [`MOST_TEXT`].
fn pieces(text: &str, first: usize) -> Vec<&str> {
    let mut all = Vec::new();
    let (mut rest, mut most) = (text, first);
    while rest.len() > most {
        let cut = rest.floor_char_boundary(most);
        all.push(&rest[..cut]);
        (rest, most) = (&rest[cut..], MOST_TEXT);
    }
    all.push(rest);
    all
}

/// The parts of records, numbered from `first`: at most [`MOST_RECORDS`] each, and no more text than an object takes.
///
/// # Errors
/// A record that is too large for any part: nothing of it may be changed.
pub fn of_records(owner: &str, run: &str, first: u32, records: &[Record]) -> Result<Vec<DrillJournalSpec>> {
    let mut parts: Vec<Vec<JournalRecord>> = Vec::new();
    let mut size = 0;
    for record in records {
        let body = serde_json::to_string(record).map_err(|error| JournalError::Write(error.to_string()))?;
        if body.len() > MOST_OF_RECORD {
            let what = format!("step {} of run {run}, target {}: {} bytes of state", record.step, record.target, body.len());
            return Err(JournalError::Write(format!("{what}; a cluster's journal keeps at most {MOST_OF_RECORD} of one target")));
        }
        if parts.last().is_none_or(|part| part.len() == MOST_RECORDS || size + body.len() > MOST_TEXT) {
            parts.push(Vec::new());
            size = 0;
        }
        size += body.len();
        if let Some(part) = parts.last_mut() {
            let number = u32::try_from(part.len()).unwrap_or(u32::MAX);
            part.push(JournalRecord {
                number,
                step: record.step.clone(),
                kind: record.kind.clone(),
                place: record.target.place.clone(),
                id: record.target.id.clone(),
                body,
            });
        }
    }
    let spec = |(number, records): (u32, Vec<JournalRecord>)| DrillJournalSpec {
        run: owner.to_owned(),
        run_id: run.to_owned(),
        part: JournalPart::Records,
        number,
        sum: sum(records.iter().map(|record| record.body.as_str())),
        text: None,
        records,
    };
    Ok((first..).zip(parts).map(spec).collect())
}

/// Reads a part, and believes it only when its checksum says so.
///
/// # Errors
/// [`JournalError::Unreadable`] names the object.
pub fn believed(value: &Value) -> Result<Part> {
    let part: Part = Object::read(value).map_err(JournalError::Unreadable)?;
    let found = match &part.spec.text {
        Some(text) => sum([text.as_str()]),
        None => sum(part.spec.records.iter().map(|record| record.body.as_str())),
    };
    if found != part.spec.sum {
        return Err(damaged(&part.metadata.name, "its checksum is another"));
    }
    Ok(part)
}

/// The records of a part, each in the phase that it is in now. A phase of a newer build, and a record of one, count as intent.
///
/// # Errors
/// [`JournalError::Unreadable`] when a body does not read, or the status tells of records that there are not.
pub fn records(part: &Part) -> Result<Vec<Record>> {
    let name = &part.metadata.name;
    let mut all = Vec::new();
    for kept in &part.spec.records {
        let mut record: Record = serde_json::from_str(&kept.body).map_err(|error| damaged(name, format!("record {}: {error}", kept.number)))?;
        if usize::try_from(kept.number) != Ok(all.len()) || record.run != part.spec.run_id {
            return Err(damaged(name, format!("record {} is out of place", kept.number)));
        }
        if record.version > RECORD_VERSION {
            record.phase = Phase::Unknown;
        }
        all.push(record);
    }
    for state in part.status.iter().flat_map(|status| &status.states) {
        let record = usize::try_from(state.number).ok().and_then(|number| all.get_mut(number));
        let Some(record) = record else { return Err(damaged(name, format!("its status tells of record {}, which it does not have", state.number))) };
        record.phase = if state.version > RECORD_VERSION || record.version > RECORD_VERSION { Phase::Unknown } else { state.phase };
    }
    Ok(all)
}

/// How many are not closed.
#[must_use]
pub fn open(records: &[Record]) -> u32 {
    u32::try_from(records.iter().filter(|record| !record.phase.is_closed()).count()).unwrap_or(u32::MAX)
}

/// The status of a part with these states.
#[must_use]
pub fn status_of(records: &[Record], states: &[RecordState]) -> DrillJournalStatus {
    DrillJournalStatus { open: Some(open(records)), states: states.to_vec(), ..DrillJournalStatus::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_put_together_again() {
        let text = "ü".repeat(MOST_TEXT);
        let cut = pieces(&text, FIRST_PIECE + 1);
        assert_eq!(cut.concat(), text);
        assert_eq!(cut[0].len(), FIRST_PIECE);
        assert!(cut[1..].iter().all(|piece| piece.len() <= MOST_TEXT));
        assert_eq!(pieces("", 10), [""]);
    }
}
