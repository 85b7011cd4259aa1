//! What the API server refuses by itself, and what the user reads then.

use serde_json::{Value, json};

use super::ground::{cluster, created, denied, drill, namespace, object, patched};

fn with(steps: &Value) -> Value {
    object("Drill", "default", "refused", &drill(steps))
}

#[test]
fn exactly_one_kind_is_set_wherever_there_is_a_choice() {
    let cluster = cluster();
    let (cordon, kill) =
        (json!({"cluster": "east", "nodes": {"labels": {"a": "b"}}}), json!({"cluster": "east", "namespace": "a", "pods": {"labels": {"a": "b"}}}));
    let said = denied(cluster, &with(&json!([{"id": "a", "fault": {"nodeCordon": cordon, "podKill": kill}}])));
    assert!(said.contains("spec.steps[0].fault") && said.contains("a fault is exactly one of nodeCordon, "), "{said}");
    assert!(said.contains("found: nodeCordon podKill"), "{said}");
    let said = denied(cluster, &with(&json!([{"id": "a", "fault": {}}])));
    assert!(said.contains("a fault is exactly one of nodeCordon, ") && said.contains("found: none"), "{said}");

    let fault = json!({"nodeCordon": cordon});
    let said = denied(cluster, &with(&json!([{"id": "a", "fault": fault, "wait": {"for": "1m"}}])));
    assert!(
        said.contains("spec.steps[0]") && said.contains("a step is exactly one of fault, action, manual, wait, check; found: fault wait"),
        "{said}"
    );
    let said = denied(cluster, &with(&json!([{"id": "a"}])));
    assert!(said.contains("a step is exactly one of"), "{said}");

    let scale = json!({"cluster": "west", "namespace": "a", "deployment": "b", "replicas": 3});
    let shift = json!({"edge": "checkout", "to": "us-west-2"});
    let said = denied(cluster, &with(&json!([{"id": "a", "action": {"workloadScale": scale, "edgeShift": shift}}])));
    assert!(said.contains("an action is exactly one of"), "{said}");

    let both = json!({"tcp": {"host": "a.example", "port": 80}, "http": {"url": "http://a.example"}});
    let said = denied(cluster, &with(&json!([{"id": "a", "check": {"probe": both, "limit": "1m"}}])));
    assert!(said.contains("spec.steps[0].check.probe") && said.contains("a probe is exactly one of") && said.contains("found: http tcp"), "{said}");

    let connection = json!({"context": "a", "inCluster": true});
    let clusters = json!([{"name": "east", "uid": "2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11", "region": "us-east-1", "connection": connection}]);
    let environment = object("Environment", "default", "two-ways", &json!({"kubernetes": clusters, "allow": {"faults": []}}));
    assert!(denied(cluster, &environment).contains("a cluster's connection is exactly one of"));

    let mut rule = rule();
    rule["spec"]["effect"] = json!({"refuse": {}, "blackhole": {}});
    assert!(denied(cluster, &rule).contains("an effect is exactly one of blackhole, refuse, reset, latency, error; found: blackhole refuse"));
}

fn rule() -> Value {
    let spec = json!({
        "id": "01J-dark", "run": "01J", "step": "dark", "effect": {"refuse": {}}, "services": ["*"], "region": "us-east-1",
        "deadline": "2026-12-01T00:00:00Z",
    });
    object("GatewayRule", "default", "dark", &spec)
}

#[test]
fn what_a_drill_lacks_is_said_by_the_api_server() {
    let cluster = cluster();
    let wait = json!([{"id": "a", "wait": {"for": "1m"}}]);
    let mut keeps = with(&json!([{"id": "a", "wait": {"for": "1m"}, "keep": true}]));
    assert!(denied(cluster, &keeps).contains("'keep' is for actions; a fault is always undone"));
    keeps["spec"] = drill(&json!([{"id": "a", "action": {"edgeShift": {"edge": "checkout", "to": "us-west-2"}}}]));
    keeps["spec"].as_object_mut().unwrap().remove("regionHealthy");
    assert!(denied(cluster, &keeps).contains("a drill with actions needs regionHealthy"));
    let mut aimless = with(&wait);
    aimless["spec"]["objectives"][0].as_object_mut().unwrap().remove("recoverWithin");
    assert!(denied(cluster, &aimless).contains("an objective needs a target"));
    let mut twice = with(&json!([{"id": "a", "wait": {"for": "1m"}}, {"id": "a", "wait": {"for": "2m"}}]));
    assert!(denied(cluster, &twice).contains("Duplicate value"));
    twice["spec"] = drill(&json!([{"id": "Not_A_Name", "wait": {"for": "1m"}}]));
    assert!(denied(cluster, &twice).contains("spec.steps[0].id"));
    twice["spec"] = drill(&json!([{"id": "a", "wait": {"for": "1 minute"}}]));
    assert!(denied(cluster, &twice).contains("spec.steps[0].wait.for"));
    twice["spec"] = drill(&json!([]));
    assert!(denied(cluster, &twice).contains("spec.steps"));
    let mut long = with(&wait);
    long["metadata"]["name"] = json!("a".repeat(64));
    assert!(denied(cluster, &long).contains("a name is lower-case letters, digits and hyphens, at most 63"));
    long["metadata"]["name"] = json!("a.b");
    assert!(denied(cluster, &long).contains("a name is lower-case letters, digits and hyphens, at most 63"));
    // The same with nothing wrong in it: each of the above was refused for its own reason.
    created(cluster, &object("Drill", "default", "nothing-wrong", &drill(&wait)));
}

