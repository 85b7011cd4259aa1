//! What each part of the page says, as plain data for the templates.

use serde_json::{Value, json};

use super::record::{TARGETS, appendix, objectives, remarks, step, targets};
use super::timeline::timeline;
use crate::event::{Cleanliness, RunStarted, Verdict};
use crate::report::account::Account;
use crate::report::inert::clip;
use crate::report::plot;
use crate::report::story::{Story, TargetStory};
use crate::report::words;
use crate::score::{Figure, Loss, ObjectiveScore, ObjectiveVerdict, Quantity, ScoreRow, Scorecard, TargetKind, TargetScore};

/// Objectives listed beside the hypothesis.
const ANSWERS: usize = 6;

/// Everything that the templates name.
pub fn view(account: &Account, header: &RunStarted, card: &Scorecard) -> Value {
    let story = account.story();
    let zero = story.zero();
    json!({
        "title": header.summary,
        "drill": header.drill,
        "environment": header.environment,
        "run": header.run,
        "hypothesis": header.hypothesis,
        "owner": header.owner,
        "failedRegion": header.failed_region,
        "survivingRegions": header.surviving_regions.join(", "),
        "began": words::minute(story.began),
        "took": words::duration(story.last.since(story.began)),
        "firedrill": header.firedrill,
        "writtenBy": env!("CARGO_PKG_VERSION"),
        "drillHash": header.drill_hash,
        "environmentHash": header.environment_hash,
        "banner": banner(story, card),
        "tiles": tiles(card),
        "answer": answer(story, card),
        "plot": plot::plot(story, card),
        "text": timeline(story, card),
        "score": score(story, card),
        "clocks": clocks(card),
        "steps": story.steps.iter().map(|it| step(it, zero, story.last)).collect::<Vec<_>>(),
        "hold": words::duration(*header.hold),
        "undoBy": words::duration(*header.undo_by),
        "targets": targets(story, zero),
        "objectives": objectives(story),
        "warnings": header.plan.warnings,
        "notes": story.notes.iter().map(|(at, text)| json!({"at": words::offset(*at, zero), "text": text})).collect::<Vec<_>>(),
        "remarks": remarks(story, zero),
        "events": appendix(account.log(), zero),
    })
}

fn tone(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Passed => ("good", "✓"),
        Verdict::Failed | Verdict::Error => ("bad", "✗"),
        Verdict::Inconclusive => ("odd", "?"),
        Verdict::Aborted => ("odd", "■"),
        Verdict::Refused => ("odd", "⊘"),
    }
}

fn banner(story: &Story, card: &Scorecard) -> Value {
    let (tone, glyph) = tone(card.verdict);
    let (clean_tone, clean_glyph, clean) = match card.cleanliness {
        Cleanliness::Clean => ("good", "✓", "everything is as before"),
        Cleanliness::Drifted => ("odd", "≠", "someone else's change was left alone"),
        _ if story.going_on() => ("odd", "…", "the run undoes what it does itself"),
        Cleanliness::StillInPlace if story.reader.gone => ("odd", "≠", "it went with its embedded sandbox"),
        Cleanliness::StillInPlace => ("bad", "!", "a person must act"),
    };
    let (way_out, command) = story.way_out();
    let unfinished = story.ended.is_none();
    let in_place: Vec<Value> = story.in_place().take(TARGETS).map(by_hand).collect();
    let rescored = story.ended.as_ref().filter(|end| end.verdict != card.verdict || end.cleanliness != card.cleanliness);
    json!({
        // What is still in place outranks every verdict.
        "tone": if card.cleanliness == Cleanliness::StillInPlace && !story.going_on() { "bad" } else if unfinished { "odd" } else { tone },
        "glyph": if unfinished { "…" } else { glyph },
        "verdict": words::headline(story, card),
        "goingOn": story.going_on(),
        "reason": headline(card),
        "unfinished": unfinished,
        "wayOut": capital(way_out),
        "command": command,
        "report": story.command("report"),
        "inPlaceNow": if story.going_on() { "in place now" } else if story.reader.gone { "in place when the run ended" } else { "still in place" },
        "byHand": !story.reader.gone,
        "cleanTone": clean_tone,
        "cleanGlyph": clean_glyph,
        "cleanliness": words::cleanliness(card.cleanliness),
        "clean": clean,
        "inPlace": in_place,
        "inPlaceCount": words::count(story.in_place().count(), "target"),
        "left": story.undone.as_ref().map(|it| it.left.clone()).unwrap_or_default(),
        "exit": story.ended.as_ref().map_or("–".into(), |end| end.exit_code.to_string()),
        "rescored": rescored.map(|end| format!(
            "The run itself ended as {}, {}; this report was scored again from its events.",
            words::verdict(end.verdict), words::cleanliness(end.cleanliness).to_lowercase()
        )),
        "stops": story.stops.iter().map(|(at, reason, detail)| json!({
            "at": words::offset(*at, story.zero()), "why": words::stop(*reason), "detail": detail,
        })).collect::<Vec<_>>(),
    })
}

