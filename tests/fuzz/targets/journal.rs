//! The journal's decoder: what is stored in the rows of a run (header, records, events, end).

use firedrill::event::RunEvent;
use firedrill::fault::Record;
use firedrill::journal::{RunEnd, RunHeader};

/// Each line is one stored row. It is refused, or means the same when it is written again.
pub fn run(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        kept::<RunHeader>(line);
        kept::<RunEnd>(line);
        kept::<RunEvent>(line);
        kept::<Record>(line);
    }
}

fn kept<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(line: &[u8]) {
    let Ok(row) = serde_json::from_slice::<T>(line) else { return };
    let written = serde_json::to_vec(&row).expect("written");
    let again: T = serde_json::from_slice(&written).expect("what was written is read again");
    assert_eq!(again, row, "a row changes when it is written again");
}
