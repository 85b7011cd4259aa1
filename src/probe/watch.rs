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
            return Err(format!("{} was not {wanted} within {}; the last reading was {said}", probe.describe(), DurationText(tenths(limit))));
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

/// A limit as people gave it: what is left of it is shorter by the time that it took to begin.
fn tenths(duration: Duration) -> Duration {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 10 { whole_millis(duration) } else { Duration::from_millis(u64::try_from(tenths * 100).unwrap_or(u64::MAX)) }
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A probe whose reading number n is what `script(n)` says, after so many milliseconds.
    struct Scripted<F>(AtomicUsize, F);

    impl<F: Fn(usize) -> (u64, Reading) + Send + Sync> Scripted<F> {
        fn new(script: F) -> Self {
            Self(AtomicUsize::new(0), script)
        }
    }

    #[async_trait]
    impl<F: Fn(usize) -> (u64, Reading) + Send + Sync> Probe for Scripted<F> {
        async fn read(&self) -> Reading {
            let (millis, reading) = (self.1)(self.0.fetch_add(1, Ordering::SeqCst));
            tokio::time::sleep(Duration::from_millis(millis)).await;
            reading
        }
        fn timed_out(&self) -> Reading {
            Reading::bad("no answer in time")
        }
        fn describe(&self) -> String {
            "scripted".to_owned()
        }
    }

    fn clock() -> Clock {
        Clock::starting_at(Timestamp(1_780_000_000_000_000))
    }

    fn start(clock: Clock, probe: Arc<dyn Probe>, first: Timestamp, timeout: Duration) -> UnboundedReceiver<Sample> {
        let (out, samples) = unbounded_channel();
        tokio::spawn(watch(clock, "checkout".to_owned(), probe, SECOND, timeout, first, out));
        samples
    }

    /// Offsets from `first` in milliseconds, by which the grid is seen.
    fn offset(sample: &Sample, first: Timestamp) -> u64 {
        u64::try_from(sample.at.since(first).as_millis()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_readings_of_random_length_begin_exactly_when_due() {
        for seed in 0..3 {
            let clock = clock();
            let first = clock.now().plus(Duration::from_millis(700));
            // One in ten hangs beyond the timeout of 900 ms.
            let probe = Scripted::new(move |n| (StdRng::seed_from_u64(seed * 10_000 + n as u64).random_range(0..1000), Reading::good()));
            let mut samples = start(clock, Arc::new(probe), first, Duration::from_millis(900));
            let (mut good, mut bad) = (0, 0);
            for n in 0..1000 {
                let sample = samples.recv().await.unwrap();
                assert_eq!(sample.at, first.plus(SECOND * n), "seed {seed}, reading {n}");
                assert!(*sample.latency <= Duration::from_millis(901), "{sample:?}");
                match sample.health {
                    Health::Good => good += 1,
                    Health::Bad => bad += 1,
                    Health::Unknown => panic!("{sample:?}"),
                }
            }
            assert!(good > 800 && bad > 50, "seed {seed}: {good} good, {bad} bad");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn readings_that_always_take_their_whole_interval_cost_no_readings() {
        let clock = clock();
        let first = clock.now();
        let mut samples = start(clock, Arc::new(Scripted::new(|_| (60_000, Reading::good()))), first, SECOND);
        for n in 0..500 {
            let sample = samples.recv().await.unwrap();
            let late = sample.at.since(first.plus(SECOND * n));
            assert!(late < Duration::from_millis(500), "reading {n} is {late:?} late");
            assert_eq!(sample.detail.as_deref(), Some("no answer in time"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stall_missed_readings_are_left_out_and_the_grid_is_kept() {
        let clock = clock();
        let first = clock.now();
        // The third reading stalls for 5.3 s under a timeout that a validated file could not have.
        let probe = Scripted::new(|n| (if n == 2 { 5300 } else { 10 }, Reading::good()));
        let mut samples = start(clock, Arc::new(probe), first, Duration::from_secs(60));
        let mut offsets = Vec::new();
        for _ in 0..7 {
            offsets.push(offset(&samples.recv().await.unwrap(), first));
        }
        assert_eq!(offsets, [0, 1000, 2000, 7300, 8000, 9000, 10_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_starts_late_does_not_make_up_for_what_it_missed() {
        let clock = clock();
        let first = clock.now();
        tokio::time::sleep(Duration::from_millis(10_200)).await;
        let mut samples = start(clock, Arc::new(Scripted::new(|_| (0, Reading::good()))), first, SECOND);
        let mut offsets = Vec::new();
        for _ in 0..3 {
            offsets.push(offset(&samples.recv().await.unwrap(), first));
        }
        assert_eq!(offsets, [10_200, 11_000, 12_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_crashes_is_unknown_and_watched_on() {
        let clock = clock();
        let first = clock.now();
        let probe = Scripted::new(|n| match n {
            0 => panic!("index {} out of bounds", 7),
            1 => panic!("plain"),
            _ => (0, Reading::good()),
        });
        let mut samples = start(clock, Arc::new(probe), first, SECOND);
        for (n, expected) in [Some("the probe crashed: index 7 out of bounds"), Some("the probe crashed: plain"), None].into_iter().enumerate() {
            let sample = samples.recv().await.unwrap();
            assert_eq!(sample.detail.as_deref(), expected);
            assert_eq!(sample.health, if n < 2 { Health::Unknown } else { Health::Good });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ends_when_nobody_listens_even_in_the_middle_of_a_reading() {
        let clock = clock();
        let probe = Arc::new(Scripted::new(|_| (u64::MAX / 1_000_000, Reading::good())));
        let (out, samples) = unbounded_channel();
        let watching = tokio::spawn(watch(clock, "checkout".to_owned(), probe.clone(), SECOND, Duration::from_secs(3600), clock.now(), out));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(probe.0.load(Ordering::SeqCst), 1, "a reading is under way");
        drop(samples);
        tokio::time::timeout(SECOND, watching).await.expect("the watch has ended").unwrap();
    }

    async fn gate(script: impl Fn(usize) -> (u64, Reading) + Send + Sync, stable_for: u64, limit: u64) -> (Result<(), String>, Duration, usize) {
        let (clock, mut shown) = (clock(), 0);
        let (start, probe) = (clock.now(), Scripted::new(script));
        let limits = (Duration::from_secs(stable_for), Duration::from_secs(limit));
        let result = until_stable(&clock, &probe, SECOND, SECOND / 2, limits.0, limits.1, |_| shown += 1).await;
        (result, clock.now().since(start), shown)
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_opens_after_an_unbroken_good_stretch() {
        // Bad for 3 s, good for 4, one unknown, then good: the 5 s count from second 8.
        let (result, took, shown) = gate(
            |n| match n {
                0..=2 => (0, Reading::bad("status 503")),
                7 => (0, Reading::unknown("no data")),
                _ => (0, Reading::good()),
            },
            5,
            60,
        )
        .await;
        assert_eq!((result, took, shown), (Ok(()), Duration::from_secs(13), 14));
        // One good reading is enough for no stretch at all.
        assert_eq!(gate(|_| (0, Reading::good()), 0, 10).await, (Ok(()), Duration::ZERO, 1));
        // The whole limit may be used.
        assert_eq!(gate(|_| (0, Reading::good()), 10, 10).await, (Ok(()), Duration::from_secs(10), 11));
    }

    #[test]
    fn a_limit_is_told_as_it_was_given() {
        let text = |millis| DurationText(tenths(Duration::from_millis(millis))).to_string();
        assert_eq!([14_998, 15_000, 11_500, 250].map(text), ["15s", "15s", "11s500ms", "250ms"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_stays_shut_says_what_the_last_reading_said() {
        let (result, took, _) = gate(|n| (0, if n % 4 == 3 { Reading::unknown("no data") } else { Reading::good() }), 5, 11).await;
        let wanted = "scripted was not good for 5s within 11s; the last reading was";
        assert_eq!((result, took), (Err(format!("{wanted} unknown: no data")), Duration::from_secs(11)));
        let (result, ..) = gate(|_| (0, Reading::bad("status 503")), 5, 10).await;
        assert_eq!(result, Err("scripted was not good for 5s within 10s; the last reading was bad: status 503".to_owned()));
        let (result, ..) = gate(|n| (0, if n < 8 { Reading::bad("status 503") } else { Reading::good() }), 5, 10).await;
        assert_eq!(result, Err("scripted was not good for 5s within 10s; the last reading was good for only 2s".to_owned()));
        let (result, ..) = gate(|_| (60_000, Reading::good()), 0, 10).await;
        assert_eq!(result, Err("scripted was not good within 10s; the last reading was bad: no answer in time".to_owned()));
        let (result, ..) = gate(|_| panic!("boom"), 1, 3).await;
        assert_eq!(result, Err("scripted was not good for 1s within 3s; the last reading was unknown: the probe crashed: boom".to_owned()));
    }
}
