//! How rules get in, and who may put them there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use firedrill::gateway::Effect::{Blackhole, Refuse};
use firedrill::gateway::Rule;
use firedrill::gateway::client::{Client, ClientError};
use firedrill::gateway::server::{Config, Gateway};
use firedrill::gateway::steering::ErrorCode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use crate::ground::*;

fn start(socket: &Path) -> std::io::Result<Gateway> {
    Gateway::start(Config { listen: "127.0.0.1:0".parse().unwrap(), socket: Some(socket.to_owned()), resolve: vec![], endpoint: None })
}

fn refused(error: ClientError) -> ErrorCode {
    match error {
        ClientError::Refused { code, .. } => code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn only_the_owner_may_open_the_socket_and_a_world_writable_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let gateway = start(&socket).unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    within(gateway.stop()).await;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = start(&socket).unwrap_err().to_string();
    assert!(error.contains("world-writable"), "{error}");
    assert!(start(&directory.path().join("missing/s")).unwrap_err().to_string().contains("directory"));
}

#[tokio::test]
async fn a_live_gateway_keeps_its_socket_and_a_dead_ones_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let gateway = start(&socket).unwrap();
    let error = start(&socket).unwrap_err().to_string();
    assert!(error.contains("a live gateway owns it"), "{error}");
    Client::new(&socket).status().await.expect("the first one still answers");
    within(gateway.stop()).await;
    // What a killed process leaves: a socket that nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let gateway = start(&socket).unwrap();
    Client::new(&socket).status().await.unwrap();
    within(gateway.stop()).await;
    std::fs::write(&socket, "a file").unwrap();
    assert!(start(&socket).unwrap_err().to_string().contains("not a socket"));
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "a file");
}

#[tokio::test]
async fn another_program_that_listens_on_the_path_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(start(&socket).is_err());
    assert!(socket.exists());
}

#[tokio::test]
async fn put_is_idempotent_and_a_removed_rule_does_not_come_back() {
    let ground = Ground::new(echo().await);
    let dark = rule("dark", Blackhole);
    assert!(ground.client.put(&dark).await.unwrap());
    assert!(!ground.client.put(&dark).await.unwrap());
    assert_eq!(refused(ground.client.put(&Rule { effect: Refuse, ..dark.clone() }).await.unwrap_err()), ErrorCode::Conflict);
    assert_eq!(ground.client.list().await.unwrap().len(), 1);
    assert!(ground.client.remove("dark", None, None).await.unwrap());
    assert!(!ground.client.remove("dark", None, None).await.unwrap());
    assert_eq!(refused(ground.client.put(&dark).await.unwrap_err()), ErrorCode::Over);
    ground.tunnel(EAST).await;
}

