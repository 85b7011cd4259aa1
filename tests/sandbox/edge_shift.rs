//! The contract of `edgeShift` on a real edge, through the registry as the engine does it; people at the edge use curl.

use std::sync::Arc;
use std::time::Duration;

use firedrill::drill::spec::{DrillSpec, EnvironmentSpec, Step};
use firedrill::event::Phase;
use firedrill::fault::registry::Registry;
use firedrill::fault::{Bite, Expiry, Kind, KindError, KindSource, Observed, RECORD_VERSION, Record, TargetId};
use firedrill::sandbox::Variant;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::{EAST, LIMIT, WEST, World, eventually, now, text};
use firedrill::sandbox::truth::{Happening, Weights};

const OURS: Observed = Observed::Ours { marked: true };
const ALL_WEST: Weights = Weights { east: 0, west: 100 };

struct Case {
    world: World,
    registry: Registry,
    kind: Arc<dyn Kind>,
    record: Record,
}

fn drill() -> DrillSpec {
    serde_json::from_value(json!({
        "summary": "s", "owner": "o", "hypothesis": "h", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
        "hold": "1m", "undoBy": "10m", "objectives": [], "steps": [],
    }))
    .unwrap()
}

fn open(registry: &Registry, fields: Value) -> Result<Arc<dyn Kind>, KindError> {
    let step: Step = serde_json::from_value(json!({"id": "evacuate", "action": {"edgeShift": fields}})).unwrap();
    registry.for_step(&drill(), &step)
}

async fn plan(kind: &Arc<dyn Kind>, run: &str) -> Result<Record, KindError> {
    let targets = kind.resolve(run).await?;
    assert_eq!(targets.len(), 1);
    let undo_by = now().plus(Duration::from_secs(600));
    let prepared = kind.prepare(run, &targets[0], undo_by).await?;
    assert!(prepared.companions.is_empty());
    Ok(Record {
        version: RECORD_VERSION,
        run: run.to_owned(),
        step: "evacuate".to_owned(),
        after: vec!["dark".to_owned(), "ready".to_owned()],
        kind: kind.name().to_owned(),
        action: true,
        keep: false,
        target: targets[0].clone(),
        prior: prepared.prior,
        ours: prepared.ours,
        invert: kind.invert(),
        companions: vec![],
        undo_by,
        phase: if prepared.noop { Phase::Noop } else { Phase::Intent },
    })
}

async fn world() -> (World, Registry, Arc<dyn Kind>) {
    let world = World::start(Variant::Default).await;
    let registry = Registry::new(&world.sandbox.environment().spec);
    let kind = open(&registry, json!({"edge": world.endpoint("edge"), "to": "us-west-2"})).unwrap();
    (world, registry, kind)
}

async fn case() -> Case {
    let (world, registry, kind) = world().await;
    let record = plan(&kind, "01RUN").await.unwrap();
    Case { world, registry, kind, record }
}

