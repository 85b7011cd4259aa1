//! Plain HTTP requests of one client connection: each is judged by itself, and answered or passed on, streamed in both directions.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::VIA;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Effect;
use super::aws_call;
use super::aws_host::classify;
use super::connection::{Counted, Shared, dial_refusal};
use super::counts::{Outcome, Row};
use super::head::{self, Refusal};
use super::open::Entry;
use super::pace;
use super::request::{Asked, Sent, Target, refuse, rewrite, strip, via, whole};
use super::rules::{Active, Judgement};
use super::shaped;
use super::stream::{Rewound, Wire};
use super::tunnel;
use super::valve::{Cut, Guarded, Paced, Valve};

/// What a request to the gateway itself is told that nothing answers.
const NO_ENDPOINT: &str = "this request is for the gateway itself, and no rule answers it: start the gateway with '--endpoint URL' to say where such AWS calls are \
    passed on, or use it as a forward proxy (HTTP_PROXY, HTTPS_PROXY)";

/// The connection ends without a response: the client sees it closed, or reset.
#[derive(Debug, thiserror::Error)]
#[error("connection given up")]
struct GivenUp;

/// What one client connection keeps from request to request.
struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    client: IpAddr,
    valve: Arc<Valve>,
    cut: CancellationToken,
    /// The upstream connection of the last request: reused for the same authority.
    upstream: Mutex<Option<Upstream>>,
}

struct Upstream {
    authority: String,
    sender: SendRequest<Sent>,
}

/// Serves a client connection that began with a plain request.
pub(super) async fn serve(shared: Arc<Shared>, wire: Wire, client: IpAddr, first: Bytes, cut: CancellationToken) {
    let valve = Arc::new(Valve::default());
    let guarded = Guarded::new(Rewound::new(first, wire.clone()), wire.clone(), valve.clone());
    let session = Arc::new(Session { shared, wire, client, valve, cut, upstream: Mutex::new(None) });
    let service = hyper::service::service_fn(move |request| answer(session.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head::PATIENCE)
        .max_buf_size(head::LARGEST)
        .half_close(true)
        .preserve_header_case(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(guarded), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "plain connection ended");
    }
}

async fn answer(session: Arc<Session>, request: Request<Incoming>) -> Result<Response<Sent>, GivenUp> {
    if request.method() == Method::CONNECT {
        session.valve.set(None, None);
        return late_connect(session, request).await;
    }
    let target = match Target::of(&request) {
        Ok(target) => target,
        Err(refusal) => {
            session.valve.set(None, None);
            return Ok(refuse(&refusal));
        }
    };
    let asked = Asked::look(request, target).await.map_err(|_| GivenUp)?;
    let shared = &session.shared;
    let entry = shared.open.enter(asked.aws.as_ref(), &session.cut);
    let judgement = shared.rules.judge(asked.aws.as_ref());
    let row = asked.names().map(|(service, region, operation)| shared.counters.row(session.client, service, region, operation));
    count(row.as_ref(), Outcome::Asked);
    session.valve.set(cut(&judgement, row.as_ref()), judgement.slows.as_ref());
    if let Some(active) = &judgement.stops
        && shared.suffer(active, row.as_deref(), &session.wire).await
    {
        return Err(GivenUp);
    }
    if let Some(slows) = &judgement.slows {
        slows.hit();
        count(row.as_ref(), Outcome::Slowed);
        pace::delay(slows).await;
    }
    if let Some(response) = error(&judgement.errors, &asked) {
        count(row.as_ref(), Outcome::Failed);
        asked.drain().await;
        return Ok(response);
    }
    let (host, port) = match (&asked.target, &shared.endpoint) {
        (Target::Named { host, port }, _) => (host.clone(), *port),
        (Target::Itself, Some(endpoint)) => (endpoint.host.clone(), endpoint.port),
        (Target::Itself, None) => {
            asked.drain().await;
            return Ok(refuse(&Refusal::new(501, NO_ENDPOINT)));
        }
    };
    let request = match &judgement.slows {
        Some(_) => asked.request.map(|body| Paced::new(body, session.valve.clone()).boxed()),
        None => asked.request,
    };
    match forward(&session, request, &host, port, entry).await {
        Ok(response) => {
            count(row.as_ref(), Outcome::Passed);
            Ok(response)
        }
        Err(refusal) => Ok(refuse(&refusal)),
    }
}

