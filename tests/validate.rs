//! `firedrill validate` as a person uses it: the real binary on files and folders.

// Helpers of tests fail by panicking, like tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use firedrill::drill::about::{Sort, kinds};
use firedrill::drill::bind;
use firedrill::drill::load::{Options, load_drill, load_environment, load_text};
use firedrill::drill::schema::Kind;

fn validate(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firedrill")).arg("validate").args(args).current_dir(dir).output().unwrap()
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_designs_own_example_is_valid_alone_and_in_its_environment() {
    for args in [
        vec!["evacuate-us-east-1.yaml"],
        vec!["evacuate-us-east-1.yaml", "--env", "evacuate-us-east-1.yaml"],
        vec!["--strict", "evacuate-us-east-1.yaml"],
    ] {
        let out = validate(&args, &fixtures());
        assert_eq!(out.status.code(), Some(0), "{args:?}: {}", text(&out.stderr));
        assert_eq!(text(&out.stderr), "");
        assert_eq!(text(&out.stdout), "valid: 1 drill, 1 environment, 1 schedule\n");
    }
}

#[test]
fn every_kind_of_fault_action_and_probe_is_read() {
    let out = validate(&["--strict", "every-kind.yaml"], &fixtures());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let fixture = std::fs::read_to_string(fixtures().join("every-kind.yaml")).unwrap();
    let loaded = load_text("every-kind.yaml", &fixture, &Options::default());
    let spec = &loaded.drills[0].spec;
    let faults: BTreeSet<&str> = spec.steps.iter().filter_map(|step| Some(step.fault.as_ref()?.one()?.name())).collect();
    let actions: BTreeSet<&str> = spec.steps.iter().filter_map(|step| Some(step.action.as_ref()?.one()?.name())).collect();
    let probes: BTreeSet<&str> = spec.objectives.iter().filter_map(|objective| Some(objective.probe.one()?.name())).collect();
    // A kind that is built brings its own example, which its unit test reads (src/cli/explain/entry.rs): it may be left out here.
    for kind in kinds() {
        let here = match kind.sort {
            Sort::Fault => &faults,
            Sort::Action => &actions,
            Sort::Probe => &probes,
        };
        assert!(kind.about.is_some() || here.contains(kind.name), "{} '{}' is in no file that is read", kind.sort.name(), kind.name);
    }
}

#[test]
fn a_run_that_brings_its_drill_is_checked_as_that_drill_is() {
    let fixture = std::fs::read_to_string(fixtures().join("every-kind.yaml")).unwrap();
    let loaded = load_text("every-kind.yaml", &fixture, &Options::default());
    let run = loaded.runs.iter().find(|run| run.metadata.name == "every-kind-2").unwrap();
    assert_eq!(run.spec.frozen_drill.as_ref().unwrap().steps[0].id, "dark");
    assert_eq!(run.spec.scheduled.as_ref().unwrap().at.to_string(), "2026-12-08T15:00:00.000000Z");
    let vague = load_text("run.yaml", &fixture.replace("at: 2026-12-08T15:00:00Z", "at: soon"), &Options::default());
    assert_eq!(vague.diagnostics[0].message, "'soon' is not an instant; write it like '2026-12-08T15:00:00Z'");
    let (before, frozen) = fixture.rsplit_once("frozenDrill:").unwrap();
    for (from, to, told) in [
        ("undoBy: 60m", "undoBy: 1m", "undoBy"),
        ("id: dark,", "id: dark, after: [drak],", "drak"),
        ("{gatewayBlackhole: {", "{waite: {}, gatewayBlackhole: {", "unknown fault 'waite'"),
        ("${vips.west}", "${vip.west}", "vip"),
        ("[us-west-2]", "[us-east-1]", "'us-east-1' is the region that fails"),
    ] {
        assert!(frozen.contains(from), "{from}");
        let loaded = load_text("run.yaml", &format!("{before}frozenDrill:{}", frozen.replace(from, to)), &Options::default());
        let said: Vec<String> = loaded.diagnostics.iter().map(|one| one.message.clone()).collect();
        assert!(said.iter().any(|one| one.contains(told)), "{to}: {said:?}");
    }
}

#[test]
fn what_a_cluster_writes_beside_the_name_says_nothing_here() {
    let drill = std::fs::read_to_string(fixtures().join("evacuate-us-east-1.yaml")).unwrap();
    let plain = load_text("drill.yaml", &drill, &Options::default());
    let name = "metadata: {name: evacuate-us-east-1}";
    assert!(drill.contains(name));
    let labelled = "metadata: {name: evacuate-us-east-1, namespace: drills, labels: {team: payments}, annotations: {example.com/why: monthly}}";
    let loaded = load_text("drill.yaml", &drill.replacen(name, labelled, 1), &Options::default());
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.drills[0].metadata.labels["team"], "payments");
    // Runs of both are comparable, and what people write there is not stored.
    let written = |loaded: &firedrill::drill::load::Loaded| serde_json::to_string(&loaded.drills[0].value).unwrap();
    assert_eq!(written(&loaded), written(&plain));
    let wrong = load_text("drill.yaml", &drill.replacen(name, &labelled.replace("labels", "lables"), 1), &Options::default());
    assert!(wrong.diagnostics.iter().any(|one| one.message.contains("unknown field 'lables'; did you mean 'labels'?")), "{:?}", wrong.diagnostics);
}

