//! The http probe: one request, and every condition on its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use regex::bytes::{Regex, RegexBuilder};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::definition::Definition;
use super::open::{Opening, unanswered};
use super::params::{ExpectJson, HttpProbe};
use super::{Probe, Reading};
use crate::drill::about::{About, Permissions};
use crate::http::{Answer, Client, Request, excerpt};

/// Bytes of a body that are read and matched.
const BODY_LIMIT: usize = 64 * 1024;
/// Bytes that a compiled expression may take.
const REGEX_LIMIT: usize = 1024 * 1024;
/// Characters of a regular expression or a JSON pointer.
const TEXT_LIMIT: usize = 4096;
/// Headers that belong to the connection, not to the request.
const OURS: [&str; 8] = ["connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// A request whose answer is checked. The answer counts once its body has arrived, or the first 64 KiB of it: a server that sends its head and
/// then nothing is not well.
pub(super) struct Http {
    client: Client,
    request: Request,
    status: Option<StatusCode>,
    header: Vec<(HeaderName, String)>,
    body: Option<Regex>,
    json: Option<ExpectJson>,
}

impl Definition for HttpProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "One request a tick, on a connection of its own, as a new client makes it; every condition on the answer that is given must hold.",
            undo: "",
            verified: "",
            must_know: &[
                "The answer counts once its body has arrived, or the first 64 KiB of it.",
                "No answer, and an answer that breaks a condition, are bad; an address that probes may not read is unknown.",
                "Ask what a user asks, not a health check that answers without its dependencies.",
                "`expectTls` is not built yet, and refused by the plan; certificates are verified without it.",
                "Redirects are followed, unless a redirect is what is expected; link-local and metadata addresses never.",
            ],
            permissions: Permissions { inject: &[], revert: &[], read: &["reach the URL from where firedrill runs"] },
            example: "http: {url: \"${endpoints.checkout}/healthz\", expectStatus: 200}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        Ok(Arc::new(Http::open(self, opening.client.clone())?))
    }
}

impl Http {
    pub(super) fn open(probe: &HttpProbe, client: Client) -> Result<Self, String> {
        let method = match probe.method.as_deref() {
            None | Some("GET") => Method::GET,
            Some("HEAD") => Method::HEAD,
            Some("POST") => Method::POST,
            Some(other) => return Err(format!("unknown method '{}'; use GET, HEAD or POST", excerpt(other))),
        };
        if method == Method::HEAD && (probe.expect_body.is_some() || probe.expect_json.is_some()) {
            return Err("an answer to HEAD has no body to match; use GET".to_owned());
        }
        if probe.expect_tls.is_some() {
            return Err("expectTls is not built yet in this version of firedrill; certificates are verified without it".to_owned());
        }
        let status = match probe.expect_status {
            Some(code @ (100..=199 | 600..)) => return Err(format!("expectStatus {code} is never a final answer; use 200 to 599")),
            Some(code) => Some(StatusCode::from_u16(code).map_err(|_| format!("expectStatus {code} is not a status code"))?),
            None => None,
        };
        let request = Request {
            method,
            url: client.url(&probe.url)?,
            headers: request_headers(&probe.headers)?,
            body: None,
            // Whoever expects a redirect wants to see it.
            follow: !status.is_some_and(|status| status.is_redirection()),
            limit: BODY_LIMIT,
        };
        let header = probe.expect_header.iter().map(|(name, value)| Ok((header_name(name)?, value.clone()))).collect::<Result<_, String>>()?;
        let body = probe.expect_body.as_deref().map(expression).transpose()?;
        if let Some(json) = &probe.expect_json {
            check_pointer(&json.pointer)?;
        }
        Ok(Self { client, request, status, header, body, json: probe.expect_json.clone() })
    }

    /// The URL as people see it.
    pub(super) fn address(&self) -> String {
        without_query(&self.request.url)
    }

