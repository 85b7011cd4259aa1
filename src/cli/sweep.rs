//! `firedrill sweep`: finds what is in place without the journal, by marks alone, and undoes it when asked.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::environment::load_environment;
use super::listing::command;
use super::session::{Telling, conclude, listen, report_dir, say, warn};
use super::{Context, fail, fail_invalid, fail_journal};
use crate::clock::Clock;
use crate::drill::load::Options;
use crate::drill::spec::{DrillSpec, Environment};
use crate::drill::{bind, load};
use crate::engine::control::Control;
use crate::engine::recovery::{self, Leftover, RecoveryError, Search};
use crate::exit::Exit;
use crate::fault::{Expiry, KindSource, Record};
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, JournalError, place};
use crate::prepare::recovery_world;
use crate::sandbox;

/// Find what firedrill left in an environment, without the journal; --apply undoes it
///
/// Goes by the marks in the environment alone: for a lost journal, or another machine's. A dry run unless --apply is given. Exits 0 when nothing is found, 7
/// while something is in place, 8 when nothing is but not everything could be searched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill sweep --env staging.yaml
  firedrill sweep --env staging.yaml --apply")]
pub struct Sweep {
    /// Environment file, or FILE#name
    #[arg(long, value_name = "ENV")]
    pub env: String,

    /// Undo what is found
    #[arg(long)]
    pub apply: bool,

    /// The drill that left it: its regionHealthy gates fail-back; without it actions stay and are named
    #[arg(long, value_name = "FILE")]
    pub drill: Option<PathBuf>,

