//! The sandbox as its users meet it: over real sockets, with a client that is not firedrill's.

#![allow(clippy::unwrap_used)]

mod edge_shift;
mod variants;

use std::path::Path;
use std::time::Duration;

use firedrill::clock::{Clock, Timestamp};
use firedrill::drill::spec::{Drill, Environment};
use firedrill::gateway::client::Client;
use firedrill::gateway::{Effect, Rule};
use firedrill::sandbox::truth::{self, Happening, Moment};
use firedrill::sandbox::{Region, Sandbox, Variant, sample_environment};
use serde_json::{Value, json};

/// Longest that anything here is waited for; far longer than it takes.
const LIMIT: Duration = Duration::from_secs(30);

struct World {
    sandbox: Sandbox,
    client: reqwest::Client,
    dir: tempfile::TempDir,
}

impl World {
    async fn start(variant: Variant) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(variant, dir.path()).await.unwrap();
        Self { sandbox, client: client(), dir }
    }

    fn endpoint(&self, name: &str) -> &str {
        &self.sandbox.environment().spec.endpoints[name]
    }

    /// Status and region of one request of a user, with the instants around it.
    async fn visit(&self) -> (u16, String, Timestamp, Timestamp) {
        let sent = now();
        let answer = self.client.get(format!("{}/healthz", self.endpoint("checkout"))).send().await.unwrap();
        let region = answer.headers()["x-served-by"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), region, sent, now())
    }

    async fn order(&self, number: u64) -> u16 {
        let order = json!({"number": number, "run": "r1"}).to_string();
        self.client.post(format!("{}/canary", self.endpoint("orders"))).body(order).send().await.unwrap().status().as_u16()
    }

    async fn orders_in_the_west(&self) -> Vec<u64> {
        let body = text(self.client.get(format!("{}/canary?run=r1", self.endpoint("ordersWest")))).await.1;
        serde_json::from_value(serde_json::from_str::<Value>(&body).unwrap()["numbers"].take()).unwrap()
    }

    fn query_url(&self) -> String {
        format!("{}/api/v1/query", self.sandbox.environment().spec.prometheus[0].url)
    }

    async fn query(&self, query: &str) -> (u16, Value) {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (status, body) = text(self.client.get(format!("{}?query={query}", self.query_url()))).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Values of the vector that a query answers.
    async fn vector(&self, query: &str) -> Vec<f64> {
        let (status, body) = self.query(query).await;
        assert_eq!((status, &body["status"], &body["data"]["resultType"]), (200, &json!("success"), &json!("vector")), "{body}");
        body["data"]["result"].as_array().unwrap().iter().map(|sample| sample["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    fn truth(&self) -> Vec<Moment> {
        truth::read(self.sandbox.truth_path()).unwrap()
    }

    /// Waits until the sandbox itself has recorded `what`.
    async fn happened(&self, what: Happening) -> Timestamp {
        eventually(&format!("{what:?}"), async || self.truth().iter().find(|moment| moment.what == what).map(|moment| moment.at)).await
    }

    fn steering(&self) -> Client {
        Client::new(self.sandbox.environment().spec.gateways[0].connection.socket.clone().unwrap())
    }

    async fn darken(&self, region: &str) {
        let rule = Rule {
            id: format!("r1-dark-{region}"),
            run: "r1".to_owned(),
            step: "dark".to_owned(),
            effect: Effect::Blackhole,
            services: vec!["*".to_owned()],
            region: region.to_owned(),
            cut_existing: false,
            deadline: now().plus(Duration::from_secs(600)),
        };
        assert!(self.steering().put(&rule).await.unwrap());
    }

    async fn lighten(&self, region: &str) {
        assert!(self.steering().remove(&format!("r1-dark-{region}"), None, None).await.unwrap());
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap()
}

async fn text(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn now() -> Timestamp {
    Clock::system().now()
}

async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(|_| panic!("waited {LIMIT:?} in vain for {what}"))
}

const EAST: Region = Region::East;
const WEST: Region = Region::West;
const FIRING: &str = r#"ALERTS{alertname="RegionDown",alertstate="firing"}"#;

#[tokio::test]
async fn with_nothing_failing_users_are_served_from_home_and_orders_reach_the_other_region_late() {
    let world = World::start(Variant::Default).await;
    for number in 1..=20 {
        assert_eq!(world.order(number).await, 201);
        let (status, region, ..) = world.visit().await;
        assert_eq!((status, region.as_str()), (200, "us-east-1"));
    }
    eventually("20 orders in the west", async || (world.orders_in_the_west().await == (1..=20).collect::<Vec<_>>()).then_some(())).await;
    let lag = eventually("a measured lag", async || world.vector(r#"orders_replication_lag_seconds{to="us-west-2"}"#).await.pop()).await;
    assert!(lag >= 0.02, "{lag}");

    assert_eq!(world.vector(FIRING).await, [0.0; 0]);
    assert_eq!(world.vector("region_healthy").await, [1.0, 1.0]);
    assert_eq!(world.truth().iter().map(|moment| moment.what).collect::<Vec<_>>(), [Happening::Started]);
    world.sandbox.stop().await;
}

#[tokio::test]
async fn a_blackhole_of_the_home_region_moves_users_and_pages_and_its_removal_brings_them_home() {
    let world = World::start(Variant::Default).await;
    assert_eq!(world.order(1).await, 201);
    world.darken("us-east-1").await;

    let (mut unserved, mut last_at_home) = (0, Timestamp::default());
    let moving = eventually("a user served from the west", async || {
        let (status, region, sent, answered) = world.visit().await;
        if region == "us-west-2" {
            assert_eq!(status, 200);
            return Some(answered);
        }
        unserved += u32::from(status != 200);
        last_at_home = sent;
        None
    });
    let first_away = moving.await;
    assert!(unserved > 0, "users saw the outage");
    let moved = world.happened(Happening::Failover { from: EAST, to: WEST }).await;
    assert!(last_at_home <= moved && moved <= first_away, "last at home {last_at_home}, first away {first_away}, the record says {moved}");
    assert!(world.happened(Happening::RegionUnhealthy { region: EAST }).await <= moved);

    assert_eq!(world.order(2).await, 201);
    assert_eq!(world.orders_in_the_west().await, [1, 2]);

    let fires = world.happened(Happening::AlertFiring { region: EAST }).await;
    assert_eq!(world.vector(FIRING).await, [1.0]);
    assert!(fires.since(world.happened(Happening::AlertPending { region: EAST }).await) >= Duration::from_millis(900));

    world.lighten("us-east-1").await;
    eventually("users at home", async || (world.visit().await.1 == "us-east-1").then_some(())).await;
    assert_eq!(world.visit().await.0, 200);
    let back = world.happened(Happening::FailBack { from: WEST, to: EAST }).await;
    assert!(back.since(world.happened(Happening::RegionHealthy { region: EAST }).await) >= Duration::from_millis(1900));
    world.happened(Happening::AlertResolved { region: EAST }).await;
    assert_eq!(world.vector(FIRING).await, [0.0; 0]);
    world.sandbox.stop().await;
}

#[tokio::test]
async fn without_failover_users_stay_in_the_dark_region_and_the_page_still_fires() {
    let world = World::start(Variant::NoFailover).await;
    world.darken("us-east-1").await;
    world.happened(Happening::AlertFiring { region: EAST }).await;
    let unhealthy = world.happened(Happening::RegionUnhealthy { region: EAST }).await;
    // For longer than the default variant ever takes.
    while now().since(unhealthy) < Duration::from_secs(4) {
        let (status, region, ..) = world.visit().await;
        assert_eq!((status, region.as_str()), (503, "us-east-1"));
    }
    assert_eq!(world.vector(FIRING).await, [1.0]);
    world.lighten("us-east-1").await;
    eventually("users served again", async || (world.visit().await.0 == 200).then_some(())).await;
    world.sandbox.stop().await;
}

#[tokio::test]
async fn the_other_region_going_dark_pages_and_moves_nobody() {
    let world = World::start(Variant::Default).await;
    world.darken("us-west-2").await;
    world.happened(Happening::AlertFiring { region: WEST }).await;
    let (status, region, ..) = world.visit().await;
    assert_eq!((status, region.as_str()), (200, "us-east-1"));
    assert_eq!(world.vector(r#"ALERTS{region="us-east-1"}"#).await, [0.0; 0]);
    assert!(!world.truth().iter().any(|moment| matches!(moment.what, Happening::Failover { .. })));
    world.sandbox.stop().await;
}

#[tokio::test]
async fn the_gateway_reaches_each_regions_endpoints_and_no_others() {
    let world = World::start(Variant::Default).await;
    let proxy = reqwest::Proxy::http(format!("http://{}", world.sandbox.gateway_address())).unwrap();
    let through = reqwest::Client::builder().proxy(proxy).timeout(Duration::from_secs(5)).build().unwrap();
    for (host, region) in
        [("dynamodb.us-east-1.amazonaws.com", "us-east-1"), ("s3.us-west-2.amazonaws.com", "us-west-2"), ("iam.amazonaws.com", "us-east-1")]
    {
        let (status, body) = text(through.get(format!("http://{host}/"))).await;
        assert_eq!((status, body), (200, format!("healthy: {host} ({region})\n")));
    }
    let (status, body) = text(through.get("http://dynamodb.eu-west-1.amazonaws.com/")).await;
    assert_eq!((status, body.as_str()), (421, "dynamodb.eu-west-1.amazonaws.com is not a host of this sandbox\n"));
    let (status, body) = text(through.get("http://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15")).await;
    assert!(status == 200 && body.contains("<Account>111122223333</Account>"), "{status} {body}");
    world.sandbox.stop().await;
}

#[tokio::test]
async fn the_query_endpoint_answers_like_prometheus() {
    let world = World::start(Variant::Default).await;
    assert_eq!(world.vector("up").await, [1.0, 1.0, 1.0]);
    let (_, body) = world.query(r#"up{job="edge"}"#).await;
    let sample = &body["data"]["result"][0];
    assert_eq!((&sample["metric"]["__name__"], &sample["metric"]["job"], &sample["value"][1]), (&json!("up"), &json!("edge"), &json!("1")));
    assert!((sample["value"][0].as_f64().unwrap() - now().0 as f64 / 1e6).abs() < 60.0);

    let form =
        world.client.post(world.query_url()).header("content-type", "application/x-www-form-urlencoded").body("query=up%7Bjob%3D%22edge%22%7D");
    let (status, posted) = text(form).await;
    assert_eq!((status, serde_json::from_str::<Value>(&posted).unwrap()["data"]["result"].as_array().map(Vec::len)), (200, Some(1)));

    for wrong in ["", "up ==", "rate(up[5m])", r#"up{job=~".*"}"#] {
        let (status, body) = world.query(wrong).await;
        assert_eq!((status, &body["status"], &body["errorType"]), (400, &json!("error"), &json!("bad_data")), "{wrong}");
        assert!(body["error"].as_str().unwrap().contains("invalid parameter \"query\""), "{body}");
    }
    world.sandbox.stop().await;
}

#[tokio::test]
async fn the_deaf_probe_never_answers_a_query_although_all_else_works() {
    let world = World::start(Variant::DeafProbe).await;
    for _ in 0..6 {
        let (status, body) = text(world.client.get(format!("{}?query=up", world.query_url()))).await;
        assert!(status != 200 || serde_json::from_str::<Value>(&body).is_err(), "{status} {body}");
    }
    assert_eq!(world.visit().await.0, 200);
    assert_eq!(world.order(1).await, 201);
    world.sandbox.stop().await;
}

#[tokio::test]
async fn a_stopped_sandbox_leaves_no_listener_and_no_socket() {
    let world = World::start(Variant::Default).await;
    let environment = world.sandbox.environment().clone();
    world.sandbox.stop().await;
    for url in environment.spec.endpoints.values().chain([&environment.spec.prometheus[0].url]) {
        let error = world.client.get(url).send().await.unwrap_err();
        assert!(error.is_connect(), "{url}: {error}");
    }
    assert!(!world.dir.path().join("gateway.sock").exists());
    // Nothing owns the folder any more either: another sandbox may have it.
    Sandbox::start(Variant::Default, world.dir.path()).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_folder_too_deep_for_a_socket_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = Sandbox::start(Variant::Default, &dir.path().join("d".repeat(120))).await.unwrap_err().to_string();
    assert!(error.contains("too long for a Unix socket") && error.contains("choose a shorter folder"), "{error}");
}

#[tokio::test]
async fn the_process_writes_its_environment_serves_and_ends_cleanly_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let (file, folder) = (dir.path().join("env.yaml"), dir.path().join("s"));
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["sandbox", "--write-env"])
        .arg(&file)
        .arg("--dir")
        .arg(&folder)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let environment = eventually("the environment file", async || std::fs::read_to_string(&file).ok()).await;
    let environment: Environment = serde_saphyr::from_str(&environment).unwrap();
    assert_eq!(environment.metadata.name, "sandbox");
    let checkout = format!("{}/healthz", environment.spec.endpoints["checkout"]);
    // As soon as there is a file, everything answers.
    assert_eq!(text(client().get(&checkout)).await.0, 200);
    let socket = Path::new(environment.spec.gateways[0].connection.socket.as_deref().unwrap()).to_owned();
    assert!(socket.exists());

    let pid = rustix::process::Pid::from_raw(process.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = tokio::time::timeout(LIMIT, process.wait()).await.unwrap().unwrap();
    assert_eq!(output.code(), Some(0));
    assert!(!socket.exists(), "the socket is removed");
    assert!(client().get(&checkout).send().await.unwrap_err().is_connect());
    let record = truth::read(&folder.join(truth::FILE)).unwrap();
    assert_eq!(record.iter().map(|moment| moment.what).collect::<Vec<_>>(), [Happening::Started, Happening::Stopped]);

    let mut told = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut process.stdout.take().unwrap(), &mut told).await.unwrap();
    for part in ["--env ", "curl -x http://127.0.0.1:", "truth.jsonl"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn an_unknown_variant_is_a_usage_error_that_names_the_known_ones() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["sandbox", "--variant", "no-failovr", "--write-env", "x"])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("did you mean 'sandbox:no-failover'?") && error.contains("sandbox:deaf-probe"), "{error}");
}

#[test]
fn the_first_drill_finds_every_name_that_it_uses_in_every_variant() {
    let text = include_str!("../../drills/sandbox/evacuate-us-east-1.yaml");
    let drill: Drill = serde_saphyr::from_str(text).unwrap();
    let spec = serde_json::to_string(&drill.spec).unwrap();
    let names: Vec<&str> = spec.split("${endpoints.").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert_eq!(names.len(), spec.matches("${").count(), "the drill looks up endpoints only");
    for variant in Variant::ALL {
        let environment = sample_environment(variant);
        for name in &names {
            assert!(environment.spec.endpoints.contains_key(*name), "{variant}: {name}");
        }
        let fault = drill.spec.steps.iter().find_map(|step| step.fault.as_ref()?.gateway_blackhole.as_ref()).unwrap();
        assert_eq!((&environment.spec.gateways[0].name, fault.region.as_deref()), (&fault.gateway, None));
        assert!(environment.spec.allow.faults.contains(&"gatewayBlackhole".to_owned()));
        let source = drill.spec.objectives.iter().find_map(|objective| objective.probe.prometheus.as_ref()).unwrap();
        assert_eq!(environment.spec.prometheus[0].name, source.source);
    }
}
