//! What a person reads by hand is what the probe reads: a runbook's commands, typed into a real shell, against the same servers.

use std::process::Output;

use firedrill::drill::text::{DurationText, RecordType, Strings};
use firedrill::probe::params::{DnsProbe, StatusPageProbe, TcpProbe};
use firedrill::runbook::Place;
use firedrill::runbook::reading::by_hand;

use super::*;

/// Types the commands; what they say, one after the other.
async fn typed(probe: &ProbeSpec, place: Option<&EnvironmentSpec>) -> Vec<(bool, String)> {
    let place = place.map(|spec| Place { name: "staging", spec, embedded: false });
    let commands = by_hand(probe, place.as_ref()).commands;
    assert!(!commands.is_empty(), "{probe:?}");
    let mut all = Vec::new();
    for line in commands {
        let run = move || Command::new("/bin/sh").args(["-c", &line]).env("LC_ALL", "C").output().unwrap();
        let done: Output = tokio::task::spawn_blocking(run).await.unwrap();
        let missing = done.status.code() == Some(127);
        assert!(!missing, "{}; install curl, dig and nc: scripts/test --setup", String::from_utf8_lossy(&done.stderr));
        all.push((done.status.success(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))));
    }
    all
}

/// The status that `curl --include` ends with.
fn status(said: &str) -> u16 {
    said.lines().rfind(|line| line.starts_with("HTTP/")).unwrap_or_else(|| panic!("{said}")).split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn curl_sees_the_status_that_the_http_probe_judges() {
    let server = Server::start(|request| {
        Box::pin(async move {
            match request.uri().path() {
                "/broken" => answer(503, "no"),
                "/moved" => redirect(302, "/ok"),
                "/kept" if request.headers().get("x-probe").is_none_or(|value| value != "it's $HOME") => answer(400, "the header is missing"),
                "/posted" if request.method() != Method::POST => answer(405, "POST it"),
                "/looked" if request.method() != Method::HEAD => answer(405, "HEAD it"),
                _ => answer(200, "all is well"),
            }
        })
    })
    .await;
    let at = |path: &str| get(server.url(path));
    let method = |method: &str, path: &str| HttpProbe { method: Some(method.to_owned()), ..at(path) };
    for (probe, expected) in [
        (at("/ok?a=b&c='d'"), 200),
        (at("/broken"), 503),
        (at("/moved"), 200),
        (HttpProbe { expect_status: Some(302), ..at("/moved") }, 302),
        (HttpProbe { headers: header("x-probe", "it's $HOME"), ..at("/kept") }, 200),
        (method("POST", "/posted"), 200),
        (method("POST", "/moved"), 302),
        // Asked for like any other method it would wait for a body until its time is up.
        (method("HEAD", "/looked"), 200),
    ] {
        let reading = read_http(probe.clone()).await;
        let (ended_well, said) = typed(&http(probe.clone()), None).await.remove(0);
        assert!(ended_well, "{probe:?}: {said}");
        assert_eq!(status(&said), expected, "{probe:?}: {said}");
        let good = status(&said) == probe.expect_status.unwrap_or(status(&said)) && (200..300).contains(&status(&said))
            || probe.expect_status == Some(status(&said));
        assert_eq!(good, reading.health == Health::Good, "{probe:?}: {reading:?}: {said}");
    }
    let page = ProbeSpec {
        status_page: Some(StatusPageProbe { url: server.url("/ok"), expect_body: Some("degraded".into()), expect_json: None }),
        ..ProbeSpec::default()
    };
    assert_eq!(by_hand(&page, None).good, "the status is 2xx, the body matches degraded");
    assert!(typed(&page, None).await[0].1.contains("all is well"));
}

#[test]
fn every_condition_of_an_http_probe_is_told() {
    let probe = HttpProbe {
        expect_status: Some(200),
        expect_header: header("x-region", "us-west-2"),
        expect_body: Some("^ok$".into()),
        expect_json: Some(ExpectJson { pointer: "/a".into(), equals: json!(3) }),
        expect_tls: Some(ExpectTls { valid_for: DurationText(Duration::from_hours(24 * 14)) }),
        ..get("https://shop.example/".into())
    };
    let told = by_hand(&http(probe), None);
    assert_eq!(
        told.good,
        "the status is 200, the header x-region is us-west-2, the body matches ^ok$, the JSON at \"/a\" is 3, the certificate is valid for 336h or longer"
    );
    assert!(told.commands[0].contains(" --verbose "), "{told:?}");
}

#[tokio::test]
async fn nc_connects_where_the_tcp_probe_does_and_nowhere_else() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(bind).await.unwrap();
        let address = listener.local_addr().unwrap();
        let probe = ProbeSpec { tcp: Some(TcpProbe { host: address.ip().to_string(), port: address.port() }), ..ProbeSpec::default() };
        assert!(typed(&probe, None).await[0].0, "{bind}");
        drop(listener);
        assert!(!typed(&probe, None).await[0].0, "{bind}");
    }
}

