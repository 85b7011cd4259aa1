//! Steers a gateway over its Unix socket, with a bound on every wait.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Rule;
use super::counts::Stats;
use super::rules::RuleStatus;
use super::steering::{Answer, ErrorCode, Request, Status};
use crate::clock::Timestamp;

/// Longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest from the request to its answer.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Largest answer: every rule that a gateway may hold, at its largest, does not fit; every drill's do.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Why steering failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nothing was sent: no gateway listens there, or the socket may not be opened.
    #[error("gateway at {socket}: {why}")]
    Unreachable {
        /// The socket.
        socket: String,
        /// Why.
        why: String,
    },
    /// The request was sent, its answer did not come: it may or may not have taken effect.
    #[error("gateway at {socket} did not answer: {why}")]
    LostAnswer {
        /// The socket.
        socket: String,
        /// Why.
        why: String,
    },
    /// The gateway refused.
    #[error("gateway refused: {message}")]
    Refused {
        /// Kind of refusal.
        code: ErrorCode,
        /// A sentence.
        message: String,
    },
}

/// What became of a rule that a person takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It was in force and is not any more.
    Removed,
    /// It was removed before.
    Before,
    /// The gateway knows no rule of that id: mistyped, ended at its deadline, or the gateway was restarted.
    Unknown,
}

/// A client of one gateway. Opens a connection per call, so that a gateway that was restarted is found again.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the gateway that owns this socket.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Puts a rule in force. `Ok(false)`: it was already.
    pub async fn put(&self, rule: &Rule) -> Result<bool, ClientError> {
        self.change(&Request::Put { rule: rule.clone() }).await
    }

    /// Removes a rule; a late `put` of it is refused until its deadline, or until `fence_until` when there is no such rule. With `expected` only exactly
    /// that rule is removed. `Ok(false)`: there was none.
    pub async fn remove(&self, id: &str, fence_until: Option<Timestamp>, expected: Option<&Rule>) -> Result<bool, ClientError> {
        self.change(&Request::Remove { id: id.to_owned(), fence_until, expected: expected.cloned() }).await
    }

    /// Removes whatever rule has this id, and tells one that was removed before from one that nobody knows: for hands, which mistype.
    pub async fn take_away(&self, id: &str) -> Result<Removal, ClientError> {
        match self.ask(&Request::Remove { id: id.to_owned(), fence_until: None, expected: None }).await? {
            Answer::Done { changed: true, .. } => Ok(Removal::Removed),
            Answer::Done { fenced: true, .. } => Ok(Removal::Before),
            Answer::Done { .. } => Ok(Removal::Unknown),
            other => Err(self.odd(&other)),
        }
    }

    /// The rules in force, oldest first.
    pub async fn list(&self) -> Result<Vec<RuleStatus>, ClientError> {
        match self.ask(&Request::List {}).await? {
            Answer::Rules { rules } => Ok(rules),
            other => Err(self.odd(&other)),
        }
    }

    /// How the gateway is.
    pub async fn status(&self) -> Result<Status, ClientError> {
        match self.ask(&Request::Status {}).await? {
            Answer::Status(status) => Ok(status),
            other => Err(self.odd(&other)),
        }
    }

    /// What passed through the gateway, and what rules did to it. With `reset` it counts from the start afterwards.
    pub async fn stats(&self, reset: bool) -> Result<Stats, ClientError> {
        match self.ask(&Request::Stats { reset }).await? {
            Answer::Stats(stats) => Ok(stats),
            other => Err(self.odd(&other)),
        }
    }

    async fn change(&self, request: &Request) -> Result<bool, ClientError> {
        match self.ask(request).await? {
            Answer::Done { changed, .. } => Ok(changed),
            other => Err(self.odd(&other)),
        }
    }

    async fn ask(&self, request: &Request) -> Result<Answer, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|error| self.unreachable(error.to_string()))?;
        line.push(b'\n');
        let stream = match timeout(CONNECT, UnixStream::connect(&self.socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unreachable(explain(&error))),
            Err(_) => return Err(self.unreachable(format!("no connection within {} s", CONNECT.as_secs()))),
        };
        let exchange = async {
            let (reading, mut writing) = stream.into_split();
            writing.write_all(&line).await?;
            let mut said = Vec::new();
            BufReader::new(reading).take(LARGEST).read_until(b'\n', &mut said).await?;
            if said.last() != Some(&b'\n') {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the answer"));
            }
            serde_json::from_slice::<Answer>(&said).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {error}")))
        };
        match timeout(ATTEMPT, exchange).await {
            Ok(Ok(Answer::Error { code, message })) => Err(ClientError::Refused { code, message }),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.lost(error.to_string())),
            Err(_) => Err(self.lost(format!("nothing within {} s", ATTEMPT.as_secs()))),
        }
    }

    fn unreachable(&self, why: String) -> ClientError {
        ClientError::Unreachable { socket: self.socket.display().to_string(), why }
    }

    fn lost(&self, why: String) -> ClientError {
        ClientError::LostAnswer { socket: self.socket.display().to_string(), why }
    }

    fn odd(&self, answer: &Answer) -> ClientError {
        self.lost(format!("unexpected answer {answer:?}"))
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket; is the gateway running?".to_owned(),
        io::ErrorKind::ConnectionRefused => "no gateway listens there any more; start it again".to_owned(),
        io::ErrorKind::PermissionDenied => "only the user who runs the gateway may steer it (and root)".to_owned(),
        _ => error.to_string(),
    }
}
