//! Who calls what, and what rules did to it: counters per client × service × region × operation, cheap enough for every request.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Most rows. What comes after them is counted together: clients choose the names, so the table must be bounded.
pub const MOST: usize = 10_000;
/// What a tunnel's operation is called: it is encrypted.
pub const ENCRYPTED: &str = "-";
/// What stands for a service, region or operation that the request does not tell.
pub const UNKNOWN: &str = "?";
/// Longer names are no names.
const LONGEST: usize = 128;
/// Parts of the table with a lock each: requests of different rows seldom meet.
const SHARDS: usize = 16;

/// What happened to a request or tunnel. Several may happen to one: it may be delayed, passed on and then reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It came.
    Asked,
    /// Its target got it.
    Passed,
    /// It was refused by a rule.
    Refused,
    /// It hung.
    Blackholed,
    /// Its answer was cut.
    Reset,
    /// It was answered with an error document.
    Failed,
    /// It was slowed down.
    Slowed,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Requests and tunnels that came.
    pub asked: u64,
    /// Those that their target got.
    pub passed: u64,
    /// Those that a rule refused.
    pub refused: u64,
    /// Those that hung.
    pub blackholed: u64,
    /// Those whose answer was cut.
    pub reset: u64,
    /// Those that were answered with an error document.
    pub failed: u64,
    /// Those that were slowed down.
    pub slowed: u64,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsRow {
    /// The client's address.
    pub client: IpAddr,
    /// Service as in endpoints; `?` when the request does not tell.
    pub service: String,
    /// Region of the call, or the one that a global service is homed in; `?` when the request does not tell.
    pub region: String,
    /// Operation; `-` for a tunnel, which is encrypted, `?` when it cannot be recognised.
    pub operation: String,
    /// How often.
    pub counts: Counts,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Since when it counts.
    pub since: Timestamp,
    /// The rows, those that were asked for most first.
    pub rows: Vec<StatsRow>,
    /// Everything that came when the table had [`MOST`] rows. None: it never was full.
    pub others: Option<Counts>,
}

/// A row that counts. Whoever holds one counts without looking it up again.
#[derive(Debug)]
pub struct Row {
    client: IpAddr,
    service: Box<str>,
    region: Box<str>,
    operation: Box<str>,
    counters: [AtomicU64; 7],
}

impl Row {
    fn new(client: IpAddr, service: &str, region: &str, operation: &str) -> Self {
        Self { client, service: service.into(), region: region.into(), operation: operation.into(), counters: Default::default() }
    }

    /// Counts one.
    pub fn count(&self, outcome: Outcome) {
        self.counters[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self, reset: bool) -> Counts {
        let [asked, passed, refused, blackholed, cut, failed, slowed] =
            self.counters.each_ref().map(|counter| if reset { counter.swap(0, Ordering::Relaxed) } else { counter.load(Ordering::Relaxed) });
        Counts { asked, passed, refused, blackholed, reset: cut, failed, slowed }
    }
}

/// Rows by the hash of their key; those of one hash beside each other. Looking up needs no owned key.
type Shard = RwLock<HashMap<u64, Vec<Arc<Row>>>>;

/// The counters of one gateway.
#[derive(Debug)]
pub struct Counters {
    hasher: RandomState,
    shards: [Shard; SHARDS],
    rows: AtomicUsize,
    others: Arc<Row>,
    since: Mutex<Timestamp>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: Default::default(),
            rows: AtomicUsize::new(0),
            others: Arc::new(Row::new(IpAddr::from([0, 0, 0, 0]), "", "", "")),
            since: Mutex::new(now()),
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

impl Counters {
    /// The row of a call, made when it is not there; the common one when the table is full. Allocates only for a new row.
    #[must_use]
    pub fn row(&self, client: IpAddr, service: &str, region: &str, operation: &str) -> Arc<Row> {
        let named = |text| if str::len(text) > LONGEST || text.is_empty() { UNKNOWN } else { text };
        let (client, service, region, operation) = (client.to_canonical(), named(service), named(region), named(operation));
        let hash = self.hasher.hash_one((client, service, region, operation));
        let is_it = |row: &&Arc<Row>| row.client == client && *row.service == *service && *row.region == *region && *row.operation == *operation;
        let shard = &self.shards[usize::try_from(hash).unwrap_or(0) % SHARDS];
        if let Some(row) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&hash).and_then(|rows| rows.iter().find(is_it)) {
            return row.clone();
        }
        let mut rows = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.get(&hash).and_then(|rows| rows.iter().find(is_it)) {
            return row.clone();
        }
        if self.rows.fetch_add(1, Ordering::Relaxed) >= MOST {
            self.rows.fetch_sub(1, Ordering::Relaxed);
            return self.others.clone();
        }
        let row = Arc::new(Row::new(client, service, region, operation));
        rows.entry(hash).or_default().push(row.clone());
        row
    }

