//! Evacuation and the way back by the real binary: killed anywhere, with and without its journal, and with a region that does not recover.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::{BOUND, Bench, Done, Running};
use crate::{instant, moments};

/// What an operator had set before the drill: it must come back to the letter.
fn before() -> Value {
    json!({"weights": {"us-east-1": 90, "us-west-2": 10}, "annotations": {"change": "CHG-7"}})
}

fn bench(hold: &str) -> Bench {
    let bench = Bench::new();
    std::fs::write(bench.path("shift.yaml"), include_str!("shift.yaml").replace("HOLD", hold)).unwrap();
    bench.set_weights(&before());
    bench
}

fn run(bench: &Bench, failpoint: Option<&str>) -> Running {
    let drill = bench.path("shift.yaml").display().to_string();
    bench.run_drill(&drill, |command| match failpoint {
        Some(point) => command.env("FIREDRILL_FAILPOINT", format!("{point}=kill")),
        None => command,
    })
}

fn killed_at(bench: &Bench, point: &str) -> String {
    let done = run(bench, Some(point)).finish();
    assert_eq!(done.code, None, "{point} did not kill it: {done:?}");
    bench.only_run()
}

/// What somebody set, without what the edge counts and sees.
fn set(bench: &Bench) -> Value {
    let edge = bench.edge();
    json!({"weights": edge["weights"], "annotations": edge["annotations"]})
}

fn evacuated(bench: &Bench) -> bool {
    bench.edge()["weights"] == json!({"us-east-1": 0, "us-west-2": 100})
}

fn resumed_after(points: &[&str]) {
    let bench = bench("1s");
    for point in points {
        let id = killed_at(&bench, point);
        let status = bench.done(&["status"]);
        assert!(status.code == Some(7) && status.out.contains(&format!("resume {id}")), "{point}: {status:?}");
        let resumed = bench.done(&["resume", &id]);
        assert_eq!(resumed.code, Some(6), "{point}: {resumed:?}");
        assert_eq!((bench.east().as_str(), set(&bench)), ("200", before()), "{point}");
        let after = bench.done(&["status"]);
        assert_eq!(after.code, Some(0), "{point}: {after:?}");
    }
}

#[test]
fn i3_after_kill_9_on_the_way_out_resume_leaves_the_edge_exactly_as_it_was() {
    resumed_after(&["journal.intents.after#2", "inject.before#2", "inject.after#2", "journal.phase.before#3", "journal.phase.after#4"]);
}

#[test]
fn i3_after_kill_9_on_the_way_back_resume_leaves_the_edge_exactly_as_it_was() {
    resumed_after(&["undo.after", "undo.before#3", "undo.after#3", "undo.after#4"]);
}

#[test]
fn i15_with_the_state_directory_deleted_sweep_fails_back_when_the_drill_gives_the_gate() {
    let bench = bench("1s");
    let (env, drill) = (bench.env(), bench.path("shift.yaml").display().to_string());
    for point in ["inject.after#2", "undo.before#3"] {
        let id = killed_at(&bench, point);
        std::fs::remove_dir_all(bench.path("state")).unwrap();
        let dry = bench.done(&["sweep", "--env", &env]);
        assert_eq!(dry.code, Some(7), "{point}: {dry:?}");
        assert!(dry.out.contains("edgeShift") && dry.out.contains(&id) && evacuated(&bench), "{point}: {dry:?}");
        let swept = bench.done(&["sweep", "--env", &env, "--drill", &drill, "--apply"]);
        assert_eq!(swept.code, Some(0), "{point}: {swept:?}");
        assert_eq!((bench.east().as_str(), set(&bench)), ("200", before()), "{point}");
        assert_eq!(bench.done(&["sweep", "--env", &env]).code, Some(0), "{point}");
    }
}

/// I20: at three o'clock nobody should have to move a directory away by hand.
#[test]
fn i20_beside_a_journal_that_does_not_read_sweep_undoes_by_the_marks_and_leaves_the_journal_as_it_is() {
    let bench = bench("1s");
    let (env, drill) = (bench.env(), bench.path("shift.yaml").display().to_string());
    killed_at(&bench, "inject.after#2");
    let damaged: Vec<u8> = b"not a database any more ".repeat(4096);
    let journal = bench.path("state").join("journal.db");
    std::fs::write(&journal, &damaged).unwrap();
    assert_eq!(bench.done(&["resume", "latest"]).code, Some(5));
    let swept = bench.done(&["sweep", "--env", &env, "--drill", &drill, "--apply"]);
    assert_eq!((swept.code, bench.east().as_str(), set(&bench)), (Some(0), "200", before()), "{swept:?}");
    assert!(swept.err.contains("cannot read the journal") && swept.err.contains("goes on without it"), "{swept:?}");
    assert!(std::fs::read(&journal).unwrap() == damaged, "the journal was touched");
    assert_eq!(bench.done(&["sweep", "--env", &env]).code, Some(0));
}

#[test]
fn i21_without_the_gate_sweep_lifts_the_fault_and_keeps_users_evacuated() {
    let bench = bench("1s");
    let (env, drill) = (bench.env(), bench.path("shift.yaml").display().to_string());
    killed_at(&bench, "inject.after#2");
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    let swept = bench.done(&["sweep", "--env", &env, "--apply"]);
    assert_eq!(swept.code, Some(7), "{swept:?}");
    assert_eq!((bench.east().as_str(), evacuated(&bench)), ("200", true));
    assert!(swept.err.contains("sweep --env") && swept.err.contains("--drill FILE --apply"), "the way out is said: {swept:?}");
    // The run is in the journal now, without its drill: `resume` knows no more, and says what does.
    let resumed = bench.done(&["resume", "latest"]);
    assert_eq!((resumed.code, evacuated(&bench)), (Some(7), true), "{resumed:?}");
    assert!(resumed.err.contains("sweep --env FILE --drill FILE --apply"), "{resumed:?}");
    let again = bench.done(&["sweep", "--env", &env, "--drill", &drill, "--apply"]);
    assert_eq!((again.code, set(&bench)), (Some(0), before()), "{again:?}");
}

