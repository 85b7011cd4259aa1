//! Name look-ups whose answers are checked before anything connects to them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{Semaphore, oneshot};

use super::address::{Refusal, Rules};

/// Look-ups of one name that may be under way at once. A dead resolver holds each for some 10 to 20 s; more would only queue behind it.
const PENDING_PER_NAME: usize = 16;
/// Names remembered before idle ones are forgotten; redirects could otherwise make the table grow without end.
const NAMES: usize = 256;

/// Answers a name with its addresses; blocks.
pub(super) trait Lookup: Send + Sync {
    /// All addresses of the name.
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver, with its hosts file and search list.
pub(super) struct System;

impl Lookup for System {
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// Why a name has no address to connect to.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    /// It leads where probes must not go.
    #[error(transparent)]
    Refused(Refusal),
    /// It has no address, or its resolver does not answer.
    #[error("cannot resolve '{name}': {reason}")]
    Failed {
        /// The name.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// This machine cannot even ask.
    #[error("cannot start a name look-up: {0}")]
    Instrument(io::Error),
}

/// Gives reqwest only addresses that the rules allow; since it connects to what it is given, a later, different answer changes nothing.
pub(super) struct Resolver {
    rules: Rules,
    lookup: Arc<dyn Lookup>,
    pending: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Resolver {
    pub(super) fn new(rules: Rules, lookup: Arc<dyn Lookup>) -> Self {
        Self { rules, lookup, pending: Mutex::default() }
    }

    fn permits(&self, name: &str) -> Arc<Semaphore> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= NAMES {
            pending.retain(|_, permits| permits.available_permits() < PENDING_PER_NAME);
        }
        Arc::clone(pending.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(PENDING_PER_NAME))))
    }

    /// All addresses of a name, all of them allowed.
    pub(super) fn addresses(&self, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send + 'static {
        let name = name.to_owned();
        let (rules, lookup, permits) = (self.rules, Arc::clone(&self.lookup), self.permits(&name));
        async move {
            let found = look_up(lookup, permits, name.clone()).await?;
            // One forbidden address spoils the answer: which of several is connected to must not depend on order or luck.
            for ip in &found {
                rules.check(*ip, Some(&name)).map_err(ResolveError::Refused)?;
            }
            Ok(found)
        }
    }
}

/// Looks a name up on a thread of its own. tokio's blocking pool would do, but a hanging resolver (just what a drill may cause) would fill the
/// pool that others need, and keep the process from ending until it answers.
async fn look_up(lookup: Arc<dyn Lookup>, permits: Arc<Semaphore>, name: String) -> Result<Vec<IpAddr>, ResolveError> {
    let permit = permits.acquire_owned().await.map_err(|closed| ResolveError::Instrument(io::Error::other(closed)))?;
    let (answer, answered) = oneshot::channel();
    let asked = name.clone();
    std::thread::Builder::new()
        .name("name look-up".to_owned())
        .spawn(move || {
            let found = lookup.lookup(&asked);
            drop(permit);
            // Nobody waits any more when the reading timed out.
            let _ = answer.send(found);
        })
        .map_err(ResolveError::Instrument)?;
    let found = answered.await.map_err(|gone| ResolveError::Instrument(io::Error::other(gone)))?;
    match found {
        Ok(found) if found.is_empty() => Err(ResolveError::Failed { name, reason: "no address".to_owned() }),
        Ok(found) => Ok(found),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.strip_prefix("failed to lookup address information: ").unwrap_or(&reason).to_owned();
            Err(ResolveError::Failed { name, reason })
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.addresses(name.as_str());
        Box::pin(async move {
            let addresses: Addrs = Box::new(found.await?.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}
