//! `report.md`: the run in one screen of GitHub-flavoured Markdown, for pull requests, wikis and chat.
//!
//! Text from drills and probes is inert there too: it starts no markup, links nowhere and notifies nobody.

use std::collections::HashSet;
use std::fmt::Write;
use std::io;

use super::inert::{clip, inert};
use super::story::{StepStory, Story};
use super::words;
use crate::clock::Timestamp;
use crate::event::{Cleanliness, Phase, StepKind, Verdict};
use crate::score::{Figure, ObjectiveScore, ObjectiveVerdict, ScoreRow, Scorecard};

/// Rows of a table, or names of a list; the rest is counted.
const ROWS: usize = 25;
/// Longest text from a drill or a probe, in columns.
const TEXT: usize = 400;

/// The file as text.
///
/// # Errors
/// When the stream has no header.
pub fn render(story: &Story, card: &Scorecard) -> io::Result<String> {
    let header = story.header.as_deref().ok_or_else(super::files::headless)?;
    let mut out = String::new();
    let (mark, verdict) = headline(story, card);
    line(&mut out, &format!("# {mark} {verdict}: {}", text(&header.summary)));
    let none = if story.going_on() { "none yet" } else { "none" };
    let score = card.score.map_or(none.into(), |score| format!("{score:.0} of 100"));
    let coverage = words::percent((card.coverage * 1000.0).round() / 10.0);
    line(&mut out, &format!("**Score {score}**, coverage {coverage} · {} · {}", cleanliness(story, card), text(&words::lead(card))));
    line(&mut out, &format!("> {}", text(&header.hypothesis)));
    in_place(&mut out, story);
    objectives(&mut out, card);
    clocks(&mut out, card);
    faults(&mut out, story);
    timeline(&mut out, story);
    line(&mut out, "---");
    line(
        &mut out,
        &format!(
            "{} in {}, {}, took {}. Run {}, firedrill {}. The whole report again: {}",
            code(&header.drill),
            code(&header.environment),
            words::minute(story.began),
            words::duration(story.last.since(story.began)),
            code(&header.run),
            code(&header.firedrill),
            code(&story.command("report")),
        ),
    );
    line(&mut out, &format!("drill {}, environment {}", code(&header.drill_hash), code(&header.environment_hash)));
    Ok(out)
}

/// A block of its own.
fn line(out: &mut String, block: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(block);
    out.push('\n');
}

fn headline(story: &Story, card: &Scorecard) -> (&'static str, &'static str) {
    if story.ended.is_none() {
        return ("⏳", words::headline(story, card));
    }
    let mark = match card.verdict {
        _ if card.cleanliness == Cleanliness::StillInPlace => "🔥",
        Verdict::Passed => "✅",
        Verdict::Failed | Verdict::Error => "❌",
        Verdict::Inconclusive => "❔",
        Verdict::Aborted | Verdict::Refused => "⛔",
    };
    (mark, words::verdict(card.verdict))
}

fn cleanliness(story: &Story, card: &Scorecard) -> &'static str {
    match card.cleanliness {
        _ if story.going_on() => "it undoes what it does itself",
        Cleanliness::StillInPlace if story.reader.gone => "**something was in place when its sandbox ended**",
        Cleanliness::Clean => "everything is undone",
        Cleanliness::Drifted => "**someone else's change was left alone**",
        Cleanliness::StillInPlace => "**SOMETHING IS STILL IN PLACE**",
    }
}

fn in_place(out: &mut String, story: &Story) {
    let left: Vec<_> = story.in_place().collect();
    if left.is_empty() {
        return;
    }
    let (what, command) = story.way_out();
    let (now, act) = if story.going_on() {
        ("in place now", "The run is going on, and undoes them itself")
    } else if story.reader.gone {
        ("in place when the run ended", "Nobody needs to act")
    } else {
        ("still in place", "A person must act")
    };
    line(out, &format!("## {} {now}", words::count(left.len(), "target")));
    line(out, &format!("{act}; {what} {}", code(&command)));
    let mut list = String::new();
    for target in left.iter().take(ROWS) {
        let _ = writeln!(list, "- {}, step {}, {}", code(&target.target), code(&target.step), words::phase(target.phase()));
        for command in target.plan.iter().filter(|_| !story.reader.gone).flat_map(|plan| &plan.undo_by_hand) {
            let _ = writeln!(list, "  - by hand: {}", code(command));
        }
    }
    if left.len() > ROWS {
        let _ = writeln!(list, "- and {} more, in report.json", left.len() - ROWS);
    }
    line(out, list.trim_end());
}