#[test]
fn i4_weights_that_somebody_changed_in_the_hold_survive_the_undo_and_the_run_says_so() {
    let bench = bench("4s");
    let mut run = run(&bench, None);
    run.wait_for_the_hold();
    let theirs = json!({"weights": {"us-east-1": 0, "us-west-2": 100}, "annotations": {"incident": "INC-1"}});
    bench.set_weights(&theirs);
    let done = run.finish();
    assert_eq!(done.code, Some(10), "{done:?}");
    assert_eq!((bench.east().as_str(), set(&bench)), ("200", theirs));
}

#[test]
fn ctrl_c_in_the_hold_fails_back_in_order_and_a_second_one_leaves_users_evacuated() {
    let bench = bench("30s");
    let mut first = run(&bench, None);
    first.wait_for_the_hold();
    assert!(evacuated(&bench));
    first.signal(Signal::INT);
    let done = first.finish();
    assert_eq!((done.code, set(&bench)), (Some(6), before()), "{done:?}");
    let said = |words: &str| done.err.find(words).unwrap_or_else(|| panic!("'{words}' was not said: {done:?}"));
    let order = ["every fault is lifted", "fail-back waits", "the failed region is healthy", "step evacuate is being failed back"].map(said);
    assert!(order.is_sorted(), "{done:?}");

    let mut second = run(&bench, None);
    second.wait_for_the_hold();
    second.signal(Signal::INT);
    second.wait_for("undo of 2 targets begins");
    second.signal(Signal::INT);
    let done = second.finish();
    assert_eq!((done.code, bench.east().as_str(), evacuated(&bench)), (Some(7), "200", true), "{done:?}");
    let resumed = bench.done(&["resume", &bench.only_run()]);
    assert_eq!((resumed.code, set(&bench)), (Some(6), before()), "{resumed:?}");
}

/// The shipped drill. `short` makes it fit a test: the numbers change, the order does not.
fn shipped(bench: &Bench, short: &[(&str, &str)]) -> Done {
    let mut text = include_str!("../../drills/sandbox/fail-back.yaml").to_owned();
    for (long, short) in short {
        assert!(text.contains(long), "{long}");
        text = text.replace(long, short);
    }
    std::fs::write(bench.path("fail-back.yaml"), text).unwrap();
    let drill = bench.path("fail-back.yaml").display().to_string();
    bench.run_drill(&drill, |command| command.arg("--report-dir").arg(bench.path("report"))).finish()
}

#[test]
fn i8_the_shipped_drill_sends_users_home_after_the_region_was_healthy_for_its_stable_for() {
    let bench = Bench::new();
    let done = shipped(&bench, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let events = bench.events();
    let at = |kind: &str| instant(&events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))["at"]);
    // The edge's own record says when users were sent away and when the weights were put back.
    let (set, cleared) = (moments(&bench, "weightsSet")[0], moments(&bench, "weightsCleared")[0]);
    assert!(at("injectSent") < set && set < at("faultsLifted"));
    let healthy = moments(&bench, "regionHealthy").into_iter().find(|healthy| *healthy > at("faultsLifted")).unwrap();
    assert!(cleared - at("faultsLifted") >= 4.0 && cleared > healthy && cleared >= at("regionHealthy"));
    let home = moments(&bench, "failBack");
    assert!(home.len() == 1 && home[0] > cleared, "the edge's own checks moved nobody before: {home:?}");
}

#[test]
fn a_sick_region_keeps_users_evacuated_exits_seven_and_is_failed_back_once_it_is_repaired() {
    let bench = Bench::of("sick-region");
    let done = shipped(&bench, &[("hold: 11s ", "hold: 3s "), ("limit: 15s                                 #", "limit: 6s #")]);
    assert_eq!(done.code, Some(7), "{done:?}");
    let id = bench.only_run();
    for said in ["did not become healthy, actions stay", "STILL IN PLACE", "edgeShift, step 'evacuate'", &format!("resume {id}")] {
        assert!(done.err.contains(said), "{said}: {done:?}");
    }
    assert!(done.out.contains("evacuate: edge/127.0.0.1:") && evacuated(&bench), "{done:?}");
    let status = bench.done(&["status"]);
    assert!(status.code == Some(7) && status.out.contains("evacuate") && status.out.contains(&format!("resume {id}")), "{status:?}");
    assert!(status.out.contains("ENDED WITH CHANGES IN PLACE") && !status.out.contains("DIED"), "{status:?}");
    assert!(done.out.trim_end().lines().last().is_some_and(|line| line.starts_with("STILL IN PLACE")), "{done:?}");

    // Still sick: resuming changes nothing, and says so.
    let early = bench.done(&["resume", &id]);
    assert_eq!((early.code, evacuated(&bench)), (Some(7), true), "{early:?}");
    bench.post("east", "/restart");
    let resumed = bench.done(&["resume", &id]);
    assert_eq!((resumed.code, bench.edge()["weights"].clone()), (Some(6), Value::Null), "{resumed:?}");
    assert_eq!(bench.done(&["status"]).code, Some(0));
    let end = Instant::now() + BOUND;
    while moments(&bench, "failBack").is_empty() {
        assert!(Instant::now() < end, "users never came home");
        std::thread::sleep(Duration::from_millis(50));
    }
}
