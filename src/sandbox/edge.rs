//! The users' front door: a reverse proxy to the active region's checkout, with active health checks of both.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::Region;
use super::control::Control;
use super::routing::{Pace, Routing};
use super::truth::{Happening, Truth};
use super::wire::{self, Answer, SendError, Tasks};

/// Time from one health check of a region to the next.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Longest a health check or a user's request may take. Longer than a checkout's own wait for AWS, so that its answer is heard.
const UPSTREAM_TIMEOUT: Duration = Duration::from_millis(700);
/// Says which region answered, as content networks do.
const SERVED_BY: &str = "x-served-by";

#[derive(Debug)]
struct Edge {
    regions: [SocketAddr; 2],
    routing: Mutex<Routing>,
    /// Locked before `routing` where both are.
    control: Mutex<Control>,
    rescheduled: Notify,
    truth: Truth,
}

/// Where the edge listens.
#[derive(Debug)]
pub struct Doors {
    /// The front door.
    pub users: TcpListener,
    /// Its metrics, and the operator's weights.
    pub admin: TcpListener,
}

/// Starts the edge in front of the checkouts at `regions` (in the order of [`Region::ALL`]).
pub fn start(tasks: &Tasks, doors: Doors, regions: [SocketAddr; 2], pace: Pace, truth: Truth) {
    let edge =
        Arc::new(Edge { regions, routing: Mutex::new(Routing::new(pace)), control: Mutex::new(Control::new()), rescheduled: Notify::new(), truth });
    let front = Arc::clone(&edge);
    wire::serve(tasks, doors.users, move |request| {
        let edge = Arc::clone(&front);
        async move { edge.proxy(request).await }
    });
    let admin = Arc::clone(&edge);
    wire::serve(tasks, doors.admin, move |request| {
        let edge = Arc::clone(&admin);
        async move { edge.admin(&request) }
    });
    for region in Region::ALL {
        tasks.spawn(Arc::clone(&edge).check(region));
    }
    tasks.spawn(edge.move_users());
}

impl Edge {
    fn locked(&self) -> MutexGuard<'_, Routing> {
        self.routing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, region: Region) -> SocketAddr {
        self.regions[region as usize]
    }

    /// Checks one region for ever.
    async fn check(self: Arc<Self>, region: Region) {
        let address = self.address(region);
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let answer = wire::send(address, wire::get(&address.to_string(), "/healthz"), UPSTREAM_TIMEOUT).await;
            let good = answer.is_ok_and(|answer| answer.status() == StatusCode::OK);
            // Noted under the lock: the record's instant is the one from which requests go elsewhere.
            let mut routing = self.locked();
            let (due, happened) = (routing.due(), routing.checked(region, good, Instant::now()));
            self.note(&happened);
            if routing.due() != due {
                self.rescheduled.notify_one();
            }
        }
    }

    /// Moves users at the instant that is due, rather than at the next check.
    async fn move_users(self: Arc<Self>) {
        loop {
            let due = self.locked().due();
            let waited = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.rescheduled.notified() => {}
                () = waited => {
                    let mut routing = self.locked();
                    let happened = routing.step(Instant::now());
                    self.note(happened.as_slice());
                }
            }
        }
    }

    fn note(&self, happened: &[Happening]) {
        for what in happened {
            self.truth.note(*what);
        }
    }

    /// Passes a user's request to the region that is theirs now.
    async fn proxy(&self, request: Request<Bytes>) -> Answer {
        let region = self.locked().route(|below| rand::random_range(0..below));
        let address = self.address(region);
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut forwarded = wire::request(parts.method, &address.to_string(), path, body);
        for (name, value) in &parts.headers {
            // The body is passed whole and the connection is our own: its framing headers are not the user's.
            if ![HOST, CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name) {
                forwarded.headers_mut().append(name, value.clone());
            }
        }
        let mut answer = match wire::send(address, forwarded, UPSTREAM_TIMEOUT).await {
            Ok(answer) => {
                let mut answer = answer.map(Full::new);
                answer.headers_mut().remove(CONNECTION);
                answer.headers_mut().remove(TRANSFER_ENCODING);
                answer
            }
            Err(why @ SendError::TimedOut(_)) => wire::json(StatusCode::GATEWAY_TIMEOUT, &json!({"error": why.to_string()})),
            Err(why) => wire::json(StatusCode::BAD_GATEWAY, &json!({"error": why.to_string()})),
        };
        answer.headers_mut().insert(SERVED_BY, HeaderValue::from_static(region.name()));
        answer
    }

    fn admin(&self, request: &Request<Bytes>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::GET, "/weights") => self.show(&self.control(), StatusCode::OK),
            (&Method::PUT, "/weights") => self.steer(request),
            (_, "/metrics" | "/weights") => wire::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
            _ => wire::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, control: &Control, status: StatusCode) -> Answer {
        let routing = self.locked();
        let healthy: Vec<Region> = Region::ALL.into_iter().filter(|region| routing.healthy(*region)).collect();
        control.show(status, routing.weights(), &healthy, routing.active())
    }

    /// An operator changes the weights.
    fn steer(&self, request: &Request<Bytes>) -> Answer {
        let mut control = self.control();
        match control.put(request.headers(), request.body()) {
            Ok(weights) => {
                {
                    let mut routing = self.locked();
                    // A write that leaves the weights as they are moves nobody.
                    if routing.weights() != weights {
                        let happened = routing.set_weights(weights, Instant::now());
                        self.note(&happened);
                        self.rescheduled.notify_one();
                    }
                }
                self.show(&control, StatusCode::OK)
            }
            Err((status, error)) => wire::json(status, &json!({"error": error})),
        }
    }

    fn metrics(&self) -> Answer {
        let routing = self.locked();
        let mut lines = String::new();
        for region in Region::ALL {
            let (healthy, active) = (u8::from(routing.healthy(region)), u8::from(routing.active() == region));
            lines += &format!("region_healthy{{region=\"{region}\"}} {healthy}\nedge_active{{region=\"{region}\"}} {active}\n");
            if let Some(weights) = routing.weights() {
                lines += &format!("edge_weight{{region=\"{region}\"}} {}\n", weights.of(region));
            }
        }
        wire::text(StatusCode::OK, lines)
    }
}
