//! The contract of every gateway kind on a real gateway, through the registry as the engine does it. A new kind is held to it by having an example.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firedrill::clock::Timestamp;
use firedrill::drill::spec::{DrillSpec, EnvironmentSpec, GatewayConnection, GatewayRef, Step};
use firedrill::event::Phase;
use firedrill::fault::params::FaultSpec;
use firedrill::fault::registry::Registry;
use firedrill::fault::{Bite, Expiry, Kind, KindError, KindSource, Observed, RECORD_VERSION, Record};
use firedrill::gateway::Effect;
use firedrill::gateway::server::{Config, Gateway};
use serde_json::{Value, json};

use crate::ground::*;

/// Every gateway kind of this build, with the parameters of its example.
fn kinds() -> Vec<(&'static str, Value)> {
    let built = FaultSpec::KINDS.iter().filter(|kind| kind.name.starts_with("gateway"));
    let kinds: Vec<(&str, Value)> = built
        .filter_map(|kind| {
            let step: Value = serde_saphyr::from_str((kind.about)()?.example).unwrap();
            Some((kind.name, step[kind.name].clone()))
        })
        .collect();
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    for name in ["gatewayBlackhole", "gatewayRefuse", "gatewayReset", "gatewayLatency", "gatewayError"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    kinds
}

fn environment(socket: &Path) -> EnvironmentSpec {
    let connection = GatewayConnection { socket: Some(socket.display().to_string()), ..GatewayConnection::default() };
    EnvironmentSpec { gateways: vec![GatewayRef { name: "edge".to_owned(), connection }], ..EnvironmentSpec::default() }
}

fn drill() -> DrillSpec {
    serde_json::from_value(json!({
        "summary": "s", "owner": "o", "hypothesis": "h", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
        "hold": "1m", "undoBy": "10m", "objectives": [], "steps": [],
    }))
    .unwrap()
}

fn step(fault: Value) -> Step {
    serde_json::from_value(json!({"id": "dark", "fault": fault})).unwrap()
}

/// The kind of a step with the example's parameters, some of them changed.
fn open(registry: &Registry, kind: &str, fields: Value) -> Result<Arc<dyn Kind>, KindError> {
    let mut fault = kinds().into_iter().find(|(name, _)| *name == kind).unwrap().1;
    fault.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    registry.for_step(&drill(), &step(json!({kind: fault})))
}

async fn record(kind: &Arc<dyn Kind>, undo_by: Timestamp) -> Record {
    let targets = kind.resolve("01RUN").await.unwrap();
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].to_string(), "gateway/edge/01RUN-dark");
    let prepared = kind.prepare("01RUN", &targets[0], undo_by).await.unwrap();
    assert_eq!((&prepared.prior, prepared.noop, prepared.companions.len()), (&Value::Null, false, 0));
    Record {
        version: RECORD_VERSION,
        run: "01RUN".to_owned(),
        step: "dark".to_owned(),
        after: vec!["before".to_owned()],
        kind: kind.name().to_owned(),
        action: false,
        keep: false,
        target: targets[0].clone(),
        prior: prepared.prior,
        ours: prepared.ours,
        invert: kind.invert(),
        companions: vec![],
        undo_by,
        phase: Phase::Intent,
    }
}

struct Case {
    ground: Ground,
    registry: Registry,
    kind: Arc<dyn Kind>,
    record: Record,
}

async fn case(name: &str, undo_by: Timestamp) -> Case {
    let ground = Ground::new(mirror().await);
    let registry = Registry::new(&environment(ground.gateway.socket().unwrap()));
    let kind = open(&registry, name, json!({})).unwrap();
    let record = record(&kind, undo_by).await;
    Case { ground, registry, kind, record }
}