fn objectives(out: &mut String, card: &Scorecard) {
    line(out, "## Objectives");
    if card.table.is_empty() {
        line(out, "None was scored.");
        return;
    }
    let mut table = String::from("| | Objective | Target | Wanted | Measured | Points |\n|---|---|---|---:|---:|---:|\n");
    // What was not met first: the table is clipped at its end.
    let mut rows: Vec<&ScoreRow> = card.table.iter().collect();
    rows.sort_by_key(|row| match row.verdict {
        ObjectiveVerdict::Missed => 0,
        ObjectiveVerdict::Unknown => 1,
        ObjectiveVerdict::Met => 2,
    });
    let mut named: HashSet<&str> = HashSet::new();
    for row in rows.iter().take(ROWS) {
        // They are the objective's: they stand in its first row, whichever of its targets decided.
        let first = named.insert(&row.objective);
        let verdict = match row.verdict {
            ObjectiveVerdict::Met => "✅ met",
            ObjectiveVerdict::Missed => "❌ **missed**",
            ObjectiveVerdict::Unknown => "❔ **unknown**",
        };
        let target = row.target.map_or("–", words::target_kind);
        let points = card.objectives.iter().find(|it| first && it.id == row.objective).map(|it| format!("{:.1}", it.points)).unwrap_or_default();
        let (wanted, measured) = (text(&row.wanted), text(&row.measured));
        let _ = writeln!(table, "| {verdict} | {} | {target} | {wanted} | {measured} | {points} |", cell(&row.objective));
    }
    line(out, table.trim_end());
    more(out, rows.len());
    if card.objectives.iter().any(|it| it.targets.len() > 1) {
        line(out, "Points are an objective's: of several targets the worst counts.");
    }
    let waits = |it: &ObjectiveScore| (!it.blocked_by.is_empty()).then(|| (it.id.clone(), it.blocked_by.clone()));
    for (id, blockers) in card.objectives.iter().filter_map(waits).take(ROWS) {
        let names: Vec<String> = blockers.iter().map(|it| code(&it.objective)).collect();
        line(out, &format!("{} waited for {}.", code(&id), names.join(", ")));
    }
}

fn clocks(out: &mut String, card: &Scorecard) {
    let Some(t0) = card.t0 else { return };
    let figure = |figure: Option<Figure>| figure.map_or("–".to_owned(), |it| it.to_string());
    let lost =
        card.clocks.lose.map_or("–".into(), |loss| if loss.count == 0 { "none".into() } else { format!("{} ({} writes)", loss.age, loss.count) });
    line(out, "## Clocks");
    line(
        out,
        &format!(
            "| Impact | Detect | Recover | Loss | Fail back |\n|---:|---:|---:|---:|---:|\n| {} | {} | {} | {lost} | {} |",
            figure(card.clocks.impact),
            figure(card.clocks.detect),
            figure(card.clocks.recover),
            figure(card.clocks.fail_back),
        ),
    );
    line(
        out,
        &format!(
            "From T0, {}; fail back from the beginning of undo. ± is the error bar, and a target is met only with it.",
            words::instant(t0.early)
        ),
    );
}

fn faults(out: &mut String, story: &Story) {
    let steps: Vec<&StepStory> = story.steps.iter().filter(|step| matches!(step.info.kind, StepKind::Fault | StepKind::Action)).collect();
    if steps.is_empty() {
        return;
    }
    line(out, "## Faults and their undo");
    let mut table = String::from("| Step | What | In effect | Targets | Undone |\n|---|---|---|---:|---|\n");
    for step in steps.iter().take(ROWS) {
        let phases: Vec<Phase> = story.targets.iter().filter(|target| target.step == step.info.id).map(|target| target.phase()).collect();
        let kind = if step.info.kind == StepKind::Action { " (action)" } else { "" };
        let _ = writeln!(
            table,
            "| {} | {}{kind} | {} | {} | {} |",
            cell(&step.info.id),
            cell(&step.info.name),
            effect(step),
            phases.len(),
            undone(&phases)
        );
    }
    line(out, table.trim_end());
    more(out, steps.len());
}

fn effect(step: &StepStory) -> String {
    if let Some((_, target, detail)) = step.lost.first() {
        return format!("❔ removed by someone else: {}: {}", text(target), text(detail));
    }
    match (&step.verified, step.sent) {
        (Some((at, None)), Some(sent)) => format!("verified after {}", words::duration(at.since(sent))),
        (Some((_, None)), None) => "verified".into(),
        (Some((_, Some(problem))), _) => format!("❔ not verified: {}", text(problem)),
        (None, Some(_)) if step.info.kind == StepKind::Fault => "❔ not verified".into(),
        (None, Some(_)) => "done".into(),
        (None, None) => step.ended.as_ref().map_or("not begun".into(), |(_, outcome)| {
            let (word, why) = words::outcome(outcome);
            why.map_or_else(|| word.into(), |why| format!("{word}: {}", text(why)))
        }),
    }
}

/// `✅ all reverted`, or what became of how many.
fn undone(phases: &[Phase]) -> String {
    let count = |wanted: &[Phase]| phases.iter().filter(|phase| wanted.contains(phase)).count();
    let open = phases.iter().filter(|phase| !phase.is_closed()).count();
    let mut parts = Vec::new();
    let mut part = |n: usize, what: &str| (n > 0).then(|| parts.push(format!("{n} {what}")));
    part(open, "🔥 **still in place**");
    part(count(&[Phase::Drifted]), "changed by someone else, left alone");
    part(count(&[Phase::Gone]), "gone");
    part(count(&[Phase::Kept]), "kept on purpose");
    part(count(&[Phase::Abandoned]), "abandoned");
    part(count(&[Phase::Noop]), "was so before");
    let reverted = count(&[Phase::Reverted]);
    match (reverted, parts.is_empty()) {
        (0, true) => "not touched".into(),
        (_, true) => "✅ all read back as before".into(),
        (0, false) => parts.join(", "),
        (_, false) => format!("{reverted} read back as before, {}", parts.join(", ")),
    }
}

