//! The tool of `scripts/bench`: an origin, a load generator that all gateways are measured with, and journals of any size.
//!
//! It is a binary behind a feature and not a cargo bench or example: those would build every dependency of the tests in release mode.

mod cordon;
#[cfg(feature = "aws")]
mod isolate;
mod load;
mod origin;
mod samples;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};

/// Serves, loads and fills for scripts/bench; prints one JSON object a measurement
#[derive(Debug, Parser)]
enum Tool {
    /// Answer HTTP requests on loopback until standard input ends
    Origin {
        /// Where; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Requests on kept connections, one after the other on each
    Requests {
        #[command(flatten)]
        through: Through,
        /// Connections at once
        #[arg(long)]
        connections: usize,
        /// How long, in milliseconds
        #[arg(long)]
        millis: u64,
    },
    /// A new connection for every request
    Connects {
        #[command(flatten)]
        through: Through,
        /// Connections at once
        #[arg(long)]
        connections: usize,
        /// How long, in milliseconds
        #[arg(long)]
        millis: u64,
    },
    /// One large download
    Download {
        #[command(flatten)]
        through: Through,
        /// Size in bytes
        #[arg(long)]
        bytes: u64,
    },
    /// Connections that carried one request and then stay open until standard input ends
    Idle {
        #[command(flatten)]
        through: Through,
        /// Connections
        #[arg(long)]
        connections: usize,
    },
    /// Patch every node of a cluster with a plain kube client
    Cordon {
        /// The cluster
        #[arg(long)]
        kubeconfig: PathBuf,
        /// Patches in flight
        #[arg(long)]
        at_once: usize,
        /// Uncordon instead
        #[arg(long)]
        undo: bool,
    },
    /// Isolate every subnet of a region and restore it with a plain EC2 client
    #[cfg(feature = "aws")]
    Isolate {
        /// The emulator
        #[arg(long)]
        endpoint: String,
        /// Region
        #[arg(long)]
        region: String,
        /// Calls in flight; 1 is one after the other
        #[arg(long)]
        at_once: usize,
    },
    /// A finished run with this many samples, in a new state directory
    Journal {
        /// State directory; the folder above it must exist
        dir: PathBuf,
        /// Samples
        #[arg(long, default_value_t = 1_000_000)]
        samples: u64,
        /// Objectives that they are of
        #[arg(long, default_value_t = 20)]
        objectives: u64,
    },
}

/// What is between the load generator and the origin.
#[derive(Debug, Clone, Args)]
pub struct Through {
    /// Where connections go: the origin itself, or what stands in front of it
    #[arg(long)]
    target: SocketAddr,
    /// Ask for a tunnel to HOST:PORT first
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
}

fn main() -> ExitCode {
    // One thread each: on a small machine the generator must leave room for what it measures.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = runtime.block_on(async {
        match Tool::parse() {
            Tool::Origin { listen } => origin::serve(listen).await,
            Tool::Requests { through, connections, millis } => load::requests(&through, connections, Duration::from_millis(millis)).await,
            Tool::Connects { through, connections, millis } => load::connects(&through, connections, Duration::from_millis(millis)).await,
            Tool::Download { through, bytes } => load::download(&through, bytes).await,
            Tool::Idle { through, connections } => load::idle(&through, connections).await,
            Tool::Cordon { kubeconfig, at_once, undo } => cordon::all(kubeconfig, at_once, !undo).await,
            #[cfg(feature = "aws")]
            Tool::Isolate { endpoint, region, at_once } => isolate::and_restored(endpoint, region, at_once).await,
            Tool::Journal { dir, samples, objectives } => samples::fill(&dir, samples, objectives).await,
        }
    });
    // Reading standard input leaves a thread that never ends by itself.
    runtime.shutdown_background();
    match done {
        Ok(line) => {
            // Whoever closed standard input may be gone.
            let _ = say(&line);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&*error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("firedrill-bench: error: {error}");
    ExitCode::FAILURE
}

fn say(line: &serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// What went wrong; shown and nothing else.
type Failure = Box<dyn std::error::Error>;

/// Says that it is ready, then waits until whoever started this tool closes its standard input.
async fn until_told(ready: serde_json::Value, serving: impl Future<Output = Result<(), Failure>>) -> Result<serde_json::Value, Failure> {
    say(&ready)?;
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        served = serving => served?,
        ended = ended => drop(ended?),
    }
    Ok(serde_json::json!({"ended": true}))
}