/// What an independent client gets from the services of the examples when no rule acts.
async fn undisturbed(ground: &Ground) -> Vec<(i32, String)> {
    let mut got = Vec::new();
    for host in [EAST, "sts.us-east-1.amazonaws.com", "bucket.s3.us-east-1.amazonaws.com"] {
        got.push(ground.curl(&[&format!("http://{host}/")]).await);
    }
    got.push(ground.curl(&["-d", "Action=ListPolicies&Version=2010-05-08", "http://iam.amazonaws.com/"]).await);
    assert!(got.iter().all(|(code, body)| *code == 0 && body.contains("HTTP/1.1")), "{got:?}");
    got
}

const OURS: Observed = Observed::Ours { marked: true };

#[tokio::test]
async fn inject_bites_and_revert_restores_seen_by_an_independent_client() {
    for (name, _) in kinds() {
        let Case { ground, registry, kind, record } = case(name, soon(60_000)).await;
        assert_eq!((kind.name(), kind.expiry(), kind.settle()), (name, Expiry::Own, Duration::ZERO));
        assert_eq!(kind.observe(&record).await, Observed::Prior);
        let untouched = undisturbed(&ground).await;

        kind.inject(&record).await.unwrap();
        assert_eq!(kind.observe(&record).await, OURS);
        assert_eq!(kind.bite(&record).await, Bite::Verified, "{name}");
        assert!(ground.hit_count(&record.target.id).await > 0);
        assert_eq!(ground.curl(&[&format!("http://{WEST}/")]).await.0, 0);

        // Undone from the record alone, as it comes back from a journal.
        let stored: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        let undo = Registry::new(&EnvironmentSpec::default()).for_record(&stored).unwrap();
        assert_eq!(undo.observe(&stored).await, OURS);
        undo.revert(&stored).await.unwrap();
        assert_eq!(undo.observe(&stored).await, Observed::Prior);
        assert_eq!(undisturbed(&ground).await, untouched, "{name}");
        let Bite::Unproven { why } = kind.bite(&record).await else { panic!("{name} is undone") };
        assert!(why.contains("not in force"), "{why}");
        drop(registry);
    }
}

#[tokio::test]
async fn inject_and_revert_may_be_repeated_and_a_late_inject_is_fenced() {
    for (name, _) in kinds() {
        let Case { kind, record, ground: _ground, .. } = case(name, soon(60_000)).await;
        kind.inject(&record).await.unwrap();
        kind.inject(&record).await.unwrap();
        assert_eq!(kind.observe(&record).await, OURS);
        kind.revert(&record).await.unwrap();
        kind.revert(&record).await.unwrap();
        kind.tidy(&record).await.unwrap();
        assert_eq!(kind.observe(&record).await, Observed::Prior);
        assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(_))));
        assert_eq!(kind.observe(&record).await, Observed::Prior);
    }
}

#[tokio::test]
async fn undoing_what_never_arrived_changes_nothing_and_keeps_it_from_arriving() {
    for ((name, _), tidy) in kinds().into_iter().flat_map(|kind| [(kind.clone(), false), (kind, true)]) {
        let Case { kind, record, ground, .. } = case(name, soon(60_000)).await;
        if tidy { kind.tidy(&record).await } else { kind.revert(&record).await }.unwrap();
        assert_eq!(kind.observe(&record).await, Observed::Prior);
        assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(_))));
        assert!(ground.client.list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn someone_elses_rule_under_our_id_is_seen_and_left_alone() {
    for (name, _) in kinds() {
        let Case { kind, record, ground, .. } = case(name, soon(60_000)).await;
        let theirs = firedrill::gateway::Rule { services: vec!["sqs".to_owned()], ..rule(&record.target.id, Effect::Refuse) };
        ground.client.put(&theirs).await.unwrap();
        assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(_))));
        assert_eq!(kind.observe(&record).await, Observed::Other { current: json!(theirs) });
        assert!(matches!(kind.revert(&record).await, Err(KindError::Conflict(_))));
        kind.tidy(&record).await.unwrap();
        assert!(matches!(kind.bite(&record).await, Bite::Unproven { .. }));
        assert_eq!(ground.client.list().await.unwrap()[0].rule, theirs);
        assert!(matches!(kind.prepare("01RUN", &record.target, record.undo_by).await, Err(KindError::Conflict(_))));
    }
}

