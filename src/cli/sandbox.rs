//! `firedrill sandbox`: the two-region sandbox as a process of its own, for runs that are started, killed and resumed beside it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use crate::exit::Exit;
use crate::sandbox::{self, Variant};

/// Run the two-region sandbox as a process of its own, until Ctrl-C or SIGTERM
///
/// Runs find it by the environment file that it writes: `firedrill run DRILL --env FILE`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill sandbox --write-env sandbox.yaml
  firedrill sandbox --variant sick-region --write-env sandbox.yaml --dir sandbox")]
pub struct Sandbox {
    /// Which sandbox: default, or a variant that is ill in one way: no-failover, slow-failover, lossy, blind, deaf-probe, sick-region, no-credential-cache
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub variant: Variant,

    /// Where the environment is written once everything answers
    #[arg(long, value_name = "FILE")]
    pub write_env: PathBuf,

    /// Folder of the gateway's socket and of truth.jsonl [default: a new one for temporary files, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Sandbox) -> Exit {
    // Listened to before anything starts, so that a signal that comes early still ends the sandbox in good order.
    let mut stop = match StopSignals::new() {
        Ok(stop) => stop,
        Err(error) => return super::fail(Exit::Internal, format!("cannot listen for signals: {error}")),
    };
    let folder = Folder::new(args.dir);
    let started = tokio::select! {
        started = sandbox::Sandbox::start(args.variant, &folder.path) => started,
        () = stop.received() => return Exit::Passed,
    };
    let running = match started {
        Ok(running) => running,
        Err(error) => return super::fail(Exit::Unreachable, error),
    };
    let exit = match sandbox::environment::write(running.environment(), &args.write_env) {
        Ok(()) => {
            // A closed output must not end the sandbox: somebody may only want the file.
            let _ = io::stdout().write_all(how_to_use(&running, &args.write_env, folder.removed_at_end).as_bytes());
            stop.received().await;
            Exit::Passed
        }
        Err(error) => super::fail(Exit::Usage, format!("cannot write {}: {error}", args.write_env.display())),
    };
    running.stop().await;
    exit
}

fn how_to_use(running: &sandbox::Sandbox, file: &Path, removed_at_end: bool) -> String {
    let endpoints = &running.environment().spec.endpoints;
    let endpoint = |name| endpoints.get(name).map_or("", String::as_str);
    let (file, gateway) = (file.display(), running.gateway_address());
    let prometheus = running.environment().spec.prometheus.first().map_or("", |source| source.url.as_str());
    format!(
        "{variant} is running: us-east-1 and us-west-2 on loopback. Its environment is in {file}.\n\
         \n\
         run a drill    firedrill run {drill} --env {file}\n\
         as a user      curl -i {checkout}/healthz\n\
         as a service   curl -x http://{gateway} http://dynamodb.us-east-1.amazonaws.com/\n\
         as an operator curl {edge}/weights\n\
         the alert      curl -g '{prometheus}/api/v1/query?query=ALERTS'\n\
         what happened  {truth}{gone}\n\
         \n\
         Ctrl-C or SIGTERM ends it.\n",
        drill = running.variant().drill(),
        variant = running.variant(),
        checkout = endpoint("checkout"),
        edge = endpoint("edge"),
        truth = running.truth_path().display(),
        gone = if removed_at_end { " (removed at the end; --dir keeps it)" } else { "" },
    )
}

/// The sandbox's folder; one that we chose ourselves is removed with what is in it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    removed_at_end: bool,
}

impl Folder {
    fn new(chosen: Option<PathBuf>) -> Self {
        let removed_at_end = chosen.is_none();
        let path = chosen.unwrap_or_else(|| std::env::temp_dir().join(format!("firedrill-sandbox-{}", ulid::Ulid::generate())));
        Self { path, removed_at_end }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.removed_at_end {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[derive(Debug)]
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup: signal(SignalKind::hangup())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
