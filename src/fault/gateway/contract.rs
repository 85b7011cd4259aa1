//! The contract that every gateway kind of this build keeps with its own example, on a real gateway: a new kind needs no line here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::clock::Timestamp;
use crate::drill::about::{self, Sort};
use crate::drill::load::{Options, load_text};
use crate::drill::spec::{EnvironmentSpec, GatewayConnection, GatewayRef};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places, Reopen};
use crate::fault::params::FaultSpec;
use crate::fault::registry::Registry;
use crate::fault::{Bite, Expiry, Kind, KindError, KindSource, Observed, RECORD_VERSION, Record};
use crate::gateway::server::{Config, Gateway};

/// How long a client waits for an answer before it calls a connection hanging; an answer on loopback is there within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// A gateway, an upstream that stands for all of AWS behind it, and the environment of both.
pub struct Ground {
    gateway: Gateway,
    places: Places,
    _directory: tempfile::TempDir,
}

impl Ground {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let upstream = upstream().await;
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            socket: Some(directory.path().join("gateway.sock")),
            resolve: vec![format!("*.amazonaws.com={upstream}").parse().unwrap()],
            endpoint: None,
        };
        let gateway = Gateway::start(config).unwrap();
        let connection = GatewayConnection { socket: gateway.socket().map(|socket| socket.display().to_string()), ..GatewayConnection::default() };
        let environment = EnvironmentSpec { gateways: vec![GatewayRef { name: "edge".to_owned(), connection }], ..EnvironmentSpec::default() };
        let places = Places { environment, ..Places::default() };
        Self { gateway, places, _directory: directory }
    }

    /// The kind that parameters open, and the record that the engine would make of its one target.
    pub async fn prepare(&self, parameters: &dyn Definition) -> (Arc<dyn Kind>, Record) {
        let drill = load_text("example.yaml", &about::sample(Sort::Fault, "gatewayRefuse: {gateway: edge, services: [sts]}"), &Options::default());
        let spec = &drill.drills[0].spec;
        let kind = parameters.open(&self.places, spec, &spec.steps[0]).unwrap();
        let targets = kind.resolve("01RUN").await.unwrap();
        let [target] = targets.as_slice() else { panic!("one rule in one gateway, not {targets:?}") };
        let undo_by = Timestamp::from(SystemTime::now()).plus(Duration::from_secs(600));
        let prepared = kind.prepare("01RUN", target, undo_by).await.unwrap();
        let record = Record {
            version: RECORD_VERSION,
            run: "01RUN".to_owned(),
            step: "example".to_owned(),
            after: Vec::new(),
            kind: kind.name().to_owned(),
            action: false,
            keep: false,
            target: target.clone(),
            prior: prepared.prior,
            ours: prepared.ours,
            invert: kind.invert(),
            companions: prepared.companions,
            undo_by,
            phase: Phase::Intent,
        };
        (kind, record)
    }

    /// What a client gets that asks the gateway for a tunnel to this host: the first line of the answer. None: nothing, or a reset.
    pub async fn asked(&self, host: &str) -> Option<String> {
        let mut client = TcpStream::connect(self.gateway.address()).await.unwrap();
        client.write_all(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 256];
        let count = timeout(PATIENCE, client.read(&mut answer)).await.ok()?.ok()?;
        let text = String::from_utf8_lossy(&answer[..count]).into_owned();
        text.lines().next().map(str::to_owned)
    }
}

/// Answers every request with 200, whatever it is.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Panics where a kind that is one rule in one gateway breaks its contract.
pub async fn keeps(name: &str, parameters: &dyn Definition, reopen: Reopen) {
    let ground = Ground::new().await;
    let (kind, record) = ground.prepare(parameters).await;
    assert_eq!((kind.name(), kind.expiry()), (name, Expiry::Own));
    assert_eq!(kind.observe(&record).await, Observed::Prior, "{name}");
    assert!(matches!(kind.bite(&record).await, Bite::Unproven { .. }), "{name}: bites before it is injected");

    // Twice is once: after a crash nobody knows whether the first call arrived.
    kind.inject(&record).await.unwrap();
    kind.inject(&record).await.unwrap();
    assert_eq!(kind.observe(&record).await, Observed::Ours { marked: true }, "{name}");
    assert_eq!(kind.bite(&record).await, Bite::Verified, "{name}");

    // Found without a journal, by what is in the gateway alone. Kinds that share an effect share the search.
    let mut found = Vec::new();
    for everywhere in Registry::new(&ground.places.environment).everywhere() {
        found.extend(everywhere.discover().await.unwrap());
    }
    assert!(found.iter().any(|found| found.target == record.target && found.ours == record.ours), "{name}: sweep does not find it");

    // Undone by the record alone, as it comes back from a journal.
    let stored: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let undo = reopen(&stored, &Places::default()).unwrap();
    undo.revert(&stored).await.unwrap();
    undo.revert(&stored).await.unwrap();
    undo.tidy(&stored).await.unwrap();
    assert_eq!(undo.observe(&stored).await, Observed::Prior, "{name}");

    // A call that was on its way when it was undone does not bring it back.
    assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(_))), "{name}: a late inject is not fenced");
    assert_eq!(kind.observe(&record).await, Observed::Prior, "{name}");
    let by_hand = kind.by_hand(&record);
    assert!(!by_hand.inject.is_empty() && !by_hand.undo.is_empty(), "{name}: nobody could do it by hand");
    ground.gateway.stop().await;
}

#[tokio::test]
async fn every_gateway_kind_that_is_built_keeps_the_contract_with_its_own_example() {
    let built = about::gateway_faults();
    assert!(built.len() >= 2, "{built:?}");
    for kind in FaultSpec::KINDS.iter().filter(|kind| built.iter().any(|name| name == kind.name)) {
        let loaded = load_text("example.yaml", &about::sample(Sort::Fault, (kind.about)().unwrap().example), &Options::default());
        assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
        let fault = loaded.drills[0].spec.steps[0].fault.clone().unwrap();
        keeps(kind.name, fault.one().unwrap().definition(), kind.reopen).await;
    }
}

#[tokio::test]
async fn the_ground_answers_where_no_rule_is() {
    let ground = Ground::new().await;
    assert!(ground.asked("sts.us-east-1.amazonaws.com").await.is_some_and(|line| line.starts_with("HTTP/1.1 200 ")));
}
