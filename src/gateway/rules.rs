//! The rules in force: each has a deadline and vanishes by itself; a removed one leaves its id behind as a tombstone until then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::aws_host::AwsHost;
use super::{Effect, Rule};
use crate::clock::{Clock, Timestamp};

/// Most rules and tombstones together. Far above any drill; it bounds memory.
pub const MOST: usize = 10_000;
/// A rule may not reach further than this into the future: twice the longest `undoBy` of a drill.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

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
    /// Connections that it acted on.
    pub hits: AtomicU64,
    /// Cancelled when the rule ends, however it ends.
    pub ended: CancellationToken,
    time: Time,
}

/// A rule as `list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// The rule.
    pub rule: Rule,
    /// Connections that it acted on.
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
        let active = Arc::new(Active { rule, hits: AtomicU64::new(0), ended: CancellationToken::new(), time });
        {
            let mut state = self.write();
            state.prune();
            if state.tombstones.contains_key(&active.rule.id) {
                return Err(RuleError::Removed(active.rule.id.clone()));
            }
            if let Some(present) = state.find(&active.rule.id) {
                return if present.rule == active.rule { Ok(false) } else { Err(RuleError::Exists(active.rule.id.clone())) };
            }
            if state.active.len() + state.tombstones.len() >= MOST {
                return Err(RuleError::Full);
            }
            state.active.push(active.clone());
            self.count.store(state.active.len(), Ordering::Release);
        }
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
        self.count.store(state.active.len(), Ordering::Release);
        self.bury(&mut state, id, active.rule.deadline, active.time);
        drop(state);
        active.ended.cancel();
        Ok(true)
    }

    /// Every rule in force, in the order in which they came.
    #[must_use]
    pub fn list(&self) -> Vec<RuleStatus> {
        let state = self.read();
        let live = state.active.iter().filter(|active| !active.is_over());
        live.map(|active| RuleStatus { rule: active.rule.clone(), hits: active.hits.load(Ordering::Relaxed) }).collect()
    }

    /// The rule that acts on a new connection to this host, counted as a hit. A refusal wins over a hang; else the oldest rule.
    #[must_use]
    pub fn judge(&self, host: Option<&AwsHost>) -> Option<Arc<Active>> {
        let host = host?;
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let state = self.read();
        let mut covering = state.active.iter().filter(|active| active.rule.covers(host) && !active.is_over());
        let first = covering.next()?;
        let chosen = if first.rule.effect == Effect::Refuse { Some(first) } else { covering.find(|active| active.rule.effect == Effect::Refuse) };
        let chosen = chosen.unwrap_or(first).clone();
        drop(state);
        chosen.hits.fetch_add(1, Ordering::Relaxed);
        Some(chosen)
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
    fn is_over(&self) -> bool {
        self.time.has_passed(self.rule.deadline)
    }
}

impl State {
    fn find(&self, id: &str) -> Option<&Arc<Active>> {
        self.active.iter().find(|active| active.rule.id == id)
    }

    /// Drops rules that are over, even when their timer has not fired yet. Tombstones have their own timers.
    fn prune(&mut self) {
        self.active.retain(|active| {
            let over = active.is_over();
            if over {
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
    Ok(())
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
        let hanging = rules.judge(dynamodb().as_ref()).expect("the rule is in force");
        clock.sleep_until(START.plus(Duration::from_millis(59_999))).await;
        assert!(!hanging.ended.is_cancelled());
        assert_eq!(rules.list().len(), 1);
        hanging.ended.cancelled().await;
        assert_eq!(clock.now(), START.plus(Duration::from_secs(60)), "it ended at its deadline, not later");
        assert!(rules.judge(dynamodb().as_ref()).is_none());
        assert!(rules.list().is_empty());
        assert!(rules.read().active.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_rule_cannot_come_back_before_its_deadline_and_leaves_nothing_after_it() {
        let (rules, clock) = rules();
        rules.put(rule("a", 60)).unwrap();
        assert_eq!(rules.remove("a", None, None), Ok(true));
        assert_eq!(rules.remove("a", None, None), Ok(false));
        clock.sleep_until(START.plus(Duration::from_secs(59))).await;
        assert_eq!(rules.put(rule("a", 60)), Err(RuleError::Removed("a".to_owned())));
        assert_eq!(rules.put(rule("b", 60)), Ok(true), "other ids are not affected");
        clock.sleep_until(START.plus(Duration::from_secs(63))).await;
        assert!(rules.read().tombstones.is_empty());
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

    #[tokio::test(start_paused = true)]
    async fn hits_are_counted_per_rule_and_a_refusal_wins_over_a_hang() {
        let (rules, _clock) = rules();
        rules.put(rule("hang", 60)).unwrap();
        let _ = rules.judge(dynamodb().as_ref());
        rules.put(Rule { effect: Effect::Refuse, ..rule("refuse", 60) }).unwrap();
        assert_eq!(rules.judge(dynamodb().as_ref()).map(|active| active.rule.effect), Some(Effect::Refuse));
        assert!(rules.judge(classify("dynamodb.us-west-2.amazonaws.com").as_ref()).is_none());
        let hits: Vec<u64> = rules.list().iter().map(|status| status.hits).collect();
        assert_eq!(hits, [1, 1]);
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
            rule("a", 25 * 3600),
        ];
        for rule in bad {
            assert!(matches!(rules.put(rule.clone()), Err(RuleError::Invalid(_))), "{rule:?}");
        }
        assert!(rules.list().is_empty());
    }
}
