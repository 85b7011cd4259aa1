//! The real binary, run, stopped and killed on a real sandbox; what is left is seen by curl.

#![allow(clippy::unwrap_used)]

mod bench;
mod failback;
mod guards;
mod signals;
mod variants;

use std::process::Stdio;
use std::time::{Duration, Instant};

use bench::{BOUND, Bench, Done, firedrill, pid};
use rustix::process::{Signal, kill_process};

/// The first drill.
pub const DRILL: &str = "drills/sandbox/evacuate-us-east-1.yaml";

fn embedded(variant: &str) -> (Done, tempfile::TempDir) {
    let state = tempfile::tempdir().unwrap();
    let done = Done::of(firedrill().arg("--state-dir").arg(state.path()).args(["run", DRILL, "--env", variant]));
    (done, state)
}

#[test]
fn the_first_command_of_the_readme_passes_and_names_its_report() {
    let (done, state) = embedded("sandbox");
    assert_eq!(done.code, Some(0), "{done:?}");
    for said in ["PASSED", "100 of 100", "recover", "report.html"] {
        assert!(done.out.contains(said), "{said}: {done:?}");
    }
    assert!(done.err.contains("hold"), "no progress was shown: {done:?}");
    let html = done.out.lines().find_map(|line| line.split_whitespace().find(|word| word.ends_with("report.html"))).unwrap();
    assert!(std::fs::read_to_string(html).unwrap().contains("</html>"), "{}", state.path().display());
}

#[test]
fn a_sandbox_that_never_fails_over_misses_its_objective_and_exits_three() {
    let (done, _state) = embedded("sandbox:no-failover");
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.out.contains("missed 'checkout'"), "{done:?}");
}

#[test]
fn a_deaf_instrument_makes_the_run_inconclusive_and_never_passed() {
    let (done, _state) = embedded("sandbox:deaf-probe");
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.out.contains("unknown 'page-fires'"), "{done:?}");
}

fn stopped_by(signal: Signal) {
    let bench = Bench::new();
    assert_eq!(bench.east(), "200");
    let mut run = bench.run();
    run.wait_for_the_hold();
    assert_eq!(bench.east(), "000", "the fault bites an independent client");
    run.signal(signal);
    let done = run.finish();
    assert_eq!(done.code, Some(6), "{done:?}");
    assert_eq!(bench.east(), "200", "{done:?}");
    assert!(done.out.contains("ABORTED") && done.out.contains("report.html"), "{done:?}");
}

#[test]
fn ctrl_c_in_the_hold_undoes_everything_writes_the_report_and_exits_six() {
    stopped_by(Signal::INT);
}

#[test]
fn sigterm_is_ctrl_c() {
    stopped_by(Signal::TERM);
}

#[test]
fn sighup_is_ctrl_c() {
    stopped_by(Signal::HUP);
}

#[test]
fn abort_from_another_terminal_is_one_ctrl_c() {
    let bench = Bench::new();
    let mut run = bench.run();
    run.wait_for_the_hold();
    let abort = bench.done(&["abort", &bench.only_run()]);
    assert_eq!(abort.code, Some(0), "{abort:?}");
    let done = run.finish();
    assert_eq!(done.code, Some(6), "{done:?}");
    assert_eq!(bench.east(), "200");
}

#[test]
fn ctrl_c_before_anything_was_touched_ends_at_once() {
    let bench = Bench::new();
    let mut run = bench.run();
    run.wait_for("baseline");
    run.signal(Signal::INT);
    let done = run.finish();
    assert_eq!(done.code, Some(6), "{done:?}");
    assert_eq!(bench.done(&["status"]).code, Some(0));
}

