//! A region's checkout service: healthy while its AWS endpoints answer through the egress gateway, with credentials of its own role.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::credentials::{self, AWS_TIMEOUT, Keyring};
use super::truth::{Happening, Truth};
use super::variant::Behaviour;
use super::wire::{self, Answer, SendError, Tasks};
use super::{Region, store};

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
    keys: Keyring,
    /// It stays down when it failed for this long.
    sick_after: Option<Duration>,
    condition: Mutex<Condition>,
    truth: Truth,
}

/// How long it has been failing, and whether it will recover by itself.
#[derive(Debug, Default)]
struct Condition {
    failing_since: Option<Instant>,
    sick: bool,
}

/// Starts the checkout service of `region`; it reaches AWS through the forward proxy at `gateway`.
pub fn start(tasks: &Tasks, region: Region, listener: TcpListener, gateway: SocketAddr, behaviour: &Behaviour, truth: Truth) {
    let keys = Keyring::new(region, gateway, behaviour.credential_cache, credentials::LIFETIME);
    let checkout = Arc::new(Checkout { region, gateway, keys, sick_after: behaviour.sick_after, condition: Mutex::default(), truth });
    let renewing = Arc::clone(&checkout);
    tasks.spawn(async move { renewing.keys.renew(&renewing.truth).await });
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
            (&Method::POST, "/restart") => self.restart(),
            (_, "/healthz" | "/orders" | "/canary" | "/restart") => wire::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
            _ => wire::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    async fn health(&self) -> Answer {
        let body = json!({"TableName": "orders"}).to_string().into();
        match self.noted(self.dynamodb(store::DESCRIBE_TABLE, body).await) {
            Ok(()) => wire::json(StatusCode::OK, &json!({"status": "ok", "region": self.region.name()})),
            Err(why) => wire::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unhealthy", "region": self.region.name(), "failing": why})),
        }
    }

    async fn order(&self, table: &str, body: &[u8]) -> Answer {
        let Ok(Order { run, number }) = serde_json::from_slice(body) else {
            return wire::json(StatusCode::BAD_REQUEST, &json!({"error": "expected {\"run\": \"…\", \"number\": N}"}));
        };
        if self.condition().sick {
            return wire::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": SICK, "region": self.region.name()}));
        }
        match self.dynamodb(store::PUT_ITEM, store::put_item(table, &run, number)).await {
            Ok(()) => wire::json(StatusCode::CREATED, &json!({"accepted": number, "region": self.region.name()})),
            Err(why) => wire::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": why, "region": self.region.name()})),
        }
    }

    /// What its operators do when it does not recover by itself.
    fn restart(&self) -> Answer {
        if std::mem::take(&mut *self.condition()).sick {
            self.truth.note(Happening::Restarted { region: self.region });
        }
        wire::json(StatusCode::OK, &json!({"restarted": self.region.name()}))
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how long calls have been failing: too long, and nothing but a restart helps.
    fn noted(&self, called: Result<(), String>) -> Result<(), String> {
        let mut condition = self.condition();
        match &called {
            Ok(()) => condition.failing_since = None,
            Err(_) => {
                let since = *condition.failing_since.get_or_insert_with(Instant::now);
                if !condition.sick && self.sick_after.is_some_and(|after| since.elapsed() >= after) {
                    condition.sick = true;
                    self.truth.note(Happening::RegionSick { region: self.region });
                }
            }
        }
        if condition.sick { Err(SICK.to_owned()) } else { called }
    }

    /// One DynamoDB call through the gateway; the error says what went wrong in a few words.
    async fn dynamodb(&self, operation: &'static str, body: Bytes) -> Result<(), String> {
        let keys = self.keys.current().await?;
        let host = format!("dynamodb.{}.amazonaws.com", self.region);
        let request = credentials::dynamodb(self.region, operation, body, &keys);
        let answer = wire::send(self.gateway, request, AWS_TIMEOUT).await.map_err(|why: SendError| format!("{host}: {why}"))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("{host}: answered {}", answer.status())) }
    }
}

/// Why a service that was down for long does not come back.
const SICK: &str = "its connections did not survive the failure; it needs a restart (POST /restart)";
