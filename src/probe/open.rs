//! Opens the probes of this build against an environment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::params::ProbeSpec;
use super::{Probe, ProbeSource, Reading};
use crate::aws::Accounts;
use crate::clock::Clock;
use crate::cluster::Clusters;
use crate::drill::spec::EnvironmentSpec;
use crate::http::{Client, Failure, Rules};

/// Opens probes against one environment: its sources, its clusters, and its rules about addresses.
pub struct Opener {
    environment: EnvironmentSpec,
    clusters: Clusters,
    accounts: Accounts,
    client: Result<Client, String>,
    sources: BTreeMap<String, String>,
    clock: Clock,
    rules: Rules,
    opened: AtomicU64,
}

impl Opener {
    /// An opener for an environment; probes take their time from `clock`.
    #[must_use]
    pub fn new(environment: &EnvironmentSpec, clock: Clock) -> Self {
        Self::sharing(environment, clock, (Clusters::default(), Accounts::default()))
    }

    /// The same, on connections that others use too.
    #[must_use]
    pub fn sharing(environment: &EnvironmentSpec, clock: Clock, (clusters, accounts): (Clusters, Accounts)) -> Self {
        let allow_private = environment.network.as_ref().is_some_and(|network| network.allow_private);
        let sources = environment.prometheus.iter().map(|source| (source.name.clone(), source.url.clone())).collect();
        let rules = Rules { allow_private };
        let environment = environment.clone();
        Self { environment, clusters, accounts, client: Client::new(rules), sources, clock, rules, opened: AtomicU64::new(0) }
    }
}

/// What a probe is opened with.
pub struct Opening<'a> {
    /// For requests; it obeys the environment's rules about addresses.
    pub client: Client,
    /// The environment's rules about addresses.
    pub rules: Rules,
    /// The environment.
    pub environment: &'a EnvironmentSpec,
    /// Connections to its clusters.
    pub clusters: &'a Clusters,
    /// Connections to its AWS accounts.
    pub accounts: &'a Accounts,
    /// Prometheus sources of the environment: name and URL.
    pub sources: &'a BTreeMap<String, String>,
    /// Unique among all probes of all runs: tells one canary's numbers from another's.
    pub series: String,
    /// Where the probe takes its time from.
    pub clock: Clock,
}

impl ProbeSource for Opener {
    /// Each call opens a probe of its own: two canaries of one run never see each other's numbers.
    fn open(&self, spec: &ProbeSpec, run: &str) -> Result<Arc<dyn Probe>, String> {
        let kind = spec.one().ok_or_else(|| format!("a probe is exactly one of {}", ProbeSpec::NAMES.join(", ")))?;
        let name = kind.name();
        if ProbeSpec::KINDS.iter().any(|known| known.name == name && (known.about)().is_none()) {
            return Err(format!("probe '{name}' is not built yet in this version of firedrill"));
        }
        let opening = Opening {
            client: self.client.clone()?,
            rules: self.rules,
            environment: &self.environment,
            clusters: &self.clusters,
            accounts: &self.accounts,
            sources: &self.sources,
            series: format!("{run}.{}", self.opened.fetch_add(1, Ordering::Relaxed) + 1),
            clock: self.clock,
        };
        kind.definition().open(&opening).map_err(|error| format!("probe '{name}': {error}"))
    }
}

/// What a request without an answer says of the thing under test: nothing, when it was never really asked.
pub(super) fn unanswered(failure: Failure) -> Reading {
    match failure {
        Failure::NoAnswer(why) => Reading::bad(why),
        Failure::Refused(refusal) => Reading::unknown(refusal.to_string()),
        Failure::Instrument(why) => Reading::unknown(why),
    }
}
