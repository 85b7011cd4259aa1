//! `firedrill gateway`: runs the egress gateway, and steers a running one by hand.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::listing::{columns, plain};
use super::{Context, Format};
use crate::exit::Exit;
use crate::gateway::Rule;
use crate::gateway::client::{Client, ClientError};
use crate::gateway::counts::{Counts, MOST, Stats};
use crate::gateway::endpoint::Endpoint;
use crate::gateway::resolve::Resolve;
use crate::gateway::server::{Config, Gateway as Server};

/// Run the egress gateway: an AWS-aware forward proxy that faults can steer
///
/// Point workloads at it with HTTPS_PROXY and HTTP_PROXY, or point their SDKs at it with endpoint_url=http://ADDR:PORT and say with --endpoint where such
/// calls go. Without a rule it passes everything on. Rules come from drills; 'rules', 'put' and 'remove' are for hands.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Gateway {
    /// Steer a running gateway instead.
    #[command(subcommand)]
    pub steer: Option<Steer>,

    /// Where workloads connect
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3128")]
    pub listen: SocketAddr,

    /// Steering socket; only the user who runs the gateway may open it
    #[arg(long, value_name = "PATH", required = true)]
    pub socket: Option<PathBuf>,

    /// Where AWS calls to the gateway itself are passed on, usually an emulator: for clients with endpoint_url=http://ADDR:PORT of the gateway
    #[arg(long, value_name = "http://HOST:PORT")]
    pub endpoint: Option<Endpoint>,

    /// Reach a host at this address instead of looking it up; '*.suffix' covers every name below
    #[arg(long, value_name = "HOST=ADDR:PORT")]
    pub resolve: Vec<Resolve>,
}

/// What can be done to a running gateway by hand.
#[derive(Debug, Subcommand)]
pub enum Steer {
    /// List the rules in force, one JSON object a line
    Rules(Socket),
    /// Put a rule in force, given as JSON
    Put {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// The rule as 'rules' prints it
        rule: String,
    },
    /// Remove a rule; it cannot come back before its deadline
    Remove {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// Rule id
        id: String,
    },
    /// Show where the gateway listens and how many connections it carries
    Status(Socket),
    /// Show which client calls which service, region and operation, and what rules did to it
    ///
    /// Tunnels are encrypted: their operation is '-'. An operation that cannot be recognised is '?'.
    Stats {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
        /// Count from the start afterwards
        #[arg(long)]
        reset: bool,
    },
}

/// Which gateway.
#[derive(Debug, Args)]
pub struct Socket {
    /// Steering socket of the gateway
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Gateway) -> Exit {
    match (args.steer, args.socket) {
        (Some(steer), _) => match act(steer).await {
            Ok(lines) => print(&lines),
            Err(error) => error,
        },
        (None, Some(socket)) => serve(Config { listen: args.listen, socket, resolve: args.resolve, endpoint: args.endpoint }).await,
        (None, None) => super::fail(Exit::Usage, "--socket is missing"),
    }
}

async fn serve(config: Config) -> Exit {
    if !config.listen.ip().is_loopback() {
        eprintln!("firedrill: warning: {} is not a loopback address: whoever reaches it can use this proxy", config.listen);
    }
    raise_descriptor_limit();
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return super::fail(Exit::Internal, "cannot listen for signals") };
    let gateway = match Server::start(config) {
        Ok(gateway) => gateway,
        Err(error) => return super::fail(Exit::Usage, error),
    };
    let ready = format!("gateway listens on {}, steered by {}", gateway.address(), gateway.socket().display());
    // A closed output is no reason to stop carrying traffic.
    let _ = print(&[ready]);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    gateway.stop().await;
    Exit::Passed
}

/// Each connection takes two descriptors, and the usual soft limit is 1,024: use what the system allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused the gateway works with fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

async fn act(steer: Steer) -> Result<Vec<String>, Exit> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| super::fail(Exit::Internal, error));
    match steer {
        Steer::Rules(Socket { socket }) => {
            let rules = Client::new(socket).list().await.map_err(failed)?;
            rules.iter().map(|status| json(serde_json::to_string(status))).collect()
        }
        Steer::Put { socket, rule } => {
            let rule: Rule = serde_json::from_str(&rule).map_err(|error| super::fail(Exit::Usage, format!("cannot read the rule: {error}")))?;
            let changed = Client::new(socket.socket).put(&rule).await.map_err(failed)?;
            Ok(vec![format!("rule {} {}", rule.id, if changed { "put in force" } else { "was in force already" })])
        }
        Steer::Remove { socket, id } => {
            let changed = Client::new(socket.socket).remove(&id, None, None).await.map_err(failed)?;
            Ok(vec![format!("rule {id} {}", if changed { "removed" } else { "is not in force" })])
        }
        Steer::Status(Socket { socket }) => {
            let status = Client::new(socket).status().await.map_err(failed)?;
            Ok(vec![json(serde_json::to_string(&status))?])
        }
        Steer::Stats { socket, output, reset } => {
            let stats = Client::new(socket.socket).stats(reset).await.map_err(failed)?;
            match output {
                Format::Json => Ok(vec![json(serde_json::to_string(&stats))?]),
                Format::Text => Ok(table(&stats)),
            }
        }
    }
}

fn table(stats: &Stats) -> Vec<String> {
    let since = format!("since {}", stats.since.utc().format("%Y-%m-%d %H:%M:%S UTC"));
    if stats.rows.is_empty() && stats.others.is_none() {
        return vec![since, "no call of an AWS service came through".to_owned()];
    }
    let counted = |counts: &Counts| {
        let Counts { asked, passed, refused, blackholed, reset, failed, slowed } = *counts;
        [asked, passed, refused, blackholed, reset, failed, slowed].map(|count| if count == 0 { "-".to_owned() } else { count.to_string() })
    };
    let words = ["client", "service", "region", "operation", "count", "passed", "refused", "blackholed", "reset", "error", "slowed"];
    let mut rows = vec![words.map(str::to_owned).to_vec()];
    for row in &stats.rows {
        let named = [row.client.to_string(), plain(&row.service), plain(&row.region), plain(&row.operation)];
        rows.push(named.into_iter().chain(counted(&row.counts)).collect());
    }
    if let Some(others) = &stats.others {
        rows.push(["(others)", "", "", ""].map(str::to_owned).into_iter().chain(counted(others)).collect());
    }
    let mut lines = vec![since];
    lines.extend(columns(&rows).lines().map(str::to_owned));
    if stats.others.is_some() {
        lines.push(format!("the table holds {MOST} rows; what came when it was full is counted as (others); --reset makes room"));
    }
    lines
}

fn failed(error: ClientError) -> Exit {
    let exit = match &error {
        ClientError::Unreachable { .. } | ClientError::LostAnswer { .. } => Exit::Unreachable,
        ClientError::Refused { .. } => Exit::Refused,
    };
    super::fail(exit, error)
}

fn print(lines: &[String]) -> Exit {
    let mut out = std::io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
    match written {
        Ok(()) => Exit::Passed,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Passed,
        Err(error) => super::fail(Exit::Internal, error),
    }
}
