//! `firedrill gateway`: runs the egress gateway, and steers a running one by hand.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};

use super::listing::{columns, plain, quoted};
use super::{Context, Format};
use crate::clock::Timestamp;
use crate::cluster::api::Cluster;
use crate::drill::suggest::did_you_mean;
use crate::drill::text::DurationText;
use crate::exit::Exit;
use crate::fault::gateway::rule;
use crate::gateway::client::{Client, ClientError, Removal};
use crate::gateway::counts::{Counts, MOST, Stats};
use crate::gateway::endpoint::Endpoint;
use crate::gateway::resolve::Resolve;
use crate::gateway::rules::RuleStatus;
use crate::gateway::server::{Config, Gateway as Server};
use crate::gateway::steering::{ErrorCode, Status};
use crate::gateway::watch::Watch;
use crate::gateway::{Effect, Rule};

/// Run the egress gateway: an AWS-aware forward proxy that faults can steer
///
/// Point workloads at it with HTTPS_PROXY and HTTP_PROXY, or point their SDKs at it with endpoint_url=http://ADDR:PORT and say with --endpoint where such
/// calls go. Without a rule it passes everything on. Rules come from drills; 'rules', 'put' and 'remove' are for hands.
///
/// Rules get in over a Unix socket (--socket), as GatewayRule objects of a cluster (--watch-namespace; `firedrill crds` defines them), or both. Without its
/// API server the gateway goes on: rules that it knows stay until their deadline, and end by themselves.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  firedrill gateway --socket /run/firedrill/gateway.sock
  firedrill gateway --socket /run/firedrill/gateway.sock --endpoint http://127.0.0.1:4566
  firedrill gateway --watch-namespace firedrill --listen 0.0.0.0:3128                      # in a pod, with its service account
  firedrill gateway --watch-namespace firedrill --context staging --socket gateway.sock    # from a shell, to try it
  firedrill gateway rules --socket /run/firedrill/gateway.sock
  firedrill gateway stats --socket /run/firedrill/gateway.sock --format json"
)]
pub struct Gateway {
    /// Steer a running gateway instead.
    #[command(subcommand)]
    pub steer: Option<Steer>,

    /// Where workloads connect
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3128")]
    pub listen: SocketAddr,

    /// Steering socket; only the user who runs the gateway may open it
    #[arg(long, value_name = "PATH", required_unless_present = "watch_namespace")]
    pub socket: Option<PathBuf>,

    /// Take the GatewayRule objects of this namespace in force, and say so in their status
    #[arg(long, value_name = "NAME")]
    pub watch_namespace: Option<String>,

    /// A kubeconfig file, to watch with [default: the service account of the pod, unless --context is given]
    #[arg(long, value_name = "FILE", requires = "watch_namespace")]
    pub kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME", requires = "watch_namespace")]
    pub context: Option<String>,

    /// What this gateway is called in the status of rules; each has a name of its own [default: $HOSTNAME, in a pod its name]
    #[arg(long, value_name = "NAME", requires = "watch_namespace")]
    pub name: Option<String>,

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
    /// List the rules in force; with --format json one a line, as 'put' takes it
    Rules {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// How to print it
        #[arg(long, alias = "output", value_enum, default_value_t)]
        format: Format,
    },
    /// Put a rule in force, given as JSON
    ///
    /// A rule has an id, an effect, services, a region, and an end: --for, or its own `deadline`. 'firedrill gateway rules --format json' prints such rules.
    /// The effects are "blackhole", "refuse", {"reset": …}, {"latency": …} and {"error": …}; docs/gateway.md, "By hand", has an example of each.
    ///
    /// Exits 2 when the rule is wrong, 5 when it is refused: the id is taken, or was removed.
    #[command(after_help = PUT_EXAMPLES)]
    Put {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// The rule ends after this long, whatever its `deadline` says; at most 24h
        #[arg(long = "for", value_name = "DURATION", value_parser = DurationText::parse)]
        length: Option<DurationText>,
        /// The rule, as 'rules --format json' prints it
        rule: String,
    },
    /// Remove a rule; it cannot come back before its deadline
    ///
    /// Exits 0 when the rule is removed or was removed before, 2 when the gateway knows no rule of that id: then nothing was undone.
    #[command(after_help = "\
Examples:
  firedrill gateway remove --socket /run/firedrill/gateway.sock 01J9XQ-endpoints-dark")]
    Remove {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// Rule id
        id: String,
    },
    /// Show where the gateway listens and how many connections it carries
    Status {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// How to print it
        #[arg(long, alias = "output", value_enum, default_value_t)]
        format: Format,
    },
    /// Show which client calls which service, region and operation, and what rules did to it
    ///
    /// Tunnels are encrypted: their operation is '-'. An operation that cannot be recognised is '?'.
    #[command(after_help = "\
Examples:
  firedrill gateway stats --socket /run/firedrill/gateway.sock
  firedrill gateway stats --socket /run/firedrill/gateway.sock --format json --reset")]
    Stats {
        /// The gateway.
        #[command(flatten)]
        socket: Socket,
        /// How to print it
        #[arg(long, alias = "output", value_enum, default_value_t)]
        format: Format,
        /// Count from the start afterwards
        #[arg(long)]
        reset: bool,
    },
}

