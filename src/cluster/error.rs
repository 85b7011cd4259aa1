//! Why a call of a cluster's API failed, as far as it matters to who called.

use std::time::Duration;

use kube::core::Status;

use super::access::Access;
use super::connect;
use crate::cause::{chain, never_sent};

/// Why a call failed. Each names its cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The kubeconfig, context or service account cannot be used.
    #[error("cluster '{cluster}' (its connection cannot be used): {why}")]
    Config {
        /// Name of the cluster.
        cluster: String,
        /// What is wrong.
        why: String,
    },
    /// Nobody answered: nothing was done.
    #[error("cluster '{cluster}': {why}")]
    Unreachable {
        /// Name of the cluster.
        cluster: String,
        /// What the connection said.
        why: String,
    },
    /// It was sent, and no answer came: neither success nor failure.
    #[error("cluster '{cluster}' gave no answer: {why}")]
    LostAnswer {
        /// Name of the cluster.
        cluster: String,
        /// What the connection said.
        why: String,
    },
    /// Another cluster answers there.
    #[error("cluster '{cluster}' is not the one that is meant: kube-system has uid {found}, the environment says {wanted}")]
    OtherCluster {
        /// Name of the cluster.
        cluster: String,
        /// UID of its `kube-system` namespace.
        found: String,
        /// UID that it should have.
        wanted: String,
    },
    /// 403.
    #[error("cluster '{cluster}' does not allow it: {what}")]
    Denied {
        /// Name of the cluster.
        cluster: String,
        /// What the server said.
        what: String,
    },
    /// 404.
    #[error("cluster '{cluster}': {what}")]
    NotFound {
        /// Name of the cluster.
        cluster: String,
        /// What the server said.
        what: String,
    },
    /// 409, or 422 of a patch whose `test` failed: read back.
    #[error("cluster '{cluster}': {what}")]
    Conflict {
        /// Name of the cluster.
        cluster: String,
        /// What the server said.
        what: String,
    },
    /// 429: later.
    #[error("cluster '{cluster}' asks to wait: {what}")]
    TooMany {
        /// Name of the cluster.
        cluster: String,
        /// What the server said.
        what: String,
        /// How long, when it said so.
        after: Option<Duration>,
    },
    /// Any other refusal.
    #[error("cluster '{cluster}' answers {code}: {what}")]
    Failed {
        /// Name of the cluster.
        cluster: String,
        /// HTTP status.
        code: u16,
        /// What the server said.
        what: String,
    },
}

impl ApiError {
    /// What kube's error means. Whether a call without an answer may have been carried out depends on how far it came.
    #[must_use]
    pub fn of(cluster: &str, error: kube::Error) -> Self {
        let cluster = cluster.to_owned();
        match error {
            kube::Error::Api(status) => Self::answered(cluster, &status),
            kube::Error::Auth(error) => Self::Config { cluster, why: connect::credentials(&error) },
            error => match cause(&error).and_then(connect::credentials_within) {
                Some(found) => Self::Config { cluster, why: connect::credentials(found) },
                None if cause(&error).is_some_and(never_sent) => Self::Unreachable { cluster, why: chain(&error) },
                None => Self::LostAnswer { cluster, why: chain(&error) },
            },
        }
    }

    fn answered(cluster: String, status: &Status) -> Self {
        let what = status.message.clone();
        let after = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
        match status.code {
            401 => Self::Failed { cluster, code: 401, what: format!("the credentials are not accepted: {what}") },
            403 => Self::Denied { cluster, what },
            404 => Self::NotFound { cluster, what },
            409 | 422 => Self::Conflict { cluster, what },
            429 => Self::TooMany { cluster, what, after: after.map(|seconds| Duration::from_secs(seconds.into())) },
            // A gateway in front of the API server, or a request that ran out of time inside it.
            502..=504 => Self::LostAnswer { cluster, why: format!("{} {what}", status.code) },
            code => Self::Failed { cluster, code, what },
        }
    }

    /// The same, naming the permission that was missing. Quotas and admission answer 403 too: what those say stays.
    #[must_use]
    pub fn naming(self, access: &Access) -> Self {
        match self {
            Self::Denied { cluster, what } if what.contains(" cannot ") => Self::Denied { cluster, what: format!("permission missing: {access}") },
            other => other,
        }
    }
}

fn cause(error: &kube::Error) -> Option<&(dyn std::error::Error + 'static)> {
    match error {
        kube::Error::Service(error) => Some(error.as_ref()),
        error => std::error::Error::source(error),
    }
}