#[test]
fn a_folder_is_searched_for_yaml_and_every_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("drills/deep")).unwrap();
    std::fs::create_dir_all(dir.path().join("drills/.git")).unwrap();
    for (name, text) in [("a.yaml", "a: 1"), ("deep/b.yml", "b: 1"), ("readme.md", "# no"), (".git/c.yaml", "c: 1"), (".hidden.yaml", "d: 1")] {
        std::fs::write(dir.path().join("drills").join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("..", dir.path().join("drills/deep/up")).unwrap();
    let out = validate(&["drills"], dir.path());
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2));
    assert!(said.contains("drills/a.yaml:1:1: error: missing field 'apiVersion'") && said.contains("drills/deep/b.yml:1:1"), "{said}");
    assert!(!said.contains("readme.md") && !said.contains(".git") && !said.contains(".hidden") && !said.contains("deep/up"), "{said}");

    std::fs::create_dir(dir.path().join("none")).unwrap();
    let out = validate(&["none"], dir.path());
    assert!(out.status.code() == Some(2) && text(&out.stderr).contains("no .yaml or .yml file in this folder"), "{}", text(&out.stderr));
}

#[test]
fn the_sandbox_is_an_environment_without_starting_one() {
    let drill = Path::new(env!("CARGO_MANIFEST_DIR")).join("drills/sandbox/evacuate-us-east-1.yaml").display().to_string();
    for env in ["sandbox", "sandbox:no-failover", "sandbox:deaf-probe"] {
        let out = validate(&[&drill, "--strict", "--env", env], &fixtures());
        assert_eq!(out.status.code(), Some(0), "{env}: {}", text(&out.stderr));
    }
    let out = validate(&[&drill, "--env", "sandbox:no-failovr"], &fixtures());
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("unknown sandbox variant 'no-failovr'; did you mean"), "{}", text(&out.stderr));
}

#[test]
fn one_of_several_environments_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let environment = |name: &str, endpoint: &str| {
        format!(
            "apiVersion: firedrill.dev/v1alpha1\nkind: Environment\nmetadata: {{name: {name}}}\nspec: {{endpoints: {{{endpoint}: \"https://a.example.com\"}}}}\n"
        )
    };
    std::fs::write(dir.path().join("env.yaml"), format!("{}---\n{}", environment("staging", "checkout"), environment("production", "shop"))).unwrap();
    let path = |name: &str| format!("{}{name}", dir.path().join("env.yaml").display());
    assert_eq!(load_environment(&path("#production")).unwrap().metadata.name, "production");
    let told = |name: &str| load_environment(&path(name)).unwrap_err()[0].message.clone();
    assert!(told("").contains("has 2 documents of kind Environment; name one: ") && told("").ends_with("env.yaml#staging"), "{}", told(""));
    assert!(told("#prodution").contains("no Environment 'prodution' in this file; did you mean 'production'?"));
}