    /// Folder of the reports [default: reports/RUN in the state directory]
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(context: &Context, args: Sweep) -> Exit {
    if sandbox::parse_env(&args.env).is_some() {
        return fail(
            Exit::Usage,
            "an embedded sandbox ends with its run, and its gateway's rules with it; name the file of `firedrill sandbox --write-env FILE`",
        );
    }
    let environment = match load_environment(&args.env, &Options::default()) {
        Ok(environment) => environment,
        Err(found) => return fail_invalid(&found),
    };
    let drill = match args.drill.as_ref().map(|file| load::load_drill(file).and_then(|drill| bind(&drill, &environment))).transpose() {
        Ok(drill) => drill.map_or_else(DrillSpec::default, |drill| drill.spec),
        Err(found) => return fail_invalid(&found),
    };
    let swept = match sweep(context, &args, environment.clone(), drill.clone()).await {
        Err(RecoveryError::Journal(error @ JournalError::Unreadable(_))) => match beside(context) {
            Ok(beside) => {
                warn(&format!("{error}"));
                warn(&format!("this sweep goes on without it, and remembers what it undoes in {}", beside.display()));
                warn("a run that another process has going on cannot be told from one that died: end it first");
                sweep(&Context { state_dir: Some(beside) }, &args, environment, drill).await
            }
            Err(error) => Err(error.into()),
        },
        swept => swept,
    };
    match swept {
        Ok(exit) => exit,
        Err(RecoveryError::Journal(error)) => fail_journal(&error),
        Err(error) => fail(Exit::Refused, error),
    }
}

/// Where a sweep remembers what it undoes when the journal itself does not read, which stays as it is.
fn beside(context: &Context) -> Result<PathBuf, JournalError> {
    let state = context.state_dir.clone().map_or_else(place::default_dir, Ok)?;
    Ok(state.join("swept"))
}

async fn sweep(context: &Context, args: &Sweep, environment: Environment, drill: DrillSpec) -> Result<Exit, RecoveryError> {
    let journal = Arc::new(Sqlite::open_default(context.state_dir.as_deref())?);
    let clock = Clock::system();
    let world = recovery_world(clock, journal.clone(), &environment.spec);
    let Search { leftovers, unsearched } = recovery::search(&world).await?;
    // One sentence for each place, not for each kind that would have looked there.
    let mut said: Vec<String> = Vec::new();
    for error in &unsearched {
        let why = if let RecoveryError::Search { error, .. } = error { error.to_string() } else { error.to_string() };
        if !said.contains(&why) {
            warn(&format!("not searched: {why}"));
            said.push(why);
        }
    }
    // Traffic returns only when every fault is lifted, and here nobody knows.
    let drill = if unsearched.is_empty() { drill } else { DrillSpec { region_healthy: None, ..drill } };
    if leftovers.is_empty() && !unsearched.is_empty() {
        return Ok(fail(Exit::Unreachable, "nothing was found where it could be looked; whether something is in place elsewhere is not known"));
    }
    if leftovers.is_empty() {
        say(&format!("nothing of firedrill's is in place in '{}'", environment.metadata.name));
        return Ok(Exit::Passed);
    }
    leftovers.iter().for_each(|leftover| list(leftover, world.kinds.as_ref()));
    if !args.apply {
        say("dry run; add --apply to undo it");
        return Ok(Exit::StillInPlace);
    }
    let mut worst = Exit::Passed;
    for leftover in leftovers {
        let run = leftover.run.clone();
        let _claim = match journal.claim(&run).await {
            Ok(claim) => claim,
            Err(error) => {
                warn(&format!("{error}; left as it is"));
                worst = Exit::StillInPlace;
                continue;
            }
        };
        // Each run is an undo of its own: a signal asks it to hurry, not the next one.
        let (control, controlled) = Control::new();
        if let Err(error) = listen(&control, clock) {
            return Ok(fail(Exit::Internal, format!("cannot listen for signals: {error}")));
        }
        let telling = Telling::resume(clock, &journal, &run).await;
        let where_ = (environment.metadata.name.clone(), environment.spec.clone());
        let outcome = recovery::sweep(world.clone(), leftover, drill.clone(), where_, controlled, telling.sinks.clone()).await;
        telling.finish().await;
        let outcome = outcome?;
        let exit = conclude(context, &outcome, &report_dir(args.report_dir.as_deref(), journal.dir(), &run), false);
        let actions = outcome.in_place.iter().any(|record| record.action);
        if actions && args.drill.is_none() {
            warn(&gate_is_missing(context, &args.env));
        } else if actions && !unsearched.is_empty() {
            warn("actions stay: traffic returns only when everything could be searched; see `not searched` above, and sweep again");
        }
        // An undone run is what was asked for: only what is left, or someone else's, is news.
        worst = match (worst, exit) {
            (_, Exit::StillInPlace) | (Exit::StillInPlace, _) => Exit::StillInPlace,
            (_, Exit::Drifted) | (Exit::Drifted, _) => Exit::Drifted,
            _ => worst,
        };
    }
    if worst == Exit::Passed && !unsearched.is_empty() {
        return Ok(fail(
            Exit::Unreachable,
            "what was found is undone; whether something is in place where nobody could look is not known: sweep again",
        ));
    }
    Ok(worst)
}

/// Without the gate nobody can say that traffic may return.
pub(super) fn gate_is_missing(context: &Context, env: &str) -> String {
    let again = command(context, &format!("sweep --env {env} --drill FILE --apply"));
    format!("actions stay; with the drill that made them, whose regionHealthy gates fail-back: {again}")
}

fn list(leftover: &Leftover, kinds: &dyn KindSource) {
    let known = match &leftover.known {
        Some(summary) if summary.alive => "going on now in another process",
        Some(_) => "in the journal: `firedrill resume` would undo it too",
        None => "not in this journal",
    };
    say(&format!("run {} ({known}):", leftover.run));
    for record in &leftover.records {
        say(&line(record, kinds));
    }
}

fn line(record: &Record, kinds: &dyn KindSource) -> String {
    let until = match expiry(record, kinds) {
        Expiry::Own => format!("gone by itself by {}", record.undo_by),
        Expiry::DeadMan => format!("undone by its dead-man by {}", record.undo_by),
        Expiry::None => "stays until it is undone: no expiry of its own".to_owned(),
    };
    format!("  {}  {}  step '{}'  {until}", record.target, record.kind, record.step)
}

/// How a target's change goes away when nobody undoes it. What is not known to expire stays.
pub(super) fn expiry(record: &Record, kinds: &dyn KindSource) -> Expiry {
    if record.action { Expiry::None } else { kinds.for_record(record).map_or(Expiry::None, |kind| kind.expiry()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Timestamp;
    use crate::drill::spec::EnvironmentSpec;
    use crate::event::Phase;
    use crate::fault::registry::Registry;
    use crate::fault::{RECORD_VERSION, TargetId};

    fn left(kind: &str, action: bool, invert: Value) -> String {
        let record = Record {
            version: RECORD_VERSION,
            run: "01KB2QXW8V5Z3M4N7P9R1S6T8D".into(),
            step: "evacuate".into(),
            after: Vec::new(),
            kind: kind.into(),
            action,
            keep: false,
            target: TargetId { place: "edge/127.0.0.1:1".into(), id: "weights".into() },
            prior: Value::Null,
            ours: Value::Null,
            invert,
            companions: Vec::new(),
            undo_by: Timestamp(1_700_000_000_000_000),
            phase: Phase::Intent,
        };
        line(&record, &Registry::new(&EnvironmentSpec::default()))
    }

    #[test]
    fn only_what_expires_is_said_to_go_away_by_itself() {
        let shift = left("edgeShift", true, json!({}));
        assert!(shift.ends_with("stays until it is undone: no expiry of its own"), "{shift}");
        let unknown = left("fromTheFuture", false, json!({}));
        assert!(unknown.ends_with("stays until it is undone: no expiry of its own"), "{unknown}");
        let rule = left("gatewayBlackhole", false, json!({"gateway": "edge", "socket": "/run/firedrill/gateway.sock"}));
        assert!(rule.contains("gone by itself by 2023-11-14"), "{rule}");
    }
}