impl World {
    async fn edge(&self) -> Value {
        let (status, body) = text(self.client.get(format!("{}/weights", self.endpoint("edge")))).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn weights(&self) -> Value {
        self.edge().await["weights"].take()
    }

    /// A person sets the weights, whatever they are.
    async fn by_hand(&self, body: Value) {
        let put = self.client.put(format!("{}/weights", self.endpoint("edge"))).header("if-match", "*").body(body.to_string());
        assert_eq!(text(put).await.0, 200);
    }

    fn set(&self) -> usize {
        self.truth().iter().filter(|moment| matches!(moment.what, Happening::WeightsSet { .. })).count()
    }
}

fn shares(east: u8, west: u8) -> Value {
    json!({"us-east-1": east, "us-west-2": west})
}

#[tokio::test]
async fn inject_moves_users_and_revert_gives_them_back_to_the_health_checks_as_before() {
    let Case { world, kind, record, .. } = case().await;
    assert_eq!((kind.name(), kind.expiry(), kind.settle()), ("edgeShift", Expiry::None, Duration::ZERO));
    assert_eq!((&record.prior, &record.ours["weights"]), (&json!({"weights": null}), &shares(0, 100)));
    assert!(record.target.place.starts_with("edge/127.0.0.1:"), "{}", record.target);
    assert_eq!(kind.observe(&record).await, Observed::Prior);
    assert!(matches!(kind.bite(&record).await, Bite::Unproven { .. }));
    assert_eq!(world.visit().await.1, "us-east-1");

    kind.inject(&record).await.unwrap();
    assert_eq!(kind.observe(&record).await, OURS);
    assert_eq!(kind.bite(&record).await, Bite::Verified);
    assert_eq!(world.visit().await.1, "us-west-2");
    world.happened(Happening::WeightsSet { weights: ALL_WEST }).await;

    // Undone from the record alone, as it comes back from a journal.
    let stored: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let undo = Registry::new(&EnvironmentSpec::default()).for_record(&stored).unwrap();
    assert_eq!(undo.observe(&stored).await, OURS);
    undo.revert(&stored).await.unwrap();
    assert_eq!(undo.observe(&stored).await, Observed::Prior);
    let edge = world.edge().await;
    assert_eq!((&edge["weights"], &edge["annotations"]), (&Value::Null, &json!({})));
    // The edge brings users home as it always does: home has been healthy for a while.
    let cleared = world.happened(Happening::WeightsCleared).await;
    let home = world.happened(Happening::FailBack { from: WEST, to: EAST }).await;
    assert!(home.since(cleared) >= Duration::from_millis(1900));
    assert_eq!(world.visit().await.1, "us-east-1");
}

#[tokio::test]
async fn weights_of_an_operator_and_what_stands_beside_them_come_back_exactly() {
    let (world, _, kind) = world().await;
    world.by_hand(json!({"weights": shares(70, 30), "annotations": {"change": "CHG-7"}})).await;
    let record = plan(&kind, "01RUN").await.unwrap();
    assert_eq!((&record.prior["weights"], &record.ours["weights"]), (&shares(70, 30), &shares(0, 100)));
    kind.inject(&record).await.unwrap();
    assert_eq!(world.edge().await["annotations"]["change"], "CHG-7");
    kind.revert(&record).await.unwrap();
    let edge = world.edge().await;
    assert_eq!((&edge["weights"], &edge["annotations"]), (&shares(70, 30), &json!({"change": "CHG-7"})));
}

#[tokio::test]
async fn inject_and_revert_may_be_repeated_and_a_late_inject_is_fenced() {
    let Case { world, kind, record, .. } = case().await;
    kind.inject(&record).await.unwrap();
    kind.inject(&record).await.unwrap();
    assert_eq!((kind.observe(&record).await, world.set()), (OURS, 1));
    // Tidying what is ours would hide it: it stays for the revert.
    kind.tidy(&record).await.unwrap();
    assert_eq!(kind.observe(&record).await, OURS);
    kind.revert(&record).await.unwrap();
    kind.revert(&record).await.unwrap();
    kind.tidy(&record).await.unwrap();
    assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(_))));
    assert_eq!((kind.observe(&record).await, world.set()), (Observed::Prior, 1));
}

#[tokio::test]
async fn undoing_what_never_arrived_changes_nothing_and_keeps_it_from_arriving() {
    for tidy in [false, true] {
        let Case { world, kind, record, .. } = case().await;
        if tidy { kind.tidy(&record).await } else { kind.revert(&record).await }.unwrap();
        assert_eq!(kind.observe(&record).await, Observed::Prior);
        assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(_))), "late: tidy {tidy}");
        assert_eq!((world.weights().await, world.set()), (Value::Null, 0));
    }
}

#[tokio::test]
async fn users_that_were_away_before_are_left_alone() {
    let (world, _, kind) = world().await;
    world.by_hand(json!({"weights": shares(0, 100)})).await;
    let before = world.edge().await;
    assert_eq!(plan(&kind, "01RUN").await.unwrap().phase, Phase::Noop);
    assert_eq!(world.edge().await, before);
}