#[tokio::test]
async fn a_fault_without_effect_is_not_verified() {
    for (name, _) in kinds() {
        let Case { kind, record, ground: _ground, .. } = case(name, soon(60_000)).await;
        let Bite::Unproven { why } = kind.bite(&record).await else { panic!("nothing was injected") };
        assert!(why.contains("not in force"), "{name}: {why}");
    }
    // In force, but something stronger is in front of it: the hang cannot be seen.
    let Case { kind: hang, record: hanging, ground: other, .. } = case("gatewayBlackhole", soon(60_000)).await;
    hang.inject(&hanging).await.unwrap();
    other.client.put(&firedrill::gateway::Rule { services: vec!["*".to_owned()], ..rule("stronger", Effect::Refuse) }).await.unwrap();
    let Bite::Unproven { why } = hang.bite(&hanging).await else { panic!("it was reset") };
    assert!(why.contains("it was reset"), "{why}");
}

#[tokio::test]
async fn what_a_client_cannot_see_is_not_called_proven() {
    // Kind, parameters that make the effect invisible, what is said of it.
    for (name, fields, word) in [
        ("gatewayReset", json!({"afterBytes": 100_000}), "before the cut at 100000: choose a smaller afterBytes"),
        ("gatewayLatency", json!({"delay": "0s", "jitter": "0s", "bytesPerSecond": 1_000_000_000}), "too fast to be told from no limit"),
        ("gatewayError", json!({"percent": "0.001%"}), "should be answered with status 503"),
        ("gatewayError", json!({"services": ["*"], "operations": ["Whatever"]}), "no request is known by which Whatever"),
    ] {
        let ground = Ground::new(mirror().await);
        let kind = open(&Registry::new(&environment(ground.gateway.socket().unwrap())), name, fields).unwrap();
        let record = record(&kind, soon(60_000)).await;
        kind.inject(&record).await.unwrap();
        let Bite::Unproven { why } = kind.bite(&record).await else { panic!("{name} was proven") };
        assert!(why.contains(word), "{name}: {why}");
    }
}

#[tokio::test]
async fn every_form_of_a_kind_is_proven_where_it_can_be_seen() {
    for (name, fields) in [
        ("gatewayReset", json!({"afterBytes": 0})),
        ("gatewayReset", json!({"afterBytes": 1, "existing": "cut", "services": ["*"]})),
        ("gatewayLatency", json!({"delay": "0s", "jitter": "200ms"})),
        ("gatewayLatency", json!({"delay": "0s", "jitter": "0s", "bytesPerSecond": 2_000})),
        ("gatewayLatency", json!({"delay": "0s", "jitter": "0s", "bytesPerSecond": 200_000})),
        ("gatewayError", json!({"percent": "20%", "seed": 1, "error": "AccessDenied"})),
        ("gatewayError", json!({"services": ["*"], "operations": ["*"], "error": "Throttling"})),
        ("gatewayError", json!({"services": ["dynamodb"], "operations": ["ListTables", "GetItem"], "error": "InternalError"})),
        ("gatewayError", json!({"services": ["eks"], "operations": ["DescribeCluster"]})),
        ("gatewayError", json!({"services": ["s3"], "operations": ["GetObject"], "error": "AccessDenied"})),
        ("gatewayError", json!({"services": ["ecr"], "operations": ["*"], "error": "ExpiredToken"})),
    ] {
        let ground = Ground::new(mirror().await);
        let kind = open(&Registry::new(&environment(ground.gateway.socket().unwrap())), name, fields.clone()).unwrap();
        let record = record(&kind, soon(60_000)).await;
        kind.inject(&record).await.unwrap();
        assert_eq!(kind.bite(&record).await, Bite::Verified, "{name}: {fields}");
    }
}

