//! From a request to the AWS call that it is. Work is bounded by the request's size; nothing that a client sends is taken for more than a name.
//!
//! Sources: *Smithy: AWS query, EC2 query, JSON 1.0, JSON 1.1, restJson1, restXml protocols*, *Smithy RPC v2 CBOR protocol*, *Smithy HTTP binding traits*
//! (which of several paths is meant), *Signature Version 4 request elements* (credential scope, in the header or the query string; SigV4A's has no region),
//! *Amazon S3: virtual hosting of general purpose buckets*.

use std::borrow::Cow;
use std::net::IpAddr;

use hyper::{HeaderMap, Method, Uri};

use super::models::{self, Model, Route};
use super::{Call, Protocol};
use crate::gateway::aws_host::AwsHost;

/// How much of a body is looked at: `Action` and `Version` stand in front.
const LARGEST_FORM: usize = 64 * 1024;
/// How many parameters of a form or query string are looked at.
const MOST_PARAMETERS: usize = 512;
/// Longest name of an operation; the longest that AWS has is some 70 letters.
const LONGEST_NAME: usize = 128;

/// Whether the operation can be in the body, so that [`recognise`] needs it: a form of the query protocol.
#[must_use]
pub fn wants_body(headers: &HeaderMap) -> bool {
    header(headers, "content-type").is_some_and(|kind| starts_with(kind, "application/x-www-form-urlencoded"))
        && !headers.contains_key("x-amz-target")
}

/// Reads a request as an AWS call; `None`: not one, as far as can be seen.
///
/// `host`: what the host name says, `None` for one that is not AWS's (an endpoint given by hand). `body` is read only for what [`wants_body`] asks for; its
/// beginning is enough.
#[must_use]
pub fn recognise(host: Option<&AwsHost>, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Call> {
    let scope = scope(uri, headers);
    let signed = scope.as_ref().map(|scope| scope.service.as_str());
    let asked = Asked {
        host,
        known: candidates(host, signed),
        named: host.map(|host| host.service.as_str()).or(signed),
        region: host.and_then(|host| host.region.clone()).or_else(|| scope.as_ref()?.region.clone()),
    };
    asked.cbor(uri, headers).or_else(|| asked.json(headers)).or_else(|| asked.query(uri, headers, body)).or_else(|| asked.rest(method, uri, headers))
}

/// The services that the host name and the signature leave.
fn candidates(host: Option<&AwsHost>, signed: Option<&str>) -> Vec<&'static Model> {
    let by_signature = signed.map(models::by_signing).unwrap_or_default();
    let Some(host) = host else { return by_signature };
    let by_host = models::by_endpoint(&host.service);
    if by_host.is_empty() { by_signature } else { by_host }
}

/// What is known of a request before its protocol is.
struct Asked<'a> {
    host: Option<&'a AwsHost>,
    known: Vec<&'static Model>,
    named: Option<&'a str>,
    region: Option<String>,
}

