//! The limit of a step that gives none: its kind's.

use std::time::Duration;

use crate::fault::params::{ActionSpec, FaultSpec};

/// The limit of a step of this kind that gives none; five minutes for a kind that this build does not know.
#[must_use]
pub fn default_limit(kind: &str) -> Duration {
    let known = FaultSpec::KINDS.iter().chain(ActionSpec::KINDS).find(|known| known.name == kind);
    known.map_or(Duration::from_mins(5), |known| (known.limit)())
}