#[test]
fn what_is_too_large_or_of_another_type_is_refused() {
    let cluster = cluster();
    let step = |number: usize| json!({"id": format!("step-{number}"), "wait": {"for": "1m"}});
    let said = denied(cluster, &with(&(0..201).map(step).collect()));
    assert!(said.contains("spec.steps") && said.contains("must have at most 200 items"), "{said}");
    let mut long = with(&json!([step(1)]));
    long["spec"]["summary"] = json!("a".repeat(201));
    assert!(denied(cluster, &long).contains("spec.summary"));
    let vips = |value: &Value| object("Environment", "default", "vips", &json!({"vips": {"west": value}, "allow": {"faults": []}}));
    for wrong in [json!(5), json!(true), json!(false), json!({}), json!({"a": 1}), json!([5]), json!([["a"]])] {
        let said = denied(cluster, &vips(&wrong));
        assert!(said.contains("spec.vips.west"), "{wrong}: {said}");
    }
    denied(cluster, &vips(&json!(vec!["a"; 65])));
    denied(cluster, &vips(&json!("a".repeat(1025))));
    denied(cluster, &vips(&json!(["a".repeat(1025)])));
    let many: serde_json::Map<String, Value> = (0..201).map(|number| (format!("name-{number}"), json!("http://a.example"))).collect();
    let said = denied(cluster, &object("Environment", "default", "many", &json!({"endpoints": many, "allow": {"faults": []}})));
    assert!(said.contains("spec.endpoints"), "{said}");
}

