//! The operator as it leads: what it knows, what it does first, and the loop after that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::documents::{Run, environment_of, mistakes, run_id};
use super::drill_run::Trouble;
use super::memory::Memory;
use super::metrics::Metrics;
use super::notify::{Notice, Notifier};
use super::object::{Meta, Object, set, test};
use super::queue::{Again, Key, Queue};
use super::resource::Resource;
use super::status::{DocumentStatus, RunPhase};
use super::store::Store;
use super::tell::{self, News};
use super::volume::Volume;
use crate::clock::Clock;
use crate::cluster::api::Cluster;
use crate::engine::control::{Control, Urgency};
use crate::engine::recovery;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::prepare::recovery_world;

/// Longest that an environment is searched for leftovers before schedules go on.
const SEARCH: Duration = Duration::from_secs(30);
/// Longest that an orderly end waits for its notifications.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How often a journal that does not read is asked again for what is open, and what is still in place is tried to be undone again.
pub(super) const AGAIN: Duration = Duration::from_mins(1);

/// A run that goes on in this process.
pub(super) struct Active {
    pub(super) uid: String,
    pub(super) environment: String,
    pub(super) control: Control,
    /// It was asked to stop.
    pub(super) asked: bool,
}

/// What is known of the namespace.
pub struct Stores {
    /// `Drill`s.
    pub drills: Store,
    /// `Environment`s.
    pub environments: Store,
    /// `DrillSchedule`s.
    pub schedules: Store,
    /// `DrillRun`s.
    pub runs: Store,
    /// `DrillApproval`s.
    pub approvals: Store,
}

impl Stores {
    fn all(&self) -> [&Store; 5] {
        [&self.drills, &self.environments, &self.schedules, &self.runs, &self.approvals]
    }
}

/// What whoever starts it decides.
#[derive(Debug, Default)]
pub struct Settings {
    /// Who is told outside the cluster.
    pub notifications: Notifier,
    /// Where full reports go, instead of ConfigMaps.
    pub reports: Option<Volume>,
}

/// The operator of one namespace.
pub struct Operator {
    me: Weak<Self>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) namespace: String,
    pub(super) identity: String,
    pub(super) memory: Arc<Memory>,
    pub(super) stores: Stores,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: Settings,
    /// Runs, and what tells of them.
    pub(super) tasks: TaskTracker,
    active: Mutex<HashMap<String, Active>>,
    /// Runs that failed, or left something in place, and when.
    failed: Mutex<HashMap<String, Instant>>,
    changed: mpsc::UnboundedSender<Key>,
    changes: Mutex<Option<mpsc::UnboundedReceiver<Key>>>,
}

