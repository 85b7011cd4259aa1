//! The operator as a process of its own, on the cluster of these tests, with the permissions that it lists and nothing more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use firedrill::operator::permissions::NAMESPACED;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::ground::{created, namespace, object};
use super::testbed::{Cluster, User, eventually};

/// A running operator. Dropped, it is killed.
pub struct Operator {
    process: Child,
    log: Arc<Mutex<String>>,
    /// Where its metrics are.
    pub address: String,
}

impl Operator {
    /// Starts one, and waits until it serves.
    pub fn start(ground: &Ground, more: &[(&str, &str)]) -> Self {
        Self::start_with(ground, more, &[])
    }

    /// The same with more arguments.
    pub fn start_with(ground: &Ground, more: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::start_as(ground, &ground.user, more, arguments)
    }

    /// The same as another account, so that the audit log tells it from the first.
    pub fn start_as(ground: &Ground, account: &User, more: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
        command.args(["operator", "--namespace", &ground.name, "--listen", "127.0.0.1:0", "--lease-duration", "8s", "--kubeconfig"]);
        command.arg(&account.kubeconfig).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.env_remove("FIREDRILL_FAILPOINT").env("RUST_LOG", "info").envs(more.iter().copied());
        let mut process = command.spawn().unwrap();
        let (log, stderr) = (Arc::new(Mutex::new(String::new())), process.stderr.take().unwrap());
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut operator = Self { process, log, address: String::new() };
        operator.address = operator.says("serving /metrics, /healthz and /readyz on ");
        operator
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it logs this; what stands behind it.
    pub fn says(&self, text: &str) -> String {
        eventually(|| {
            let log = self.log();
            let found = log.lines().find_map(|line| Some(line.split_once(text)?.1.to_owned()));
            found.ok_or_else(|| format!("'{text}' is not in the log:\n{log}"))
        })
    }

    /// Waits until it leads, and has finished what was open.
    pub fn leads(&self) {
        eventually(|| if self.get("/readyz") == "leads\n" { Ok(()) } else { Err(self.log()) });
    }

    pub fn get(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for its end; its exit code, none when a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        let process = &mut self.process;
        eventually(|| process.try_wait().unwrap().ok_or_else(|| "the operator goes on".to_owned())).code()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- the operator's log\n{}", self.log());
        }
    }
}

/// A namespace with an environment and a drill that cordons nodes of its own, and a user for the operator.
pub struct Ground {
    pub cluster: &'static Cluster,
    pub name: String,
    pub user: User,
    pub node: String,
}

impl Ground {
    /// Test by test another node: the objects of these tests are the cluster's only drills.
    pub fn new(name: &str, hold: &str) -> Self {
        Self::on(namespace(name), name, hold)
    }

