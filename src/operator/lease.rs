//! Who leads: one process of a namespace holds a Lease, and ends itself when it can no longer say so.
//!
//! # Guarantees
//! - Whoever holds it stops changing anything (it ends) `renew` after it last *began* to renew it, and others wait `duration` after they last *saw* it
//!   renewed: with `renew` below `duration` there is a time between the two in which nobody leads.
//! - Only differences of this machine's monotonic clock count. The times in the Lease are for people.
//!
//! # Caveats
//! - A lease is no lock (undo.md): a call that was on its way when the process ended may still arrive. Records are compared and swapped.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::object::{set, test};
use crate::clock::Timestamp;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{At, LEASES};
use crate::fence;

/// How long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Others wait so long after they last saw it renewed.
    pub duration: Duration,
    /// The holder ends when it could not renew it for so long.
    pub renew: Duration,
    /// How often it is looked at, and renewed.
    pub retry: Duration,
}

impl Terms {
    /// Terms of a lease that lasts so long: renewed by two thirds of it, looked at eight times, and every two seconds at least.
    ///
    /// # Errors
    /// It is too short to be renewed in time, or too long to be taken over soon.
    pub fn of(duration: Duration) -> Result<Self, String> {
        if !(Duration::from_secs(3)..=Duration::from_mins(5)).contains(&duration) {
            return Err("a lease lasts from 3s to 5m".to_owned());
        }
        Ok(Self { duration, renew: duration * 2 / 3, retry: (duration / 8).min(Duration::from_secs(2)) })
    }
}

/// The Lease of a namespace, as one process sees it.
pub struct Lease {
    cluster: Arc<Cluster>,
    namespace: String,
    name: String,
    identity: String,
    terms: Terms,
}

/// What a call came to.
enum Tried {
    Held,
    HeldBy(String),
    Failed(ApiError),
}

impl Lease {
    /// Name of the Lease of every operator.
    pub const NAME: &'static str = "firedrill-operator";

    /// A lease that is not held yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, namespace: &str, identity: &str, terms: Terms) -> Self {
        Self { cluster, namespace: namespace.to_owned(), name: Self::NAME.to_owned(), identity: identity.to_owned(), terms }
    }

    fn at(&self) -> At<'_> {
        LEASES.at(Some(&self.namespace), &self.name)
    }

    /// Waits until this process holds it. `told` hears, once each, who holds it and why it cannot be asked for.
    pub async fn acquire(&self, mut told: impl FnMut(&str)) {
        // What was seen, and since when it has not changed.
        let mut seen: Option<(String, Instant)> = None;
        let mut said = String::new();
        loop {
            let begun = fence::now();
            let tried = match self.cluster.get(&self.at()).await {
                Err(error) => Tried::Failed(error),
                Ok(None) => self.create().await,
                Ok(Some(lease)) => {
                    let version = text(&lease, "/metadata/resourceVersion");
                    let since = match &seen {
                        Some((known, since)) if *known == version => *since,
                        _ => Instant::now(),
                    };
                    seen = Some((version, since));
                    let holder = text(&lease, "/spec/holderIdentity");
                    let lasts = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64).map_or(self.terms.duration, Duration::from_secs);
                    if holder.is_empty() || since.elapsed() >= lasts { self.take(&lease).await } else { Tried::HeldBy(holder) }
                }
            };
            let now = match tried {
                Tried::Held => {
                    fence::until(begun, self.terms.renew);
                    return;
                }
                Tried::HeldBy(holder) => format!("{holder} leads; waiting to take over"),
                Tried::Failed(error) => format!("the lease cannot be read or written: {error}"),
            };
            if now != said {
                told(&now);
                said = now;
            }
            tokio::time::sleep(self.terms.retry).await;
        }
    }

    /// Renews it for good. Returns only when the process must end, with the reason.
    pub async fn keep(&self) -> String {
        loop {
            tokio::time::sleep(self.terms.retry).await;
            let begun = fence::now();
            // A call that hangs must not keep the next one from being made.
            match tokio::time::timeout(self.terms.renew / 2, self.renew()).await {
                Ok(Tried::Held) => fence::until(begun, self.terms.renew),
                Ok(Tried::HeldBy(holder)) => return format!("{holder} has taken it"),
                // The fence ends the process when it goes on like this.
                Ok(Tried::Failed(error)) => tracing::warn!("the lease could not be renewed: {error}"),
                Err(_) => tracing::warn!("the lease could not be renewed: no answer in time"),
            }
        }
    }

    /// Gives it back, so that another process need not wait. A failure costs only that wait.
    pub async fn release(&self) {
        let operations = [test("/spec/holderIdentity", &json!(self.identity)), set("/spec/holderIdentity", &json!(""))];
        let given = tokio::time::timeout(self.terms.retry, self.cluster.patch(&self.at(), &operations)).await;
        if !matches!(given, Ok(Ok(_))) {
            tracing::info!("the lease could not be given back; it runs out by itself");
        }
    }

    async fn create(&self) -> Tried {
        let lease = json!({
            "apiVersion": LEASES.api_version(), "kind": LEASES.kind,
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {"app.kubernetes.io/name": "firedrill"}},
            "spec": self.spec(0),
        });
        self.tried(self.cluster.create(LEASES, Some(&self.namespace), &lease).await).await
    }

    async fn take(&self, lease: &Value) -> Tried {
        let transitions = lease.pointer("/spec/leaseTransitions").and_then(Value::as_u64).unwrap_or(0) + 1;
        let unchanged = test("/metadata/resourceVersion", &json!(text(lease, "/metadata/resourceVersion")));
        let operations = [unchanged, set("/spec", &self.spec(transitions))];
        self.tried(self.cluster.patched(&self.at(), &operations).await).await
    }

    async fn renew(&self) -> Tried {
        let operations = [test("/spec/holderIdentity", &json!(self.identity)), set("/spec/renewTime", &json!(now()))];
        self.tried(self.cluster.patched(&self.at(), &operations).await).await
    }

    /// A conflict, or an answer that was lost, is neither: it is read back.
    async fn tried(&self, done: Result<Value, ApiError>) -> Tried {
        let lease = match done {
            Ok(lease) => lease,
            Err(ApiError::Conflict { .. } | ApiError::LostAnswer { .. }) => match self.cluster.get(&self.at()).await {
                Ok(Some(lease)) => lease,
                Ok(None) => return Tried::HeldBy("nobody (the lease was deleted)".to_owned()),
                Err(error) => return Tried::Failed(error),
            },
            Err(error) => return Tried::Failed(error),
        };
        let holder = text(&lease, "/spec/holderIdentity");
        if holder == self.identity { Tried::Held } else { Tried::HeldBy(holder) }
    }

    fn spec(&self, transitions: u64) -> Value {
        let acquired = now();
        json!({
            "holderIdentity": self.identity, "leaseDurationSeconds": self.terms.duration.as_secs(), "acquireTime": acquired, "renewTime": acquired,
            "leaseTransitions": transitions,
        })
    }
}

fn text(lease: &Value, pointer: &str) -> String {
    lease.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_ends_before_others_may_take_over() {
        for seconds in [3, 15, 300] {
            let terms = Terms::of(Duration::from_secs(seconds)).unwrap();
            assert!(terms.renew < terms.duration && terms.retry * 4 < terms.renew, "{terms:?}");
            assert!(terms.retry <= Duration::from_secs(2), "taken over within the lease and 5 s: {terms:?}");
        }
        assert!(Terms::of(Duration::from_secs(2)).is_err());
        assert!(Terms::of(Duration::from_secs(301)).is_err());
    }
}
