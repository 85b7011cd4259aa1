//! The processes of the chart's pods, as a kubelet would start them: the command that the pod says, with the token of its service account.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::testbed::{Cluster, eventually};

/// The namespace of the release.
pub const NAMESPACE: &str = "firedrill";

/// A kubeconfig with the token of a service account of the release's namespace, and no other credential.
pub fn kubeconfig(cluster: &Cluster, account: &str) -> PathBuf {
    let token = cluster.kubectl(&["-n", NAMESPACE, "create", "token", account]);
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&cluster.kubeconfig).unwrap()).unwrap();
    config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    // Beside the administrator's: it names the certificate of the server relative to itself.
    let file = cluster.kubeconfig.with_file_name(format!("{NAMESPACE}-{account}.kubeconfig"));
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

/// The arguments of the first container of a pod's specification, but for the address: a test takes any port.
fn arguments(pod: &Value) -> Vec<String> {
    let container = &pod["containers"][0];
    assert!(container["command"].is_null(), "the image says which program: {container}");
    let all = container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().replace("$(POD_NAME)", "the-pod"));
    all.map(|word| if word.starts_with("--listen=") { "--listen=127.0.0.1:0".to_owned() } else { word }).collect()
}

fn command(pod: &Value, kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    // Outside a pod the credentials come from a file: nothing else differs.
    command.args(arguments(pod)).arg("--kubeconfig").arg(kubeconfig);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// Runs a pod's command to its end.
pub fn run(pod: &Value, kubeconfig: &Path) -> Output {
    command(pod, kubeconfig).output().unwrap()
}

/// A running process of a pod. Dropped, it is killed.
pub struct Pod {
    process: Child,
    log: Arc<Mutex<String>>,
}

impl Pod {
    /// Starts what a pod of a Deployment would, and waits until it has said this.
    pub fn start(cluster: &Cluster, deployment: &str, kubeconfig: &Path, ready: &str) -> Self {
        let deployment = cluster.json(&["-n", NAMESPACE, "get", "deployment", deployment]);
        let mut command = command(&deployment["spec"]["template"]["spec"], kubeconfig);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] = [Box::new(process.stdout.take().unwrap()), Box::new(process.stderr.take().unwrap())];
        for stream in streams {
            let kept = log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    kept.lock().unwrap().push_str(&format!("{line}\n"));
                }
            });
        }
        let pod = Self { process, log };
        eventually(|| if pod.log().contains(ready) { Ok(()) } else { Err(pod.log()) });
        pod
    }

    /// The operator, as the leader.
    pub fn operator(cluster: &Cluster, kubeconfig: &Path) -> Self {
        Self::start(cluster, "firedrill", kubeconfig, " leads in namespace firedrill")
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- what the pod printed\n{}", self.log());
        }
    }
}