#[test]
fn binding_resolves_every_look_up() {
    let fixture = fixtures().join("evacuate-us-east-1.yaml");
    let drill = load_drill(&fixture).unwrap();
    let environment = load_environment(&fixture.display().to_string()).unwrap();
    let bound = bind(&drill, &environment).unwrap();
    let http = bound.spec.objectives[0].probe.http.as_ref().unwrap();
    assert_eq!(http.url, "https://checkout.staging.example.com/healthz");
    let dns = bound.spec.steps[3].check.as_ref().unwrap().probe.dns.as_ref().unwrap();
    assert_eq!((dns.name.as_str(), dns.answers.0.as_slice()), ("checkout.staging.example.com", &["198.51.100.7".to_owned()][..]));
    assert!(!serde_json::to_string(&bound).unwrap().contains("${"));
    // A drill that is no longer tied to its file gives the same.
    assert_eq!(bind(&drill.value, &environment).unwrap(), bound);
}

/// The validator reads the schema as draft 7, which ignores what stands beside a `$ref`: only annotations may.
#[test]
fn nothing_but_annotations_stands_beside_a_reference_in_the_schema() {
    fn look(schema: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(map) = schema.as_object()
            && map.contains_key("$ref")
        {
            let annotations = ["$ref", "description", "title", "default", "examples", "deprecated"];
            found.extend(
                map.keys().filter(|key| !annotations.contains(&key.as_str()) && !map[*key].is_null()).map(|key| format!("{key} in {schema}")),
            );
        }
        match schema {
            serde_json::Value::Object(map) => map.values().for_each(|inner| look(inner, found)),
            serde_json::Value::Array(all) => all.iter().for_each(|inner| look(inner, found)),
            _ => {}
        }
    }
    for kind in firedrill::drill::schema::Kind::ALL {
        let (mut found, schema) = (Vec::new(), kind.schema());
        look(&schema, &mut found);
        // The root names its own definitions.
        found.retain(|found| !found.starts_with("$defs") && !found.starts_with("$schema"));
        assert!(found.is_empty(), "{found:#?}");
        for keyword in ["prefixItems", "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef"] {
            assert!(!schema.to_string().contains(&format!("\"{keyword}\"")), "{keyword} is not in draft 7");
        }
    }
}

#[test]
fn every_list_map_and_string_of_the_schema_is_bounded() {
    fn look(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        let is = |name: &str| schema["type"] == name || schema["type"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        let map = is("object") && schema["additionalProperties"].is_object();
        for (name, wanted, bound) in
            [("string", is("string") && schema.get("enum").is_none(), "maxLength"), ("array", is("array"), "maxItems"), ("map", map, "maxProperties")]
        {
            if wanted && schema.get(bound).is_none() {
                found.push(format!("{path}: {name} without {bound}"));
            }
        }
        if is("null") || schema.get("anyOf").is_some() || schema.get("oneOf").is_some() {
            found.push(format!("{path}: nullable, anyOf or oneOf"));
        }
        for key in ["properties", "$defs"] {
            schema[key].as_object().into_iter().flatten().for_each(|(name, inner)| look(inner, &format!("{path}/{name}"), found));
        }
        for key in ["items", "additionalProperties"] {
            if schema[key].is_object() {
                look(&schema[key], &format!("{path}/{key}"), found);
            }
        }
    }
    let mut found = Vec::new();
    for kind in Kind::ALL {
        assert!(kind.schema()["properties"]["spec"].is_object(), "{}", kind.name());
        look(&kind.schema(), kind.name(), &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
}
