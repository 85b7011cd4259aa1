//! A region's checkout service: healthy while its AWS endpoints answer through the egress gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use super::wire::{self, Answer, SendError, Tasks};
use super::{Region, store};

/// How long a call to AWS may take. Each call is a new connection: what fails new connections fails the next call.
const AWS_TIMEOUT: Duration = Duration::from_millis(400);

/// The body of an order, and of a canary write.
#[derive(Debug, Deserialize)]
struct Order {
    run: String,
    number: u64,
}

#[derive(Debug)]
struct Checkout {
    region: Region,
    gateway: SocketAddr,
}

/// Starts the checkout service of `region`; it reaches AWS through the forward proxy at `gateway`.
pub fn start(tasks: &Tasks, region: Region, listener: TcpListener, gateway: SocketAddr) {
    let checkout = Arc::new(Checkout { region, gateway });
    wire::serve(tasks, listener, move |request| {
        let checkout = Arc::clone(&checkout);
        async move { checkout.answer(&request).await }
    });
}

impl Checkout {
    async fn answer(&self, request: &Request<Bytes>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => self.health().await,
            (&Method::POST, path @ ("/orders" | "/canary")) => self.order(path.trim_start_matches('/'), request.body()).await,
            (_, "/healthz" | "/orders" | "/canary") => wire::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
            _ => wire::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    async fn health(&self) -> Answer {
        let (dynamodb, sts) = (self.host("dynamodb"), self.host("sts"));
        let table = wire::get(&dynamodb, &format!("http://{dynamodb}/"));
        let identity = wire::get(&sts, &format!("http://{sts}/?Action=GetCallerIdentity&Version=2011-06-15"));
        let (table, identity) = tokio::join!(self.call(table), self.call(identity));
        let failing: Vec<String> =
            [(dynamodb, table), (sts, identity)].into_iter().filter_map(|(host, called)| called.err().map(|why| format!("{host}: {why}"))).collect();
        if failing.is_empty() {
            wire::json(StatusCode::OK, &json!({"status": "ok", "region": self.region.name()}))
        } else {
            wire::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unhealthy", "region": self.region.name(), "failing": failing}))
        }
    }

    async fn order(&self, table: &str, body: &[u8]) -> Answer {
        let Ok(Order { run, number }) = serde_json::from_slice(body) else {
            return wire::json(StatusCode::BAD_REQUEST, &json!({"error": "expected {\"run\": \"…\", \"number\": N}"}));
        };
        let host = self.host("dynamodb");
        let mut put = wire::request(Method::POST, &host, &format!("http://{host}/"), store::put_item(table, &run, number));
        put.headers_mut().insert("x-amz-target", HeaderValue::from_static(store::PUT_ITEM));
        put.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        match self.call(put).await {
            Ok(()) => wire::json(StatusCode::CREATED, &json!({"accepted": number, "region": self.region.name()})),
            Err(why) => wire::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": format!("{host}: {why}"), "region": self.region.name()})),
        }
    }

    /// One call to AWS through the gateway; the error says what went wrong in a few words.
    async fn call(&self, request: Request<Full<Bytes>>) -> Result<(), String> {
        let answer = wire::send(self.gateway, request, AWS_TIMEOUT).await.map_err(|why: SendError| why.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("answered {}", answer.status())) }
    }

    fn host(&self, service: &str) -> String {
        format!("{service}.{}.amazonaws.com", self.region)
    }
}
