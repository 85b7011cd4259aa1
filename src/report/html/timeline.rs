//! What the picture of the timeline shows, as tables: for people who do not see it, for copying, and for search.

use serde_json::{Value, json};

use super::record::began;
use crate::clock::Timestamp;
use crate::event::{Phase, StepKind};
use crate::report::story::{StepStory, Story};
use crate::report::words;
use crate::score::{ObjectiveScore, Scorecard, Severity, SeverityWindow};

/// Steps listed.
const STEPS: usize = 60;
/// Stretches listed of one objective, and of all together.
const STRETCHES: usize = 24;
const ALL_STRETCHES: usize = 400;

pub(super) fn timeline(story: &Story, card: &Scorecard) -> Value {
    let zero = story.zero();
    let mut left = ALL_STRETCHES;
    let mut hidden = 0;
    let mut objectives = Vec::new();
    for score in &card.objectives {
        let shown = chosen(score, STRETCHES.min(left));
        left -= shown.len();
        hidden += score.severity.len() - shown.len();
        if !shown.is_empty() {
            objectives.push(json!({"rows": rows(&score.id, &shown, zero)}));
        }
    }
    json!({
        "steps": story.steps.iter().take(STEPS).map(|it| step(story, it, zero)).collect::<Vec<_>>(),
        "stepsHidden": story.steps.len().saturating_sub(STEPS),
        "objectives": objectives,
        "hidden": hidden,
    })
}

/// All stretches where they fit, else the worst of them; in order of time.
fn chosen(score: &ObjectiveScore, most: usize) -> Vec<&SeverityWindow> {
    let mut worst: Vec<(usize, &SeverityWindow)> = score.severity.iter().enumerate().collect();
    if worst.len() > most {
        worst.sort_by_key(|(_, window)| std::cmp::Reverse((rank(window.severity), window.to.since(window.from))));
        worst.truncate(most);
        worst.sort_by_key(|(index, _)| *index);
    }
    worst.into_iter().map(|(_, window)| window).collect()
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::None => 0,
        Severity::Degraded => 1,
        Severity::Unknown => 2,
        Severity::Disruption => 3,
        Severity::Outage => 4,
    }
}

fn rows(id: &str, windows: &[&SeverityWindow], zero: Timestamp) -> Vec<Value> {
    let row = |(index, window): (usize, &&SeverityWindow)| {
        json!({
            "first": index == 0,
            "span": windows.len(),
            "id": id,
            "from": words::offset(window.from, zero),
            "to": words::offset(window.to, zero),
            "severity": match window.severity {
                Severity::None => "none",
                Severity::Degraded => "degraded",
                Severity::Disruption => "disruption",
                Severity::Outage => "outage",
                Severity::Unknown => "not known",
            },
            "bad": window.bad.map_or("–".into(), |bad| words::percent((bad * 1000.0).round() / 10.0)),
        })
    };
    windows.iter().enumerate().map(row).collect()
}

fn step(story: &Story, it: &StepStory, zero: Timestamp) -> Value {
    let targets: Vec<_> = story.targets.iter().filter(|target| target.step == it.info.id).collect();
    let at = |wanted: &[Phase]| -> Vec<Timestamp> {
        targets.iter().flat_map(|target| &target.phases).filter(|(_, phase, _)| wanted.contains(phase)).map(|(at, ..)| *at).collect()
    };
    let open = targets.iter().filter(|target| !target.phase().is_closed()).count();
    let changes = matches!(it.info.kind, StepKind::Fault | StepKind::Action);
    let words = |at: Option<Timestamp>| at.map_or("–".into(), |at| words::offset(at, zero));
    let state = match (open, &it.ended) {
        (0, Some((_, outcome))) => words::outcome(outcome).0.to_owned(),
        (0, None) => if it.began.is_some() { "did not end" } else { "not begun" }.to_owned(),
        (open, _) => format!("{} STILL IN PLACE", words::count(open, "target")),
    };
    let effect =
        it.verified.as_ref().filter(|(_, problem)| problem.is_none()).map(|(at, _)| *at).or_else(|| at(&[Phase::Verified]).into_iter().max());
    json!({
        "id": it.info.id,
        "kind": words::step_kind(it.info.kind),
        "began": words(began(it)),
        "effect": if changes { words(effect) } else { "–".into() },
        "undo": words(at(&[Phase::Reverting]).into_iter().min()),
        "undone": if open > 0 { "–".into() } else { words(at(&[Phase::Reverted, Phase::Gone, Phase::Drifted]).into_iter().max()) },
        "state": state,
    })
}
