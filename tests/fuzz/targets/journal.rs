//! The journal's decoder: what is stored in the rows of a run (header, records, events), and all that is made of it afterwards.

use firedrill::clock::Timestamp;
use firedrill::event::{Event, RunEvent};
use firedrill::fault::Record;
use firedrill::journal::{RunEnd, RunHeader};
use firedrill::report::story::Story;
use firedrill::report::tell::Teller;
use firedrill::report::{Format, frame, summary};
use firedrill::score;

/// Each line is one stored row. A row is refused, or means the same when it is written again; a run of such events, in whatever order and with
/// whatever figures, can be scored and told.
pub fn run(data: &[u8]) {
    let mut events = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        kept::<RunHeader>(line);
        kept::<RunEnd>(line);
        if let Some(record) = kept::<Record>(line) {
            let _ = record.phase.is_closed();
        }
        events.extend(kept::<RunEvent>(line));
    }
    if events.is_empty() {
        return;
    }
    let card = score::evaluate(&events);
    assert!(card.score.is_none_or(|score| (0.0..=100.0).contains(&score)), "a score of {:?}", card.score);
    let story = Story::of(&events);
    let _ = summary::summary(&story, &card, None);
    for now in [Timestamp(i64::MIN), Timestamp(0), Timestamp(i64::MAX)] {
        let _ = frame::frame(&story, now, frame::Canvas { width: 80, height: 24, colour: true });
    }
    let mut teller = Teller::default();
    for event in &events {
        teller.event(event);
        teller.tick(event.at);
    }
    let begun = events.iter().any(|event| matches!(event.body, Event::RunStarted(_)));
    // One format for each input: rendering is most of the time.
    let told = Format::ALL[data.len() % Format::ALL.len()].render(&events, &card);
    assert!(told.is_ok() || !begun, "no report: {told:?}");
}

fn kept<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(line: &[u8]) -> Option<T> {
    let row: T = serde_json::from_slice(line).ok()?;
    let written = serde_json::to_vec(&row).expect("written");
    let again: T = serde_json::from_slice(&written).expect("what was written is read again");
    assert_eq!(again, row, "a row changes when it is written again");
    Some(row)
}
