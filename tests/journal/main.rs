//! The journal on real files: what it keeps through crashes, damage, crowding and full disks, and what it refuses.

// An error in a test is a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use firedrill::clock::{Span, Timestamp};
use firedrill::event::{CanarySample, Cleanliness, Event, Health, MissingWrite, Phase, RunEvent, Sample, Verdict};
use firedrill::fault::{Record, TargetId};
use firedrill::journal::sqlite::{MOST_INTENTS, Sqlite};
use firedrill::journal::{Journal, JournalError, RunEnd, RunHeader};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

mod commands;
mod damage;
#[path = "../journal_contract/mod.rs"]
mod journal_contract;
mod places;

const RUN: &str = "01JD3Z8M6Q4N9V0T7R2W5X1Y0A";
const OTHER: &str = "01JD3Z8M6Q4N9V0T7R2W5X1Y0B";
const STEP: &str = "lose-us-east-1";

#[tokio::test(flavor = "multi_thread")]
async fn what_every_journal_promises_holds() {
    let state = state();
    journal_contract::holds(async || Sqlite::open(state.path()).unwrap()).await;
}

// ---- small makers ----------------------------------------------------------------------------------------------------------------------------------

fn state() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn header(run: &str) -> RunHeader {
    RunHeader {
        run: run.into(),
        drill: "evacuate-us-east-1".into(),
        environment: "sandbox".into(),
        drill_document: json!({"kind": "Drill"}),
        environment_document: json!({"kind": "Environment"}),
        started: Timestamp(1_790_000_000_000_000),
    }
}

fn target(number: usize) -> TargetId {
    TargetId { place: "gateway/edge".into(), id: format!("rule-{number}") }
}

/// From its stored form, so that a field that other parts add to records is no concern of these tests.
fn intent(run: &str, number: usize) -> Record {
    let record = json!({
        "version": 1,
        "run": run,
        "step": STEP,
        "rank": 0,
        "after": [],
        "kind": "gatewayBlackhole",
        "action": false,
        "keep": false,
        "target": target(number),
        "prior": {"rule": null, "number": number},
        "ours": {"rule": format!("{run}-{number}")},
        "invert": {"gateway": "edge"},
        "companions": [],
        "undoBy": "2026-09-21T14:23:20.000000Z",
        "phase": "intent",
    });
    serde_json::from_value(record).unwrap()
}

fn intents(run: &str, numbers: std::ops::Range<usize>) -> Vec<Record> {
    numbers.map(|number| intent(run, number)).collect()
}

fn note(seq: u64) -> RunEvent {
    RunEvent { v: 1, seq, at: Timestamp(1_790_000_000_000_000), body: Event::Note { text: format!("note {seq}") } }
}

fn sample(seq: u64) -> RunEvent {
    let at = Timestamp(1_790_000_000_500_000);
    let canary = CanarySample { acknowledged: Some(7), missing: Some(vec![MissingWrite { number: 6, acknowledged: at }]) };
    let latency = Span(std::time::Duration::from_micros(1_234));
    let reading = Sample { objective: "orders".into(), at, latency, health: Health::Bad, detail: Some("503".into()), canary: Some(canary) };
    RunEvent { v: 1, seq, at: Timestamp(1_790_000_000_600_000), body: Event::Sample(reading) }
}

fn end(cleanliness: Cleanliness) -> RunEnd {
    RunEnd { at: Timestamp(1_790_000_900_000_000), verdict: Verdict::Aborted, cleanliness, score: Some(12.5), exit_code: 6 }
}

/// Calls the journal from a plain test.
fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A journal with one open run of so many intents; closed again.
fn with_intents(dir: &Path, count: usize) {
    now(async {
        let journal = Sqlite::open(dir).unwrap();
        journal.open_run(&header(RUN)).await.unwrap();
        journal.commit_intents(&intents(RUN, 0..count)).await.unwrap();
    });
}

