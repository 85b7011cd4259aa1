//! One cluster as a test sees it: kubectl as the client that is not firedrill, namespaces and users of the test's own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Dig, Dump, Entry, audit, dig, eventually};

#[derive(Deserialize)]
pub struct Description {
    name: String,
    region: String,
    uid: String,
    server: String,
    kubeconfig: PathBuf,
    audit: PathBuf,
    dns: SocketAddr,
    pids: std::collections::BTreeMap<String, u32>,
}

pub struct Cluster {
    pub name: String,
    pub region: String,
    /// UID of `kube-system`.
    pub uid: String,
    /// `https://127.0.0.1:PORT`
    pub server: String,
    /// Its administrator's.
    pub kubeconfig: PathBuf,
    /// Its CoreDNS, by UDP and TCP.
    pub dns: SocketAddr,
    /// Components and their processes as they were started.
    pub pids: std::collections::BTreeMap<String, u32>,
    audit: PathBuf,
    pub(super) kubectl: PathBuf,
}

/// A service account with what a test gave it, and nothing more.
pub struct User {
    pub kubeconfig: PathBuf,
    /// As the audit log names it.
    pub name: String,
}

/// Namespace of [`Cluster::user`]'s service accounts.
const USERS: &str = "testbed-users";

impl Cluster {
    pub(super) fn new(said: Description, kubectl: &Path) -> Self {
        let Description { name, region, uid, server, kubeconfig, audit, dns, pids } = said;
        Self { name, region, uid, server, kubeconfig, dns, pids, audit, kubectl: kubectl.to_path_buf() }
    }

    /// A command of this cluster's kubectl, as its administrator; more can be set before it runs.
    pub fn kubectl_command(&self, kubeconfig: &Path) -> Command {
        let mut command = Command::new(&self.kubectl);
        // Nobody's context, proxy or cache.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", kubeconfig.parent().unwrap()).env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
        command
    }

