//! Exit codes, in one place. scoring.md says which wins where several hold.

use std::process::ExitCode;

use crate::event::{Cleanliness, Verdict};

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All objectives met, everything undone.
    Passed = 0,
    /// A defect of firedrill.
    Internal = 1,
    /// Wrong flags, or an invalid file.
    Usage = 2,
    /// An objective was missed.
    Missed = 3,
    /// An objective is unknown, or a fault was not verified in effect.
    Inconclusive = 4,
    /// A guard refused; nothing was touched.
    Refused = 5,
    /// Aborted, fully undone.
    Aborted = 6,
    /// Something is still in place.
    StillInPlace = 7,
    /// The platform could not be reached.
    Unreachable = 8,
    /// A step could not be done.
    StepFailed = 9,
    /// Someone else's change was left alone.
    Drifted = 10,
}

impl Exit {
    /// The table of `--help` and the README.
    pub const TABLE: [(Self, &'static str); 11] = [
        (Self::Passed, "passed: every objective met, everything undone"),
        (Self::Internal, "internal error"),
        (Self::Usage, "usage error or invalid file"),
        (Self::Missed, "an objective was missed"),
        (Self::Inconclusive, "inconclusive: an objective unknown, or a fault not verified in effect"),
        (Self::Refused, "refused by a guard; nothing was touched"),
        (Self::Aborted, "aborted, fully undone"),
        (Self::StillInPlace, "SOMETHING IS STILL IN PLACE"),
        (Self::Unreachable, "platform unreachable"),
        (Self::StepFailed, "a step could not be done"),
        (Self::Drifted, "someone else's change was left alone (drifted)"),
    ];

    /// The code of a finished run. `unreachable` tells the two kinds of [`Verdict::Error`] apart.
    #[must_use]
    pub fn of_run(verdict: Verdict, cleanliness: Cleanliness, unreachable: bool) -> Self {
        match (cleanliness, verdict) {
            (Cleanliness::StillInPlace, _) => Self::StillInPlace,
            (Cleanliness::Drifted, _) => Self::Drifted,
            (Cleanliness::Clean, Verdict::Error) if unreachable => Self::Unreachable,
            (Cleanliness::Clean, Verdict::Error) => Self::StepFailed,
            (Cleanliness::Clean, Verdict::Aborted) => Self::Aborted,
            (Cleanliness::Clean, Verdict::Failed) => Self::Missed,
            (Cleanliness::Clean, Verdict::Inconclusive) => Self::Inconclusive,
            (Cleanliness::Clean, Verdict::Refused) => Self::Refused,
            (Cleanliness::Clean, Verdict::Passed) => Self::Passed,
        }
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