impl Asked<'_> {
    /// The call of a model's service: under the name in the host name when there is one, as rules know it.
    fn call(&self, model: Option<&Model>, operation: Option<String>, protocol: Protocol) -> Option<Call> {
        let service = match (self.host, model) {
            (Some(host), _) => &host.service,
            (None, Some(model)) => model.endpoint,
            (None, None) => self.named?,
        };
        Some(Call { service: service.to_owned(), region: self.region.clone(), operation, protocol })
    }

    /// The one meant by a target prefix.
    fn by_target(&self, prefix: &str) -> Option<&'static Model> {
        self.known.iter().copied().find(|model| model.target == prefix).or_else(|| {
            let anywhere = models::by_target(prefix).into_iter().next();
            if self.known.is_empty() { anywhere } else { self.known.first().copied() }
        })
    }

    /// `POST /service/GraniteServiceVersion20100801/operation/ListMetrics`
    fn cbor(&self, uri: &Uri, headers: &HeaderMap) -> Option<Call> {
        if header(headers, "smithy-protocol")? != "rpc-v2-cbor" {
            return None;
        }
        let mut backwards = uri.path().rsplit('/');
        let (operation, _, service) = (backwards.next()?, backwards.next().filter(|word| *word == "operation")?, backwards.next()?);
        backwards.next().filter(|word| *word == "service")?;
        self.call(self.by_target(service), name(operation), Protocol::Cbor)
    }

    /// `X-Amz-Target: DynamoDB_20120810.ListTables`
    fn json(&self, headers: &HeaderMap) -> Option<Call> {
        let target = header(headers, "x-amz-target")?;
        let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
        let kind = header(headers, "content-type").unwrap_or_default();
        let model = self.by_target(prefix);
        let protocol = match model {
            _ if starts_with(kind, "application/x-amz-json-1.1") => Protocol::Json11,
            _ if starts_with(kind, "application/x-amz-json-1.0") => Protocol::Json10,
            Some(model) if model.is_json11() => Protocol::Json11,
            _ => Protocol::Json10,
        };
        self.call(model, name(operation), protocol)
    }

    /// `Action=ListUsers&Version=2010-05-08`
    fn query(&self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Call> {
        let in_uri = Parameters::of(uri.query().unwrap_or_default().as_bytes());
        let in_body = Parameters::of(if wants_body(headers) { &body[..body.len().min(LARGEST_FORM)] } else { &[] });
        let action = in_uri.action.or(in_body.action)?;
        let version = in_uri.version.or(in_body.version);
        let speaks = |model: &&Model| model.speaks(Protocol::Query) || model.speaks(Protocol::Ec2Query);
        let model = if self.known.is_empty() {
            // Without a host name or a signature (AssumeRoleWithWebIdentity is not signed) the version tells; a service that is not known needs one too.
            let version = version.as_deref()?;
            if self.named.is_some() { None } else { Some(prefer(models::by_version(version), version, &action)?) }
        } else {
            let speaking: Vec<_> = self.known.iter().copied().filter(speaks).collect();
            // S3's `GET /bucket/key?Action=…` is no action.
            Some(prefer(speaking, version.as_deref().unwrap_or_default(), &action)?)
        };
        let ec2 = model.is_some_and(|model| model.speaks(Protocol::Ec2Query));
        self.call(model, name(&action), if ec2 { Protocol::Ec2Query } else { Protocol::Query })
    }

    /// `GET /clusters/blue`
    fn rest(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Call> {
        let mut best: Option<(Fit, &'static Model, &'static Route)> = None;
        let parameters: Vec<_> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).take(MOST_PARAMETERS).collect();
        for model in self.known.iter().filter(|model| model.rest().is_some()) {
            let path = segments(model, uri, headers);
            for route in model.content().routes.iter().filter(|route| route.method == method.as_str()) {
                if let Some(fit) = fit(route, &path, &parameters, headers)
                    && best.as_ref().is_none_or(|(other, _, _)| fit > *other)
                {
                    best = Some((fit, model, route));
                }
            }
        }
        let model = best.as_ref().map(|(_, model, _)| *model).or_else(|| self.known.iter().copied().find(|model| model.rest().is_some()))?;
        self.call(Some(model), best.map(|(_, _, route)| route.operation.to_owned()), model.rest()?)
    }
}