const PUT_EXAMPLES: &str = r#"Examples:
  firedrill gateway put --socket /run/firedrill/gateway.sock --for 10m \
    '{"id": "dark", "effect": "blackhole", "services": ["*"], "region": "us-east-1"}'
  firedrill gateway put --socket /run/firedrill/gateway.sock --for 10m \
    '{"id": "slow", "effect": {"latency": {"delayMs": 250}}, "services": ["dynamodb"], "region": "us-east-1"}'
  firedrill gateway put --socket /run/firedrill/gateway.sock --for 10m \
    '{"id": "denied", "effect": {"error": {"operations": ["ListPolicies"], "error": "AccessDenied", "perMillion": 1000000}},
      "services": ["iam"], "region": "us-east-1"}'"#;

/// Which gateway.
#[derive(Debug, Args)]
pub struct Socket {
    /// Steering socket of the gateway
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Gateway) -> Exit {
    match args.steer {
        Some(steer) => match act(steer).await {
            Ok(lines) => print(&lines),
            Err(error) => error,
        },
        None => serve(args).await,
    }
}

async fn serve(args: Gateway) -> Exit {
    super::operator::log(false);
    let watch = args.watch_namespace.as_deref().map(|namespace| watch(&args, namespace));
    let config = Config { listen: args.listen, socket: args.socket, resolve: args.resolve, endpoint: args.endpoint };
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
    let socket = gateway.socket().map(|socket| socket.display().to_string());
    let rules = watch.as_ref().map(|watch| format!("the GatewayRules of namespace {}", watch.namespace));
    let steered: Vec<String> = socket.into_iter().chain(rules).collect();
    let ready = format!("gateway listens on {}, steered by {}", gateway.address(), steered.join(" and "));
    if let Some(watch) = watch {
        gateway.watch(watch);
    }
    // A closed output is no reason to stop carrying traffic.
    let _ = print(&[ready]);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    gateway.stop().await;
    Exit::Passed
}

fn watch(args: &Gateway, namespace: &str) -> Watch {
    let connection = super::operator::connection(args.kubeconfig.as_deref(), args.context.as_deref());
    // In a pod this is the pod's name. Two of one name would take each other's words back.
    let host = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let name = args.name.clone().or_else(host).unwrap_or_else(|| format!("gateway-{}", ulid::Ulid::generate()));
    Watch {
        cluster: Cluster::any("own", &connection),
        namespace: namespace.to_owned(),
        name,
        prove: Arc::new(|rule, listen| rule::acts(rule, listen).boxed()),
    }
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
        Steer::Rules { socket: Socket { socket }, format } => {
            let rules = Client::new(socket).list().await.map_err(failed)?;
            match format {
                Format::Json => rules.iter().map(|status| json(serde_json::to_string(status))).collect(),
                Format::Text => Ok(in_force(&rules, SystemTime::now().into())),
            }
        }
        Steer::Put { socket, length, rule } => {
            let now = Timestamp::from(SystemTime::now());
            let rule = read(&rule, length.map(|length| now.plus(length.0))).map_err(|why| super::fail(Exit::Usage, why))?;
            if rule.deadline <= now {
                return Err(super::fail(Exit::Usage, format!("the deadline of rule '{}' has passed; --for 10m sets one", rule.id)));
            }
            let changed = Client::new(socket.socket).put(&rule).await.map_err(failed)?;
            Ok(vec![format!("rule {} {} until {}", rule.id, if changed { "put in force" } else { "was in force already" }, until(rule.deadline))])
        }
        Steer::Remove { socket: Socket { socket }, id } => {
            let client = Client::new(socket);
            match client.take_away(&id).await.map_err(failed)? {
                Removal::Removed => Ok(vec![format!("rule {id} removed")]),
                Removal::Before => Ok(vec![format!("rule {id} was removed before")]),
                Removal::Unknown => Err(unknown(&client, &id).await),
            }
        }
        Steer::Status { socket: Socket { socket }, format } => {
            let status = Client::new(socket).status().await.map_err(failed)?;
            match format {
                Format::Json => Ok(vec![json(serde_json::to_string(&status))?]),
                Format::Text => Ok(how_it_is(&status)),
            }
        }
        Steer::Stats { socket, format, reset } => {
            let stats = Client::new(socket.socket).stats(reset).await.map_err(failed)?;
            match format {
                Format::Json => Ok(vec![json(serde_json::to_string(&stats))?]),
                Format::Text => Ok(table(&stats)),
            }
        }
    }
}

