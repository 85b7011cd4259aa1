//! Explanations as text for a terminal.

use std::fmt::Write as _;

use super::entry::{Entry, Part};
use crate::drill::about::{Described, Sort};
use crate::drill::fields::Field;

/// Above the kinds that this build does not run.
const LATER: &str = "not built yet in this version:";
/// Columns of a line.
const WIDTH: usize = 100;

/// Every kind in a line.
pub fn table(kinds: &[Described]) -> String {
    let mut text = String::new();
    for sort in Sort::ALL {
        let heading = match sort {
            Sort::Fault => "FAULTS: what can fail (`fault:` of a step)",
            Sort::Action => "ACTIONS: the evacuation itself, undone as fail-back (`action:` of a step)",
            Sort::Probe => "PROBES: what can be measured (`probe:` of an objective, a check, a gate)",
        };
        let _ = writeln!(text, "{heading}");
        let of_sort = |built: bool| kinds.iter().filter(move |kind| kind.sort == sort && kind.about.is_some() == built);
        let row = |kind: &Described| vec![format!("  {}", kind.name), shortened(&kind.summary())];
        let mut rows: Vec<Vec<String>> = of_sort(true).map(row).collect();
        if of_sort(false).next().is_some() {
            rows.push(vec![format!("  {LATER}")]);
            rows.extend(of_sort(false).map(row));
        }
        let width = kinds.iter().map(|kind| kind.name.len()).max().unwrap_or_default() + 2;
        for row in rows {
            let line = row.get(1).map_or_else(|| row[0].clone(), |what| format!("{:width$}  {what}", row[0]));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.push('\n');
    }
    text.push_str(
        "`firedrill explain KIND` says all about one, `firedrill explain drill` and `environment` what stands in the files.\n\
         A kind that is not built yet is checked in files, and refused by `firedrill plan` and `firedrill run`.\n",
    );
    text
}

/// A first sentence without what comes after its colon or semicolon.
fn shortened(summary: &str) -> String {
    let first = summary.split([':', ';']).next().unwrap_or(summary);
    if first.ends_with('.') { first.to_owned() } else { format!("{first}.") }
}

/// Kinds in full.
pub fn all(entries: &[Entry]) -> String {
    entries.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(entry: &Entry) -> String {
    let mut text = String::new();
    let state = if entry.built { "" } else { ", not built yet in this version" };
    let _ = writeln!(text, "{} ({}{state})", entry.name, entry.sort);
    text.push_str(&wrapped(&entry.description, 2));
    if !entry.built {
        text.push_str("\n  Drills may name it, and its fields are checked; plan and run refuse it.\n");
    }
    if let Some(more) = &entry.more {
        let _ = write!(text, "\nMECHANISM\n{}", wrapped(more.mechanism, 2));
        let _ = writeln!(text, "\nEXAMPLE");
        more.example.lines().for_each(|line| _ = writeln!(text, "  {line}"));
    }
    let _ = write!(text, "\nFIELDS\n{}", fields(&entry.fields));
    if let Some(more) = &entry.more {
        if !more.undo.is_empty() {
            let _ = write!(text, "\nUNDO\n{}", wrapped(more.undo, 2));
        }
        if let Some(what) = more.without_firedrill {
            let _ = write!(text, "\nEXPIRY\n{}", wrapped(&format!("When firedrill dies, {what}."), 2));
        }
        if !more.verified.is_empty() {
            let _ = write!(text, "\nVERIFIED\n{}", wrapped(more.verified, 2));
        }
        let _ = writeln!(text, "\nMUST BE ALLOWED TO");
        for (what, list) in [("inject", more.permissions.inject), ("undo", more.permissions.revert), ("read", more.permissions.read)] {
            if !list.is_empty() {
                text.push_str(&wrapped(&format!("{what}: {}", list.join("; ")), 2));
            }
        }
        if !more.must_know.is_empty() {
            let _ = writeln!(text, "\nGOOD TO KNOW");
            more.must_know.iter().for_each(|sentence| text.push_str(&item(sentence)));
        }
    }
    if let Some(limit) = entry.default_limit {
        let _ = writeln!(text, "\nLIMIT\n  {limit}, for a step that gives none");
    }
    text
}

/// A field or a document.
pub fn part(part: &Part) -> String {
    let mut text = format!("{}\n", part.path);
    if let Some(field) = &part.field {
        text.push_str(&wrapped(&signature(field), 2));
        text.push_str(&meaning(field, 2));
    }
    if !part.of_type().is_empty() {
        text.push_str(&wrapped(part.of_type(), 2));
    }
    if !part.fields.is_empty() {
        let _ = write!(text, "\nFIELDS\n{}", fields(&part.fields));
        if let Some(deeper) = part.fields.iter().find(|field| field.more) {
            let _ = writeln!(text, "\nFields marked + have fields of their own: `firedrill explain {}.{}`", part.path, deeper.path);
        }
    }
    text
}

fn fields(all: &[Field]) -> String {
    let mut text = String::new();
    for field in all {
        let more = if field.more { "+" } else { "" };
        let _ = writeln!(text, "  {}{more}  <{}>{}", field.path, field.kind, if field.required { "  required" } else { "" });
        text.push_str(&meaning(field, 6));
    }
    text
}

fn signature(field: &Field) -> String {
    format!("<{}>{}", field.kind, if field.required { ", required" } else { "" })
}

fn meaning(field: &Field, indent: usize) -> String {
    let mut said = field.meaning.clone();
    let mut add = |label: &str, what: &str| {
        if !what.is_empty() {
            let gap = if said.is_empty() { "" } else { " " };
            let _ = write!(said, "{gap}{label}{what}.");
        }
    };
    add("Default: ", field.default.as_deref().unwrap_or_default());
    add("Limit: ", &field.limits);
    let mut text = if said.is_empty() { String::new() } else { wrapped(&said, indent) };
    for (word, what) in &field.words {
        text.push_str(&wrapped(&if what.is_empty() { word.clone() } else { format!("{word}: {what}") }, indent + 2));
    }
    text
}

fn item(sentence: &str) -> String {
    let wrapped = wrapped(sentence, 4);
    format!("  - {}", wrapped.trim_start())
}

/// Paragraphs of at most [`WIDTH`] columns.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            let _ = write!(out, "{:indent$}{word}", "");
            column = indent + length;
        } else {
            let _ = write!(out, " {word}");
            column += 1 + length;
        }
    }
    out.push('\n');
    out
}
