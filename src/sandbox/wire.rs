//! HTTP/1.1 on loopback as the sandbox's components speak it: a server loop, and a client that opens a new connection for every request.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// An answer whose body is in memory; everything here is small.
pub type Answer = Response<Full<Bytes>>;

/// Largest body that is read, either way.
const BODY_LIMIT: usize = 1 << 20;
/// How long a client may take to send a request's head or body. Long enough for an idle kept connection.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long components get to end after they were told to.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The tasks of one sandbox: spawned together, ended together.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs `task` until it is done or the sandbox stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            cancel.run_until_cancelled(task).await;
        });
    }

    /// Tells every task to end, without waiting.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Ends every task, which closes every listener and connection.
    pub async fn stop(&self) {
        self.cancel();
        self.tracker.close();
        // A task that does not end is not worth hanging the command for: the process is about to end, or the test is.
        let _ = tokio::time::timeout(STOP_LIMIT, self.tracker.wait()).await;
    }
}

/// A listener on a free port of loopback.
pub async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves `listener` with `handler` until the tasks stop.
pub fn serve<Handler, Answering>(tasks: &Tasks, listener: TcpListener, handler: Handler)
where
    Handler: Fn(Request<Bytes>) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    let connections = tasks.clone();
    tasks.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely: the next call would fail at once too, and spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            connections.spawn(serve_connection(stream, handler.clone()));
        }
    });
}

async fn serve_connection<Handler, Answering>(stream: TcpStream, handler: Handler)
where
    Handler: Fn(Request<Bytes>) -> Answering + Clone,
    Answering: Future<Output = Answer>,
{
    let service = service_fn(|request: Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let (parts, body) = request.into_parts();
            let answer = match tokio::time::timeout(REQUEST_LIMIT, Limited::new(body, BODY_LIMIT).collect()).await {
                Ok(Ok(body)) => handler(Request::from_parts(parts, body.to_bytes())).await,
                Ok(Err(_)) => text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or ended early"),
                Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // An error here is a client that went away; nobody is left to be told.
    let _ = server.timer(TokioTimer::new()).header_read_timeout(REQUEST_LIMIT).serve_connection(TokioIo::new(stream), service).await;
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing came in time.
    #[error("timed out after {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The connection could not be opened.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or what came was not HTTP.
    #[error("no answer: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

/// Sends one request over a new connection to `to` and reads the whole answer, all within `within`.
///
/// The target is written as it stands: with an absolute URI the request is one for a forward proxy (RFC 9112, 3.2.2).
pub async fn send(to: SocketAddr, request: Request<Full<Bytes>>, within: Duration) -> Result<Response<Bytes>, SendError> {
    tokio::time::timeout(within, exchange(to, request)).await.map_err(|_| SendError::TimedOut(within))?
}

async fn exchange(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, SendError> {
    let stream = TcpStream::connect(to).await.map_err(SendError::Connect)?;
    let _ = stream.set_nodelay(true);
    let broken = |error: hyper::Error| SendError::Broken(error.into());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut answer = pin!(async move {
        let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(SendError::Broken)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    });
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection may end before its last bytes are read from the channel between the two.
        _ = connection => answer.await,
    }
}

/// A `GET` of an origin (`/path?query`) or of an absolute URI.
pub fn get(host: &str, uri: &str) -> Request<Full<Bytes>> {
    request(hyper::Method::GET, host, uri, Bytes::new())
}

/// A request with a body. A URI that is none becomes `/`, which callers' fixed paths never do.
pub fn request(method: hyper::Method, host: &str, uri: &str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(host) {
        request.headers_mut().insert(hyper::header::HOST, host);
    }
    request
}

/// A plain text answer.
pub fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    typed(status, "text/plain; charset=utf-8", body.into())
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    typed(status, "application/json", body.to_string())
}

/// An answer of the given content type.
pub fn typed(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The first value of a parameter in a query string or a form.
pub fn parameter(encoded: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(encoded).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
