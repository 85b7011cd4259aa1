//! Explanations as Markdown: `docs/kinds.md` is made of them.

use std::fmt::Write as _;

use super::entry::{Entry, Part};
use crate::drill::about::{Described, Sort};
use crate::drill::fields::Field;

/// Every kind in a row, by sort.
pub fn table(kinds: &[Described]) -> String {
    let mut text = String::new();
    for sort in Sort::ALL {
        let _ = writeln!(text, "| {} | what it is | this version |\n|---|---|---|", sort.name());
        let of_sort = |built: bool| kinds.iter().filter(move |kind| kind.sort == sort && kind.about.is_some() == built);
        for kind in of_sort(true).chain(of_sort(false)) {
            let state = if kind.about.is_some() { "runs it" } else { "not built yet" };
            let _ = writeln!(text, "| [`{}`](#{}) | {} | {state} |", kind.name, anchor(kind.sort.name(), kind.name), cell(&kind.summary()));
        }
        text.push('\n');
    }
    text
}

/// The whole of `docs/kinds.md`.
pub fn book(kinds: &[Described], entries: &[Entry]) -> String {
    let mut text = String::from(
        "# Kinds\n\n\
         <!-- Made by `firedrill explain --all --format markdown`; tests/first_steps.rs compares it. Change the kinds' own files instead. -->\n\n\
         Every kind of fault, action and probe. `firedrill explain KIND` prints the same. A kind that is *not built yet* may stand in files, and its \
         fields are checked; `plan` and `run` refuse it by name.\n\n",
    );
    text.push_str(&table(kinds));
    for sort in Sort::ALL {
        let (heading, what) = match sort {
            Sort::Fault => ("Faults", "`fault:` of a step. Each is undone, and verified to bite."),
            Sort::Action => ("Actions", "`action:` of a step: the evacuation itself. Undone as fail-back, when the failed region is healthy again."),
            Sort::Probe => ("Probes", "`probe:` of an objective, of a `check`, of `regionHealthy` and of `haltWhen`. Probes change nothing."),
        };
        let _ = write!(text, "## {heading}\n\n{what}\n\n");
        let mut of_sort: Vec<Entry> = entries.iter().filter(|entry| entry.sort == sort.name()).cloned().collect();
        // What runs comes first.
        of_sort.sort_by_key(|entry| !entry.built);
        text.push_str(&kinds_of(&of_sort));
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Kinds in full.
pub fn kinds(entries: &[Entry]) -> String {
    kinds_of(entries)
}

fn kinds_of(entries: &[Entry]) -> String {
    entries.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(entry: &Entry) -> String {
    let mut text = format!("### {} ({})\n\n{}\n\n", entry.name, entry.sort, entry.description);
    match &entry.more {
        None => text.push_str("*Not built yet in this version.*\n\n"),
        Some(more) => {
            let _ = write!(text, "{}\n\n```yaml\n{}```\n\n", more.mechanism, more.example);
        }
    }
    text.push_str(&fields(&entry.fields));
    let mut facts = Vec::new();
    if let Some(more) = &entry.more {
        let mut fact = |label: &str, what: String| {
            if !what.is_empty() {
                facts.push(format!("- **{label}:** {what}"));
            }
        };
        fact("Undo", more.undo.to_owned());
        fact("Expiry", more.without_firedrill.map(|what| format!("when firedrill dies, {what}.")).unwrap_or_default());
        fact("Verified", more.verified.to_owned());
        for (label, list) in [("To inject", more.permissions.inject), ("To undo", more.permissions.revert), ("To read", more.permissions.read)] {
            fact(&format!("{label}, it must be allowed to"), list.join("; "));
        }
        facts.extend(more.must_know.iter().map(|sentence| format!("- {sentence}")));
    }
    if let Some(limit) = entry.default_limit {
        facts.push(format!("- **Limit of a step that gives none:** {limit}"));
    }
    if !facts.is_empty() {
        let _ = writeln!(text, "\n{}", facts.join("\n"));
    }
    text
}

/// A field or a document.
pub fn part(part: &Part) -> String {
    let mut text = format!("### {}\n\n", part.path);
    let own = part.field.iter().map(|field| field.meaning.as_str());
    for paragraph in own.chain([part.of_type()]).filter(|paragraph| !paragraph.is_empty()) {
        let _ = write!(text, "{paragraph}\n\n");
    }
    if !part.fields.is_empty() {
        text.push_str(&fields(&part.fields));
    }
    text
}

fn fields(all: &[Field]) -> String {
    let mut text = String::from("| field | type | default | limits | meaning |\n|---|---|---|---|---|\n");
    for field in all {
        let default = if field.required { "**required**" } else { field.default.as_deref().unwrap_or_default() };
        let words: Vec<String> =
            field.words.iter().map(|(word, what)| format!("`{word}`{}", if what.is_empty() { String::new() } else { format!(": {what}") })).collect();
        let meaning = [field.meaning.clone(), words.join(" ")].iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "| `{}` | {} | {} | {} | {} |", field.path, cell(&field.kind), cell(default), cell(&field.limits), cell(&meaning));
    }
    text
}

/// Text inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The anchor of the heading `NAME (SORT)`, as GitHub makes it.
fn anchor(sort: &str, name: &str) -> String {
    format!("{}-{sort}", name.to_lowercase())
}
