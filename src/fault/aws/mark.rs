//! The mark on an AWS resource: tags, which are enough to undo it with the journal lost.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as CODE;
use serde_json::Value;

use crate::aws::access::Statement;
use crate::fault::carried::{packed, unpacked};
use crate::fault::{KindError, Record, TargetId};

/// Run id.
pub const RUN: &str = "firedrill.dev/run";
/// What the key of each of its tags begins with.
pub const PREFIX: &str = "firedrill.dev/";
/// When undo has begun at the latest: for people who find the mark.
pub const EXPIRES: &str = "firedrill.dev/expires";
/// What [`carried`] reads: parts `firedrill.dev/record.0`, `.1`, … of a record in base64url, which every service takes as a tag's value.
const RECORD: &str = "firedrill.dev/record.";
/// Tags that a resource may have at most, in EC2 and in Auto Scaling.
pub const MOST_TAGS: usize = 50;
/// Longest value of a tag.
const LONGEST: usize = 256;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// The tags of a record's mark.
pub fn tags(record: &Record) -> Tags {
    let code = CODE.encode(packed(record));
    let parts = code.as_bytes().chunks(LONGEST).map(|part| String::from_utf8_lossy(part).into_owned());
    let mut tags: Tags = parts.enumerate().map(|(index, part)| (format!("{RECORD}{index}"), part)).collect();
    tags.insert(RUN.to_owned(), record.run.clone());
    tags.insert(EXPIRES.to_owned(), record.undo_by.to_string());
    tags
}

/// Keys of the mark that is on a resource.
pub fn keys(tags: &Tags) -> Vec<String> {
    tags.keys().filter(|key| [RUN, EXPIRES].contains(&key.as_str()) || key.starts_with(RECORD)).cloned().collect()
}

/// A statement that writes or deletes tags, for those of the mark only.
pub fn tagging(statement: Statement) -> Statement {
    statement.when("ForAllValues:StringLike", "aws:TagKeys", ["firedrill.dev/*".to_owned()])
}

/// The run whose mark is on a resource.
pub fn run(tags: &Tags) -> Option<&str> {
    tags.get(RUN).map(String::as_str)
}

/// Refuses a target that a run has marked and not given back.
pub fn refuse_marked(tags: &Tags, what: &str) -> Result<(), KindError> {
    match run(tags) {
        Some(run) => Err(KindError::Refused(format!("{what} is marked by run {run}; `firedrill sweep` shows what it left"))),
        None => Ok(()),
    }
}

/// Whether this record's mark is on a resource.
pub fn is_on(tags: &Tags, record: &Record) -> bool {
    run(tags) == Some(&record.run) && read(tags, Value::Null).is_some_and(|carried| carried.step == record.step && carried.target == record.target)
}

/// The record that the mark of the resource `target` carries. `None`: it has none that this build can read, or a ghost, which was made for another resource
/// and copied.
pub fn carried(tags: &Tags, target: &TargetId, invert: Value) -> Option<Record> {
    read(tags, invert).filter(|record| record.target == *target)
}

/// The record that a mark carries, whatever it is on.
pub fn read(tags: &Tags, invert: Value) -> Option<Record> {
    let code: String = (0..).map_while(|index| tags.get(&format!("{RECORD}{index}"))).map(String::as_str).collect();
    let text = String::from_utf8(CODE.decode(code).ok()?).ok()?;
    unpacked(run(tags)?, &text, invert)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::Phase;
    use crate::fault::RECORD_VERSION;

    fn record() -> Record {
        Record {
            version: RECORD_VERSION,
            run: "01KB2QXW8V5Z3M4N7P9R1S6T8D".into(),
            step: "stopped".into(),
            after: (0..20).map(|index| format!("earlier-{index}")).collect(),
            kind: "ec2Stop".into(),
            action: false,
            keep: false,
            target: TargetId { place: "aws/111122223333/us-east-1".into(), id: "instance/i-1".into() },
            prior: json!({"state": "running"}),
            ours: json!({"state": "stopped"}),
            invert: json!({"region": "us-east-1"}),
            companions: vec!["schedule/firedrill-x".into()],
            undo_by: Timestamp(1_700_000_000_000_000),
            phase: Phase::Injected,
        }
    }

    #[test]
    fn a_mark_carries_the_whole_record_in_tags_that_every_service_takes() {
        let record = record();
        let tags = tags(&record);
        assert!(tags.len() > 4, "{tags:?}");
        // The strictest: IAM's [\p{L}\p{Z}\p{N}_.:/=+\-@]*.
        let fits = |value: &String| value.len() <= LONGEST && value.chars().all(|c| c.is_alphanumeric() || "_.:/=+-@".contains(c));
        assert!(tags.values().all(fits), "{tags:?}");
        assert_eq!(carried(&tags, &record.target, record.invert.clone()).unwrap(), record);
        assert!(is_on(&tags, &record));
        assert_eq!(keys(&tags).len(), tags.len());
    }

    #[test]
    fn a_copy_on_another_resource_and_a_torn_mark_are_nobodys() {
        let (record, mut torn) = (record(), tags(&record()));
        let other = TargetId { id: "instance/i-2".into(), ..record.target.clone() };
        assert_eq!(carried(&torn, &other, Value::Null), None);
        torn.remove("firedrill.dev/record.1");
        assert_eq!(carried(&torn, &record.target, Value::Null), None);
    }
}