fn move_to(journal: &Sqlite, run: &str, number: usize, phase: Phase) -> Result<(), JournalError> {
    now(journal.set_phase(run, STEP, &target(number), phase, None))
}

fn firedrill(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.arg("--state-dir").arg(dir).stdin(Stdio::null()).env_remove("FIREDRILL_STATE_DIR").env_remove("FIREDRILL_FAILPOINT");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

// ---- another process: this test executable, told to play a part ------------------------------------------------------------------------------------

/// The part that a child plays; the tests below start this very function in a process of its own.
#[test]
#[ignore = "a part that other tests give to a child process"]
fn child() {
    let Ok(part) = std::env::var("FIREDRILL_TEST_PART") else { return };
    let dir = PathBuf::from(std::env::var_os("FIREDRILL_TEST_DIR").unwrap());
    #[allow(clippy::print_stdout)]
    let say = |text: &str| println!("\nCHILD {text}");
    now(async {
        match part.as_str() {
            // Writes one intent after the other and says so after each; ends only by being killed.
            "write-until-killed" => {
                let journal = Sqlite::open(&dir).unwrap();
                let _claim = journal.claim(RUN).await.unwrap();
                journal.open_run(&header(RUN)).await.unwrap();
                for number in 0.. {
                    journal.commit_intents(&[intent(RUN, number)]).await.unwrap();
                    say(&format!("wrote {number}"));
                }
            }
            "hold" => {
                let journal = Sqlite::open(&dir).unwrap();
                let _claim = journal.claim(RUN).await.unwrap();
                say("holds");
                loop {
                    std::thread::park();
                }
            }
            // A whole short life, with a failpoint somewhere in it.
            "live" => {
                let journal = Sqlite::open(&dir).unwrap();
                let told = |name: &str, result: Result<(), JournalError>| say(&format!("{name} {}", if result.is_ok() { "done" } else { "failed" }));
                told("run", journal.open_run(&header(RUN)).await);
                told("intents", journal.commit_intents(&intents(RUN, 0..3)).await);
                told("phase", journal.set_phase(RUN, STEP, &target(0), Phase::Injected, None).await);
                told("events", journal.append(RUN, &[note(0), note(1)]).await);
                told("abort", journal.request_abort(RUN).await);
                told("end", journal.close_run(RUN, &end(Cleanliness::StillInPlace)).await);
                told("abandon", journal.abandon(RUN, Timestamp(1)).await.map(drop));
            }
            // Writes until the file may not grow any more, then shows that the process and its journal are usable.
            "fill" => {
                let journal = Sqlite::open(&dir).unwrap();
                let known = journal.records(RUN).await.unwrap().len();
                for number in known.. {
                    if let Err(error) = journal.commit_intents(&intents(RUN, number * 100..number * 100 + 100)).await {
                        assert!(matches!(error, JournalError::Write(_)), "{error:?}");
                        say(&format!("refused {error}"));
                        break;
                    }
                    say("wrote");
                }
                say(&format!("reads {}", journal.records(RUN).await.unwrap().len()));
            }
            other => panic!("no part {other}"),
        }
    });
}

fn part(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("FIREDRILL_TEST_PART", name)
        .env("FIREDRILL_TEST_DIR", dir);
    command.env_remove("FIREDRILL_FAILPOINT").stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Reads what the child says until a line begins with `until`; the lines without their mark.
fn listen(child: &mut Child, until: &str) -> Vec<String> {
    let mut said = Vec::new();
    // Unbuffered reading would lose lines between calls; each child is listened to once.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(text) = line.unwrap().strip_prefix("CHILD ") {
            said.push(text.to_owned());
            if text.starts_with(until) {
                return said;
            }
        }
    }
    panic!("the child ended without saying '{until}': {said:?}");
}

fn said(output: &Output) -> Vec<String> {
    stdout(output).lines().filter_map(|line| line.strip_prefix("CHILD ")).map(str::to_owned).collect()
}

// ---- durability ------------------------------------------------------------------------------------------------------------------------------------

