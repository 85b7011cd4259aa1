//! Where the edge sends users: an operator's weights while there are any, else health by streaks of checks, with fail-over and fail-back after a
//! randomised delay. Pure: `now` is an argument.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::Region;
use super::truth::{Happening, Weights};

/// Consecutive checks that change a region's health.
const THRESHOLD: u32 = 3;

/// How long the edge waits before it moves users.
#[derive(Debug, Clone)]
pub struct Pace {
    /// After their region became unhealthy. None: they are never moved.
    pub failover: Option<Range<Duration>>,
    /// After their home region became healthy again.
    pub failback: Range<Duration>,
    /// Picks one of a range: at random, but for tests.
    pub draw: fn(Range<Duration>) -> Duration,
}

/// The edge's view of both regions, and its choice.
#[derive(Debug)]
pub struct Routing {
    pace: Pace,
    active: Region,
    views: [View; 2],
    pending: Option<Pending>,
    weights: Option<Weights>,
}

#[derive(Debug, Default)]
struct View {
    unhealthy: bool,
    /// Checks in a row that contradict `unhealthy`.
    contradicting: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pending {
    to: Region,
    due: Instant,
}

/// Users are at home here when all is well.
pub const HOME: Region = Region::East;

impl Routing {
    /// Users at home, both regions trusted until checks say otherwise.
    pub fn new(pace: Pace) -> Self {
        Self { pace, active: HOME, views: Default::default(), pending: None, weights: None }
    }

    /// Where users are sent; with an operator's weights, where most of them are.
    pub fn active(&self) -> Region {
        self.active
    }

    /// Where one user is sent. `draw` picks below its argument: at random, but for tests.
    pub fn route(&self, draw: impl FnOnce(u32) -> u32) -> Region {
        match self.weights {
            Some(weights) => {
                let (east, west) = (u32::from(weights.of(Region::East)), u32::from(weights.of(Region::West)));
                if draw(east + west) < east { Region::East } else { Region::West }
            }
            None => self.active,
        }
    }

    /// An operator's weights, while there are any.
    pub fn weights(&self) -> Option<Weights> {
        self.weights
    }

    /// Takes an operator's weights, or gives the choice back to the health checks. At least one weight is above 0.
    ///
    /// With weights nobody is moved by health: whoever set them wants users there. Without, users stay where they are until health moves them: home
    /// again after the usual wait, however long home has been healthy.
    pub fn set_weights(&mut self, weights: Option<Weights>, now: Instant) -> Vec<Happening> {
        self.weights = weights;
        self.pending = None;
        if let Some(weights) = weights {
            let heaviest = Region::ALL.into_iter().max_by_key(|region| (weights.of(*region), *region == self.active));
            self.active = heaviest.unwrap_or(self.active);
        }
        let said = weights.map_or(Happening::WeightsCleared, |weights| Happening::WeightsSet { weights });
        std::iter::once(said).chain(self.step(now)).collect()
    }

    /// Whether checks trust a region.
    pub fn healthy(&self, region: Region) -> bool {
        !self.views[region as usize].unhealthy
    }

    /// When [`Routing::step`] has something to do without another check.
    pub fn due(&self) -> Option<Instant> {
        self.pending.map(|pending| pending.due)
    }

    /// Takes the result of one health check, and says what it changed.
    pub fn checked(&mut self, region: Region, good: bool, now: Instant) -> Vec<Happening> {
        let view = &mut self.views[region as usize];
        let mut happened = Vec::new();
        view.contradicting = if good == view.unhealthy { view.contradicting + 1 } else { 0 };
        if view.contradicting >= THRESHOLD {
            *view = View { unhealthy: !view.unhealthy, contradicting: 0 };
            happened.push(if view.unhealthy { Happening::RegionUnhealthy { region } } else { Happening::RegionHealthy { region } });
        }
        happened.extend(self.step(now));
        happened
    }

    /// Moves users when that is due, and says so.
    pub fn step(&mut self, now: Instant) -> Option<Happening> {
        self.pending = self.wanted().map(|(to, delay)| match self.pending {
            Some(pending) if pending.to == to => pending,
            _ => Pending { to, due: now + (self.pace.draw)(delay) },
        });
        let Pending { to, .. } = self.pending.filter(|pending| pending.due <= now)?;
        let from = std::mem::replace(&mut self.active, to);
        self.pending = None;
        Some(if self.healthy(from) { Happening::FailBack { from, to } } else { Happening::Failover { from, to } })
    }

