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
    Gateway::start(Config { listen: "127.0.0.1:0".parse().unwrap(), socket: socket.to_owned(), resolve: vec![], endpoint: None })
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
    let stream = UnixStream::connect(ground.gateway.socket()).await.unwrap();
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
    let mut stream = UnixStream::connect(ground.gateway.socket()).await.unwrap();
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