#[test]
fn i1_intents_that_were_acknowledged_survive_kill_9() {
    let dir = state();
    let mut child = part("write-until-killed", dir.path()).spawn().unwrap();
    let last = listen(&mut child, "wrote 20");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let journal = Sqlite::open(dir.path()).unwrap();
    let records = now(journal.records(RUN)).unwrap();
    assert!(records.len() >= last.len(), "{} acknowledged, {} left", last.len(), records.len());
    for (number, record) in records.iter().enumerate() {
        assert_eq!(*record, intent(RUN, number));
    }
    let summary = now(journal.run(RUN)).unwrap();
    assert_eq!((summary.open_records, summary.alive), (records.len(), false));
}

#[test]
fn what_was_written_is_read_back_the_same() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(async {
        journal.open_run(&header(RUN)).await.unwrap();
        journal.commit_intents(&intents(RUN, 0..2)).await.unwrap();
        journal.set_phase(RUN, STEP, &target(0), Phase::Injected, None).await.unwrap();
        journal.set_phase(RUN, STEP, &target(0), Phase::Stuck, Some("the gateway is gone")).await.unwrap();
        journal.append(RUN, &[note(0)]).await.unwrap();
        journal.append(RUN, &[note(1), sample(2)]).await.unwrap();
    });
    drop(journal);
    let journal = Sqlite::open(dir.path()).unwrap();
    now(async {
        let records = journal.records(RUN).await.unwrap();
        assert_eq!(records, [Record { phase: Phase::Stuck, ..intent(RUN, 0) }, intent(RUN, 1)]);
        assert_eq!(journal.events(RUN).await.unwrap(), [note(0), note(1), sample(2)]);
        assert_eq!(journal.run(RUN).await.unwrap().header, header(RUN));
        let moved = journal.phase_history(RUN, STEP, &target(0)).await.unwrap();
        let phases: Vec<_> = moved.iter().map(|moved| (moved.phase, moved.detail.as_deref())).collect();
        assert_eq!(phases, [(Phase::Intent, None), (Phase::Injected, None), (Phase::Stuck, Some("the gateway is gone"))]);
        journal.close_run(RUN, &end(Cleanliness::StillInPlace)).await.unwrap();
        assert_eq!(journal.run(RUN).await.unwrap().end, Some(end(Cleanliness::StillInPlace)));
    });
}

/// A future that was polled once and dropped has its write in the queue; those that follow stay behind it.
#[test]
fn dropping_a_write_neither_loses_nor_reorders_it() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(async {
        journal.open_run(&header(RUN)).await.unwrap();
        for seq in 0..50 {
            let events = [note(seq)];
            let mut write = Box::pin(journal.append(RUN, &events));
            let _ = futures::poll!(write.as_mut());
        }
        // Refused as a gap unless all fifty are written before it.
        journal.append(RUN, &[note(50)]).await.unwrap();
        assert_eq!(journal.events(RUN).await.unwrap().len(), 51);
    });
}

#[test]
fn closing_the_journal_waits_for_what_was_queued() {
    let dir = state();
    with_intents(dir.path(), 1);
    now(async {
        let journal = Sqlite::open(dir.path()).unwrap();
        let target = target(0);
        let mut write = journal.set_phase(RUN, STEP, &target, Phase::Injected, None);
        let _ = futures::poll!(write.as_mut());
    });
    assert_eq!(now(Sqlite::open(dir.path()).unwrap().records(RUN)).unwrap()[0].phase, Phase::Injected);
}

#[cfg(feature = "failpoints")]
mod failpoints {
    use super::*;
    use firedrill::failpoint::NAMES;

    /// The acts of the child's part "live", in order.
    const ACTS: [&str; 7] = ["run", "intents", "phase", "events", "abort", "end", "abandon"];