fn count(row: Option<&Arc<Row>>, outcome: Outcome) {
    if let Some(row) = row {
        row.count(outcome);
    }
}

/// Where the answer is to be cut.
fn cut(judgement: &Judgement, row: Option<&Arc<Row>>) -> Option<Cut> {
    let active = judgement.stops.as_ref()?;
    match active.rule.effect {
        Effect::Reset { after_bytes: left @ 1.. } => Some(Cut { left, active: active.clone(), row: row.cloned() }),
        _ => None,
    }
}

/// The error document that a rule answers with, if this call is among those that fail. What cannot be recognised never is: nobody could say in which
/// protocol its client speaks.
fn error(rules: &[Arc<Active>], asked: &Asked) -> Option<Response<Sent>> {
    let call = asked.call.as_ref().filter(|_| !rules.is_empty())?;
    let rule = rules.iter().find(|active| active.is_about(call.operation.as_deref()))?;
    let Effect::Error { error, .. } = rule.rule.effect else { return None };
    if !rule.fails_next() {
        return None;
    }
    rule.hit();
    Some(aws_call::document(error, call, asked.is_head(), &request_id()).map(whole))
}

/// A request id as AWS writes most of them: a random UUID.
fn request_id() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

async fn forward(session: &Session, request: Request<Sent>, host: &str, port: u16, entry: Option<Entry>) -> Result<Response<Sent>, Refusal> {
    let authority = format!("{}:{port}", host.to_ascii_lowercase());
    let mut outgoing = Some(rewrite(request)?);
    let mut upstream = session.upstream.lock().await;
    let kept = upstream.take().filter(|kept| kept.authority == authority);
    let mut response = None;
    if let Some(mut kept) = kept
        && kept.sender.ready().await.is_ok()
        && let Some(request) = outgoing.take()
    {
        match kept.sender.try_send_request(request).await {
            Ok(good) => {
                response = Some(good);
                *upstream = Some(kept);
            }
            // The upstream closed the kept connection before it took the request: nothing was sent, so a fresh connection may carry it.
            Err(mut error) => outgoing = Some(error.take_message().ok_or_else(|| broken(host, error.error()))?),
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

/// A CONNECT on a connection that carried plain requests before.
async fn late_connect(session: Arc<Session>, request: Request<Incoming>) -> Result<Response<Sent>, GivenUp> {
    let (host, port) = match head::authority(request.uri().authority().map_or("", |authority| authority.as_str())) {
        Ok(target) => target,
        Err(refusal) => return Ok(refuse(&refusal)),
    };
    let aws = classify(&host);
    let entry = session.shared.open.enter(aws.as_ref(), &session.cut);
    let Ok(terms) = session.shared.admit(aws.as_ref(), session.client, &session.wire).await else { return Err(GivenUp) };
    let upstream = match session.shared.dial(&host, port, &session.wire).await {
        Ok(stream) => Wire::new(stream),
        Err(error) => return Ok(refuse(&dial_refusal(&error))),
    };
    terms.passed();
    let counted = Counted::new(&session.shared);
    let tasks = session.shared.tasks.clone();
    tasks.spawn(async move {
        let (_entry, _counted) = (entry, counted);
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Guarded>>() else { return };
        let work = async {
            match terms.shape {
                Some(terms) => shaped::run(&session.wire, &upstream, &parts.read_buf, &terms).await,
                None if tunnel::write_all(&upstream, &parts.read_buf).await.is_ok() => tunnel::run(&session.wire, &upstream).await,
                None => {}
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
    Ok(Response::new(whole(Bytes::new())))
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
