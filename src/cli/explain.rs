//! `firedrill explain`: what a kind is, its fields, its undo and what it needs; and the fields of the documents.

mod entry;
mod page;
mod terminal;

use clap::{Args, ValueEnum};

use super::listing::print;
use super::{Context, fail};
use crate::drill::about::{self, Described};
use crate::drill::editor;
use crate::drill::fields::{self, NoField};
use crate::drill::schema::Kind;
use crate::drill::suggest::did_you_mean;
use crate::exit::Exit;
use entry::{Entry, Part};

/// Explain a kind of fault, action or probe, or a field of a file
///
/// Without a kind: a table of all. With one: what it does and by which means, its fields, how it is undone and verified, what it must be allowed to do,
/// what surprises people, and an example. A path names a field: of a kind (`http.expectJson`), or of a document (`drill.objectives`, `environment.allow`).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill explain
  firedrill explain gatewayBlackhole
  firedrill explain http.expectJson
  firedrill explain drill.objectives
  firedrill explain --all --format markdown")]
pub struct Explain {
    /// A kind, `drill` or `environment`; a path of field names may follow, with points between
    #[arg(value_name = "KIND[.FIELD]", conflicts_with = "all")]
    pub what: Option<String>,

    /// Every kind in full
    #[arg(long)]
    pub all: bool,

    /// How it is told
    #[arg(long, alias = "output", value_enum, default_value_t)]
    pub format: Form,
}

/// What `--format` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For documents.
    Markdown,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Explain) -> Exit {
    match told(&args) {
        Ok(text) => {
            print(&text);
            Exit::Passed
        }
        Err(error) => fail(Exit::Usage, error),
    }
}

fn told(args: &Explain) -> Result<String, String> {
    let kinds = about::kinds();
    let entries = |kinds: &[Described]| kinds.iter().map(Entry::of).collect::<Vec<_>>();
    let Some(what) = &args.what else {
        return Ok(match (args.format, args.all) {
            (Form::Text, false) => terminal::table(&kinds),
            (Form::Text, true) => terminal::all(&entries(&kinds)),
            (Form::Markdown, false) => page::table(&kinds),
            (Form::Markdown, true) => page::book(&kinds, &entries(&kinds)),
            (Form::Json, _) => json(&entries(&kinds)),
        });
    };
    let words: Vec<&str> = what.split('.').collect();
    let (first, path) = words.split_first().map_or(("", &[][..]), |(first, path)| (*first, path));
    let named: Vec<Described> = kinds.iter().filter(|kind| kind.name == first).cloned().collect();
    if path.is_empty() && !named.is_empty() {
        return Ok(match args.format {
            Form::Text => terminal::all(&entries(&named)),
            Form::Markdown => page::kinds(&entries(&named)),
            Form::Json => json(&entries(&named)),
        });
    }
    let part = match named.first() {
        Some(kind) => part(what, &kind.schema, path, &kind.description())?,
        None => document(what, first, path, &kinds)?,
    };
    Ok(match args.format {
        Form::Text => terminal::part(&part),
        Form::Markdown => page::part(&part),
        Form::Json => json(&part),
    })
}

/// A document, or a field of one. A path begins in its `spec`, where all but the name is.
fn document(what: &str, first: &str, path: &[&str], kinds: &[Described]) -> Result<Part, String> {
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(first)) else {
        let names = kinds.iter().map(|kind| kind.name).chain(Kind::ALL.map(|kind| if kind == Kind::Drill { "drill" } else { kind.name() }));
        return Err(format!("there is no kind '{first}'{}; `firedrill explain` lists them", did_you_mean(first, names)));
    };
    let schema = editor::schema(kind);
    let outside = path.first().is_some_and(|first| ["apiVersion", "kind", "metadata", "spec"].contains(first));
    let path: Vec<&str> = if outside { path.to_vec() } else { std::iter::once("spec").chain(path.iter().copied()).collect() };
    let found = part(what, &schema, &path, "")?;
    // A document is asked for, not the field `spec`.
    Ok(if what == first { Part { field: None, ..found } } else { found })
}

fn part(what: &str, schema: &serde_json::Value, path: &[&str], description: &str) -> Result<Part, String> {
    let found = fields::find(schema, path).map_err(|NoField { wrong, known }| match known.as_slice() {
        [] => format!("'{what}' goes too deep: what stands before '{wrong}' has no fields"),
        known => {
            let near = did_you_mean(&wrong, known.iter().map(String::as_str));
            format!("there is no field '{wrong}' in '{what}'{near}; known there: {}", known.join(", "))
        }
    })?;
    let inside = found.schema.get("description").and_then(serde_json::Value::as_str).unwrap_or(description).to_owned();
    Ok(Part { path: what.to_owned(), description: inside, fields: fields::list(schema, found.schema, false), field: found.field })
}

fn json(value: &impl serde::Serialize) -> String {
    // Writing JSON to memory cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
