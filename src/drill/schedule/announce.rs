//! Which coming runs are to be announced now: each once for each lead of `announce`.

use std::collections::BTreeMap;

use super::calendar::{Calendar, Coming, coming};
use super::rule::Rule;
use super::state::Announced;
use crate::clock::Timestamp;
use crate::drill::spec::DrillScheduleSpec;
use crate::drill::text::DurationText;

/// Runs that one lead announces at once at most. More only come together when a schedule fires much more often than its leads are long and nobody
/// looked for a while; those beyond are left to the shorter leads.
const MOST_AT_ONCE: usize = 10;

/// A run to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// When it starts.
    pub instant: Timestamp,
    /// The lead of `announce` that asks for it; of several that have come, the shortest. The time that is left may be shorter: nobody looked in time.
    pub lead: DurationText,
}

/// What is to be announced, and what to remember.
#[derive(Debug, Default)]
pub struct Told {
    /// The nearest run first.
    pub announcements: Vec<Announcement>,
    /// How far each lead is.
    pub announced: Vec<Announced>,
    /// When the next announcement is due.
    pub wake: Option<Timestamp>,
}

/// What is due at `now`. A run in a blackout or freeze is not announced, nor one that has begun.
#[must_use]
pub fn due(rule: &Rule, calendar: &Calendar, spec: &DrillScheduleSpec, before: &[Announced], now: Timestamp) -> Told {
    let starts = |after: Timestamp, count: usize| {
        coming(rule, calendar, after, count).into_iter().filter_map(|one| match one {
            Coming::Start(at) => Some(at),
            Coming::LeftOut { .. } => None,
        })
    };
    let mut told = Told::default();
    let mut by_instant: BTreeMap<Timestamp, DurationText> = BTreeMap::new();
    let mut leads = spec.announce.clone();
    leads.sort_unstable();
    leads.dedup();
    for lead in leads {
        let mut through = before.iter().find(|announced| announced.lead == lead).map(|announced| announced.through);
        let horizon = now.plus(*lead);
        let after = through.map_or(now, |through| through.max(now));
        let found: Vec<Timestamp> = starts(after, MOST_AT_ONCE + 1).take_while(|at| *at <= horizon).collect();
        for at in found.iter().take(MOST_AT_ONCE) {
            by_instant.entry(*at).or_insert(lead);
        }
        through = if found.len() > MOST_AT_ONCE { rule.last(after, horizon) } else { found.last().copied() }.or(through);
        let next = starts(through.map_or(horizon, |through| through.max(horizon)), 1).next();
        told.wake = [told.wake, next.map(|at| at.minus(*lead))].into_iter().flatten().min();
        told.announced.extend(through.map(|through| Announced { lead, through }));
    }
    told.announcements = by_instant.into_iter().map(|(instant, lead)| Announcement { instant, lead }).collect();
    told
}
