//! The rules in force: each has a deadline and vanishes by itself; a removed one leaves its id behind as a tombstone until then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::aws_host::{AwsHost, check_names};
use super::index::Index;
use super::{Effect, Rule};
use crate::clock::{Clock, Timestamp};

/// Most rules and tombstones together. Far above any drill; it bounds memory.
pub const MOST: usize = 10_000;
/// A rule may not reach further than this into the future: twice the longest `undoBy` of a drill.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Longest `delay` and longest `jitter` of a latency rule. Every client has given up by then.
pub const LONGEST_DELAY: Duration = Duration::from_mins(10);
/// Most bytes a second, and most bytes before a reset: a terabyte.
pub const MOST_BYTES: u64 = 1 << 40;
/// The whole, where a share is given in millionths.
pub const MILLION: u32 = 1_000_000;

/// Why a change of the rules was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The id is taken by a rule with another content.
    #[error("rule '{0}' exists with another content; remove it first")]
    Exists(String),
    /// The rule was removed: a late `put` of it stays without effect.
    #[error("rule '{0}' was removed; it cannot come back before its deadline")]
    Removed(String),
    /// The deadline has passed.
    #[error("the deadline of rule '{0}' has passed")]
    Expired(String),
    /// The rule in force is not the expected one.
    #[error("rule '{0}' is not the expected one; it was left alone")]
    Other(String),
    /// The rule is malformed.
    #[error("{0}")]
    Invalid(String),
    /// [`MOST`] is reached.
    #[error("{MOST} rules and tombstones are in place; none can be added")]
    Full,
}

/// A rule in force.
#[derive(Debug)]
pub struct Active {
    /// The rule.
    pub rule: Rule,
    /// Connections and requests that it acted on.
    pub hits: AtomicU64,
    /// Cancelled when the rule ends, however it ends.
    pub ended: CancellationToken,
    /// Later rules have higher numbers.
    pub number: u64,
    /// Where the rule is in its sequence of choices.
    asked: AtomicU64,
    seed: u64,
    time: Time,
}

/// The rules that act on one request or tunnel.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Refuses, swallows or resets it; then nothing else acts.
    pub stops: Option<Arc<Active>>,
    /// May answer it with an error, newest first: the first that is about the operation decides.
    pub errors: Vec<Arc<Active>>,
    /// Slows it down.
    pub slows: Option<Arc<Active>>,
}

/// A rule as `list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// The rule.
    pub rule: Rule,
    /// Connections and requests that it acted on. A tunnel that is slowed down counts each time its client speaks.
    pub hits: u64,
}

/// Where rules read the time.
///
/// A gateway runs for weeks: its monotonic clock falls behind the wall clock while the machine sleeps. So each rule gets a clock that is anchored when
/// it is put, and a rule is over as soon as either clock says so: it may end early when the wall clock is stepped, never late.
#[derive(Debug, Clone, Copy)]
enum Time {
    System(Clock),
    #[cfg(test)]
    Virtual(Clock),
}

impl Time {
    fn has_passed(&self, at: Timestamp) -> bool {
        match self {
            Self::System(anchored) => anchored.now() >= at || Timestamp::from(std::time::SystemTime::now()) >= at,
            #[cfg(test)]
            Self::Virtual(clock) => clock.now() >= at,
        }
    }

    fn clock(&self) -> &Clock {
        match self {
            Self::System(clock) => clock,
            #[cfg(test)]
            Self::Virtual(clock) => clock,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    active: Vec<Arc<Active>>,
    index: Index,
    next: u64,
    tombstones: HashMap<String, Timestamp>,
}

/// The rules of one gateway. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    state: Arc<RwLock<State>>,
    /// Number of rules: the usual zero is read without the lock.
    count: Arc<AtomicUsize>,
    #[cfg(test)]
    virtual_clock: Option<Clock>,
}

impl Rules {
    /// Puts a rule in force. `Ok(false)`: it was already. Must run inside a tokio runtime, which times the deadline.
    pub fn put(&self, rule: Rule) -> Result<bool, RuleError> {
        check(&rule)?;
        let time = self.time();
        if time.has_passed(rule.deadline) {
            return Err(RuleError::Expired(rule.id));
        }
        if rule.deadline.since(time.clock().now()) > LONGEST {
            return Err(RuleError::Invalid(format!("the deadline is more than {} h away", LONGEST.as_secs() / 3600)));
        }
        let active = {
            let mut state = self.write();
            state.prune();
            if state.tombstones.contains_key(&rule.id) {
                return Err(RuleError::Removed(rule.id));
            }
            if let Some(present) = state.find(&rule.id) {
                return if present.rule == rule { Ok(false) } else { Err(RuleError::Exists(rule.id)) };
            }
            if state.active.len() + state.tombstones.len() >= MOST {
                return Err(RuleError::Full);
            }
            state.next += 1;
            let active = Arc::new(Active::new(rule, state.next, time));
            state.active.push(active.clone());
            state.index.add(&active);
            self.count.store(state.active.len(), Ordering::Release);
            active
        };
        tokio::spawn(self.clone().expire(active));
        Ok(true)
    }

