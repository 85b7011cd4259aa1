//! Probes against real servers on loopback: what each answer, silence and redirect is taken for.

// A helper that fails fails its test; clippy's own exception covers only test functions.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use firedrill::clock::Clock;
use firedrill::drill::spec::{EnvironmentSpec, Network, PrometheusRef};
use firedrill::event::{CanarySample, Health};
use firedrill::probe::open::Opener;
use firedrill::probe::params::{AwsAlarmProbe, CanaryProbe, ExpectJson, ExpectTls, HttpProbe, ProbeSpec, PrometheusProbe};
use firedrill::probe::watch::read_once;
use firedrill::probe::{Probe, ProbeSource, Reading};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

mod by_hand;
mod dns;
mod status_page;
mod tcp;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A server on loopback; gone when dropped.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start<F>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, handler, connections) = (listener.local_addr().unwrap(), Arc::new(handler), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let handler = Arc::clone(&handler);
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                open.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, connections, task }
    }

    /// A server that sends the same bytes to everyone and closes.
    async fn raw(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        Self { address, connections: Arc::default(), task }
    }

    /// A server that takes connections and never says a word.
    async fn silent() -> Self {
        Self::start(|_| Box::pin(std::future::pending())).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

fn answer(status: u16, bytes: impl Into<Bytes>) -> Response<Body> {
    Response::builder().status(status).body(body(bytes)).unwrap()
}

fn redirect(status: u16, to: &str) -> Response<Body> {
    Response::builder().status(status).header("location", to).body(body("")).unwrap()
}

fn opener(allow_private: bool, prometheus: &str) -> Opener {
    let prometheus = vec![PrometheusRef { name: "main".to_owned(), url: prometheus.to_owned() }];
    let environment = EnvironmentSpec { network: Some(Network { allow_private, ..Network::default() }), prometheus, ..Default::default() };
    Opener::new(&environment, Clock::system())
}

fn open(allow_private: bool, spec: &ProbeSpec) -> Result<Arc<dyn Probe>, String> {
    opener(allow_private, "http://127.0.0.1:1").open(spec, "run")
}

fn http(probe: HttpProbe) -> ProbeSpec {
    ProbeSpec { http: Some(probe), ..Default::default() }
}

fn get(url: String) -> HttpProbe {
    HttpProbe { url, ..Default::default() }
}

async fn read(probe: &dyn Probe) -> Reading {
    // Long enough that only a silent server meets it.
    read_once(&Clock::system(), probe, Duration::from_secs(20)).await.2
}

async fn read_http(probe: HttpProbe) -> Reading {
    read(&*open(true, &http(probe)).unwrap()).await
}

fn detail(reading: &Reading) -> &str {
    reading.detail.as_deref().unwrap_or_default()
}

/// `BTreeMap` of one header.
fn header(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

#[tokio::test]
async fn http_is_good_only_while_every_condition_holds() {
    let server = Server::start(|request| {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let mut answer = match path.as_str() {
                "/created" => answer(201, "made"),
                "/broken" => answer(503, r#"{"status":{"phase":"ok"}}"#),
                "/echo" => answer(200, format!("{} {}", request.method(), request.headers()["x-probe"].to_str().unwrap())),
                "/binary" => answer(200, &b"\xff\xfe ready \xff"[..]),
                "/large-json" => answer(200, format!("[\"{}\"]", "x".repeat(70_000))),
                _ => answer(200, r#"{"status":{"phase":"ok","ready":3,"a/b":[1,{"m~n":null}]},"note":"all regions serve"}"#),
            };
            answer.headers_mut().append("x-region", "us-west-2".parse().unwrap());
            answer.headers_mut().append("x-region", "standby".parse().unwrap());
            answer
        })
    })
    .await;
    let json = |pointer: &str, equals: Value| Some(ExpectJson { pointer: pointer.to_owned(), equals });
    let ok = || get(server.url("/ok"));
    let at = |path: &str| get(server.url(path));
    let table: Vec<(HttpProbe, &str)> = vec![
        (ok(), ""),
        (at("/created"), ""),
        (at("/broken"), "status 503, expected 2xx"),
        (HttpProbe { expect_status: Some(503), ..at("/broken") }, ""),
        (HttpProbe { expect_status: Some(200), ..at("/created") }, "status 201, expected 200"),
        (HttpProbe { expect_json: json("/status/phase", json!("ok")), ..at("/broken") }, "status 503, expected 2xx"),
        (HttpProbe { expect_header: header("X-Region", "us-west-2"), ..ok() }, ""),
        (HttpProbe { expect_header: header("x-region", "standby"), ..ok() }, ""),
        (HttpProbe { expect_header: header("x-region", "us-east-1"), ..ok() }, "header 'x-region' is 'us-west-2, standby', expected 'us-east-1'"),
        (HttpProbe { expect_header: header("x-other", "1"), ..ok() }, "header 'x-other' is missing"),
        (HttpProbe { expect_body: Some("all .* serve".to_owned()), ..ok() }, ""),
        (HttpProbe { expect_body: Some("^all".to_owned()), ..ok() }, "the body does not match '^all'"),
        (HttpProbe { expect_body: Some("ready".to_owned()), ..at("/binary") }, ""),
        (HttpProbe { expect_body: Some(r#""\]$"#.to_owned()), ..at("/large-json") }, r#"the first 64 KiB of the body do not match '"\]$'"#),
        (HttpProbe { expect_json: json("/status/phase", json!("ok")), ..ok() }, ""),
        (HttpProbe { expect_json: json("/status/phase", json!("down")), ..ok() }, r#"'/status/phase' is "ok", expected "down""#),
        (HttpProbe { expect_json: json("/status/ready", json!(3.0)), ..ok() }, ""),
        (HttpProbe { expect_json: json("/status/ready", json!("3")), ..ok() }, r#"'/status/ready' is 3, expected "3""#),
        (HttpProbe { expect_json: json("/status/a~1b/1/m~0n", json!(null)), ..ok() }, ""),
        (HttpProbe { expect_json: json("/status/a~1b", json!([1.0, {"m~n": null}])), ..ok() }, ""),
        (HttpProbe { expect_json: json("/status/gone", json!(null)), ..ok() }, "the body has nothing at '/status/gone'"),
        (HttpProbe { expect_json: json("/a", json!(1)), ..at("/created") }, "the body is not JSON"),
        (HttpProbe { method: Some("HEAD".to_owned()), expect_status: Some(200), ..ok() }, ""),
        (
            HttpProbe {
                method: Some("POST".to_owned()),
                headers: header("x-probe", "seven"),
                expect_body: Some("^POST seven$".to_owned()),
                ..at("/echo")
            },
            "",
        ),
    ];
    for (probe, expected) in table {
        let reading = read_http(probe.clone()).await;
        let health = if expected.is_empty() { Health::Good } else { Health::Bad };
        assert_eq!((reading.health, detail(&reading)), (health, expected), "{probe:?}");
    }
    let reading = read_http(HttpProbe { expect_json: json("/0", json!("x")), ..at("/large-json") }).await;
    assert_eq!(reading.health, Health::Unknown, "half a JSON text says nothing: {reading:?}");
}

#[tokio::test]
async fn a_service_that_refuses_hangs_or_breaks_off_is_bad_and_says_how() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let cut = Server::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await;
    let closing = Server::raw(b"").await;
    let babble = Server::raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    let no_tls = Server::raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    for (url, said) in [
        (refused, "connection refused"),
        (cut.url("/"), "end of file before message length reached"),
        (closing.url("/"), "connection closed before message completed"),
        (babble.url("/"), "invalid HTTP"),
        (no_tls.url("/").replace("http:", "https:"), "corrupt message"),
    ] {
        let reading = read_http(get(url.clone())).await;
        assert_eq!(reading.health, Health::Bad, "{url}: {reading:?}");
        assert!(detail(&reading).to_lowercase().contains(&said.to_lowercase()), "{url}: {reading:?}");
    }
    let silent = Server::silent().await;
    let probe = open(true, &http(get(silent.url("/")))).unwrap();
    let (_, _, reading) = read_once(&Clock::system(), &*probe, Duration::from_millis(50)).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "no answer in time"));
}

#[tokio::test]
async fn an_endless_body_is_read_no_further_than_its_limit() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let server = Server::start(move |_| {
        let counter = Arc::clone(&counter);
        Box::pin(async move {
            let chunks = futures::stream::repeat_with(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 4096])))
            });
            Response::new(StreamBody::new(chunks).boxed_unsync())
        })
    })
    .await;
    let reading = read_http(HttpProbe { expect_body: Some("^x+$".to_owned()), ..get(server.url("/")) }).await;
    assert_eq!(reading, Reading::good());
    assert!(sent.load(Ordering::SeqCst) > 16, "the server had more to send");
}

