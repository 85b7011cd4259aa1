//! Who leads: what a dead leader left is undone by the next, a stopped one changes nothing when it wakes, and each instant of a schedule has one run.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use super::ground::{created, object};
use super::process::{Ground, Operator};
use super::testbed::{Options, Testbed, eventually};

#[test]
fn the_next_leader_undoes_what_a_killed_one_left_in_the_hold() {
    let ground = Ground::new("op-killed", "30m");
    let mut first = Operator::start(&ground, &[]);
    first.leads();
    let second = Operator::start(&ground, &[]);
    second.says("leads; waiting to take over");
    assert_eq!(second.get("/readyz"), "waits to lead\n");
    ground.run("held", &json!({}));
    ground.until_phase("held", "hold");
    first.signal(Signal::KILL);
    assert_eq!(first.ended(), None);
    let killed = Instant::now();
    second.leads();
    // Information for the report of a test run; the bound is `eventually`'s.
    eprintln!("taken over after {:?} of a lease of 8 s", killed.elapsed());
    let over = ground.until_phase("held", "over");
    let status = &over["status"];
    assert_eq!(
        (status["verdict"].as_str(), status["cleanliness"].as_str(), status["inPlace"].as_u64()),
        (Some("aborted"), Some("clean"), Some(0)),
        "{status:#}"
    );
    ground.undone();
    assert!(ground.reasons("DrillRun", "held").iter().any(|reason| reason == "Recovering"));
    // And goes on: the environment is free again.
    ground.drill("short", "100ms", &json!([ground.cordon()]));
    ground.run("next", &json!({"drill": "short"}));
    assert_eq!(ground.until_phase("next", "over")["status"]["verdict"], "passed");
}

/// I11, I12.
#[test]
fn a_leader_that_was_stopped_beyond_its_lease_changes_nothing_when_it_wakes() {
    let ground = Ground::new("op-stopped", "30m");
    let mut first = Operator::start(&ground, &[]);
    first.leads();
    ground.run("held", &json!({}));
    ground.until_phase("held", "hold");
    first.signal(Signal::STOP);
    let second = Operator::start_as(&ground, &ground.second_user(), &[], &[]);
    second.leads();
    ground.until_phase("held", "over");
    ground.undone();
    // While it slept an abort became due, and more: all that it would do at once.
    ground.drill("short", "100ms", &json!([ground.cordon()]));
    ground.run("next", &json!({"drill": "short"}));
    ground.until_phase("next", "over");
    // The environment is the first one's account too, and idle by now: what it changes from here on, the woken one changes.
    let changes = || ground.cluster.audit().into_iter().filter(|entry| entry.user == ground.user.name && entry.changed());
    let before = changes().count();
    first.signal(Signal::CONT);
    assert_eq!(first.ended(), Some(8), "{}", first.log());
    assert!(first.log().contains("the leader's lease is lost"), "{}", first.log());
    let late: Vec<_> = changes().skip(before).collect();
    assert!(late.is_empty(), "{late:#?}");
}

/// I3: wherever it dies, the next one puts everything back.
#[test]
fn an_operator_that_is_killed_at_any_place_of_a_run_leaves_nothing_that_the_next_does_not_undo() {
    let ground = Ground::new("op-anywhere", "100ms");
    let places = [
        "journal.run.after",
        "journal.intents.before",
        "journal.intents.committed",
        "inject.before",
        "inject.after",
        "journal.phase.before#2",
        "undo.before",
        "undo.after",
        "journal.phase.after#4",
        "journal.end.before",
        "journal.end.after",
    ];
    for (number, place) in places.into_iter().enumerate() {
        let mut first = Operator::start(&ground, &[("FIREDRILL_FAILPOINT", &format!("{place}=kill"))]);
        first.leads();
        let run = format!("run-{number}");
        ground.run(&run, &json!({}));
        assert_eq!(first.ended(), None, "{place} was never reached:\n{}", first.log());
        let second = Operator::start(&ground, &[]);
        second.leads();
        let over = ground.until_phase(&run, "over");
        let status = &over["status"];
        assert_eq!((status["cleanliness"].as_str(), status["inPlace"].as_u64()), (Some("clean"), Some(0)), "{place}: {status:#}");
        // Ended already: its verdict stands. Never begun: it begins now.
        let wanted = if ["journal.run.after", "journal.end.before", "journal.end.after"].contains(&place) { "passed" } else { "aborted" };
        assert_eq!(status["verdict"], wanted, "{place}: {status:#}");
        ground.undone();
        second.signal(Signal::TERM);
        drop(second);
    }
}