#[tokio::test]
async fn a_fault_that_acts_on_plain_http_only_says_so_in_the_plan() {
    let ground = Ground::new(echo().await);
    let registry = Registry::new(&environment(ground.gateway.socket().unwrap()));
    let told = open(&registry, "gatewayError", json!({})).unwrap().warnings();
    assert_eq!(told, ["acts on plain HTTP only: TLS interception is not built yet"]);
    assert!(open(&registry, "gatewayBlackhole", json!({})).unwrap().warnings().is_empty());
}

#[tokio::test]
async fn the_rule_is_gone_by_undo_by_with_nobody_left_to_remove_it() {
    for (name, _) in kinds() {
        let Case { kind, record, ground, .. } = case(name, soon(3_000)).await;
        kind.inject(&record).await.unwrap();
        eventually("the rule expires", async || kind.observe(&record).await == Observed::Prior).await;
        assert!(Timestamp::from(std::time::SystemTime::now()) >= record.undo_by);
        undisturbed(&ground).await;
        kind.revert(&record).await.unwrap();
        assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(_))));
    }
}

#[tokio::test]
async fn a_gateway_that_is_gone_is_unreadable_and_one_that_came_back_empty_is_prior() {
    for (name, _) in kinds() {
        let Case { kind, record, ground, .. } = case(name, soon(60_000)).await;
        kind.inject(&record).await.unwrap();
        let Ground { gateway, directory, .. } = ground;
        let socket = gateway.socket().unwrap().to_owned();
        within(gateway.stop()).await;
        assert!(matches!(kind.observe(&record).await, Observed::Unreadable { .. }));
        assert!(matches!(kind.revert(&record).await, Err(KindError::Unreachable(_))));
        assert!(matches!(kind.discover().await, Err(KindError::Unreachable(_))));
        assert!(matches!(kind.bite(&record).await, Bite::Unproven { .. }));
        let over = Record { undo_by: soon(0), ..record.clone() };
        assert_eq!(kind.observe(&over).await, Observed::Absent, "nobody listens, and the deadline has passed");
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), socket: Some(socket), resolve: vec![], endpoint: None };
        let _gateway = Gateway::start(config).unwrap();
        assert_eq!(kind.observe(&record).await, Observed::Prior);
        kind.tidy(&record).await.unwrap();
        drop(directory);
    }
}

#[tokio::test]
async fn rules_are_found_without_the_journal_and_undone() {
    for (name, _) in kinds() {
        let Case { kind, record, registry, ground: _ground } = case(name, soon(60_000)).await;
        kind.inject(&record).await.unwrap();
        let mut found = Vec::new();
        for everywhere in registry.everywhere() {
            found.extend(everywhere.discover().await.unwrap());
        }
        assert_eq!(found.len(), 1, "{name}: once, whichever kinds share its effect");
        // The order of steps is not in the mark, and of kinds that share an effect one finds it for all.
        let from_the_mark = Record { after: vec![], phase: Phase::Injected, kind: found[0].kind.clone(), ..record.clone() };
        assert_eq!(found, [from_the_mark]);
        let undo = registry.for_record(&found[0]).unwrap();
        undo.revert(&found[0]).await.unwrap();
        assert_eq!(undo.observe(&found[0]).await, Observed::Prior);
    }
}

