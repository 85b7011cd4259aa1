//! A region's AWS endpoints: STS, and an order store that replicates to the other region, like a DynamoDB global table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::truth::{Happening, Truth};
use super::variant::Behaviour;
use super::wire::{self, Answer, Tasks};
use super::{Region, random_between};
use crate::clock::{Clock, Timestamp};

/// Items that may wait for replication; beyond it writes are throttled.
const BACKLOG: usize = 10_000;
/// Runs that one table remembers; the oldest is forgotten first.
const RUNS: usize = 64;
/// Items of one run and table.
const ITEMS_PER_RUN: usize = 100_000;

/// One item, as one region tells the other of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    table: String,
    run: String,
    number: u64,
    acknowledged: Timestamp,
}

/// The body of `PutItem`; attribute values as in the DynamoDB API (`{"S": …}`, `{"N": …}`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutItem {
    table_name: String,
    item: Attributes,
}

#[derive(Debug, Deserialize)]
struct Attributes {
    run: StringValue,
    number: NumberValue,
}

#[derive(Debug, Deserialize)]
struct StringValue {
    #[serde(rename = "S")]
    value: String,
}

#[derive(Debug, Deserialize)]
struct NumberValue {
    #[serde(rename = "N")]
    value: String,
}

/// The body of the request that checkout sends to store an item.
pub fn put_item(table: &str, run: &str, number: u64) -> Bytes {
    json!({"TableName": table, "Item": {"run": {"S": run}, "number": {"N": number.to_string()}}}).to_string().into()
}

/// Name of the operation in `X-Amz-Target` (DynamoDB low-level API).
pub const PUT_ITEM: &str = "DynamoDB_20120810.PutItem";
/// The one that says whether a table can be used.
pub const DESCRIBE_TABLE: &str = "DynamoDB_20120810.DescribeTable";
/// What a session token of this sandbox's STS begins with; when it expires follows, in microseconds.
const TOKEN: &str = "SANDBOX/";

/// Where a store will listen. Bound first, so that each region can be told of the other's.
#[derive(Debug)]
pub struct Doors {
    api: TcpListener,
    table: TcpListener,
    /// The AWS endpoints: what the gateway resolves the region's host names to.
    pub api_address: SocketAddr,
    /// The table itself: direct reads, replication, metrics.
    pub table_address: SocketAddr,
}

impl Doors {
    /// Binds both.
    pub async fn open() -> io::Result<Self> {
        let (api, api_address) = wire::listen().await?;
        let (table, table_address) = wire::listen().await?;
        Ok(Self { api, table, api_address, table_address })
    }
}

