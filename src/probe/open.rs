//! Opens the probes of this build against an environment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::canary::Canary;
use super::http::Http;
use super::params::{ProbeKind, ProbeSpec};
use super::prometheus::Prometheus;
use super::{Probe, ProbeSource, Reading};
use crate::clock::Clock;
use crate::drill::spec::EnvironmentSpec;
use crate::http::{Client, Failure, Rules};

/// Opens probes against one environment: its sources, and its rules about addresses.
pub struct Opener {
    client: Result<Client, String>,
    sources: BTreeMap<String, String>,
    clock: Clock,
    canaries: AtomicU64,
}

impl Opener {
    /// An opener for an environment; probes take their time from `clock`.
    #[must_use]
    pub fn new(environment: &EnvironmentSpec, clock: Clock) -> Self {
        let allow_private = environment.network.as_ref().is_some_and(|network| network.allow_private);
        let sources = environment.prometheus.iter().map(|source| (source.name.clone(), source.url.clone())).collect();
        Self { client: Client::new(Rules { allow_private }), sources, clock, canaries: AtomicU64::new(0) }
    }
}

impl ProbeSource for Opener {
    /// Each call opens a probe of its own: two canaries of one run never see each other's numbers.
    fn open(&self, spec: &ProbeSpec, run: &str) -> Result<Arc<dyn Probe>, String> {
        let kind = spec.one().ok_or_else(|| format!("a probe is exactly one of {}", ProbeSpec::NAMES.join(", ")))?;
        let client = self.client.clone()?;
        let named = |error: String| format!("probe '{}': {error}", kind.name());
        Ok(match kind {
            ProbeKind::Http(probe) => Arc::new(Http::open(probe, client).map_err(named)?),
            ProbeKind::Prometheus(probe) => {
                let source = self.sources.get(&probe.source).ok_or_else(|| {
                    let known: Vec<_> = self.sources.keys().map(String::as_str).collect();
                    let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
                    named(format!("the environment has no prometheus source '{}'; {known}", probe.source))
                })?;
                Arc::new(Prometheus::open(probe, source, client).map_err(named)?)
            }
            ProbeKind::Canary(probe) => {
                let series = format!("{run}.{}", self.canaries.fetch_add(1, Ordering::Relaxed) + 1);
                Arc::new(Canary::open(probe, &series, client, self.clock).map_err(named)?)
            }
            other => return Err(format!("probe '{}' is not built yet in this version of firedrill", other.name())),
        })
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
