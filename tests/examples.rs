//! What lies in `examples/` does what it says, run as a reader would.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A shell of somebody who has firedrill on the path and nothing else of ours.
fn shell(state: &Path, command: &str) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_firedrill")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", path);
    shell.env("FIREDRILL_STATE_DIR", state).env("FIREDRILL_ALLOW_TMPFS_STATE", "1").output().unwrap()
}

/// How a command ended and what it said.
fn told(output: &Output) -> String {
    format!("exit {:?}\n{}{}", output.status.code(), String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// An example of the library, which cargo built beside the tests.
fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(example.exists(), "{} is not built: run the tests without `--test`, or `cargo build --examples` first", example.display());
    example
}

/// Changes one figure of an objective's recovery in a report.
fn with_recovery(report: &Path, seconds: f64) {
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    let clocks = &mut document["scorecard"]["objectives"][0]["clocks"]["recover"];
    assert!(clocks["value"].is_number(), "{clocks}");
    for (field, value) in [("value", seconds), ("lower", seconds), ("upper", seconds)] {
        clocks[field] = value.into();
    }
    std::fs::write(report, document.to_string()).unwrap();
}

#[test]
fn the_minimal_drill_passes_and_a_pipeline_fails_on_a_regression() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let rehearse = |reports: &str| {
        let command = format!("examples/ci/rehearse.sh examples/minimal.yaml sandbox {} {}", at("accepted/minimal.json"), at(reports));
        shell(&folder.path().join("state"), &command)
    };
    let accepted = folder.path().join("accepted/minimal.json");

    let first = rehearse("first");
    assert_eq!(first.status.code(), Some(0), "{}", told(&first));
    assert!(told(&first).contains("PASSED") && accepted.exists(), "{}", told(&first));

    // The accepted run was so slow that this one cannot be worse.
    with_recovery(&accepted, 9.9);
    let better = rehearse("second");
    assert_eq!(better.status.code(), Some(0), "{}", told(&better));

    // It was so fast that this one must be.
    with_recovery(&accepted, 0.001);
    let worse = rehearse("third");
    assert_eq!(worse.status.code(), Some(3), "{}", told(&worse));
    assert!(folder.path().join("third/junit.xml").exists());

    let events = folder.path().join("first/events.jsonl");
    let again = Command::new(built("rescore")).arg(&events).output().unwrap();
    let report: Value = serde_json::from_str(&std::fs::read_to_string(folder.path().join("first/report.json")).unwrap()).unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", told(&again));
    assert!(told(&again).contains(&format!("score {:.1}", report["scorecard"]["score"].as_f64().unwrap())), "{}", told(&again));
}

#[test]
fn the_library_checks_files_as_the_command_does() {
    let good = Command::new(built("check")).args(["drills", "examples/minimal.yaml"]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));
    assert!(told(&good).contains("minimal: 1 steps, 1 objectives, owned by checkout-oncall"), "{}", told(&good));

    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/minimal.yaml")).unwrap();
    std::fs::write(&wrong, text.replace("recoverWithin", "recoverWithn")).unwrap();
    let said = Command::new(built("check")).arg(&wrong).output().unwrap();
    assert_eq!(said.status.code(), Some(1), "{}", told(&said));
    assert!(told(&said).contains("wrong.yaml:18:7: unknown field 'recoverWithn'"), "{}", told(&said));
}

#[test]
fn every_example_file_is_valid_and_the_workflow_calls_what_is_there() {
    let state = tempfile::tempdir().unwrap();
    for command in
        ["firedrill validate examples/minimal.yaml --env sandbox", "firedrill validate examples/kind/drill.yaml --env examples/kind/environment.yaml"]
    {
        let done = shell(state.path(), command);
        assert_eq!(done.status.code(), Some(0), "{command}: {}", told(&done));
    }
    let workflow = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci/github-actions.yaml")).unwrap();
    let workflow: Value = serde_saphyr::from_str(&workflow).unwrap();
    let steps = workflow["jobs"]["rehearse"]["steps"].as_array().unwrap();
    let runs: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    for run in runs {
        let program = run.split_whitespace().next().unwrap();
        let found = shell(state.path(), &format!("command -v {program}"));
        assert!(found.status.success(), "{program}: {}", told(&found));
    }
}
