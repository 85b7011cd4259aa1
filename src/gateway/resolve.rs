//! Host names to open connections: `--resolve` first, like curl's, else system DNS.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Longest that dialling one host may take, over all its addresses.
const DIAL: Duration = Duration::from_secs(30);
/// No address gets less than this, however many there are.
const LEAST: Duration = Duration::from_secs(2);

/// Maps a host, on any port, to a socket address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// `dynamodb.us-east-1.amazonaws.com`, or `*.us-east-1.amazonaws.com` for every name below.
    pub host: String,
    /// Where it is reached.
    pub address: SocketAddr,
}

impl Resolve {
    /// A mapping of `host` to `address`.
    #[must_use]
    pub fn new(host: &str, address: SocketAddr) -> Self {
        Self { host: host.trim_end_matches('.').to_ascii_lowercase(), address }
    }

    fn covers(&self, host: &str) -> bool {
        match self.host.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == self.host,
        }
    }
}

impl FromStr for Resolve {
    type Err = String;

    /// Reads `HOST=ADDR:PORT` or `*.SUFFIX=ADDR:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it like '*.us-east-1.amazonaws.com=127.0.0.1:9000'";
        let (host, address) = text.split_once('=').ok_or_else(|| format!("no '='; {example}"))?;
        let plain = host.strip_prefix("*.").unwrap_or(host);
        if plain.is_empty() || plain.contains(['*', ':', '/']) || plain.contains(char::is_whitespace) {
            return Err(format!("'{host}' is not a host name or '*.suffix'; {example}"));
        }
        let address = address.parse().map_err(|_| format!("'{address}' is not an address with a port; {example}"))?;
        Ok(Self::new(host, address))
    }
}

/// Why a host could not be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The name has no address.
    #[error("cannot resolve '{host}': {error}")]
    Name { host: String, error: io::Error },
    /// It is this gateway.
    #[error("'{host}:{port}' is this gateway; it does not proxy to itself")]
    Loop { host: String, port: u16 },
    /// No address answered in time.
    #[error("'{host}:{port}' does not answer")]
    Timeout { host: String, port: u16 },
    /// Every address failed.
    #[error("cannot connect to '{host}:{port}': {error}")]
    Connect { host: String, port: u16, error: io::Error },
}

/// Opens a connection to `host:port`; `is_self` tells the gateway's own addresses.
pub(super) async fn dial(host: &str, port: u16, resolve: &[Resolve], is_self: impl Fn(SocketAddr) -> bool) -> Result<TcpStream, DialError> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let addresses = match resolve.iter().find(|entry| entry.covers(&name)) {
        Some(entry) => vec![entry.address],
        None => {
            let timed_out = || DialError::Name { host: host.to_owned(), error: io::ErrorKind::TimedOut.into() };
            let found = timeout(DIAL, tokio::net::lookup_host((name.as_str(), port))).await.map_err(|_| timed_out())?;
            found.map_err(|error| DialError::Name { host: host.to_owned(), error })?.collect::<Vec<_>>()
        }
    };
    if addresses.is_empty() {
        return Err(DialError::Name { host: host.to_owned(), error: io::ErrorKind::NotFound.into() });
    }
    if addresses.iter().any(|address| is_self(*address)) {
        return Err(DialError::Loop { host: host.to_owned(), port });
    }
    let end = Instant::now() + DIAL;
    let mut last = None;
    for (position, address) in addresses.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let share = (left / u32::try_from(addresses.len() - position).unwrap_or(1)).max(LEAST);
        let mut connecting = pin!(TcpStream::connect(address));
        // A near host has answered by the next look at the sockets: then no timer is needed, which would wake another thread to be set.
        let soon = tokio::select! {
            biased;
            connected = &mut connecting => Some(connected),
            () = tokio::task::yield_now() => None,
        };
        let connected = match soon {
            Some(connected) => Ok(connected),
            None => timeout(share, connecting).await,
        };
        match connected {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
    }
    Err(match last {
        Some(error) => DialError::Connect { host: host.to_owned(), port, error },
        None => DialError::Timeout { host: host.to_owned(), port },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_the_host_or_every_name_below_the_suffix() {
        let one: Resolve = "DynamoDB.us-east-1.amazonaws.com=127.0.0.1:1".parse().unwrap();
        assert!(one.covers("dynamodb.us-east-1.amazonaws.com"));
        assert!(!one.covers("x.dynamodb.us-east-1.amazonaws.com"));
        let all: Resolve = "*.us-east-1.amazonaws.com=[::1]:1".parse().unwrap();
        assert!(all.covers("bucket.s3.us-east-1.amazonaws.com"));
        assert!(!all.covers("us-east-1.amazonaws.com"));
        assert!(!all.covers("xus-east-1.amazonaws.com"));
    }

    #[test]
    fn a_malformed_mapping_says_how_to_write_it() {
        for bad in ["", "host", "host=", "host=1.2.3.4", "=1.2.3.4:5", "*=1.2.3.4:5", "a*b=1.2.3.4:5", "host:443=1.2.3.4:5", "h=name:5"] {
            let error = bad.parse::<Resolve>().unwrap_err();
            assert!(error.contains("write it like"), "{bad}: {error}");
        }
    }
}
