//! The egress gateway: a forward proxy that knows AWS hosts and applies rules with a deadline each. It fails open.
//!
//! | file | job |
//! |---|---|
//! | [`server`] | start and stop: the proxy's listener and the steering socket |
//! | [`aws_host`] | host name to service × region × partition |
//! | [`aws_call`] | request to AWS service × operation, and the error documents of the AWS protocols |
//! | [`rules`] | the rules in force, their deadlines and tombstones |
//! | `connection`, `plain`, `tunnel`, `stream`, `head` | one client connection: first head, plain requests, CONNECT |
//! | `open` | connections in flight, so that a rule can cut them |
//! | [`resolve`] | host names to addresses: `--resolve`, else system DNS |
//! | [`steering`], [`client`] | how rules get in: JSON lines over a Unix socket |
//!
//! "New connection" means a CONNECT, or one plain-HTTP request: a kept-alive plain connection is judged again at every request, because which
//! upstream connection carries it is the proxy's business, not the client's. A tunnel is judged once, when it is opened.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

pub mod aws_call;
pub mod aws_host;
pub mod client;
mod connection;
mod head;
mod open;
mod plain;
pub mod resolve;
pub mod rules;
pub mod server;
pub mod steering;
mod stream;
mod tunnel;

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

/// What a rule does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It hangs.
    Blackhole,
    /// It is refused at once.
    Refuse,
}