/// The lead as a sentence.
fn headline(card: &Scorecard) -> String {
    let lead = words::lead(card);
    let end = if lead.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{end}", capital(&lead))
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", rest.as_str())
}

fn by_hand(target: &TargetStory) -> Value {
    let commands = target.plan.as_ref().map(|plan| plan.undo_by_hand.clone()).unwrap_or_default();
    json!({"target": target.target, "step": target.step, "phase": words::phase(target.phase()), "byHand": commands})
}

fn answer(story: &Story, card: &Scorecard) -> Value {
    let (tone, text) = match card.verdict {
        _ if story.ended.is_none() => ("odd", "Not answered"),
        Verdict::Passed => ("good", "It held"),
        Verdict::Failed => ("bad", "It did not hold"),
        Verdict::Inconclusive | Verdict::Aborted | Verdict::Error => ("odd", "Not answered"),
        Verdict::Refused => ("odd", "Not tried"),
    };
    let row = |it: &ObjectiveScore| json!({"id": it.id, "verdict": words::objective_verdict(it.verdict), "tone": verdict_tone(it.verdict), "glyph": verdict_glyph(it.verdict), "reason": clip(&it.reason, 220)});
    // What was not met comes first; the tables below have all of them.
    let mut order: Vec<&ObjectiveScore> = card.objectives.iter().collect();
    order.sort_by_key(|it| match it.verdict {
        ObjectiveVerdict::Missed => 0,
        ObjectiveVerdict::Unknown => 1,
        ObjectiveVerdict::Met => 2,
    });
    let rows: Vec<Value> = order.iter().take(ANSWERS).map(|it| row(it)).collect();
    json!({"tone": tone, "text": text, "rows": rows, "hidden": order.len().saturating_sub(ANSWERS)})
}

fn tiles(card: &Scorecard) -> Vec<Value> {
    let tile = |name: &str, long: &str, figure: Option<Figure>, none: &str| {
        json!({
            "name": name,
            "long": long,
            "value": figure.map_or_else(|| none.into(), |it| words::duration(*it.value)),
            "bar": figure.filter(|it| !it.plus_minus.is_zero()).map(|it| format!("± {}", words::duration(*it.plus_minus))),
            "known": figure.is_some(),
        })
    };
    let clocks = &card.clocks;
    let mut lose = tile("Loss", "RPO: acknowledged writes that the survivor lacks", clocks.lose.map(|it| it.age), "not measured");
    if let Some(loss) = clocks.lose {
        lose["bar"] = json!(words::count(usize::try_from(loss.count).unwrap_or(usize::MAX), "write"));
        if loss.count == 0 {
            lose["value"] = json!("none");
            lose["bar"] = Value::Null;
        }
    }
    vec![
        tile("Impact", "T0 to the first bad sample", clocks.impact, "none"),
        tile("Detect", "MTTD: T0 to the first alert", clocks.detect, "not measured"),
        tile("Recover", "RTO: T0 to stable again, the slowest", clocks.recover, "not shown"),
        lose,
        tile("Fail back", "undo begins to stable again", clocks.fail_back, "not shown"),
    ]
}

fn score(story: &Story, card: &Scorecard) -> Value {
    let circumference = 2.0 * std::f64::consts::PI * 46.0;
    let share = card.score.unwrap_or(0.0) / 100.0;
    let mut rows = Vec::new();
    for objective in &card.objectives {
        let own: Vec<&ScoreRow> = card.table.iter().filter(|row| row.objective == objective.id).collect();
        for (index, row) in own.iter().enumerate() {
            let target = objective.targets.iter().find(|target| Some(target.kind) == row.target);
            rows.push(json!({
                "first": index == 0,
                "last": index + 1 == own.len(),
                "span": own.len(),
                "objective": objective.id,
                "target": row.target.map_or("–", words::target_kind),
                "wanted": row.wanted,
                "measured": row.measured,
                "bullet": target.and_then(|target| bullet(target, objective)),
                "verdict": words::objective_verdict(row.verdict),
                "tone": verdict_tone(row.verdict),
                "glyph": verdict_glyph(row.verdict),
                "s": format!("{:.2}", row.s),
                "counts": row.counts,
                "weight": row.weight,
                "points": format!("{:.1}", objective.points),
                "reason": objective.reason,
                "blocked": objective.blocked_by.iter().map(|it| it.objective.as_str()).collect::<Vec<_>>().join(", "),
            }));
        }
    }
    json!({
        "value": card.score.map_or("–".into(), |score| format!("{score:.0}")),
        "coverage": words::percent((card.coverage * 1000.0).round() / 10.0),
        "full": card.coverage >= 0.9995,
        "some": share > 0.0,
        "arc": format!("{:.1} {:.1}", circumference * share, circumference),
        "coverageArc": format!("{:.1} {:.1}", 2.0 * std::f64::consts::PI * 53.0 * card.coverage, 2.0 * std::f64::consts::PI * 53.0),
        "rows": rows,
        "weight": card.objectives.iter().map(|it| u64::from(it.weight)).sum::<u64>(),
        "points": format!("{:.1}", card.objectives.iter().map(|it| it.points).sum::<f64>()),
        "stillInPlace": card.cleanliness == Cleanliness::StillInPlace,
        "any": !card.objectives.is_empty(),
        "unfinished": story.ended.is_none(),
    })
}

