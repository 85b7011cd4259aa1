//! `firedrill schema`: the JSON Schema of the documents, for editors and other checkers.

use clap::{Args, ValueEnum};

use super::Context;
use super::listing::print;
use crate::drill::editor;
use crate::drill::schema::Kind;
use crate::exit::Exit;

/// Print the JSON Schema of drill and environment files, for editors
///
/// The schema is the one that `firedrill validate` checks files with; what a schema cannot say (references between steps, times that add up) only
/// `validate` knows. It names no other address, so that editors need no network.
#[derive(Debug, Args)]
#[command(after_help = "\
Completion and checks while you type, in every editor with yaml-language-server (VS Code: the YAML extension):
  firedrill schema > firedrill.schema.json
and this line in the YAML file, with the path from the file to the schema:
  # yaml-language-server: $schema=firedrill.schema.json")]
pub struct Schema {
    /// Which kind of document; all: one schema for files that hold any of them
    #[arg(value_enum, default_value_t)]
    pub kind: Which,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Which {
    /// What is rehearsed.
    Drill,
    /// Where.
    Environment,
    /// When.
    #[value(alias = "drill-schedule")]
    Schedule,
    /// One run.
    #[value(alias = "drill-run")]
    Run,
    /// Each document by its own kind.
    #[default]
    All,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Schema) -> Exit {
    print(&text(args.kind));
    Exit::Passed
}

/// What the command prints.
#[must_use]
pub fn text(which: Which) -> String {
    let schema = match which {
        Which::Drill => editor::schema(Kind::Drill),
        Which::Environment => editor::schema(Kind::Environment),
        Which::Schedule => editor::schema(Kind::DrillSchedule),
        Which::Run => editor::schema(Kind::DrillRun),
        Which::All => editor::any(),
    };
    // Writing JSON to memory cannot fail.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}
