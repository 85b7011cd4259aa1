//! From a request to the AWS call that it is.

use hyper::{HeaderMap, Method, Uri};

use super::{Call, Protocol};
use crate::gateway::aws_host::AwsHost;

/// Whether the operation can be in the body, so that [`recognise`] needs it: a form of the query protocol.
#[must_use]
pub fn wants_body(headers: &HeaderMap) -> bool {
    header(headers, "content-type").is_some_and(|kind| starts_with(kind, "application/x-www-form-urlencoded"))
        && !headers.contains_key("x-amz-target")
}

/// Reads a request as an AWS call; `None`: not one, as far as can be seen. `body` is read only for what [`wants_body`] asks for; a beginning is enough.
#[must_use]
pub fn recognise(host: Option<&AwsHost>, _method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Call> {
    let scope = scope(headers);
    let service = host.map(|host| host.service.clone()).or_else(|| scope.map(|(_, service)| service.to_owned()));
    let region = host.and_then(|host| host.region.clone()).or_else(|| scope.map(|(region, _)| region.to_owned()));
    if let Some((prefix, operation)) = header(headers, "x-amz-target").and_then(|target| target.rsplit_once('.')) {
        let newer = header(headers, "content-type").is_some_and(|kind| starts_with(kind, "application/x-amz-json-1.1"));
        let service = service.or_else(|| prefix.split('_').next().map(str::to_ascii_lowercase))?;
        let protocol = if newer { Protocol::Json11 } else { Protocol::Json10 };
        return Some(Call { service, region, operation: Some(operation.to_owned()), protocol });
    }
    let form = if wants_body(headers) { body } else { &[] };
    let action = parameter(uri.query().unwrap_or_default().as_bytes(), "Action").or_else(|| parameter(form, "Action"))?;
    let service = service?;
    let protocol = if service == "ec2" { Protocol::Ec2Query } else { Protocol::Query };
    Some(Call { service, region, operation: Some(action), protocol })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn parameter(pairs: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(pairs).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Region and signing name of a SigV4 signature.
fn scope(headers: &HeaderMap) -> Option<(&str, &str)> {
    let credential = header(headers, "authorization")?.split("Credential=").nth(1)?.split([',', ' ']).next()?;
    let mut parts = credential.split('/').skip(2);
    Some((parts.next()?, parts.next()?))
}
