//! What every journal promises, whatever it is made of: the tests of SQLite and of the cluster's objects both call this.
#![allow(dead_code, clippy::unwrap_used)] // tests panic

use firedrill::clock::Timestamp;
use firedrill::event::{Cleanliness, Event, Phase, RunEvent, Verdict};
use firedrill::fault::{Record, TargetId};
use firedrill::journal::{Journal, JournalError, RunEnd, RunHeader};
use serde_json::json;

/// A run id of its own for each case.
pub fn run_id() -> String {
    ulid::Ulid::generate().to_string()
}

pub fn header(run: &str) -> RunHeader {
    RunHeader {
        run: run.into(),
        drill: "evacuate-us-east-1".into(),
        environment: "staging".into(),
        drill_document: json!({"kind": "Drill", "spec": {"summary": "ü".repeat(6_000)}}),
        environment_document: json!({"kind": "Environment"}),
        started: Timestamp(1_790_000_000_000_000),
    }
}

/// Targets of different runs are different, unless they are given the same `place`.
pub fn target(place: &str, number: usize) -> TargetId {
    TargetId { place: format!("gateway/{place}"), id: format!("rule-{number}") }
}

pub fn intent(run: &str, place: &str, number: usize) -> Record {
    let record = json!({
        "version": 1, "run": run, "step": "lose", "rank": 0, "after": [], "kind": "gatewayBlackhole", "action": false, "keep": false,
        "target": target(place, number), "prior": {"rule": null, "number": number}, "ours": {"rule": format!("{run}-{number}")},
        "invert": {"gateway": "edge"}, "companions": [], "undoBy": "2026-09-21T14:23:20.000000Z", "phase": "intent",
    });
    serde_json::from_value(record).unwrap()
}

pub fn intents(run: &str, numbers: std::ops::Range<usize>) -> Vec<Record> {
    numbers.map(|number| intent(run, run, number)).collect()
}

pub fn note(seq: u64, text: &str) -> RunEvent {
    RunEvent { v: 1, seq, at: Timestamp(1_790_000_000_000_000), body: Event::Note { text: text.to_owned() } }
}

fn end(cleanliness: Cleanliness) -> RunEnd {
    RunEnd { at: Timestamp(1_790_000_900_000_000), verdict: Verdict::Aborted, cleanliness, score: Some(12.5), exit_code: 6 }
}

async fn set(journal: &dyn Journal, run: &str, number: usize, phase: Phase) -> Result<(), JournalError> {
    journal.set_phase(run, "lose", &target(run, number), phase, Some("why")).await
}

/// All of it. `again` opens the journal anew, as another process does.
pub async fn holds<J: Journal>(again: impl AsyncFn() -> J) {
    what_was_written_is_there_for_the_next_process(&again).await;
    a_baseline_is_recorded_once(&again).await;
    phases_go_one_way(&again).await;
    one_run_owns_a_target_at_a_time(&again).await;
    a_run_is_closed_once_and_never_as_clean_with_something_in_place(&again).await;
    events_have_no_gap_and_say_one_thing(&again).await;
    a_run_is_found_by_the_beginning_of_its_id(&again).await;
    abandoned_records_are_closed_for_good(&again).await;
}

async fn what_was_written_is_there_for_the_next_process<J: Journal>(again: &impl AsyncFn() -> J) {
    let run = run_id();
    let journal = again().await;
    journal.open_run(&header(&run)).await.unwrap();
    // The answer of an earlier try was lost.
    journal.open_run(&header(&run)).await.unwrap();
    let other = RunHeader { environment: "production".into(), ..header(&run) };
    assert!(matches!(journal.open_run(&other).await, Err(JournalError::Write(_))));
    journal.commit_intents(&intents(&run, 0..250)).await.unwrap();
    set(&journal, &run, 120, Phase::Injected).await.unwrap();
    set(&journal, &run, 120, Phase::Verified).await.unwrap();
    drop(journal);
    let journal = again().await;
    let records = journal.records(&run).await.unwrap();
    let mut wanted = intents(&run, 0..250);
    wanted[120].phase = Phase::Verified;
    assert_eq!(records, wanted);
    let summary = journal.run(&run).await.unwrap();
    assert_eq!((summary.open_records, summary.end, summary.alive), (250, None, false));
    assert_eq!(summary.header, header(&run));
    assert!(journal.runs().await.unwrap().iter().any(|one| one.header.run == run));
    let many = intents(&run, 0..501);
    assert!(matches!(journal.commit_intents(&many).await, Err(JournalError::Write(_))), "more than a step commits at once");
    assert!(matches!(journal.records(&run_id()).await, Err(JournalError::NoSuchRun(_))));
}

async fn a_baseline_is_recorded_once<J: Journal>(again: &impl AsyncFn() -> J) {
    let run = run_id();
    let journal = again().await;
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..1)).await.unwrap();
    let mut later = intent(&run, &run, 0);
    later.prior = json!("as the fault left it");
    journal.commit_intents(&[later]).await.unwrap();
    let mut other = intent(&run, &run, 0);
    other.ours = json!("something else");
    assert!(matches!(journal.commit_intents(&[other]).await, Err(JournalError::Write(_))));
    assert_eq!(again().await.records(&run).await.unwrap(), intents(&run, 0..1));
}