/// A gateway that hangs (its process is stopped) cannot be undone: the ladder of signals is what gets a person out.
#[test]
fn two_ctrl_c_hurry_and_three_leave_naming_what_is_in_place_and_how_to_undo_it() {
    let bench = Bench::new();
    let mut run = bench.run();
    run.wait_for_the_hold();
    kill_process(pid(bench.sandbox_pid()), Signal::STOP).unwrap();
    run.signal(Signal::INT);
    run.wait_for("undo of 1 target begins");
    run.signal(Signal::INT);
    run.wait_for("again");
    run.signal(Signal::INT);
    let done = run.finish();
    assert_eq!(done.code, Some(7), "{done:?}");
    let id = bench.only_run();
    assert!(done.err.contains("STILL IN PLACE") && done.err.contains(&format!("resume {id}")), "{done:?}");
    assert_eq!(bench.done(&["status"]).code, Some(7));
    kill_process(pid(bench.sandbox_pid()), Signal::CONT).unwrap();
    let resumed = bench.done(&["resume", &id]);
    assert_eq!(resumed.code, Some(6), "{resumed:?}");
    assert_eq!((bench.east().as_str(), bench.done(&["status"]).code), ("200", Some(0)));
}

#[test]
fn two_ctrl_c_lift_the_faults_at_once_and_give_up_a_gateway_that_hangs_by_name() {
    let bench = Bench::new();
    let mut run = bench.run();
    run.wait_for_the_hold();
    kill_process(pid(bench.sandbox_pid()), Signal::STOP).unwrap();
    run.signal(Signal::INT);
    run.wait_for("undo of 1 target begins");
    run.signal(Signal::TERM);
    let done = run.finish();
    assert_eq!(done.code, Some(7), "{done:?}");
    assert!(done.err.contains(" resume "), "{done:?}");
}

