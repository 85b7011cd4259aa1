//! `/metrics`, `/healthz` and `/readyz`: nothing here changes anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::lead::Operator;

/// Connections at once.
const MOST: usize = 64;
/// Longest that a request's head may take.
const HEAD: Duration = Duration::from_secs(5);

/// Serves until the process ends.
pub async fn serve(operator: Arc<Operator>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: the next call would fail at once too, and spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let operator = operator.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request: Request<Incoming>| {
                let answer = operator.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            // An error here is a client that went away; nobody is left to be told.
            let _ = server.timer(TokioTimer::new()).header_read_timeout(HEAD).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Operator {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, text) = match path {
            _ if method != Method::GET => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
            "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
            // One that waits to take over is as ready as it can be: a rollout must not wait for it.
            "/readyz" => (StatusCode::OK, if self.metrics.is_ready() { "leads\n" } else { "waits to lead\n" }.to_owned()),
            "/metrics" => (StatusCode::OK, self.metrics.text(self.active().len(), self.in_place())),
            _ => (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".to_owned()),
        };
        let mut answer = Response::new(Full::new(Bytes::from(text)));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        answer
    }

    fn in_place(&self) -> u64 {
        self.stores.runs.all().iter().filter_map(|run| run.pointer("/status/inPlace").and_then(Value::as_u64)).sum()
    }
}
