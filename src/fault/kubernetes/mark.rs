//! The mark on a target: annotations, written in the same patch as the change, which are enough to undo it with the journal lost.

use serde_json::{Value, json};

use super::place::text;
use crate::fault::carried::{packed, unpacked};
use crate::fault::{Record, TargetId};

/// Run id.
pub const RUN: &str = "firedrill.dev/run";
/// When undo has begun at the latest: for people who find the mark.
pub const EXPIRES: &str = "firedrill.dev/expires";
/// What [`carried`] reads.
pub const RECORD: &str = "firedrill.dev/record";
/// All of them.
const ALL: [&str; 3] = [RUN, EXPIRES, RECORD];

/// The annotations of a record's mark.
pub fn annotations(record: &Record) -> [(&'static str, String); 3] {
    [(RUN, record.run.clone()), (EXPIRES, record.undo_by.to_string()), (RECORD, packed(record))]
}

/// Patch operations that mark an object which no run has marked. `bare`: it has no annotations at all.
pub fn add(record: &Record, bare: bool) -> Vec<Value> {
    if bare {
        let all: serde_json::Map<String, Value> = annotations(record).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        return vec![test("/metadata/annotations", Value::Null), json!({"op": "add", "path": "/metadata/annotations", "value": all})];
    }
    let mut operations = vec![test(&pointer(RUN), Value::Null)];
    operations.extend(annotations(record).into_iter().map(|(key, value)| json!({"op": "add", "path": pointer(key), "value": value})));
    operations
}

/// Patch operations that take this run's mark off; they fail when it is not there.
pub fn remove(record: &Record, object: &Value) -> Vec<Value> {
    let mut operations = vec![test(&pointer(RUN), record.run.clone().into())];
    let there = ALL.into_iter().filter(|key| annotation(object, key).is_some());
    operations.extend(there.map(|key| json!({"op": "remove", "path": pointer(key)})));
    operations
}

/// Whether this record's mark is on the object.
pub fn is_on(object: &Value, record: &Record) -> bool {
    let mine = |carried: Record| carried.step == record.step && carried.target == record.target;
    annotation(object, RUN) == Some(&record.run) && parse(object, Value::Null).is_some_and(mine)
}

/// Whether the object has no annotations at all: then the map must be made before something is added to it.
pub fn bare(object: &Value) -> bool {
    object.pointer("/metadata/annotations").is_none_or(Value::is_null)
}

/// The run whose mark is on the object.
pub fn run(object: &Value) -> Option<&str> {
    annotation(object, RUN)
}

/// The record that the mark of the object `target` carries. `None`: it has none that this build can read, or a ghost, which was made for another object
/// and copied by a template, a rollback or a restored backup.
pub fn carried(object: &Value, target: TargetId, invert: Value) -> Option<Record> {
    parse(object, invert).filter(|record| record.target == target)
}

/// A patch operation that must hold (RFC 6902, 4.6). A null value holds where nothing is.
pub fn test(path: &str, value: Value) -> Value {
    json!({"op": "test", "path": path, "value": value})
}

/// The guard of every patch: the object is the one that was planned.
pub fn same(uid: &str) -> Value {
    test("/metadata/uid", uid.into())
}

/// UID of an object.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

fn parse(object: &Value, invert: Value) -> Option<Record> {
    unpacked(annotation(object, RUN)?, annotation(object, RECORD)?, invert)
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// JSON pointer of an annotation (RFC 6901: `/` is `~1`).
fn pointer(key: &str) -> String {
    format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"))
}
