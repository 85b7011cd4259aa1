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

#[cfg(test)]
mod tests {
    use super::*;
    use AwsError::{AccessDenied, ExpiredToken, InternalError, ServiceUnavailable, Throttling};

    fn call(service: &str, operation: &str, protocol: Protocol) -> Call {
        Call { service: service.to_owned(), region: None, operation: Some(operation.to_owned()).filter(|name| !name.is_empty()), protocol }
    }

    fn text(response: &Response<Bytes>) -> String {
        String::from_utf8_lossy(response.body()).into_owned()
    }

    #[test]
    fn each_service_says_each_error_with_the_code_and_status_of_its_model_or_of_its_protocol() {
        use Protocol::{Cbor, Ec2Query, Json10, Json11, Query, RestJson, RestXml};
        #[rustfmt::skip]
        let table = [
            ("sts", "GetCallerIdentity", Query, "503 ServiceUnavailable · 400 Throttling · 403 AccessDenied · 403 ExpiredToken · 500 InternalFailure"),
            ("sts", "AssumeRoleWithWebIdentity", Query, "503 ServiceUnavailable · 400 Throttling · 403 AccessDenied · 400 ExpiredTokenException · 500 InternalFailure"),
            ("iam", "ListPolicies", Query, "503 ServiceUnavailable · 400 Throttling · 403 AccessDenied · 403 ExpiredToken · 500 ServiceFailure"),
            ("sns", "Publish", Query, "503 ServiceUnavailable · 400 Throttling · 403 AccessDenied · 403 ExpiredToken · 500 InternalError"),
            ("sns", "GetSMSAttributes", Query, "503 ServiceUnavailable · 429 Throttled · 403 AccessDenied · 403 ExpiredToken · 500 InternalError"),
            ("ec2", "DescribeInstances", Ec2Query, "503 ServiceUnavailable · 503 RequestLimitExceeded · 403 UnauthorizedOperation · 400 RequestExpired · 500 InternalError"),
            ("dynamodb", "GetItem", Json10, "503 ServiceUnavailableException · 400 ThrottlingException · 400 AccessDeniedException · 400 ExpiredTokenException · 500 InternalServerError"),
            ("dynamodb", "ListTables", Json10, "503 ServiceUnavailableException · 400 ThrottlingException · 400 AccessDeniedException · 400 ExpiredTokenException · 500 InternalServerError"),
            ("kinesis", "GetRecords", Json11, "503 ServiceUnavailableException · 400 ProvisionedThroughputExceededException · 400 AccessDeniedException · 400 ExpiredTokenException · 500 InternalFailureException"),
            ("acm", "ListCertificates", Json11, "503 ServiceUnavailableException · 400 ThrottlingException · 400 AccessDeniedException · 400 ExpiredTokenException · 500 InternalServerException"),
            ("sqs", "SendMessage", Json10, "503 ServiceUnavailableException · 400 RequestThrottled · 400 AccessDeniedException · 400 ExpiredTokenException · 500 InternalFailure"),
            ("eks", "ListClusters", RestJson, "503 ServiceUnavailableException · 429 ThrottlingException · 403 AccessDeniedException · 403 ExpiredTokenException · 500 ServerException"),
            ("lambda", "Invoke", RestJson, "503 ServiceUnavailableException · 429 TooManyRequestsException · 403 AccessDeniedException · 403 ExpiredTokenException · 500 ServiceException"),
            ("route53", "ChangeTagsForResource", RestXml, "503 ServiceUnavailable · 400 ThrottlingException · 403 AccessDenied · 403 ExpiredToken · 500 InternalFailure"),
            ("route53", "ListHostedZones", RestXml, "503 ServiceUnavailable · 400 Throttling · 403 AccessDenied · 403 ExpiredToken · 500 InternalFailure"),
            ("cloudfront", "ListDistributions", RestXml, "503 ServiceUnavailable · 400 Throttling · 403 AccessDenied · 403 ExpiredToken · 500 InternalFailure"),
            ("s3", "GetObject", RestXml, "503 ServiceUnavailable · 503 SlowDown · 403 AccessDenied · 400 ExpiredToken · 500 InternalError"),
            ("monitoring", "PutMetricData", Cbor, "503 ServiceUnavailableException · 400 ThrottlingException · 400 AccessDeniedException · 400 ExpiredTokenException · 500 InternalServiceFault"),
            ("monitoring", "PutMetricData", Query, "503 ServiceUnavailable · 400 Throttling · 403 AccessDenied · 403 ExpiredToken · 500 InternalServiceError"),
            // A service of tomorrow.
            ("brandnew", "Do", Json11, "503 ServiceUnavailableException · 400 ThrottlingException · 400 AccessDeniedException · 400 ExpiredTokenException · 500 InternalFailure"),
        ];
        let mut wrong = Vec::new();
        for (service, operation, protocol, expected) in table {
            let call = call(service, operation, protocol);
            let said = [ServiceUnavailable, Throttling, AccessDenied, ExpiredToken, InternalError].map(|error| {
                let answer = answer(error, &call);
                let xml = matches!(protocol, Query | Ec2Query | RestXml);
                format!("{} {}", answer.status, if xml { answer.code } else { answer.shape })
            });
            if said.join(" · ") != expected {
                wrong.push(format!("{service} {operation}:\n  {}\n  {expected}", said.join(" · ")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn documents_have_the_form_of_their_protocol() {
        let answered = |service, operation, protocol, error| {
            let response = document(error, &call(service, operation, protocol), false, "id-1");
            let mut headers: Vec<_> = response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            headers.sort();
            format!(
                "{}\n{}\n\n{}\n",
                response.status().as_u16(),
                headers.join("\n"),
                text(&response).escape_debug().to_string().replace("\\n", "\n").replace("\\\"", "\"")
            )
        };
        let all = [
            answered("iam", "ListPolicies", Protocol::Query, AccessDenied),
            answered("ec2", "RunInstances", Protocol::Ec2Query, Throttling),
            answered("dynamodb", "GetItem", Protocol::Json10, Throttling),
            answered("acm", "ListCertificates", Protocol::Json11, ExpiredToken),
            answered("sqs", "SendMessage", Protocol::Json10, AccessDenied),
            answered("eks", "ListClusters", Protocol::RestJson, ServiceUnavailable),
            answered("lambda", "Invoke", Protocol::RestJson, Throttling),
            answered("route53", "ListHostedZones", Protocol::RestXml, Throttling),
            answered("s3", "GetObject", Protocol::RestXml, Throttling),
            answered("monitoring", "PutMetricData", Protocol::Cbor, AccessDenied),
        ];
        insta::assert_snapshot!(all.join("---\n"));
    }

    #[test]
    fn a_head_request_is_answered_without_a_body() {
        let response = document(AccessDenied, &call("s3", "HeadObject", Protocol::RestXml), true, "id");
        assert_eq!((response.status(), response.body().len()), (StatusCode::FORBIDDEN, 0));
    }

    #[test]
    fn hostile_names_and_ids_cannot_break_a_document() {
        for protocol in [Protocol::Query, Protocol::Ec2Query, Protocol::Json10, Protocol::RestJson, Protocol::RestXml, Protocol::Cbor] {
            for error in [ServiceUnavailable, Throttling, AccessDenied, ExpiredToken, InternalError] {
                let mut hostile = call("iam", "</Message>\"\u{0}", protocol);
                let response = document(error, &hostile, false, "<&>\r\n\u{1}");
                assert!(!text(&response).contains("</Message>\""), "{}", text(&response));
                assert!(!text(&response).contains('\u{1}'));
                hostile.service = "x".repeat(100_000);
                hostile.operation = Some("y".repeat(100_000));
                assert!(document(error, &hostile, true, "").body().is_empty());
            }
        }
    }

    #[test]
    fn cbor_says_lengths_in_the_shortest_form() {
        let mut long = answer(AccessDenied, &call("monitoring", "", Protocol::Cbor));
        for (length, head) in [(23, vec![0x77]), (24, vec![0x78, 24]), (255, vec![0x78, 255]), (256, vec![0x79, 1, 0])] {
            long.message = "m".repeat(length);
            let bytes = cbor(&long);
            let tail = [head, vec![b'm'; length]].concat();
            assert!(bytes.ends_with(&tail), "{length}");
        }
    }
}