#[tokio::test]
async fn every_reading_makes_a_connection_of_its_own() {
    let server = Server::start(|_| Box::pin(async { answer(200, "ok") })).await;
    let probe = open(true, &http(get(server.url("/")))).unwrap();
    for _ in 0..5 {
        assert_eq!(read(&*probe).await, Reading::good());
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 5, "a kept connection would hide that new ones fail");
}

#[tokio::test]
async fn redirects_are_followed_within_bounds_and_never_to_a_metadata_address() {
    let server = Server::start(|request| {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            match path.strip_prefix("/hops/").map(|left| left.parse::<u32>().unwrap()) {
                Some(0) => answer(200, "arrived"),
                Some(left) => redirect([301, 302, 303, 307, 308][left as usize % 5], &format!("{}", left - 1)),
                None => redirect(302, request.uri().query().unwrap_or("/")),
            }
        })
    })
    .await;
    let to = |target: &str| get(server.url(&format!("/to?{target}")));

    assert_eq!(read_http(HttpProbe { expect_body: Some("arrived".to_owned()), ..get(server.url("/hops/5")) }).await, Reading::good());
    let reading = read_http(get(server.url("/hops/6"))).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "more than 5 redirects"));

    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "//0xa9fea9fe/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
    ] {
        let reading = read_http(to(target)).await;
        assert_eq!(reading.health, Health::Unknown, "{target}: {reading:?}");
        assert!(detail(&reading).starts_with("blocked address (link-local/metadata): "), "{target}: {reading:?}");
    }
    for (target, said) in
        [("file:///etc/passwd", "blocked scheme 'file'"), ("http://a:b@127.0.0.1/", "user information"), ("http://0/", "unspecified")]
    {
        let reading = read_http(to(target)).await;
        assert_eq!(reading.health, Health::Unknown, "{target}: {reading:?}");
        assert!(detail(&reading).contains(said), "{target}: {reading:?}");
    }

    // Who expects the redirect sees it; a POST does not quietly become a GET.
    assert_eq!(read_http(HttpProbe { expect_status: Some(302), ..to("http://169.254.169.254/") }).await, Reading::good());
    let reading = read_http(HttpProbe { method: Some("POST".to_owned()), ..to("/hops/0") }).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "status 302, expected 2xx"));
}

