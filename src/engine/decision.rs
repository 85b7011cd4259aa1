//! The decision table of undo: from what is seen to what is done. Pure; undo.md has the same table in words.

use serde_json::json;

use crate::event::Phase;
use crate::fault::{Observed, Record};

/// What the undo loop does next with one target.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Write prior conditionally, drop the mark, then read back.
    Revert,
    /// Drop mark and companions, which also fences an inject still under way; wait the kind's settle time; read again.
    Fence,
    /// Read back as prior: drop mark and companions, close.
    Close,
    /// Wait and read again.
    Wait {
        /// What it waits for.
        why: String,
    },
    /// Seen absent once: read again after a pause.
    ConfirmAbsent,
    /// No longer there: drop companions, close.
    Gone,
    /// Someone else's: no write to the target, drop our unreferenced companions, close.
    Drifted {
        /// Prior, ours and current, for people.
        detail: String,
    },
    /// It cannot be read: try again.
    Retry {
        /// What the failed reading said.
        error: String,
    },
}

/// What the loop already knows about the target, besides what it sees now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// The fence was raised and the settle time has passed.
    pub fenced: bool,
    /// It was absent at the reading before this one.
    pub absent_before: bool,
}

/// The table.
#[must_use]
pub fn decide(record: &Record, observed: &Observed, known: Known) -> Decision {
    match observed {
        Observed::Ours { marked: true } => Decision::Revert,
        Observed::Ours { marked: false } => {
            Decision::Drifted { detail: drift(record, &record.ours, "our mark is gone: someone may have adopted it") }
        }
        // Until the answer of an inject is known it may still land: Intent, or a phase that this build does not know.
        Observed::Prior if matches!(record.phase, Phase::Intent | Phase::Unknown) && !known.fenced => Decision::Fence,
        Observed::Prior => Decision::Close,
        Observed::InTransition { detail } => Decision::Wait { why: detail.clone() },
        Observed::Other { current } => Decision::Drifted { detail: drift(record, current, "someone else changed it") },
        Observed::Absent if known.absent_before => Decision::Gone,
        Observed::Absent => Decision::ConfirmAbsent,
        Observed::Unreadable { error } => Decision::Retry { error: error.clone() },
    }
}

fn drift(record: &Record, current: &serde_json::Value, why: &str) -> String {
    format!("{why}; left alone: {}", json!({"prior": record.prior, "ours": record.ours, "current": current}))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::Timestamp;
    use crate::fault::{RECORD_VERSION, TargetId};

    fn record(phase: Phase) -> Record {
        Record {
            version: RECORD_VERSION,
            run: "r".into(),
            step: "s".into(),
            after: vec![],
            kind: "k".into(),
            action: false,
            keep: false,
            target: TargetId { place: "p".into(), id: "t".into() },
            prior: Value::Null,
            ours: json!("ours"),
            invert: Value::Null,
            companions: vec![],
            undo_by: Timestamp::default(),
            phase,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let fresh = Known::default();
        let fenced = Known { fenced: true, ..fresh };
        let absent = Known { absent_before: true, ..fresh };
        let rows = [
            (Phase::Verified, Observed::Ours { marked: true }, fresh, "Revert"),
            (Phase::Verified, Observed::Ours { marked: false }, fresh, "Drifted"),
            (Phase::Verified, Observed::Prior, fresh, "Close"),
            (Phase::Reverting, Observed::Prior, fresh, "Close"),
            // An inject whose answer is not known may still land.
            (Phase::Intent, Observed::Prior, fresh, "Fence"),
            (Phase::Unknown, Observed::Prior, fresh, "Fence"),
            (Phase::Intent, Observed::Prior, fenced, "Close"),
            (Phase::Intent, Observed::Ours { marked: true }, fenced, "Revert"),
            (Phase::Verified, Observed::InTransition { detail: "stopping".into() }, fresh, "Wait"),
            (Phase::Verified, Observed::Other { current: json!("theirs") }, fresh, "Drifted"),
            (Phase::Verified, Observed::Absent, fresh, "ConfirmAbsent"),
            (Phase::Verified, Observed::Absent, absent, "Gone"),
            (Phase::Verified, Observed::Unreadable { error: "403".into() }, fresh, "Retry"),
        ];
        for (phase, observed, known, expected) in rows {
            let decision = format!("{:?}", decide(&record(phase), &observed, known));
            assert!(decision.starts_with(expected), "{phase:?} {observed:?} {known:?}: {decision}");
        }
    }

    #[test]
    fn a_drift_shows_prior_ours_and_current() {
        let Decision::Drifted { detail } = decide(&record(Phase::Verified), &Observed::Other { current: json!("theirs") }, Known::default()) else {
            panic!("not drifted");
        };
        for part in ["\"prior\":null", "\"ours\":\"ours\"", "\"current\":\"theirs\""] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
    }
}
