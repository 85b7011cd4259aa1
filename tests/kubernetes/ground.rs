//! One step of a drill by hand: planned, injected and undone by the engine's own code, on the clusters of a testbed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use firedrill::clock::{Clock, Timestamp};
use firedrill::cluster::access::Access;
use firedrill::drill::load::{Options, load_environment_with};
use firedrill::drill::spec::{DrillSpec, EnvironmentSpec};
use firedrill::engine::control::{Control, Controlled};
use firedrill::engine::ledger::Ledger;
use firedrill::engine::log::EventLog;
use firedrill::engine::undo::Undo;
use firedrill::engine::{Answer, People, World};
use firedrill::event::Phase;
use firedrill::fault::registry::Registry;
use firedrill::fault::{Bite, Kind, KindError, KindSource, Progress, Record};
use firedrill::journal::sqlite::Sqlite;
use firedrill::journal::{Journal, RunHeader};
use firedrill::plan::{self, Plan};
use firedrill::probe::open::Opener;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::testbed::{Testbed, User};

/// An environment, a journal, and what the engine needs of both.
pub struct Ground {
    pub environment: EnvironmentSpec,
    pub kinds: Arc<Registry>,
    journal: Arc<Sqlite>,
    _state: tempfile::TempDir,
}

struct Nobody;

#[async_trait]
impl People for Nobody {
    async fn ask(&self, _: &str, _: &str, _: &str, _: Timestamp) -> Answer {
        Answer::Done
    }
}

impl Ground {
    pub fn new(bed: &Testbed) -> Self {
        let loaded = load_environment_with(bed.environment.to_str().unwrap(), &Options::default()).unwrap();
        let mut environment = loaded.value.spec;
        for cluster in &mut environment.kubernetes {
            let file = cluster.connection.kubeconfig_file.take().unwrap();
            cluster.connection.kubeconfig_file = Some(bed.directory.join(file).display().to_string());
        }
        Self::of(environment)
    }

    /// As a user of one cluster, with what the test gave it.
    pub fn as_user(bed: &Testbed, cluster: &str, user: &User) -> Self {
        let mut environment = Self::new(bed).environment;
        let its = environment.kubernetes.iter_mut().find(|one| one.name == cluster).unwrap();
        its.connection.kubeconfig_file = Some(user.kubeconfig.display().to_string());
        Self::of(environment)
    }

    /// In an environment that a test has changed.
    pub fn of(environment: EnvironmentSpec) -> Self {
        let state = tempfile::tempdir().unwrap();
        let (kinds, journal) = (Arc::new(Registry::new(&environment)), Arc::new(Sqlite::open(state.path()).unwrap()));
        Self { environment, kinds, journal, _state: state }
    }

    /// The same with AWS's address ranges of a file.
    pub fn with_ranges(self, file: &str) -> Self {
        self.changed(|environment| environment.network.get_or_insert_default().aws_address_ranges = Some(file.to_owned()))
    }

    /// The same with a protected namespace.
    pub fn protecting(self, namespace: &str) -> Self {
        self.changed(|environment| environment.protect.get_or_insert_default().namespaces.push(namespace.to_owned()))
    }

    /// The same in an environment that says something else.
    pub fn changed(mut self, change: impl FnOnce(&mut EnvironmentSpec)) -> Self {
        change(&mut self.environment);
        self.kinds = Arc::new(Registry::new(&self.environment));
        self
    }

    /// Resolves a drill of one step, `{"fault": …}` or `{"action": …}`.
    pub async fn plan(&self, run: &str, step: &Value) -> Plan {
        let mut step = step.clone();
        step["id"] = json!("example");
        let spec = DrillSpec {
            failed_region: "us-east-1".to_owned(),
            surviving_regions: vec!["us-west-2".to_owned()],
            steps: vec![serde_json::from_value(step).unwrap()],
            undo_by: serde_json::from_value(json!("1h")).unwrap(),
            ..serde_json::from_value(json!({
                "summary": "s", "owner": "o", "hypothesis": "h", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "hold": "1m",
                "undoBy": "1h", "objectives": [], "steps": [],
            }))
            .unwrap()
        };
        plan::resolve(run, &spec, &self.environment, self.kinds.as_ref(), Timestamp::from(SystemTime::now())).await
    }

    /// The frozen targets of a step that must be allowed.
    pub async fn records(&self, run: &str, step: &Value) -> Vec<Record> {
        let plan = self.plan(run, step).await;
        assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
        plan.steps.into_iter().flat_map(|step| step.records).collect()
    }