#[tokio::test]
async fn request_headers_do_not_follow_a_redirect_to_another_origin() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let other = Server::start(move |request| {
        log.lock().unwrap().push(request.headers().contains_key("x-api-key"));
        Box::pin(async { answer(200, "") })
    })
    .await;
    let target = other.url("/");
    let server = Server::start(move |request| {
        let answer = match request.uri().path() {
            "/" => redirect(302, "/again"),
            _ if request.headers().contains_key("x-api-key") => redirect(302, &target),
            _ => answer(500, "the key was lost within one origin"),
        };
        Box::pin(async { answer })
    })
    .await;
    let reading = read_http(HttpProbe { headers: header("x-api-key", "0123"), ..get(server.url("/")) }).await;
    assert_eq!(reading, Reading::good());
    assert_eq!(*seen.lock().unwrap(), [false]);
}

#[tokio::test]
async fn forbidden_and_broken_probes_do_not_open_and_say_why() {
    let blocked = "blocked address (link-local/metadata): ";
    let private = "`network: {allowPrivate: true}` in the environment allows it";
    let big = "(a{1,500}){1,500}";
    let base = || get("https://checkout.example.com/".to_owned());
    let table: Vec<(bool, ProbeSpec, &str)> = vec![
        (true, http(get("http://169.254.169.254/".to_owned())), blocked),
        (true, http(get("http://0251.0376.0251.0376/".to_owned())), blocked),
        (false, http(get("http://127.0.0.1/".to_owned())), private),
        (false, http(get("http://localhost:8080/".to_owned())), private),
        (false, http(get("http://[::1]/".to_owned())), private),
        (true, http(get("file:///etc/passwd".to_owned())), "use http or https"),
        (true, http(get("https://user:pw@example.com/".to_owned())), "user information"),
        (true, http(get("checkout/healthz".to_owned())), "invalid URL"),
        (true, http(HttpProbe { method: Some("DELETE".to_owned()), ..base() }), "unknown method 'DELETE'; use GET, HEAD or POST"),
        (true, http(HttpProbe { method: Some("HEAD".to_owned()), expect_body: Some("x".to_owned()), ..base() }), "no body to match"),
        (true, http(HttpProbe { expect_status: Some(700), ..base() }), "expectStatus 700"),
        (true, http(HttpProbe { expect_body: Some("(unclosed".to_owned()), ..base() }), "unclosed group"),
        (true, http(HttpProbe { expect_body: Some(big.to_owned()), ..base() }), "too large"),
        (true, http(HttpProbe { expect_body: Some("x".repeat(5000)), ..base() }), "5000 bytes; limit 4096"),
        (
            true,
            http(HttpProbe { expect_json: Some(ExpectJson { pointer: "status".to_owned(), equals: json!(1) }), ..base() }),
            "write it like '/status/phase'",
        ),
        (true, http(HttpProbe { expect_json: Some(ExpectJson { pointer: "/a~b".to_owned(), equals: json!(1) }), ..base() }), "write '~' as '~0'"),
        (true, http(HttpProbe { headers: header("Transfer-Encoding", "chunked"), ..base() }), "firedrill sets it"),
        (true, http(HttpProbe { headers: header("x y", "1"), ..base() }), "not a header name"),
        (true, http(HttpProbe { headers: header("x-key", "secret\nvalue"), ..base() }), "the value of header 'x-key'"),
        (true, http(HttpProbe { expect_tls: Some(ExpectTls::default()), ..base() }), "expectTls is not built yet"),
        (
            true,
            ProbeSpec { aws_alarm: Some(AwsAlarmProbe::default()), ..Default::default() },
            "probe 'awsAlarm': account '' is not in the environment",
        ),
        (true, prometheus("up", None, "other"), "no prometheus source 'other'; it has main"),
        (true, prometheus(" ", None, "main"), "'query' is empty"),
        (false, prometheus("up", None, "main"), private),
        (true, canary("http://169.254.170.2/", "http://127.0.0.1/"), "write: blocked address"),
        (true, canary("http://127.0.0.1/", "http://169.254.170.2/"), "read: blocked address"),
        (true, ProbeSpec::default(), "a probe is exactly one of http"),
    ];
    for (allow_private, spec, said) in table {
        let error = open(allow_private, &spec).err().unwrap_or_else(|| panic!("opened: {spec:?}"));
        assert!(error.contains(said), "{error} does not say '{said}'");
        assert!(!error.contains("secret") && !error.contains("pw"), "{error}");
    }
}