    /// What a journal shows of the first `acts` acts.
    fn shows(journal: &Sqlite, acts: usize) -> bool {
        now(async {
            let Ok(summary) = journal.run(RUN).await else { return acts == 0 };
            let records = journal.records(RUN).await.unwrap();
            let first = records.first().map(|record| record.phase);
            let events = journal.events(RUN).await.unwrap().len();
            let found = [
                true,
                first.is_some(),
                matches!(first, Some(Phase::Injected | Phase::Abandoned)),
                events == 2,
                journal.abort_requested(RUN).await.unwrap(),
                summary.end.is_some(),
                journal.tombstone(RUN).await.unwrap().is_some(),
            ];
            found.iter().enumerate().all(|(act, found)| *found == (act < acts))
        })
    }

    #[test]
    fn i1_killed_at_every_failpoint_the_journal_shows_what_was_done_and_no_more() {
        for name in NAMES.iter().filter(|name| name.starts_with("journal.")) {
            let dir = state();
            let output = part("live", dir.path()).env("FIREDRILL_FAILPOINT", format!("{name}=kill")).output().unwrap();
            assert_eq!(output.status.signal(), Some(9), "{name} was never reached");
            let (act, moment) = name.strip_prefix("journal.").unwrap().split_once('.').unwrap();
            let number = ACTS.iter().position(|known| *known == act).unwrap();
            assert_eq!(said(&output).len(), number, "{name}: an act was acknowledged that was not done");
            let done = if moment == "before" { number } else { number + 1 };
            let journal = Sqlite::open(dir.path()).unwrap();
            assert!(shows(&journal, done), "{name}: the journal does not show {done} acts");
        }
    }

    #[test]
    fn a_failed_write_is_told_and_takes_nothing_else_with_it() {
        for name in NAMES.iter().filter(|name| name.starts_with("journal.phase")) {
            let dir = state();
            let output = part("live", dir.path()).env("FIREDRILL_FAILPOINT", format!("{name}=error")).output().unwrap();
            assert!(output.status.success());
            let said = said(&output);
            assert_eq!(said.iter().filter(|line| line.ends_with("failed")).collect::<Vec<_>>(), ["phase failed"], "{name}");
            let written = now(Sqlite::open(dir.path()).unwrap().records(RUN)).unwrap();
            assert!(written.iter().all(|record| record.phase == Phase::Abandoned), "what follows goes on");
        }
    }
}

// ---- invariants ------------------------------------------------------------------------------------------------------------------------------------

#[test]
fn i2_the_prior_state_recorded_first_stays() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    move_to(&journal, RUN, 0, Phase::Injected).unwrap();
    // A second look reads the fault itself as the prior state.
    let again = Record { prior: json!({"rule": "ours"}), ..intent(RUN, 0) };
    now(journal.commit_intents(&[again])).unwrap();
    assert_eq!(now(journal.records(RUN)).unwrap(), [Record { phase: Phase::Injected, ..intent(RUN, 0) }], "prior and phase are the first ones");
}

#[test]
fn a_second_intent_that_differs_or_comes_after_the_undo_is_refused() {
    let dir = state();
    with_intents(dir.path(), 2);
    let journal = Sqlite::open(dir.path()).unwrap();
    let other = Record { ours: json!({"rule": "something else"}), ..intent(RUN, 0) };
    assert!(matches!(now(journal.commit_intents(&[other])), Err(JournalError::Write(why)) if why.contains("another intended state")));
    move_to(&journal, RUN, 1, Phase::Reverted).unwrap();
    assert!(matches!(now(journal.commit_intents(&[intent(RUN, 1)])), Err(JournalError::Write(why)) if why.contains("reverted already")));
}

#[test]
fn i11_two_runs_cannot_own_one_target() {
    let dir = state();
    with_intents(dir.path(), 3);
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&header(OTHER))).unwrap();
    let refusal = now(journal.commit_intents(&[intent(OTHER, 7), intent(OTHER, 2)])).unwrap_err();
    assert_eq!(refusal, JournalError::Busy(format!("run {RUN} has 3 unreverted targets; `firedrill resume {RUN}` first")));
    assert_eq!(now(journal.records(OTHER)).unwrap(), [], "one refused target takes back the whole step");
    for number in 0..3 {
        move_to(&journal, RUN, number, Phase::Reverted).unwrap();
    }
    now(journal.commit_intents(&[intent(OTHER, 7), intent(OTHER, 2)])).unwrap();
}

