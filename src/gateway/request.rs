//! A plain request: whom it is for, which AWS call it is, and what it looks like to the upstream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, VIA};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::sync::Notify;

use super::aws_call::{self, Call};
use super::aws_host::{AwsHost, classify};
use super::head::Refusal;

/// Names this proxy in `Via`; a request that carries it already came through here.
const NAME: &str = "firedrill-gateway";
/// How long a body is held back for `100 Continue` (RFC 9110, 10.1.1 lets a client give up waiting; curl waits as long).
const CONTINUE: Duration = Duration::from_secs(1);
/// Largest body that is read for its operation, or taken off a client that gets an error instead. A larger one is passed on unread.
const LARGEST: usize = 1024 * 1024;
/// Headers that are about one connection only (RFC 9110, 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [&str; 8] =
    ["connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-authorization", "proxy-authenticate"];

/// A body on its way.
pub(super) type Sent = BoxBody<Bytes, hyper::Error>;

/// Whom a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The host that it names in its target, as a proxy request does.
    Named {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// The gateway itself, as an endpoint: only the headers tell which service is meant.
    Itself,
}

impl Target {
    /// Reads the request target: in absolute form it decides, not the Host header (RFC 9112, 3.2.2).
    pub fn of<B>(request: &Request<B>) -> Result<Self, Refusal> {
        let uri = request.uri();
        if request.headers().get_all(VIA).iter().any(|via| via.to_str().is_ok_and(|via| via.contains(NAME))) {
            return Err(Refusal::new(508, "the request came through this gateway before"));
        }
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return Ok(Self::Itself) };
        if uri.scheme_str() != Some("http") {
            return Err(Refusal::new(501, format!("'{}' is not passed on in plain; use CONNECT", uri.scheme_str().unwrap_or_default())));
        }
        Ok(Self::Named { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port: uri.port_u16().unwrap_or(80) })
    }
}

/// A request that was looked at.
#[derive(Debug)]
pub(super) struct Asked {
    /// The request, with all of its body still to come.
    pub request: Request<Sent>,
    /// Whom it is for.
    pub target: Target,
    /// The host that rules are asked about; none is not AWS.
    pub aws: Option<AwsHost>,
    /// The call that it is, as far as it can be recognised.
    pub call: Option<Call>,
}

impl Asked {
    /// Recognises a request, for which the beginning of its body may have to be read. `Err`: the client left.
    pub async fn look(request: Request<Incoming>, target: Target) -> Result<Self, hyper::Error> {
        let mut aws = match &target {
            Target::Named { host, .. } => classify(host),
            Target::Itself => request.headers().get(HOST).and_then(|host| host.to_str().ok()).and_then(classify),
        };
        if aws.is_none() && target != Target::Itself {
            return Ok(Self { request: request.map(BodyExt::boxed), target, aws, call: None });
        }
        // A client that waits for "go on" has sent nothing that could be read.
        let read = aws_call::wants_body(request.headers()) && !request.headers().contains_key(EXPECT);
        let (parts, body) = request.into_parts();
        let (start, body) = if read { beginning(body).await? } else { (Bytes::new(), body.boxed()) };
        let call = aws_call::recognise(aws.as_ref(), &parts.method, &parts.uri, &parts.headers, &start);
        if aws.is_none() {
            aws = call.as_ref().map(host_of);
        }
        Ok(Self { request: Request::from_parts(parts, body), target, aws, call })
    }

    /// The names under which it is counted: service, region, operation.
    pub fn names(&self) -> Option<(&str, &str, &str)> {
        let aws = self.aws.as_ref()?;
        let of_call = self.call.as_ref().and_then(|call| call.region.as_deref());
        let region = aws.region.as_deref().or(aws.homed).or(of_call).unwrap_or_default();
        let operation = self.call.as_ref().and_then(|call| call.operation.as_deref()).unwrap_or_default();
        Some((&aws.service, region, operation))
    }

    /// Whether its answer has no body.
    pub fn is_head(&self) -> bool {
        self.request.method() == Method::HEAD
    }

