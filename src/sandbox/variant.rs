//! The sandbox's variants: the default, and those in which a drill must fail honestly.

use std::fmt;
use std::str::FromStr;

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
    pub const ALL: [Self; 3] = [Self::Default, Self::NoFailover, Self::DeafProbe];

    /// What follows `sandbox:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::NoFailover => "no-failover",
            Self::DeafProbe => "deaf-probe",
        }
    }

    /// `metadata.name` of its environment. Variants are different environments: their runs are not comparable.
    #[must_use]
    pub fn environment_name(self) -> &'static str {
        match self {
            Self::Default => "sandbox",
            Self::NoFailover => "sandbox-no-failover",
            Self::DeafProbe => "sandbox-deaf-probe",
        }
    }
}

/// As written after `--env`.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("sandbox"),
            Self::NoFailover | Self::DeafProbe => write!(f, "sandbox:{}", self.name()),
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
        assert_eq!(
            error,
            "unknown sandbox variant 'no-failovr'; did you mean 'sandbox:no-failover'? (there are sandbox, sandbox:no-failover, sandbox:deaf-probe)"
        );
        assert!(!parse_env("sandbox:").unwrap().unwrap_err().to_string().contains("did you mean"));
    }
}