    fn judge(&self, answer: &Answer) -> Reading {
        let status_holds = self.status.map_or(answer.status.is_success(), |expected| answer.status == expected);
        if !status_holds {
            let expected = self.status.map_or("2xx".to_owned(), |status| status.as_u16().to_string());
            return Reading::bad(format!("status {}, expected {expected}", answer.status.as_u16()));
        }
        for (name, expected) in &self.header {
            let all: Vec<_> = answer.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            if all.is_empty() {
                return Reading::bad(format!("header '{name}' is missing"));
            }
            if !all.iter().any(|value| value == expected) {
                return Reading::bad(format!("header '{name}' is '{}', expected '{}'", excerpt(&all.join(", ")), excerpt(expected)));
            }
        }
        if let Some(body) = &self.body
            && !body.is_match(&answer.body)
        {
            let part = if answer.truncated { "the first 64 KiB of the body do" } else { "the body does" };
            return Reading::bad(format!("{part} not match '{}'", excerpt(body.as_str())));
        }
        self.json.as_ref().map_or_else(Reading::good, |json| judge_json(json, answer))
    }
}

#[async_trait]
impl Probe for Http {
    async fn read(&self) -> Reading {
        match self.client.fetch(self.request.clone()).await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => unanswered(failure),
        }
    }

    fn timed_out(&self) -> Reading {
        Reading::bad("no answer in time")
    }

    fn describe(&self) -> String {
        format!("http {} {}", self.request.method, self.address())
    }
}

fn judge_json(json: &ExpectJson, answer: &Answer) -> Reading {
    if answer.truncated {
        return Reading::unknown("the body is longer than 64 KiB; its JSON is not read");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return Reading::bad("the body is not JSON") };
    match body.pointer(&json.pointer) {
        None => Reading::bad(format!("the body has nothing at '{}'", json.pointer)),
        Some(found) if same(found, &json.equals) => Reading::good(),
        Some(found) => {
            let (found, expected) = (excerpt(&found.to_string()), excerpt(&json.equals.to_string()));
            Reading::bad(format!("'{}' is {found}, expected {expected}", json.pointer))
        }
    }
}

/// Equality of JSON values: numbers by value (1 is 1.0), objects without regard to order.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64() && (one.is_f64() || other.is_f64()),
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        (one, other) => one == other,
    }
}

/// A URL as people see it: query and fragment may carry tokens.
pub(super) fn without_query(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("'{}' is not a header name", excerpt(name)))
}

fn request_headers(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        let name = header_name(name)?;
        if OURS.contains(&name.as_str()) {
            return Err(format!("header '{name}' belongs to the connection; firedrill sets it"));
        }
        // The value is not shown: it may be a token.
        let mut value = HeaderValue::from_str(value).map_err(|_| format!("the value of header '{name}' has characters that no header may have"))?;
        value.set_sensitive(true);
        all.insert(name, value);
    }
    Ok(all)
}

fn expression(text: &str) -> Result<Regex, String> {
    if text.len() > TEXT_LIMIT {
        return Err(format!("expectBody has {} bytes; limit {TEXT_LIMIT}", text.len()));
    }
    RegexBuilder::new(text).size_limit(REGEX_LIMIT).dfa_size_limit(REGEX_LIMIT).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("expectBody is too large a regular expression: more than {limit} bytes when compiled"),
        other => format!("expectBody is not a regular expression: {other}"),
    })
}

fn check_pointer(pointer: &str) -> Result<(), String> {
    if pointer.len() > TEXT_LIMIT {
        return Err(format!("the JSON pointer has {} bytes; limit {TEXT_LIMIT}", pointer.len()));
    }
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(format!("'{}' is not a JSON pointer; write it like '/status/phase'", excerpt(pointer)));
    }
    if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(format!("'{}' is not a JSON pointer; write '~' as '~0'", excerpt(pointer)));
    }
    Ok(())
}
