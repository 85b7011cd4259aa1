//! The baseline gate and `abortWhen`: what the samples so far say. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{Health, ObjectiveInfo, Sample};

/// A share of bad samples above this is not a steady state (scoring.md: none ≤ 1 %).
const STEADY_BAD_SHARE: f64 = 0.01;

/// Why the steady state does not hold: one sentence an objective, empty when it holds.
///
/// An instrument that says nothing is no reason to refuse: the run goes on and ends inconclusive. A `detectWithin` objective must be false.
#[must_use]
pub fn problems(objectives: &[ObjectiveInfo], samples: &[Sample]) -> Vec<String> {
    objectives
        .iter()
        .filter_map(|objective| {
            let own: Vec<&Sample> = samples.iter().filter(|sample| sample.objective == objective.id).collect();
            if objective.detect_within.is_some() {
                let firing = own.iter().rev().find(|sample| sample.health != Health::Unknown)?.health == Health::Good;
                return firing.then(|| format!("'{}' is already true before the drill: its detection could not be timed", objective.id));
            }
            let known = own.iter().filter(|sample| sample.health != Health::Unknown).count();
            let bad: Vec<&&Sample> = own.iter().filter(|sample| sample.health == Health::Bad).collect();
            if bad.len() as f64 <= known as f64 * STEADY_BAD_SHARE {
                return None;
            }
            let why = bad.last().and_then(|sample| sample.detail.clone()).unwrap_or_else(|| "no detail".to_owned());
            Some(format!("'{}' was bad in {} of {known} readings: {why}", objective.id, bad.len()))
        })
        .collect()
}

/// One `abortWhen` condition, watched.
#[derive(Debug, Clone)]
pub struct AbortWatch {
    objective: String,
    below: f64,
    window: Duration,
    recent: VecDeque<(Timestamp, Health)>,
    since: Option<Timestamp>,
}

impl AbortWatch {
    /// Watches `objective`: an availability below `below` percent over `window`.
    #[must_use]
    pub fn new(objective: &str, below: f64, window: Duration) -> Self {
        Self { objective: objective.to_owned(), below, window, recent: VecDeque::new(), since: None }
    }

    /// The drill's first mutation: windows lie after it.
    pub fn start(&mut self, at: Timestamp) {
        self.since.get_or_insert(at);
    }

    /// Takes a sample; a sentence when the condition holds over a whole window after the first mutation.
    pub fn take(&mut self, sample: &Sample) -> Option<String> {
        if sample.objective != self.objective {
            return None;
        }
        let since = self.since?;
        self.recent.push_back((sample.at, sample.health));
        let from = sample.at.minus(self.window);
        while self.recent.front().is_some_and(|(at, _)| *at < from) {
            self.recent.pop_front();
        }
        if since > from {
            return None;
        }
        let mut counts: BTreeMap<bool, usize> = BTreeMap::new();
        for (_, health) in self.recent.iter().filter(|(_, health)| *health != Health::Unknown) {
            *counts.entry(*health == Health::Good).or_default() += 1;
        }
        let good = counts.get(&true).copied().unwrap_or(0);
        let known = good + counts.get(&false).copied().unwrap_or(0);
        let share = 100.0 * good as f64 / known.max(1) as f64;
        (known > 0 && share < self.below)
            .then(|| format!("availability of '{}' was {share:.1}% over {:?}, below {}%", self.objective, self.window, self.below))
    }
}

/// Whether every objective has been good for its `stableFor` since the last undo (fail-back is over). `detectWithin` objectives have no say.
#[derive(Debug, Clone)]
pub struct SettleWatch {
    waiting: BTreeMap<String, (Duration, Option<Timestamp>)>,
}

impl SettleWatch {
    /// Watches the objectives.
    #[must_use]
    pub fn new(objectives: &[ObjectiveInfo]) -> Self {
        let watched = objectives.iter().filter(|objective| objective.detect_within.is_none());
        Self { waiting: watched.map(|objective| (objective.id.clone(), (*objective.stable_for, None))).collect() }
    }

    /// Takes a sample; true when nothing is waited for any more.
    pub fn take(&mut self, sample: &Sample) -> bool {
        if let Some((stable_for, good_since)) = self.waiting.get_mut(&sample.objective) {
            match sample.health {
                Health::Good => {
                    let since = *good_since.get_or_insert(sample.at);
                    if sample.at.since(since) >= *stable_for {
                        self.waiting.remove(&sample.objective);
                    }
                }
                Health::Bad | Health::Unknown => *good_since = None,
            }
        }
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Span;

    fn sample(objective: &str, second: i64, health: Health) -> Sample {
        Sample { objective: objective.into(), at: Timestamp(second * 1_000_000), latency: Span::default(), health, detail: None, canary: None }
    }

    fn objective(id: &str, detects: bool) -> ObjectiveInfo {
        ObjectiveInfo {
            id: id.into(),
            detect_within: detects.then(Span::default),
            stable_for: Duration::from_secs(3).into(),
            ..ObjectiveInfo::default()
        }
    }

    #[test]
    fn a_bad_reading_in_a_short_baseline_refuses_and_a_silent_instrument_does_not() {
        let objectives = [objective("web", false), objective("mute", false)];
        let mut samples: Vec<Sample> = (0..10).map(|s| sample("web", s, Health::Good)).collect();
        samples.extend((0..10).map(|s| sample("mute", s, Health::Unknown)));
        assert!(problems(&objectives, &samples).is_empty());
        samples.push(sample("web", 11, Health::Bad));
        assert_eq!(problems(&objectives, &samples).len(), 1);
    }

    #[test]
    fn a_page_that_already_fires_refuses() {
        assert_eq!(problems(&[objective("page", true)], &[sample("page", 0, Health::Bad), sample("page", 1, Health::Good)]).len(), 1);
        assert!(problems(&[objective("page", true)], &[sample("page", 0, Health::Bad)]).is_empty());
    }

    #[test]
    fn abort_needs_a_whole_window_after_the_first_mutation() {
        let mut watch = AbortWatch::new("web", 50.0, Duration::from_secs(5));
        assert_eq!(watch.take(&sample("web", 9, Health::Bad)), None, "before the first mutation");
        watch.start(Timestamp(10_000_000));
        for second in 10..15 {
            assert_eq!(watch.take(&sample("web", second, Health::Bad)), None, "second {second}");
        }
        assert!(watch.take(&sample("web", 15, Health::Bad)).is_some());
    }

    #[test]
    fn settling_waits_for_a_stable_stretch_of_every_objective_that_is_not_a_detection() {
        let mut watch = SettleWatch::new(&[objective("web", false), objective("page", true)]);
        assert!(!watch.take(&sample("web", 0, Health::Good)));
        assert!(!watch.take(&sample("web", 2, Health::Bad)));
        assert!(!watch.take(&sample("web", 3, Health::Good)));
        assert!(watch.take(&sample("web", 6, Health::Good)));
    }
}
