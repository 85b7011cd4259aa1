//! Templates of a person's own: the built-in one is a start, and a mistake is told with its line.

use std::fs;

use super::{firedrill, printed};

const DRILL: &str = "drills/sandbox/fail-back.yaml";

#[test]
fn the_printed_template_makes_the_same_runbook() {
    let dir = tempfile::tempdir().unwrap();
    let undated = |text: String| regex::Regex::new(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC").unwrap().replace_all(&text, "").into_owned();
    for form in ["markdown", "html"] {
        let file = dir.path().join(form);
        fs::write(&file, printed(dir.path(), &["runbook", "--print-template", "--format", form])).unwrap();
        let own = printed(dir.path(), &["runbook", DRILL, "--format", form, "--template", file.to_str().unwrap()]);
        assert_eq!(undated(own), undated(printed(dir.path(), &["runbook", DRILL, "--format", form])), "{form}");
    }
}

#[test]
fn a_template_says_what_it_wants_and_its_values_are_escaped_for_its_form() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.hbs");
    fs::write(&file, "{{title}}\n{{#each steps}}\n{{number}} {{id}} by {{who}}\n{{/each}}\n{{sh card.faults.0.lines}}\n").unwrap();
    let text = printed(dir.path(), &["runbook", DRILL, "--template", file.to_str().unwrap()]);
    assert!(text.starts_with("us-east-1 is evacuated by hand") && text.contains("\n2 endpoints-dark by Drill lead\n"), "{text}");
    assert!(text.contains("```sh\nfiredrill gateway remove "), "{text}");
}

#[test]
fn an_unknown_variable_is_named_with_file_line_and_a_better_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.hbs");
    fs::write(&file, "# {{title}}\n\n{{#each steps}}\n{{idd}}\n{{/each}}\n").unwrap();
    let output = firedrill(dir.path(), &["runbook", DRILL, "--template", file.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(&format!("{}:4:", file.display())) && told.contains("'idd'") && told.contains("did you mean 'id'?"), "{told}");
}

#[test]
fn a_template_that_is_none_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.hbs");
    fs::write(&file, "# {{title}}\n{{#if title}}\n").unwrap();
    let output = firedrill(dir.path(), &["runbook", DRILL, "--template", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mine.hbs:"), "{output:?}");
}

#[test]
fn the_variables_are_printed_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let variables: serde_json::Value = serde_json::from_str(&printed(dir.path(), &["runbook", DRILL, "--print-variables"])).unwrap();
    assert_eq!(variables["steps"][1]["id"], "endpoints-dark");
    assert!(variables["card"]["gate"]["region"] == "us-east-1", "{variables}");
}