/// Run by the test below in a process whose environment names a proxy.
#[tokio::test]
#[ignore = "a part of another test"]
async fn reads_its_own_server_directly() {
    let server = Server::start(|_| Box::pin(async { answer(200, "direct") })).await;
    let reading = read_http(HttpProbe { expect_body: Some("direct".to_owned()), ..get(server.url("/")) }).await;
    assert_eq!(reading, Reading::good());
}

#[tokio::test]
async fn proxies_of_the_process_environment_are_ignored() {
    let proxy = Server::start(|_| Box::pin(async { answer(502, "through the proxy") })).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--ignored", "reads_its_own_server_directly"]).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy.url("/"));
    }
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 0);
}

/// Run by the test below in a process of its own, whose limit it spends.
#[tokio::test]
#[ignore = "a part of another test"]
async fn reads_without_a_file_descriptor_left() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let server = Server::start(|_| Box::pin(async { answer(200, "") })).await;
    let probe = open(true, &http(get(server.url("/")))).unwrap();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(0);
    setrlimit(Resource::Nofile, limit).unwrap();
    let reading = read(&*probe).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Unknown, "this machine cannot open a connection: too many open files"));
}

#[test]
fn running_out_of_file_descriptors_is_our_failure_not_the_services() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", "--ignored", "reads_without_a_file_descriptor_left"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn prometheus(query: &str, alive: Option<&str>, source: &str) -> ProbeSpec {
    let probe = PrometheusProbe { source: source.to_owned(), query: query.to_owned(), alive: alive.map(str::to_owned) };
    ProbeSpec { prometheus: Some(probe), ..Default::default() }
}

