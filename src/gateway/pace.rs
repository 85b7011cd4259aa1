//! Slowness: the delay before a request, and how many bytes may pass now under a limit of bytes per second.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::Effect;
use super::rules::Active;

/// Bytes pass in slices of this much time, so that a slow connection trickles and does not stutter.
const SLICE: Duration = Duration::from_millis(50);
/// No slice is larger, however fast the connection may be.
const LARGEST: u64 = 64 * 1024;

/// Waits for as long as a latency rule says, at most until it ends. A rule without delay costs nothing: a timer would round it up to a millisecond.
pub(super) async fn delay(active: &Active) {
    let Effect::Latency { delay_ms, jitter_ms, .. } = active.rule.effect else { return };
    let jitter = if jitter_ms == 0 { 0 } else { rand::random_range(0..=jitter_ms.saturating_mul(1000)) };
    let wait = Duration::from_millis(delay_ms) + Duration::from_micros(jitter);
    if wait.is_zero() {
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = active.ended.cancelled() => {}
    }
}

/// The limit of one direction of one connection.
pub(super) struct Pace {
    active: Arc<Active>,
    rate: u64,
    /// When what has passed would have passed at the given rate.
    free: Instant,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Pace {
    /// The limit that a latency rule sets, if it sets one.
    pub fn new(active: &Arc<Active>) -> Option<Self> {
        let Effect::Latency { bytes_per_second: Some(rate), .. } = active.rule.effect else { return None };
        Some(Self { active: active.clone(), rate: rate.max(1), free: Instant::now(), wait: None })
    }

    /// Whether this is the limit of that rule.
    pub fn is_of(&self, active: &Arc<Active>) -> bool {
        Arc::ptr_eq(&self.active, active)
    }

    /// How many bytes may pass now, at least one. Everything, once the rule has ended.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            if self.active.ended.is_cancelled() {
                return Poll::Ready(usize::MAX);
            }
            if let Some(wait) = self.wait.as_mut() {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
                continue;
            }
            let now = Instant::now();
            if now >= self.free {
                let slice = (u128::from(self.rate) * SLICE.as_millis() / 1000).clamp(1, u128::from(LARGEST));
                return Poll::Ready(usize::try_from(slice).unwrap_or(1));
            }
            let (free, ended) = (self.free, self.active.ended.clone());
            self.wait = Some(Box::pin(async move {
                tokio::select! {
                    () = tokio::time::sleep_until(free) => {}
                    () = ended.cancelled() => {}
                }
            }));
        }
    }

    /// The same, to be awaited.
    pub async fn allowance(&mut self) -> usize {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// So many bytes have passed.
    pub fn spent(&mut self, bytes: usize) {
        let nanos = u128::try_from(bytes).unwrap_or(0) * 1_000_000_000 / u128::from(self.rate);
        // A late timer is made up for, silence is not: at most one slice is saved up.
        let from = Instant::now().checked_sub(SLICE).map_or(self.free, |earliest| self.free.max(earliest));
        self.free = from + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).min(u64::MAX / 4));
    }
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pace").field("rate", &self.rate).field("free", &self.free).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::clock::Clock;
    use crate::gateway::Rule;
    use crate::gateway::aws_host::classify;
    use crate::gateway::rules::Rules;

    fn slow(delay_ms: u64, jitter_ms: u64, bytes_per_second: Option<u64>) -> (Rules, Arc<Active>) {
        let rules = Rules::default();
        let rule = Rule {
            id: "slow".to_owned(),
            run: "r".to_owned(),
            step: "s".to_owned(),
            effect: Effect::Latency { delay_ms, jitter_ms, bytes_per_second },
            services: vec!["*".to_owned()],
            region: "us-east-1".to_owned(),
            cut_existing: false,
            deadline: Clock::system().now().plus(Duration::from_secs(3600)),
        };
        rules.put(rule).unwrap();
        let active = rules.judge(classify("sts.us-east-1.amazonaws.com").as_ref()).slows.unwrap();
        (rules, active)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_without_delay_waits_for_no_timer_at_all() {
        let (_rules, active) = slow(0, 0, Some(1));
        assert_eq!(delay(&active).now_or_never(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_is_waited_in_full_and_the_jitter_is_between_nothing_and_all_of_it() {
        let (_rules, active) = slow(100, 50, None);
        let mut took = Vec::new();
        for _ in 0..100 {
            let begin = Instant::now();
            delay(&active).await;
            took.push(begin.elapsed());
        }
        // A timer fires up to a millisecond late.
        assert!(took.iter().all(|took| (Duration::from_millis(100)..=Duration::from_millis(151)).contains(took)), "{took:?}");
        assert!(took.iter().min() < took.iter().max(), "it is random");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_at_the_rate_that_was_asked_for() {
        for rate in [100_u64, 100_000, 100_000_000] {
            let (_rules, active) = slow(0, 0, Some(rate));
            let mut pace = Pace::new(&active).unwrap();
            let (begin, mut passed) = (Instant::now(), 0_u64);
            while passed < rate * 10 {
                let slice = pace.allowance().await;
                pace.spent(slice);
                passed += u64::try_from(slice).unwrap();
            }
            let seconds = begin.elapsed().as_secs_f64();
            assert!((9.8..=10.2).contains(&seconds), "{rate} bytes a second: 10 seconds' worth took {seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_not_saved_up() {
        let (_rules, active) = slow(0, 0, Some(1000));
        let mut pace = Pace::new(&active).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let (begin, mut passed) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_secs(1) {
            let slice = pace.allowance().await;
            pace.spent(slice);
            passed += slice;
        }
        assert!(passed <= 1200, "{passed}");
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_rule_ends_delays_end_and_everything_may_pass() {
        let (rules, active) = slow(500_000, 0, Some(1));
        let mut pace = Pace::new(&active).unwrap();
        pace.spent(1_000_000);
        let begin = Instant::now();
        let ending = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            rules.remove("slow", None, None).unwrap();
        };
        let (allowance, (), ()) = tokio::join!(pace.allowance(), delay(&active), ending);
        assert_eq!(allowance, usize::MAX);
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}
