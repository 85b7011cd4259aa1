//! The last words of a run, on standard output: verdict, score, clocks, what was undone, where the report is.

use std::path::Path;

use super::inert::{columns, inert, pad};
use super::story::Story;
use super::words;
use crate::event::{Cleanliness, Phase};
use crate::score::{Figure, ObjectiveVerdict, Scorecard};

/// Names shown of each list; the rest is counted.
const NAMED: usize = 10;

/// The text, with a line break at its end. Without colours: it is read by people, and by `tee`.
#[must_use]
pub fn summary(story: &Story, card: &Scorecard, html: Option<&Path>) -> String {
    let mut lines = Vec::new();
    let verdict = if story.ended.is_some() { words::verdict(card.verdict) } else { "Unfinished" };
    let (drill, environment, run) = story
        .header
        .as_deref()
        .map_or(("unknown drill", "unknown environment", ""), |it| (it.drill.as_str(), it.environment.as_str(), it.run.as_str()));
    lines.push(format!("{}  {drill} in {environment}, run {run}", verdict.to_uppercase()));
    lines.push(format!("{}{}", label(""), card.reason));
    lines.push(format!(
        "{}{}, coverage {}",
        label("score"),
        card.score.map_or("none".into(), |score| format!("{score:.0} of 100")),
        words::percent((card.coverage * 1000.0).round() / 10.0)
    ));
    lines.extend(undone(story, card));
    let clocks = table(card);
    if !clocks.is_empty() {
        lines.push(String::new());
        lines.extend(clocks);
    }
    if let Some(html) = html {
        lines.push(String::new());
        lines.push(format!("{}{}", label("report"), html.display()));
    }
    lines.iter().map(|line| format!("{}\n", inert(line).trim_end())).collect()
}

fn label(text: &str) -> String {
    pad(text, 8)
}

fn undone(story: &Story, card: &Scorecard) -> Vec<String> {
    let with = |phase: Phase| story.targets.iter().filter(|target| target.phase() == phase).map(|target| target.target.as_str()).collect::<Vec<_>>();
    let listed = |names: &[&str]| {
        let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        if names.len() > NAMED { format!("{shown} and {} more", names.len() - NAMED) } else { shown }
    };
    let touched = story.targets.iter().filter(|it| !matches!(it.phase(), Phase::Planned | Phase::Noop)).count();
    let reverted = with(Phase::Reverted);
    let mut lines = vec![match (touched, reverted.len()) {
        (0, _) => format!("{}nothing was touched", label("undo")),
        (touched, reverted) => format!("{}{reverted} of {} read back as before", label("undo"), words::count(touched, "target")),
    }];
    for (what, phase) in [("changed by someone else, left alone", Phase::Drifted), ("gone", Phase::Gone), ("kept on purpose", Phase::Kept)] {
        let names = with(phase);
        if !names.is_empty() {
            lines.push(format!("{}{what}: {}", label(""), listed(&names)));
        }
    }
    let left: Vec<_> = story.in_place().collect();
    if !left.is_empty() || card.cleanliness == Cleanliness::StillInPlace {
        lines.push(format!("{}STILL IN PLACE, a person must act:", label("")));
        for target in left.iter().take(NAMED) {
            lines.push(format!("{}  {} ({})", label(""), target.target, words::phase(target.phase())));
            lines.extend(target.plan.iter().flat_map(|plan| &plan.undo_by_hand).map(|command| format!("{}    {command}", label(""))));
        }
        if left.len() > NAMED {
            lines.push(format!("{}  and {} more", label(""), left.len() - NAMED));
        }
        lines.extend(story.header.as_deref().map(|it| format!("{}  all of it: firedrill resume {}", label(""), it.run)));
    }
    lines
}

fn table(card: &Scorecard) -> Vec<String> {
    if card.objectives.is_empty() {
        return Vec::new();
    }
    let figure = |figure: Option<Figure>| figure.map_or("-".into(), |it| it.to_string());
    let head = ["objective", "verdict", "impact", "detect", "recover", "loss", "fail back"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(card.objectives.iter().map(|it| {
        let verdict = match it.verdict {
            ObjectiveVerdict::Met => "met",
            ObjectiveVerdict::Missed => "MISSED",
            ObjectiveVerdict::Unknown => "UNKNOWN",
        };
        let recover = if it.not_impacted && it.clocks.recover.is_some() { "not impacted".into() } else { figure(it.clocks.recover) };
        let lost = it.clocks.lose.map_or("-".into(), |loss| if loss.count == 0 { "none".into() } else { loss.age.to_string() });
        [inert(&it.id).into_owned(), verdict.into(), figure(it.clocks.impact), figure(it.clocks.detect), recover, lost, figure(it.clocks.fail_back)]
    }));
    let widths: Vec<usize> = (0..7).map(|column| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0).min(40)).collect();
    rows.iter().map(|row| row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect::<Vec<_>>().join("  ")).collect()
}