fn query_of(request: &Request<Incoming>) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// Answers each query by its name, as Prometheus would.
fn prometheus_answer(query: &str) -> Response<Body> {
    let sample = |value: &str| json!({"metric": {"job": "edge"}, "value": [1764000000.5, value]});
    let success = |kind: &str, result: Value| json!({"status": "success", "data": {"resultType": kind, "result": result}});
    let json = match query {
        "some" => success("vector", json!([sample("1")])),
        "zero" => success("vector", json!([sample("0")])),
        "none" => success("vector", json!([])),
        "warned" => {
            json!({"status": "success", "warnings": ["store east\u{1b}[2J timed out"], "data": {"resultType": "vector", "result": []}})
        }
        "scalar" => success("scalar", json!([1764000000.5, "1"])),
        "matrix" => success("matrix", json!([{"metric": {}, "values": []}])),
        "no-data" => json!({"status": "success"}),
        "odd-status" => json!({"status": "partial", "data": {"resultType": "vector", "result": [sample("1")]}}),
        "error-200" => json!({"status": "error", "errorType": "timeout", "error": "query timed out"}),
        "syntax" => return answer(400, json!({"status": "error", "errorType": "bad_data", "error": "parse error"}).to_string()),
        "denied" => return answer(401, "Unauthorized"),
        "down" => return answer(503, "<html>no healthy upstream</html>"),
        "empty-204" => return answer(204, ""),
        "login" => return answer(200, "<html>please sign in</html>"),
        "huge" => return answer(200, format!(r#"{{"status":"success","pad":"{}"}}"#, "x".repeat(5 << 20))),
        other => panic!("unexpected query {other}"),
    };
    answer(200, json.to_string())
}

#[tokio::test]
async fn prometheus_is_true_false_or_unknown_exactly_as_the_truth_table_says() {
    use Health::{Bad, Good, Unknown};
    let server = Server::start(|request| {
        let parameters = query_of(&request);
        let expected = request.method() == Method::GET && request.uri().path() == "/tenant/api/v1/query" && parameters["org"] == "7";
        let answer = if expected { prometheus_answer(&parameters["query"]) } else { answer(404, format!("{request:?}")) };
        Box::pin(async { answer })
    })
    .await;
    let opener = opener(true, &server.url("/tenant/?org=7"));
    let table = [
        ("some", None, Good, ""),
        ("none", None, Bad, "the query gave no samples"),
        ("zero", None, Good, ""),
        ("some", Some("some"), Good, ""),
        ("none", Some("some"), Bad, "the query gave no samples"),
        ("none", Some("zero"), Bad, "the query gave no samples"),
        ("none", Some("none"), Unknown, "the alive query gave no samples"),
        ("some", Some("none"), Unknown, "the alive query gave no samples"),
        ("none", Some("denied"), Unknown, "alive: status 401 Unauthorized"),
        ("some", Some("down"), Unknown, "alive: status 503"),
        ("denied", Some("some"), Unknown, "query: status 401 Unauthorized"),
        ("denied", None, Unknown, "query: status 401 Unauthorized"),
        ("down", None, Unknown, "query: status 503"),
        ("empty-204", None, Unknown, "query: status 204"),
        ("syntax", None, Unknown, "query: status 400: bad_data: parse error"),
        ("error-200", None, Unknown, "query: status 200: timeout: query timed out"),
        ("odd-status", None, Unknown, "query: status 'partial'"),
        ("login", None, Unknown, "query: not an answer of prometheus"),
        ("no-data", None, Unknown, "query: the answer has no data"),
        ("scalar", None, Unknown, "query: the result is a scalar, not a vector"),
        ("matrix", None, Unknown, "query: the result is a matrix, not a vector"),
        ("huge", None, Unknown, "query: the answer is longer than 4 MiB"),
        ("warned", None, Bad, "the query gave no samples; warning: store east [2J timed out"),
        ("some", Some("warned"), Unknown, "the alive query gave no samples; warning: "),
    ];
    for (query, alive, health, said) in table {
        let probe = opener.open(&prometheus(query, alive, "main"), "run").unwrap();
        let reading = read(&*probe).await;
        assert_eq!(reading.health, health, "{query} {alive:?}: {reading:?}");
        assert!(detail(&reading).starts_with(said) && detail(&reading).is_empty() == said.is_empty(), "{query} {alive:?}: {reading:?}");
    }
}

#[tokio::test]
async fn a_prometheus_that_cannot_be_reached_is_unknown_never_bad() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let garbage = Server::raw(b"\r\n\r\n\r\n").await;
    for url in [refused, garbage.url("/")] {
        let probe = opener(true, &url).open(&prometheus("up", Some("up"), "main"), "run").unwrap();
        let reading = read(&*probe).await;
        assert_eq!(reading.health, Health::Unknown, "{url}: {reading:?}");
    }
    let silent = Server::silent().await;
    let probe = opener(true, &silent.url("/")).open(&prometheus("up", None, "main"), "run").unwrap();
    let (_, _, reading) = read_once(&Clock::system(), &*probe, Duration::from_millis(50)).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Unknown, "prometheus did not answer in time"));
}

