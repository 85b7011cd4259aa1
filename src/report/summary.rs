//! The last words of a run, on standard output: verdict, score, clocks, what was undone, where the report is.

use std::path::Path;

use super::inert::{columns, inert, pad};
use super::story::Story;
use super::words;
use crate::event::{Cleanliness, Phase, Verdict};
use crate::score::{Figure, ObjectiveVerdict, Scorecard};

/// Names shown of each list; the rest is counted.
const NAMED: usize = 10;

/// The text, with a line break at its end. Without colours: it is read by people, and by `tee`.
#[must_use]
pub fn summary(story: &Story, card: &Scorecard, html: Option<&Path>) -> String {
    with_files(story, card, html.as_slice())
}

/// The same, naming these files.
#[must_use]
pub fn with_files(story: &Story, card: &Scorecard, files: &[&Path]) -> String {
    let mut lines = Vec::new();
    let (drill, environment, run) = story
        .header
        .as_deref()
        .map_or(("unknown drill", "unknown environment", ""), |it| (it.drill.as_str(), it.environment.as_str(), it.run.as_str()));
    lines.push(format!("{}  {drill} in {environment}, run {run}", words::headline(story, card).to_uppercase()));
    // What is in place is named at the end, where people look.
    lines.push(format!("{}{}", label(""), card.reason.split("; STILL IN PLACE: ").next().unwrap_or_default()));
    lines.push(format!(
        "{}{}, coverage {}",
        label("score"),
        card.score.map_or(if story.going_on() { "none yet".into() } else { "none".into() }, |score| format!("{score:.0} of 100")),
        words::percent((card.coverage * 1000.0).round() / 10.0)
    ));
    lines.extend(undone(story));
    let clocks = table(story, card);
    if !clocks.is_empty() {
        lines.push(String::new());
        lines.extend(clocks);
    }
    if !files.is_empty() {
        lines.push(String::new());
    }
    let labels = std::iter::once("report").chain(std::iter::repeat(""));
    lines.extend(files.iter().zip(labels).map(|(file, name)| format!("{}{}", label(name), file.display())));
    lines.extend(in_place(story, card));
    lines.iter().map(|line| format!("{}\n", inert(line).trim_end())).collect()
}

fn label(text: &str) -> String {
    pad(text, 8)
}

/// The card of a run that is going on: what was measured so far is told, and nothing is concluded from it.
#[must_use]
pub fn so_far(story: &Story, card: Scorecard) -> Scorecard {
    if !story.going_on() {
        return card;
    }
    let reason = format!("the run is going on, stage: {}", words::stage(story.stage()));
    Scorecard { verdict: Verdict::Inconclusive, score: None, reason, ..card }
}

fn undone(story: &Story) -> Vec<String> {
    if story.going_on() {
        let count = words::count(story.in_place().count(), "target");
        return vec![format!("{}not yet: {count} in place, and the run undoes what it does", label("undo"))];
    }
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
    lines
}

/// The last words: what is in place, and what to do about it.
fn in_place(story: &Story, card: &Scorecard) -> Vec<String> {
    let (what, command) = story.way_out();
    if story.going_on() {
        return vec![String::new(), format!("{what}: {command}")];
    }
    let left: Vec<_> = story.in_place().collect();
    if left.is_empty() && card.cleanliness != Cleanliness::StillInPlace {
        return Vec::new();
    }
    let act = if story.reader.gone { "when the run ended" } else { "a person must act" };
    let count = if left.is_empty() { "targets unknown".to_owned() } else { words::count(left.len(), "target") };
    let mut lines = vec![String::new(), format!("STILL IN PLACE, {act}: {count}")];
    for target in left.iter().take(NAMED) {
        lines.push(format!("{}{}: {} ({})", label(""), target.step, target.target, words::phase(target.phase())));
        let by_hand = target.plan.iter().filter(|_| !story.reader.gone).flat_map(|plan| &plan.undo_by_hand);
        lines.extend(by_hand.map(|command| format!("{}  {command}", label(""))));
    }
    if left.len() > NAMED {
        lines.push(format!("{}and {} more", label(""), left.len() - NAMED));
    }
    lines.push(format!("STILL IN PLACE; {what}: {command}"));
    lines
}

fn table(story: &Story, card: &Scorecard) -> Vec<String> {
    if card.objectives.is_empty() {
        return Vec::new();
    }
    let figure = |figure: Option<Figure>| figure.map_or("-".into(), |it| it.to_string());
    let head =
        ["objective", if story.going_on() { "so far" } else { "verdict" }, "impact", "detect", "recover", "loss", "fail back"].map(str::to_owned);
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