#[tokio::test]
async fn bad_requests_are_refused_by_name_and_the_connection_goes_on() {
    let ground = Ground::new(echo().await);
    let stream = UnixStream::connect(ground.gateway.socket().unwrap()).await.unwrap();
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    for (request, word) in [
        ("not json", "cannot read the request"),
        ("{}", "cannot read the request"),
        (r#"{"list":{"all":true}}"#, "unknown field `all`"),
        (r#"{"remove":{"id":"a","force":true}}"#, "unknown field `force`"),
        (
            r#"{"put":{"rule":{"id":"a","run":"r","step":"s","effect":"explode","services":["*"],"region":"us-east-1","cutExisting":false,"deadline":"2026-01-01T00:00:00Z"}}}"#,
            "explode",
        ),
        (
            r#"{"put":{"rule":{"id":"a","run":"r","step":"s","effect":"refuse","services":["*"],"region":"us-east-1","cutExisting":false,"deadline":"2020-01-01T00:00:00Z"}}}"#,
            "has passed",
        ),
        (r#"{"remove":{"id":"a b"}}"#, "rule id"),
        (r#"{"status":{}}"#, "version"),
    ] {
        writing.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let line = within(lines.next_line()).await.unwrap().unwrap();
        assert!(line.contains(word), "{request}: {line}");
    }
    assert!(ground.client.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_request_without_end_is_refused_in_bounded_memory() {
    let ground = Ground::new(echo().await);
    let mut stream = UnixStream::connect(ground.gateway.socket().unwrap()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let send = async {
        let chunk = vec![b'x'; 64 * 1024];
        // The gateway stops reading: the write fails, or would wait for ever.
        for _ in 0..1024 {
            if writing.write_all(&chunk).await.is_err() {
                return;
            }
        }
        panic!("64 MiB were taken");
    };
    let mut said = String::new();
    let receive = async {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = reading.read(&mut buffer).await {
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    within(async { tokio::join!(send, receive) }).await;
    assert!(said.contains("at most 256 KiB"), "{said}");
}

#[tokio::test]
async fn a_missing_gateway_and_a_lost_answer_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let client = Client::new(&socket);
    assert!(matches!(client.list().await.unwrap_err(), ClientError::Unreachable { .. }));
    let listener = UnixListener::bind(&socket).unwrap();
    let hang_up = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
    });
    assert!(matches!(client.list().await.unwrap_err(), ClientError::LostAnswer { .. }));
    hang_up.await.unwrap();
    assert!(matches!(client.list().await.unwrap_err(), ClientError::Unreachable { .. }));
}

/// The real binary as a gateway: process, proxy address.
async fn binary(socket: &Path) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.args(["gateway", "--listen", "127.0.0.1:0", "--socket"]).arg(socket).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    within(out.read_line(&mut line)).await.unwrap();
    let address = line.strip_prefix("gateway listens on ").and_then(|rest| rest.split(',').next()).unwrap_or_else(|| panic!("{line:?}"));
    (child, address.to_owned())
}

#[tokio::test]
async fn the_binary_serves_until_it_is_told_to_stop_and_survives_its_own_sudden_death() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let (mut first, address) = binary(&socket).await;
    assert_eq!(Client::new(&socket).status().await.unwrap().listen.to_string(), address);
    Client::new(&socket).put(&rule("dark", Blackhole)).await.unwrap();
    first.kill().await.unwrap();
    assert!(socket.exists(), "nobody was left to remove it");
    let (mut second, _) = binary(&socket).await;
    assert!(Client::new(&socket).list().await.unwrap().is_empty(), "rules live in memory only");
    let pid = rustix::process::Pid::from_raw(i32::try_from(second.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(within(second.wait()).await.unwrap().code(), Some(0));
    assert!(!socket.exists());
}

/// What a steering command says, and its exit code.
async fn steer(socket: &Path, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.arg("gateway").arg(words[0]).arg("--socket").arg(socket).args(&words[1..]);
    let output = within(command.output()).await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

/// The rules that docs/gateway.md shows, each as it stands between the quotes of the shell.
fn examples() -> Vec<String> {
    let page = include_str!("../../docs/gateway.md");
    let section = page.split("\n## ").find(|section| section.starts_with("By hand")).expect("docs/gateway.md has a section 'By hand'");
    let commands = section.split("firedrill gateway put ").skip(1).filter_map(|rest| rest.split("```").next());
    commands.filter_map(|command| Some(command.split_once('\'')?.1.split_once('\'')?.0.to_owned())).collect()
}

#[tokio::test]
async fn every_rule_that_the_page_shows_can_be_put_as_it_is_and_the_page_has_one_of_each_effect() {
    let ground = Ground::new(echo().await);
    let socket = ground.gateway.socket().unwrap();
    let mut shown = std::collections::BTreeSet::new();
    for example in examples() {
        let (code, said) = steer(socket, &["put", "--for", "10m", &example]).await;
        assert_eq!((code, said.contains("put in force until")), (0, true), "{example}: {said}");
        let rule = ground.client.list().await.unwrap().pop().unwrap().rule;
        let effect = serde_json::to_value(&rule.effect).unwrap();
        shown.insert(effect.as_str().map_or_else(|| effect.as_object().unwrap().keys().next().unwrap().clone(), str::to_owned));
        assert!(ground.client.remove(&rule.id, None, None).await.unwrap());
    }
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), ["blackhole", "error", "latency", "refuse", "reset"]);
    // And the page documents every field that a rule and its effects have.
    let page = include_str!("../../docs/gateway.md");
    let whole = Rule { effect: SLOW_AND_NARROW, ..rule("a", Blackhole) };
    let failing = serde_json::json!({"operations": 1, "error": 1, "perMillion": 1, "seed": 1, "afterBytes": 1});
    let fields = [serde_json::to_value(&whole).unwrap(), serde_json::to_value(&whole).unwrap()["effect"]["latency"].clone(), failing];
    for field in fields.iter().flat_map(|fields| fields.as_object().unwrap().keys()) {
        assert!(page.contains(&format!("| `{field}` |")), "docs/gateway.md does not say what `{field}` is");
    }
}

const SLOW_AND_NARROW: firedrill::gateway::Effect = firedrill::gateway::Effect::Latency { delay_ms: 1, jitter_ms: 1, bytes_per_second: Some(1) };

#[tokio::test]
async fn what_rules_prints_put_takes() {
    let (from, to) = (Ground::new(echo().await), Ground::new(echo().await));
    for example in examples() {
        assert_eq!(steer(from.gateway.socket().unwrap(), &["put", "--for", "10m", &example]).await.0, 0);
    }
    let (_, listed) = steer(from.gateway.socket().unwrap(), &["rules", "--format", "json"]).await;
    for line in listed.lines() {
        let (code, said) = steer(to.gateway.socket().unwrap(), &["put", line]).await;
        assert_eq!(code, 0, "{line}: {said}");
    }
    let rules = async |ground: &Ground| ground.client.list().await.unwrap().into_iter().map(|status| status.rule).collect::<Vec<_>>();
    assert!(rules(&from).await.len() >= 5);
    assert_eq!(rules(&from).await, rules(&to).await);
    let (_, table) = steer(to.gateway.socket().unwrap(), &["rules"]).await;
    assert!(table.starts_with("ID ") && table.lines().count() == 1 + listed.lines().count(), "{table}");
    let (_, status) = steer(to.gateway.socket().unwrap(), &["status"]).await;
    assert!(status.starts_with("listens on"), "{status}");
    let (_, status) = steer(to.gateway.socket().unwrap(), &["status", "--format", "json"]).await;
    assert!(serde_json::from_str::<serde_json::Value>(&status).unwrap()["listen"].is_string());
}

#[tokio::test]
async fn a_rule_that_could_never_act_is_refused_with_the_name_that_was_meant() {
    let ground = Ground::new(echo().await);
    for (given, why) in [
        (r#""services":["dynamdb"],"region":"us-east-1""#, "unknown AWS service 'dynamdb'; did you mean 'dynamodb'?"),
        (r#""services":["*"],"region":"us-esat-1""#, "'us-esat-1' is not an AWS region; did you mean 'us-east-1'?"),
        (r#""services":["*"],"region":"us-east-1a""#, "it is an availability zone of 'us-east-1'"),
        (r#""services":[],"region":"us-east-1""#, "at least one service"),
        (r#""services":["*"],"region":"us-east-1","deadline":"2020-01-01T00:00:00Z""#, "has passed"),
        (r#""services":["*"],"region":"us-east-1","colour":1"#, "unknown field `colour`"),
        (r#""services""#, "cannot read the rule"),
    ] {
        let rule = format!(r#"{{"id":"a","effect":"refuse",{given}}}"#);
        let length = if given.contains("deadline") { vec![] } else { vec!["--for", "1m"] };
        let (code, said) = steer(ground.gateway.socket().unwrap(), &[&["put"], &length[..], &[&rule]].concat()).await;
        assert_eq!((code, said.contains(why)), (2, true), "{rule}: {said}");
    }
    let (code, said) =
        steer(ground.gateway.socket().unwrap(), &["put", r#"{"id":"a","effect":"refuse","services":["*"],"region":"us-east-1"}"#]).await;
    assert_eq!((code, said.contains("--for 10m")), (2, true), "{said}");
    assert!(ground.client.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_mistyped_removal_is_no_success_and_a_repeated_one_is() {
    let ground = Ground::new(echo().await);
    let socket = ground.gateway.socket().unwrap();
    ground.put(rule("endpoints-dark", Blackhole)).await;
    let (code, said) = steer(socket, &["remove", "endpoints-drak"]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nothing was removed") && said.contains("did you mean 'endpoints-dark'?"), "{said}");
    assert_eq!(ground.client.list().await.unwrap().len(), 1);
    assert_eq!(steer(socket, &["remove", "endpoints-dark"]).await, (0, "rule endpoints-dark removed\n".to_owned()));
    assert_eq!(steer(socket, &["remove", "endpoints-dark"]).await, (0, "rule endpoints-dark was removed before\n".to_owned()));
    // A guard, not a mistake of whoever typed it: what was removed does not come back.
    let again = serde_json::to_string(&rule("endpoints-dark", Blackhole)).unwrap();
    assert_eq!(steer(socket, &["put", &again]).await.0, 5);
}
