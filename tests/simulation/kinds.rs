//! Kinds and probes of the in-memory world.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firedrill::clock::Timestamp;
use firedrill::drill::spec::{DrillSpec, Step};
use firedrill::event::{Health, Phase};
use firedrill::fault::{Bite, ByHand, Expiry, Kind, KindError, KindSource, Observed, Prepared, Progress, RECORD_VERSION, Record, TargetId};
use firedrill::probe::params::ProbeSpec;
use firedrill::probe::{Probe, ProbeSource, Reading};
use serde_json::{Value, json};

use super::world::{Answer, Break, Mark, Object, World, Write};

pub struct SimKind {
    world: World,
    step: String,
}

impl SimKind {
    fn broken(&self, part: Break) -> bool {
        self.world.lock().broken == Some(part)
    }

    fn ours(record: &Record) -> Object {
        let prior = record.prior.as_str().unwrap().to_owned();
        let mark = Mark { run: record.run.clone(), step: record.step.clone(), after: record.after.clone(), prior };
        Object { value: record.ours.as_str().unwrap().to_owned(), mark: Some(mark) }
    }

    fn prior(record: &Record) -> Object {
        Object { value: record.prior.as_str().unwrap().to_owned(), mark: None }
    }

    async fn write(&self, verb: &'static str, record: &Record, expect: Object, leave: Object) -> Result<(), KindError> {
        match self.world.write(Write { target: record.target.id.clone(), verb, expect, leave }).await {
            Answer::Got(true) => Ok(()),
            Answer::Got(false) => Err(KindError::Conflict("not as expected".into())),
            Answer::Lost => Err(KindError::LostAnswer("reset".into())),
        }
    }

    async fn read(&self, id: &str) -> Result<Object, KindError> {
        match self.world.effect(|inner| inner.objects[id].clone()).await {
            Answer::Got(object) => Ok(object),
            Answer::Lost => Err(KindError::LostAnswer("reset".into())),
        }
    }
}

#[async_trait]
impl Kind for SimKind {
    fn name(&self) -> &'static str {
        "gatewayBlackhole"
    }
    fn expiry(&self) -> Expiry {
        Expiry::None
    }
    fn settle(&self) -> Duration {
        Duration::from_secs(5)
    }
    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let prefix = match self.step.as_str() {
            "a" => "node-a",
            "b" => "node-b",
            _ => "shift",
        };
        let world = self.world.lock();
        Ok(world.objects.keys().filter(|id| id.starts_with(prefix)).map(|id| TargetId { place: "sim".into(), id: id.clone() }).collect())
    }
    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let value = self.world.lock().objects[&target.id].value.clone();
        Ok(Prepared { noop: value == "broken", prior: json!(value), ours: json!("broken"), companions: vec![] })
    }
    fn invert(&self) -> Value {
        json!({"step": self.step})
    }
    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        self.write("inject", record, Self::prior(record), Self::ours(record)).await
    }
    async fn proceed(&self, record: &Record) -> Result<Progress, KindError> {
        let mut inner = self.world.lock();
        if record.target.id != "node-b1" || inner.slow_looks == 0 {
            return Ok(Progress::Done);
        }
        inner.slow_looks -= 1;
        Ok(Progress::Waiting { why: "a budget lets nobody go".into() })
    }
    /// Those of one step are, those of the others not: every story tells of both.
    fn reverts_conditionally(&self) -> bool {
        self.step == "a"
    }
    async fn observe(&self, record: &Record) -> Observed {
        let id = &record.target.id;
        if self.broken(Break::NoReadBack) && self.world.lock().blind.contains_key(id) {
            return Observed::Prior;
        }
        match self.read(id).await {
            Ok(object) if object == Self::ours(record) => Observed::Ours { marked: true },
            Ok(object) if object.value == record.prior.as_str().unwrap() => Observed::Prior,
            Ok(object) => Observed::Other { current: json!(object.value) },
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }
    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let done = self.write("revert", record, Self::ours(record), Self::prior(record)).await;
        if self.broken(Break::NoReadBack) && done.is_ok() {
            self.world.lock().blind.insert(record.target.id.clone(), true);
        }
        done
    }
    async fn tidy(&self, _record: &Record) -> Result<(), KindError> {
        match self.world.effect(|_| ()).await {
            Answer::Got(()) => Ok(()),
            Answer::Lost => Err(KindError::LostAnswer("reset".into())),
        }
    }
    async fn bite(&self, record: &Record) -> Bite {
        match self.read(&record.target.id).await {
            Ok(object) if object.value == "broken" => Bite::Verified,
            Ok(_) => Bite::Unproven { why: "not broken".into() },
            Err(error) => Bite::Unproven { why: error.to_string() },
        }
    }
    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let found = match self.world.effect(|inner| inner.objects.clone()).await {
            Answer::Got(objects) => objects,
            Answer::Lost => return Err(KindError::LostAnswer("reset".into())),
        };
        let record = |id: String, mark: Mark| Record {
            version: RECORD_VERSION,
            run: mark.run,
            step: mark.step.clone(),
            after: mark.after,
            kind: self.name().into(),
            action: id.starts_with("shift"),
            keep: false,
            target: TargetId { place: "sim".into(), id },
            prior: json!(mark.prior),
            ours: json!("broken"),
            invert: json!({"step": mark.step}),
            companions: vec![],
            undo_by: Timestamp::default(),
            phase: Phase::Intent,
        };
        Ok(found.into_iter().filter_map(|(id, object)| object.mark.map(|mark| record(id, mark))).collect())
    }
    fn by_hand(&self, _record: &Record) -> ByHand {
        ByHand::default()
    }
}

/// Opens kinds and probes of the in-memory world.
pub struct Source(pub World);

impl KindSource for Source {
    fn for_step(&self, _drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(SimKind { world: self.0.clone(), step: step.id.clone() }))
    }
    fn for_record(&self, record: &Record) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(SimKind { world: self.0.clone(), step: record.step.clone() }))
    }
    fn everywhere(&self) -> Vec<Arc<dyn Kind>> {
        vec![Arc::new(SimKind { world: self.0.clone(), step: String::new() })]
    }
}

struct SimProbe {
    world: World,
    what: String,
}

#[async_trait]
impl Probe for SimProbe {
    /// `checkout` is bad while a node is broken and traffic was not shifted; `healthy` is good when no node is broken.
    async fn read(&self) -> Reading {
        let inner = self.world.lock();
        let ours = |prefix: &str| inner.objects.iter().any(|(id, object)| id.starts_with(prefix) && object.mark.is_some());
        let good = match self.what.as_str() {
            "healthy" => !ours("node") && !inner.objects.contains_key("sick"),
            _ => !ours("node") || ours("shift"),
        };
        Reading { health: if good { Health::Good } else { Health::Bad }, detail: None, canary: None }
    }
    fn timed_out(&self) -> Reading {
        Reading { health: Health::Bad, detail: None, canary: None }
    }
    fn describe(&self) -> String {
        self.what.clone()
    }
}

impl ProbeSource for Source {
    fn open(&self, spec: &ProbeSpec, _run: &str) -> Result<Arc<dyn Probe>, String> {
        let what = spec.http.as_ref().map(|http| http.url.clone()).unwrap_or_default();
        Ok(Arc::new(SimProbe { world: self.0.clone(), what }))
    }
}
