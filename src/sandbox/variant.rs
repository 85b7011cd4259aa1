//! The sandbox's variants: the default, and those in which a drill must fail honestly. Here is all that tells them apart.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

/// Which sandbox is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Variant {
    /// Everything works.
    #[default]
    Default,
    /// The edge sees that a region is down and never sends users elsewhere.
    NoFailover,
    /// Prometheus' query endpoint is broken: what it measures cannot be known.
    DeafProbe,
    /// The edge sends users elsewhere, but only after ten seconds.
    SlowFailover,
    /// The order store replicates late, and a region that takes over drops what it has not received by then.
    Lossy,
    /// Monitoring works and nobody is paged: the alerting rule asks for a series that was renamed.
    Blind,
    /// A region that failed for a while stays down after the cause is gone, until somebody restarts its service.
    SickRegion,
    /// The checkout services ask for new credentials before every call instead of keeping them while they are valid.
    NoCredentialCache,
}

/// What differs between variants, one thing a component.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    /// Users leave a region that is down after this long. None: never.
    pub failover: Option<Range<Duration>>,
    /// How much later than its acknowledgement an order arrives in the other region.
    pub replication_lag: Range<Duration>,
    /// A region that takes over drops older orders that arrive later.
    pub one_writer: bool,
    /// The query side of monitoring is broken.
    pub deaf: bool,
    /// The series that the alert watches: 0 is down.
    pub alert_on: &'static str,
    /// A checkout service that failed for this long stays down until it is restarted.
    pub sick_after: Option<Duration>,
    /// Credentials are kept while they are valid.
    pub credential_cache: bool,
}

const fn millis(from: u64, to: u64) -> Range<Duration> {
    Duration::from_millis(from)..Duration::from_millis(to)
}

/// Somebody asked for a variant that there is none of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownVariant {
    /// As written.
    pub written: String,
}

impl fmt::Display for UnknownVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown sandbox variant '{}'", self.written)?;
        let near = Variant::ALL.into_iter().filter(|variant| strsim::damerau_levenshtein(variant.name(), &self.written) <= 3);
        if let Some(near) = near.min_by_key(|variant| strsim::damerau_levenshtein(variant.name(), &self.written)) {
            write!(f, "; did you mean '{near}'?")?;
        }
        let all: Vec<String> = Variant::ALL.iter().map(ToString::to_string).collect();
        write!(f, " (there are {})", all.join(", "))
    }
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Default, Self::NoFailover, Self::DeafProbe, Self::SlowFailover, Self::Lossy, Self::Blind, Self::SickRegion, Self::NoCredentialCache];

    /// What its components do.
    pub(super) fn behaviour(self) -> Behaviour {
        let default = Behaviour {
            failover: Some(millis(500, 2500)),
            replication_lag: millis(20, 120),
            one_writer: false,
            deaf: false,
            alert_on: "region_healthy",
            sick_after: None,
            credential_cache: true,
        };
        match self {
            Self::Default => default,
            Self::NoFailover => Behaviour { failover: None, ..default },
            Self::DeafProbe => Behaviour { deaf: true, ..default },
            // Late, and still early enough to be seen to be stable before the shipped drill ends.
            Self::SlowFailover => Behaviour { failover: Some(millis(9500, 10_000)), ..default },
            // Longer than a fail-over takes: what was written in the last seconds before the failure has not arrived when it is over.
            Self::Lossy => Behaviour { replication_lag: millis(6000, 6100), one_writer: true, ..default },
            Self::Blind => Behaviour { alert_on: "region_up", ..default },
            Self::SickRegion => Behaviour { sick_after: Some(Duration::from_secs(1)), ..default },
            Self::NoCredentialCache => Behaviour { credential_cache: false, ..default },
        }
    }

    /// What follows `sandbox:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::NoFailover => "no-failover",
            Self::DeafProbe => "deaf-probe",
            Self::SlowFailover => "slow-failover",
            Self::Lossy => "lossy",
            Self::Blind => "blind",
            Self::SickRegion => "sick-region",
            Self::NoCredentialCache => "no-credential-cache",
        }
    }

    /// The shipped drill that shows what is special about it.
    #[must_use]
    pub fn drill(self) -> &'static str {
        match self {
            Self::SickRegion => "drills/sandbox/fail-back.yaml",
            Self::NoCredentialCache => "drills/sandbox/iam-fails.yaml",
            Self::Default | Self::NoFailover | Self::DeafProbe | Self::SlowFailover | Self::Lossy | Self::Blind => {
                "drills/sandbox/evacuate-us-east-1.yaml"
            }
        }
    }

    /// `metadata.name` of its environment. Variants are different environments: their runs are not comparable.
    #[must_use]
    pub fn environment_name(self) -> &'static str {
        match self {
            Self::Default => "sandbox",
            Self::NoFailover => "sandbox-no-failover",
            Self::DeafProbe => "sandbox-deaf-probe",
            Self::SlowFailover => "sandbox-slow-failover",
            Self::Lossy => "sandbox-lossy",
            Self::Blind => "sandbox-blind",
            Self::SickRegion => "sandbox-sick-region",
            Self::NoCredentialCache => "sandbox-no-credential-cache",
        }
    }
}

/// As written after `--env`.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("sandbox"),
            _ => write!(f, "sandbox:{}", self.name()),
        }
    }
}

impl FromStr for Variant {
    type Err = UnknownVariant;
    fn from_str(text: &str) -> Result<Self, UnknownVariant> {
        Self::ALL.into_iter().find(|variant| variant.name() == text).ok_or_else(|| UnknownVariant { written: text.to_owned() })
    }
}

/// Reads the value of `--env`: `sandbox` or `sandbox:<variant>`. None when it is something else, a path for one.
#[must_use]
pub fn parse_env(text: &str) -> Option<Result<Variant, UnknownVariant>> {
    match text.split_once(':') {
        None => (text == "sandbox").then_some(Ok(Variant::Default)),
        Some((before, variant)) => (before == "sandbox").then(|| variant.parse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_is_read_back_as_it_is_written() {
        for variant in Variant::ALL {
            assert_eq!(parse_env(&variant.to_string()), Some(Ok(variant)));
        }
        assert_eq!(parse_env("sandbox:default"), Some(Ok(Variant::Default)));
    }

    #[test]
    fn paths_are_not_taken_for_the_sandbox() {
        for path in ["staging.yaml", "./sandbox", "sandbox.yaml", "sandbox.yaml#a", "Sandbox", "", "x:sandbox"] {
            assert_eq!(parse_env(path), None, "{path}");
        }
    }

    #[test]
    fn an_unknown_variant_is_told_all_that_there_are() {
        let error = parse_env("sandbox:no-failovr").unwrap().unwrap_err().to_string();
        let (said, all) = error.split_once(" (there are ").unwrap();
        assert_eq!(said, "unknown sandbox variant 'no-failovr'; did you mean 'sandbox:no-failover'?");
        assert_eq!(all.trim_end_matches(')').split(", ").collect::<Vec<_>>(), Variant::ALL.map(|variant| variant.to_string()));
        assert!(!parse_env("sandbox:").unwrap().unwrap_err().to_string().contains("did you mean"));
    }
}
