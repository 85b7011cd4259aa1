//! The error document that a call's client understands, in the form of its protocol.
//!
//! Sources: the *Operation error serialization* sections of Smithy's AWS query, EC2 query, JSON 1.0 and 1.1, restJson1, restXml and RPC v2 CBOR protocols;
//! *AWS query-compatible trait* (`x-amzn-query-error`); *Amazon S3: REST error responses* (`x-amz-request-id`, a bare `<Error>`); RFC 8949 (CBOR).

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::answer::{Answer, Family, answer};
use super::{AwsError, Call, Protocol};

/// The answer that `call` gets when the service fails with `error`.
///
/// `head`: the request was a HEAD, whose answer has no body (SDKs then go by the status). `request_id`: any text; AWS's are UUIDs, or 16 letters for S3.
/// Length and date are the server's to add.
#[must_use]
pub fn document(error: AwsError, call: &Call, head: bool, request_id: &str) -> Response<Bytes> {
    let answer = answer(error, call);
    let (kind, body) = match call.protocol {
        Protocol::Query => ("text/xml", wrapped(&answer, request_id).into()),
        Protocol::Ec2Query => ("text/xml;charset=UTF-8", ec2(&answer, request_id).into()),
        Protocol::Json10 => ("application/x-amz-json-1.0", typed(&answer).into()),
        Protocol::Json11 => ("application/x-amz-json-1.1", typed(&answer).into()),
        Protocol::RestJson => ("application/json", json!({ answer.member: answer.message }).to_string().into()),
        Protocol::RestXml if is_s3(call) => ("application/xml", bare(&answer, request_id).into()),
        Protocol::RestXml => ("text/xml", wrapped(&answer, request_id).into()),
        Protocol::Cbor => ("application/cbor", cbor(&answer).into()),
    };
    let mut response = Response::new(if head { Bytes::new() } else { body });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let id = HeaderValue::from_str(request_id).unwrap_or(HeaderValue::from_static(""));
    if is_s3(call) {
        headers.insert(HeaderName::from_static("x-amz-request-id"), id.clone());
        headers.insert(HeaderName::from_static("x-amz-id-2"), id);
    } else {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    match call.protocol {
        Protocol::RestJson => {
            headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(answer.shape));
        }
        Protocol::Cbor => {
            headers.insert(HeaderName::from_static("smithy-protocol"), HeaderValue::from_static("rpc-v2-cbor"));
        }
        _ => {}
    }
    if answer.query_compatible && matches!(call.protocol, Protocol::Json10 | Protocol::Json11 | Protocol::Cbor) {
        let said = HeaderValue::from_str(&format!("{};{}", answer.code, answer.fault()));
        headers.extend(said.ok().map(|said| (HeaderName::from_static("x-amzn-query-error"), said)));
    }
    if answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn is_s3(call: &Call) -> bool {
    let model = super::models::by_endpoint(&call.service).into_iter().next();
    Family::of(call, model) == Family::S3
}

impl Answer {
    /// Whose fault it was.
    fn fault(&self) -> &'static str {
        if self.status < 500 { "Sender" } else { "Receiver" }
    }
}

/// Query, and REST XML but for S3.
fn wrapped(answer: &Answer, request_id: &str) -> String {
    let namespace = answer.namespace.map(|uri| format!(" xmlns=\"{uri}\"")).unwrap_or_default();
    format!(
        "<ErrorResponse{namespace}>\n  <Error>\n    <Type>{}</Type>\n    <Code>{}</Code>\n    <Message>{}</Message>\n  </Error>\n  <RequestId>{}</RequestId>\n</ErrorResponse>\n",
        answer.fault(),
        answer.code,
        escaped(&answer.message),
        escaped(request_id)
    )
}

fn ec2(answer: &Answer, request_id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors><RequestID>{}</RequestID></Response>",
        answer.code,
        escaped(&answer.message),
        escaped(request_id)
    )
}

fn bare(answer: &Answer, request_id: &str) -> String {
    let id = escaped(request_id);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message><RequestId>{id}</RequestId><HostId>{id}</HostId></Error>",
        answer.code,
        escaped(&answer.message)
    )
}

fn typed(answer: &Answer) -> String {
    json!({ "__type": answer.shape, answer.member: answer.message }).to_string()
}

/// A map of two texts (RFC 8949, 3.1: major type 5 and 3).
fn cbor(answer: &Answer) -> Vec<u8> {
    let mut out = vec![0xa2];
    for text in ["__type", answer.shape, answer.member, &answer.message] {
        let text = text.as_bytes();
        match u8::try_from(text.len()) {
            Ok(short @ 0..24) => out.push(0x60 | short),
            Ok(length) => out.extend([0x78, length]),
            Err(_) => {
                out.push(0x79);
                out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            }
        }
        out.extend(&text[..text.len().min(usize::from(u16::MAX))]);
    }
    out
}

/// Text that is safe in XML; what XML cannot say is left out (XML 1.0, 2.2).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || ['\u{fffe}', '\u{ffff}'].contains(&letter) => {}
            letter => out.push(letter),
        }
    }
    out
}
