//! Runs as the operator makes them: from their creation to their report, aborted, deleted, refused, approved.

use serde_json::json;

use super::ground::{created, object, patched};
use super::process::{Ground, Operator};
use super::testbed::{Entry, eventually};

#[test]
fn a_run_is_made_told_reported_and_undone() {
    let ground = Ground::new("op-run", "1s");
    let operator = Operator::start(&ground, &[]);
    operator.leads();
    assert_eq!(operator.get("/healthz"), "ok\n");
    ground.run("first", &json!({}));
    let held = ground.until_phase("first", "hold");
    assert_eq!((held["status"]["inPlace"].as_u64(), held["metadata"]["finalizers"][0].as_str()), (Some(1), Some("firedrill.dev/undo")));
    let over = ground.until_phase("first", "over");
    let status = &over["status"];
    assert_eq!(
        (status["verdict"].as_str(), status["cleanliness"].as_str(), status["inPlace"].as_u64(), status["score"].as_f64()),
        (Some("passed"), Some("clean"), Some(0), Some(100.0)),
        "{status:#}"
    );
    assert_eq!(status["observedGeneration"], over["metadata"]["generation"]);
    assert_eq!(status["objectives"][0]["id"], "api");
    ground.undone();
    i1_the_intent_was_durable_before_the_node_was_touched(&ground);
    // What a person reads.
    let table = ground.cluster.kubectl(&["-n", "op-run", "get", "drillruns"]);
    assert!(
        table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().starts_with(&["first", "cordon", "over", "0", "passed", "100"]),
        "{table}"
    );
    let reasons = eventually(|| {
        let reasons = ground.reasons("DrillRun", "first");
        if reasons.last().is_some_and(|last| last == "Passed") { Ok(reasons) } else { Err(format!("{reasons:?}")) }
    });
    for reason in ["Accepted", "Baseline", "Holding", "Undoing"] {
        assert!(reasons.iter().any(|one| one == reason), "{reason}: {reasons:?}");
    }
    // The full report lies beside it, and goes with it.
    assert_eq!(status["report"], "configmap/first-report");
    let report = ground.get("configmap/first-report").unwrap();
    assert!(report["data"]["report.md"].as_str().unwrap().contains("A node is cordoned"));
    let read: serde_json::Value = serde_json::from_str(report["data"]["report.json"].as_str().unwrap()).unwrap();
    assert!(read.to_string().contains(status["runId"].as_str().unwrap()));
    let metrics = operator.get("/metrics");
    assert!(metrics.contains("firedrill_runs_total{verdict=\"passed\"} 1\n") && metrics.contains("firedrill_in_place_targets 0\n"), "{metrics}");
    // Whether drill and environment are valid is said at them.
    for name in ["drill/cordon", "environment/staging"] {
        let valid = &ground.get(name).unwrap()["status"]["conditions"][0];
        assert_eq!((valid["type"].as_str(), valid["status"].as_str()), (Some("Valid"), Some("True")), "{name}: {valid}");
    }
    // Deleted, it goes, and all of it: nothing is held back by a finalizer of ours.
    ground.cluster.kubectl(&["-n", "op-run", "delete", "drillrun", "first"]);
    eventually(|| {
        let left = ground.cluster.kubectl(&["-n", "op-run", "get", "drillruns,drilljournals", "-o", "name"]);
        if left.is_empty() && ground.get("configmap/first-report").is_none() { Ok(()) } else { Err(left) }
    });
}