async fn phases_go_one_way<J: Journal>(again: &impl AsyncFn() -> J) {
    let run = run_id();
    let journal = again().await;
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..1)).await.unwrap();
    for phase in [Phase::Injected, Phase::Verified, Phase::Reverting, Phase::Stuck, Phase::Reverting, Phase::Reverted] {
        set(&journal, &run, 0, phase).await.unwrap();
    }
    for phase in [Phase::Injected, Phase::Intent, Phase::Verified] {
        assert!(matches!(set(&journal, &run, 0, phase).await, Err(JournalError::Write(_))), "{phase:?}");
    }
    assert!(matches!(journal.commit_intents(&intents(&run, 0..1)).await, Err(JournalError::Write(_))), "a closed record takes no new intent");
    assert!(matches!(set(&journal, &run, 7, Phase::Injected).await, Err(JournalError::Write(_))), "an intent comes first");
    assert_eq!(again().await.records(&run).await.unwrap()[0].phase, Phase::Reverted);
}

async fn one_run_owns_a_target_at_a_time<J: Journal>(again: &impl AsyncFn() -> J) {
    let (one, two) = (run_id(), run_id());
    let journal = again().await;
    journal.open_run(&header(&one)).await.unwrap();
    journal.open_run(&header(&two)).await.unwrap();
    journal.commit_intents(&[intent(&one, &one, 0)]).await.unwrap();
    let theirs = [intent(&two, &one, 0)];
    let refused = journal.commit_intents(&theirs).await.unwrap_err();
    assert!(matches!(&refused, JournalError::Busy(why) if why.contains(&one)), "{refused}");
    // By a process that knows nothing but what was written.
    drop(journal);
    let journal = again().await;
    assert!(matches!(journal.commit_intents(&theirs).await, Err(JournalError::Busy(_))));
    set(&journal, &one, 0, Phase::Reverted).await.unwrap();
    journal.commit_intents(&theirs).await.unwrap();
}

async fn a_run_is_closed_once_and_never_as_clean_with_something_in_place<J: Journal>(again: &impl AsyncFn() -> J) {
    let run = run_id();
    let journal = again().await;
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..2)).await.unwrap();
    set(&journal, &run, 0, Phase::Reverted).await.unwrap();
    assert!(matches!(journal.close_run(&run, &end(Cleanliness::Clean)).await, Err(JournalError::Write(_))));
    journal.close_run(&run, &end(Cleanliness::StillInPlace)).await.unwrap();
    set(&journal, &run, 1, Phase::Reverted).await.unwrap();
    journal.close_run(&run, &end(Cleanliness::Clean)).await.unwrap();
    journal.close_run(&run, &end(Cleanliness::Clean)).await.unwrap();
    assert!(matches!(journal.close_run(&run, &end(Cleanliness::Drifted)).await, Err(JournalError::Write(_))));
    assert!(matches!(journal.commit_intents(&intents(&run, 3..4)).await, Err(JournalError::Write(_))), "a run that has ended takes no intents");
    assert_eq!(again().await.run(&run).await.unwrap().end, Some(end(Cleanliness::Clean)));
}

async fn events_have_no_gap_and_say_one_thing<J: Journal>(again: &impl AsyncFn() -> J) {
    let run = run_id();
    let journal = again().await;
    journal.open_run(&header(&run)).await.unwrap();
    // Short ones, and one that is larger than any part.
    let text = |seq: u64| if seq == 7 { "ü".repeat(400_000) } else { format!("{seq}: {}", "x".repeat(5_000)) };
    let events: Vec<RunEvent> = (0..20).map(|seq| note(seq, &text(seq))).collect();
    for two in events.chunks(2) {
        journal.append(&run, two).await.unwrap();
    }
    journal.append(&run, &events[18..]).await.unwrap();
    assert!(matches!(journal.append(&run, &[note(19, "another story")]).await, Err(JournalError::Write(_))));
    assert!(matches!(journal.append(&run, &[note(21, "a gap")]).await, Err(JournalError::Write(_))));
    drop(journal);
    let journal = again().await;
    assert_eq!(journal.events(&run).await.unwrap(), events);
    journal.append(&run, &[note(20, "the next process goes on")]).await.unwrap();
    assert_eq!(journal.events(&run).await.unwrap().len(), 21);
}

async fn a_run_is_found_by_the_beginning_of_its_id<J: Journal>(again: &impl AsyncFn() -> J) {
    let journal = again().await;
    let random = ulid::Ulid::generate().to_string();
    let begin = format!("Z{}", &random[11..24]);
    let ids = ["AAAAAAAAAAAA", "BBBBBBBBBBBB"].map(|last| format!("{begin}{last}")[..26].to_owned());
    for id in &ids {
        journal.open_run(&header(id)).await.unwrap();
    }
    assert_eq!(journal.run(&ids[0][..20]).await.unwrap().header.run, ids[0]);
    assert_eq!(journal.run(&ids[1][..20].to_lowercase()).await.unwrap().header.run, ids[1]);
    assert!(matches!(journal.run(&begin).await, Err(JournalError::Ambiguous { candidates, .. }) if candidates == ids));
}

async fn abandoned_records_are_closed_for_good<J: Journal>(again: &impl AsyncFn() -> J) {
    let run = run_id();
    let journal = again().await;
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..3)).await.unwrap();
    set(&journal, &run, 0, Phase::Reverted).await.unwrap();
    let left = journal.abandon(&run, Timestamp(1_790_000_900_000_000)).await.unwrap();
    assert_eq!(left.iter().map(|record| record.target.clone()).collect::<Vec<_>>(), [target(&run, 1), target(&run, 2)]);
    assert_eq!(again().await.run(&run).await.unwrap().open_records, 0);
    assert!(set(&journal, &run, 1, Phase::Reverting).await.is_err(), "a tombstone stays");
    assert!(journal.abandon(&run, Timestamp(1_790_000_900_000_001)).await.unwrap().is_empty());
}