#[derive(Debug, Default)]
struct Tables {
    tables: BTreeMap<String, Table>,
    /// Of the last item that the other region told us of.
    lag: Option<Duration>,
    /// With one writer at a time: since when it is this region.
    writes_since: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Table {
    runs: BTreeMap<String, BTreeSet<u64>>,
    order: VecDeque<String>,
}

impl Table {
    /// False when the run has no room left.
    fn insert(&mut self, run: &str, number: u64) -> bool {
        if !self.runs.contains_key(run) {
            if self.order.len() == RUNS
                && let Some(oldest) = self.order.pop_front()
            {
                self.runs.remove(&oldest);
            }
            self.order.push_back(run.to_owned());
        }
        let numbers = self.runs.entry(run.to_owned()).or_default();
        numbers.contains(&number) || (numbers.len() < ITEMS_PER_RUN && numbers.insert(number))
    }
}

#[derive(Debug)]
struct Store {
    region: Region,
    tables: Mutex<Tables>,
    outbox: mpsc::Sender<Item>,
    one_writer: bool,
    truth: Truth,
}

/// Starts the store of `region`, which replicates to the table at `peer`.
pub fn start(tasks: &Tasks, region: Region, doors: Doors, peer: SocketAddr, behaviour: &Behaviour, truth: Truth) {
    let (outbox, waiting) = mpsc::channel(BACKLOG);
    let store = Arc::new(Store { region, tables: Mutex::default(), outbox, one_writer: behaviour.one_writer, truth });
    let api = Arc::clone(&store);
    wire::serve(tasks, doors.api, move |request| {
        let store = Arc::clone(&api);
        async move { store.api(&request) }
    });
    wire::serve(tasks, doors.table, move |request| {
        let store = Arc::clone(&store);
        async move { store.table(&request) }
    });
    tasks.spawn(replicate(waiting, peer, behaviour.replication_lag.clone()));
}

/// Tells the other region of every item, each after its own lag, in order, until it has it.
async fn replicate(mut waiting: mpsc::Receiver<Item>, peer: SocketAddr, lag: Range<Duration>) {
    let clock = Clock::system();
    while let Some(item) = waiting.recv().await {
        clock.sleep_until(item.acknowledged.plus(random_between(lag.clone()))).await;
        loop {
            let body = serde_json::to_vec(&item).unwrap_or_default();
            let told = wire::request(Method::POST, &peer.to_string(), "/replicate", body.into());
            match wire::send(peer, told, Duration::from_secs(1)).await {
                Ok(answer) if answer.status().is_success() => break,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Store {
    fn locked(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The AWS side: the service is the first label of the host name, as on AWS.
    fn api(&self, request: &Request<Bytes>) -> Answer {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).or_else(|| request.uri().host()).unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        if !self.serves(host) {
            return wire::text(StatusCode::MISDIRECTED_REQUEST, format!("{host} is not a host of this sandbox\n"));
        }
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        match (host.split('.').next().unwrap_or_default(), request.method()) {
            ("dynamodb", &Method::POST) => match (refuse_session(request, Clock::system().now()), target) {
                (Some(refusal), _) => refusal,
                (None, Some(PUT_ITEM)) => self.put(request.body()),
                (None, Some(DESCRIBE_TABLE)) => json_1_0(StatusCode::OK, &json!({"Table": {"TableStatus": "ACTIVE"}})),
                (None, _) => aws_error("UnknownOperationException", "this endpoint knows PutItem and DescribeTable only"),
            },
            ("sts", _) => sts(request, Clock::system().now()),
            // What DynamoDB's endpoints answer to a plain GET; every other service of the sandbox does the same.
            (_, &Method::GET | &Method::HEAD) => wire::text(StatusCode::OK, format!("healthy: {host} ({})\n", self.region)),
            _ => aws_error("UnknownOperationException", "this endpoint is a sandbox's"),
        }
    }

    /// Whether a host name is one of this region's, or a global one and this is where those are homed.
    fn serves(&self, host: &str) -> bool {
        let Some(name) = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".api.aws")) else { return false };
        let global = !name.contains('.') || name.ends_with(".s3");
        name.ends_with(&format!(".{}", self.region)) || (global && self.region == Region::East)
    }

    fn put(&self, body: &[u8]) -> Answer {
        let parsed: Result<PutItem, _> = serde_json::from_slice(body);
        let Ok(PutItem { table_name: table, item }) = parsed else {
            return aws_error("SerializationException", "expected TableName and Item with run (S) and number (N)");
        };
        let (run, number) = (item.run.value, item.number.value.parse());
        let (Ok(number), 1..=128, 1..=64) = (number, run.len(), table.len()) else {
            return aws_error("ValidationException", "number is no unsigned integer, or a name is empty or too long");
        };
        // Room for replication first: an item that is acknowledged must reach the other region.
        let Ok(replica) = self.outbox.try_reserve() else {
            return aws_error("ProvisionedThroughputExceededException", "too many items wait for replication");
        };
        let acknowledged = Clock::system().now();
        let mut tables = self.locked();
        if !tables.tables.entry(table.clone()).or_default().insert(&run, number) {
            return aws_error("ItemCollectionSizeLimitExceededException", "the run has too many items");
        }
        tables.writes_since.get_or_insert(acknowledged);
        replica.send(Item { table, run, number, acknowledged });
        json_1_0(StatusCode::OK, &json!({}))
    }

    /// The table's own side: `GET /<table>?run=…`, replication, metrics.
    fn table(&self, request: &Request<Bytes>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/replicate") => self.replicated(request.body()),
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::GET, path) => {
                let run = wire::parameter(request.uri().query().unwrap_or_default().as_bytes(), "run").unwrap_or_default();
                let tables = self.locked();
                let numbers = tables.tables.get(path.trim_start_matches('/')).and_then(|table| table.runs.get(&run));
                let numbers: Vec<u64> = numbers.into_iter().flatten().copied().collect();
                wire::json(StatusCode::OK, &json!({"region": self.region.name(), "numbers": numbers}))
            }
            _ => wire::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn replicated(&self, body: &[u8]) -> Answer {
        let Ok(item) = serde_json::from_slice::<Item>(body) else {
            return wire::text(StatusCode::BAD_REQUEST, "not an item\n");
        };
        let mut tables = self.locked();
        match tables.writes_since {
            // It was written before this region took over: whoever takes over goes on with what it has.
            Some(since) if self.one_writer && item.acknowledged < since => {
                let Item { number, acknowledged, .. } = item;
                self.truth.note(Happening::OrderLost { region: self.region, number, acknowledged });
                return wire::text(StatusCode::OK, "dropped: older than the writer's turn\n");
            }
            // The other region has taken over.
            Some(_) => tables.writes_since = None,
            None => {}
        }
        tables.lag = Some(Clock::system().now().since(item.acknowledged));
        // A full run cannot happen here before it happens where it was written.
        tables.tables.entry(item.table).or_default().insert(&item.run, item.number);
        wire::text(StatusCode::OK, "ok\n")
    }

    fn metrics(&self) -> Answer {
        let tables = self.locked();
        let items: usize = tables.tables.values().flat_map(|table| table.runs.values()).map(BTreeSet::len).sum();
        let mut lines = format!("orders_items{{region=\"{}\"}} {items}\n", self.region);
        if let Some(lag) = tables.lag {
            let (from, to) = (self.region.other(), self.region);
            lines += &format!("orders_replication_lag_seconds{{from=\"{from}\",to=\"{to}\"}} {}\n", lag.as_secs_f64());
        }
        wire::text(StatusCode::OK, lines)
    }
}

/// STS in the query protocol: `GetCallerIdentity`, which needs no permission, and `AssumeRole`, whose credentials the other endpoints ask for.
fn sts(request: &Request<Bytes>, now: Timestamp) -> Answer {
    let parameter = |name| {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        wire::parameter(query, name).or_else(|| wire::parameter(request.body(), name))
    };
    let result = match parameter("Action").as_deref() {
        Some("GetCallerIdentity") => "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>arn:aws:sts::111122223333:assumed-role/checkout/sandbox</Arn><UserId>AROASANDBOX:sandbox</UserId><Account>111122223333</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
            .to_owned(),
        Some("AssumeRole") if parameter("RoleArn").is_some() && parameter("RoleSessionName").is_some() => {
            // AWS gives an hour when nothing is said, and nothing below 15 minutes; here a session may be short.
            let seconds = parameter("DurationSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(3600);
            assumed_role(now.plus(Duration::from_secs(seconds)))
        }
        _ => {
            let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>InvalidAction</Code>\
                        <Message>this endpoint knows GetCallerIdentity and AssumeRole only</Message></Error></ErrorResponse>";
            return wire::typed(StatusCode::BAD_REQUEST, "text/xml", body.to_owned());
        }
    };
    wire::typed(StatusCode::OK, "text/xml", result)
}

fn assumed_role(expires: Timestamp) -> String {
    let (id, instant) = (ulid::Ulid::generate(), expires.utc().to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser>\
         <Arn>arn:aws:sts::111122223333:assumed-role/checkout/sandbox</Arn><AssumedRoleId>AROASANDBOX:sandbox</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>ASIA{id}</AccessKeyId><SecretAccessKey>sandbox</SecretAccessKey>\
         <SessionToken>{TOKEN}{}/{id}</SessionToken><Expiration>{instant}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
        expires.0
    )
}

/// The error of a request whose credentials are missing, not ours or no longer valid; none when they are fine.
fn refuse_session(request: &Request<Bytes>, now: Timestamp) -> Option<Answer> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(token) = text("x-amz-security-token").filter(|_| text("authorization").is_some_and(|value| value.contains("Credential="))) else {
        return Some(aws_error("MissingAuthenticationTokenException", "Request is missing Authentication Token"));
    };
    let expires = token.strip_prefix(TOKEN).and_then(|rest| rest.split('/').next()?.parse().ok().map(Timestamp));
    match expires {
        None => Some(aws_error("UnrecognizedClientException", "The security token included in the request is invalid.")),
        Some(expires) if expires <= now => Some(aws_error("ExpiredTokenException", "The security token included in the request is expired")),
        Some(_) => None,
    }
}

/// An error document of the JSON 1.0 protocol.
fn aws_error(code: &str, message: &str) -> Answer {
    json_1_0(StatusCode::BAD_REQUEST, &json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message}))
}

fn json_1_0(status: StatusCode, body: &serde_json::Value) -> Answer {
    wire::typed(status, "application/x-amz-json-1.0", body.to_string())
}
