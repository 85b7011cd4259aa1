//! What must be allowed, by platform: what a plan checks, and `firedrill policy` prints.

use crate::{aws, cluster};

/// What a kind or a probe must be allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// In Kubernetes clusters.
    pub cluster: cluster::access::Needs,
    /// In AWS accounts.
    pub aws: aws::access::Needs,
}

impl Needs {
    /// Whether nothing is needed that can be asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what something else needs.
    pub fn extend(&mut self, more: Self) {
        self.cluster.extend(more.cluster);
        self.aws.extend(more.aws);
    }
}

impl From<cluster::access::Needs> for Needs {
    fn from(cluster: cluster::access::Needs) -> Self {
        Self { cluster, ..Self::default() }
    }
}

impl From<aws::access::Needs> for Needs {
    fn from(aws: aws::access::Needs) -> Self {
        Self { aws, ..Self::default() }
    }
}