fn canary(write: &str, read: &str) -> ProbeSpec {
    ProbeSpec { canary: Some(CanaryProbe { write: write.to_owned(), read: read.to_owned() }), ..Default::default() }
}

/// An order store of two sides: writes reach the reading side only when the test says so.
#[derive(Default)]
struct Store {
    /// Per series, in the order of their acknowledgement.
    written: Mutex<BTreeMap<String, Vec<u64>>>,
    /// Per series, what the reading side has.
    replica: Mutex<BTreeMap<String, Vec<u64>>>,
    refuse_writes: AtomicBool,
    hang_writes: AtomicBool,
    refuse_reads: AtomicBool,
    hang_reads: AtomicBool,
    /// Reads are answered, as of before it, only after the next write was acknowledged.
    late_reads: AtomicBool,
    acknowledging: tokio::sync::Notify,
    /// Every n-th write is acknowledged and lost; 0 for none.
    lose_every: AtomicU64,
}

impl Store {
    /// The replica has caught up.
    fn replicate(&self) {
        let lose = self.lose_every.load(Ordering::SeqCst);
        let written = self.written.lock().unwrap();
        let kept = |numbers: &Vec<u64>| numbers.iter().copied().filter(|number| lose == 0 || number % lose != 0).collect();
        *self.replica.lock().unwrap() = written.iter().map(|(run, numbers)| (run.clone(), kept(numbers))).collect();
    }

