//! The shipped drills in sandboxes that are ill in one way: the exit code, the objective that is named, and its figure against the sandbox's own record.

use serde_json::Value;

use crate::bench::{Bench, Done, event};
use crate::{DRILL, instant, moments};

/// A sandbox of its own, so that its record outlives it; the shipped drill, unchanged.
fn run(variant: &str, drill: &str) -> (Bench, Done) {
    let bench = Bench::of(variant);
    let done = bench.run_drill(drill, |command| command.arg("--report-dir").arg(bench.path("report"))).finish();
    (bench, done)
}

fn objective(bench: &Bench, id: &str) -> Value {
    let card: Value = serde_json::from_slice(&std::fs::read(bench.path("report").join("report.json")).unwrap()).unwrap();
    let all = card["scorecard"]["objectives"].as_array().unwrap();
    all.iter().find(|objective| objective["id"] == id).unwrap().clone()
}

/// Said in the verdict's own line. What else was missed is not looked at: a busy machine misses things of its own.
fn missed(bench: &Bench, done: &Done, id: &str) {
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.out.contains("FAILED") && done.out.contains(&format!("missed '{id}': ")) || done.out.contains(&format!("; '{id}': ")), "{done:?}");
    assert_eq!(objective(bench, id)["verdict"], "missed", "{done:?}");
}

#[test]
fn a_slow_failover_is_missed_by_as_much_as_the_edge_was_late() {
    let (bench, done) = run("slow-failover", DRILL);
    missed(&bench, &done, "checkout");
    let truth = moments(&bench, "failover")[0] - instant(&event(&bench.path("report"), "injectSent")["at"]);
    let recover = &objective(&bench, "checkout")["clocks"]["recover"];
    let (value, bar) = (recover["value"].as_f64().unwrap(), recover["plusMinus"].as_f64().unwrap());
    assert!(truth > 10.0 && (value - truth).abs() <= bar, "reported {value} s ± {bar} s, in truth {truth} s");
    assert!(done.out.contains("target 10 s"), "{done:?}");
}

#[test]
fn lost_orders_are_counted_and_dated_as_the_stores_own_record_has_them() {
    let (bench, done) = run("lossy", DRILL);
    missed(&bench, &done, "orders");
    let text = std::fs::read_to_string(bench.path("sandbox").join("truth.jsonl")).unwrap();
    let dropped: Vec<(u64, f64)> = (text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()))
        .filter(|moment| moment["event"] == "orderLost" && moment["region"] == "us-west-2")
        .map(|moment| (moment["number"].as_u64().unwrap(), instant(&moment["acknowledged"])))
        .collect();
    // Lost is what a user was told to be accepted: an acknowledgement that came too late for the user is not.
    let told: Vec<u64> = bench.events().iter().filter_map(|event| event["canary"]["acknowledged"].as_u64()).collect();
    let lost: Vec<(u64, f64)> = dropped.into_iter().filter(|(number, _)| told.contains(number)).collect();
    assert!(lost.len() >= 2, "nothing was lost: {lost:?}");

    let loss = &objective(&bench, "orders")["clocks"]["lose"];
    assert_eq!(loss["count"].as_u64().unwrap(), lost.len() as u64, "{loss}");
    let t0 = instant(&event(&bench.path("report"), "injectSent")["at"]);
    let truth = t0 - lost.iter().map(|(_, acknowledged)| *acknowledged).fold(f64::INFINITY, f64::min);
    let (value, bar) = (loss["age"]["value"].as_f64().unwrap(), loss["age"]["plusMinus"].as_f64().unwrap());
    assert!((value - truth).abs() <= bar, "reported {value} s ± {bar} s, in truth {truth} s");
    assert!(done.out.contains(&format!("{} acknowledged writes lost", lost.len())), "{done:?}");
}

#[test]
fn a_page_that_never_fires_is_missed_and_not_taken_for_a_broken_instrument() {
    let (bench, done) = run("blind", DRILL);
    missed(&bench, &done, "page-fires");
    assert!(done.out.contains("'page-fires': not detected within"), "{done:?}");
    // In truth a region was down, and no alert was even pending.
    assert_eq!((moments(&bench, "regionUnhealthy").len(), moments(&bench, "alertPending").len()), (1, 0));
}

const IAM_FAILS: &str = "drills/sandbox/iam-fails.yaml";

#[test]
fn with_cached_credentials_nobody_notices_that_iam_and_sts_fail() {
    let (bench, done) = run("default", IAM_FAILS);
    assert_eq!(done.code, Some(0), "{done:?}");
    // The fault did bite: the service could not renew what it had, from the first error to the end of the second.
    let (fails, works) = (moments(&bench, "renewalFails"), moments(&bench, "renewalWorks"));
    let undo = instant(&event(&bench.path("report"), "undoStarted")["at"]);
    assert!(fails.len() == 1 && fails[0] < undo, "{fails:?}");
    assert!(works.len() <= 1 && works.iter().all(|works| *works > undo), "{works:?}");
    assert!(moments(&bench, "regionUnhealthy").is_empty() && moments(&bench, "failover").is_empty());
}

#[test]
fn a_service_that_asks_for_credentials_before_every_call_misses_the_same_drill() {
    let (bench, done) = run("no-credential-cache", IAM_FAILS);
    missed(&bench, &done, "east");
    assert_eq!(moments(&bench, "regionUnhealthy").len(), 1, "in truth us-east-1 was down, with its database fine");
}
