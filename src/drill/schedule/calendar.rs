//! What takes instants away from a schedule: its blackouts, and its environment's freezes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::Rule;
use crate::clock::Timestamp;
use crate::drill::freeze::{self, Window};
use crate::drill::spec::{DrillScheduleSpec, Freeze};

/// Most instants of one blackout that are counted.
pub const MOST_COUNTED: usize = 1_000;

/// Whose word it is that nothing starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Whose {
    /// The schedule's.
    Blackout,
    /// The environment's.
    Freeze,
}

impl Whose {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Blackout => "blackout",
            Self::Freeze => "freeze",
        }
    }
}

/// A time in which nothing starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Blackout or freeze.
    pub whose: Whose,
    /// As it was written.
    pub reason: String,
    /// From when to when; none when it cannot be read: it then holds always (fail closed).
    pub window: Option<Window>,
}

/// Every time in which a schedule starts nothing.
#[derive(Debug, Clone, Default)]
pub struct Calendar(Vec<Closed>);

impl Calendar {
    /// A schedule's blackouts, and the freezes of its environment.
    #[must_use]
    pub fn new(schedule: &DrillScheduleSpec, freezes: &[Freeze]) -> Self {
        let closed = |whose: Whose, freeze: &Freeze, zone: Option<&str>| match freeze::window(freeze, zone) {
            Ok(window) => Closed { whose, reason: freeze.reason.clone(), window: Some(window) },
            Err(error) => Closed { whose, reason: format!("{}: {error}", freeze.reason), window: None },
        };
        let blackouts = schedule.blackouts.iter().map(|freeze| closed(Whose::Blackout, freeze, Some(&schedule.time_zone)));
        Self(blackouts.chain(freezes.iter().map(|freeze| closed(Whose::Freeze, freeze, None))).collect())
    }

    /// What holds at an instant.
    #[must_use]
    pub fn closed_at(&self, at: Timestamp) -> Option<&Closed> {
        self.0.iter().find(|closed| closed.window.is_none_or(|window| window.from <= at && at < window.to))
    }
}

/// What comes: a start, or starts that are taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coming {
    /// A run starts.
    Start(Timestamp),
    /// None starts, at one or more instants on end.
    LeftOut {
        /// The first instant.
        first: Timestamp,
        /// The last; none when the calendar cannot be read.
        last: Option<Timestamp>,
        /// How many, counted up to [`MOST_COUNTED`].
        count: usize,
        /// Why.
        closed: Closed,
    },
}

/// The next `count` starts after `after`, and everything that is taken away before the last of them, in order.
#[must_use]
pub fn coming(rule: &Rule, calendar: &Calendar, after: Timestamp, count: usize) -> Vec<Coming> {
    let mut all = Vec::new();
    let mut starts = 0;
    let mut cursor = after;
    while starts < count {
        let Some(first) = rule.next(cursor) else { break };
        cursor = first;
        let Some(closed) = calendar.closed_at(first) else {
            all.push(Coming::Start(first));
            starts += 1;
            continue;
        };
        let before = Timestamp(first.0 - 1);
        let Some(window) = closed.window else {
            all.push(Coming::LeftOut { first, last: None, count: MOST_COUNTED, closed: closed.clone() });
            break;
        };
        cursor = Timestamp(window.to.0 - 1);
        let last = rule.last(before, cursor);
        all.push(Coming::LeftOut { first, last, count: rule.count(before, cursor, MOST_COUNTED), closed: closed.clone() });
    }
    all
}