fn verdict_tone(verdict: ObjectiveVerdict) -> &'static str {
    match verdict {
        ObjectiveVerdict::Met => "good",
        ObjectiveVerdict::Missed => "bad",
        ObjectiveVerdict::Unknown => "odd",
    }
}

fn verdict_glyph(verdict: ObjectiveVerdict) -> &'static str {
    match verdict {
        ObjectiveVerdict::Met => "✓",
        ObjectiveVerdict::Missed => "✗",
        ObjectiveVerdict::Unknown => "?",
    }
}

/// The measured value against its target: a dot with its error bar on a line, the allowed part filled.
fn bullet(target: &TargetScore, objective: &ObjectiveScore) -> Option<Value> {
    const WIDTH: f64 = 150.0;
    let number = |quantity: Quantity| match quantity {
        Quantity::Seconds(span) => span.as_secs_f64(),
        Quantity::Percent(percent) => percent,
    };
    let clock = match target.kind {
        TargetKind::RecoverWithin => objective.clocks.recover,
        TargetKind::DetectWithin => objective.clocks.detect,
        TargetKind::LoseAtMost => objective.clocks.lose.map(|loss| loss.age),
        TargetKind::Availability => None,
    };
    let measured = number(target.measured?);
    let upper = target.upper.map_or(measured, number);
    let lower = clock.map_or(measured, |it| it.lower.as_secs_f64()).min(measured);
    let limit = number(target.target);
    let up = target.kind == TargetKind::Availability;
    let (from, to) = if up {
        ((100.0 - 3.0 * (100.0 - limit).max(0.01)).min(measured).max(0.0), 100.0)
    } else {
        (0.0, (1.5 * limit).max(upper * 1.08).max(0.001))
    };
    let x = |value: f64| ((value - from) / (to - from) * WIDTH).clamp(0.0, WIDTH);
    let one = |value: f64| format!("{value:.1}");
    Some(json!({
        "allowedX": one(if up { x(limit) } else { 0.0 }),
        "allowedW": one(if up { WIDTH - x(limit) } else { x(limit) }),
        "limitX": one(x(limit)),
        "dotX": one(x(measured).clamp(3.5, WIDTH - 3.5)),
        "lowX": one(x(lower)),
        "highX": one(x(upper)),
        "bar": x(upper) - x(lower) > 1.0,
    }))
}

fn clocks(card: &Scorecard) -> Value {
    let figure = |figure: Option<Figure>, none: &str| figure.map_or_else(|| none.to_owned(), |it| it.to_string());
    let lost = |loss: Option<Loss>| {
        loss.map_or_else(
            || "–".to_owned(),
            |it| {
                if it.count == 0 {
                    "none".into()
                } else {
                    format!("{} ({})", it.age, words::count(usize::try_from(it.count).unwrap_or(usize::MAX), "write"))
                }
            },
        )
    };
    let rows: Vec<Value> = card
        .objectives
        .iter()
        .map(|it| {
            let relapse = it.relapse.map(|relapse| {
                let down = if relapse.down_at_undo { ", and was down when undo began" } else { "" };
                format!("went bad again {} after T0{down}", words::duration(*relapse.after))
            });
            let recover = if it.not_impacted && it.clocks.recover.is_some() { "not impacted".into() } else { figure(it.clocks.recover, "–") };
            json!({
                "objective": it.id,
                "impact": figure(it.clocks.impact, "–"),
                "detect": figure(it.clocks.detect, "–"),
                "recover": recover,
                "lose": lost(it.clocks.lose),
                "failBack": figure(it.clocks.fail_back, "–"),
                "samples": it.samples.told(),
                "share": words::percent((it.samples.share * 1000.0).round() / 10.0),
                "relapse": relapse,
                "reason": it.reason,
            })
        })
        .collect();
    let people: Vec<Value> = card
        .clocks
        .steps
        .iter()
        .map(|it| {
            let span = |span: Option<crate::clock::Span>| span.map_or("–".to_owned(), |it| words::duration(*it));
            json!({"step": it.step, "kind": words::step_kind(it.kind), "decide": span(it.decide), "act": span(it.act), "before": it.before_detect})
        })
        .collect();
    let t0 = card.t0.map(|t0| {
        let width = t0.late.map(|late| format!(", verified in effect {} later", words::duration(late.since(t0.early))));
        format!("{}{}", words::instant(t0.early), width.unwrap_or_else(|| ", never verified in effect".into()))
    });
    json!({
        "rows": rows,
        "people": people,
        "t0": t0,
        "run": {
            "impact": figure(card.clocks.impact, "–"),
            "detect": figure(card.clocks.detect, "–"),
            "recover": figure(card.clocks.recover, "–"),
            "lose": lost(card.clocks.lose),
            "failBack": figure(card.clocks.fail_back, "–"),
        },
    })
}
