//! The egress gateway: a forward proxy that knows AWS hosts and applies rules with a deadline each. It fails open.
//!
//! | file | job |
//! |---|---|
//! | [`server`] | start and stop: the proxy's listener and the steering socket |
//! | [`aws_host`] | host name to service × region × partition |
//! | [`aws_call`] | request to AWS service × operation, and the error documents of the AWS protocols |
//! | [`rules`], `index` | the rules in force, their deadlines and tombstones; which of them concern a host |
//! | `connection`, `plain`, `request`, `tunnel`, `stream`, `head` | one client connection: first head, plain requests, CONNECT |
//! | `shaped`, `valve`, `pace` | what a reset or a latency rule does to a tunnel, and to a plain connection |
//! | `pipe` | what large transfers pass through without being copied |
//! | `open` | connections in flight, so that a rule can cut them |
//! | [`counts`] | who calls what, and what rules did to it |
//! | [`endpoint`] | where requests to the gateway itself are passed on |
//! | [`resolve`] | host names to addresses: `--resolve`, else system DNS |
//! | [`steering`], [`client`] | how rules get in: JSON lines over a Unix socket |
//! | [`object`], [`watch`] | the same in a cluster: `GatewayRule` objects of a namespace, and what the gateway says of them |
//!
//! "New connection" means a CONNECT, or one plain-HTTP request: a kept-alive plain connection is judged again at every request, because which
//! upstream connection carries it is the proxy's business, not the client's. A tunnel is judged once, when it is opened.

use serde::{Deserialize, Serialize};

use self::aws_call::AwsError;
use crate::clock::Timestamp;

pub mod aws_call;
pub mod aws_host;
pub mod client;
mod connection;
pub mod counts;
pub mod endpoint;
mod head;
mod index;
pub mod object;
mod open;
mod pace;
mod pipe;
mod plain;
mod request;
pub mod resolve;
pub mod rules;
pub mod server;
mod shaped;
pub mod steering;
mod stream;
mod tunnel;
mod valve;
pub mod watch;

/// What the gateway does with the first head of a connection.
#[doc(hidden)]
#[derive(Debug, PartialEq, Eq)]
pub enum FirstHead {
    /// It waits for the rest.
    Incomplete,
    /// A tunnel to this host and port, and what came behind the head.
    Tunnel(String, u16, bytes::Bytes),
    /// A plain request, read from its beginning by the HTTP library.
    Plain(bytes::Bytes),
    /// It answers with this and closes.
    Refused(Vec<u8>),
}

/// The gateway's request parser without a socket, for tests that feed it arbitrary bytes in arbitrary pieces (`tests/fuzz`).
#[doc(hidden)]
#[must_use]
pub fn first_head(pieces: &[&[u8]]) -> FirstHead {
    match head::first(pieces) {
        None => FirstHead::Incomplete,
        Some(Ok(head::First::Connect { host, port, early })) => FirstHead::Tunnel(host, port, early),
        Some(Ok(head::First::Plain(all))) => FirstHead::Plain(all),
        Some(Err(refusal)) => FirstHead::Refused(head::response(&refusal)),
    }
}

/// A rule: what fails, for whom, until when. Rules live in memory only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Run-unique: `<run>-<step>`.
    pub id: String,
    /// Run that owns it.
    pub run: String,
    /// Step that made it.
    pub step: String,
    /// What happens.
    pub effect: Effect,
    /// AWS service names, or `*`.
    pub services: Vec<String>,
    /// AWS region; global services homed there are included.
    pub region: String,
    /// Whether connections that are already open are cut.
    pub cut_existing: bool,
    /// The rule is gone by then.
    pub deadline: Timestamp,
}

impl Rule {
    /// Whether the rule is about this host.
    ///
    /// A service matches by its name as in endpoints, and by the last part of a dotted one: `ecr` covers `api.ecr` and `dkr.ecr`.
    #[must_use]
    pub fn covers(&self, host: &aws_host::AwsHost) -> bool {
        host.is_in(&self.region) && self.services.iter().any(|service| service == "*" || host.is_service(service))
    }
}

/// What a rule does to a connection, or to each request of one.
///
/// When several rules cover one request, the first in this order acts: refuse, blackhole, reset, error, latency; of the same effect the newest rule. A
/// latency rule acts also on a request that an error answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// It hangs.
    Blackhole,
    /// It is refused at once.
    Refuse,
    /// It is reset when the client has got so much of an answer.
    Reset {
        /// Bytes of the answer that pass, its head included. 0: the reset comes as soon as the request was taken up.
        after_bytes: u64,
    },
    /// It is slow. At least one of the three is above zero.
    Latency {
        /// Milliseconds before each request.
        #[serde(default)]
        delay_ms: u64,
        /// At most so many milliseconds more, at random.
        #[serde(default)]
        jitter_ms: u64,
        /// Most bytes a second per connection and direction; none is no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_per_second: Option<u64>,
    },
    /// Chosen operations fail with the error document of their protocol. Plain HTTP only.
    Error {
        /// AWS operation names, or `*`.
        operations: Vec<String>,
        /// Which error.
        error: AwsError,
        /// How many of a million requests fail. An integer, so that a rule survives its way through JSON to the bit.
        per_million: u32,
        /// The same seed makes the same sequence of choices; none takes one from the rule's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
}
