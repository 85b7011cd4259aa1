//! `firedrill runbook`: the document with which people play a drill, and the report after it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::listing::print;
use super::session::{say, warn};
use super::{Context, fail};
use crate::exit::Exit;
use crate::runbook::calendar::Start;
use crate::runbook::document;
use crate::runbook::template::{Format, Own, Part, render};

mod sources;

/// Write the runbook of a game day: who does what when, the commands to do it and undo it by hand, the abort card
///
/// Reads only. With --env it is made from the plan: real targets, commands that can be typed, and what the plan would refuse. Without --env what only the
/// environment knows is a named blank. With --record it is made from a run that took place, or goes on: times and results are filled in, and the abort card
/// has the commands for what that run has in place.
///
/// Prints Markdown, or with --out writes runbook.md, runbook.html, abort-card.md and abort-card.html. Exits 0 when it is written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill runbook drill.yaml --env staging.yaml --start 2026-12-08T10:00 --time-zone America/New_York --out game-day
  firedrill runbook drill.yaml                                generic, with named blanks
  firedrill runbook --record latest --card                    the abort card of the run that began last
  firedrill runbook --record latest --out post-game           the report after the game day
  firedrill runbook --print-template > mine.hbs               to change it; then:
  firedrill runbook drill.yaml --env staging.yaml --template mine.hbs")]
pub struct Runbook {
    /// Drill file, or FILE#name
    #[arg(required_unless_present_any = ["record", "print_template"])]
    pub drill: Option<PathBuf>,

    /// Where it would run: FILE, FILE#name, or sandbox[:variant]
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,

    /// Fill in the times and results of a run: its id, a unique prefix, `latest`, or `latest~N`
    #[arg(long, value_name = "RUN", conflicts_with_all = ["drill", "env", "start"])]
    pub record: Option<String>,

    /// When the run starts: 2026-12-08T10:00 with --time-zone, or with an offset (…-05:00, …Z). Deadlines in the commands count from there
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,

    /// Zone of the times of day, like America/New_York
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,

    /// Which form: one, or both with a comma between [default: markdown; with --out both]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub format: Vec<Wanted>,

    /// Write files into this folder instead of printing
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Only the abort card
    #[arg(long)]
    pub card: bool,

    /// A handlebars template of your own for the runbook (docs/runbook.md)
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,

    /// Print the built-in template of --format, to start from
    #[arg(long, conflicts_with_all = ["template", "out"])]
    pub print_template: bool,

    /// Print every variable that a template may name, with its value here, as JSON
    #[arg(long, conflicts_with_all = ["template", "out", "print_template"])]
    pub print_variables: bool,
}

/// What `--format` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wanted {
    /// For wikis, repositories and chat
    #[value(alias = "md")]
    Markdown,
    /// For browsers and paper
    Html,
}

/// Runs the command.
pub async fn run(context: &Context, args: Runbook) -> Exit {
    match write(context, &args).await {
        Ok(()) => Exit::Passed,
        Err(exit) => exit,
    }
}

async fn write(context: &Context, args: &Runbook) -> Result<(), Exit> {
    let formats = formats(args)?;
    let part = if args.card { Part::Card } else { Part::Runbook };
    if args.print_template {
        print(formats[0].template(part));
        return Ok(());
    }
    let own = args.template.as_deref().map(read).transpose()?;
    let zone = args.time_zone.as_deref();
    let start =
        args.start.as_deref().map(|text| Start::parse(text, zone)).transpose().map_err(|error| fail(Exit::Usage, format!("--start: {error}")))?;
    if zone.is_some() && start.is_none() && args.record.is_none() {
        return Err(fail(Exit::Usage, "--time-zone says nothing without --start or --record"));
    }
    let sources = match (&args.record, &args.drill, &args.env) {
        (Some(run), ..) => sources::recorded(context, run, zone).await?,
        (None, Some(drill), Some(env)) => sources::planned(context, drill, env, start).await?,
        (None, Some(drill), None) => sources::unresolved(context, drill, start)?,
        (None, None, _) => return Err(fail(Exit::Usage, "which drill? name its file, or a run with --record")),
    };
    for refusal in &sources.refusals {
        warn(&format!("the plan would refuse: {refusal}"));
    }
    let view = document::view(&sources.given());
    if args.print_variables {
        say(&serde_json::to_string_pretty(&view).unwrap_or_default());
        return Ok(());
    }
    // The card of a person's own template would be another one: it stays as it is.
    let of = |format: Format, part: Part| {
        let own = own.as_ref().filter(|_| part == Part::Runbook);
        render(format, part, own, &view).map_err(|error| fail(Exit::Usage, error))
    };
    let Some(dir) = &args.out else {
        print(&of(formats[0], part)?);
        return Ok(());
    };
    let parts: &[Part] = if args.card { &[Part::Card] } else { &[Part::Runbook, Part::Card] };
    let mut written = Vec::new();
    for (part, format) in parts.iter().flat_map(|part| formats.iter().map(move |format| (*part, *format))) {
        let name = if part == Part::Card { "abort-card" } else { "runbook" };
        written.push((dir.join(format!("{name}.{}", format.extension())), of(format, part)?));
    }
    for (path, text) in &written {
        let made = fs::create_dir_all(dir).and_then(|()| fs::write(path, text));
        made.map_err(|error| fail(Exit::Internal, format!("cannot write {}: {error}", path.display())))?;
        say(&format!("written  {}", path.display()));
    }
    Ok(())
}

/// The forms that are wanted; one when it is printed, or made by a template.
fn formats(args: &Runbook) -> Result<Vec<Format>, Exit> {
    let mut wanted: Vec<Format> = Vec::new();
    for one in &args.format {
        let format = match one {
            Wanted::Markdown => Format::Markdown,
            Wanted::Html => Format::Html,
        };
        if !wanted.contains(&format) {
            wanted.push(format);
        }
    }
    let one = args.template.is_some() || args.out.is_none();
    match wanted.len() {
        0 if one => Ok(vec![Format::Markdown]),
        0 => Ok(vec![Format::Markdown, Format::Html]),
        2 if args.template.is_some() => Err(fail(Exit::Usage, "a template makes one form: say which with --format")),
        2 if one => Err(fail(Exit::Usage, "both forms do not fit into one output: say where with --out DIR")),
        _ => Ok(wanted),
    }
}

fn read(file: &Path) -> Result<Own, Exit> {
    let text = fs::read_to_string(file).map_err(|error| fail(Exit::Usage, format!("{}: {error}", file.display())))?;
    Ok(Own { file: file.display().to_string(), text })
}
