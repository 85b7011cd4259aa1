//! Starts and stops a gateway: the proxy's listener and the steering socket.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Shared};
use super::counts::Counters;
use super::endpoint::Endpoint;
use super::open::Open;
use super::resolve::Resolve;
use super::rules::Rules;
use super::watch::{self, Watch};
use super::{steering, stream};

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where proxy clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Steering socket; its directory must exist and be nobody else's to write. None: there is no socket.
    pub socket: Option<PathBuf>,
    /// Hosts that are not looked up in DNS; the first that covers a host counts.
    pub resolve: Vec<Resolve>,
    /// Where requests to the gateway itself are passed on. None: they are refused, unless a rule answers them.
    pub endpoint: Option<Endpoint>,
}

/// A running gateway. Dropping it ends it too, without waiting for its connections.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    socket: Option<SocketFile>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Gateway {
    /// Starts a gateway on the current tokio runtime.
    ///
    /// Fails when the address is taken, a live gateway owns the socket, or others may write the socket's directory. A socket that a dead gateway left
    /// behind is replaced.
    pub fn start(config: Config) -> io::Result<Self> {
        let bound = config.socket.as_deref().map(SocketFile::bind).transpose()?;
        let tcp = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        let at = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", config.listen));
        tcp.set_reuseaddr(true)?;
        // Accepted connections have them from their listener: four calls fewer for each.
        stream::set_options(&tcp);
        tcp.bind(config.listen).map_err(at)?;
        let listener = tcp.listen(1024).map_err(at)?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(Shared {
            rules: Rules::default(),
            open: Open::default(),
            counters: Counters::default(),
            resolve: config.resolve,
            endpoint: config.endpoint,
            listen: address,
            connections: AtomicUsize::new(0),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        tasks.spawn(accept_clients(shared.clone(), listener));
        let socket = bound.map(|(file, steering)| {
            tasks.spawn(accept_steering(shared.clone(), steering));
            file
        });
        Ok(Self { address, socket, shared, stop, tasks })
    }

    /// Where proxy clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The steering socket, where there is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(|socket| socket.path.as_path())
    }

    /// Follows the `GatewayRule`s of a namespace from now on, until it stops.
    pub fn watch(&self, watch: Watch) {
        watch::start(&self.shared, watch);
    }

    /// Closes every connection and removes the socket.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

async fn accept_clients(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, client)) => {
                shared.tasks.spawn(connection::serve(shared.clone(), stream, client.ip()));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn accept_steering(shared: Arc<Shared>, listener: UnixListener) {
    let slots = Arc::new(tokio::sync::Semaphore::new(64));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                // More than that many at once is a runaway client: it waits in the backlog.
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                let shared_here = shared.clone();
                shared.tasks.spawn(async move {
                    let _slot = slot;
                    tokio::select! {
                        served = steering::serve(shared_here.clone(), stream) => {
                            if let Err(error) = served {
                                tracing::debug!(%error, "steering connection ended");
                            }
                        }
                        () = shared_here.stop.cancelled() => {}
                    }
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// A connection that was given up before it was accepted is nothing; running out of descriptors passes when others close.
async fn pause_after(error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The socket's file, and the lock beside it that tells a live owner from a dead one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    _lock: fs::File,
}

impl SocketFile {
    fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        let problem = |kind: io::ErrorKind, what: &str| io::Error::new(kind, format!("socket {}: {what}", path.display()));
        let wrap = |what: &'static str| move |error: io::Error| problem(error.kind(), &format!("{what}: {error}"));
        let directory = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(problem(io::ErrorKind::InvalidInput, "not a file name")),
        };
        let about = fs::metadata(directory).map_err(wrap("its directory cannot be read"))?;
        if about.mode() & 0o002 != 0 {
            return Err(problem(io::ErrorKind::PermissionDenied, "its directory is world-writable; use one that only you may write"));
        }
        let lock_path = path.with_added_extension("lock");
        let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(wrap("cannot open its lock file"))?;
        let owned = || problem(io::ErrorKind::AddrInUse, "a live gateway owns it");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| owned())?;
        match fs::symlink_metadata(path) {
            Ok(present) if !present.file_type().is_socket() => return Err(problem(io::ErrorKind::AlreadyExists, "it exists and is not a socket")),
            Ok(_) => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(owned());
                }
                fs::remove_file(path).map_err(wrap("cannot replace the stale one"))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrap("cannot be read")(error)),
        }
        let listener = UnixListener::bind(path).map_err(wrap("cannot bind"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(wrap("cannot set its mode"))?;
        let about = fs::symlink_metadata(path)?;
        Ok((Self { path: path.to_owned(), identity: (about.dev(), about.ino()), _lock: lock }, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|about| (about.dev(), about.ino()) == self.identity);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