#[tokio::test]
async fn weights_that_somebody_changed_meanwhile_are_seen_and_left_alone() {
    let Case { world, kind, record, .. } = case().await;
    // Between plan and inject.
    world.by_hand(json!({"weights": shares(50, 50)})).await;
    assert!(matches!(kind.inject(&record).await, Err(KindError::Conflict(why)) if why.contains("version 2")));
    assert_eq!(world.weights().await, shares(50, 50));

    // In the hold, with our mark still beside them.
    let Case { world, kind, record, .. } = case().await;
    kind.inject(&record).await.unwrap();
    let mut edge = world.edge().await;
    world.by_hand(json!({"weights": shares(20, 80), "annotations": edge["annotations"].take()})).await;
    assert!(matches!(kind.observe(&record).await, Observed::Other { current } if current["weights"] == shares(20, 80)));
    assert!(matches!(kind.revert(&record).await, Err(KindError::Conflict(_))));
    assert!(matches!(kind.bite(&record).await, Bite::Unproven { .. }));
    kind.tidy(&record).await.unwrap();
    let edge = world.edge().await;
    assert_eq!((&edge["weights"], &edge["annotations"]), (&shares(20, 80), &json!({})), "the mark goes, the weights stay");

    // The same weights without our mark: somebody has adopted them.
    let Case { world, kind, record, .. } = case().await;
    kind.inject(&record).await.unwrap();
    world.by_hand(json!({"weights": shares(0, 100)})).await;
    assert_eq!(kind.observe(&record).await, Observed::Ours { marked: false });
    assert!(matches!(kind.revert(&record).await, Err(KindError::Conflict(_))));
    assert_eq!(world.weights().await, shares(0, 100));
}

#[tokio::test]
async fn weights_that_were_put_back_by_hand_lose_their_mark_and_nothing_else() {
    let Case { world, kind, record, .. } = case().await;
    kind.inject(&record).await.unwrap();
    let mut edge = world.edge().await;
    world.by_hand(json!({"weights": null, "annotations": edge["annotations"].take()})).await;
    assert_eq!(kind.observe(&record).await, Observed::Prior);
    kind.tidy(&record).await.unwrap();
    let edge = world.edge().await;
    assert_eq!((&edge["weights"], &edge["annotations"]), (&Value::Null, &json!({})));
}

#[tokio::test]
async fn the_commands_for_people_inject_and_undo() {
    let Case { world, kind, record, .. } = case().await;
    let by_hand = kind.by_hand(&record);
    for (commands, weights) in [(by_hand.inject, shares(0, 100)), (by_hand.undo, Value::Null)] {
        let output = Command::new("sh").args(["-c", &format!("{} -sS --fail --max-time 10", commands[0])]).output().await.unwrap();
        assert!(output.status.success(), "{commands:?}: {output:?}");
        assert_eq!(world.weights().await, weights, "{commands:?}");
    }
}

#[tokio::test]
async fn another_edge_at_the_same_address_is_never_written_to() {
    let Case { world, kind, record, .. } = case().await;
    let before = world.edge().await;
    let other = Record { target: TargetId { id: "01OTHER".to_owned(), ..record.target.clone() }, ..record.clone() };
    assert_eq!(kind.observe(&other).await, Observed::Absent);
    assert!(matches!(kind.inject(&other).await, Err(KindError::Refused(_))));
    kind.revert(&other).await.unwrap();
    kind.tidy(&other).await.unwrap();
    assert_eq!(world.edge().await, before);

    // Something that is no edge.
    let elsewhere = Record { invert: json!({"edge": world.endpoint("east"), "allowPrivate": true}), ..record };
    let kind = Registry::new(&EnvironmentSpec::default()).for_record(&elsewhere).unwrap();
    assert_eq!(kind.observe(&elsewhere).await, Observed::Absent);
}

#[tokio::test]
async fn an_edge_that_does_not_answer_is_unreadable_and_never_taken_for_gone() {
    let Case { world, registry, kind, record } = case().await;
    world.sandbox.stop().await;
    assert!(matches!(kind.observe(&record).await, Observed::Unreadable { .. }));
    assert!(matches!(kind.inject(&record).await, Err(KindError::Unreachable(_))));
    assert!(matches!(kind.resolve("01RUN").await, Err(KindError::Unreachable(why)) if why.contains("the edge at http://127.0.0.1:")));
    assert!(kind.revert(&record).await.is_err() && kind.tidy(&record).await.is_err());
    let searching = registry.everywhere().into_iter().find(|kind| kind.name() == "edgeShift").unwrap();
    assert!(searching.discover().await.is_err(), "what cannot be searched is not empty");
}