    /// Runs kubectl as the administrator, whatever comes of it.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_command(&self.kubeconfig).args(arguments).output().unwrap()
    }

    /// Runs kubectl as the administrator; says what it printed.
    ///
    /// # Panics
    /// With what it printed, when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        succeeded(arguments, self.try_kubectl(arguments))
    }

    /// `kubectl … -o json`, read.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// `kubectl create -f -`: an object without the annotation that `apply` leaves.
    pub fn kubectl_create(&self, manifest: &str) {
        let mut command = self.kubectl_command(&self.kubeconfig);
        command.args(["create", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
        succeeded(&["create"], child.wait_with_output().unwrap());
    }

    /// `kubectl apply -f -` of YAML or JSON, several documents if need be; says what they are now.
    pub fn apply(&self, manifest: &str) -> Vec<Value> {
        let once = || {
            let mut command = self.kubectl_command(&self.kubeconfig);
            command.args(["apply", "-o", "json", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        };
        let mut output = once();
        // Another test made the same between kubectl's look and its create: now it is there to be changed.
        if String::from_utf8_lossy(&output.stderr).contains("(AlreadyExists)") {
            output = once();
        }
        let mut said: Value = serde_json::from_str(&succeeded(&["apply"], output)).unwrap();
        match said["items"].take() {
            Value::Array(items) => items,
            _ => vec![said],
        }
    }

    /// A namespace of a test's own, with a Deployment `app` of so many pods (Available when it returns), its Service and its budget.
    pub fn namespace(&self, name: &str, pods: u32, max_unavailable: u32) {
        let (metadata, selector) = (json!({"name": "app", "namespace": name, "labels": {"app": "app"}}), json!({"matchLabels": {"app": "app"}}));
        let template =
            json!({"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}});
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": {"maxUnavailable": max_unavailable, "selector": selector}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "app"}, "ports": [{"port": 80}]}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": pods, "selector": selector, "template": template}}),
        ];
        self.apply(&objects.map(|object| object.to_string()).join("\n---\n"));
        self.available(name, "app");
    }

    /// Waits until a Deployment has all the replicas that it should have, and its budget counts them.
    pub fn available(&self, namespace: &str, deployment: &str) {
        eventually(|| {
            let seen = self.json(&["-n", namespace, "get", "deployment", deployment]);
            let wanted = &seen["spec"]["replicas"];
            let up_to_date = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
            let all = wanted == 0 || (&seen["status"]["availableReplicas"] == wanted && &seen["status"]["replicas"] == wanted);
            let budgets = self.json(&["-n", namespace, "get", "poddisruptionbudgets", "--field-selector", &format!("metadata.name={deployment}")]);
            let counted = budgets["items"].as_array().is_none_or(|list| list.iter().all(|one| one["status"]["currentHealthy"] == *wanted));
            if up_to_date && all && counted { Ok(()) } else { Err(format!("{namespace}/{deployment}: {}, {}", seen["status"], budgets["items"])) }
        });
    }

    /// A user with the permissions of the ClusterRoles and Roles in `roles` (YAML or JSON documents; `""` for none), bound to it here.
    /// Its token holds for a day, across restarts of the API server.
    pub fn user(&self, name: &str, roles: &str) -> User {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {USERS}}}}}\n---\n{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}, namespace: {USERS}}}}}"
        ));
        let roles = if roles.trim().is_empty() { Vec::new() } else { self.apply(roles) };
        for (number, role) in roles.iter().enumerate() {
            let (kind, role_name) = (role["kind"].as_str().unwrap(), role["metadata"]["name"].as_str().unwrap());
            let (binding, subject) = (format!("{name}-{number}"), format!("--serviceaccount={USERS}:{name}"));
            match kind {
                "ClusterRole" => self.kubectl(&["create", "clusterrolebinding", &binding, &format!("--clusterrole={role_name}"), &subject]),
                "Role" => {
                    let namespace = role["metadata"]["namespace"].as_str().unwrap();
                    self.kubectl(&["-n", namespace, "create", "rolebinding", &binding, &format!("--role={role_name}"), &subject])
                }
                // Bindings of the given text's own are as they are.
                _ => continue,
            };
        }
        let token = self.kubectl(&["-n", USERS, "create", "token", name, "--duration=24h"]);
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&self.kubeconfig).unwrap()).unwrap();
        config["users"][0]["user"]["token"] = token.trim().into();
        // Beside the administrator's: it names the certificate relative to itself.
        let kubeconfig = self.kubeconfig.with_file_name(format!("{}-{name}.kubeconfig", self.name));
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        User { kubeconfig, name: format!("system:serviceaccount:{USERS}:{name}") }
    }

    /// Who changed what, from the start of the cluster until now, in the order of the answers: see [`Entry`].
    pub fn audit(&self) -> Vec<Entry> {
        audit::until_now(self, &self.audit)
    }

    /// The objects of the whole cluster.
    pub fn dump(&self) -> Dump {
        Dump::of(self, None)
    }

    /// The objects of one namespace.
    pub fn dump_namespace(&self, namespace: &str) -> Dump {
        Dump::of(self, Some(namespace))
    }

    /// Waits until the cluster (or the dumped namespace) is as it was: controllers need a moment after an undo.
    ///
    /// # Panics
    /// With every difference that stays.
    pub fn returns_to(&self, before: &Dump) {
        eventually(|| {
            let differences = before.differences(&Dump::of(self, before.namespace.as_deref()));
            if differences.is_empty() { Ok(()) } else { Err(format!("this differs from before:\n{}", differences.join("\n"))) }
        });
    }

    /// Asks the cluster's CoreDNS: `A`, `AAAA`, `TXT`.
    pub fn dig(&self, name: &str, kind: &str) -> Dig {
        dig::ask(self.dns, name, kind)
    }
}

fn succeeded(arguments: &[&str], output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "kubectl {}: {said}{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    said
}