#[test]
fn an_api_server_that_is_away_for_the_whole_hold_finds_everything_undone_when_it_is_back() {
    // Ended with the process of this test.
    let bed: &'static Testbed = Box::leak(Box::new(Testbed::start(Options::ONE)));
    super::ground::define(bed);
    bed.east().kubectl(&["create", "namespace", "op-away"]);
    let ground = Ground::on(bed.east(), "op-away", "2s");
    let mut first = Operator::start(&ground, &[]);
    first.leads();
    ground.run("held", &json!({}));
    ground.until_phase("held", "hold");
    bed.kill_apiserver("east");
    // It cannot say any more that it leads; whatever starts pods starts it again.
    assert_eq!(first.ended(), Some(8), "{}", first.log());
    let again = Operator::start(&ground, &[]);
    bed.start_apiserver("east");
    again.leads();
    let over = ground.until_phase("held", "over");
    assert_eq!((over["status"]["verdict"].as_str(), over["status"]["inPlace"].as_u64()), (Some("aborted"), Some(0)));
    ground.undone();
}

/// I11, I12: the worst moment is between the durable intent and the call.
#[test]
fn a_leader_that_is_stopped_right_before_it_touches_a_target_does_not_touch_it_when_it_wakes() {
    let ground = Ground::new("op-late", "30m");
    let mut first = Operator::start(&ground, &[("FIREDRILL_FAILPOINT", "inject.before=stop")]);
    first.leads();
    ground.run("late", &json!({}));
    let second = Operator::start(&ground, &[]);
    second.leads();
    let over = ground.until_phase("late", "over");
    assert_eq!((over["status"]["verdict"].as_str(), over["status"]["inPlace"].as_u64()), (Some("aborted"), Some(0)));
    first.signal(Signal::CONT);
    assert_eq!(first.ended(), Some(8), "{}", first.log());
    let touched: Vec<_> = ground
        .cluster
        .audit()
        .into_iter()
        .filter(|entry| entry.resource == "nodes" && entry.name == ground.node && entry.user == ground.user.name)
        .collect();
    assert!(touched.is_empty(), "{touched:#?}");
    assert!(!ground.cordoned());
}