/// I1, as the API server saw it.
fn i1_the_intent_was_durable_before_the_node_was_touched(ground: &Ground) {
    let audit = ground.cluster.audit();
    let first = |what: &dyn Fn(&Entry) -> bool| audit.iter().position(|entry| entry.changed() && what(entry)).unwrap();
    let ours = |entry: &Entry| entry.namespace == ground.name && entry.resource == "drilljournals";
    let written = first(&|entry| ours(entry) && entry.verb == "create" && entry.body["spec"]["records"].to_string().contains(&ground.node));
    let counted = first(&|entry| ours(entry) && entry.body.to_string().contains("recordParts"));
    let touched = first(&|entry| entry.resource == "nodes" && entry.name == ground.node && entry.body.to_string().contains("unschedulable"));
    assert!(written < counted && counted < touched, "{written} {counted} {touched}");
    let mut writes = std::collections::BTreeMap::new();
    for entry in audit.iter().filter(|entry| entry.user == ground.user.name && entry.changed()) {
        *writes.entry(format!("{} {}/{}", entry.verb, entry.resource, entry.subresource)).or_insert(0) += 1;
    }
    eprintln!("writes of one run of one target: {writes:?}");
}

#[test]
fn an_abort_and_a_deletion_undo_first() {
    let ground = Ground::new("op-abort", "30m");
    let operator = Operator::start(&ground, &[]);
    operator.leads();
    ground.run("stopped", &json!({}));
    ground.until_phase("stopped", "hold");
    assert!(ground.cordoned());
    // Another one in the same environment is refused meanwhile, by name.
    ground.run("second", &json!({}));
    let second = ground.until_phase("second", "over");
    assert_eq!(second["status"]["verdict"], "refused");
    assert!(second["status"]["reason"].as_str().unwrap().contains("DrillRun 'stopped' is going on in Environment 'staging'"));
    patched(ground.cluster, "op-abort", "drillrun/stopped", &json!({"spec": {"abort": true}})).unwrap();
    let over = ground.until_phase("stopped", "over");
    assert_eq!((over["status"]["verdict"].as_str(), over["status"]["inPlace"].as_u64()), (Some("aborted"), Some(0)));
    ground.undone();

    ground.run("deleted", &json!({}));
    ground.until_phase("deleted", "hold");
    assert!(ground.cordoned());
    ground.cluster.kubectl(&["-n", "op-abort", "delete", "drillrun", "deleted", "--wait=false"]);
    eventually(|| match ground.get("drillrun/deleted") {
        // I14: as long as it is there the node may be cordoned; once it is gone, never.
        None => Ok(()),
        Some(run) => Err(run["status"].to_string()),
    });
    assert!(!ground.cordoned(), "the object went before its undo was done");
    // Before it began, nothing is touched.
    let before = ground.cluster.audit().len();
    ground.run("never", &json!({"abort": true}));
    let never = ground.until_phase("never", "over");
    assert_eq!(never["status"]["verdict"], "aborted");
    assert!(!ground.cluster.audit()[before..].iter().any(|entry| entry.resource == "nodes" && entry.name == ground.node && entry.changed()));
    assert!(operator.log().contains("never"));
}

#[test]
fn what_cannot_be_run_is_refused_with_the_reason_and_nothing_is_touched() {
    let ground = Ground::new("op-refused", "1s");
    let operator = Operator::start(&ground, &[]);
    operator.leads();
    let manual = json!({"id": "call", "manual": {"role": "oncall", "instruction": "Say so.", "limit": "1m"}});
    ground.drill("manual", "1s", &json!([ground.cordon(), manual]));
    ground.environment("strict", &json!({"allow": {"faults": []}}));
    ground.environment("guarded", &json!({"approvals": 1}));
    let nobody = json!({"id": "cordoned", "fault": {"nodeCordon": {"cluster": "here", "nodes": {"names": ["no-such-node"]}}}, "limit": "1m"});
    ground.drill("nobody", "1s", &json!([nobody]));
    for (name, spec, reason) in [
        ("manual", json!({"drill": "manual"}), "manual step 'call' needs a person, and the operator can ask nobody"),
        ("forbidden", json!({"environment": "strict"}), "nodeCordon"),
        ("nowhere", json!({"drill": "nobody"}), "no-such-node"),
        ("unasked", json!({"environment": "guarded"}), "asks for approvals, and the run does not say who asked for it"),
    ] {
        ground.run(name, &spec);
        let over = ground.until_phase(name, "over");
        let status = &over["status"];
        assert_eq!((status["verdict"].as_str(), status["cleanliness"].as_str()), (Some("refused"), Some("clean")), "{name}: {status:#}");
        assert!(status["reason"].as_str().unwrap().contains(reason), "{name}: {status:#}");
    }
    // What is applied together may come in any order.
    ground.run("early", &json!({"drill": "late"}));
    let waits = ground.until_phase("early", "pending");
    assert!(waits["status"]["conditions"][0]["message"].as_str().unwrap().contains("there is no Drill 'late'"));
    ground.drill("late", "1s", &json!([ground.cordon()]));
    assert_eq!(ground.until_phase("early", "over")["status"]["verdict"], "passed");
    // A mistake that one object alone does not show to the API server.
    let after = json!({"id": "cordoned", "after": ["nothing"], "wait": {"for": "1s"}});
    ground.drill("wrong", "1s", &json!([after]));
    eventually(|| {
        let valid = ground.get("drill/wrong").unwrap()["status"]["conditions"][0].clone();
        if valid["status"] == "False" && valid["message"].as_str().unwrap().contains("nothing") { Ok(()) } else { Err(valid.to_string()) }
    });
    assert!(!ground.cluster.audit().iter().any(|entry| entry.resource == "nodes" && entry.name == "no-such-node"));
}