    /// The table. With `reset` it is empty afterwards, and nothing that was counted is in neither table.
    #[must_use]
    pub fn read(&self, reset: bool) -> Stats {
        let mut said = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *said;
        let mut rows = Vec::new();
        for shard in &self.shards {
            let tell = |row: &Arc<Row>| StatsRow {
                client: row.client,
                service: row.service.to_string(),
                region: row.region.to_string(),
                operation: row.operation.to_string(),
                counts: row.read(reset),
            };
            if reset {
                let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
                rows.extend(shard.values().flatten().map(tell));
                // A connection that still holds its row goes on counting in it.
                let mut gone = 0;
                for held in shard.values_mut() {
                    let before = held.len();
                    held.retain(|row| Arc::strong_count(row) > 1);
                    gone += before - held.len();
                }
                shard.retain(|_, held| !held.is_empty());
                self.rows.fetch_sub(gone, Ordering::Relaxed);
            } else {
                rows.extend(shard.read().unwrap_or_else(PoisonError::into_inner).values().flatten().map(tell));
            }
        }
        if reset {
            *said = now();
        }
        drop(said);
        rows.retain(|row| row.counts != Counts::default());
        rows.sort_by(|a, b| {
            let names = |row: &StatsRow| (row.client, row.service.clone(), row.region.clone(), row.operation.clone());
            b.counts.asked.cmp(&a.counts.asked).then_with(|| names(a).cmp(&names(b)))
        });
        let others = Some(self.others.read(reset)).filter(|counts| *counts != Counts::default());
        Stats { since, rows, others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_table_is_bounded_and_what_does_not_fit_is_told() {
        let counters = Counters::default();
        for number in 0..MOST {
            counters.row(CLIENT, "sts", "us-east-1", &number.to_string()).count(Outcome::Asked);
        }
        assert_eq!(counters.read(false).others, None);
        for number in 0..7 {
            counters.row(CLIENT, "iam", "us-east-1", &number.to_string()).count(Outcome::Asked);
        }
        counters.row(CLIENT, "sts", "us-east-1", "42").count(Outcome::Asked);
        let stats = counters.read(true);
        assert_eq!((stats.rows.len(), stats.others.map(|others| others.asked)), (MOST, Some(7)));
        assert_eq!((stats.rows[0].operation.as_str(), stats.rows[0].counts.asked), ("42", 2), "the largest comes first");
        // Counting from the start makes room again.
        counters.row(CLIENT, "iam", "us-east-1", "new").count(Outcome::Asked);
        let stats = counters.read(false);
        assert_eq!((stats.rows.len(), stats.others), (1, None));
    }

    #[test]
    fn a_row_that_is_held_over_a_reset_goes_on_counting_and_nothing_is_lost() {
        let counters = Counters::default();
        let held = counters.row(CLIENT, "sts", "us-east-1", ENCRYPTED);
        held.count(Outcome::Asked);
        assert_eq!(counters.read(true).rows[0].counts.asked, 1);
        assert_eq!(counters.read(false).rows, []);
        held.count(Outcome::Reset);
        assert_eq!(counters.read(false).rows[0].counts, Counts { reset: 1, ..Counts::default() });
        assert!(Arc::ptr_eq(&held, &counters.row(CLIENT, "sts", "us-east-1", ENCRYPTED)));
    }

    #[test]
    fn a_known_row_is_found_and_a_name_that_is_none_does_not_fill_the_table() {
        let counters = Counters::default();
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!(Arc::ptr_eq(&counters.row(CLIENT, "s", "r", "o"), &counters.row(mapped, "s", "r", "o")));
        let long = "x".repeat(LONGEST + 1);
        assert!(Arc::ptr_eq(&counters.row(CLIENT, &long, "", &long), &counters.row(CLIENT, UNKNOWN, UNKNOWN, UNKNOWN)));
        assert!(!Arc::ptr_eq(&counters.row(CLIENT, "s", "r", "o"), &counters.row(CLIENT, "s", "r", "p")));
    }
}
