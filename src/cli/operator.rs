//! `firedrill operator`: runs the drills of one namespace, as its resources say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use super::{Context, fail};
use crate::cluster::api::Cluster;
use crate::drill::spec::ClusterConnection;
use crate::drill::text::DurationText;
use crate::exit::Exit;
use crate::fence;
use crate::operator::lead::{Operator as Leader, Settings};
use crate::operator::lease::{Lease, Terms};
use crate::operator::notify::Notifier;
use crate::operator::serve::serve;
use crate::operator::volume::Volume;

/// Where a pod reads which namespace it is in (Kubernetes documentation, "Accessing the API from within a Pod").
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Run the drills of one namespace, as its resources say
///
/// Watches Drill, Environment, DrillSchedule, DrillRun and DrillApproval objects in one namespace (`firedrill crds` defines them). Several may be started:
/// one leads, the others wait. A new leader first finishes the undo of what is open, then looks for what is in place, then goes on.
///
/// SIGTERM or Ctrl-C: nothing more is begun, every run is undone in order, and the lease is given back. A second one hurries, a third leaves at once, exit 7.
/// Exits 8 when the lease is lost: something is to start it again.
#[derive(Debug, Args)]
#[command(after_help = "\
In a pod, with its service account:
  firedrill operator --listen 0.0.0.0:8080
From a shell, to try it:
  firedrill operator --context staging --namespace firedrill")]
pub struct Operator {
    /// The namespace [default: the pod's own]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// A kubeconfig file [default: the service account of the pod, unless --context is given]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// How long the others wait before they take over; a leader that cannot renew its lease for two thirds of it ends
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub lease_duration: String,

    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Who is told of runs outside the cluster: a YAML file of receivers (docs/operator.md, "Notifications")
    #[arg(long, value_name = "FILE")]
    pub notifications: Option<PathBuf>,

    /// Write full reports into this directory, a mounted volume, instead of ConfigMaps
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,

    /// Reports that are kept in --report-dir; the oldest go
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "report_dir")]
    pub reports_kept: u32,

    /// Log lines as JSON
    #[arg(long)]
    pub log_json: bool,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Operator) -> Exit {
    log(args.log_json);
    let terms = match DurationText::parse(&args.lease_duration).and_then(|length| Terms::of(*length)) {
        Ok(terms) => terms,
        Err(error) => return fail(Exit::Usage, format!("--lease-duration: {error}")),
    };
    let Some(namespace) = args.namespace.clone().or_else(own_namespace) else {
        return fail(Exit::Usage, "which namespace? pass --namespace NAME; only in a pod it is the pod's own by default");
    };
    let notifications = match args.notifications.as_deref().map(Notifier::read).transpose() {
        Ok(notifications) => notifications.unwrap_or_default(),
        Err(error) => return fail(Exit::Usage, format!("--notifications: {error}")),
    };
    let reports = match args.report_dir.as_deref().map(|directory| Volume::open(directory, args.reports_kept)).transpose() {
        Ok(reports) => reports,
        Err(error) => return fail(Exit::Usage, format!("--report-dir: {error}")),
    };
    let settings = Settings { notifications, reports };
    let connection = connection(args.kubeconfig.as_deref(), args.context.as_deref());
    let signals = match signals() {
        Ok(signals) => signals,
        Err(error) => return fail(Exit::Internal, format!("cannot listen for signals: {error}")),
    };
    let listener = match TcpListener::bind(args.listen).await {
        Ok(listener) => listener,
        Err(error) => return fail(Exit::Usage, format!("--listen {}: {error}", args.listen)),
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!("serving /metrics, /healthz and /readyz on {address}");
    }
    operate(&namespace, &connection, terms, settings, listener, signals).await
}

async fn operate(
    namespace: &str,
    connection: &ClusterConnection,
    terms: Terms,
    settings: Settings,
    listener: TcpListener,
    mut signals: mpsc::UnboundedReceiver<&'static str>,
) -> Exit {
    let connected = async {
        loop {
            match Cluster::discover("own", connection).await {
                Ok(cluster) => return Arc::new(cluster),
                // An API server that is away comes back; what else is wrong, somebody corrects.
                Err(error) => {
                    tracing::warn!("{error}");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        }
    };
    let cluster = tokio::select! {
        cluster = connected => cluster,
        Some(_) = signals.recv() => return Exit::Passed,
    };
    let identity = format!("{}_{}", std::env::var("HOSTNAME").unwrap_or_else(|_| "firedrill".to_owned()), ulid::Ulid::generate());
    let leader = match Leader::new(cluster.clone(), namespace, &identity, settings) {
        Ok(leader) => leader,
        Err(error) => return fail(Exit::Internal, error),
    };
    tokio::spawn(serve(leader.clone(), listener));
    let lease = Arc::new(Lease::new(cluster, namespace, &identity, terms));
    tokio::select! {
        () = lease.acquire(|why| tracing::info!("{why}")) => tracing::info!("{identity} leads in namespace {namespace}"),
        Some(_) = signals.recv() => return Exit::Passed,
    }
    let kept = lease.clone();
    let keeping = tokio::spawn(async move { fence::end(&kept.keep().await) });
    let exit = leader.lead(signals).await;
    keeping.abort();
    lease.release().await;
    exit
}

/// A cluster as flags name it: without any, the pod's own.
pub(super) fn connection(kubeconfig: Option<&Path>, context: Option<&str>) -> ClusterConnection {
    ClusterConnection {
        kubeconfig_file: kubeconfig.map(|file| file.display().to_string()),
        context: context.map(str::to_owned),
        in_cluster: (kubeconfig.is_none() && context.is_none()).then_some(true),
    }
}

/// To standard error; `RUST_LOG` says how much.
pub(super) fn log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,firedrill=info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second one in the same process: the first one stays.
    let _ = if json { lines.json().try_init() } else { lines.with_ansi(false).try_init() };
}

fn own_namespace() -> Option<String> {
    let text = std::fs::read_to_string(POD_NAMESPACE).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

fn signals() -> std::io::Result<mpsc::UnboundedReceiver<&'static str>> {
    let (send, receive) = mpsc::unbounded_channel();
    for (kind, name) in [(SignalKind::interrupt(), "Ctrl-C"), (SignalKind::terminate(), "SIGTERM"), (SignalKind::hangup(), "SIGHUP")] {
        let (mut signals, send) = (signal(kind)?, send.clone());
        tokio::spawn(async move { while signals.recv().await.is_some() && send.send(name).is_ok() {} });
    }
    Ok(receive)
}
