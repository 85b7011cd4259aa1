//! How rules get in: one JSON object a line over a Unix socket that only its owner may open. Never a network port.
//!
//! Request: `{"put":{"rule":{…}}}`, `{"remove":{"id":"…"}}`, `{"list":{}}`, `{"status":{}}`, `{"stats":{}}`. Answer: one line each, see [`Answer`]. A connection may carry
//! any number of requests, one after the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Rule;
use super::connection::Shared;
use super::counts::Stats;
use super::rules::{RuleError, RuleStatus};
use crate::clock::Timestamp;

/// Largest request line, and largest answer line but for the list of rules and the table of counts.
pub const LARGEST: usize = 256 * 1024;
/// A steering connection that says nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// Puts a rule in force; the same again changes nothing.
    Put {
        /// The rule.
        rule: Rule,
    },
    /// Removes a rule, and keeps its id refused until its deadline.
    Remove {
        /// Rule id.
        id: String,
        /// When there is no such rule: keep the id refused until then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fence_until: Option<Timestamp>,
        /// Remove only exactly this rule.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Rule>,
    },
    /// Asks for the rules in force.
    List {},
    /// Asks how the gateway is.
    Status {},
    /// Asks what passed, and what rules did to it.
    Stats {
        /// Count from the start afterwards.
        #[serde(default)]
        reset: bool,
    },
}

/// What the gateway says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// Done.
    Done {
        /// False when it was so already.
        changed: bool,
        /// Of a removal: the id is refused until a deadline, because its rule was removed before or because this call fenced it. False with nothing
        /// changed: no rule of that id is known.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fenced: bool,
    },
    /// The rules in force.
    Rules {
        /// Oldest first.
        rules: Vec<RuleStatus>,
    },
    /// How the gateway is.
    Status(Status),
    /// What passed, and what rules did to it.
    Stats(Stats),
    /// Not done.
    Error {
        /// What kind of error.
        code: ErrorCode,
        /// A sentence.
        message: String,
    },
}

/// How a gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where it listens for proxy clients.
    pub listen: SocketAddr,
    /// Version of the gateway.
    pub version: String,
    /// Client connections that are open now.
    pub connections: usize,
    /// Rules in force.
    pub rules: usize,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorCode {
    /// The request cannot be understood, or says something that a rule may not.
    Invalid,
    /// Another rule has this id, or it is not the expected one.
    Conflict,
    /// The rule was removed, or its deadline has passed.
    Over,
    /// No room for more rules.
    Full,
}

impl From<RuleError> for Answer {
    fn from(error: RuleError) -> Self {
        let code = match error {
            RuleError::Exists(_) | RuleError::Other(_) => ErrorCode::Conflict,
            RuleError::Removed(_) | RuleError::Expired(_) => ErrorCode::Over,
            RuleError::Invalid(_) => ErrorCode::Invalid,
            RuleError::Full => ErrorCode::Full,
        };
        Self::Error { code, message: error.to_string() }
    }
}

/// Serves one steering connection.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: UnixStream) -> io::Result<()> {
    // The mode of the socket says the same; this also covers the instant before it is set, and descriptors that were handed on.
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return answer(&mut stream, &invalid(format!("user {peer} may not steer this gateway"))).await;
    }
    let (reading, mut writing) = stream.split();
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
        match timeout(IDLE, (&mut reading).take(limit).read_until(b'\n', &mut line)).await {
            Ok(read) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            Err(_) => return Ok(()),
        }
        if line.len() > LARGEST {
            return answer(&mut writing, &invalid(format!("a request is at most {} KiB", LARGEST / 1024))).await;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let said = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => act(&shared, request),
            Err(error) => invalid(format!("cannot read the request: {error}")),
        };
        answer(&mut writing, &said).await?;
    }
}

fn act(shared: &Shared, request: Request) -> Answer {
    match request {
        Request::Put { rule } => match shared.put(&rule) {
            Ok(changed) => Answer::Done { changed, fenced: false },
            Err(error) => error.into(),
        },
        Request::Remove { id, fence_until, expected } => match shared.rules.remove(&id, fence_until, expected.as_ref()) {
            Ok(changed) => Answer::Done { changed, fenced: shared.rules.is_buried(&id) },
            Err(error) => error.into(),
        },
        Request::List {} => Answer::Rules { rules: shared.rules.list() },
        Request::Status {} => Answer::Status(Status {
            listen: shared.listen,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: shared.connections.load(Ordering::Relaxed),
            rules: shared.rules.list().len(),
        }),
        Request::Stats { reset } => Answer::Stats(shared.counters.read(reset)),
    }
}

fn invalid(message: String) -> Answer {
    Answer::Error { code: ErrorCode::Invalid, message }
}

async fn answer(to: &mut (impl AsyncWriteExt + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    match timeout(IDLE, to.write_all(&line)).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