    /// The same in a namespace of another cluster.
    pub fn on(cluster: &'static Cluster, name: &str, hold: &str) -> Self {
        let node = format!("{name}-node");
        created(
            cluster,
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"topology.kubernetes.io/region": "us-east-1"}}}),
        );
        // For the percentages of limits.
        created(
            cluster,
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("{name}-other"), "labels": {"topology.kubernetes.io/region": "us-east-1"}}}),
        );
        let ground = Self { cluster, name: name.to_owned(), user: user(cluster, name, "operator"), node };
        ground.environment("staging", &json!({}));
        ground.drill("cordon", hold, &json!([ground.cordon()]));
        ground
    }

    /// An account with the permissions of the operator's.
    pub fn second_user(&self) -> User {
        user(self.cluster, &self.name, "second-operator")
    }

    /// Puts the policies for this namespace and this operator's account in force, and waits until they are.
    pub fn admit(&self) {
        super::admission::in_force(self.cluster, &self.name, &self.user.name);
    }

    pub fn cordon(&self) -> Value {
        json!({"id": "cordoned", "fault": {"nodeCordon": {"cluster": "here", "nodes": {"names": [self.node]}}}, "limit": "1m"})
    }

    pub fn environment(&self, name: &str, more: &Value) {
        let connection = json!({"kubeconfigFile": self.user.kubeconfig});
        let here = json!({"name": "here", "uid": self.cluster.uid, "region": "us-east-1", "connection": connection});
        let mut spec = json!({"kubernetes": [here], "network": {"allowPrivate": true}, "allow": {"faults": ["nodeCordon"], "noDeadMan": true}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        created(self.cluster, &object("Environment", &self.name, name, &spec));
    }

    pub fn drill(&self, name: &str, hold: &str, steps: &Value) {
        let port: u16 = self.cluster.server.rsplit(':').next().unwrap().parse().unwrap();
        let objective = json!({"id": "api", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "100ms", "stableFor": "200ms", "availability": "50%"});
        let spec = json!({
            "summary": "A node is cordoned", "owner": "platform", "hypothesis": "Nobody notices.", "failedRegion": "us-east-1",
            "survivingRegions": ["us-west-2"], "baseline": "100ms", "hold": hold, "undoBy": "2h", "objectives": [objective], "steps": steps,
        });
        created(self.cluster, &object("Drill", &self.name, name, &spec));
    }

    pub fn run(&self, name: &str, more: &Value) -> Value {
        let mut spec = json!({"drill": "cordon", "environment": "staging"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        created(self.cluster, &object("DrillRun", &self.name, name, &spec))
    }

    pub fn get(&self, object: &str) -> Option<Value> {
        let output = self.cluster.try_kubectl(&["-n", &self.name, "get", object, "-o", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits until a run's status is as wanted.
    pub fn until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(|| {
            let found = self.get(&format!("drillrun/{run}")).ok_or_else(|| format!("there is no run {run}"))?;
            if wanted(&found["status"]) { Ok(found) } else { Err(format!("{:#}", found["status"])) }
        })
    }

    pub fn until_phase(&self, run: &str, phase: &str) -> Value {
        self.until(run, |status| status["phase"] == phase)
    }

    pub fn cordoned(&self) -> bool {
        self.cluster.json(&["get", "node", &self.node])["spec"]["unschedulable"] == true
    }

    /// Waits until the node is as it was before any drill.
    pub fn undone(&self) {
        eventually(|| {
            let node = self.cluster.json(&["get", "node", &self.node]);
            let marked = node["metadata"]["annotations"].as_object().is_some_and(|all| all.keys().any(|key| key.starts_with("firedrill.dev/")));
            if node["spec"]["unschedulable"].is_null() && !marked { Ok(()) } else { Err(format!("{node:#}")) }
        });
    }

    /// Reasons of the Events about an object.
    pub fn reasons(&self, kind: &str, name: &str) -> Vec<String> {
        let found = self.cluster.json(&["-n", &self.name, "get", "events.events.k8s.io"]);
        let about = |event: &&Value| event["regarding"]["kind"] == kind && event["regarding"]["name"] == name;
        let mut events: Vec<(&str, &str)> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(about)
            .map(|event| (event["eventTime"].as_str().unwrap(), event["reason"].as_str().unwrap()))
            .collect();
        events.sort_unstable();
        events.into_iter().map(|(_, reason)| reason.to_owned()).collect()
    }
}

/// The permissions that the operator lists for itself, and those of a cordon.
fn user(cluster: &Cluster, namespace: &str, name: &str) -> User {
    let rules: Vec<Value> =
        NAMESPACED.iter().map(|rule| json!({"apiGroups": [rule.group], "resources": [rule.resource], "verbs": rule.verbs})).collect();
    let api = "rbac.authorization.k8s.io/v1";
    let own = json!({"apiVersion": api, "kind": "Role", "metadata": {"name": "operator", "namespace": namespace}, "rules": rules});
    let wide = json!([
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]);
    let faults = json!({"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": format!("{namespace}-faults")}, "rules": wide});
    cluster.user(&format!("{namespace}-{name}"), &format!("{own}\n---\n{faults}"))
}