#[test]
fn a_closed_output_drops_the_view_and_not_the_run() {
    let bench = Bench::new();
    let mut run = bench.run_with(|command| command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    run.wait_for("baseline");
    drop(run.child.stdout.take());
    run.close_stderr();
    let status = run.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(bench.east(), "200");
}

/// Kills the run at a failpoint, and shows what `status` says of it.
fn killed_at(bench: &Bench, point: &str) -> String {
    let run = bench.run_with(|command| command.env("FIREDRILL_FAILPOINT", format!("{point}=kill")));
    let done = run.finish();
    assert_eq!(done.code, None, "{point} did not kill it: {done:?}");
    bench.only_run()
}

const POINTS: [&str; 12] = [
    "journal.intents.before",
    "journal.intents.committed",
    "journal.intents.after",
    "inject.before",
    "inject.after",
    "journal.phase.before",
    "journal.phase.after",
    "journal.phase.before#3",
    "undo.before",
    "undo.after",
    "journal.phase.after#4",
    "journal.end.before",
];

#[test]
fn after_kill_9_at_any_failpoint_status_tells_and_resume_leaves_the_gateway_clean() {
    let bench = Bench::new();
    for point in POINTS {
        let id = killed_at(&bench, point);
        let status = bench.done(&["status"]);
        // Before the intent is durable nothing was touched, and after the last phase nothing is left.
        let expected = if ["journal.intents.before", "journal.phase.after#4", "journal.end.before"].contains(&point) { 0 } else { 7 };
        assert_eq!(status.code, Some(expected), "{point}: {status:?}");
        assert!(expected == 0 || status.out.contains(&format!("resume {id}")), "{point}: {status:?}");
        let resumed = bench.done(&["resume", &id]);
        assert_eq!(resumed.code, Some(6), "{point}: {resumed:?}");
        assert_eq!(bench.east(), "200", "{point}");
        let after = bench.done(&["status"]);
        assert_eq!(after.code, Some(0), "{point}: {after:?}");
    }
}

#[test]
fn after_kill_9_with_the_state_directory_deleted_sweep_leaves_the_gateway_clean() {
    let bench = Bench::new();
    for point in ["inject.after", "journal.phase.after", "undo.before"] {
        killed_at(&bench, point);
        std::fs::remove_dir_all(bench.path("state")).unwrap();
        let dry = bench.done(&["sweep", "--env", &bench.env()]);
        assert_eq!(dry.code, Some(7), "{point}: {dry:?}");
        assert_eq!(bench.east(), "000", "{point}: a dry run undoes nothing");
        let swept = bench.done(&["sweep", "--env", &bench.env(), "--apply"]);
        assert_eq!(swept.code, Some(0), "{point}: {swept:?}");
        assert_eq!(bench.east(), "200", "{point}");
        let again = bench.done(&["sweep", "--env", &bench.env()]);
        assert_eq!(again.code, Some(0), "{point}: {again:?}");
    }
}

#[test]
fn i9_with_neither_resume_nor_sweep_the_rule_expires_at_its_deadline() {
    let bench = Bench::with_undo_by("17s");
    killed_at(&bench, "journal.phase.after");
    assert_eq!(bench.east(), "000");
    let end = Instant::now() + BOUND;
    while bench.east() != "200" {
        assert!(Instant::now() < end, "the rule outlived its deadline");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_second_run_is_refused_while_something_of_the_first_is_in_place() {
    let bench = Bench::new();
    let id = killed_at(&bench, "inject.after");
    let second = bench.run().finish();
    assert_eq!(second.code, Some(5), "{second:?}");
    let refused = |text: &str| text.lines().any(|line| line.contains("refused: run") && line.contains(&format!("resume {id}")));
    assert!(refused(&second.err), "{second:?}");
    let drill = bench.path("short.yaml").display().to_string();
    let plan = bench.done(&["plan", &drill, "--env", &bench.env()]);
    assert_eq!(plan.code, Some(5), "a plan says what a run would: {plan:?}");
    assert!(refused(&plan.out) && !plan.out.contains("the drill may run"), "{plan:?}");
    assert_eq!(bench.done(&["resume", "latest"]).code, Some(6));
    let plan = bench.done(&["plan", &drill, "--env", &bench.env()]);
    assert!(plan.code == Some(0) && plan.out.contains("the drill may run"), "{plan:?}");
}

#[test]
fn i17_a_steady_state_that_is_not_steady_refuses_before_anything_is_touched() {
    let bench = Bench::new();
    let drill = std::fs::read_to_string(bench.path("short.yaml")).unwrap().replace("expectStatus: 200", "expectStatus: 418");
    std::fs::write(bench.path("short.yaml"), drill).unwrap();
    let done = bench.run().finish();
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(done.out.contains("418") || done.err.contains("418"), "{done:?}");
    assert_eq!(bench.done(&["sweep", "--env", &bench.env()]).code, Some(0));
}

/// The sandbox's own record of when it failed over, against what the run reported: inside the printed error bar, twenty times of twenty.
#[test]
fn reported_recovery_is_inside_its_error_bar_of_the_truth_in_twenty_runs_of_twenty() {
    let bench = Bench::new();
    for number in 0..20 {
        let report = bench.path("report");
        let before = failovers(&bench).len();
        let run = bench.run_with(|command| command.arg("--report-dir").arg(&report));
        let done = run.finish();
        assert_eq!(done.code, Some(0), "run {number}: {done:?}");
        let truth = failovers(&bench)[before];
        let began = instant(&bench::event(&report, "injectSent")["at"]);
        let card: serde_json::Value = serde_json::from_slice(&std::fs::read(report.join("report.json")).unwrap()).unwrap();
        let recover = &card["scorecard"]["objectives"][0]["clocks"]["recover"];
        let (value, bar) = (recover["value"].as_f64().unwrap(), recover["plusMinus"].as_f64().unwrap());
        let error = (value - (truth - began)).abs();
        assert!(error <= bar, "run {number}: reported {value} s ± {bar} s after T0, in truth {} s", truth - began);
        wait_for_fail_back(&bench, before);
    }
}

/// Seconds since 1970.
pub fn instant(value: &serde_json::Value) -> f64 {
    chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().timestamp_micros() as f64 / 1e6
}

/// When things of this kind happened, by the sandbox's own record.
pub fn moments(bench: &Bench, kind: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(bench.path("sandbox").join("truth.jsonl")).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    all.filter(|moment| moment.to_string().contains(&format!("\"{kind}\""))).map(|moment| instant(&moment["at"])).collect()
}

fn failovers(bench: &Bench) -> Vec<f64> {
    moments(bench, "failover")
}

/// The edge sends users to us-east-1 again.
pub fn wait_until_users_are_back(bench: &Bench) {
    wait_for_fail_back(bench, failovers(bench).len().saturating_sub(1));
}

/// The next drill begins with users in us-east-1 again.
fn wait_for_fail_back(bench: &Bench, before: usize) {
    let end = Instant::now() + BOUND;
    while moments(bench, "failBack").len() <= before {
        assert!(Instant::now() < end, "the edge never failed back");
        std::thread::sleep(Duration::from_millis(50));
    }
}