    /// The kind of a step, as the plan opens it.
    pub fn kind(&self, step: &Value) -> Arc<dyn Kind> {
        let mut step = step.clone();
        step["id"] = json!("example");
        let drill = DrillSpec { failed_region: "us-east-1".to_owned(), ..DrillSpec::default() };
        self.kinds.for_step(&drill, &serde_json::from_value(step).unwrap()).unwrap()
    }

    /// Injects, and goes on until all was asked for, for half a minute at most.
    pub async fn inject(&self, step: &Value, records: &[Record]) -> Result<(), KindError> {
        let kind = self.kind(step);
        let end = tokio::time::Instant::now() + Duration::from_secs(30);
        for record in records {
            kind.inject(record).await?;
            loop {
                match kind.proceed(record).await? {
                    Progress::Done => break,
                    Progress::Waiting { why } if tokio::time::Instant::now() > end => return Err(KindError::Failed(why)),
                    Progress::Waiting { .. } => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        }
        Ok(())
    }

    /// Undoes as the engine does at the end of a run; the phases that targets end in, and why.
    pub async fn undo(&self, records: &[Record], phase: Phase) -> Vec<(Phase, String)> {
        let records: Vec<Record> = records.iter().cloned().map(|record| Record { phase, ..record }).collect();
        let run = records[0].run.clone();
        let header = RunHeader {
            run: run.clone(),
            drill: "contract".to_owned(),
            environment: "testbed".to_owned(),
            drill_document: Value::Null,
            environment_document: Value::Null,
            started: Timestamp::from(SystemTime::now()),
        };
        // A second undo of the same run finds it there.
        let _ = self.journal.open_run(&header).await;
        let _ = self.journal.commit_intents(&records).await;
        let clock = Clock::system();
        let (sinks, mut told) = mpsc::unbounded_channel();
        let log = EventLog::new(&run, clock, self.journal.clone(), sinks, Vec::new());
        let world = World {
            clock,
            journal: self.journal.clone(),
            kinds: self.kinds.clone(),
            probes: Arc::new(Opener::new(&self.environment, clock)),
            people: Arc::new(Nobody),
        };
        let (_control, Controlled { urgency, .. }) = Control::new();
        let ledger = Ledger::new(&run, self.journal.clone(), log.clone(), records.clone());
        Undo { world, ledger: ledger.clone(), log, urgency, watch_for_loss: false }.all(records.clone()).await;
        let mut details = std::collections::HashMap::new();
        while let Ok(event) = told.try_recv() {
            if let firedrill::event::Event::TargetPhase { target, detail: Some(detail), .. } = event.body {
                details.insert(target, detail);
            }
        }
        let ended = ledger.all();
        ended.iter().map(|record| (record.phase, details.remove(&record.target.to_string()).unwrap_or_default())).collect()
    }

    /// Waits until a target is seen to bite, for half a minute at most.
    pub async fn bites(&self, step: &Value, record: &Record) {
        let (kind, end) = (self.kind(step), tokio::time::Instant::now() + Duration::from_secs(30));
        while let Bite::Unproven { why } = kind.bite(record).await {
            assert!(tokio::time::Instant::now() < end, "{why}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What sweep finds of a run, by the marks alone.
    pub async fn discovered(&self, run: &str) -> Vec<Record> {
        let mut found = Vec::new();
        for kind in self.kinds.everywhere() {
            found.extend(kind.discover().await.unwrap().into_iter().filter(|record| record.run == run));
        }
        found
    }
}

/// A run id of its own for each case: a ULID, as the product makes them.
pub fn run_id() -> String {
    ulid::Ulid::generate().to_string()
}

/// Roles that allow exactly this, as documents: what `firedrill policy` would print.
pub fn roles(allowed: &[Access], name: &str) -> String {
    let role = |(number, access): (usize, &Access)| {
        let names: Vec<&String> = access.name.iter().collect();
        let rule = json!({"apiGroups": [access.group], "resources": [access.resource], "verbs": [access.verb], "resourceNames": names});
        let kind = if access.namespace.is_some() { "Role" } else { "ClusterRole" };
        let mut metadata = json!({"name": format!("{name}-{number}")});
        if let Some(namespace) = &access.namespace {
            metadata["namespace"] = json!(namespace);
        }
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": [rule]}).to_string()
    };
    allowed.iter().enumerate().map(role).collect::<Vec<_>>().join("\n---\n")
}