#[test]
fn i11_two_processes_that_reach_for_one_target_at_once_cannot_both_have_it() {
    let dir = state();
    let won: usize = std::thread::scope(|scope| {
        let one = |run: &'static str| {
            let dir = dir.path();
            scope.spawn(move || {
                // An own connection and an own thread: to SQLite this is another process.
                let journal = Sqlite::open(dir).unwrap();
                now(journal.open_run(&header(run))).unwrap();
                match now(journal.commit_intents(&[intent(run, 0)])) {
                    Ok(()) => 1,
                    Err(JournalError::Busy(_)) => 0,
                    Err(error) => panic!("{error}"),
                }
            })
        };
        let both = [one(RUN), one(OTHER)];
        both.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_run_is_alive_exactly_while_a_process_holds_it() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    let alive = || now(journal.run(RUN)).unwrap().alive;
    assert!(!alive());
    let mut child = part("hold", dir.path()).spawn().unwrap();
    listen(&mut child, "holds");
    assert!(alive());
    let refusal = now(journal.claim(RUN)).err().unwrap();
    let wanted = format!("run {RUN} is held by process {}; `firedrill abort {RUN}` asks it to stop and undo", child.id());
    assert_eq!(refusal, JournalError::Busy(wanted));
    // Another run's step says what to do about a live owner.
    now(journal.open_run(&header(OTHER))).unwrap();
    assert!(
        matches!(now(journal.commit_intents(&[intent(OTHER, 0)])), Err(JournalError::Busy(why)) if why.contains(&format!("firedrill abort {RUN}")))
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!alive());
    let claim = now(journal.claim(RUN)).unwrap();
    assert!(alive());
    drop(claim);
    assert!(!alive());
}

#[test]
fn i14_abandon_closes_the_records_and_leaves_a_tombstone() {
    let dir = state();
    with_intents(dir.path(), 2);
    let journal = Sqlite::open(dir.path()).unwrap();
    move_to(&journal, RUN, 0, Phase::Reverted).unwrap();
    move_to(&journal, RUN, 1, Phase::Stuck).unwrap();
    let at = Timestamp(1_790_001_000_000_000);
    let left = now(journal.abandon(RUN, at)).unwrap();
    let stuck = Record { phase: Phase::Stuck, ..intent(RUN, 1) };
    assert_eq!(left, std::slice::from_ref(&stuck));
    let phases: Vec<Phase> = now(journal.records(RUN)).unwrap().iter().map(|record| record.phase).collect();
    assert_eq!(phases, [Phase::Reverted, Phase::Abandoned]);
    let tombstone = now(journal.tombstone(RUN)).unwrap().unwrap();
    assert_eq!((tombstone.at, tombstone.records), (at, vec![stuck]));
    let summary = now(journal.run(RUN)).unwrap();
    assert_eq!((summary.open_records, summary.end.unwrap().cleanliness), (0, Cleanliness::StillInPlace));
    assert_eq!(now(journal.abandon(RUN, at)).unwrap(), [], "a second time finds nothing");
    assert!(now(journal.tombstone(RUN)).unwrap().is_some(), "and keeps the tombstone");
    assert!(move_to(&journal, RUN, 1, Phase::Reverting).is_err(), "a tombstone stays");
}

#[test]
fn a_run_with_something_in_place_cannot_be_closed_as_clean() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    for lie in [Cleanliness::Clean, Cleanliness::Drifted] {
        assert!(matches!(now(journal.close_run(RUN, &end(lie))), Err(JournalError::Write(why)) if why.contains("still in place")));
    }
    now(journal.close_run(RUN, &end(Cleanliness::StillInPlace))).unwrap();
    // Resumed later, it may end again.
    move_to(&journal, RUN, 0, Phase::Reverted).unwrap();
    now(journal.close_run(RUN, &end(Cleanliness::Clean))).unwrap();
    now(journal.close_run(RUN, &end(Cleanliness::Clean))).unwrap();
    let other = RunEnd { verdict: Verdict::Passed, ..end(Cleanliness::Clean) };
    assert!(now(journal.close_run(RUN, &other)).is_err(), "history is not rewritten");
}

