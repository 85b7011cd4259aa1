//! The testbed for tests: real clusters on loopback, kubectl and DNS as independent clients, the audit log, and dumps to compare.
//!
//! A test crate takes it in with `#[path = "testbed/mod.rs"] mod testbed;` (from a folder: `"../testbed/mod.rs"`). `scripts/testbed` starts and ends
//! the processes; when the test's process dies, however it dies, they end too.
#![allow(dead_code, unused_imports, clippy::unwrap_used)] // each test binary uses its part, and tests panic

mod audit;
mod cluster;
mod dig;
mod dump;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;

pub use audit::Entry;
pub use cluster::{Cluster, User};
pub use dig::Dig;
pub use dump::Dump;

/// What is laid out. Numbers are over all clusters.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub clusters: &'static [&'static str],
    pub nodes: u32,
    /// Pods in Deployments; each cluster also has two of CoreDNS and one agent (a DaemonSet's) on each node.
    pub pods: u32,
    /// In each cluster, over the namespaces catalog, checkout, payments and search: `app-1`, `app-2`, … in each.
    pub deployments: u32,
    /// `maxUnavailable` of each Deployment's budget: `1`, `25%`.
    pub max_unavailable: &'static str,
}

impl Options {
    /// Starts fast, and is enough for most tests: 6 nodes in 3 zones and 12 pods in each of two clusters.
    pub const SMALL: Self = Self { clusters: &["east", "west"], nodes: 12, pods: 24, deployments: 4, max_unavailable: "1" };
    /// The small one, with one cluster: east.
    pub const ONE: Self = Self { clusters: &["east"], nodes: 6, pods: 12, ..Self::SMALL };
    /// 60 nodes and 600 pods: what `scripts/testbed up` starts.
    pub const FULL: Self = Self { clusters: &["east", "west"], nodes: 60, pods: 600, deployments: 20, max_unavailable: "25%" };
}

/// Running clusters. Dropped, nothing of them is left.
pub struct Testbed {
    pub clusters: Vec<Cluster>,
    /// Of the files. Gone when the testbed is.
    pub directory: PathBuf,
    /// An environment file with the clusters, as their administrator.
    pub environment: PathBuf,
    launcher: Mutex<Launcher>,
}

