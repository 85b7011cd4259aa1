//! Which phase may follow which: the journal refuses every other move.

use crate::event::Phase;

/// The phases that [`Phase::is_closed`] calls closed, as stored. A test keeps the two together.
pub const CLOSED: [&str; 7] = ["planned", "reverted", "gone", "drifted", "noop", "kept", "abandoned"];

/// A phase as stored; the inverse of `Phase::from`.
#[must_use]
pub fn text(phase: Phase) -> &'static str {
    match phase {
        Phase::Planned => "planned",
        Phase::Intent => "intent",
        Phase::Injected => "injected",
        Phase::Verified => "verified",
        Phase::Reverting => "reverting",
        Phase::Reverted => "reverted",
        Phase::Gone => "gone",
        Phase::Drifted => "drifted",
        Phase::Stuck => "stuck",
        Phase::Noop => "noop",
        Phase::Kept => "kept",
        Phase::Abandoned => "abandoned",
        Phase::Unknown => "unknown",
    }
}

/// True when a record may move from one phase to the other.
///
/// Forward steps may be left out (an answer was lost, and reading back shows more than was known). Backwards there is one way only: a record that
/// was closed as undone or kept may be opened again as `Reverting`, when a mutation is found to have taken effect late. Saying "still in place" again
/// is safe; forgetting is not. A tombstone and a no-op stay what they are.
#[must_use]
pub fn may_follow(from: Phase, to: Phase) -> bool {
    use Phase::{Abandoned, Drifted, Gone, Injected, Intent, Kept, Noop, Planned, Reverted, Reverting, Stuck, Unknown, Verified};
    match (from, to) {
        // Never written: it only means that a newer build wrote something else.
        (_, Unknown) => false,
        (a, b) if a == b => true,
        (Planned, to) => matches!(to, Intent | Noop),
        (_, Planned | Intent | Noop) => false,
        (Intent | Unknown, Injected) => true,
        (_, Injected) => false,
        (Intent | Injected | Unknown, Verified) => true,
        (_, Verified) => false,
        (Intent | Injected | Verified | Reverting | Stuck | Unknown, Reverting | Reverted | Gone | Drifted | Stuck | Kept | Abandoned) => true,
        (Reverted | Gone | Drifted | Kept, Reverting) => true,
        (Reverted | Gone | Drifted | Kept | Noop | Abandoned, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const ALL: [Phase; 13] = [
        Phase::Planned,
        Phase::Intent,
        Phase::Injected,
        Phase::Verified,
        Phase::Reverting,
        Phase::Reverted,
        Phase::Gone,
        Phase::Drifted,
        Phase::Stuck,
        Phase::Noop,
        Phase::Kept,
        Phase::Abandoned,
        Phase::Unknown,
    ];

    #[test]
    fn every_phase_survives_being_stored() {
        for phase in ALL {
            assert_eq!(Phase::from(text(phase).to_owned()), phase);
            assert_eq!(serde_json::to_value(phase).unwrap(), text(phase));
            assert_eq!(CLOSED.contains(&text(phase)), phase.is_closed(), "{phase:?}");
        }
    }

    #[test]
    fn nothing_leads_back_to_before_the_mutation() {
        for from in ALL {
            for to in [Phase::Planned, Phase::Intent, Phase::Noop] {
                assert!(!may_follow(from, to) || from == to || from == Phase::Planned, "{from:?} -> {to:?}");
            }
        }
        assert!(!may_follow(Phase::Reverted, Phase::Injected));
        assert!(!may_follow(Phase::Reverting, Phase::Injected));
        assert!(!may_follow(Phase::Reverting, Phase::Verified));
        assert!(!may_follow(Phase::Abandoned, Phase::Reverting), "a tombstone stays");
    }

    #[test]
    fn everything_in_place_can_be_undone_and_abandoned() {
        for from in ALL.into_iter().filter(|phase| !phase.is_closed()) {
            for to in [Phase::Reverting, Phase::Reverted, Phase::Gone, Phase::Drifted, Phase::Stuck, Phase::Abandoned] {
                assert!(may_follow(from, to), "{from:?} -> {to:?}");
            }
        }
    }
}