#[test]
fn events_are_in_order_without_gaps_and_written_once() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&header(RUN))).unwrap();
    now(journal.append(RUN, &[note(0), note(1)])).unwrap();
    now(journal.append(RUN, &[note(1), note(2)])).unwrap();
    assert!(matches!(now(journal.append(RUN, &[note(4)])), Err(JournalError::Write(why)) if why.contains("3 comes next")));
    let other = RunEvent { body: Event::Note { text: "another past".into() }, ..note(1) };
    assert!(matches!(now(journal.append(RUN, &[other])), Err(JournalError::Write(_))));
    assert_eq!(now(journal.events(RUN)).unwrap(), [note(0), note(1), note(2)]);
}

#[test]
fn a_run_is_found_by_the_beginning_of_its_id_in_either_case() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&header(RUN))).unwrap();
    now(journal.open_run(&header(OTHER))).unwrap();
    assert_eq!(now(journal.run(RUN)).unwrap().header.run, RUN);
    assert_eq!(now(journal.run(&RUN.to_lowercase())).unwrap().header.run, RUN);
    let error = now(journal.run("01jd3z")).unwrap_err();
    assert_eq!(error.to_string(), format!("'01jd3z' fits several runs: {RUN}, {OTHER}; give more of the id, or `latest`"));
    for unknown in ["01JX", "%", "_", "", "../x"] {
        assert!(matches!(now(journal.run(unknown)), Err(JournalError::NoSuchRun(_))), "{unknown:?}");
    }
}

#[test]
fn a_record_of_a_newer_build_is_open_until_this_build_has_undone_it() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&header(RUN))).unwrap();
    now(journal.commit_intents(&[Record { version: 2, phase: Phase::Noop, ..intent(RUN, 0) }])).unwrap();
    assert_eq!(now(journal.records(RUN)).unwrap()[0].phase, Phase::Unknown, "even a phase that sounds closed");
    assert_eq!(now(journal.run(RUN)).unwrap().open_records, 1);
    now(journal.open_run(&header(OTHER))).unwrap();
    assert!(matches!(now(journal.commit_intents(&[intent(OTHER, 0)])), Err(JournalError::Busy(_))));
    move_to(&journal, RUN, 0, Phase::Reverting).unwrap();
    move_to(&journal, RUN, 0, Phase::Reverted).unwrap();
    assert_eq!(now(journal.run(RUN)).unwrap().open_records, 0);
}

#[test]
fn ten_thousand_targets_are_one_run_like_any_other() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(async {
        journal.open_run(&header(RUN)).await.unwrap();
        assert!(matches!(journal.commit_intents(&intents(RUN, 0..MOST_INTENTS + 1)).await, Err(JournalError::Write(_))));
        for chunk in intents(RUN, 0..10_000).chunks(MOST_INTENTS) {
            journal.commit_intents(chunk).await.unwrap();
        }
        // All at once, as a runner would: they share their syncs.
        let targets: Vec<TargetId> = (0..10_000).map(target).collect();
        let moves = targets.iter().map(|target| journal.set_phase(RUN, STEP, target, Phase::Injected, None));
        for moved in futures::future::join_all(moves).await {
            moved.unwrap();
        }
        let records = journal.records(RUN).await.unwrap();
        assert_eq!(records.len(), 10_000);
        assert!(records.iter().all(|record| record.phase == Phase::Injected));
        assert_eq!(journal.runs().await.unwrap()[0].open_records, 10_000);
    });
}

