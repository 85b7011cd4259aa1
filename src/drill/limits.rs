//! The limit of a step that gives none, per kind. One table: the kinds and the plan read it too.

use std::time::Duration;

const MINUTE: u64 = 60;

/// Kind of fault or action, and the longest that injecting it should take, in seconds. Reasons: a drain waits for disruption budgets, an instance
/// for its shutdown, a DNS shift for INSYNC and the TTL; a gateway rule is in memory at once.
const DEFAULTS: &[(&str, u64)] = &[
    ("nodeCordon", 2 * MINUTE),
    ("nodeDrain", 15 * MINUTE),
    ("podKill", 5 * MINUTE),
    ("workloadScale", 5 * MINUTE),
    ("egressBlackhole", 2 * MINUTE),
    ("dnsBlackhole", 3 * MINUTE),
    ("serviceBlackhole", MINUTE),
    ("ec2Stop", 10 * MINUTE),
    ("subnetIsolate", 5 * MINUTE),
    ("awsIamDeny", 5 * MINUTE),
    ("route53Shift", 10 * MINUTE),
    ("route53HealthInvert", 5 * MINUTE),
    ("launchRefusal", 2 * MINUTE),
    ("vpcEndpointDeny", 5 * MINUTE),
    ("fisExperiment", 10 * MINUTE),
    ("asgScale", 15 * MINUTE),
    ("gatewayBlackhole", MINUTE),
    ("gatewayRefuse", MINUTE),
    ("gatewayReset", MINUTE),
    ("gatewayLatency", MINUTE),
    ("gatewayError", MINUTE),
    ("gatewayDns", MINUTE),
    ("edgeShift", MINUTE),
];

/// The limit of a step of this kind that gives none; five minutes for a kind that this build does not know.
#[must_use]
pub fn default_limit(kind: &str) -> Duration {
    let seconds = DEFAULTS.iter().find(|(name, _)| *name == kind).map_or(5 * MINUTE, |(_, seconds)| *seconds);
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::params::{ActionSpec, FaultSpec};

    #[test]
    fn every_kind_has_a_default_limit() {
        for kind in FaultSpec::NAMES.iter().chain(ActionSpec::NAMES) {
            assert!(DEFAULTS.iter().any(|(name, _)| name == kind), "{kind}");
        }
    }
}