#[test]
fn an_unknown_field_is_refused_and_named() {
    let cluster = cluster();
    let mut wrong = with(&json!([{"id": "a", "wait": {"for": "1m"}}]));
    wrong["spec"]["hodl"] = json!("1m");
    wrong["spec"]["objectives"][0]["recoverWithn"] = json!("1m");
    let said = denied(cluster, &wrong);
    assert!(said.contains(r#"unknown field "spec.hodl""#) && said.contains(r#"unknown field "spec.objectives[0].recoverWithn""#), "{said}");
}

#[test]
fn a_run_never_changes_but_for_its_abort_and_that_is_final() {
    let cluster = namespace("runs");
    let check = json!({"probe": {"dns": {"name": "a.example", "answers": ["192.0.2.1"]}}, "limit": "1m"});
    let scheduled = json!({"schedule": "monthly", "uid": "2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11", "at": "2026-12-08T15:00:00Z"});
    let spec = json!({
        "drill": "evacuate", "environment": "staging", "requestedBy": "alice@example.com", "scheduled": scheduled,
        "frozenDrill": drill(&json!([{"id": "a", "check": check}, {"id": "b", "wait": {"for": "1m"}}])),
    });
    let run = object("DrillRun", "runs", "first", &spec);
    created(cluster, &run);
    let change = |patch: Value| patched(cluster, "runs", "drillrun/first", &json!({"spec": patch}));
    let mut longer = spec["frozenDrill"]["steps"].clone();
    longer[1]["wait"]["for"] = json!("2m");
    let mut untyped = spec["frozenDrill"]["steps"].clone();
    untyped[0]["check"]["probe"]["dns"]["answers"] = json!(["192.0.2.2"]);
    let swapped = json!([spec["frozenDrill"]["steps"][0]]);
    for (field, patch) in [
        ("drill", json!({"drill": "another"})),
        ("environment", json!({"environment": "production"})),
        ("requestedBy", json!({"requestedBy": "bob@example.com"})),
        ("requestedBy", json!({"requestedBy": null})),
        ("scheduled", json!({"scheduled": null})),
        ("scheduled", json!({"scheduled": {"at": "2026-12-09T15:00:00Z"}})),
        ("frozenDrill", json!({"frozenDrill": null})),
        ("frozenDrill", json!({"frozenDrill": {"steps": longer}})),
        ("frozenDrill", json!({"frozenDrill": {"steps": untyped}})),
        ("frozenDrill", json!({"frozenDrill": {"steps": swapped}})),
        ("frozenDrill", json!({"frozenDrill": {"baseline": "1m"}})),
    ] {
        let said = change(patch.clone()).expect_err(&patch.to_string());
        assert!(
            said.contains(&format!("spec.{field}")) && said.contains(&format!("'{field}' of a run never changes; create another run")),
            "{patch}: {said}"
        );
    }
    // Labels may change, and the abort may come, alone or said again.
    patched(cluster, "runs", "drillrun/first", &json!({"metadata": {"labels": {"a": "b"}}})).unwrap();
    change(json!({"abort": false})).unwrap();
    change(json!({"abort": true})).unwrap();
    for back in [json!({"abort": false}), json!({"abort": null})] {
        let said = change(back.clone()).expect_err(&back.to_string());
        assert!(said.contains("an abort cannot be taken back: 'abort' goes from false to true only"), "{said}");
    }
    // A field that was left out cannot be added either.
    created(cluster, &object("DrillRun", "runs", "second", &json!({"drill": "evacuate", "environment": "staging"})));
    for patch in [json!({"requestedBy": "alice"}), json!({"scheduled": scheduled}), json!({"frozenDrill": spec["frozenDrill"]})] {
        patched(cluster, "runs", "drillrun/second", &json!({"spec": patch})).expect_err(&patch.to_string());
    }
}

#[test]
fn approvals_rules_and_journals_are_written_once() {
    let cluster = namespace("once");
    created(cluster, &object("DrillApproval", "once", "yes", &json!({"run": "first", "approver": "alice@example.com"})));
    let said = patched(cluster, "once", "drillapproval/yes", &json!({"spec": {"run": "second"}})).unwrap_err();
    assert!(said.contains("'run' of an approval never changes"), "{said}");

    let mut rule = rule();
    rule["metadata"]["namespace"] = json!("once");
    created(cluster, &rule);
    for patch in [json!({"effect": {"refuse": null, "blackhole": {}}}), json!({"deadline": "2026-12-02T00:00:00Z"}), json!({"services": ["s3"]})] {
        let said = patched(cluster, "once", "gatewayrule/dark", &json!({"spec": patch})).expect_err(&patch.to_string());
        assert!(said.contains("of a rule never changes"), "{said}");
    }

    // As large as a part may be by its number of records; some 1 MB.
    let record = |number: usize| json!({"number": number, "step": "drain", "kind": "nodeDrain", "place": "kubernetes/2f0c6f5e", "id": format!("nodes/n{number}"), "body": "x".repeat(10_000)});
    let records: Vec<Value> = (0..100).map(record).collect();
    let part = |part: &str, rest: Value| {
        let mut spec = json!({"run": "first", "runId": "01JABCDEFGHJKMNPQRSTVWXYZ0", "part": part, "number": 0, "sum": "0".repeat(64)});
        spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object("DrillJournal", "once", &format!("first-{part}"), &spec)
    };
    created(cluster, &part("records", json!({"records": records})));
    let mut changed = records.clone();
    changed[99]["body"] = json!(format!("{}y", "x".repeat(9_999)));
    for patch in [json!({"records": changed}), json!({"records": records[..99]}), json!({"sum": "1".repeat(64)}), json!({"text": "a"})] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!({"spec": patch}).to_string()).unwrap();
        let arguments = ["-n", "once", "patch", "drilljournal/first-records", "--type=merge", "--patch-file", file.path().to_str().unwrap()];
        let output = cluster.try_kubectl(&arguments);
        let said = super::ground::said(&output);
        assert!(!output.status.success() && said.contains("of a part of a journal never changes; nobody edits what undo relies on"), "{said}");
    }
    let states: Vec<Value> =
        (0..100).map(|number| json!({"number": number, "phase": "reverted", "version": 1, "at": "2026-12-01T00:00:00.000001Z"})).collect();
    super::ground::status(cluster, "once", "drilljournal/first-records", &json!({"open": 0, "states": states}));
    created(cluster, &part("events", json!({"text": "{}\n".repeat(170_000)})));
    assert!(denied(cluster, &part("header", json!({"records": records[..1]}))).contains("every other part has 'text'"));
}
