//! What leaves the cluster: messages to people's own places, and full reports on a volume.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use firedrill::clock::Timestamp;
use serde_json::{Value, json};

use super::ground::{created, object};
use super::process::{Ground, Operator};
use super::testbed::eventually;

/// What was posted: its path, its token, its body.
type Posted = (String, Option<String>, Value);

/// A place that is posted to. The first post to `/moody` is refused for now, every one to `/closed` for good.
struct Place {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Place {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, posted) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::<Posted>::new())));
        let kept = posted.clone();
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            let mut moody = true;
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut path, mut token, mut length) = (String::new(), None, 0);
                for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                    if let Some(asked) = line.strip_prefix("POST ") {
                        asked.split(' ').next().unwrap().clone_into(&mut path);
                    }
                    let Some((name, value)) = line.split_once(": ") else { continue };
                    match name.to_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap(),
                        "authorization" => token = Some(value.to_owned()),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let status = match path.as_str() {
                    "/moody" if std::mem::take(&mut moody) => "503 Service Unavailable",
                    "/closed" => "410 Gone",
                    _ => "200 OK",
                };
                kept.lock().unwrap().push((path, token, serde_json::from_slice(&body).unwrap()));
                stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
            }
        });
        Self { address, posted }
    }

    fn to(&self, path: &str) -> Vec<(Option<String>, Value)> {
        self.posted.lock().unwrap().iter().filter(|post| post.0 == path).map(|(_, token, body)| (token.clone(), body.clone())).collect()
    }
}

#[test]
fn people_are_told_in_their_own_places_of_runs_announced_begun_aborted_and_over() {
    let (ground, place, files) = (Ground::new("op-told", "30m"), Place::open(), tempfile::tempdir().unwrap());
    let (url, token, list) = (files.path().join("url"), files.path().join("token"), files.path().join("notifications.yaml"));
    std::fs::write(&url, format!("http://{}/slack\n", place.address)).unwrap();
    std::fs::write(&token, "s3cret\n").unwrap();
    let to = |path: &str| format!("http://{}/{path}", place.address);
    let receivers = json!({"notifications": [
        {"name": "all", "url": to("all"), "tokenFile": token},
        {"name": "chat", "format": "slack", "urlFile": url, "on": ["start", "end"]},
        {"name": "moody", "url": to("moody"), "on": ["start"]},
        {"name": "closed", "url": to("closed"), "on": ["start"]},
    ]});
    std::fs::write(&list, receivers.to_string()).unwrap();
    let operator = Operator::start_with(&ground, &[], &["--notifications", list.to_str().unwrap()]);
    operator.leads();
    // Announced within a minute, three minutes before it would start.
    let instant = Timestamp::from(SystemTime::now()).plus(Duration::from_secs(240)).utc();
    let spec = json!({"drill": "cordon", "environment": "staging", "cron": instant.format("%-M %-H * * *").to_string(), "timeZone": "Etc/UTC", "announce": ["3m"]});
    created(ground.cluster, &object("DrillSchedule", "op-told", "soon", &spec));
    let notices = |about: &str| {
        let all = place.to("/all").into_iter().filter(|(_, body)| body["name"].as_str().is_some_and(|name| name.starts_with(about)));
        all.map(|(_, body)| body).collect::<Vec<Value>>()
    };
    let announced = eventually(|| notices("soon").into_iter().find(|body| body["notice"] == "announce").ok_or_else(|| operator.log()));
    assert_eq!(
        (announced["kind"].as_str(), announced["drill"].as_str(), announced["environment"].as_str()),
        (Some("DrillSchedule"), Some("cordon"), Some("staging"))
    );
    ground.cluster.kubectl(&["-n", "op-told", "delete", "drillschedule", "soon"]);

    ground.run("held", &json!({}));
    ground.until_phase("held", "hold");
    super::ground::patched(ground.cluster, "op-told", "drillrun/held", &json!({"spec": {"abort": true}})).unwrap();
    ground.until_phase("held", "over");
    let told = eventually(|| {
        let told = notices("held");
        if told.iter().any(|body| body["notice"] == "end") { Ok(told) } else { Err(format!("{told:#?}\n{}", operator.log())) }
    });
    assert_eq!(told.iter().map(|body| body["notice"].as_str().unwrap()).collect::<Vec<_>>(), ["start", "abort", "end"]);
    let end = &told[2];
    assert_eq!(
        (end["run"]["verdict"].as_str(), end["run"]["inPlace"].as_u64(), end["reason"].as_str()),
        (Some("aborted"), Some(0), Some("Aborted")),
        "{end:#}"
    );
    assert!(end["run"]["runId"].is_string() && end["run"]["report"] == "configmap/held-report" && end["at"].is_string(), "{end:#}");
    assert!(place.to("/all").iter().all(|(token, _)| token.as_deref() == Some("Bearer s3cret")));
    // As Slack reads it, and only what was asked for.
    let chat = eventually(|| {
        let chat: Vec<String> = place.to("/slack").iter().map(|(_, body)| body["text"].as_str().unwrap().to_owned()).collect();
        let about: Vec<String> = chat.into_iter().filter(|text| text.ends_with("DrillRun op-told/held")).collect();
        if about.len() == 2 { Ok(about) } else { Err(format!("{about:#?}")) }
    });
    assert!(chat[0].starts_with("*Drill starts*: drill `cordon` in `staging`\n") && chat[1].starts_with("*Drill over*: "), "{chat:#?}");
    // Refused for now, posted again; refused for good, not.
    eventually(|| if place.to("/moody").len() >= 2 { Ok(()) } else { Err(operator.log()) });
    let count = operator.get("/metrics");
    assert!(count.contains("firedrill_notifications_total{receiver=\"closed\",result=\"failed\"} 1\n"), "{count}");
    assert_eq!(place.to("/closed").len(), 1);
    // The URL from the file is a secret.
    assert!(operator.log().contains("notification 'closed'") && !operator.log().contains("/slack"), "{}", operator.log());
}

#[test]
fn full_reports_go_to_the_volume_and_the_oldest_go() {
    let (ground, files) = (Ground::new("op-volume", "100ms"), tempfile::tempdir().unwrap());
    let volume = files.path().join("reports");
    let operator = Operator::start_with(&ground, &[], &["--report-dir", volume.to_str().unwrap(), "--reports-kept", "1"]);
    operator.leads();
    let path = |run: &str| {
        ground.run(run, &json!({}));
        ground.until_phase(run, "over")["status"]["report"].as_str().unwrap().to_owned()
    };
    let first = path("first");
    for file in ["report.html", "report.json", "report.md", "junit.xml", "events.jsonl"] {
        assert!(std::path::Path::new(&first).join(file).is_file(), "{first}/{file}");
    }
    assert!(first.ends_with("-first") && ground.get("configmap/first-report").is_none(), "{first}");
    let second = path("second");
    assert!(!std::path::Path::new(&first).exists() && std::path::Path::new(&second).is_dir());
    // A volume that takes nothing more does not cost the report.
    std::fs::remove_dir_all(&volume).unwrap();
    std::fs::write(&volume, "").unwrap();
    assert_eq!(path("third"), "configmap/third-report");
}
