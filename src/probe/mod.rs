//! How signals are read: one file per kind. A probe never changes the thing under test, but for the canary's numbered writes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::cluster::error::ApiError;
use crate::event::{CanarySample, Health};
use crate::needs::Needs;
use crate::probe::params::ProbeSpec;

#[cfg(feature = "aws")]
mod aws_alarm;
mod canary;
pub mod definition;
mod dns;
mod http;
pub mod open;
pub mod params;
mod prometheus;
#[cfg(feature = "aws")]
mod route53_answer;
mod status_page;
mod tcp;
pub mod watch;
#[cfg(not(feature = "aws"))]
mod without;
mod workload;

/// What one reading said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Good, bad, or unknown when the measuring instrument is broken.
    pub health: Health,
    /// Why, when not plainly good.
    pub detail: Option<String>,
    /// Canary readings only.
    pub canary: Option<CanarySample>,
}

impl Reading {
    /// As it should be.
    #[must_use]
    pub fn good() -> Self {
        Self { health: Health::Good, detail: None, canary: None }
    }

    /// Not as it should be, and why.
    #[must_use]
    pub fn bad(why: impl Into<String>) -> Self {
        Self { health: Health::Bad, detail: Some(why.into()), canary: None }
    }

    /// Not measured, and why.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { health: Health::Unknown, detail: Some(why.into()), canary: None }
    }
}

/// Nobody could say what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unasked {
    /// What the platform said.
    pub why: String,
    /// The platform could not be asked.
    pub unreachable: bool,
}

#[cfg(feature = "aws")]
impl From<crate::aws::error::CallError> for Unasked {
    fn from(error: crate::aws::error::CallError) -> Self {
        use crate::aws::error::CallError;
        Self { why: error.to_string(), unreachable: matches!(error, CallError::Credentials { .. } | CallError::Unreachable { .. }) }
    }
}

impl From<ApiError> for Unasked {
    fn from(error: ApiError) -> Self {
        Self { why: error.to_string(), unreachable: matches!(error, ApiError::Config { .. } | ApiError::Unreachable { .. }) }
    }
}

/// One kind of probe, opened for one address.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Reads once. The caller bounds the time, and takes [`Probe::timed_out`] when it runs out.
    async fn read(&self) -> Reading;

    /// What a reading that took too long says: bad for the thing under test, unknown for a measuring instrument.
    fn timed_out(&self) -> Reading;

    /// Kind and address, for people.
    fn describe(&self) -> String;

    /// What must be allowed, from the parameters alone: the plan checks it, and `firedrill policy` prints it.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Reads: those of [`Probe::needs`] that are not allowed, by name.
    async fn missing(&self) -> Result<Vec<String>, Unasked> {
        Ok(Vec::new())
    }
}

/// Opens probes: the environment's in production, an in-memory world's in the simulation.
pub trait ProbeSource: Send + Sync {
    /// The probe of a specification whose look-ups are resolved. The error is one sentence (bad URL, unknown source, kind not built yet).
    fn open(&self, spec: &ProbeSpec, run: &str) -> Result<Arc<dyn Probe>, String>;
}
