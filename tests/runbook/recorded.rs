//! The record of a run fills the runbook: times and results, and the card of what is in place.

use std::fs;
use std::sync::LazyLock;

use super::paper::commands;
use super::{firedrill, printed};

/// A state directory with one run that passed.
static PLAYED: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let state = tempfile::tempdir().unwrap();
    let played = firedrill(state.path(), &["run", "drills/sandbox/fail-back.yaml", "--env", "sandbox"]);
    assert_eq!(played.status.code(), Some(0), "{}", String::from_utf8_lossy(&played.stderr));
    state
});

#[test]
fn the_post_game_report_has_the_times_and_results_of_the_run() {
    let (state, out) = (PLAYED.path(), PLAYED.path().join("post-game"));
    printed(state, &["runbook", "--record", "latest", "--time-zone", "America/New_York", "--out", out.to_str().unwrap()]);
    let text = fs::read_to_string(out.join("runbook.md")).unwrap();
    assert!(text.starts_with("# Post-game report: us-east-1 is evacuated by hand"), "{text}");
    assert!(text.contains("\n**Passed**, Clean, score 100 of 100."), "{text}");
    // Steps with their moments, results and the zone that was asked for.
    let was = text.lines().find(|line| line.starts_with("- **Was:**") && line.contains("verified in effect after")).unwrap();
    assert!(was.contains("T+00:00:0") && (was.contains(" EST)") || was.contains(" EDT)")), "{was}");
    assert!(text.contains("- **Met**: recover within") && text.contains(", measured "), "{text}");
    for said in
        ["the run starts", "the baseline holds", "the hold begins", "every fault is lifted", "the region is healthy", "the run ends: Passed, exit 0"]
    {
        assert!(text.lines().any(|line| line.starts_with("| T+") && line.contains(said)), "{said}: {text}");
    }
    let html = fs::read_to_string(out.join("runbook.html")).unwrap();
    assert!(html.contains("Post-game report") && html.contains("the region is healthy"), "{html}");
}

#[test]
fn the_card_of_a_run_that_is_undone_says_that_nothing_is_in_place() {
    let card = printed(PLAYED.path(), &["runbook", "--record", "latest", "--card"]);
    assert!(card.starts_with("## Abort card") && card.contains("Nothing is in place") && commands(&card, "#").is_empty(), "{card}");
}

#[test]
fn a_run_that_there_is_not_is_said_so() {
    let state = tempfile::tempdir().unwrap();
    let output = firedrill(state.path(), &["runbook", "--record", "01KB2QXW8V"]);
    assert_eq!(output.status.code(), Some(2));
    let output = firedrill(PLAYED.path(), &["runbook", "drills/sandbox/fail-back.yaml", "--record", "latest"]);
    assert_eq!(output.status.code(), Some(2), "a record has its own drill");
}
