//! What the page says of steps, targets, probes and the log, as plain data for the templates.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::event::{Phase, StepKind, StepOutcome};
use crate::report::account::Log;
use crate::report::inert::clip;
use crate::report::story::{ObjectiveStory, StepStory, Story, TargetStory};
use crate::report::words;

/// Targets listed; the rest is counted, and named in `report.json`.
pub(super) const TARGETS: usize = 120;
/// Longest JSON text of a target's state.
const STATE: usize = 600;

pub(super) fn step(it: &StepStory, zero: Timestamp, now: Timestamp) -> Value {
    let (outcome, why, tone) = match &it.ended {
        Some((_, outcome)) => {
            let (word, why) = words::outcome(outcome);
            let tone = match outcome {
                StepOutcome::Done => "good",
                StepOutcome::Skipped { .. } => "odd",
                StepOutcome::Failed { .. } => "bad",
            };
            (word, why.map(str::to_owned), tone)
        }
        None if it.began.is_some() => ("did not end", None, "odd"),
        None => ("not begun", None, "odd"),
    };
    let verified = match (&it.verified, it.sent) {
        (Some((at, None)), Some(sent)) => Some(format!("verified in effect after {}", words::duration(at.since(sent)))),
        (Some((_, Some(problem))), _) => Some(format!("not verified in effect: {problem}")),
        (None, Some(_)) if it.info.kind == StepKind::Fault => Some("not verified in effect".into()),
        _ => None,
    };
    let lost: Vec<String> =
        it.lost.iter().map(|(at, target, detail)| format!("{}: {target} was removed by someone else: {detail}", words::offset(*at, zero))).collect();
    json!({
        "id": it.info.id,
        "kind": if it.info.name == words::step_kind(it.info.kind) { "" } else { words::step_kind(it.info.kind) },
        "name": it.info.name,
        "summary": it.info.summary,
        "asked": it.asked.as_ref().map(|(role, instruction)| format!("{role}: {instruction}")),
        "after": it.info.after.join(", "),
        "began": began(it).map(|at| words::offset(at, zero)),
        "took": it.took(now).map(words::duration),
        "limit": words::duration(*it.info.limit),
        "outcome": outcome,
        "why": why,
        "tone": tone,
        "verified": verified,
        "lost": lost,
    })
}

/// When a step began, in every table: a fault or an action with its first inject call, which is where T0 is.
pub(super) fn began(it: &StepStory) -> Option<Timestamp> {
    it.sent.or(it.began)
}

pub(super) fn targets(story: &Story, zero: Timestamp) -> Value {
    // What needs a reader comes first, in the order of the plan otherwise.
    let mut order: Vec<&TargetStory> = story.targets.iter().collect();
    order.sort_by_key(|target| match target.phase() {
        Phase::Stuck | Phase::Intent | Phase::Injected | Phase::Verified | Phase::Reverting | Phase::Unknown => 0,
        Phase::Drifted | Phase::Gone | Phase::Abandoned => 1,
        Phase::Planned | Phase::Reverted | Phase::Noop | Phase::Kept => 2,
    });
    let rows: Vec<Value> = order.iter().take(TARGETS).map(|it| target(it, zero)).collect();
    let undone = story.targets.iter().filter(|it| matches!(it.phase(), Phase::Reverted | Phase::Gone)).count();
    json!({
        "rows": rows,
        "hidden": story.targets.len().saturating_sub(TARGETS),
        "count": words::count(story.targets.len(), "target"),
        "undone": undone,
        "of": story.targets.iter().filter(|it| it.phase() != Phase::Planned && it.phase() != Phase::Noop).count(),
    })
}

fn target(it: &TargetStory, zero: Timestamp) -> Value {
    let state = |value: &Value| {
        if value.is_null() { "nothing".to_owned() } else { clip(&serde_json::to_string_pretty(value).unwrap_or_default(), STATE).into_owned() }
    };
    let phase = it.phase();
    let (tone, glyph) = match phase {
        Phase::Reverted | Phase::Noop | Phase::Planned => ("good", "✓"),
        Phase::Gone | Phase::Drifted | Phase::Kept | Phase::Abandoned => ("odd", "≠"),
        Phase::Intent | Phase::Injected | Phase::Verified | Phase::Reverting | Phase::Stuck | Phase::Unknown => ("bad", "!"),
    };
    let phases: Vec<Value> = it
        .phases
        .iter()
        .map(|(at, phase, detail)| {
            json!({"at": words::offset(*at, zero), "utc": words::instant(*at), "phase": words::phase(*phase), "detail": detail})
        })
        .collect();
    let details: Vec<&str> = it.phases.iter().filter_map(|(.., detail)| detail.as_deref()).collect();
    json!({
        "step": it.step,
        "target": it.target,
        "kind": if it.action { "action" } else { "fault" },
        "phase": words::phase(phase),
        "tone": tone,
        "glyph": glyph,
        "phases": phases,
        "detail": details.last(),
        "expiry": it.plan.as_ref().map_or("–", |plan| plan.expiry.as_str()),
        "noop": it.plan.as_ref().is_some_and(|plan| plan.noop),
        "prior": it.plan.as_ref().map(|plan| state(&plan.prior)),
        "ours": it.plan.as_ref().map(|plan| state(&plan.ours)),
        "byHand": it.plan.as_ref().map(|plan| plan.undo_by_hand.clone()).unwrap_or_default(),
    })
}

pub(super) fn objectives(story: &Story) -> Vec<Value> {
    story
        .objectives
        .iter()
        .map(|it| {
            let info = &it.info;
            let mut wants = Vec::new();
            wants.extend(
                info.recover_within
                    .map(|span| format!("recover within {}, stable for {}", words::duration(*span), words::duration(*info.stable_for))),
            );
            wants.extend(info.availability.map(|share| format!("availability {}", words::percent(share))));
            wants.extend(info.detect_within.map(|span| format!("detect within {}", words::duration(*span))));
            wants.extend(info.lose_at_most.map(|span| format!("lose at most {}", words::duration(*span))));
            json!({
                "id": info.id,
                "probe": info.probe,
                "wants": wants.join("; "),
                "interval": words::duration(*info.interval),
                "timeout": words::duration(*info.timeout),
                "dependsOn": info.depends_on.join(", "),
                "clockFrom": info.clock_from,
            })
        })
        .collect()
}

pub(super) fn remarks(story: &Story, zero: Timestamp) -> Vec<Value> {
    let of = |it: &ObjectiveStory| {
        let lines: Vec<Value> = it
            .remarks
            .iter()
            .filter(|(.., why)| !why.is_empty())
            .take(6)
            .map(|(at, health, why)| json!({"at": words::offset(*at, zero), "state": words::state(it, Some(*health)), "why": why}))
            .collect();
        json!({"objective": it.info.id, "lines": lines})
    };
    story.objectives.iter().map(of).filter(|it| it["lines"].as_array().is_some_and(|lines| !lines.is_empty())).collect()
}

/// What was told while the run was on. Samples are in the plot.
pub(super) fn appendix(log: &Log, zero: Timestamp) -> Value {
    let line = |(at, text): &(Timestamp, String)| json!({"at": words::offset(*at, zero), "utc": words::time_of_day(*at), "text": text});
    json!({
        "head": log.head.iter().map(line).collect::<Vec<_>>(),
        "hidden": log.hidden,
        "tail": log.tail.iter().map(line).collect::<Vec<_>>(),
        "all": log.events,
    })
}
