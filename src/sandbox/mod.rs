//! The embedded default: two regions on loopback, real sockets, real failure. Nothing in it knows that a drill is on.
//!
//! ```text
//!                   users                          monitoring: scrapes edge and stores, alert RegionDown
//!                     |
//!                    edge          an operator's weights, else health checks of both checkouts, fail-over, fail-back
//!                  /      \
//!   us-east-1  checkout   checkout  us-west-2
//!                  \      /
//!                   gateway        the egress gateway that faults steer, by its socket
//!                  /      \
//!                store <-> store   AWS endpoints: orders, which replicate to each other, and credentials
//! ```
//!
//! Each component has its own listener on a free port of loopback and talks to the others through sockets only.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::drill::spec::Environment;
use crate::gateway::resolve::Resolve;
use crate::gateway::server::{Config, Gateway};

mod checkout;
mod control;
mod credentials;
mod edge;
pub mod environment;
mod monitoring;
mod routing;
mod series;
mod store;
pub mod truth;
mod variant;
mod wire;

pub use environment::{hash_basis, sample_environment};
pub use variant::{UnknownVariant, Variant, parse_env};

use truth::{Happening, Truth};
use wire::Tasks;

/// Name of the gateway's socket in the sandbox's folder.
const SOCKET: &str = "gateway.sock";
/// Longest path of a Unix socket on Linux (`sun_path`, without its terminator).
const SOCKET_PATH_LIMIT: usize = 107;
/// How long the components may take until all of them answer.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// Users go home when home has been healthy for this long.
const FAILBACK: Range<Duration> = Duration::from_millis(2000)..Duration::from_millis(2500);

/// One of the two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Region {
    /// us-east-1, where users are at home.
    #[serde(rename = "us-east-1")]
    East,
    /// us-west-2.
    #[serde(rename = "us-west-2")]
    West,
}

impl Region {
    /// Both.
    pub const ALL: [Self; 2] = [Self::East, Self::West];

