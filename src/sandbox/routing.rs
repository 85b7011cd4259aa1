//! Where the edge sends users: health by streaks of checks, fail-over and fail-back after a randomised delay. Pure: `now` is an argument.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::Region;
use super::truth::Happening;

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
        Self { pace, active: HOME, views: Default::default(), pending: None }
    }

    /// Where users are sent.
    pub fn active(&self) -> Region {
        self.active
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
        if !self.healthy(other) {
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
}