#[tokio::test]
async fn an_inject_whose_answer_is_lost_is_found_by_reading_back() {
    let (world, _, _) = world().await;
    let edge = world.endpoint("edge").strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut environment = world.sandbox.environment().spec.clone();
    environment.endpoints.insert("edge".to_owned(), format!("http://{}", listener.local_addr().unwrap()));
    // Passes everything on; the answer to a write is cut off.
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (mut server, mut asked) = (TcpStream::connect(&edge).await.unwrap(), vec![0; 64 * 1024]);
            let count = client.read(&mut asked).await.unwrap();
            let writes = asked.starts_with(b"PUT");
            server.write_all(&asked[..count]).await.unwrap();
            if writes {
                let _ = server.read(&mut asked).await;
                continue;
            }
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    let registry = Registry::new(&environment);
    let kind = open(&registry, json!({"edge": environment.endpoints["edge"], "to": "us-west-2"})).unwrap();
    let record = plan(&kind, "01RUN").await.unwrap();
    let injected = tokio::time::timeout(LIMIT, kind.inject(&record)).await.unwrap();
    assert!(matches!(injected, Err(KindError::LostAnswer(_))), "{injected:?}");
    assert_eq!(kind.observe(&record).await, OURS);
}

#[tokio::test]
async fn i15_sweep_finds_the_shift_by_its_mark_alone_and_undoes_it_from_that() {
    let Case { world, registry, kind, record } = case().await;
    let edges = || registry.everywhere().into_iter().filter(|kind| kind.name() == "edgeShift").collect::<Vec<_>>();
    assert_eq!(edges().len(), 1);
    assert_eq!(edges()[0].discover().await.unwrap(), []);
    kind.inject(&record).await.unwrap();
    let found = edges()[0].discover().await.unwrap();
    assert_eq!(found, [Record { phase: Phase::Injected, ..record.clone() }]);
    let undo = registry.for_record(&found[0]).unwrap();
    undo.revert(&found[0]).await.unwrap();
    assert_eq!((edges()[0].discover().await.unwrap(), world.weights().await), (vec![], Value::Null));

    // An endpoint that is named like an edge and is none has nothing of ours.
    let mut spec = world.sandbox.environment().spec.clone();
    spec.endpoints.insert("edgeOfTown".to_owned(), world.endpoint("east").to_owned());
    let all: Vec<_> = Registry::new(&spec).everywhere().into_iter().filter(|kind| kind.name() == "edgeShift").collect();
    assert_eq!(all.len(), 2);
    for kind in all {
        assert_eq!(kind.discover().await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_shift_that_cannot_work_is_refused_before_anything_is_touched() {
    let (world, registry, kind) = world().await;
    let edge = world.endpoint("edge").to_owned();
    let refused = async |fields: Value| match open(&registry, fields) {
        Ok(kind) => plan(&kind, "01RUN").await.map(|_| ()).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let rows = [
        (json!({"edge": edge, "to": "eu-west-1"}), "knows no region 'eu-west-1'"),
        (json!({"edge": edge, "to": "us-east-1"}), "both us-east-1"),
        (json!({"edge": "http://127.0.0.1:1", "to": "us-west-2"}), "no edge of the environment"),
        (json!({"edge": world.endpoint("east"), "to": "us-west-2"}), "no edge of the environment"),
    ];
    for (fields, words) in rows {
        let said = refused(fields.clone()).await;
        assert!(said.contains(words), "{fields}: {said}");
    }

    let record = plan(&kind, "01FIRST").await.unwrap();
    kind.inject(&record).await.unwrap();
    let said = refused(json!({"edge": edge, "to": "us-west-2"})).await;
    assert!(said.contains("run 01FIRST's") && said.contains("firedrill resume 01FIRST"), "{said}");
    kind.revert(&record).await.unwrap();

    world.darken("us-west-2").await;
    world.happened(Happening::RegionUnhealthy { region: WEST }).await;
    let said = refused(json!({"edge": edge, "to": "us-west-2"})).await;
    assert!(said.contains("us-west-2 is not healthy"), "{said}");
}

#[tokio::test]
async fn an_operators_weights_hold_whatever_the_health_checks_say() {
    let Case { world, kind, record, .. } = case().await;
    kind.inject(&record).await.unwrap();
    world.darken("us-west-2").await;
    world.happened(Happening::RegionUnhealthy { region: WEST }).await;
    world.happened(Happening::AlertFiring { region: WEST }).await;
    // Longer than the edge ever waits before it moves users by itself.
    let until = now().plus(Duration::from_secs(3));
    eventually("three seconds", async || (now() >= until).then_some(())).await;
    assert_eq!(world.visit().await.1, "us-west-2");
    assert!(!world.truth().iter().any(|moment| matches!(moment.what, Happening::Failover { .. })));
    // Undone, the edge sees to its users again.
    kind.revert(&record).await.unwrap();
    eventually("users served at home", async || (world.visit().await.1 == "us-east-1").then_some(())).await;
    assert_eq!(world.visit().await.0, 200);
}
