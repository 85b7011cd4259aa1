//! Plain HTTP requests of one client connection: each is judged by itself and passed on, streamed in both directions.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, VIA};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::aws_host::classify;
use super::connection::{Shared, dial_refusal};
use super::head::{self, Refusal};
use super::open::Entry;
use super::stream::{Rewound, Wire};
use super::tunnel;

/// Names this proxy in `Via`; a request that carries it already came through here.
const NAME: &str = "firedrill-gateway";
/// How long a body is held back for `100 Continue` (RFC 9110, 10.1.1 lets a client give up waiting; curl waits as long).
const CONTINUE: Duration = Duration::from_secs(1);
/// Headers that are about one connection only (RFC 9110, 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [&str; 8] =
    ["connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-authorization", "proxy-authenticate"];

type Sent = BoxBody<Bytes, hyper::Error>;

/// The connection ends without a response: the client sees it closed, or reset.
#[derive(Debug, thiserror::Error)]
#[error("connection given up")]
struct GivenUp;

/// What one client connection keeps from request to request.
struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    cut: CancellationToken,
    /// The upstream connection of the last request: reused for the same authority.
    upstream: Mutex<Option<Upstream>>,
}

struct Upstream {
    authority: String,
    sender: SendRequest<Sent>,
}

/// Serves a client connection that began with a plain request.
pub(super) async fn serve(shared: Arc<Shared>, wire: Wire, first: Bytes, cut: CancellationToken) {
    let session = Arc::new(Session { shared, wire: wire.clone(), cut, upstream: Mutex::new(None) });
    let service = hyper::service::service_fn(move |request| answer(session.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head::PATIENCE)
        .max_buf_size(head::LARGEST)
        .half_close(true)
        .preserve_header_case(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(Rewound::new(first, wire)), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "plain connection ended");
    }
}

async fn answer(session: Arc<Session>, request: Request<Incoming>) -> Result<Response<Sent>, GivenUp> {
    if request.method() == Method::CONNECT {
        return late_connect(session, request).await;
    }
    let (host, port) = match target(&request) {
        Ok(target) => target,
        Err(refusal) => return Ok(refuse(&refusal)),
    };
    let aws = classify(&host);
    let entry = session.shared.open.enter(aws.as_ref(), &session.cut);
    if let Some(active) = session.shared.rules.judge(aws.as_ref()) {
        session.shared.suffer(&active, &session.wire).await;
        return Err(GivenUp);
    }
    Ok(forward(&session, request, &host, port, entry).await.unwrap_or_else(|refusal| refuse(&refusal)))
}

/// Host and port of an absolute-form request. The request target decides, not the Host header (RFC 9112, 3.2.2).
fn target(request: &Request<Incoming>) -> Result<(String, u16), Refusal> {
    let uri = request.uri();
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
        return Err(Refusal::new(400, "this is a forward proxy: send 'GET http://HOST/PATH' or 'CONNECT HOST:PORT'"));
    };
    if uri.scheme_str() != Some("http") {
        return Err(Refusal::new(501, format!("'{}' is not passed on in plain; use CONNECT", uri.scheme_str().unwrap_or_default())));
    }
    if request.headers().get_all(VIA).iter().any(|via| via.to_str().is_ok_and(|via| via.contains(NAME))) {
        return Err(Refusal::new(508, "the request came through this gateway before"));
    }
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), uri.port_u16().unwrap_or(80)))
}

async fn forward(session: &Session, request: Request<Incoming>, host: &str, port: u16, entry: Option<Entry>) -> Result<Response<Sent>, Refusal> {
    let authority = format!("{}:{port}", host.to_ascii_lowercase());
    let mut outgoing = Some(rewrite(request)?);
    let mut upstream = session.upstream.lock().await;
    let kept = upstream.take().filter(|kept| kept.authority == authority);
    let mut response = None;
    // Not one tuple pattern: that would take, and drop, the request when there is no kept connection.
    if let Some(mut kept) = kept
        && let Some(request) = outgoing.take()
    {
        if kept.sender.ready().await.is_ok() {
            match kept.sender.try_send_request(request).await {
                Ok(good) => {
                    response = Some(good);
                    *upstream = Some(kept);
                }
                // The upstream closed the kept connection before it took the request: nothing was sent, so a fresh connection may carry it.
                Err(mut error) => match error.take_message() {
                    Some(request) => outgoing = Some(request),
                    None => return Err(broken(host, error.error())),
                },
            }
        } else {
            outgoing = Some(request);
        }
    }
    let response = match (response, outgoing) {
        (Some(response), _) => response,
        (None, Some(request)) => {
            let mut sender = connect(session, host, port).await?;
            let response = sender.send_request(request).await.map_err(|error| broken(host, &error))?;
            *upstream = Some(Upstream { authority, sender });
            response
        }
        (None, None) => return Err(Refusal::new(502, format!("the connection to '{host}' was lost"))),
    };
    drop(upstream);
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    parts.headers.append(VIA, via(parts.version));
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, Tracked { body, _entry: entry }.boxed()))
}

