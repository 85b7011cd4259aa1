//! What every Kubernetes kind keeps, case by case, on a real API server. The suite prints a table kind × case.

use std::fmt;

use firedrill::event::Phase;
use firedrill::fault::{Bite, KindError, Observed, Record};
use serde_json::{Value, json};

use super::ground::{Ground, run_id};
use super::testbed::{Cluster, Options, Testbed, eventually};
use super::{dns, egress, gateway_rules, nodes, pod_kill, scale, service};

/// A kind under test, and what other people do to its target, by kubectl.
pub trait Subject: Sync {
    /// As written in files.
    fn kind(&self) -> &'static str;
    /// Makes what a case works on.
    fn make(&self, on: &On<'_>) {
        on.cluster.namespace(&on.namespace, 3, 1);
    }
    /// `{"fault": …}` or `{"action": …}`.
    fn step(&self, on: &On<'_>) -> Value;
    /// What a client that is not firedrill sees of the fault; `Err`: that nothing is wrong, and how it is.
    fn bites(&self, on: &On<'_>) -> Result<(), String>;
    /// False where no client on the testbed could see it: then the kind says that it is not proven.
    fn provable(&self) -> bool {
        true
    }
    /// Puts the target into the fault state before firedrill comes. False: there is no such state.
    fn already(&self, _on: &On<'_>) -> bool {
        false
    }
    /// Someone else changes the target in the hold, so that it is neither as before nor as firedrill made it. False: there is no such change.
    fn theirs(&self, _on: &On<'_>) -> bool {
        false
    }
    /// Deletes the target and makes another with its name. False: it has none that could be.
    fn replace(&self, _on: &On<'_>) -> bool {
        false
    }
    /// Copies our marks back after the undo, as templates and rollbacks do. False: nothing copies them.
    fn ghost(&self, _on: &On<'_>, _record: &Record) -> bool {
        false
    }
    /// Changes the target between plan and inject, so that the guard must not hold. False: nothing to guard.
    fn meanwhile(&self, on: &On<'_>) -> bool {
        self.already(on)
    }
    /// Everything that the kind may touch, without what moves by itself.
    fn state(&self, on: &On<'_>) -> Value {
        json!(on.cluster.dump_namespace(&on.namespace).objects)
    }
}

/// Where a case works: nobody else does.
pub struct On<'a> {
    pub cluster: &'a Cluster,
    pub namespace: String,
    /// A node of its own.
    pub node: String,
}

/// How a case ended, when it ended as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Held,
    Noop,
    Inconclusive,
    /// The kind has no such state.
    Without,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "ok",
            Self::Noop => "noop",
            Self::Inconclusive => "inconclusive",
            Self::Without => "–",
        })
    }
}

type Ended = Result<Seen, String>;

/// What a case is called in the table, and what it does.
const CASES: [&str; 10] = ["undone", "twice", "undone twice", "never", "already", "guarded", "drifted", "replaced", "ghost", "found by sweep"];

struct Case<'a> {
    ground: &'a Ground,
    subject: &'a dyn Subject,
    on: On<'a>,
}

