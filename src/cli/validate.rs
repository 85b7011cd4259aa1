//! `firedrill validate`: every mistake of drill and environment files at once. Offline: nothing is read from the world.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Context, Format, environment};
use crate::drill::bind;
use crate::drill::diagnostic::Severity;
use crate::drill::load::{Loaded, Options, load_paths};
use crate::exit::Exit;

/// Check drill and environment files; nothing is read from the world
///
/// Tells every mistake of every file at once, each with its line and, where there is one, the way out. Exits 0 when there is none, 2 when there is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill validate drills/
  firedrill validate drill.yaml --env staging.yaml     its look-ups, and what the environment allows, too
  firedrill validate --strict --format json drills/    in a pipeline")]
pub struct Validate {
    /// Files and folders; `-` is the standard input
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,

    /// How the result is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Warnings are errors
    #[arg(long)]
    pub strict: bool,

    /// Check the drills against this environment too: FILE, FILE#name, or sandbox[:variant]
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,

    /// Accept regions that this build does not know
    #[arg(long)]
    pub allow_unknown_region: bool,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Validate) -> Exit {
    let options = Options { allow_unknown_region: args.allow_unknown_region };
    let mut loaded = load_paths(&args.paths, &options);
    if let Some(env) = &args.env {
        match environment::load_environment(env, &options) {
            Ok(environment) => {
                let found = loaded.drills.iter().filter_map(|drill| bind(drill, &environment).err()).flatten().collect::<Vec<_>>();
                loaded.diagnostics.extend(found);
            }
            Err(found) => loaded.diagnostics.extend(found),
        }
    }
    if args.strict {
        loaded.diagnostics.iter_mut().for_each(|found| found.severity = Severity::Error);
    }
    // A file that is both checked and the environment tells its mistakes once.
    let mut seen = HashSet::new();
    loaded.diagnostics.retain(|found| seen.insert(found.clone()));
    let exit = if loaded.has_errors() { Exit::Usage } else { Exit::Passed };
    // A reader that has gone away does not change the answer.
    let _ = match args.format {
        Format::Text => text(&loaded),
        Format::Json => write_json(&loaded),
    };
    exit
}

fn text(loaded: &Loaded) -> io::Result<()> {
    let mut err = io::stderr().lock();
    for found in &loaded.diagnostics {
        writeln!(err, "{found}")?;
    }
    drop(err);
    writeln!(io::stdout().lock(), "{}", summary(loaded))
}

fn summary(loaded: &Loaded) -> String {
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let errors = loaded.diagnostics.iter().filter(|found| found.is_error()).count();
    let warnings = loaded.diagnostics.len() - errors;
    if errors > 0 {
        return format!("{}, {} in {}", count(errors, "error"), count(warnings, "warning"), count(loaded.files, "file"));
    }
    let kinds = [
        (loaded.drills.len(), "drill"),
        (loaded.environments.len(), "environment"),
        (loaded.schedules.len(), "schedule"),
        (loaded.runs.len(), "run"),
    ];
    let said: Vec<String> = kinds.iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(*number, noun)).collect();
    let warned = if warnings > 0 { format!("; {}", count(warnings, "warning")) } else { String::new() };
    format!("valid: {}{warned}", said.join(", "))
}

fn write_json(loaded: &Loaded) -> io::Result<()> {
    let errors = loaded.diagnostics.iter().filter(|found| found.is_error()).count();
    let all = json!({
        "valid": errors == 0,
        "errors": errors,
        "warnings": loaded.diagnostics.len() - errors,
        "files": loaded.files,
        "drills": loaded.drills.iter().map(|drill| &drill.metadata.name).collect::<Vec<_>>(),
        "environments": loaded.environments.iter().map(|environment| &environment.metadata.name).collect::<Vec<_>>(),
        "schedules": loaded.schedules.iter().map(|schedule| &schedule.metadata.name).collect::<Vec<_>>(),
        "runs": loaded.runs.iter().map(|run| &run.metadata.name).collect::<Vec<_>>(),
        "diagnostics": loaded.diagnostics,
    });
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &all)?;
    writeln!(out)
}