fn any_phase() -> impl Strategy<Value = Phase> {
    use Phase::{Abandoned, Drifted, Gone, Injected, Intent, Kept, Noop, Planned, Reverted, Reverting, Stuck, Unknown, Verified};
    let all = [Planned, Intent, Injected, Verified, Reverting, Reverted, Gone, Drifted, Stuck, Noop, Kept, Abandoned, Unknown];
    proptest::sample::select(all.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is asked for: refused moves change nothing, and the journal's history is exactly the accepted moves.
    #[test]
    fn phases_move_only_where_they_may(asked in proptest::collection::vec(any_phase(), 1..12)) {
        let dir = state();
        with_intents(dir.path(), 1);
        let journal = Sqlite::open(dir.path()).unwrap();
        let mut accepted = vec![Phase::Intent];
        for to in asked {
            let from = *accepted.last().unwrap();
            match move_to(&journal, RUN, 0, to) {
                Ok(()) => accepted.push(to),
                Err(error) => prop_assert!(matches!(error, JournalError::Write(_))),
            }
            prop_assert_eq!(now(journal.records(RUN)).unwrap()[0].phase, *accepted.last().unwrap());
            // The rules that matter, said again without the table.
            let after = *accepted.last().unwrap();
            prop_assert!(!(from == Phase::Abandoned && after != Phase::Abandoned));
            prop_assert!(!(from.is_closed() && matches!(after, Phase::Intent | Phase::Injected | Phase::Verified)));
        }
        let history: Vec<Phase> = now(journal.phase_history(RUN, STEP, &target(0))).unwrap().into_iter().map(|moved| moved.phase).collect();
        prop_assert_eq!(history, accepted);
    }
}

#[test]
fn samples_share_rows_and_are_read_written_once_and_without_gaps_all_the_same() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&header(RUN))).unwrap();
    let events: Vec<RunEvent> = (0..3000).map(|seq| if seq % 700 == 3 { note(seq) } else { sample(seq) }).collect();
    now(journal.append(RUN, &events[..10])).unwrap();
    // The answer was lost, and more has happened since: what is written already is not written again.
    now(journal.append(RUN, &events[..2000])).unwrap();
    now(journal.append(RUN, &events[1500..])).unwrap();
    assert_eq!(now(journal.events(RUN)).unwrap(), events);
    let changed = RunEvent { at: events[1501].at.plus(std::time::Duration::from_micros(1)), ..events[1501].clone() };
    let refused = now(journal.append(RUN, &[changed])).unwrap_err();
    assert!(refused.to_string().contains("event 1501") && refused.to_string().contains("says something else"), "{refused}");
    let gap = now(journal.append(RUN, &[sample(3001), sample(3002)])).unwrap_err();
    assert!(gap.to_string().contains("3000 comes next"), "{gap}");
    let told = now(journal.replay(RUN, 0_u64, |next, event| {
        assert_eq!(event.seq, *next);
        *next += 1;
    }));
    assert_eq!(told.unwrap(), 3000);
    drop(journal);
    let connection = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    let rows: i64 = connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert!(rows < 30, "{rows} rows for 3000 events");
    // A journal of the first build has a row for each: it is read as well, and so is a mixture.
    connection.execute("DELETE FROM events", []).unwrap();
    let seal = |seq: u64, body: &str| {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for part in [RUN.as_bytes(), seq.to_string().as_bytes(), body.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        i64::from_be_bytes(hash.finalize()[..8].try_into().unwrap())
    };
    for event in &events[..50] {
        let body = serde_json::to_string(event).unwrap();
        let row = rusqlite::params![RUN, event.seq as i64, body, seal(event.seq, &body)];
        connection.execute("INSERT INTO events VALUES (?1, ?2, ?3, ?4)", row).unwrap();
    }
    drop(connection);
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.append(RUN, &events[40..])).unwrap();
    assert_eq!(now(journal.events(RUN)).unwrap(), events);
}
