//! From two flags to a run that is ready: load, bind, open, resolve, refuse.

use std::path::Path;
use std::sync::Arc;

use super::environment::{OpenError, Opened};
use super::listing::command;
use super::session::warn;
use super::{Context, fail_invalid};
use crate::clock::{Clock, Timestamp};
use crate::drill::{bind, load};
use crate::engine::runner::Setup;
use crate::exit::Exit;
use crate::fault::registry::Registry;
use crate::journal::Journal;
use crate::journal::sqlite::Sqlite;
use crate::plan::Refusal;
use crate::prepare::{self, Asked, Ready, exit_of, hash, refusal};
use crate::probe::open::Opener;

/// A drill, bound to an environment and resolved against it.
pub struct Prepared {
    /// Run id.
    pub run: String,
    /// The environment, and the sandbox behind it.
    pub opened: Opened,
    /// Faults and actions.
    pub kinds: Arc<Registry>,
    /// Signals.
    pub probes: Arc<Opener>,
    /// Time.
    pub clock: Clock,
    /// What the engine needs.
    pub setup: Setup,
    /// Why the run may not start.
    pub refusals: Vec<Refusal>,
}

/// Loads, binds, opens and resolves. Prints what is wrong; nothing is mutated.
///
/// # Errors
/// The exit code of whatever is wrong with the files or the sandbox. Guards that refuse are in [`Prepared::refusals`].
pub async fn prepare(file: &Path, env: &str, skip_failback: bool) -> Result<Prepared, Exit> {
    prepare_for(file, env, skip_failback, None).await
}

/// The same for a run that begins then, or now where that is over: deadlines count from there, and freezes are looked at there. Credentials are of that day.
///
/// # Errors
/// As [`prepare`].
pub async fn prepare_for(file: &Path, env: &str, skip_failback: bool, begin: Option<Timestamp>) -> Result<Prepared, Exit> {
    let drill = load::load_drill(file).map_err(|found| fail_invalid(&found))?;
    let opened = Opened::open(env).await.map_err(|error| match error {
        OpenError::Invalid(found) => fail_invalid(&found),
        OpenError::Sandbox(error) => super::fail(Exit::Unreachable, error),
    })?;
    let bound = match bind(&drill, &opened.environment) {
        Ok(bound) => bound,
        Err(found) => {
            opened.close().await;
            return Err(fail_invalid(&found));
        }
    };
    let asked = Asked {
        run: ulid::Ulid::generate().to_string(),
        drill_hash: hash(&drill.value.spec),
        bound,
        environment: &opened.environment,
        embedded: opened.embedded(),
        skip_failback,
        begin,
    };
    let Ready { run, kinds, probes, clock, setup, refusals } = prepare::resolve(asked).await;
    Ok(Prepared { run, opened, kinds, probes, clock, setup, refusals })
}

/// One run at a time in an environment, and none on top of what an earlier one left: limits and prior states would not mean what they say. An embedded
/// sandbox is the run's own.
pub async fn occupied(context: &Context, journal: &dyn Journal, opened: &Opened, environment: &str) -> Option<Refusal> {
    if opened.embedded() {
        return None;
    }
    let runs = match journal.runs().await {
        Ok(runs) => runs,
        Err(error) => return Some(refusal(error.to_string())),
    };
    runs.into_iter().filter(|other| other.header.environment == environment && !other.header.embedded()).find_map(|other| {
        let (run, open) = (&other.header.run, other.open_records);
        if other.alive {
            let abort = command(context, &format!("abort {run}"));
            return Some(refusal(format!("run {run} is going on in '{environment}'; wait for it, or `{abort}`")));
        }
        let resume = command(context, &format!("resume {run}"));
        (open > 0).then(|| refusal(format!("run {run} has {open} unreverted target(s) in '{environment}'; `{resume}` first")))
    })
}

/// The same for a plan, which makes no journal: where there is none, nothing is in the way.
pub async fn occupied_so_far(context: &Context, prepared: &Prepared) -> Option<Refusal> {
    if context.state_dir.as_ref().is_some_and(|dir| !dir.exists()) {
        return None;
    }
    match Sqlite::open_existing(context.state_dir.as_deref()) {
        Ok(None) => None,
        Ok(Some(journal)) => occupied(context, &journal, &prepared.opened, &prepared.setup.header.environment).await,
        Err(error) => Some(refusal(error.to_string())),
    }
}

/// Prints why a run may not start; the exit code says whether a guard refused or the platform could not be asked.
pub fn refuse(refusals: &[Refusal]) -> Exit {
    for refusal in refusals {
        warn(&format!("refused: {refusal}"));
    }
    warn("nothing was touched");
    exit_of(refusals)
}