impl Operator {
    /// The operator of a namespace. Nothing is called yet.
    ///
    /// # Errors
    /// When this machine cannot make an HTTP client for notifications.
    pub fn new(cluster: Arc<Cluster>, namespace: &str, identity: &str, mut settings: Settings) -> Result<Arc<Self>, String> {
        let (changed, changes) = mpsc::unbounded_channel();
        let metrics = Arc::new(Metrics::default());
        settings.notifications.begin(&metrics)?;
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            memory: Arc::new(Memory::new(cluster.clone(), namespace)),
            cluster,
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            stores: Stores {
                drills: Store::new(Resource::DRILL.api()),
                environments: Store::new(Resource::ENVIRONMENT.api()),
                schedules: Store::new(Resource::DRILL_SCHEDULE.api()),
                runs: Store::new(Resource::DRILL_RUN.api()),
                approvals: Store::new(Resource::DRILL_APPROVAL.api()),
            },
            metrics,
            settings,
            tasks: TaskTracker::new(),
            active: Mutex::default(),
            failed: Mutex::default(),
            changed,
            changes: Mutex::new(Some(changes)),
        }))
    }

    pub(super) fn me(&self) -> Weak<Self> {
        self.me.clone()
    }

    pub(super) fn active(&self) -> MutexGuard<'_, HashMap<String, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run is left alone for a while.
    pub(super) fn rest(&self, run: &str) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(run.to_owned(), Instant::now());
    }

    /// How long a run is still left alone.
    pub(super) fn pause(&self, run: &str) -> Option<Duration> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = AGAIN.checked_sub(failed.get(run)?.elapsed()).filter(|left| !left.is_zero());
        if left.is_none() {
            failed.remove(run);
        }
        left
    }

    /// Looks at an object again.
    pub(super) fn again(&self, key: Key) {
        let _ = self.changed.send(key);
    }

    /// Leads until a signal ends it: first what is open is undone, then what is in place without a journal is looked for, then everything else.
    pub async fn lead(self: &Arc<Self>, mut signals: mpsc::UnboundedReceiver<&'static str>) -> Exit {
        let Some(mut changes) = self.changes.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Exit::Internal };
        self.metrics.leads();
        let mut following = JoinSet::new();
        for index in 0..self.stores.all().len() {
            let operator = self.clone();
            following.spawn(async move { operator.stores.all()[index].follow(&operator.cluster, &operator.namespace, &operator.changed).await });
        }
        for store in self.stores.all() {
            tokio::select! {
                () = store.synced() => {}
                // Nothing was begun.
                Some(_) = signals.recv() => return Exit::Passed,
            }
        }
        self.undo_what_is_open().await;
        self.search_environments().await;
        self.metrics.ready();
        let mut queue = Queue::default();
        let mut looks = JoinSet::new();
        loop {
            while let Some(key) = queue.take() {
                let operator = self.clone();
                looks.spawn(async move {
                    let (begun, looking, looked) = (Instant::now(), operator.clone(), key.clone());
                    // A task of its own: a defect of ours keeps no object from being looked at again.
                    let again = tokio::spawn(async move { looking.look(&looked).await }).await.unwrap_or_else(|defect| {
                        tracing::error!("internal error: {} '{}': {defect}", key.kind, key.name);
                        Again::Failed
                    });
                    operator.metrics.looked(key.kind, begun.elapsed(), again == Again::Failed);
                    (key, again)
                });
            }
            let due = queue.next_due();
            tokio::select! {
                Some(name) = signals.recv() => return self.end(name, signals).await,
                Some(Ok((key, again))) = looks.join_next() => queue.done(key, again, Instant::now()),
                Some(key) = changes.recv() => {
                    self.concerned(&key).into_iter().for_each(|other| queue.add(other));
                    queue.add(key);
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => queue.wake(Instant::now()),
            }
        }
    }

    /// Signals end it as they end a run: inject nothing more, undo in order; hurry; leave.
    async fn end(&self, first: &str, mut signals: mpsc::UnboundedReceiver<&'static str>) -> Exit {
        let tell = |name: &str| self.active().values().map(|active| active.control.signal(name)).max().unwrap_or(Urgency::Stop);
        tracing::info!("{first}: nothing more is begun; {} run(s) are undone first", self.active().len());
        tell(first);
        self.tasks.close();
        loop {
            tokio::select! {
                () = self.tasks.wait() => break,
                Some(name) = signals.recv() => if tell(name) == Urgency::Leave {
                    return Exit::StillInPlace;
                },
            }
        }
        tokio::select! {
            () = self.settings.notifications.finish(LAST_WORDS) => {}
            Some(_) = signals.recv() => {}
        }
        Exit::Passed
    }

    async fn look(self: &Arc<Self>, key: &Key) -> Again {
        let looked = match key.kind {
            kind if kind == Resource::DRILL_RUN.kind => self.look_at_run(&key.name).await,
            kind if kind == Resource::DRILL_SCHEDULE.kind => self.look_at_schedule(&key.name).await,
            kind if kind == Resource::DRILL_APPROVAL.kind => self.look_at_approval(&key.name).await,
            kind if kind == Resource::DRILL.kind => self.look_at_document(&Resource::DRILL, &self.stores.drills, &key.name).await,
            _ => self.look_at_document(&Resource::ENVIRONMENT, &self.stores.environments, &key.name).await,
        };
        looked.unwrap_or_else(|error| {
            tracing::warn!("{} '{}': {error}", key.kind, key.name);
            Again::Failed
        })
    }

    /// What else is to be looked at when this changes.
    fn concerned(&self, key: &Key) -> Vec<Key> {
        let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let of = |store: &Store, pointer: &str, kind: &'static str| {
            let named = store.get(&key.name).and_then(|value| text(&value, pointer));
            named.map(|name| Key { kind, name }).into_iter().collect()
        };
        let naming = |store: &Store, pointer: &str, kind: &'static str| -> Vec<Key> {
            let all = store.all().into_iter().filter(|value| text(value, pointer).as_ref() == Some(&key.name));
            all.filter_map(|value| text(&value, "/metadata/name")).map(|name| Key { kind, name }).collect()
        };
        if key.kind == Resource::DRILL_RUN.kind {
            let schedule: Vec<Key> = of(&self.stores.runs, "/spec/scheduled/schedule", Resource::DRILL_SCHEDULE.kind);
            return schedule.into_iter().chain(naming(&self.stores.approvals, "/spec/run", Resource::DRILL_APPROVAL.kind)).collect();
        }
        if key.kind == Resource::DRILL_APPROVAL.kind {
            return of(&self.stores.approvals, "/spec/run", Resource::DRILL_RUN.kind);
        }
        if key.kind != Resource::ENVIRONMENT.kind {
            return Vec::new();
        }
        naming(&self.stores.schedules, "/spec/environment", Resource::DRILL_SCHEDULE.kind)
    }

    /// Finishes what a dead leader left, runs whose object was taken away by force too. The undo itself goes on in tasks.
    async fn undo_what_is_open(self: &Arc<Self>) {
        let mut known: Vec<String> = Vec::new();
        for value in self.stores.runs.all() {
            let Ok(run) = Run::read(&value) else { continue };
            known.push(run_id(&run.metadata));
            let status = run.status.clone().unwrap_or_default();
            let waits = matches!(status.phase, None | Some(RunPhase::Pending | RunPhase::AwaitingApproval));
            let over = status.phase == Some(RunPhase::Over) && status.in_place == Some(0);
            if !waits
                && !over
                && let Err(error) = self.look_at_run(&run.metadata.name).await
            {
                tracing::warn!("DrillRun '{}': {error}", run.metadata.name);
            }
        }
        if self.undo_orphans(&known).await {
            return;
        }
        let operator = self.clone();
        // Not one that an end of the process waits for.
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(AGAIN).await;
                let known: Vec<String> =
                    operator.stores.runs.all().iter().filter_map(|value| Some(run_id(&Run::read(value).ok()?.metadata))).collect();
                if operator.undo_orphans(&known).await {
                    return;
                }
            }
        });
    }

    /// Runs in the journal whose object is gone. False: the journal does not read.
    async fn undo_orphans(self: &Arc<Self>, known: &[String]) -> bool {
        let open = match self.memory.open_runs().await {
            Ok(open) => open,
            Err(error) => {
                tracing::error!("what is open is not known, and nothing new is injected: {error}");
                return false;
            }
        };
        for summary in open.into_iter().filter(|summary| !known.contains(&summary.header.run) && !summary.alive) {
            let run = summary.header.run.clone();
            let begun = summary.open_records > 0 || !self.memory.events(&run).await.is_ok_and(|events| events.is_empty());
            if begun {
                self.recover(Meta { name: run.to_lowercase(), ..Meta::default() }, summary, "its DrillRun is gone, and its undo is not finished");
            } else if let Err(error) = self.memory.release(&run).await {
                tracing::warn!("run {run}: {error}");
            }
        }
        true
    }

    /// What is in place that no journal of this namespace knows: it is told, and left to a person.
    async fn search_environments(&self) {
        let searches = self.stores.environments.all().into_iter().map(|value| async move {
            let Ok(object) = Object::<Value, Value>::read(&value) else { return };
            let Ok(environment) = environment_of(&object.metadata.name, &object.spec) else { return };
            let world = recovery_world(Clock::system(), self.memory.clone(), &environment.spec);
            let name = &object.metadata.name;
            let note = match tokio::time::timeout(SEARCH, recovery::search(&world)).await {
                Ok(Ok(found)) => {
                    let strange = found.leftovers.iter().filter(|leftover| leftover.known.is_none());
                    let named: Vec<String> = strange.map(|leftover| format!("run {} ({} target(s))", leftover.run, leftover.records.len())).collect();
                    if named.is_empty() {
                        return;
                    }
                    format!(
                        "in place, and not in this journal: {}; `firedrill sweep --env FILE` names them, and undoes them with --apply",
                        named.join(", ")
                    )
                }
                Ok(Err(error)) => format!("could not be searched for what is in place: {error}"),
                Err(_) => "could not be searched for what is in place: no answer in time".to_owned(),
            };
            tracing::warn!("Environment '{name}': {note}");
            self.tell(&Resource::ENVIRONMENT, &object.metadata, News::of("LeftInPlace", true, &note).told_as(Notice::StillInPlace)).await;
        });
        futures::future::join_all(searches).await;
    }

    /// Whether a drill or an environment is valid, in its status.
    async fn look_at_document(&self, resource: &Resource, store: &Store, name: &str) -> Result<Again, Trouble> {
        let Some(value) = store.get(name) else { return Ok(Again::Changed) };
        let object = Object::<Value, DocumentStatus>::read(&value).map_err(Trouble::Unread)?;
        let mut after = object.status.clone().unwrap_or_default();
        if object.metadata.generation.is_some() && after.observed_generation == object.metadata.generation {
            return Ok(Again::Changed);
        }
        let found = mistakes(resource, &value);
        let (reason, message) = if found.is_empty() { ("Checked", "no mistake was found".to_owned()) } else { ("Invalid", found.join("; ")) };
        tell::set(&mut after.conditions, "Valid", Some(found.is_empty()), reason, &message, object.metadata.generation);
        after.observed_generation = object.metadata.generation;
        let operations = [test("/metadata/uid", &serde_json::json!(object.metadata.uid)), set("/status", &serde_json::json!(after))];
        store.put(self.cluster.patch_status(&resource.api().at(Some(&self.namespace), name), &operations).await?);
        Ok(Again::Changed)
    }
}