    /// As on AWS.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::East => "us-east-1",
            Self::West => "us-west-2",
        }
    }

    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::East => Self::West,
            Self::West => Self::East,
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The folder cannot be used.
    #[error("cannot use the sandbox's folder {}: {source}", .dir.display())]
    Folder {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder's path is too long for a socket in it.
    #[error("the path {} is too long for a Unix socket ({} bytes of at most {SOCKET_PATH_LIMIT}); choose a shorter folder", .0.display(), .0.as_os_str().len())]
    SocketPath(PathBuf),
    /// No listener on loopback.
    #[error("cannot listen on loopback: {0}")]
    Listen(#[source] io::Error),
    /// The gateway did not start.
    #[error("the sandbox's gateway did not start: {0}")]
    Gateway(#[source] io::Error),
    /// A component did not answer in time.
    #[error("the sandbox's {component} is not well after {limit} s: {last}", limit = READY_LIMIT.as_secs())]
    NotReady {
        /// Which.
        component: &'static str,
        /// What it said last.
        last: String,
    },
}

/// A running sandbox. Dropping it ends it too, without waiting for its tasks.
#[derive(Debug)]
pub struct Sandbox {
    variant: Variant,
    environment: Environment,
    gateway: Option<Gateway>,
    gateway_address: SocketAddr,
    truth: Truth,
    truth_path: PathBuf,
    tasks: Tasks,
}

impl Sandbox {
    /// Starts every component and returns when all of them answer. The gateway's socket and the record of the truth are made in `dir`, which is
    /// created when it is missing.
    pub async fn start(variant: Variant, dir: &Path) -> Result<Self, SandboxError> {
        let in_folder = |source| SandboxError::Folder { dir: dir.to_owned(), source };
        private_folder(dir).map_err(in_folder)?;
        let dir = dir.canonicalize().map_err(in_folder)?;
        let gateway_socket = dir.join(SOCKET);
        if gateway_socket.as_os_str().len() > SOCKET_PATH_LIMIT {
            return Err(SandboxError::SocketPath(gateway_socket));
        }
        let truth = Truth::open(&dir).map_err(in_folder)?;
        let sandbox = Self::assemble(variant, gateway_socket, truth, dir.join(truth::FILE)).await?;
        sandbox.ready().await?;
        sandbox.truth.note(Happening::Started);
        Ok(sandbox)
    }

    async fn assemble(variant: Variant, gateway_socket: PathBuf, truth: Truth, truth_path: PathBuf) -> Result<Self, SandboxError> {
        let listening = SandboxError::Listen;
        let east_store = store::Doors::open().await.map_err(listening)?;
        let west_store = store::Doors::open().await.map_err(listening)?;
        let (east_checkout, east) = wire::listen().await.map_err(listening)?;
        let (west_checkout, west) = wire::listen().await.map_err(listening)?;
        let (users, edge) = wire::listen().await.map_err(listening)?;
        let (admin, edge_admin) = wire::listen().await.map_err(listening)?;
        let (queries, prometheus) = wire::listen().await.map_err(listening)?;
        let (east_tables, west_tables) = (east_store.table_address, west_store.table_address);

        let gateway = start_gateway(&gateway_socket, east_store.api_address, west_store.api_address)?;
        let gateway_address = gateway.address();

        let tasks = Tasks::default();
        let behaviour = variant.behaviour();
        store::start(&tasks, Region::East, east_store, west_tables, &behaviour, truth.clone());
        store::start(&tasks, Region::West, west_store, east_tables, &behaviour, truth.clone());
        checkout::start(&tasks, Region::East, east_checkout, gateway_address, &behaviour, truth.clone());
        checkout::start(&tasks, Region::West, west_checkout, gateway_address, &behaviour, truth.clone());
        let pace = routing::Pace { failover: behaviour.failover, failback: FAILBACK, draw: random_between };
        edge::start(&tasks, edge::Doors { users, admin }, [east, west], pace, truth.clone());
        let targets = vec![
            monitoring::Target { job: "edge", address: edge_admin, region: None },
            monitoring::Target { job: "orders", address: east_tables, region: Some(Region::East) },
            monitoring::Target { job: "orders", address: west_tables, region: Some(Region::West) },
        ];
        let setup = monitoring::Setup { deaf: behaviour.deaf, alert_on: behaviour.alert_on };
        monitoring::start(&tasks, queries, targets, setup, truth.clone());

        let addresses = environment::Addresses { edge, edge_admin, east, west, orders_west: west_tables, prometheus, gateway_socket };
        let environment = environment::describe(variant, &addresses);
        Ok(Self { variant, environment, gateway: Some(gateway), gateway_address, truth, truth_path, tasks })
    }

    /// Waits until both regions serve, the edge lets users in and the alert can be queried.
    async fn ready(&self) -> Result<(), SandboxError> {
        let ok = |body: &[u8]| !body.is_empty();
        for (name, endpoint) in [("checkout in us-east-1", "east"), ("checkout in us-west-2", "west"), ("edge", "checkout")] {
            answers(name, &self.environment.spec.endpoints[endpoint], "/healthz", ok).await?;
        }
        if !self.variant.behaviour().deaf {
            let scraped =
                |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|body| body["data"]["result"][0]["value"][1] == "1");
            answers("monitoring", &self.environment.spec.prometheus[0].url, "/api/v1/query?query=up%7Bjob=%22edge%22%7D", scraped).await?;
        }
        Ok(())
    }

    /// The environment that a drill runs against.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Which variant runs.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Where the gateway takes requests, as `HTTP_PROXY` or `curl -x` want it.
    #[must_use]
    pub fn gateway_address(&self) -> SocketAddr {
        self.gateway_address
    }

    /// The sandbox's own record of what happened when; see [`truth::read`].
    #[must_use]
    pub fn truth_path(&self) -> &Path {
        &self.truth_path
    }

    /// Ends every component and removes the gateway's socket. The record of the truth stays.
    pub async fn stop(mut self) {
        self.truth.note(Happening::Stopped);
        if let Some(gateway) = self.gateway.take() {
            gateway.stop().await;
        }
        self.tasks.stop().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// Creates a folder that only its owner may enter; one that is there already stays as it is.
fn private_folder(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Asks until the answer is 200 and `fits`, or [`READY_LIMIT`] is over.
async fn answers(component: &'static str, url: &str, path: &str, fits: impl Fn(&[u8]) -> bool) -> Result<(), SandboxError> {
    let mut last = "it has no address".to_owned();
    let asked = async {
        let authority = url.strip_prefix("http://").unwrap_or_default();
        let address = authority.parse().ok()?;
        loop {
            match wire::send(address, wire::get(authority, path), Duration::from_secs(1)).await {
                Ok(answer) if answer.status() == StatusCode::OK && fits(answer.body()) => return Some(()),
                Ok(answer) => last = format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body())),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ready = tokio::time::timeout(READY_LIMIT, asked).await.ok().flatten();
    ready.ok_or(SandboxError::NotReady { component, last })
}

/// A length of time in a range, at random.
fn random_between(range: Range<Duration>) -> Duration {
    rand::random_range(range)
}

/// Starts the egress gateway in front of both regions' AWS endpoints. Names without a region are homed in us-east-1, as on AWS; it also gets the
/// names of regions that the sandbox lacks, and says so, lest they be looked up on the internet.
fn start_gateway(socket: &Path, east: SocketAddr, west: SocketAddr) -> Result<Gateway, SandboxError> {
    let resolve = [
        ("*.us-east-1.amazonaws.com", east),
        ("*.us-east-1.api.aws", east),
        ("*.us-west-2.amazonaws.com", west),
        ("*.us-west-2.api.aws", west),
        ("*.amazonaws.com", east),
        ("*.api.aws", east),
    ];
    let resolve = resolve.into_iter().map(|(host, address)| Resolve::new(host, address)).collect();
    let config = Config { listen: (Ipv4Addr::LOCALHOST, 0).into(), socket: Some(socket.to_owned()), resolve, endpoint: None };
    Gateway::start(config).map_err(SandboxError::Gateway)
}
