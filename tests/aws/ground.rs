//! One step of a drill by hand: planned, injected and undone by the engine's own code, in an account of the emulator.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_sts::config::{Credentials as Keys, SharedCredentialsProvider};
use firedrill::aws::Accounts;
use firedrill::clock::{Clock, Timestamp};
use firedrill::cluster::Clusters;
use firedrill::drill::load::{Options, load_environment_with};
use firedrill::drill::spec::{DrillSpec, EnvironmentSpec, Step};
use firedrill::engine::control::{Control, Controlled};
use firedrill::engine::forward::Forward;
use firedrill::engine::ledger::Ledger;
use firedrill::engine::log::EventLog;
use firedrill::engine::undo::Undo;
use firedrill::engine::{Answer, People, World};
use firedrill::event::{Event, Phase, RunEvent, StepOutcome};
use firedrill::fault::registry::Registry;
use firedrill::fault::{Bite, ByHand, Expiry, Kind, KindError, KindSource, Observed, Prepared, Record, TargetId};
use firedrill::journal::sqlite::Sqlite;
use firedrill::journal::{Journal, RunHeader};
use firedrill::plan::{self, Plan};
use firedrill::probe::open::Opener;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::testbed::{Aws, Credentials};

/// Longest that a step of a test may take.
const LIMIT: Duration = Duration::from_secs(300);

/// An environment, who calls, a journal, and what the engine needs of them.
pub struct Ground {
    pub environment: EnvironmentSpec,
    pub kinds: Arc<Registry>,
    accounts: Accounts,
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

/// Kinds whose late calls need no waiting for: the emulator carries a call out before it answers, or never.
struct Hasty<T>(Arc<T>);

impl KindSource for Hasty<Registry> {
    fn for_step(&self, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        self.0.for_step(drill, step)
    }

    fn for_record(&self, record: &Record) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Hasty(Arc::new(self.0.for_record(record)?))))
    }

    fn everywhere(&self) -> Vec<Arc<dyn Kind>> {
        self.0.everywhere()
    }
}

#[async_trait]
impl Kind for Hasty<Arc<dyn Kind>> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn expiry(&self) -> Expiry {
        self.0.expiry()
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(10)
    }

    fn momentary(&self) -> bool {
        self.0.momentary()
    }

    async fn resolve(&self, run: &str) -> Result<Vec<TargetId>, KindError> {
        self.0.resolve(run).await
    }

    async fn prepare(&self, run: &str, target: &TargetId, undo_by: Timestamp) -> Result<Prepared, KindError> {
        self.0.prepare(run, target, undo_by).await
    }

    fn invert(&self) -> Value {
        self.0.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        self.0.inject(record).await
    }

    async fn observe(&self, record: &Record) -> Observed {
        self.0.observe(record).await
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        self.0.revert(record).await
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        self.0.tidy(record).await
    }

    async fn bite(&self, record: &Record) -> Bite {
        self.0.bite(record).await
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        self.0.discover().await
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        self.0.by_hand(record)
    }
}

impl Ground {
    /// As the administrator, in the emulator's own environment.
    pub fn new(aws: &Aws) -> Self {
        Self::as_user(aws, &aws.administrator)
    }

    /// As somebody else.
    pub fn as_user(aws: &Aws, who: &Credentials) -> Self {
        let loaded = load_environment_with(aws.environment.to_str().unwrap(), &Options::default()).unwrap();
        let keys = Keys::new(&who.access_key_id, &who.secret_access_key, who.session_token.clone(), None, "test");
        Self::of(loaded.value.spec, Accounts::as_caller(SharedCredentialsProvider::new(keys)))
    }

    fn of(environment: EnvironmentSpec, accounts: Accounts) -> Self {
        let state = tempfile::tempdir().unwrap();
        let kinds = Arc::new(Registry::sharing(&environment, (Clusters::default(), accounts.clone())));
        Self { environment, kinds, accounts, journal: Arc::new(Sqlite::open(state.path()).unwrap()), _state: state }
    }

    /// The same caller in an environment that says something else.
    pub fn changed(&self, change: impl FnOnce(&mut EnvironmentSpec)) -> Self {
        let mut environment = self.environment.clone();
        change(&mut environment);
        Self::of(environment, self.accounts.clone())
    }

    /// The same caller, who needs no role but the dead-man's.
    pub fn without_roles(&self) -> Self {
        self.changed(|environment| environment.aws.iter_mut().for_each(|account| (account.role_arn, account.undo_role_arn) = (None, None)))
    }

    /// The administrator in the same environment, as a process that starts now: nothing is connected, nothing is remembered.
    pub fn afresh(&self, aws: &Aws) -> Self {
        Self::of(self.environment.clone(), Self::new(aws).accounts)
    }

    /// Its connections, for probes.
    pub fn accounts(&self) -> Accounts {
        self.accounts.clone()
    }