    /// Takes the body off the client, within bounds: closing with unread bytes could take the answer away from it.
    pub async fn drain(self) {
        if self.request.headers().contains_key(EXPECT) {
            return;
        }
        let (mut body, mut left) = (self.request.into_body(), LARGEST);
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            if size > left {
                return;
            }
            left -= size;
        }
    }
}

/// The host that a call to the plain endpoint would have gone to. A call that tells no region goes to the service's name without one.
fn host_of(call: &Call) -> AwsHost {
    let homed = if call.region.is_none() { classify(&format!("{}.amazonaws.com", call.service)).and_then(|host| host.homed) } else { None };
    AwsHost { service: call.service.clone(), region: call.region.clone(), partition: "aws", fips: false, dual_stack: false, homed }
}

/// Reads a body to its end, or as far as [`LARGEST`]. Returns what was read, nothing when it was too large, and the whole body again.
async fn beginning(mut body: Incoming) -> Result<(Bytes, Sent), hyper::Error> {
    let mut frames = VecDeque::new();
    let mut size = 0;
    while size <= LARGEST {
        let Some(frame) = body.frame().await else { break };
        let frame = frame?;
        size += frame.data_ref().map_or(0, Bytes::len);
        frames.push_back(frame);
    }
    let mut data = frames.iter().filter_map(Frame::data_ref);
    let read = match (data.next(), data.next()) {
        _ if size > LARGEST => Bytes::new(),
        (Some(only), None) => only.clone(),
        _ => frames.iter().filter_map(Frame::data_ref).flatten().copied().collect(),
    };
    let left = u64::try_from(size).unwrap_or(u64::MAX);
    Ok((read, Resumed { frames, left, rest: body }.boxed()))
}

/// A body whose first frames were read already.
struct Resumed {
    frames: VecDeque<Frame<Bytes>>,
    left: u64,
    rest: Incoming,
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            self.left -= frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(0));
            return Poll::Ready(Some(Ok(frame)));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + self.left);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + self.left);
        }
        hint
    }
}

/// The request as the upstream gets it: origin form, no hop-by-hop headers. A proxy request gets the Host of its target; one to the gateway itself keeps
/// its Host, which its signature covers.
pub(super) fn rewrite(request: Request<Sent>) -> Result<Request<Sent>, Refusal> {
    let malformed = |_| Refusal::new(400, "the request target cannot be passed on");
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned());
    parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>().map_err(|error| malformed(error.to_string()))?;
    let hold = parts.version == Version::HTTP_11
        && parts.headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        && !body.is_end_stream();
    strip(&mut parts.headers);
    if let Some(authority) = authority {
        parts.headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|error| malformed(error.to_string()))?);
    }
    parts.headers.append(VIA, via(parts.version));
    parts.version = Version::HTTP_11;
    if !hold {
        parts.headers.remove(EXPECT);
        return Ok(Request::from_parts(parts, body));
    }
    let go = Arc::new(Notify::new());
    let mut request = Request::from_parts(parts, Held::new(body, go.clone()).boxed());
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            go.notify_one();
        }
    });
    Ok(request)
}

/// What this proxy says of itself in a message that came in this version.
pub(super) fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(if version == Version::HTTP_10 { "1.0 firedrill-gateway" } else { "1.1 firedrill-gateway" })
}

/// Takes out what is about one connection only.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A refusal as a response.
pub(super) fn refuse(refusal: &Refusal) -> Response<Sent> {
    let mut response = Response::new(whole(Bytes::from(format!("firedrill gateway: {}\n", refusal.text))));
    *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A body that is there already.
pub(super) fn whole(data: Bytes) -> Sent {
    Full::new(data).map_err(|never| match never {}).boxed()
}

/// A request body that is not read before the upstream says `100 Continue`: our own server side answers the client's `Expect` when the body is
/// first polled, so that the client hears "go on" when the upstream said it, and never when the upstream refused at once.
struct Held {
    body: Sent,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Held {
    fn new(body: Sent, go: Arc<Notify>) -> Self {
        let wait = async move {
            // Not every upstream knows 100 Continue: after a while the body goes anyway.
            let _ = tokio::time::timeout(CONTINUE, go.notified()).await;
        };
        Self { body, wait: Some(Box::pin(wait)) }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(wait) = self.wait.as_mut() {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