/// Runs a command as a person would type it, with firedrill on the path.
async fn shell(line: &str) -> (bool, String) {
    let own = Path::new(env!("CARGO_BIN_EXE_firedrill")).parent().unwrap().display().to_string();
    let path = format!("{own}:{}", std::env::var("PATH").unwrap_or_default());
    let output = within(tokio::process::Command::new("sh").args(["-c", line]).env("PATH", path).output()).await.unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn the_commands_by_hand_work_as_printed() {
    for (name, _) in kinds() {
        let Case { kind, record, ground, .. } = case(name, soon(60_000)).await;
        let by_hand = kind.by_hand(&record);
        for line in &by_hand.inject {
            let (good, said) = shell(line).await;
            assert!(good, "{line}: {said}");
        }
        assert_eq!(kind.observe(&record).await, OURS);
        let (_, listed) = shell(&format!("firedrill gateway rules --socket '{}'", ground.gateway.socket().unwrap().display())).await;
        assert!(listed.contains(&record.target.id), "{listed}");
        for line in &by_hand.undo {
            let (good, said) = shell(line).await;
            assert!(good, "{line}: {said}");
        }
        assert_eq!(kind.observe(&record).await, Observed::Prior);
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_touched() {
    let ground = Ground::new(echo().await);
    let registry = Registry::new(&environment(ground.gateway.socket().unwrap()));
    for (fields, word) in [
        (json!({"services": ["dynamobd"]}), "did you mean 'dynamodb'?"),
        (json!({"services": ["sts", "cloudwatch9"]}), "unknown AWS service 'cloudwatch9'"),
        (json!({"region": "us-east-1a"}), "not an AWS region"),
    ] {
        let kind = open(&registry, "gatewayBlackhole", fields).unwrap();
        let Err(KindError::Refused(why)) = kind.resolve("01RUN").await else { panic!("{word}") };
        assert!(why.contains(word), "{why}");
    }
    for (name, fields, word) in [
        ("gatewayLatency", json!({"delay": "0s", "jitter": "0s"}), "slows nothing down"),
        ("gatewayLatency", json!({"delay": "11m"}), "delay 11m is longer than 10m"),
        ("gatewayError", json!({"percent": "0%"}), "percent is above 0.0001%"),
        ("gatewayError", json!({"operations": ["iam:ListPolicies"]}), "not an AWS operation; write it like 'ListPolicies'"),
        (
            "gatewayError",
            json!({"operations": ["ListUsers", "ListPolicie"]}),
            "'ListPolicie' is not an operation of iam; did you mean 'ListPolicies'?",
        ),
        ("gatewayError", json!({"services": ["iam", "ecr"], "operations": ["GetItem"]}), "'GetItem' is not an operation of iam, ecr"),
    ] {
        let kind = open(&registry, name, fields).unwrap();
        let Err(KindError::Refused(why)) = kind.resolve("01RUN").await else { panic!("{word}") };
        assert!(why.contains(word), "{why}");
    }
    let refusal = |opened: Result<Arc<dyn Kind>, KindError>| match opened {
        Err(KindError::Refused(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    };
    let why = refusal(open(&registry, "gatewayBlackhole", json!({"gateway": "egde"})));
    assert!(why.contains("'egde' is not in the environment; it has: edge"), "{why}");
    let why = refusal(registry.for_step(&drill(), &step(json!({"gatewayDns": {"gateway": "edge", "services": ["*"], "answer": "NODATA"}}))));
    assert!(why.contains("fault 'gatewayDns' is not built yet"), "{why}");
    let why = refusal(registry.for_step(&drill(), &step(json!({"nodeDrain": {"cluster": "east", "nodes": {"labels": {"a": "b"}}}}))));
    assert!(why.contains("cluster 'east' is not in the environment; it has none"), "{why}");
    let mut clustered = environment(ground.gateway.socket().unwrap());
    clustered.gateways[0].connection = GatewayConnection { cluster: Some("east".to_owned()), namespace: Some("n".to_owned()), socket: None };
    let why = refusal(open(&Registry::new(&clustered), "gatewayRefuse", json!({})));
    assert!(why.contains("cluster 'east' of gateway 'edge' is not in the environment"), "{why}");
    assert!(ground.client.list().await.unwrap().is_empty());
}
