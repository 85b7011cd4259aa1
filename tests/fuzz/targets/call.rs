//! The gateway's reading of a request as an AWS call, and the error document that it would answer.

use firedrill::gateway::aws_call::{AwsError, document, recognise, wants_body};
use firedrill::gateway::aws_host::classify;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Uri};

const ERRORS: [AwsError; 5] =
    [AwsError::ServiceUnavailable, AwsError::Throttling, AwsError::AccessDenied, AwsError::ExpiredToken, AwsError::InternalError];

/// The bytes are a request as text: host, method, target, headers, an empty line, the body. What the HTTP library would not pass on is left out.
pub fn run(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let host = std::str::from_utf8(lines.next().unwrap_or_default()).ok().and_then(classify);
    let (Ok(method), Ok(uri)) = (Method::from_bytes(lines.next().unwrap_or_default()), Uri::try_from(lines.next().unwrap_or_default())) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines.take(32) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii())) {
            headers.append(name, value);
        }
    }
    let seen = if wants_body(&headers) { body } else { &[] };
    let Some(call) = recognise(host.as_ref(), &method, &uri, &headers, seen) else { return };
    if let Some(host) = &host {
        assert_eq!(call.service, host.service, "a rule for the service in the host name would not see {call:?}");
        assert!(host.region.is_none() || call.region == host.region, "a rule for the region in the host name would not see {call:?}");
    }
    assert!(call.operation.as_ref().is_none_or(|name| (1..=128).contains(&name.len()) && name.is_ascii()), "{call:?}");
    for error in ERRORS {
        let answer = document(error, &call, false, "4442587FB7D0A2F9");
        assert!(answer.status().is_client_error() || answer.status().is_server_error(), "{call:?}: {answer:?}");
    }
}
