//! What is made of a run's events: score, view, reports. They come from the journal of any build, killed at any moment, so nothing of their order,
//! their figures or their names is sure.

use firedrill::clock::Timestamp;
use firedrill::event::{Event, RunEvent};
use firedrill::report::story::Story;
use firedrill::report::tell::Teller;
use firedrill::report::{Format, frame, summary};
use firedrill::score;

/// Every how many inputs a file is rendered: that takes a hundred times as long as all the rest.
const SELDOM: usize = 16;

/// Each line is an event; any sequence of events can be scored and told.
pub fn run(data: &[u8]) {
    let events: Vec<RunEvent> = data.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
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
    if let Some(format) = Format::ALL.get(data.len() % SELDOM) {
        let begun = events.iter().any(|event| matches!(event.body, Event::RunStarted(_)));
        let told = format.render(&events, &card);
        assert!(told.is_ok() || !begun, "no report: {told:?}");
    }
}