#[test]
fn a_run_is_what_its_drill_and_environment_said_when_it_was_asked_for_and_waits_for_approval() {
    let ground = Ground::new("op-approve", "1s");
    ground.environment("guarded", &json!({"approvals": 2}));
    let yes = |name: &str, run: &str, who: &str| {
        created(ground.cluster, &object("DrillApproval", "op-approve", name, &json!({"run": run, "approver": who})))
    };
    // For an earlier run of this name: whole seconds are all that the API server tells of ages.
    let old = yes("old", "asked", "carol");
    let made = old["metadata"]["creationTimestamp"].clone();
    eventually(|| {
        let now =
            ground.cluster.json(&["-n", "op-approve", "create", "configmap", "clock", "--dry-run=server"])["metadata"]["creationTimestamp"].clone();
        if now == made { Err(now.to_string()) } else { Ok(()) }
    });
    let operator = Operator::start(&ground, &[]);
    operator.leads();
    ground.run("asked", &json!({"environment": "guarded", "requestedBy": "alice"}));
    let waits = ground.until_phase("asked", "awaitingApproval");
    let condition = |run: &serde_json::Value, about: &str| {
        run["status"]["conditions"].as_array().unwrap().iter().find(|one| one["type"] == about).cloned().unwrap_or_default()
    };
    let asked: firedrill::clock::Timestamp = serde_json::from_value(waits["metadata"]["creationTimestamp"].clone()).unwrap();
    let until = firedrill::clock::seconds(asked.plus(std::time::Duration::from_hours(24)));
    let message = condition(&waits, "Approved")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("0 of 2") && message.ends_with(&format!("it is refused at {until}")), "{message}");
    // Whatever becomes of the drill: the run does not change.
    patched(ground.cluster, "op-approve", "drill/cordon", &json!({"spec": {"hold": "2h"}})).unwrap();
    yes("own", "asked", "alice");
    yes("one", "asked", "bob");
    yes("one-again", "asked", "bob");
    let waits = ground.until("asked", |status| status["approvedBy"] == json!(["bob"]));
    assert_eq!(waits["status"]["phase"], "awaitingApproval");
    yes("two", "asked", "dave");
    let over = ground.until_phase("asked", "over");
    assert_eq!(over["status"]["verdict"], "passed", "{:#}", over["status"]);
    assert_eq!(over["status"]["approvedBy"], json!(["bob", "dave"]));
    for (name, reason) in [("old", "OlderThanRun"), ("own", "OwnRun"), ("two", "Counts")] {
        eventually(|| {
            let found = ground.get(&format!("drillapproval/{name}")).unwrap()["status"]["conditions"][0].clone();
            if found["reason"] == reason { Ok(()) } else { Err(format!("{name}: {found}")) }
        });
    }
}