    /// A drill of one step, `{"fault": …}` or `{"action": …}`.
    pub fn drill(step: &Value) -> DrillSpec {
        let mut step = step.clone();
        step["id"] = json!("example");
        serde_json::from_value(json!({
            "summary": "s", "owner": "o", "hypothesis": "h", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "hold": "1m",
            "undoBy": "1h", "objectives": [], "steps": [step],
        }))
        .unwrap()
    }

    pub async fn plan(&self, run: &str, step: &Value) -> Plan {
        plan::resolve(run, &Self::drill(step), &self.environment, self.kinds.as_ref(), Timestamp::from(SystemTime::now())).await
    }

    /// The frozen targets of a step that must be allowed.
    pub async fn records(&self, run: &str, step: &Value) -> Result<Vec<Record>, String> {
        let plan = self.plan(run, step).await;
        let records: Vec<Record> = plan.steps.into_iter().flat_map(|step| step.records).collect();
        if plan.refusals.is_empty() && !records.is_empty() { Ok(records) } else { Err(format!("the plan refuses: {:?}", plan.refusals)) }
    }

    /// The kind of a step, as the plan opens it.
    pub fn kind(&self, step: &Value) -> Arc<dyn Kind> {
        let drill = Self::drill(step);
        self.kinds.for_step(&drill, &drill.steps[0]).unwrap()
    }

    /// Intent, inject, verify, as a run does: how the step ended, and its records with their phases.
    pub async fn forward(&self, step: &Value, records: Vec<Record>) -> (StepOutcome, Vec<Record>) {
        let (ledger, log, _told) = self.remember(&records[0].run, Vec::new()).await;
        let (clock, cancel, kind) = (Clock::system(), CancellationToken::new(), self.kind(step));
        let limit = clock.now().plus(LIMIT);
        let forward = Forward { clock: &clock, ledger: &ledger, log: &log, kind: kind.as_ref(), step: "example", limit, cancel: &cancel };
        let outcome = forward.go(records).await;
        (outcome, ledger.all())
    }

    /// Undoes as the engine does at the end of a run; the phases that targets end in, and why.
    pub async fn undo(&self, records: &[Record]) -> Vec<(Phase, String)> {
        let records: Vec<Record> = records.iter().filter(|record| record.phase != Phase::Noop).cloned().collect();
        if records.is_empty() {
            return Vec::new();
        }
        let (ledger, log, mut told) = self.remember(&records[0].run, records.clone()).await;
        // What a journal did not know is in it now; what it knew stays.
        let _ = self.journal.commit_intents(&records).await;
        let clock = Clock::system();
        let world = World {
            clock,
            journal: self.journal.clone(),
            kinds: Arc::new(Hasty(self.kinds.clone())),
            probes: Arc::new(Opener::sharing(&self.environment, clock, (Clusters::default(), self.accounts.clone()))),
            people: Arc::new(Nobody),
        };
        let (_control, Controlled { urgency, .. }) = Control::new();
        Undo { world, ledger: ledger.clone(), log, urgency, watch_for_loss: false }.all(records).await;
        let mut details = HashMap::new();
        while let Ok(event) = told.try_recv() {
            if let Event::TargetPhase { target, detail: Some(detail), .. } = event.body {
                details.insert(target, detail);
            }
        }
        ledger.all().iter().map(|record| (record.phase, details.remove(&record.target.to_string()).unwrap_or_default())).collect()
    }

    /// What sweep finds of a run, by the marks alone.
    pub async fn discovered(&self, run: &str) -> Vec<Record> {
        let mut found = Vec::new();
        for kind in self.kinds.everywhere() {
            let mut asked = 1;
            let all = loop {
                match kind.discover().await {
                    Ok(all) => break all,
                    // Sweep says what it could not search, and people ask again: the emulator takes long to list hundreds while other tests have it.
                    Err(KindError::LostAnswer(_)) if asked < 5 => asked += 1,
                    Err(error) => panic!("discover of {}: {error}", kind.name()),
                }
            };
            found.extend(all.into_iter().filter(|record| record.run == run));
        }
        found
    }

    async fn remember(&self, run: &str, records: Vec<Record>) -> (Ledger, EventLog, mpsc::UnboundedReceiver<RunEvent>) {
        let header = RunHeader {
            run: run.to_owned(),
            drill: "contract".to_owned(),
            environment: "emulator".to_owned(),
            drill_document: Value::Null,
            environment_document: Value::Null,
            started: Timestamp::from(SystemTime::now()),
        };
        // The second time it is there.
        let _ = self.journal.open_run(&header).await;
        let (sinks, told) = mpsc::unbounded_channel();
        let log = EventLog::new(run, Clock::system(), self.journal.clone(), sinks, Vec::new());
        (Ledger::new(run, self.journal.clone(), log.clone(), records), log, told)
    }
}

/// A run id of its own for each case: a ULID, as the product makes them.
pub fn run_id() -> String {
    ulid::Ulid::generate().to_string()
}