    /// Where users ought to be, if elsewhere, and how long that must stay true.
    fn wanted(&self) -> Option<(Region, Range<Duration>)> {
        let other = self.active.other();
        if self.weights.is_some() || !self.healthy(other) {
            None
        } else if !self.healthy(self.active) {
            self.pace.failover.clone().map(|delay| (other, delay))
        } else {
            (other == HOME).then(|| (other, self.pace.failback.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn routing(failover: Option<Range<Duration>>) -> Routing {
        Routing::new(Pace { failover, failback: 3 * SECOND..4 * SECOND, draw: |range| range.start })
    }

    fn checks(routing: &mut Routing, region: Region, good: bool, count: u32, now: Instant) -> Vec<Happening> {
        (0..count).flat_map(|_| routing.checked(region, good, now)).collect()
    }

    #[test]
    fn two_bad_checks_change_nothing_and_a_third_gives_the_region_up() {
        let (mut routing, now) = (routing(Some(SECOND..2 * SECOND)), Instant::now());
        assert_eq!(checks(&mut routing, Region::East, false, 2, now), []);
        assert_eq!(checks(&mut routing, Region::East, true, 1, now), []);
        assert_eq!(checks(&mut routing, Region::East, false, 2, now), []);
        assert_eq!(checks(&mut routing, Region::East, false, 1, now), [Happening::RegionUnhealthy { region: Region::East }]);
        assert_eq!(routing.active(), Region::East);
    }

    #[test]
    fn users_move_after_the_delay_and_go_home_when_home_has_been_healthy_for_a_while() {
        let (mut routing, start) = (routing(Some(SECOND..2 * SECOND)), Instant::now());
        checks(&mut routing, Region::East, false, 3, start);
        assert_eq!(routing.due(), Some(start + SECOND));
        assert_eq!(routing.step(start + SECOND / 2), None);
        assert_eq!(routing.step(start + SECOND), Some(Happening::Failover { from: Region::East, to: Region::West }));
        assert_eq!(routing.due(), None);

        let back = start + 10 * SECOND;
        checks(&mut routing, Region::East, true, 3, back);
        assert_eq!(routing.step(back + 2 * SECOND), None);
        assert_eq!(routing.step(back + 3 * SECOND), Some(Happening::FailBack { from: Region::West, to: Region::East }));
    }

    #[test]
    fn home_that_turns_bad_again_restarts_the_wait_for_going_home() {
        let (mut routing, start) = (routing(Some(Duration::ZERO..SECOND)), Instant::now());
        checks(&mut routing, Region::East, false, 3, start);
        assert_eq!(routing.active(), Region::West);
        checks(&mut routing, Region::East, true, 3, start + SECOND);
        checks(&mut routing, Region::East, false, 3, start + 2 * SECOND);
        checks(&mut routing, Region::East, true, 3, start + 3 * SECOND);
        assert_eq!(routing.step(start + 5 * SECOND), None);
        assert!(routing.step(start + 6 * SECOND).is_some());
    }

    #[test]
    fn nobody_is_moved_to_a_region_that_is_down_too() {
        let (mut routing, now) = (routing(Some(Duration::ZERO..SECOND)), Instant::now());
        checks(&mut routing, Region::West, false, 3, now);
        checks(&mut routing, Region::East, false, 3, now);
        assert_eq!(routing.step(now + 60 * SECOND), None);
        assert_eq!(routing.active(), Region::East);
        let moved = checks(&mut routing, Region::West, true, 3, now + 60 * SECOND);
        assert!(moved.contains(&Happening::Failover { from: Region::East, to: Region::West }), "{moved:?}");
    }

    #[test]
    fn without_failover_users_stay() {
        let (mut routing, now) = (routing(None), Instant::now());
        checks(&mut routing, Region::East, false, 3, now);
        assert_eq!(routing.step(now + 600 * SECOND), None);
        assert_eq!(routing.active(), Region::East);
    }

    #[test]
    fn an_operators_weights_move_users_at_once_and_health_moves_nobody_until_they_are_cleared() {
        let (mut routing, start) = (routing(Some(SECOND..2 * SECOND)), Instant::now());
        let west = Weights { east: 0, west: 100 };
        assert_eq!(routing.set_weights(Some(west), start), [Happening::WeightsSet { weights: west }]);
        assert_eq!((routing.active(), routing.route(|all| all - 1), routing.route(|_| 0)), (Region::West, Region::West, Region::West));

        checks(&mut routing, Region::West, false, 3, start);
        assert_eq!((routing.due(), routing.step(start + 60 * SECOND)), (None, None));
        assert_eq!(routing.active(), Region::West);
        checks(&mut routing, Region::West, true, 3, start + 60 * SECOND);

        // Users stay where they are, and go home after the usual wait.
        let cleared = start + 100 * SECOND;
        assert_eq!(routing.set_weights(None, cleared), [Happening::WeightsCleared]);
        assert_eq!(routing.step(cleared + 2 * SECOND), None);
        assert_eq!(routing.step(cleared + 3 * SECOND), Some(Happening::FailBack { from: Region::West, to: Region::East }));
    }

    #[test]
    fn weights_share_users_between_the_regions() {
        let (mut routing, now) = (routing(None), Instant::now());
        routing.set_weights(Some(Weights { east: 70, west: 30 }), now);
        let east = (0..100).filter(|point| routing.route(|all| point % all) == Region::East).count();
        assert_eq!((east, routing.active()), (70, Region::East));
        // A tie moves nobody who need not move.
        routing.set_weights(Some(Weights { east: 0, west: 100 }), now);
        routing.set_weights(Some(Weights { east: 50, west: 50 }), now);
        assert_eq!(routing.active(), Region::West);
    }

    #[test]
    fn weights_cleared_while_home_is_down_keep_users_away() {
        let (mut routing, now) = (routing(Some(SECOND..2 * SECOND)), Instant::now());
        checks(&mut routing, Region::East, false, 3, now);
        routing.set_weights(Some(Weights { east: 0, west: 100 }), now);
        routing.set_weights(None, now);
        assert_eq!(routing.step(now + 60 * SECOND), None);
        assert_eq!(routing.active(), Region::West);
    }
}
