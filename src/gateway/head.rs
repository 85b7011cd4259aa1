//! The first head of a client connection: read with a bound on size and time, understood as far as needed to tell CONNECT from plain HTTP.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::stream::Wire;

/// Largest head, request line and headers together.
pub(super) const LARGEST: usize = 64 * 1024;
/// Most that is read at once: all of a usual head.
const STEP: usize = 4096;
/// Longest that a head may take to arrive.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What the client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A tunnel, and what was sent behind the head.
    Connect { host: String, port: u16, early: Bytes },
    /// A plain request: everything that was read, to be read again.
    Plain(Bytes),
}

/// What cannot be understood: status, reason phrase, and a sentence for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// One sentence with the way out.
    pub text: String,
}

impl Refusal {
    /// A refusal with a status of the table in [`response`].
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

/// Reads the first head. `Ok(None)`: the client left without a word.
pub(super) async fn read(wire: &Wire, patience: Duration) -> io::Result<Result<Option<First>, Refusal>> {
    let mut data = BytesMut::with_capacity(STEP);
    let arrive = async {
        let mut seen = 0;
        loop {
            if let Some(head) = arrived(&data, &mut seen) {
                return Ok::<_, io::Error>(head.err());
            }
            let held = data.len();
            data.resize(held + STEP, 0);
            let count = wire.read(&mut data[held..]).await?;
            data.truncate(held + count);
            if count == 0 {
                return if data.is_empty() {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(Some(Refusal::new(400, "the request ended in its head")))
                };
            }
        }
    };
    let refusal = match timeout(patience, arrive).await {
        Ok(Ok(refusal)) => refusal,
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Ok(None)),
        Ok(Err(error)) => return Err(error),
        Err(_) => Some(Refusal::new(408, format!("the request head did not arrive within {} s", patience.as_secs()))),
    };
    match refusal {
        Some(refusal) => Ok(Err(refusal)),
        None => Ok(understand(data.freeze()).map(Some)),
    }
}

/// Whether the head is complete, or can already be refused; `None`: more must arrive. `seen` is how much was looked at before.
fn arrived(data: &[u8], seen: &mut usize) -> Option<Result<(), Refusal>> {
    if data.first().is_some_and(|byte| !byte.is_ascii_graphic()) {
        return Some(Err(Refusal::new(400, "this is not HTTP; this port is a plain-text HTTP proxy (use it as http://HOST:PORT)")));
    }
    // What was looked at before is not looked at again, but for an empty line that was cut in two.
    let from = seen.saturating_sub(3);
    *seen = data.len();
    match end_of_head(&data[from..]) {
        Some(end) if from + end > LARGEST => Some(Err(too_large())),
        Some(_) => Some(Ok(())),
        None if data.len() > LARGEST => Some(Err(too_large())),
        None => None,
    }
}

/// The same decisions for bytes that arrive in the given pieces and then no more. `None`: the head is not complete.
pub(super) fn first(pieces: &[&[u8]]) -> Option<Result<First, Refusal>> {
    let (mut data, mut seen) = (BytesMut::new(), 0);
    for piece in pieces {
        data.extend_from_slice(piece);
        if let Some(head) = arrived(&data, &mut seen) {
            return Some(head.and_then(|()| understand(data.freeze())));
        }
    }
    None
}

fn too_large() -> Refusal {
    Refusal::new(431, format!("the request head is larger than {} KiB", LARGEST / 1024))
}

/// Where the head ends: behind its empty line.
fn end_of_head(data: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = data[from..].iter().position(|byte| *byte == b'\n') {
        let next = from + at + 1;
        match data.get(next..) {
            Some([b'\n', ..]) => return Some(next + 1),
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            _ => from = next,
        }
    }
    None
}

fn understand(data: Bytes) -> Result<First, Refusal> {
    let malformed = || Refusal::new(400, "the request line is not 'METHOD TARGET HTTP/1.1'");
    let line_end = data.iter().position(|byte| *byte == b'\n').ok_or_else(malformed)?;
    let line = std::str::from_utf8(&data[..line_end]).map_err(|_| malformed())?;
    let mut words = line.trim_end_matches('\r').split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else { return Err(malformed()) };
    match version {
        "HTTP/1.1" | "HTTP/1.0" => {}
        _ if version.starts_with("HTTP/") => return Err(Refusal::new(505, format!("'{}' is not spoken here; use HTTP/1.1", clip(version)))),
        _ => return Err(malformed()),
    }
    if method.is_empty() || target.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
        return Err(malformed());
    }
    if method != "CONNECT" {
        return Ok(First::Plain(data));
    }
    let (host, port) = authority(target)?;
    let end = end_of_head(&data).ok_or_else(malformed)?;
    Ok(First::Connect { host, port, early: data.slice(end..) })
}

/// `host:port` or `[v6]:port` of a CONNECT; the port is not optional (RFC 9110, 9.3.6).
pub(super) fn authority(target: &str) -> Result<(String, u16), Refusal> {
    let wrong = || Refusal::new(400, format!("CONNECT takes HOST:PORT, not '{}'", clip(target)));
    let (host, port) = target.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()).ok_or_else(wrong)?,
        None => host,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:%".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(plain) || (host.contains(':') && !target.starts_with('[')) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// Text from a client, short and printable enough to be shown back.
fn clip(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A whole response that ends the connection.
pub(super) fn response(refusal: &Refusal) -> Vec<u8> {
    let body = format!("firedrill gateway: {}\n", refusal.text);
    let reason = hyper::StatusCode::from_u16(refusal.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        refusal.status,
        body.len()
    );
    [head, body].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Result<First, Refusal> {
        understand(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn connect_is_told_from_plain_http_and_keeps_early_data() {
        let connect = first("CONNECT sts.us-east-1.amazonaws.com:443 HTTP/1.1\r\nHost: other:1\r\n\r\n\x16\x03").unwrap();
        assert_eq!(connect, First::Connect { host: "sts.us-east-1.amazonaws.com".to_owned(), port: 443, early: Bytes::from_static(b"\x16\x03") });
        assert!(matches!(first("GET http://a/ HTTP/1.1\r\n\r\n"), Ok(First::Plain(_))));
        assert!(matches!(first("CONNECT [::1]:443 HTTP/1.1\r\n\r\n"), Ok(First::Connect { host, .. }) if host == "::1"));
    }

    #[test]
    fn what_is_not_a_request_gets_a_status() {
        for (text, status) in [
            ("GET /\r\n\r\n", 400),
            ("hello\r\n\r\n", 400),
            ("PRI * HTTP/2.0\r\n\r\n", 505),
            ("CONNECT host HTTP/1.1\r\n\r\n", 400),
            ("CONNECT host:0 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT host:99999 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT ::1:443 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT :443 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT a/b:443 HTTP/1.1\r\n\r\n", 400),
        ] {
            assert_eq!(first(text).unwrap_err().status, status, "{text:?}");
        }
    }
}