impl Case<'_> {
    async fn run(&self, name: &str) -> Ended {
        self.subject.make(&self.on);
        match name {
            "undone" => self.undone().await,
            "twice" => self.twice().await,
            "undone twice" => self.undone_twice().await,
            "never" => self.never().await,
            "already" => self.already().await,
            "guarded" => self.guarded().await,
            "drifted" => self.drifted().await,
            "replaced" => self.replaced().await,
            "ghost" => self.ghost().await,
            "found by sweep" => self.swept().await,
            other => Err(format!("no case '{other}'")),
        }
    }

    async fn planned(&self) -> (Value, Vec<Record>) {
        let step = self.subject.step(&self.on);
        let records = self.ground.records(&run_id(), &step).await;
        assert!(!records.is_empty());
        (step, records)
    }

    async fn injected(&self) -> Result<(Value, Vec<Record>), String> {
        let (step, records) = self.planned().await;
        self.ground.inject(&step, &records).await.map_err(|error| format!("inject: {error}"))?;
        Ok((step, records))
    }

    async fn ends(&self, records: &[Record], phase: Phase, expected: &[Phase]) -> Result<(), String> {
        let ended = self.ground.undo(records, phase).await;
        match ended.iter().find(|(phase, _)| !expected.contains(phase)) {
            Some((phase, why)) => Err(format!("ended {phase:?} ({why}), not {expected:?}")),
            None => Ok(()),
        }
    }

    /// Waits until all is as it was: controllers need a moment.
    fn same(&self, before: &Value) -> Result<(), String> {
        let mut last = Value::Null;
        for _ in 0..50 {
            last = self.subject.state(&self.on);
            if last == *before {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        Err(format!("it was\n{before}\nand is\n{last}"))
    }

    /// Inject, verify, seen by another client, revert, read back.
    async fn undone(&self) -> Ended {
        if let Ok(()) = self.subject.bites(&self.on) {
            return Err("it bites before it is injected".to_owned());
        }
        let before = self.subject.state(&self.on);
        let (step, records) = self.injected().await?;
        let kind = self.ground.kind(&step);
        let mut seen = Seen::Held;
        for record in &records {
            if self.subject.provable() {
                eventually_async(|| async {
                    match kind.bite(record).await {
                        Bite::Verified => Ok(()),
                        Bite::Unproven { why } | Bite::Unprovable { why } => Err(why),
                    }
                })
                .await?;
            } else if kind.bite(record).await == Bite::Verified {
                return Err("says that it bites, which nobody can see here".to_owned());
            } else {
                seen = Seen::Inconclusive;
            }
        }
        if self.subject.provable() {
            eventually(|| self.subject.bites(&self.on));
        }
        self.ends(&records, Phase::Verified, &[Phase::Reverted]).await?;
        self.same(&before)?;
        Ok(seen)
    }

    /// Twice is once: after a crash nobody knows whether the first call arrived.
    async fn twice(&self) -> Ended {
        let before = self.subject.state(&self.on);
        let (step, records) = self.injected().await?;
        let kind = self.ground.kind(&step);
        for record in &records {
            match kind.inject(record).await {
                Ok(()) => {}
                // A guard may say no to the second call; then reading back tells that the first one did it.
                Err(KindError::Conflict(_)) if matches!(kind.observe(record).await, Observed::Ours { marked: true }) => {}
                Err(error) => return Err(format!("the second inject: {error}")),
            }
        }
        self.ends(&records, Phase::Injected, &[Phase::Reverted]).await?;
        self.same(&before)?;
        Ok(Seen::Held)
    }

    async fn undone_twice(&self) -> Ended {
        let before = self.subject.state(&self.on);
        let (_, records) = self.injected().await?;
        self.ends(&records, Phase::Injected, &[Phase::Reverted]).await?;
        self.ends(&records, Phase::Injected, &[Phase::Reverted]).await?;
        self.same(&before)?;
        Ok(Seen::Held)
    }

    async fn never(&self) -> Ended {
        let before = self.subject.state(&self.on);
        let (_, records) = self.planned().await;
        self.ends(&records, Phase::Intent, &[Phase::Reverted]).await?;
        self.same(&before)?;
        Ok(Seen::Held)
    }

    async fn already(&self) -> Ended {
        if !self.subject.already(&self.on) {
            return Ok(Seen::Without);
        }
        let before = self.subject.state(&self.on);
        let (_, records) = self.planned().await;
        if let Some(other) = records.iter().find(|record| record.phase != Phase::Noop) {
            return Err(format!("{} is {:?}, not Noop", other.target, other.phase));
        }
        self.same(&before)?;
        Ok(Seen::Noop)
    }

    /// The target changed between plan and inject: nothing is written (a failed test is 422, a taken name 409).
    async fn guarded(&self) -> Ended {
        let (step, records) = self.planned().await;
        if !self.subject.meanwhile(&self.on) {
            return Ok(Seen::Without);
        }
        let before = self.subject.state(&self.on);
        if let Ok(()) = self.ground.inject(&step, &records).await {
            return Err("it wrote over someone else's change".to_owned());
        }
        let ended = self.ground.undo(&records, Phase::Intent).await;
        if let Some((phase, why)) = ended.iter().find(|(phase, _)| !phase.is_closed()) {
            return Err(format!("ended {phase:?}: {why}"));
        }
        self.same(&before)?;
        Ok(Seen::Held)
    }

    async fn drifted(&self) -> Ended {
        let (_, records) = self.injected().await?;
        if !self.subject.theirs(&self.on) {
            self.ends(&records, Phase::Verified, &[Phase::Reverted]).await?;
            return Ok(Seen::Without);
        }
        self.ends(&records, Phase::Verified, &[Phase::Drifted]).await?;
        let theirs = self.subject.state(&self.on);
        self.ends(&records, Phase::Verified, &[Phase::Drifted, Phase::Reverted]).await?;
        self.same(&theirs)?;
        Ok(Seen::Held)
    }

    async fn replaced(&self) -> Ended {
        let (_, records) = self.injected().await?;
        if !self.subject.replace(&self.on) {
            self.ends(&records, Phase::Verified, &[Phase::Reverted]).await?;
            return Ok(Seen::Without);
        }
        // Our companion goes with its target; the new object, and all else, stays as it is.
        let theirs = without_companions(self.subject.state(&self.on));
        self.ends(&records, Phase::Verified, &[Phase::Gone]).await?;
        if !self.ground.discovered(&records[0].run).await.is_empty() {
            return Err("something of the run is still found".to_owned());
        }
        let now = without_companions(self.subject.state(&self.on));
        if now != theirs {
            return Err(format!("the new object was touched: it was\n{theirs}\nand is\n{now}"));
        }
        Ok(Seen::Held)
    }

    async fn ghost(&self) -> Ended {
        let (_, records) = self.injected().await?;
        let there = self.subject.ghost(&self.on, &records[0]);
        self.ends(&records, Phase::Verified, if there { &[Phase::Reverted, Phase::Drifted] } else { &[Phase::Reverted] }).await?;
        if !there {
            return Ok(Seen::Without);
        }
        if !self.ground.discovered(&records[0].run).await.is_empty() {
            return Err("a ghost is taken for a fault".to_owned());
        }
        Ok(Seen::Held)
    }

    /// With the journal lost the marks are enough.
    async fn swept(&self) -> Ended {
        let before = self.subject.state(&self.on);
        let (_, records) = self.injected().await?;
        let found = self.ground.discovered(&records[0].run).await;
        if found.is_empty() && records.iter().all(|record| record.companions.is_empty()) && self.subject.kind() == "podKill" {
            return Ok(Seen::Without);
        }
        let ids = |records: &[Record]| {
            let mut ids: Vec<String> = records.iter().map(|record| record.target.to_string()).collect();
            ids.sort();
            ids
        };
        if ids(&found) != ids(&records) {
            return Err(format!("found {:?}, not {:?}", ids(&found), ids(&records)));
        }
        if let Some(other) = found.iter().find(|found| !records.iter().any(|record| (&record.prior, &record.ours) == (&found.prior, &found.ours))) {
            return Err(format!("the mark of {} says {} and {}", other.target, other.prior, other.ours));
        }
        self.ends(&found, Phase::Injected, &[Phase::Reverted]).await?;
        self.same(&before)?;
        Ok(Seen::Held)
    }
}

async fn eventually_async<F: Future<Output = Result<(), String>>>(look: impl Fn() -> F) -> Result<(), String> {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        match look().await {
            Ok(()) => return Ok(()),
            Err(why) if tokio::time::Instant::now() > end => return Err(format!("after a minute: {why}")),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
        }
    }
}