struct Launcher {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Description {
    environment: PathBuf,
    kubectl: PathBuf,
    clusters: Vec<cluster::Description>,
}

static SHARED: LazyLock<Testbed> = LazyLock::new(|| Testbed::start(Options::SMALL));

impl Testbed {
    /// One small testbed for all tests of this binary, started by the first one that asks. Tests keep to namespaces of their own ([`Cluster::namespace`]),
    /// and leave nodes and `kube-system` alone: who needs those, or stops components, starts a testbed.
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// Starts a testbed; nodes are Ready, Deployments Available and DNS answers when it returns, some 10 s later.
    ///
    /// # Panics
    /// With the reason, when it does not start: not built yet (`scripts/testbed build`), or a component failed (with the end of its log).
    pub fn start(options: Options) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("firedrill-testbed-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        let directory = std::env::temp_dir().join(name);
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/testbed"));
        command.args(["run", "--directory"]).arg(&directory).args(options.clusters.iter().map(|name| format!("--cluster={name}")));
        command.args([format!("--nodes={}", options.nodes), format!("--pods={}", options.pods), format!("--deployments={}", options.deployments)]);
        command.arg(format!("--max-unavailable={}", options.max_unavailable)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("scripts/testbed starts (it needs python3)");
        let (orders, mut answers) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Description>(&line) else {
            let output = process.wait_with_output().unwrap();
            panic!("the testbed did not start:\n{}", String::from_utf8_lossy(&output.stderr));
        };
        let clusters = said.clusters.into_iter().map(|one| Cluster::new(one, &said.kubectl)).collect();
        Self { clusters, directory, environment: said.environment, launcher: Mutex::new(Launcher { process, orders, answers }) }
    }

    pub fn east(&self) -> &Cluster {
        self.cluster("east")
    }

    pub fn west(&self) -> &Cluster {
        self.cluster("west")
    }

    pub fn cluster(&self, name: &str) -> &Cluster {
        self.clusters.iter().find(|one| one.name == name).expect("a cluster of this testbed")
    }

    /// Ends the API server of a cluster as a power cut would; its data stay in etcd. Connections to it are refused from now on.
    pub fn kill_apiserver(&self, cluster: &str) {
        self.kill(cluster, "kube-apiserver");
    }

    /// Starts it again at the same address, with the same certificate and tokens, and waits until it serves.
    pub fn start_apiserver(&self, cluster: &str) {
        self.restart(cluster, "kube-apiserver");
    }

    /// Ends a component: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kwok`, `coredns`.
    pub fn kill(&self, cluster: &str, component: &str) {
        self.order(&format!("kill {cluster} {component}"));
    }

    /// Starts a component that was killed, and waits until the API server is ready.
    pub fn restart(&self, cluster: &str, component: &str) {
        self.order(&format!("start {cluster} {component}"));
    }

    /// Stops a component without ending it: connections stay, and calls hang.
    pub fn freeze(&self, cluster: &str, component: &str) {
        self.order(&format!("freeze {cluster} {component}"));
    }

    /// Lets a frozen component go on: it answers what was asked meanwhile.
    pub fn thaw(&self, cluster: &str, component: &str) {
        self.order(&format!("thaw {cluster} {component}"));
    }

    /// Writes an environment file like [`Testbed::environment`] with other kubeconfigs for some clusters: what a [`User`] gives to firedrill.
    pub fn environment_as(&self, file: &Path, kubeconfigs: &[(&str, &Path)]) {
        let text = std::fs::read_to_string(&self.environment).unwrap();
        let mut environment: serde_json::Value = serde_json::from_str(&text).unwrap();
        for cluster in environment["spec"]["kubernetes"].as_array_mut().unwrap() {
            let name = cluster["name"].as_str().unwrap();
            let own = self.cluster(name).kubeconfig.as_path();
            let given = kubeconfigs.iter().find(|(one, _)| *one == name).map_or(own, |(_, path)| *path);
            cluster["connection"]["kubeconfigFile"] = given.to_str().unwrap().into();
        }
        std::fs::write(file, serde_json::to_string_pretty(&environment).unwrap()).unwrap();
    }

    /// The kubectl of this testbed; the other components lie beside it, unless KUBEBUILDER_ASSETS is set.
    pub fn kubectl_program(&self) -> PathBuf {
        self.clusters[0].kubectl.clone()
    }

    fn order(&self, order: &str) {
        let mut launcher = self.launcher.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut answer = String::new();
        let given = writeln!(launcher.orders.as_mut().unwrap(), "{order}");
        given.and_then(|()| launcher.answers.read_line(&mut answer)).expect("the testbed is running");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("the testbed is running");
        assert_eq!(answer["done"], order, "{}", answer["error"].as_str().unwrap_or_default());
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        let launcher = self.launcher.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        launcher.orders = None;
        let ended_well = launcher.process.wait().is_ok_and(|status| status.success());
        if !ended_well {
            // A component ended by itself, and took the others along: what the test complains of comes from that.
            let said = launcher.process.stderr.take().and_then(|stream| std::io::read_to_string(stream).ok()).unwrap_or_default();
            assert!(std::thread::panicking(), "the testbed ended before the test did:\n{said}");
            eprintln!("the testbed ended before the test did:\n{said}");
        }
    }
}

/// Waits until `done` says so, for two minutes at most.
///
/// # Panics
/// With what `done` last found instead.
pub fn eventually<T>(mut done: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match done() {
            Ok(value) => return value,
            Err(found) if Instant::now() > deadline => panic!("waited for two minutes; {found}"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
