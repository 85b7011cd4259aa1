//! The error document that a call's client understands.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::{AwsError, Call, Protocol};

/// The answer that `call` gets when the service fails with `error`. `head`: the request was a HEAD, whose answer has no body.
#[must_use]
pub fn document(error: AwsError, call: &Call, head: bool, request_id: &str) -> Response<Bytes> {
    let (code, status) = match error {
        AwsError::ServiceUnavailable => ("ServiceUnavailable", 503),
        AwsError::Throttling => ("Throttling", 400),
        AwsError::AccessDenied => ("AccessDenied", 403),
        AwsError::ExpiredToken => ("ExpiredToken", 403),
        AwsError::InternalError => ("InternalFailure", 500),
    };
    let (kind, body) = match call.protocol {
        Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => (
            "text/xml",
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{code}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            ),
        ),
        _ => ("application/x-amz-json-1.0", format!(r#"{{"__type":"{code}Exception","message":"{code}"}}"#)),
    };
    let mut response = Response::new(if head { Bytes::new() } else { Bytes::from(body) });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
