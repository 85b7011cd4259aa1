//! Runbooks of the drills that ship, word for word, without their environments: what is not looked up is a named blank. And one of a sandbox, with it.

use std::fs;
use std::path::PathBuf;

use regex::Regex;

use super::paper::blocks;
use super::printed;

const SHIPPED: [(&str, &str); 4] = [
    ("sandbox", "drills/sandbox/evacuate-us-east-1.yaml"),
    ("sandbox-fail-back", "drills/sandbox/fail-back.yaml"),
    ("kubernetes", "drills/kubernetes/evacuate-nodes.yaml"),
    ("aws", "drills/aws/evacuate-us-east-1.yaml"),
];

/// What is another one each time.
fn stable(text: &str, state: &str) -> String {
    let text = text.replace(&format!("firedrill --state-dir {state}"), "firedrill");
    // In HTML each word of a command stands by itself.
    let text = text.replace(&format!("<span>firedrill</span> <span>--state-dir</span> <span>{state}</span>"), "<span>firedrill</span>");
    let made = Regex::new(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC").unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let text = made.replace_all(&text, "<made>").replace(&format!("by firedrill {version}"), "by firedrill <version>");
    let run = Regex::new(r"\b[0-9A-HJKMNP-TV-Z]{26}\b").unwrap();
    let port = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    let folder = Regex::new(r"/[^ ']*/firedrill-<run>").unwrap();
    let deadline = Regex::new(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z").unwrap();
    let text = run.replace_all(&text, "<run>");
    let text = port.replace_all(&text, "127.0.0.1:<port>");
    let text = deadline.replace_all(&text, "<deadline>");
    folder.replace_all(&text, "<folder>").into_owned()
}

fn compare(name: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/runbook/golden").join(name);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(&file, text).unwrap();
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    let differs = wanted.lines().zip(text.lines()).enumerate().find(|(_, (one, other))| one != other);
    assert!(
        wanted == text,
        "tests/runbook/golden/{name} is not what is made now ({differs:?}); look at it, then write it anew with: UPDATE=1 cargo test --features failpoints \
         --locked --test runbook golden"
    );
}

#[test]
fn the_runbooks_of_the_drills_that_ship_are_word_for_word_these() {
    let state = tempfile::tempdir().unwrap();
    let start = ["--start", "2036-12-09T10:00", "--time-zone", "America/New_York"];
    for (name, drill) in SHIPPED {
        for form in ["markdown", "html"] {
            // Styles are the report's; their every change would be in each of these files.
            let text = printed(state.path(), &[&["runbook", drill, "--format", form], &start[..]].concat());
            let text =
                text.split_once("<style>").map_or(text.clone(), |(head, rest)| format!("{head}<style>{}", &rest[rest.find("</style>").unwrap()..]));
            let end = if form == "html" { "html" } else { "md" };
            compare(&format!("{name}.{end}"), &stable(&text, &state.path().display().to_string()));
        }
    }
}

#[test]
fn the_runbook_of_a_sandbox_has_its_targets_and_says_that_its_sandbox_is_gone() {
    let state = tempfile::tempdir().unwrap();
    let text = printed(state.path(), &["runbook", "drills/sandbox/fail-back.yaml", "--env", "sandbox", "--start", "2036-12-09T10:00Z"]);
    compare("sandbox-looked-up.md", &stable(&text, &state.path().display().to_string()));
}

#[test]
fn every_blank_is_named_and_quoted_so_that_a_shell_never_takes_it_for_a_redirection() {
    let quotes = Regex::new(r#"'[^']*'|"(\\.|[^"\\])*""#).unwrap();
    let state = tempfile::tempdir().unwrap();
    for (name, drill) in SHIPPED.into_iter().chain([("every kind", "tests/fixtures/every-kind.yaml")]) {
        let text = printed(state.path(), &["runbook", drill]);
        let all: Vec<String> = blocks(&text, "#").into_iter().map(|(_, lines)| lines.join("\n")).collect();
        assert!(all.iter().any(|block| block.contains('<')), "{name}: {all:?}");
        for block in all {
            // Without what stands in quotes no angle bracket is left.
            let unquoted = quotes.replace_all(&block, "''");
            assert!(!unquoted.contains('<') && !unquoted.contains('>'), "{name}: {block}");
        }
    }
}

#[test]
fn a_runbook_names_roles_and_times_and_everything_that_a_game_day_needs() {
    let state = tempfile::tempdir().unwrap();
    let text = printed(state.path(), &["runbook", "drills/sandbox/fail-back.yaml", "--start", "2036-12-09T10:00", "--time-zone", "America/New_York"]);
    for heading in [
        "Hypothesis",
        "Scope",
        "Who",
        "Go or no-go",
        "Timeline",
        "How it ended",
        "Steps",
        "Stop",
        "Abort card",
        "Objectives",
        "Announcements",
        "Texts to prepare",
        "Break glass",
        "Scribe",
        "Debrief",
        "Glossary",
    ] {
        assert!(text.contains(&format!("\n## {heading}\n")), "{heading}");
    }
    for role in ["Incident commander", "Drill lead", "Scribe", "Comms", "checkout-oncall"] {
        assert!(text.contains(&format!("| **{role}** |")), "{role}");
    }
    // The start, and the hold's earliest end: three seconds of baseline, eleven of hold.
    assert!(text.contains("**2036-12-09 10:00:00 EST**, which is 2036-12-09 15:00:00 UTC"), "{text}");
    assert!(
        text.contains("| T+00:00:14 to T+00:00:49, after row 16 | 10:00:14 EST to 10:00:49 EST | **Drill lead** | lets firedrill lift every fault"),
        "{text}"
    );
    // Faults, then the gate, then actions.
    let card = &text[text.find("## Abort card").unwrap()..];
    let order = ["**endpoints-dark**", "is us-east-1 healthy?", "**evacuate**"].map(|part| card.find(part).unwrap());
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_start_that_no_clock_shows_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let refused = |words: &[&str]| {
        let output = super::firedrill(state.path(), &[&["runbook", "drills/sandbox/fail-back.yaml"], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["--start", "2027-03-14T02:30", "--time-zone", "America/New_York"]).contains("put forward"));
    assert!(refused(&["--start", "2027-03-14T02:30"]).contains("--time-zone"));
    assert!(refused(&["--time-zone", "America/New_York"]).contains("--start"));
}