    async fn serve(store: Arc<Self>) -> Server {
        Server::start(move |request| Box::pin(Arc::clone(&store).answer(request))).await
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if request.method() == Method::GET {
            if self.hang_reads.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.refuse_reads.load(Ordering::SeqCst) {
                return answer(503, "");
            }
            let numbers = self.replica.lock().unwrap().get(&query_of(&request)["run"]).cloned().unwrap_or_default();
            if self.late_reads.load(Ordering::SeqCst) {
                self.acknowledging.notified().await;
                // The acknowledgement is on its way; give it a head start.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return answer(200, json!({"numbers": numbers}).to_string());
        }
        if self.hang_writes.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.refuse_writes.load(Ordering::SeqCst) {
            return answer(503, "");
        }
        assert_eq!(request.headers()["content-type"], "application/json");
        let body: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let (run, number) = (body["run"].as_str().unwrap().to_owned(), body["number"].as_u64().unwrap());
        self.written.lock().unwrap().entry(run).or_default().push(number);
        if self.late_reads.load(Ordering::SeqCst) {
            self.acknowledging.notify_one();
        }
        answer(201, "")
    }
}

fn missing(sample: &CanarySample) -> Option<Vec<u64>> {
    sample.missing.as_ref().map(|missing| missing.iter().map(|write| write.number).collect())
}

#[tokio::test]
async fn a_canary_names_every_acknowledged_write_that_the_survivor_lacks_oldest_first() {
    let store = Arc::new(Store::default());
    let server = Store::serve(Arc::clone(&store)).await;
    let probe = open(true, &canary(&server.url("/write"), &server.url("/read"))).unwrap();
    let tick = async || {
        let reading = read(&*probe).await;
        let sample = reading.canary.clone().unwrap();
        (reading, sample.acknowledged, missing(&sample))
    };
    // In step: nothing is missing, from the first reading on.
    for number in 1..=5 {
        let (reading, acknowledged, missing) = tick().await;
        assert_eq!((reading.health, reading.detail, acknowledged, missing), (Health::Good, None, Some(number), Some(vec![])));
        store.replicate();
    }
    // A read that was sent before a write was acknowledged proves nothing about it.
    store.late_reads.store(true, Ordering::SeqCst);
    assert_eq!(
        tick().await,
        (Reading { canary: Some(CanarySample { acknowledged: Some(6), missing: Some(vec![]) }), ..Reading::good() }, Some(6), Some(vec![]))
    );
    store.late_reads.store(false, Ordering::SeqCst);
    store.replicate();
    // The replica falls behind: what was acknowledged before the reading is missing, this tick's own write is not expected yet.
    assert_eq!(tick().await.2, Some(vec![]));
    assert_eq!(tick().await.2, Some(vec![7]));
    let (reading, _, missing_now) = tick().await;
    assert_eq!((reading.health, missing_now), (Health::Good, Some(vec![7, 8])));
    assert!(detail(&reading).starts_with("read: 2 acknowledged writes not readable, the oldest from "), "{reading:?}");
    // It catches up, all but every fourth write; those seen before and gone again are missing too.
    store.lose_every.store(4, Ordering::SeqCst);
    store.replicate();
    assert_eq!(tick().await.2, Some(vec![4, 8]));
    // A write that is refused is bad, never acknowledged, and never missed.
    store.refuse_writes.store(true, Ordering::SeqCst);
    let (reading, acknowledged, _) = tick().await;
    assert_eq!((reading.health, acknowledged), (Health::Bad, None));
    assert!(detail(&reading).starts_with("write: status 503"), "{reading:?}");
    store.refuse_writes.store(false, Ordering::SeqCst);
    store.lose_every.store(0, Ordering::SeqCst);
    store.replicate();
    assert_eq!((tick().await.1, tick().await.1), (Some(12), Some(13)));
    store.replicate();
    assert_eq!(tick().await.2, Some(vec![]), "11 was refused, and is not expected");
    // A survivor that cannot be read is bad, and nothing is known of what it lacks.
    store.refuse_reads.store(true, Ordering::SeqCst);
    let (reading, acknowledged, missing) = tick().await;
    assert_eq!((reading.health, acknowledged, missing), (Health::Bad, Some(15), None));
    assert_eq!(detail(&reading), "read: status 503");
}

#[tokio::test]
async fn when_one_side_of_a_canary_hangs_what_the_other_said_is_kept() {
    let store = Arc::new(Store::default());
    let server = Store::serve(Arc::clone(&store)).await;
    let probe = open(true, &canary(&server.url("/write"), &server.url("/read"))).unwrap();
    assert_eq!(read(&*probe).await.health, Health::Good);

    let hung = async |missing_known: bool| {
        // The living side answers within the first of these, or, on a slow machine, a later one.
        for _ in 0..40 {
            let (_, _, reading) = read_once(&Clock::system(), &*probe, Duration::from_millis(250)).await;
            let sample = reading.canary.clone().unwrap();
            assert_eq!(reading.health, Health::Bad);
            if sample.missing.is_some() == missing_known && sample.acknowledged.is_some() != missing_known {
                return (reading, sample);
            }
        }
        panic!("the living side was never heard");
    };
    store.hang_writes.store(true, Ordering::SeqCst);
    let (reading, sample) = hung(true).await;
    assert_eq!(detail(&reading), "write: not acknowledged in time");
    assert_eq!(missing(&sample), Some(vec![1]));

    store.hang_writes.store(false, Ordering::SeqCst);
    store.hang_reads.store(true, Ordering::SeqCst);
    let (reading, sample) = hung(false).await;
    assert_eq!(detail(&reading), "read: no answer in time");
    store.hang_reads.store(false, Ordering::SeqCst);
    let after = read(&*probe).await.canary.unwrap();
    assert!(missing(&after).unwrap().contains(&sample.acknowledged.unwrap()), "acknowledged in a reading that was cut off: {after:?}");
}

#[tokio::test]
async fn two_canaries_of_one_run_do_not_hide_each_others_losses() {
    let store = Arc::new(Store::default());
    let server = Store::serve(Arc::clone(&store)).await;
    let opener = opener(true, "http://127.0.0.1:1");
    let spec = canary(&server.url("/write"), &server.url("/read"));
    let (one, two) = (opener.open(&spec, "01J").unwrap(), opener.open(&spec, "01J").unwrap());
    read(&*one).await;
    store.replicate();
    read(&*two).await;
    // Both have written their number 1; only that of `one` has arrived.
    assert_eq!(missing(&read(&*one).await.canary.unwrap()), Some(vec![]));
    assert_eq!(missing(&read(&*two).await.canary.unwrap()), Some(vec![1]));
}

#[tokio::test]
async fn a_write_that_is_redirected_to_a_page_is_not_acknowledged() {
    let server = Server::start(|request| {
        let answer = match (request.method(), request.uri().path()) {
            (&Method::POST, "/write") => redirect(302, "/sign-in"),
            (_, "/sign-in") => answer(200, "please sign in"),
            _ => answer(200, r#"{"numbers": []}"#),
        };
        Box::pin(async { answer })
    })
    .await;
    let reading = read(&*open(true, &canary(&server.url("/write"), &server.url("/read"))).unwrap()).await;
    assert_eq!((reading.health, reading.canary.unwrap().acknowledged), (Health::Bad, None));
}