    /// Removes a rule and keeps its id refused until its deadline, or until `fence_until` when there is no such rule (an inject that may still be on
    /// its way). With `expected`, a rule of another content is left alone. `Ok(false)`: there was none.
    pub fn remove(&self, id: &str, fence_until: Option<Timestamp>, expected: Option<&Rule>) -> Result<bool, RuleError> {
        check_id(id)?;
        let time = self.time();
        let mut state = self.write();
        state.prune();
        let Some(position) = state.active.iter().position(|active| active.rule.id == id) else {
            if let Some(until) = fence_until.filter(|until| !time.has_passed(*until)) {
                if until.since(time.clock().now()) > LONGEST {
                    return Err(RuleError::Invalid(format!("the fence is more than {} h away", LONGEST.as_secs() / 3600)));
                }
                if !state.tombstones.contains_key(id) && state.active.len() + state.tombstones.len() >= MOST {
                    return Err(RuleError::Full);
                }
                self.bury(&mut state, id, until, time);
            }
            return Ok(false);
        };
        if expected.is_some_and(|expected| *expected != state.active[position].rule) {
            return Err(RuleError::Other(id.to_owned()));
        }
        let active = state.active.remove(position);
        state.index.remove(&active);
        self.count.store(state.active.len(), Ordering::Release);
        self.bury(&mut state, id, active.rule.deadline, active.time);
        drop(state);
        active.ended.cancel();
        Ok(true)
    }

    /// Whether an id is refused until a deadline: its rule was removed, or it was fenced before it came.
    #[must_use]
    pub fn is_buried(&self, id: &str) -> bool {
        let time = self.time();
        self.read().tombstones.get(id).is_some_and(|until| !time.has_passed(*until))
    }

    /// How often exactly this rule has acted; none when it is not in force.
    #[must_use]
    pub fn hits(&self, rule: &Rule) -> Option<u64> {
        let state = self.read();
        let active = state.find(&rule.id).filter(|active| active.rule == *rule && !active.is_over())?;
        Some(active.hits.load(Ordering::Relaxed))
    }

    /// Every rule in force, in the order in which they came.
    #[must_use]
    pub fn list(&self) -> Vec<RuleStatus> {
        let state = self.read();
        let live = state.active.iter().filter(|active| !active.is_over());
        live.map(|active| RuleStatus { rule: active.rule.clone(), hits: active.hits.load(Ordering::Relaxed) }).collect()
    }

    /// The rules that act on a new connection or request to this host. Counts nothing: whoever lets a rule act counts its hit.
    #[must_use]
    pub fn judge(&self, host: Option<&AwsHost>) -> Judgement {
        let Some(host) = host else { return Judgement::default() };
        if self.count.load(Ordering::Acquire) == 0 {
            return Judgement::default();
        }
        self.read().index.judge(host)
    }

    fn time(&self) -> Time {
        #[cfg(test)]
        if let Some(clock) = self.virtual_clock {
            return Time::Virtual(clock);
        }
        Time::System(Clock::system())
    }

    fn bury(&self, state: &mut State, id: &str, until: Timestamp, time: Time) {
        let until = state.tombstones.get(id).map_or(until, |present| until.max(*present));
        if state.tombstones.insert(id.to_owned(), until).is_none() {
            let (rules, id) = (self.clone(), id.to_owned());
            tokio::spawn(async move {
                loop {
                    let Some(until) = rules.read().tombstones.get(&id).copied() else { return };
                    if time.has_passed(until) {
                        rules.write().tombstones.remove(&id);
                        return;
                    }
                    nap(&time, until).await;
                }
            });
        }
    }

