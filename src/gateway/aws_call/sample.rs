//! A request for one operation, unsigned and empty, that [`super::recognise`] takes for it: what proves that a rule answers.

use super::Protocol;
use super::models::{self, Model, Route};

/// Stands for every name in a path. No bucket may be called so: nothing that exists is ever meant.
const NOBODY: &str = "FIREDRILL_PROBE";

/// A request without host and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The operation that it asks for.
    pub operation: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Headers beside those of every request.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: String,
}

/// A request for this operation of the service with this name in the endpoints table; for `*`, one that reads. `None`: it is not known.
#[must_use]
pub fn sample(service: &str, operation: &str) -> Option<Sample> {
    models::by_endpoint(service).into_iter().find_map(|model| {
        let mut names = model.content().operations();
        let reads = |name: &&'static str| ["List", "Describe", "Get"].iter().any(|verb| name.starts_with(verb));
        let named = if operation == "*" { names.find(reads) } else { names.find(|name| *name == operation) };
        of(model, named?)
    })
}

fn of(model: &'static Model, operation: &'static str) -> Option<Sample> {
    let post = |kind: &str, more: Option<(&'static str, String)>, body: String| {
        let headers = std::iter::once(("Content-Type", kind.to_owned())).chain(more).collect();
        Some(Sample { operation, method: "POST", target: "/".to_owned(), headers, body })
    };
    if let Some(route) = model.content().routes.iter().find(|route| route.operation == operation) {
        return Some(of_route(route));
    }
    if model.speaks(Protocol::Json10) {
        let version = if model.is_json11() { "1.1" } else { "1.0" };
        return post(&format!("application/x-amz-json-{version}"), Some(("X-Amz-Target", format!("{}.{operation}", model.target))), "{}".to_owned());
    }
    if model.speaks(Protocol::Query) || model.speaks(Protocol::Ec2Query) {
        return post("application/x-www-form-urlencoded", None, format!("Action={operation}&Version={}", model.version));
    }
    None
}

fn of_route(route: &Route) -> Sample {
    let segments: Vec<&str> = route.segments.iter().map(|segment| if segment.starts_with('{') { NOBODY } else { segment }).collect();
    let parameters: Vec<String> = route.parameters.iter().map(|(name, value)| format!("{name}={}", value.unwrap_or(NOBODY))).collect();
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    Sample {
        operation: route.operation,
        method: route.method,
        target: format!("/{}{query}", segments.join("/")),
        headers: route.headers.iter().map(|name| (*name, NOBODY.to_owned())).collect(),
        body: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::gateway::aws_call::{operations, recognise};
    use crate::gateway::aws_host;

    #[test]
    fn a_sample_of_nearly_every_operation_is_recognised_as_it() {
        let (mut good, mut wrong) = (0, Vec::new());
        for service in aws_host::services() {
            let Some(host) = aws_host::endpoint(service, "us-east-1").and_then(|name| aws_host::classify(&name)) else { continue };
            for operation in operations(&host.service) {
                let Some(sample) = sample(&host.service, operation) else {
                    wrong.push(format!("{service} {operation}: none"));
                    continue;
                };
                let mut headers = HeaderMap::new();
                for (name, value) in &sample.headers {
                    headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
                }
                let uri = sample.target.parse().unwrap();
                let call = recognise(Some(&host), &sample.method.parse().unwrap(), &uri, &headers, sample.body.as_bytes());
                match call.and_then(|call| call.operation) {
                    Some(seen) if seen == operation => good += 1,
                    seen => wrong.push(format!("{service} {operation}: {seen:?}")),
                }
            }
        }
        // Where a host name stands for two services, or a path for two operations, one cannot be told from the other.
        assert!(good > 10_000 && wrong.len() * 100 < good, "{good} good, {}: {:#?}", wrong.len(), &wrong[..wrong.len().min(60)]);
    }

    #[test]
    fn what_is_unknown_has_no_sample_and_a_star_has_one_that_reads() {
        assert_eq!(sample("iam", "ListPolicie"), None);
        assert_eq!(sample("nothing", "*"), None);
        for service in ["iam", "sts", "dynamodb", "s3", "eks", "route53", "ec2", "sqs"] {
            let name = sample(service, "*").unwrap().operation;
            assert!(name.starts_with("Get") || name.starts_with("List") || name.starts_with("Describe"), "{service}: {name}");
        }
    }
}