/// The one of this version with this action, else of this version, else with this action.
fn prefer(models: Vec<&'static Model>, version: &str, action: &str) -> Option<&'static Model> {
    // `max_by_key` takes the last of equals.
    models.into_iter().rev().max_by_key(|model| (model.version == version, model.content().has(action)))
}

/// `Action` and `Version` of a form or query string.
#[derive(Default)]
struct Parameters {
    action: Option<String>,
    version: Option<String>,
}

impl Parameters {
    fn of(pairs: &[u8]) -> Self {
        let mut found = Self::default();
        for (key, value) in url::form_urlencoded::parse(pairs).take(MOST_PARAMETERS) {
            match &*key {
                "Action" => found.action = found.action.or(Some(value.into_owned())),
                "Version" => found.version = found.version.or(Some(value.into_owned())),
                _ => {}
            }
            if found.action.is_some() && found.version.is_some() {
                break;
            }
        }
        found
    }
}

/// How well a path fits: per segment a literal before a label before the rest of the path, then the parameters and headers that were asked for.
type Fit = (Vec<u8>, usize);

fn fit(route: &Route, path: &[&str], parameters: &[(Cow<str>, Cow<str>)], headers: &HeaderMap) -> Option<Fit> {
    let has = |(name, value): &(&str, Option<&str>)| parameters.iter().any(|(key, given)| key == name && value.is_none_or(|value| value == given));
    let score = match route.segments.iter().position(|segment| *segment == "{+}") {
        None if route.segments.len() == path.len() => all(&route.segments, path)?,
        Some(at) if route.segments.len() <= path.len() => {
            let (front, back) = (&route.segments[..at], &route.segments[at + 1..]);
            let mut score = all(front, &path[..at])?;
            score.push(0);
            score.extend(all(back, &path[path.len() - back.len()..])?);
            score
        }
        _ => return None,
    };
    if !route.parameters.iter().all(has) || !route.headers.iter().all(|name| headers.contains_key(*name)) {
        return None;
    }
    Some((score, route.parameters.len() + route.headers.len()))
}

fn all(pattern: &[&str], path: &[&str]) -> Option<Vec<u8>> {
    pattern
        .iter()
        .zip(path)
        .map(|(segment, given)| match (*segment, *given) {
            ("{}", "") => None,
            ("{}", _) => Some(1),
            (literal, given) if literal == given => Some(3),
            // Older SDKs ask for older versions of CloudFront's or Route 53's API: `/2013-04-01/hostedzone`.
            (literal, given) if is_date(literal) && is_date(given) => Some(2),
            _ => None,
        })
        .collect()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

/// The segments of a path, without the slash at the end; for S3 with the bucket that stands in the host name.
fn segments<'a>(model: &Model, uri: &'a Uri, headers: &HeaderMap) -> Vec<&'a str> {
    let path = uri.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let bucket = model.endpoint == "s3" && has_bucket(uri.host().or_else(|| header(headers, "host")).unwrap_or_default());
    let path = path.split('/').filter(|_| !path.is_empty());
    if bucket { std::iter::once("bucket").chain(path).collect() } else { path.collect() }
}

/// Whether the first labels of a host name are a bucket's: `photos.s3.us-east-1.amazonaws.com`, `photos.localhost`.
fn has_bucket(host: &str) -> bool {
    let host = host.rsplit_once(':').map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    let lower = host.to_ascii_lowercase();
    if lower.parse::<IpAddr>().is_ok() || lower.starts_with('[') {
        return false;
    }
    let is_s3 =
        |label: &str| ["s3", "s3-accesspoint", "s3-object-lambda"].contains(&label) || label.starts_with("s3-") || label.starts_with("s3express-");
    let mut labels = lower.split('.');
    let first = labels.next().unwrap_or_default();
    if lower.contains(".amazonaws.") || lower.ends_with(".aws") {
        // A bucket may itself be called s3-logs: then another such label follows.
        return labels.any(is_s3) || !is_s3(first) && !["accesspoint", "dualstack"].contains(&first);
    }
    lower.ends_with(".localhost")
}

/// Region and service of a SigV4 signature.
struct Scope {
    region: Option<String>,
    service: String,
}

/// The credential scope, of the header or of a presigned URL.
fn scope(uri: &Uri, headers: &HeaderMap) -> Option<Scope> {
    let credential = match header(headers, "authorization") {
        Some(value) if value.starts_with("AWS4-") => {
            let fields = value.split([',', ' ']).take(MOST_PARAMETERS);
            Cow::Borrowed(fields.filter_map(|field| field.strip_prefix("Credential=")).next()?)
        }
        _ => url::form_urlencoded::parse(uri.query()?.as_bytes()).take(MOST_PARAMETERS).find(|(key, _)| key == "X-Amz-Credential")?.1,
    };
    // An access key has no slash; the end is read, for keys that emulators make up.
    let mut backwards = credential.rsplit('/');
    backwards.next().filter(|end| *end == "aws4_request")?;
    let service = backwards.next().filter(|name| is_label(name))?.to_owned();
    let region = backwards.next().filter(|name| is_label(name) && !name.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned);
    Some(Scope { region, service })
}

/// Whether a text can be the name of a service or region.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte))
}

/// An operation's name, if it can be one.
fn name(operation: &str) -> Option<String> {
    let good = !operation.is_empty() && operation.len() <= LONGEST_NAME && operation.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then(|| operation.to_owned())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