    /// Ends the rule at its deadline.
    async fn expire(self, active: Arc<Active>) {
        while !active.is_over() {
            tokio::select! {
                () = active.ended.cancelled() => return,
                () = nap(&active.time, active.rule.deadline) => {}
            }
        }
        let mut state = self.write();
        state.prune();
        self.count.store(state.active.len(), Ordering::Release);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleeps until `at`, but at most a few seconds: after the machine slept, the wall clock is looked at again soon.
async fn nap(time: &Time, at: Timestamp) {
    let clock = time.clock();
    clock.sleep_until(at.min(clock.now().plus(Duration::from_secs(2)))).await;
}

impl Active {
    fn new(rule: Rule, number: u64, time: Time) -> Self {
        let given = if let Effect::Error { seed, .. } = &rule.effect { *seed } else { None };
        // FNV-1a: the same on every machine and in every version, so that a run can be repeated.
        let of_id = || rule.id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let seed = given.unwrap_or_else(of_id);
        Self { rule, hits: AtomicU64::new(0), ended: CancellationToken::new(), number, asked: AtomicU64::new(0), seed, time }
    }

    /// Counts a connection or request that the rule acted on.
    pub fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether an error rule is about this operation; of an unknown one only `*` is.
    #[must_use]
    pub fn is_about(&self, operation: Option<&str>) -> bool {
        let Effect::Error { operations, .. } = &self.rule.effect else { return false };
        operations.iter().any(|name| name == "*" || Some(name.as_str()) == operation)
    }

    /// Whether the next request is among those that fail. Every call is one step of a sequence that the seed decides.
    #[must_use]
    pub fn fails_next(&self) -> bool {
        let Effect::Error { per_million, .. } = &self.rule.effect else { return false };
        let step = self.asked.fetch_add(1, Ordering::Relaxed);
        mixed(self.seed, step) % u64::from(MILLION) < u64::from(*per_million)
    }

    pub(super) fn is_over(&self) -> bool {
        self.time.has_passed(self.rule.deadline)
    }
}

/// SplitMix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*, OOPSLA 2014): the number at `step` of the sequence of `seed`.
fn mixed(seed: u64, step: u64) -> u64 {
    let mut z = seed.wrapping_add(step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl State {
    fn find(&self, id: &str) -> Option<&Arc<Active>> {
        self.active.iter().find(|active| active.rule.id == id)
    }

    /// Drops rules that are over, even when their timer has not fired yet. Tombstones have their own timers.
    fn prune(&mut self) {
        let index = &mut self.index;
        self.active.retain(|active| {
            let over = active.is_over();
            if over {
                index.remove(active);
                active.ended.cancel();
            }
            !over
        });
    }
}

fn check(rule: &Rule) -> Result<(), RuleError> {
    check_id(&rule.id)?;
    let invalid = |what: String| Err(RuleError::Invalid(what));
    if rule.services.is_empty() {
        return invalid("a rule names at least one service, or \"*\"".to_owned());
    }
    if rule.services.len() > 500 {
        return invalid("a rule names at most 500 services".to_owned());
    }
    for text in rule.services.iter().chain([&rule.region, &rule.run, &rule.step]) {
        if text.is_empty() || text.len() > 200 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return invalid("services, region, run and step are 1 to 200 characters without spaces".to_owned());
        }
    }
    check_names(&rule.services, &rule.region).map_err(RuleError::Invalid)?;
    check_effect(&rule.effect).or_else(|what| invalid(what.to_owned()))
}

fn check_effect(effect: &Effect) -> Result<(), &'static str> {
    match effect {
        Effect::Blackhole | Effect::Refuse => Ok(()),
        Effect::Reset { after_bytes } if *after_bytes > MOST_BYTES => Err("afterBytes is at most 2^40"),
        Effect::Reset { .. } => Ok(()),
        Effect::Latency { delay_ms, jitter_ms, bytes_per_second } => {
            let longest = u64::try_from(LONGEST_DELAY.as_millis()).unwrap_or(u64::MAX);
            if *delay_ms == 0 && *jitter_ms == 0 && bytes_per_second.is_none() {
                return Err("latency needs at least one of delayMs, jitterMs or bytesPerSecond above 0");
            }
            if *delay_ms > longest || *jitter_ms > longest {
                return Err("delayMs and jitterMs are at most 600000 (10 minutes) each");
            }
            if bytes_per_second.is_some_and(|rate| rate == 0 || rate > MOST_BYTES) {
                return Err("bytesPerSecond is 1 to 2^40");
            }
            Ok(())
        }
        Effect::Error { operations, per_million, .. } => {
            let wrong = |name: &String| name.is_empty() || name.len() > 128 || name.chars().any(|c| c.is_control() || c.is_whitespace());
            if operations.is_empty() || operations.len() > 64 || operations.iter().any(wrong) {
                return Err("error names 1 to 64 operations of 1 to 128 characters without spaces, or \"*\"");
            }
            if !(1..=MILLION).contains(per_million) {
                return Err("perMillion is 1 to 1000000");
            }
            Ok(())
        }
    }
}

fn check_id(id: &str) -> Result<(), RuleError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if id.is_empty() || id.len() > 200 || !id.chars().all(plain) {
        return Err(RuleError::Invalid("a rule id is 1 to 200 letters, digits, '-', '_', '.' or ':'".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::aws_call::AwsError;
    use crate::gateway::aws_host::classify;

    const START: Timestamp = Timestamp(1_800_000_000_000_000);

    fn rules() -> (Rules, Clock) {
        let clock = Clock::starting_at(START);
        (Rules { virtual_clock: Some(clock), ..Rules::default() }, clock)
    }

    fn rule(id: &str, seconds: u64) -> Rule {
        Rule {
            id: id.to_owned(),
            run: "run".to_owned(),
            step: "step".to_owned(),
            effect: Effect::Blackhole,
            services: vec!["dynamodb".to_owned()],
            region: "us-east-1".to_owned(),
            cut_existing: false,
            deadline: START.plus(Duration::from_secs(seconds)),
        }
    }

    fn dynamodb() -> Option<AwsHost> {
        classify("dynamodb.us-east-1.amazonaws.com")
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_is_gone_at_its_deadline_and_frees_what_hangs_on_it() {
        let (rules, clock) = rules();
        assert_eq!(rules.put(rule("a", 60)), Ok(true));
        let hanging = rules.judge(dynamodb().as_ref()).stops.expect("the rule is in force");
        clock.sleep_until(START.plus(Duration::from_millis(59_999))).await;
        assert!(!hanging.ended.is_cancelled());
        assert_eq!(rules.list().len(), 1);
        hanging.ended.cancelled().await;
        assert_eq!(clock.now(), START.plus(Duration::from_secs(60)), "it ended at its deadline, not later");
        assert!(rules.judge(dynamodb().as_ref()).stops.is_none());
        assert!(rules.list().is_empty());
        assert!(rules.read().active.is_empty());
        assert!(rules.read().index.is_empty(), "nothing of it is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_rule_cannot_come_back_before_its_deadline_and_leaves_nothing_after_it() {
        let (rules, clock) = rules();
        rules.put(rule("a", 60)).unwrap();
        assert_eq!(rules.remove("a", None, None), Ok(true));
        assert_eq!(rules.remove("a", None, None), Ok(false));
        assert!(rules.is_buried("a") && !rules.is_buried("b"));
        clock.sleep_until(START.plus(Duration::from_secs(59))).await;
        assert_eq!(rules.put(rule("a", 60)), Err(RuleError::Removed("a".to_owned())));
        assert_eq!(rules.put(rule("b", 60)), Ok(true), "other ids are not affected");
        clock.sleep_until(START.plus(Duration::from_secs(63))).await;
        assert!(rules.read().tombstones.is_empty() && !rules.is_buried("a"));
        assert_eq!(rules.put(rule("a", 60)), Err(RuleError::Expired("a".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn removing_a_rule_that_has_not_arrived_yet_fences_it() {
        let (rules, _clock) = rules();
        assert_eq!(rules.remove("a", Some(START.plus(Duration::from_secs(60))), None), Ok(false));
        assert_eq!(rules.put(rule("a", 60)), Err(RuleError::Removed("a".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn put_is_idempotent_and_refuses_another_content_under_the_same_id() {
        let (rules, _clock) = rules();
        assert_eq!(rules.put(rule("a", 60)), Ok(true));
        assert_eq!(rules.put(rule("a", 60)), Ok(false));
        assert_eq!(rules.put(rule("a", 61)), Err(RuleError::Exists("a".to_owned())));
        assert_eq!(rules.remove("a", None, Some(&rule("a", 61))), Err(RuleError::Other("a".to_owned())));
        assert_eq!(rules.list().len(), 1);
    }

    fn error(operations: &[&str], per_million: u32, seed: Option<u64>) -> Effect {
        let operations = operations.iter().map(|name| (*name).to_owned()).collect();
        Effect::Error { operations, error: AwsError::AccessDenied, per_million, seed }
    }

    const SLOW: Effect = Effect::Latency { delay_ms: 5, jitter_ms: 0, bytes_per_second: None };

    #[tokio::test(start_paused = true)]
    async fn the_stronger_effect_acts_and_of_the_same_effect_the_newest_rule() {
        let (rules, _clock) = rules();
        let told = || {
            let judgement = rules.judge(dynamodb().as_ref());
            let id = |active: &Arc<Active>| active.rule.id.clone();
            (judgement.stops.as_ref().map(id), judgement.errors.iter().map(id).collect::<Vec<_>>(), judgement.slows.as_ref().map(id))
        };
        let some = |id: &str| Some(id.to_owned());
        assert_eq!(told(), (None, vec![], None));
        rules.put(Rule { effect: SLOW, ..rule("slow-1", 60) }).unwrap();
        rules.put(Rule { effect: SLOW, services: vec!["*".to_owned(), "dynamodb".to_owned()], ..rule("slow-2", 60) }).unwrap();
        assert_eq!(told(), (None, vec![], some("slow-2")));
        rules.put(Rule { effect: error(&["*"], MILLION, None), ..rule("error-1", 60) }).unwrap();
        rules
            .put(Rule { effect: error(&["*"], MILLION, None), services: vec!["dynamodb".to_owned(), "*".to_owned()], ..rule("error-2", 60) })
            .unwrap();
        assert_eq!(told(), (None, vec!["error-2".to_owned(), "error-1".to_owned()], some("slow-2")), "latency acts beside an error");
        for (id, effect) in
            [("reset", Effect::Reset { after_bytes: 1 }), ("hang", Effect::Blackhole), ("refuse-1", Effect::Refuse), ("refuse-2", Effect::Refuse)]
        {
            rules.put(Rule { effect, ..rule(id, 60) }).unwrap();
            assert_eq!(told(), (some(id), vec![], None));
        }
        rules.put(Rule { effect: Effect::Reset { after_bytes: 1 }, ..rule("reset-2", 60) }).unwrap();
        assert_eq!(told(), (some("refuse-2"), vec![], None));
        rules.remove("refuse-2", None, None).unwrap();
        assert_eq!(told(), (some("refuse-1"), vec![], None), "the older one acts again when the newer one has gone");
        let west = rules.judge(classify("dynamodb.us-west-2.amazonaws.com").as_ref());
        assert!(west.stops.is_none() && west.errors.is_empty() && west.slows.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_fails_the_same_requests_and_about_the_share_that_was_asked_for() {
        let sequence = |id: &str, seed: Option<u64>| {
            let (rules, _clock) = rules();
            rules.put(Rule { effect: error(&["*"], 300_000, seed), ..rule(id, 60) }).unwrap();
            let active = rules.judge(dynamodb().as_ref()).errors.remove(0);
            (0..10_000).map(|_| active.fails_next()).collect::<Vec<bool>>()
        };
        let seven = sequence("a", Some(7));
        assert_eq!(seven, sequence("b", Some(7)), "the id does not matter when a seed is given");
        assert_ne!(seven, sequence("a", Some(8)));
        assert_eq!(sequence("a", None), sequence("a", None));
        assert_ne!(sequence("a", None), sequence("b", None));
        let failed = seven.iter().filter(|fails| **fails).count();
        // Six standard deviations of a binomial around 3,000.
        assert!((2_725..=3_275).contains(&failed), "{failed}");
        assert!(seven.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn malformed_rules_are_refused() {
        let (rules, _clock) = rules();
        let bad = [
            Rule { id: String::new(), ..rule("a", 60) },
            Rule { id: "a b".to_owned(), ..rule("a", 60) },
            Rule { services: vec![], ..rule("a", 60) },
            Rule { region: String::new(), ..rule("a", 60) },
            Rule { services: vec!["x".repeat(201)], ..rule("a", 60) },
            Rule { services: vec!["sts".to_owned(), "dynamdb".to_owned()], ..rule("a", 60) },
            Rule { region: "us-esat-1".to_owned(), ..rule("a", 60) },
            rule("a", 25 * 3600),
            Rule { effect: Effect::Reset { after_bytes: MOST_BYTES + 1 }, ..rule("a", 60) },
            Rule { effect: Effect::Latency { delay_ms: 0, jitter_ms: 0, bytes_per_second: None }, ..rule("a", 60) },
            Rule { effect: Effect::Latency { delay_ms: 600_001, jitter_ms: 0, bytes_per_second: None }, ..rule("a", 60) },
            Rule { effect: Effect::Latency { delay_ms: 1, jitter_ms: 0, bytes_per_second: Some(0) }, ..rule("a", 60) },
            Rule { effect: error(&[], 1, None), ..rule("a", 60) },
            Rule { effect: error(&["a b"], 1, None), ..rule("a", 60) },
            Rule { effect: error(&["*"], 0, None), ..rule("a", 60) },
            Rule { effect: error(&["*"], MILLION + 1, None), ..rule("a", 60) },
        ];
        for rule in bad {
            assert!(matches!(rules.put(rule.clone()), Err(RuleError::Invalid(_))), "{rule:?}");
        }
        assert!(rules.list().is_empty());
    }
}
