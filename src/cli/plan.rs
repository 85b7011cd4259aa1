//! `firedrill plan`: what a drill would touch, and why it might be refused. Reads only.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::prepare::{Prepared, occupied_so_far, prepare};
use super::session::say;
use super::{Context, Format};
use crate::drill::diagnostic::printable;
use crate::drill::text::DurationText;
use crate::event::StepKind;
use crate::exit::Exit;
use crate::fault::{Expiry, Record};
use crate::plan::PlannedStep;
use crate::prepare::exit_of;

/// A step with more targets than this is told by its first ones.
const FEW: usize = 2;
/// So many of them are named.
const NAMED: usize = 5;

/// Show what a drill would touch, and every reason to refuse it; reads only
///
/// Resolves the targets, reads their state before, and prints for each how it would be undone, by firedrill and by hand. Reads the journal too: a run that is
/// going on there, or that left something in place, is in the way. Exits 0 when the drill may run, 5 when a guard would refuse it, 8 when the platform could
/// not be asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill plan first-drill.yaml --env sandbox
  firedrill plan drill.yaml --env staging.yaml --all
  firedrill plan drill.yaml --env staging.yaml --format json")]
pub struct Plan {
    /// Drill file, or FILE#name
    pub drill: PathBuf,

    /// Where it would run: FILE, FILE#name, or sandbox[:variant]
    #[arg(long, value_name = "ENV")]
    pub env: String,

    /// Name every target, however many there are
    #[arg(long)]
    pub all: bool,

    /// How the plan is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs the command.
pub async fn run(context: &Context, args: Plan) -> Exit {
    let mut prepared = match prepare(&args.drill, &args.env, false).await {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    prepared.refusals.extend(occupied_so_far(context, &prepared).await);
    say(&match args.format {
        Format::Text => text(&prepared, args.all),
        Format::Json => as_json(&prepared),
    });
    let exit = exit_of(&prepared.refusals);
    prepared.opened.close().await;
    exit
}

fn text(prepared: &Prepared, all: bool) -> String {
    let started = &prepared.setup.started;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} in {}: {}", started.drill, started.environment, printable(&started.summary));
    let _ = writeln!(out, "fails {}; must survive: {}", started.failed_region, started.surviving_regions.join(", "));
    let _ = writeln!(
        out,
        "baseline {}, hold {}, undo begins at the latest {} after the first mutation\n",
        DurationText(prepared.setup.baseline),
        DurationText(*started.hold),
        DurationText(*started.undo_by)
    );
    for step in &prepared.setup.plan.steps {
        step_text(&mut out, step, if all { usize::MAX } else { FEW });
    }
    let _ = writeln!(out, "\nobjectives");
    for objective in &started.objectives {
        let _ = writeln!(out, "  {:<16} {} every {}", objective.id, printable(&objective.probe), DurationText(*objective.interval));
    }
    for warning in &prepared.setup.plan.warnings {
        let _ = writeln!(out, "\nwarning: {}", printable(warning));
    }
    for refusal in &prepared.refusals {
        let _ = writeln!(out, "\nrefused: {}", printable(&refusal.to_string()));
    }
    let targets: usize = prepared.setup.plan.steps.iter().map(|step| step.records.len()).sum();
    let verdict = if prepared.refusals.is_empty() { "the drill may run" } else { "the drill would be refused" };
    let _ = writeln!(out, "\n{targets} target(s); {verdict}; nothing was touched");
    out
}

fn step_text(out: &mut String, step: &PlannedStep, most: usize) {
    let after = if step.after.is_empty() { String::new() } else { format!(" after {}", step.after.join(", ")) };
    let kind = match step.kind {
        StepKind::Fault => "fault ",
        StepKind::Action => "action ",
        StepKind::Manual | StepKind::Wait | StepKind::Check => "",
    };
    let _ = writeln!(out, "step {}{after}: {kind}{} (limit {})", step.id, step.name, DurationText(step.limit));
    if !step.summary.is_empty() {
        let _ = writeln!(out, "  {}", printable(&step.summary));
    }
    for line in &step.radius {
        let _ = writeln!(out, "  blast radius: {}", printable(line));
    }
    // An action has no dead-man, and must not have one: evacuated is the safe state.
    let expiry = if step.kind == StepKind::Action { "undone once the region is healthy" } else { step.expiry.map_or("", Expiry::text) };
    if step.records.len() <= most {
        for (record, by_hand) in step.records.iter().zip(&step.by_hand) {
            let _ = writeln!(out, "  touches {} ({expiry})", printable(&named(record)));
            for command in &by_hand.undo {
                let _ = writeln!(out, "    by hand, to undo: {command}");
            }
        }
        return;
    }
    let _ = writeln!(out, "  touches {} targets ({expiry})", step.records.len());
    for record in step.records.iter().take(NAMED) {
        let _ = writeln!(out, "    {}", printable(&named(record)));
    }
    if step.records.len() > NAMED {
        let _ = writeln!(out, "    … and {} more (--all names each)", step.records.len() - NAMED);
    }
    // The same words for each: the first is the pattern.
    for command in step.by_hand.first().into_iter().flat_map(|by_hand| &by_hand.undo) {
        let _ = writeln!(out, "    by hand, to undo each; the first: {command}");
    }
}

/// A target as people name it: in a cluster by the cluster's name, and without the uid that tells it from a later one of that name.
pub(super) fn named(record: &Record) -> String {
    let cluster = record.invert.pointer("/cluster/name").and_then(Value::as_str);
    let object = record.target.id.rsplit_once('/').filter(|(_, uid)| is_uid(uid)).map_or(record.target.id.as_str(), |(object, _)| object);
    cluster.map_or_else(|| record.target.to_string(), |cluster| format!("{cluster}: {object}"))
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn as_json(prepared: &Prepared) -> String {
    let started = &prepared.setup.started;
    let value = json!({
        "drill": started.drill,
        "environment": started.environment,
        "mayRun": prepared.refusals.is_empty(),
        "baseline": crate::clock::Span(prepared.setup.baseline),
        "hold": started.hold,
        "undoBy": started.undo_by,
        "steps": started.steps,
        "targets": started.plan.targets,
        "objectives": started.objectives,
        "warnings": prepared.setup.plan.warnings,
        "refusals": prepared.refusals.iter().map(|refusal| json!({"step": refusal.step, "reason": refusal.reason})).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&value).unwrap_or_default()
}
