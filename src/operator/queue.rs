//! What is to be looked at: each object by one task at a time, again when it changed meanwhile, and later when it asks for that.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Objects that are looked at at once.
pub const MOST_AT_ONCE: usize = 16;
/// The first pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// As in `kind:`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// When it changes.
    Changed,
    /// After this long at the latest.
    After(Duration),
    /// It failed: after a pause that grows.
    Failed,
}

/// The queue. Pure: the time is an argument.
#[derive(Debug, Default)]
pub struct Queue {
    ready: VecDeque<Key>,
    waiting: HashSet<Key>,
    busy: HashSet<Key>,
    /// Changed while it was looked at.
    dirty: HashSet<Key>,
    timers: BTreeMap<(Instant, Key), ()>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

impl Queue {
    /// It changed.
    pub fn add(&mut self, key: Key) {
        if self.busy.contains(&key) {
            self.dirty.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// The next one to look at, if there is one and not too many are looked at.
    pub fn take(&mut self) -> Option<Key> {
        if self.busy.len() >= MOST_AT_ONCE {
            return None;
        }
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.forget(&key);
        self.busy.insert(key.clone());
        Some(key)
    }

    /// It was looked at.
    pub fn done(&mut self, key: Key, again: Again, now: Instant) {
        self.busy.remove(&key);
        let after = match again {
            Again::Failed => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                *failures += 1;
                Some((PAUSE.0 * 2_u32.saturating_pow(*failures - 1)).min(PAUSE.1))
            }
            Again::After(after) => {
                self.failures.remove(&key);
                Some(after)
            }
            Again::Changed => {
                self.failures.remove(&key);
                None
            }
        };
        if let Some(after) = after {
            self.due.insert(key.clone(), now + after);
            self.timers.insert((now + after, key.clone()), ());
        }
        // A change is no reason to hurry after a failure of the platform; it is looked at when the pause is over.
        if self.dirty.remove(&key) && again != Again::Failed {
            self.add(key);
        }
    }

    /// When something is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// Adds what is due.
    pub fn wake(&mut self, now: Instant) {
        while let Some(((at, key), ())) = self.timers.first_key_value().map(|(first, ())| (first.clone(), ())) {
            if at > now {
                return;
            }
            self.timers.pop_first();
            self.due.remove(&key);
            self.add(key);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(at) = self.due.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { kind: "DrillRun", name: name.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_looked_at_by_one_task_and_again_when_it_changed_meanwhile() {
        let mut queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.take(), Some(key("a")));
        queue.add(key("a"));
        assert_eq!(queue.take(), None, "it is being looked at");
        queue.done(key("a"), Again::Changed, Instant::now());
        assert_eq!(queue.take(), Some(key("a")));
        queue.done(key("a"), Again::Changed, Instant::now());
        assert_eq!((queue.take(), queue.next_due()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_with_failures_and_end_with_a_success() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            queue.add(key("a"));
            queue.take().unwrap();
            queue.done(key("a"), Again::Failed, now);
            pauses.push((queue.next_due().unwrap() - now).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        queue.wake(now + Duration::from_secs(59));
        assert_eq!(queue.take(), None);
        queue.wake(now + Duration::from_secs(60));
        assert_eq!(queue.take(), Some(key("a")));
        queue.done(key("a"), Again::After(Duration::from_secs(5)), now);
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(5)));
        // A change comes first, and the old timer with it is gone.
        queue.add(key("a"));
        queue.take().unwrap();
        assert_eq!(queue.next_due(), None);
    }
}