async fn connect(session: &Session, host: &str, port: u16) -> Result<SendRequest<Sent>, Refusal> {
    let stream = session.shared.dial(host, port, &session.wire).await.map_err(|error| dial_refusal(&error))?;
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(head::LARGEST)
        .handshake(TokioIo::new(Wire::new(stream)))
        .await
        .map_err(|error| broken(host, &error))?;
    let cut = session.cut.clone();
    session.shared.tasks.spawn(async move {
        tokio::select! {
            _ = connection => {}
            () = cut.cancelled() => {}
        }
    });
    Ok(sender)
}

fn broken(host: &str, error: &hyper::Error) -> Refusal {
    Refusal::new(502, format!("'{host}' gave no whole response: {error}"))
}

/// The request as the upstream gets it: origin form, the Host of the target, no hop-by-hop headers.
fn rewrite(request: Request<Incoming>) -> Result<Request<Sent>, Refusal> {
    let malformed = |_| Refusal::new(400, "the request target cannot be passed on");
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned()).unwrap_or_default();
    parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>().map_err(|error| malformed(error.to_string()))?;
    let hold = parts.version == Version::HTTP_11
        && parts.headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        && !body.is_end_stream();
    strip(&mut parts.headers);
    parts.headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|error| malformed(error.to_string()))?);
    parts.headers.append(VIA, via(parts.version));
    parts.version = Version::HTTP_11;
    if !hold {
        parts.headers.remove(EXPECT);
        return Ok(Request::from_parts(parts, body.boxed()));
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

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(if version == Version::HTTP_10 { "1.0 firedrill-gateway" } else { "1.1 firedrill-gateway" })
}

fn strip(headers: &mut HeaderMap) {
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

fn refuse(refusal: &Refusal) -> Response<Sent> {
    let body = Full::new(Bytes::from(format!("firedrill gateway: {}\n", refusal.text))).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A CONNECT on a connection that carried plain requests before.
async fn late_connect(session: Arc<Session>, request: Request<Incoming>) -> Result<Response<Sent>, GivenUp> {
    let (host, port) = match head::authority(request.uri().authority().map_or("", |authority| authority.as_str())) {
        Ok(target) => target,
        Err(refusal) => return Ok(refuse(&refusal)),
    };
    let aws = classify(&host);
    let entry = session.shared.open.enter(aws.as_ref(), &session.cut);
    if let Some(active) = session.shared.rules.judge(aws.as_ref()) {
        session.shared.suffer(&active, &session.wire).await;
        return Err(GivenUp);
    }
    let upstream = match session.shared.dial(&host, port, &session.wire).await {
        Ok(stream) => Wire::new(stream),
        Err(error) => return Ok(refuse(&dial_refusal(&error))),
    };
    let shared = session.shared.clone();
    shared.tasks.spawn(async move {
        let _entry = entry;
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Rewound>>() else { return };
        let work = async {
            if tunnel::write_all(&upstream, &parts.read_buf).await.is_ok() {
                tunnel::run(&session.wire, &upstream).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = session.cut.cancelled() => {
                session.wire.reset_on_close();
                upstream.reset_on_close();
            }
        }
    });
    Ok(Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed()))
}

/// A response body that keeps its request in the table of open connections until it is through.
struct Tracked {
    body: Incoming,
    _entry: Option<Entry>,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request body that is not read before the upstream says `100 Continue`: our own server side answers the client's `Expect` when the body is
/// first polled, so that the client hears "go on" when the upstream said it, and never when the upstream refused at once.
struct Held {
    body: Incoming,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Held {
    fn new(body: Incoming, go: Arc<Notify>) -> Self {
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
