//! Scoring a run whose events come one by one: samples are kept as small readings, so that a million of them fit.

use std::collections::HashMap;

use super::series::Arrived;
use super::{Scorecard, card_of};
use crate::clock::Timestamp;
use crate::event::{Event, RunEvent};

/// Takes events one by one, then gives the same card as [`super::evaluate`] of all of them. A sample takes 16 bytes, while its objective is scored 56.
#[derive(Debug, Clone, Default)]
pub struct Scorer {
    others: Vec<RunEvent>,
    samples: Samples,
}

impl Scorer {
    /// Takes the next event.
    pub fn take(&mut self, event: &RunEvent) {
        match event.body {
            Event::Sample(_) => self.samples.take(event),
            _ => self.others.push(event.clone()),
        }
    }

    /// The card of everything so far.
    #[must_use]
    pub fn card(self) -> Scorecard {
        card_of(self.others.iter(), self.samples)
    }
}

/// The samples of a stream, by objective.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    arrived: HashMap<String, Arrived>,
    /// The latest instant that a sample knows of.
    pub latest: Option<Timestamp>,
}

impl Samples {
    /// Takes the event, when it is a sample.
    pub fn take(&mut self, event: &RunEvent) {
        let Event::Sample(sample) = &event.body else { return };
        self.latest = self.latest.max(Some(event.at.max(sample.at)));
        match self.arrived.get_mut(&sample.objective) {
            Some(arrived) => arrived.take(sample),
            None => self.arrived.entry(sample.objective.clone()).or_default().take(sample),
        }
    }

    /// Those of an objective; taken out when nobody asks for them again.
    pub fn of(&mut self, objective: &str, last: bool) -> Arrived {
        if last { self.arrived.remove(objective) } else { self.arrived.get(objective).cloned() }.unwrap_or_default()
    }
}