#[tokio::test]
async fn dig_gets_the_answers_that_the_dns_probe_judges() {
    let server = dns::Server::udp(|question, _| vec![dns::bytes(&dns::zone(question))]).await;
    let probe = |name: &str| DnsProbe {
        name: name.to_owned(),
        answers: Strings(vec!["198.51.100.7".to_owned()]),
        record_type: Some(RecordType::A),
        server: Some(server.address.to_string()),
    };
    for (name, good) in
        [("west.example", true), ("both.example", false), ("alias.example", true), ("empty.example", false), ("nowhere.example", false)]
    {
        let spec = ProbeSpec { dns: Some(probe(name)), ..ProbeSpec::default() };
        let (ended_well, said) = typed(&spec, None).await.remove(0);
        assert!(ended_well, "{name}: {said}");
        let answers: Vec<&str> = said.lines().filter(|line| !line.ends_with('.')).collect();
        assert_eq!(!answers.is_empty() && answers.iter().all(|answer| *answer == "198.51.100.7"), good, "{name}: {said}");
        let reading = read(&*open(true, &spec).unwrap()).await;
        assert_eq!(reading.health == Health::Good, good, "{name}: {reading:?}");
    }
}

#[tokio::test]
async fn curl_asks_prometheus_what_the_probe_asks_and_whether_anybody_measures() {
    let query = r#"ALERTS{alertname="Region'Down",region=~"a|b"} > 0 and up % 2 & 1"#;
    let server = Server::start(|request| {
        Box::pin(async move {
            let asked = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).find(|(name, _)| name == "query");
            let fires =
                asked.is_some_and(|(_, asked)| asked == r#"ALERTS{alertname="Region'Down",region=~"a|b"} > 0 and up % 2 & 1"# || asked == "up");
            let result =
                if fires && request.uri().path() == "/prometheus/api/v1/query" { json!([{"metric": {}, "value": [1, "1"]}]) } else { json!([]) };
            answer(200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
        })
    })
    .await;
    let prometheus = vec![PrometheusRef { name: "main".to_owned(), url: server.url("/prometheus/") }];
    let place = EnvironmentSpec { prometheus, ..EnvironmentSpec::default() };
    let asked = |query: &str, alive: &str| {
        let probe = PrometheusProbe { source: "main".into(), query: query.into(), alive: Some(alive.into()) };
        ProbeSpec { prometheus: Some(probe), ..ProbeSpec::default() }
    };
    let empty = |said: &(bool, String)| said.1.contains(r#""result":[]"#);
    let said = typed(&asked(query, "up"), Some(&place)).await;
    assert_eq!(said.iter().map(empty).collect::<Vec<_>>(), [false, false], "{said:?}");
    let said = typed(&asked("absent", "dead"), Some(&place)).await;
    assert_eq!(said.iter().map(empty).collect::<Vec<_>>(), [true, true], "{said:?}");
    assert!(by_hand(&asked(query, "up"), Some(&Place { name: "x", spec: &place, embedded: false })).good.contains("second command"));
    let unknown = by_hand(&asked(query, "up"), None).commands;
    assert!(unknown.iter().all(|command| command.contains("'<url of Prometheus main>/api/v1/query'")), "{unknown:?}");
}

#[tokio::test]
async fn curl_reads_the_canary_s_numbers_of_one_run() {
    let server = Server::start(|request| Box::pin(async move { answer(200, format!("asked {}", request.uri().query().unwrap_or_default())) })).await;
    let probe = ProbeSpec { canary: Some(CanaryProbe { write: "http://127.0.0.1:1/".into(), read: server.url("/canary") }), ..ProbeSpec::default() };
    // The blank is a word until somebody fills it in.
    let said = typed(&probe, None).await;
    let asked = said[0].1.strip_prefix("asked ").unwrap();
    let asked: Vec<(String, String)> = url::form_urlencoded::parse(asked.as_bytes()).into_owned().collect();
    assert_eq!(asked, [("run".to_owned(), "<run id>".to_owned())]);
}
