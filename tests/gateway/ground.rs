//! What the tests stand on: a gateway, upstreams behind it, clients in front of it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use firedrill::clock::{Clock, Timestamp};
use firedrill::gateway::client::Client;
use firedrill::gateway::resolve::Resolve;
use firedrill::gateway::server::{Config, Gateway};
use firedrill::gateway::{Effect, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest that any event is waited for.
pub const BOUND: Duration = Duration::from_secs(20);
/// A host of the region that fails.
pub const EAST: &str = "dynamodb.us-east-1.amazonaws.com";
/// A host of the region that survives.
pub const WEST: &str = "dynamodb.us-west-2.amazonaws.com";

/// A gateway with its socket in a directory of its own; every AWS host leads to one upstream.
pub struct Ground {
    pub gateway: Gateway,
    pub client: Client,
    pub directory: tempfile::TempDir,
}

impl Ground {
    /// A gateway in front of `upstream`.
    pub fn new(upstream: SocketAddr) -> Self {
        Self::with(upstream, None)
    }

    /// A gateway in front of `upstream` that passes requests to itself on to `endpoint`.
    pub fn with(upstream: SocketAddr, endpoint: Option<SocketAddr>) -> Self {
        let endpoint = endpoint.map(|endpoint| format!("http://{endpoint}").parse().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let resolve = vec![Resolve::new("*.amazonaws.com", upstream), Resolve::new("plain.example.com", upstream)];
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), socket: Some(directory.path().join("gateway.sock")), resolve, endpoint };
        let gateway = Gateway::start(config).unwrap();
        let client = Client::new(gateway.socket().unwrap());
        Self { gateway, client, directory }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.gateway.address()).await.unwrap()
    }

    /// A client connection that asked for a tunnel and was not answered yet.
    pub async fn ask(&self, host: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    /// An open tunnel.
    pub async fn tunnel(&self, host: &str) -> TcpStream {
        let mut stream = self.ask(host).await;
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream
    }

    /// Puts a rule in force.
    pub async fn put(&self, rule: Rule) {
        assert!(self.client.put(&rule).await.unwrap());
    }

    /// How many connections and requests a rule has acted on.
    pub async fn hit_count(&self, id: &str) -> u64 {
        self.client.list().await.unwrap().iter().find(|status| status.rule.id == id).expect("the rule is in force").hits
    }

    /// Runs curl through the gateway: exit code and body.
    pub async fn curl(&self, arguments: &[&str]) -> (i32, String) {
        let proxy = format!("http://{}", self.gateway.address());
        let mut command = tokio::process::Command::new("curl");
        command.args(["-sS", "--noproxy", "", "-x", &proxy, "--max-time", "15"]).args(arguments).kill_on_drop(true);
        let output = within(command.output()).await.expect("curl is installed");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until a rule has acted on so many connections.
    pub async fn hits(&self, id: &str, count: u64) {
        eventually(&format!("{count} hits of {id}"), async || {
            self.client.list().await.unwrap().iter().any(|status| status.rule.id == id && status.hits >= count)
        })
        .await;
    }

    /// Waits until so many client connections are open.
    pub async fn connections(&self, count: usize) {
        eventually(&format!("{count} connections"), async || self.client.status().await.unwrap().connections == count).await;
    }
}

/// A rule about DynamoDB in us-east-1 that is over in a minute.
pub fn rule(id: &str, effect: Effect) -> Rule {
    Rule {
        id: id.to_owned(),
        run: "run".to_owned(),
        step: "dark".to_owned(),
        effect,
        services: vec!["dynamodb".to_owned()],
        region: "us-east-1".to_owned(),
        cut_existing: false,
        deadline: soon(60_000),
    }
}

/// A plain GET through the proxy.
pub fn get(host: &str) -> String {
    format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Sends a request on a kept connection and reads its answer.
pub async fn exchange(stream: &mut TcpStream, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_response(stream).await
}

/// An instant so many milliseconds from now.
pub fn soon(millis: u64) -> Timestamp {
    Clock::system().now().plus(Duration::from_millis(millis))
}

/// The result of a future that must be there within [`BOUND`].
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.expect("did not happen in time")
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + BOUND;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads a response head, and nothing behind it.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match within(stream.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8(head).unwrap()
}

/// Reads a response with a Content-Length: head and body.
pub async fn read_response(stream: &mut TcpStream) -> (String, String) {
    let head = read_head(stream).await;
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    within(stream.read_exact(&mut body)).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// What the other side did after everything that is still to be read.
pub async fn ending(stream: &mut TcpStream) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.map(|_| rest).map_err(|error| error.kind())
}

/// An upstream: `serve` gets every connection.
pub async fn upstream<Served: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> Served + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (address, task)
}

/// An upstream that sends everything back, and ends when its client has ended.
pub async fn echo() -> SocketAddr {
    let serve = async |mut stream: TcpStream| {
        let (mut reading, mut writing) = stream.split();
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
        let _ = writing.shutdown().await;
    };
    upstream(serve).await.0
}

/// An HTTP upstream that answers every request with what it got: head, a line with the body's length, body. Closes after a request that says so.
pub async fn mirror() -> SocketAddr {
    let serve = async |mut stream: TcpStream| {
        while let Some((head, body)) = read_request(&mut stream).await {
            let answer = format!("{head}{}|{body}", body.len());
            let response =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: X-Gone\r\nX-Gone: 1\r\nX-Stays: 1\r\n\r\n{answer}", answer.len());
            if stream.write_all(response.as_bytes()).await.is_err() {
                return;
            }
            if head.contains("/last") {
                return;
            }
        }
    };
    upstream(serve).await.0
}

/// Reads one request with a Content-Length or a chunked body.
pub async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let lower = head.to_ascii_lowercase();
    if lower.contains("\r\nexpect: 100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let mut body = Vec::new();
    if lower.contains("\r\ntransfer-encoding: chunked") {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await.ok()?);
            }
            let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(rest) = lower.split("\r\ncontent-length: ").nth(1) {
        body = vec![0; rest.split("\r\n").next()?.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
    }
    Some((head, String::from_utf8(body).ok()?))
}