/// A state without the `ConfigMap`s that firedrill makes beside a target.
fn without_companions(mut state: Value) -> Value {
    if let Some(objects) = state.as_object_mut() {
        objects.retain(|key, _| !(key.starts_with("ConfigMap ") && key.contains("/firedrill-")));
    }
    state
}

/// Every kind of this suite.
fn subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(nodes::Cordon),
        Box::new(nodes::Drain),
        Box::new(scale::Down),
        Box::new(egress::Egress),
        Box::new(dns::Dns),
        Box::new(pod_kill::Kill),
        Box::new(service::Blackhole),
    ]
}

/// The kinds of gateways that are steered through a cluster.
fn gateways() -> Vec<Box<dyn Subject>> {
    gateway_rules::kinds().into_iter().map(|kind| Box::new(kind) as Box<dyn Subject>).collect()
}

/// Where a case works.
fn namespace(kind: &str, case: &str) -> String {
    format!("{}-{}", kind.to_lowercase(), case.replace(' ', "-"))
}

/// The ground of a bed that knows the gateways of every case too.
fn ground(bed: &Testbed) -> Ground {
    gateway_rules::define(bed.east());
    let all = gateway_rules::kinds();
    let namespaces = all.iter().flat_map(|kind| CASES.into_iter().chain([DEAD]).map(|case| namespace(kind.kind(), case)));
    let namespaces: Vec<String> = namespaces.collect();
    Ground::new(bed).changed(|environment| gateway_rules::allow(environment, &namespaces))
}

/// The case of an API server that is dead when everything is to be undone.
const DEAD: &str = "dead";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_kind_keeps_the_contract_on_a_real_api_server() {
    let bed = Testbed::start(Options { nodes: 12, pods: 12, deployments: 4, max_unavailable: "100%", ..Options::ONE });
    let subjects = subjects();
    keep(&bed, &Ground::new(&bed), &subjects).await;
    let built = subjects.iter().map(|subject| subject.kind()).collect::<std::collections::BTreeSet<_>>();
    let missing: Vec<&str> = kinds_of_clusters().into_iter().filter(|kind| !built.contains(kind)).collect();
    assert!(missing.is_empty(), "kinds without a contract: {missing:?}");
}

// Apart from the others, whose drains have a limit: curl waits, and all cases of a test take turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_gateway_kind_keeps_the_contract_through_a_cluster() {
    let bed = Testbed::start(Options::ONE);
    keep(&bed, &ground(&bed), &gateways()).await;
}