/// A rule as people write it, or as `rules` prints it (`{"rule": {…}, "hits": 3}`). What only drills know may be left out: `run`, `step` and `cutExisting`.
fn read(text: &str, deadline: Option<Timestamp>) -> Result<Rule, String> {
    let wrong = |error: serde_json::Error| format!("cannot read the rule: {error}");
    let mut value: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
    if let Some(inner) = value.get_mut("rule") {
        value = inner.take();
    }
    let Some(fields) = value.as_object_mut() else { return Err("cannot read the rule: it is not a JSON object".to_owned()) };
    let mut given = |name: &str, what: serde_json::Value| _ = fields.entry(name).or_insert(what);
    given("run", "by-hand".into());
    given("step", "by-hand".into());
    given("cutExisting", false.into());
    match deadline {
        Some(deadline) => _ = fields.insert("deadline".to_owned(), serde_json::json!(deadline)),
        None if !fields.contains_key("deadline") => return Err("the rule has no end: give it a `deadline`, or add --for 10m".to_owned()),
        None => {}
    }
    serde_json::from_value(value).map_err(wrong)
}

/// A mistyped undo is not a success: whatever the right rule does, it still does.
async fn unknown(client: &Client, id: &str) -> Exit {
    let there: Vec<String> = client.list().await.unwrap_or_default().into_iter().map(|status| status.rule.id).collect();
    let near = did_you_mean(id, there.iter().map(String::as_str));
    let why = if near.is_empty() { "; it is mistyped, or it ended at its deadline or with the gateway" } else { &near };
    let list = format!("firedrill gateway rules --socket {}", quoted(&client.socket().display().to_string()));
    let id = plain(id);
    super::fail(Exit::Usage, format!("nothing was removed: the gateway knows no rule '{id}'{why} ({} in force: `{list}`)", there.len()))
}

fn until(at: Timestamp) -> String {
    at.utc().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The rules for people.
fn in_force(rules: &[RuleStatus], now: Timestamp) -> Vec<String> {
    if rules.is_empty() {
        return vec!["no rule is in force: everything passes".to_owned()];
    }
    let mut rows = vec![["ID", "EFFECT", "SERVICES", "REGION", "OPEN", "ENDS IN", "HITS"].map(str::to_owned).to_vec()];
    rows.extend(rules.iter().map(|RuleStatus { rule, hits }| {
        let open = if rule.cut_existing { "cut" } else { "kept" };
        let left = Duration::from_secs(rule.deadline.since(now).as_secs());
        let cells = [&rule.id, &effect(&rule.effect), &rule.services.join(","), &rule.region].map(|cell| plain(cell));
        cells.into_iter().chain([open.to_owned(), DurationText(left).to_string(), hits.to_string()]).collect()
    }));
    columns(&rows).lines().map(str::to_owned).collect()
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Blackhole => "blackhole".to_owned(),
        Effect::Refuse => "refuse".to_owned(),
        Effect::Reset { after_bytes } => format!("reset after {after_bytes} bytes"),
        Effect::Latency { delay_ms, jitter_ms, bytes_per_second } => {
            let rate = bytes_per_second.map(|rate| format!(", {rate} bytes/s")).unwrap_or_default();
            format!("latency {delay_ms} ms + {jitter_ms} ms{rate}")
        }
        Effect::Error { operations, error, per_million, .. } => {
            format!("{error:?} to {} % of {}", f64::from(*per_million) / 10_000.0, operations.join(","))
        }
    }
}

fn how_it_is(status: &Status) -> Vec<String> {
    let Status { listen, version, connections, rules } = status;
    let rows = [
        ["listens on", &listen.to_string()],
        ["connections", &connections.to_string()],
        ["rules in force", &rules.to_string()],
        ["version", &plain(version)],
    ];
    columns(&rows.map(|row| row.map(str::to_owned).to_vec())).lines().map(str::to_owned).collect()
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
        ClientError::Refused { code: ErrorCode::Invalid, .. } => Exit::Usage,
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