fn timeline(out: &mut String, story: &Story) {
    let mut moments: Vec<(Timestamp, String)> = Vec::new();
    moments.extend(story.baseline.as_ref().map(|it| (it.began, "baseline".to_owned())));
    moments.extend(story.steps.iter().take(ROWS).filter_map(|step| Some((step.sent.or(step.began)?, format!("step {}", code(&step.info.id))))));
    moments.extend(story.hold.map(|(at, _)| (at, "hold".into())));
    moments.extend(story.stops.iter().map(|(at, reason, detail)| {
        let why = words::stop(*reason);
        (*at, if detail.is_empty() { format!("turned round: {why}") } else { format!("turned round: {why}: {}", text(detail)) })
    }));
    moments.extend(story.undo.iter().map(|(at, hurried)| (*at, if *hurried { "undo, hurried" } else { "undo" }.into())));
    moments.extend(story.lifted.as_ref().map(|(at, left)| (*at, if left.is_empty() { "faults lifted" } else { "faults NOT all lifted" }.into())));
    moments
        .extend(story.region_healthy.as_ref().map(|(at, healthy, _)| (*at, if *healthy { "region healthy" } else { "region NOT healthy" }.into())));
    moments.extend(story.undone.as_ref().map(|it| (it.at, "undo ended".into())));
    moments.sort_by_key(|(at, _)| *at);
    let zero = story.zero();
    let said: Vec<String> = moments.iter().map(|(at, what)| format!("{} {what}", words::offset(*at, zero))).collect();
    line(out, "## Timeline");
    line(out, &said.join(" → "));
}

fn more(out: &mut String, rows: usize) {
    if rows > ROWS {
        line(out, &format!("and {} more, in report.json", rows - ROWS));
    }
}

/// Foreign text as text: no markup, no HTML, no link, no mention, on one line.
///
/// The signs that Markdown reads are escaped, and only those: chats show the text as it is. GitHub finds mentions, issue numbers and addresses in what is
/// left after that; they are broken by a zero-width space, as Dependabot does with what it quotes.
fn text(from: &str) -> String {
    escaped(&clip(inert(from).trim(), TEXT))
}

/// The same at its full length.
pub fn escaped(from: &str) -> String {
    let plain = inert(from);
    let mut out = String::with_capacity(plain.len() + 16);
    let mut signs = plain.chars().peekable();
    // Whether only digits, or nothing, came before.
    let (mut at_start, mut digits) = (true, false);
    while let Some(c) = signs.next() {
        let always = matches!(c, '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '|' | '&' | '~' | '$');
        let next = signs.peek().copied();
        // What only the beginning of a block may open: a list, a heading, a rule; after a number a list alone, and only when it ends there.
        let opens = if digits { matches!(c, '.' | ')') && next.is_none_or(char::is_whitespace) } else { matches!(c, '-' | '+' | '#' | '=') };
        if always || at_start && opens {
            out.push('\\');
        }
        out.push(c);
        if c == '@' || c == '#' || c == ':' && next == Some('/') {
            out.push('\u{200b}');
        }
        at_start = at_start && c.is_ascii_digit();
        digits |= at_start;
    }
    // The only address that Markdown recognises without a colon.
    out.replace("www.", "www\u{200b}.").replace("WWW.", "WWW\u{200b}.")
}

/// Foreign text as code: nothing in it is read, but for a fence of the same length, so that one is longer than any inside.
fn code(from: &str) -> String {
    fenced(&clip(inert(from).trim(), TEXT))
}

/// Harmless text as code, at its full length.
pub fn fenced(plain: &str) -> String {
    if plain.is_empty() {
        return "–".into();
    }
    let longest = plain.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let gap = if plain.starts_with('`') || plain.ends_with('`') { " " } else { "" };
    format!("{fence}{gap}{plain}{gap}{fence}")
}

/// Code in a table, where even code may not hold a bare pipe.
fn cell(from: &str) -> String {
    code(from).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_place() {
        assert_eq!(text("a | b <img> [x](y) *z* `c`"), r"a \| b \<img\> \[x\](y) \*z\* \`c\`");
        assert_eq!(text("ask @ops\n# title, 1.5 s"), "ask @\u{200b}ops #\u{200b} title, 1.5 s");
        assert_eq!([text("1. one"), text("- one"), text("12) x"), text("12 x. y")], [r"1\. one", r"\- one", r"12\) x", "12 x. y"]);
        assert_eq!(text("see https://evil.example"), "see https:\u{200b}//evil.example");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(cell("a|b"), "`a\\|b`");
        assert_eq!(code("one\ntwo"), "`one two`");
    }
}
