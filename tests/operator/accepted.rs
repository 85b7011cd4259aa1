//! What the API server takes: the definitions, every shipped file, the largest drill; and what it gives back is what was sent.

use std::path::{Path, PathBuf};

use firedrill::drill::load::{Options, load_paths};
use firedrill::operator::crd;
use firedrill::operator::resource::Resource;
use serde_json::{Value, json};

use super::ground::{cluster, created, drill, firedrill, kubectl, namespace, object, patched, said};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.extension() {
            None if path.is_dir() => found.extend(yaml_files(&path)),
            Some(ending) if ending == "yaml" => found.push(path),
            _ => {}
        }
    }
    found
}

#[test]
fn the_api_server_has_every_definition_as_it_was_printed() {
    let cluster = cluster();
    for resource in &Resource::ALL {
        let there = cluster.json(&["get", "crd", &resource.name()]);
        let sent = crd::definition(resource).unwrap();
        // YAML is read by kubectl: what it took for a word, a number or a boolean is what was meant.
        assert_eq!(there["spec"]["versions"], sent["spec"]["versions"], "{}", resource.kind);
        assert_eq!(there["spec"]["names"], sent["spec"]["names"], "{}", resource.kind);
    }
    // Whoever applies the same again, by hand or by a pipeline, changes nothing.
    let again = said(&kubectl(cluster, &["apply", "-f", "-"], &firedrill(&["crds"])));
    assert_eq!(again.matches(" unchanged\n").count(), Resource::ALL.len(), "{again}");
    let served = cluster.kubectl(&["api-resources", "--api-group=firedrill.dev", "-o", "name"]);
    let mut names: Vec<&str> = served.lines().collect();
    names.sort_unstable();
    let mut wanted: Vec<String> = Resource::ALL.iter().map(Resource::name).collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}

#[test]
fn every_shipped_file_is_a_custom_resource_as_it_is() {
    let cluster = namespace("shipped");
    let mut files = yaml_files(&root().join("drills"));
    files.push(root().join("tests/fixtures/every-kind.yaml"));
    files.push(root().join("tests/fixtures/evacuate-us-east-1.yaml"));
    let mut kinds = std::collections::BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let output = kubectl(cluster, &["-n", "shipped", "apply", "-o", "json", "-f", "-"], &text);
        assert!(output.status.success(), "{}: {}", file.display(), said(&output));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let items = answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        // As firedrill reads the file.
        let loaded = load_paths(std::slice::from_ref(&file), &Options { allow_unknown_region: true });
        assert!(!loaded.has_errors(), "{}: {:?}", file.display(), loaded.diagnostics);
        let mut sent: Vec<&Value> = Vec::new();
        sent.extend(loaded.drills.iter().map(|one| &one.data));
        sent.extend(loaded.environments.iter().map(|one| &one.data));
        sent.extend(loaded.schedules.iter().map(|one| &one.data));
        sent.extend(loaded.runs.iter().map(|one| &one.data));
        assert_eq!(sent.len(), items.len(), "{}", file.display());
        for sent in sent {
            let same = |one: &&Value| one["kind"] == sent["kind"] && one["metadata"]["name"] == sent["metadata"]["name"];
            let kept = items.iter().find(same).unwrap();
            assert_eq!(kept["spec"], sent["spec"], "{}", file.display());
            kinds.insert(sent["kind"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["Drill", "DrillRun", "DrillSchedule", "Environment"]);
}

#[test]
fn one_text_and_a_list_of_texts_and_any_expected_value_are_kept_as_they_are() {
    let cluster = namespace("untyped");
    for (number, answers) in [json!("${vips.west}"), json!(["192.0.2.1", "192.0.2.2"])].into_iter().enumerate() {
        let check = json!({"probe": {"dns": {"name": "a.example", "answers": answers}}, "limit": "1m"});
        let sent = object("Drill", "untyped", &format!("text-{number}"), &drill(&json!([{"id": "left", "check": check}])));
        assert_eq!(created(cluster, &sent)["spec"], sent["spec"]);
    }
    for (number, equals) in [json!(null), json!(true), json!(1.5), json!("ok"), json!([1, {"a": 2}]), json!({"a": {"b": []}})].into_iter().enumerate()
    {
        let probe = json!({"http": {"url": "http://a.example", "expectJson": {"pointer": "/a", "equals": equals}}});
        let sent = object("Drill", "untyped", &format!("value-{number}"), &drill(&json!([{"id": "c", "check": {"probe": probe, "limit": "1m"}}])));
        assert_eq!(created(cluster, &sent)["spec"], sent["spec"]);
    }
}

#[test]
fn server_side_apply_joins_steps_by_their_id() {
    let cluster = namespace("joined");
    let apply = |who: &str, spec: &Value| {
        let object = object("Drill", "joined", "evacuate", spec).to_string();
        let manager = format!("--field-manager={who}");
        let output = kubectl(cluster, &["apply", "--server-side", &manager, "-o", "json", "-f", "-"], &object);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let probe = |answers: Value| json!({"dns": {"name": "a.example", "answers": answers}});
    let whole = drill(&json!([{"id": "left", "check": {"probe": probe(json!("192.0.2.1")), "limit": "1m"}}]));
    assert_eq!(apply("first", &whole)["spec"], whole);
    // Another manager adds a step, and leaves the first one's alone.
    let mut more = whole.clone();
    more["steps"] = json!([{"id": "right", "check": {"probe": probe(json!(["192.0.2.1", "192.0.2.2"])), "limit": "1m"}}]);
    let joined = apply("second", &more);
    assert_eq!(joined["spec"]["steps"], json!([whole["steps"][0], more["steps"][0]]));
}

#[test]
fn the_largest_drill_fits_the_budget_of_the_api_server() {
    let cluster = namespace("largest");
    // As many of everything as the schema takes, each with a rule to be checked.
    let step = |number: usize| {
        let fault = json!({"nodeDrain": {"cluster": "east", "nodes": {"labels": {"zone": format!("zone-{number}")}}}});
        let after: Vec<String> = (0..number.min(50)).map(|before| format!("step-{before}")).collect();
        json!({"id": format!("step-{number}"), "after": after, "fault": fault, "limit": "1m"})
    };
    let objective = |number: usize| {
        let probe = json!({"dns": {"name": format!("name-{number}.example"), "answers": ["192.0.2.1", "192.0.2.2"]}});
        json!({"id": format!("objective-{number}"), "probe": probe, "interval": "1s", "recoverWithin": "1m"})
    };
    let mut spec = drill(&(0..200).map(step).collect());
    spec["objectives"] = (0..200).map(objective).collect();
    let sent = object("Drill", "largest", "two-hundred-steps", &spec);
    assert_eq!(created(cluster, &sent)["spec"], sent["spec"]);

    // Frozen in a run too, where every change compares all of it.
    let run = object("DrillRun", "largest", "frozen", &json!({"drill": "two-hundred-steps", "environment": "staging", "frozenDrill": spec}));
    assert_eq!(created(cluster, &run)["spec"], run["spec"]);
    patched(cluster, "largest", "drillrun/frozen", &json!({"spec": {"abort": true}})).unwrap();
}
