//! The canary probe: numbered writes on one side, read back on the other, so that what was lost can be counted and dated.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::definition::Definition;
use super::http::without_query;
use super::open::{Opening, unanswered};
use super::params::CanaryProbe;
use super::{Probe, Reading};
use crate::clock::{Clock, Timestamp};
use crate::drill::about::{About, Permissions};
use crate::event::{CanarySample, Health, MissingWrite};
use crate::http::{Client, Request};

/// Missing writes that one sample lists; the detail says how many there are when there are more.
const LISTED: usize = 10_000;
/// Bytes of the reading side's answer that are read: some 500,000 numbers, fourteen hours of ten a second.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Numbered writes on one side, read back on the other. One reader at a time.
///
/// A tick writes and reads at once: neither side's silence hides what the other says. The read is held against what was acknowledged before it
/// was sent. Every acknowledged write is looked for every time, those seen before too: a survivor that rolls back has lost them after all.
pub(super) struct Canary {
    client: Client,
    clock: Clock,
    write: Url,
    read: Url,
    series: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Number of the last write that was tried.
    tried: u64,
    /// Acknowledged writes, oldest first.
    acknowledged: Vec<MissingWrite>,
    /// What this tick has found out so far; survives a reading that is cut off by its timeout.
    tick: CanarySample,
}

#[derive(Deserialize)]
struct Numbers {
    numbers: Vec<u64>,
}

impl Definition for CanaryProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "Each tick writes the next number on one side and reads all numbers back on the other; what was acknowledged and is not there is data lost.",
            undo: "",
            verified: "",
            must_know: &[
                "The write is a POST of {\"number\": N, \"run\": \"…\"}, acknowledged by 2xx; the read is a GET with ?run=… that answers {\"numbers\": […]}.",
                "It needs an endpoint of your own that stores a number the way an order is stored.",
                "Write to where users write and read where they will be served from: the survivor.",
                "Every acknowledged write is looked for every time: a survivor that rolls back has lost it after all.",
            ],
            permissions: Permissions { inject: &[], revert: &[], read: &["reach both URLs from where firedrill runs"] },
            example: "canary: {write: \"${endpoints.orders}/canary\", read: \"${endpoints.ordersWest}/canary\"}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        Ok(Arc::new(Canary::open(self, &opening.series, opening.client.clone(), opening.clock)?))
    }
}

impl Canary {
    pub(super) fn open(probe: &CanaryProbe, series: &str, client: Client, clock: Clock) -> Result<Self, String> {
        let write = client.url(&probe.write).map_err(|error| format!("write: {error}"))?;
        let mut read = client.url(&probe.read).map_err(|error| format!("read: {error}"))?;
        read.query_pairs_mut().append_pair("run", series);
        Ok(Self { client, clock, write, read, series: series.to_owned(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, number: u64) -> Reading {
        let body = serde_json::json!({"number": number, "run": self.series}).to_string();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let request = Request { method: Method::POST, url: self.write.clone(), headers, body: Some(body.into()), follow: true, limit: 0 };
        match self.client.fetch(request).await {
            Ok(answer) if answer.status.is_success() => {
                let acknowledged = self.clock.now();
                let mut state = self.state();
                state.acknowledged.push(MissingWrite { number, acknowledged });
                state.tick.acknowledged = Some(number);
                Reading::good()
            }
            Ok(answer) => Reading::bad(format!("status {}", answer.status.as_u16())),
            Err(failure) => unanswered(failure),
        }
    }

    /// Looks for the oldest `expected` acknowledged writes.
    async fn read_back(&self, expected: usize) -> Reading {
        let answer = match self.client.fetch(Request::get(self.read.clone(), BODY_LIMIT)).await {
            Ok(answer) => answer,
            Err(failure) => return unanswered(failure),
        };
        if !answer.status.is_success() {
            return Reading::bad(format!("status {}", answer.status.as_u16()));
        }
        if answer.truncated {
            return Reading::unknown("the answer is longer than 4 MiB");
        }
        let Ok(Numbers { numbers }) = serde_json::from_slice(&answer.body) else {
            return Reading::bad("the answer is not {\"numbers\": [1, 2, …]}");
        };
        let numbers: HashSet<u64> = numbers.into_iter().collect();
        let mut state = self.state();
        let missing = state.acknowledged.iter().take(expected).filter(|write| !numbers.contains(&write.number));
        let (mut listed, mut count) = (Vec::new(), 0);
        for write in missing {
            count += 1;
            if listed.len() < LISTED {
                listed.push(*write);
            }
        }
        let detail = match listed.first() {
            Some(oldest) if count > LISTED => {
                Some(format!("{} of which the oldest {LISTED} are listed", missing_text(count, oldest, self.clock.now())))
            }
            Some(oldest) => Some(missing_text(count, oldest, self.clock.now())),
            None => None,
        };
        state.tick.missing = Some(listed);
        Reading { detail, ..Reading::good() }
    }
}

fn missing_text(count: usize, oldest: &MissingWrite, now: Timestamp) -> String {
    let age = now.since(oldest.acknowledged).as_secs_f64();
    let writes = if count == 1 { "1 acknowledged write".to_owned() } else { format!("{count} acknowledged writes") };
    format!("{writes} not readable, the oldest from {age:.1}s ago")
}

/// The worse of both sides, with what each said.
fn both(write: Reading, read: Reading) -> Reading {
    let health = match (write.health, read.health) {
        (Health::Bad, _) | (_, Health::Bad) => Health::Bad,
        (Health::Unknown, _) | (_, Health::Unknown) => Health::Unknown,
        (Health::Good, Health::Good) => Health::Good,
    };
    let said = [("write", write.detail), ("read", read.detail)];
    let detail: Vec<_> = said.into_iter().filter_map(|(side, detail)| detail.map(|detail| format!("{side}: {detail}"))).collect();
    Reading { health, detail: (!detail.is_empty()).then(|| detail.join("; ")), canary: None }
}

#[async_trait]
impl Probe for Canary {
    async fn read(&self) -> Reading {
        let (number, expected) = {
            let mut state = self.state();
            state.tried += 1;
            state.tick = CanarySample::default();
            (state.tried, state.acknowledged.len())
        };
        let (write, read) = tokio::join!(self.write(number), self.read_back(expected));
        Reading { canary: Some(std::mem::take(&mut self.state().tick)), ..both(write, read) }
    }

    /// Bad, and still with what one side had said before the other used up the time.
    fn timed_out(&self) -> Reading {
        let tick = std::mem::take(&mut self.state().tick);
        let late = match (tick.acknowledged, &tick.missing) {
            (Some(_), _) => "read: no answer in time",
            (None, Some(_)) => "write: not acknowledged in time",
            (None, None) => "write not acknowledged in time, read without an answer",
        };
        Reading { canary: Some(tick), ..Reading::bad(late) }
    }

    fn describe(&self) -> String {
        format!("canary {} -> {}", without_query(&self.write), without_query(&self.read))
    }
}