#[test]
fn what_is_in_place_and_in_no_journal_is_told_at_its_environment() {
    let ground = Ground::new("op-lost", "30m");
    let mut first = Operator::start(&ground, &[]);
    first.leads();
    ground.run("held", &json!({}));
    ground.until_phase("held", "hold");
    first.signal(Signal::KILL);
    first.ended();
    // All of it taken away by force, as somebody would who wants a namespace to go.
    let names = ground.cluster.kubectl(&["-n", "op-lost", "get", "drillruns,drilljournals", "-o", "name"]);
    for name in names.lines() {
        ground.cluster.kubectl(&["-n", "op-lost", "patch", name, "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]);
        ground.cluster.kubectl(&["-n", "op-lost", "delete", name, "--ignore-not-found"]);
    }
    let second = Operator::start(&ground, &[]);
    second.leads();
    let told = eventually(|| {
        let events = ground.cluster.json(&["-n", "op-lost", "get", "events.events.k8s.io"]);
        let found = events["items"].as_array().unwrap().iter().find(|event| event["reason"] == "LeftInPlace").cloned();
        found.ok_or_else(|| second.log())
    });
    assert_eq!((told["regarding"]["kind"].as_str(), told["type"].as_str()), (Some("Environment"), Some("Warning")));
    assert!(told["note"].as_str().unwrap().contains("(1 target(s))") && told["note"].as_str().unwrap().contains("firedrill sweep"), "{told:#}");
    // It is told, and left to a person.
    assert!(ground.cordoned());
}

#[test]
fn an_ordered_end_undoes_first_and_gives_the_lease_back() {
    let ground = Ground::new("op-term", "30m");
    let mut first = Operator::start(&ground, &[]);
    first.leads();
    ground.run("held", &json!({}));
    ground.until_phase("held", "hold");
    first.signal(Signal::TERM);
    assert_eq!(first.ended(), Some(0), "{}", first.log());
    assert!(!ground.cordoned(), "it ended before the undo was done");
    assert_eq!(ground.until_phase("held", "over")["status"]["verdict"], "aborted");
    let lease = ground.get("lease/firedrill-operator").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default(), "");
}

#[test]
fn a_run_whose_object_was_taken_away_by_force_is_undone_from_its_journal() {
    let ground = Ground::new("op-forced", "30m");
    let mut first = Operator::start(&ground, &[]);
    first.leads();
    ground.run("held", &json!({}));
    ground.until_phase("held", "hold");
    first.signal(Signal::KILL);
    first.ended();
    ground.cluster.kubectl(&["-n", "op-forced", "patch", "drillrun", "held", "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]);
    ground.cluster.kubectl(&["-n", "op-forced", "delete", "drillrun", "held"]);
    assert!(ground.cordoned());
    let second = Operator::start(&ground, &[]);
    second.leads();
    ground.undone();
    // And the journal, which nobody owns any more, goes with its owner.
    eventually(|| {
        let left = ground.cluster.kubectl(&["-n", "op-forced", "get", "drilljournals", "-o", "name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn a_schedule_starts_one_run_an_instant_through_a_change_of_leaders() {
    let ground = Ground::new("op-cron", "100ms");
    ground.admit();
    let first = Operator::start(&ground, &[]);
    first.leads();
    let spec = json!({"drill": "cordon", "environment": "staging", "cron": "* * * * *", "timeZone": "Europe/Berlin", "announce": ["30s"], "requestedBy": "admin"});
    created(ground.cluster, &object("DrillSchedule", "op-cron", "every-minute", &spec));
    let schedule = |wanted: &dyn Fn(&serde_json::Value) -> bool| {
        eventually(|| {
            let found = ground.get("drillschedule/every-minute").unwrap()["status"].clone();
            if wanted(&found) { Ok(found) } else { Err(format!("{found:#}")) }
        })
    };
    // The first decision is only about what was promised; the next instant is told in the schedule's zone.
    let told = schedule(&|status| status["next"].as_str().is_some_and(|next| next.ends_with("+01:00") || next.ends_with("+02:00")));
    assert_eq!(told["state"]["rule"]["cron"], "* * * * *");
    // It dies between two instants.
    schedule(&|status| status["state"]["started"] == 1);
    drop(first);
    let second = Operator::start(&ground, &[]);
    second.leads();
    schedule(&|status| status["state"]["started"].as_u64() >= Some(2) && status["lastVerdict"] == "passed");
    let creates: Vec<String> = ground
        .cluster
        .audit()
        .iter()
        .filter(|entry| entry.namespace == "op-cron" && entry.resource == "drillruns" && entry.verb == "create" && entry.changed())
        .inspect(|entry| assert_eq!(entry.body["spec"]["requestedBy"], "admin", "a schedule's runs are asked for by who asked for it"))
        .map(|entry| entry.body["spec"]["scheduled"]["at"].to_string())
        .collect();
    let mut once = creates.clone();
    once.dedup();
    assert_eq!(creates, once, "an instant had two runs");
    let reasons = ground.reasons("DrillSchedule", "every-minute");
    assert!(reasons.contains(&"Announced".to_owned()) && reasons.contains(&"RunStarted".to_owned()), "{reasons:?}");
    // It stands still, and says so.
    super::ground::patched(ground.cluster, "op-cron", "drillschedule/every-minute", &json!({"spec": {"suspend": true}})).unwrap();
    schedule(&|status| status["next"] == "suspended" && status["state"]["suspendedSince"].is_string());
}
