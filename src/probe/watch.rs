//! Readings in time: one with a limit, a steady series on a fixed grid, and a gate that waits for a steady good state.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc::UnboundedSender;

use super::{Probe, Reading};
use crate::clock::{Clock, Timestamp};
use crate::drill::text::DurationText;
use crate::event::{Health, Sample};
use crate::http::excerpt;

/// Reads once: when it began, how long it took, what it said. A reading that takes longer than `timeout` is cut off; a probe that panics is
/// a broken instrument.
pub async fn read_once(clock: &Clock, probe: &dyn Probe, timeout: Duration) -> (Timestamp, Duration, Reading) {
    let at = clock.now();
    let reading = match tokio::time::timeout(timeout, AssertUnwindSafe(probe.read()).catch_unwind()).await {
        Ok(Ok(reading)) => reading,
        Ok(Err(panic)) => Reading::unknown(format!("the probe crashed: {}", excerpt(panic_text(&*panic)))),
        Err(_) => probe.timed_out(),
    };
    (at, clock.now().since(at), reading)
}

/// Reads for as long as someone listens: reading *n* is due at `first + n·interval`, however long the ones before it took.
///
/// After a stall the missed readings are left out, never made up for in a burst. `timeout` is at most `interval` (validated), so that a hanging
/// probe costs no reading. Ends when `out` closes; dropping the future drops the reading that is under way.
pub async fn watch(
    clock: Clock,
    objective: String,
    probe: Arc<dyn Probe>,
    interval: Duration,
    timeout: Duration,
    first: Timestamp,
    out: UnboundedSender<Sample>,
) {
    let mut grid = Grid::new(first, interval, clock.now());
    loop {
        let reading = async {
            clock.sleep_until(grid.due()).await;
            read_once(&clock, &*probe, timeout).await
        };
        let (at, latency, reading) = tokio::select! {
            biased;
            () = out.closed() => return,
            reading = reading => reading,
        };
        let Reading { health, detail, canary } = reading;
        if out.send(Sample { objective: objective.clone(), at, latency: latency.into(), health, detail, canary }).is_err() {
            return;
        }
        grid.advance(clock.now());
    }
}

/// Waits until the probe has been good for `stable_for` without a bad or unknown reading between. A `stable_for` of zero takes one good reading.
///
/// The first reading is made at once, the last at the latest when `limit` has passed; each is shown to `progress`. The error is one sentence that
/// says what the last reading said.
pub async fn until_stable(
    clock: &Clock,
    probe: &dyn Probe,
    interval: Duration,
    timeout: Duration,
    stable_for: Duration,
    limit: Duration,
    mut progress: impl FnMut(&Reading),
) -> Result<(), String> {
    let start = clock.now();
    let deadline = start.plus(limit);
    let mut grid = Grid::new(start, interval, start);
    let mut good_since: Option<Timestamp> = None;
    loop {
        let (at, _, reading) = read_once(clock, probe, timeout).await;
        progress(&reading);
        good_since = (reading.health == Health::Good).then(|| good_since.unwrap_or(at));
        if good_since.is_some_and(|since| at.since(since) >= stable_for) {
            return Ok(());
        }
        grid.advance(clock.now());
        if grid.due() > deadline {
            let said = match (good_since, reading.health) {
                (Some(since), _) => format!("good for only {}", DurationText(whole_millis(at.since(since)))),
                (None, Health::Unknown) => format!("unknown: {}", reading.detail.as_deref().unwrap_or("no detail")),
                (None, _) => format!("bad: {}", reading.detail.as_deref().unwrap_or("no detail")),
            };
            let wanted = if stable_for.is_zero() { "good".to_owned() } else { format!("good for {}", DurationText(stable_for)) };
            return Err(format!("{} was not {wanted} within {}; the last reading was {said}", probe.describe(), DurationText(limit)));
        }
        clock.sleep_until(grid.due()).await;
    }
}

/// The instants at which readings are due.
struct Grid {
    first: Timestamp,
    interval: Duration,
    next: u64,
}

impl Grid {
    fn new(first: Timestamp, interval: Duration, now: Timestamp) -> Self {
        let mut grid = Self { first, interval: interval.max(Duration::from_millis(1)), next: 0 };
        grid.next = grid.passed(now);
        grid
    }

    fn due(&self) -> Timestamp {
        let micros = self.interval.as_micros().saturating_mul(u128::from(self.next));
        self.first.plus(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    /// The reading that was due last. It is made even when late by less than an interval: timers round up, and a reading that took all of its
    /// interval must not cost the next one.
    fn passed(&self, now: Timestamp) -> u64 {
        u64::try_from(now.since(self.first).as_micros() / self.interval.as_micros()).unwrap_or(u64::MAX)
    }

    fn advance(&mut self, now: Timestamp) {
        self.next = (self.next + 1).max(self.passed(now));
    }
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