async fn keep(bed: &Testbed, ground: &Ground, subjects: &[Box<dyn Subject>]) {
    // A thread each: what one row waits for by kubectl would count against the limits of the others.
    let runtime = tokio::runtime::Handle::current();
    let table: Vec<(&str, Vec<(&str, Ended)>)> = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let rows = subjects.iter().enumerate().map(|(number, subject)| row(bed, ground, number, subject.as_ref()));
            let rows: Vec<_> = rows.map(|row| scope.spawn(|| runtime.block_on(row))).collect();
            rows.into_iter().map(|row| row.join().unwrap_or_else(|why| std::panic::resume_unwind(why))).collect()
        })
    });
    print_table(&table);
    let failed: Vec<String> = (table.iter())
        .flat_map(|(kind, ended)| ended.iter().filter_map(move |(case, ended)| Some(format!("{kind}, {case}: {}", ended.as_ref().err()?))))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Every case of a kind, one after the other, on a node of its own.
async fn row(bed: &Testbed, ground: &Ground, number: usize, subject: &dyn Subject) -> (&'static str, Vec<(&'static str, Ended)>) {
    let cluster = bed.east();
    let mut ended = Vec::new();
    for name in CASES {
        let namespace = namespace(subject.kind(), name);
        let node = cluster.kubectl(&["get", "nodes", "-o", "name"]);
        let node = node.lines().cycle().nth(number).unwrap().trim_start_matches("node/").to_owned();
        let case = Case { ground, subject, on: On { cluster, namespace, node } };
        ended.push((name, case.run(name).await));
    }
    (subject.kind(), ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_undone_while_the_api_server_is_dead_is_undone_when_it_is_back() {
    let bed = Testbed::start(Options { nodes: 12, pods: 12, deployments: 4, max_unavailable: "100%", ..Options::ONE });
    let ground = ground(&bed);
    let (subjects, cluster): (Vec<_>, _) = (subjects().into_iter().chain(gateways()).collect(), bed.east());
    let nodes = cluster.kubectl(&["get", "nodes", "-o", "name"]);
    let mut injected = Vec::new();
    for (subject, node) in subjects.iter().zip(nodes.lines().cycle()) {
        let on = On { cluster, namespace: namespace(subject.kind(), DEAD), node: node.trim_start_matches("node/").to_owned() };
        let case = Case { ground: &ground, subject: subject.as_ref(), on };
        case.subject.make(&case.on);
        let before = case.subject.state(&case.on);
        let (_, records) = case.injected().await.unwrap_or_else(|why| panic!("{}: {why}", subject.kind()));
        injected.push((case, before, records));
    }
    bed.kill_apiserver("east");
    let undone = injected.iter().map(|(case, _, records)| async {
        let ended = case.ends(records, Phase::Verified, &[Phase::Reverted]).await;
        ended.map_err(|why| format!("{}: {why}", case.subject.kind()))
    });
    let back = async {
        // The first attempts have failed by now.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        tokio::task::block_in_place(|| bed.start_apiserver("east"));
    };
    let (undone, ()) = futures::future::join(futures::future::join_all(undone), back).await;
    let failed: Vec<String> = undone.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{failed:?}");
    for (case, before, _) in &injected {
        case.same(before).unwrap_or_else(|why| panic!("{}: {why}", case.subject.kind()));
    }
}

/// Kinds that work on a cluster and that this build runs.
fn kinds_of_clusters() -> Vec<&'static str> {
    use firedrill::fault::params::{ActionSpec, FaultSpec};
    let built = FaultSpec::KINDS.iter().chain(ActionSpec::KINDS).filter(|kind| (kind.about)().is_some());
    let on_clusters = built.filter(|kind| (kind.schema)().to_value().pointer("/properties/cluster").is_some());
    on_clusters.map(|kind| kind.name).collect()
}

#[allow(clippy::print_stdout)]
fn print_table(table: &[(&str, Vec<(&str, Ended)>)]) {
    println!("\n{:18}{}", "", CASES.map(|case| format!("{case:>15}")).concat());
    for (kind, ended) in table {
        let cells: String = ended.iter().map(|(_, ended)| format!("{:>15}", ended.as_ref().map_or("FAILED".to_owned(), Seen::to_string))).collect();
        println!("{kind:18}{cells}");
    }
    let count = |wanted: Seen| table.iter().flat_map(|(_, ended)| ended).filter(|(_, ended)| *ended == Ok(wanted)).count();
    println!(
        "{} held, {} noop, {} inconclusive, {} without such a state\n",
        count(Seen::Held),
        count(Seen::Noop),
        count(Seen::Inconclusive),
        count(Seen::Without)
    );
}
