//! Whole drills through the real gateway process, which watches the rules of a namespace with nothing more than its permissions; curl is the client.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use firedrill::clock::Timestamp;
use firedrill::operator::permissions::GATEWAY;
use serde_json::{Value, json};

use super::drain::{firedrill, told};
use super::gateway_rules::{allow, curl, define, namespace};
use super::ground::{Ground, roles};
use super::testbed::{Cluster, Entry, Options, Testbed, User, eventually};

const EAST: &str = "http://dynamodb.us-east-1.amazonaws.com/";
const NAMESPACE: &str = "egress";

/// A running gateway. Dropped, it is killed.
struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Process {
    fn start(kubeconfig: &Path, upstream: SocketAddr) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
        command.args(["gateway", "--listen", "127.0.0.1:0", "--watch-namespace", NAMESPACE, "--name", "edge-0", "--kubeconfig"]).arg(kubeconfig);
        command.args(["--resolve", &format!("*.amazonaws.com={upstream}")]).env_remove("FIREDRILL_FAILPOINT");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (kept, stderr) = (log.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| *kept.lock().unwrap() += &(line + "\n")));
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.contains("steered by the GatewayRules of namespace egress"), "{ready}");
        let address = ready.split("listens on ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        Self { child, address, log }
    }

    fn passes(&self, url: &str) -> bool {
        curl(self.address, &[url]).1 == "200"
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the gateway's log\n{}", self.log.lock().unwrap());
        }
    }
}

/// Answers every request with 200, for as long as the test lasts.
fn upstream() -> SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|count| count > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A cluster, a namespace of rules, and the gateway that watches it as a user with the permissions that the chart gives it.
struct Scene {
    bed: Testbed,
    gateway: Process,
    gateways: User,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let bed = Testbed::start(Options::ONE);
        define(bed.east());
        namespace(bed.east(), NAMESPACE);
        let rules: Vec<Value> =
            GATEWAY.iter().map(|rule| json!({"apiGroups": [rule.group], "resources": [rule.resource], "verbs": rule.verbs})).collect();
        let metadata = json!({"name": "gateway", "namespace": NAMESPACE});
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules});
        let gateways = bed.east().user("gateway", &role.to_string());
        let gateway = Process::start(&gateways.kubeconfig, upstream());
        Self { bed, gateway, gateways, dir: tempfile::tempdir().unwrap() }
    }

    fn cluster(&self) -> &Cluster {
        self.bed.east()
    }

    /// A folder with an environment, as a user who may do what the kind asks for and nothing else, and a drill that refuses one service.
    fn folder(&self, name: &str, service: &str, hold: &str) -> Folder {
        let folder = self.dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let ground = Ground::new(&self.bed).changed(|environment| allow(environment, &[NAMESPACE.to_owned()]));
        let fault = json!({"gatewayRefuse": {"gateway": format!("edge-{NAMESPACE}"), "services": [service]}});
        let needs = ground.kind(&json!({"fault": fault})).needs().cluster.all();
        let user = self.cluster().user(name, &roles(&needs, name));
        for (file, kubeconfig) in [("environment.yaml", &user.kubeconfig), ("administrator.yaml", &self.cluster().kubeconfig)] {
            let file = folder.join(file);
            self.bed.environment_as(&file, &[("east", kubeconfig)]);
            let mut document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            document["spec"]["gateways"] = json!([{"name": format!("edge-{NAMESPACE}"), "connection": {"cluster": "east", "namespace": NAMESPACE}}]);
            // A rule ends by itself: no environment needs to allow it to stay.
            document["spec"]["allow"] = json!({"faults": ["gatewayRefuse"]});
            std::fs::write(&file, document.to_string()).unwrap();
        }
        let port: u16 = self.cluster().server.rsplit(':').next().unwrap().parse().unwrap();
        let drill = json!({
            "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "dark"},
            "spec": {
                "summary": "A service is gone", "owner": "platform", "hypothesis": "The API server does not notice.",
                "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "baseline": "100ms", "hold": hold, "undoBy": "30m",
                "objectives": [{"id": "api", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "100ms", "stableFor": "200ms", "availability": "50%"}],
                "steps": [{"id": "dark", "fault": fault, "limit": "1m"}],
            },
        });
        std::fs::write(folder.join("drill.yaml"), drill.to_string()).unwrap();
        Folder { folder, user }
    }

    fn rules(&self) -> Vec<Value> {
        self.cluster().json(&["-n", NAMESPACE, "get", "gatewayrules"])["items"].as_array().unwrap().clone()
    }

    fn audit(&self, user: &User) -> Vec<Entry> {
        self.cluster().audit().into_iter().filter(|entry| entry.user == user.name && !entry.resource.ends_with("reviews")).collect()
    }
}

struct Folder {
    folder: PathBuf,
    user: User,
}

impl Folder {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = firedrill(&self.folder.join("state"));
        command.args(words);
        command
    }

    fn run(&self, failpoint: Option<&str>, trace: Option<&Path>) -> Output {
        let mut command = self.command(&["run"]);
        command.arg(self.folder.join("drill.yaml")).arg("--env").arg(self.folder.join("environment.yaml"));
        command.envs(failpoint.map(|name| ("FIREDRILL_FAILPOINT", name))).envs(trace.map(|file| ("FIREDRILL_FAILPOINT_TRACE", file)));
        command.output().unwrap()
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

#[test]
fn a_rule_of_a_run_bites_in_the_gateway_process_within_two_seconds_of_its_step_and_is_gone_after_it() {
    let scene = Scene::new();
    let folder = scene.folder("run", "dynamodb", "2s");
    assert!(scene.gateway.passes(EAST));
    // What a client sees, all the time: when it asked, when it was answered, and whether it was served.
    let (over, address) = (Arc::new(AtomicBool::new(false)), scene.gateway.address);
    let watching = std::thread::spawn({
        let over = over.clone();
        move || {
            let mut seen: Vec<(Timestamp, Timestamp, bool)> = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let asked = now();
                let served = curl(address, &[EAST]).1 == "200";
                seen.push((asked, now(), served));
                std::thread::sleep(Duration::from_millis(20));
            }
            seen
        }
    });
    let done = folder.run(None, None);
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    eventually(|| if scene.gateway.passes(EAST) { Ok(()) } else { Err("it is still refused".to_owned()) });
    over.store(true, Ordering::SeqCst);
    let seen = watching.join().unwrap();
    assert!(scene.rules().is_empty());

    let calls = scene.audit(&folder.user);
    let shape: Vec<_> = calls.iter().map(|entry| (entry.verb.as_str(), entry.resource.as_str(), entry.status / 100)).collect();
    assert_eq!(shape, [("create", "gatewayrules", 2), ("delete", "gatewayrules", 2)]);
    let bitten = seen.iter().find(|(.., served)| !served).expect("it never bit");
    let passes = seen.iter().find(|(asked, _, served)| *asked > calls[1].at && *served).expect("it is passed on again");
    let (bites, ends) = (bitten.1.since(calls[0].at), passes.1.since(calls[1].at));
    eprintln!("it bit {bites:?} after the call that made it, and was gone {ends:?} after the one that deleted it");
    assert!(bites <= Duration::from_secs(2), "{bites:?}");
    assert!(ends <= Duration::from_secs(2), "{ends:?}");
    // Whom it was not about was served all the time, and the gateway wrote nothing but its word.
    assert!(scene.gateway.passes("http://sqs.us-east-1.amazonaws.com/"));
    let said = scene.audit(&scene.gateways);
    assert!(!said.is_empty() && said.iter().all(|entry| (entry.verb.as_str(), entry.subresource.as_str()) == ("patch", "status")), "{said:?}");
}

#[test]
fn with_the_api_server_down_a_rule_stays_until_its_deadline_and_ends_by_itself() {
    let scene = Scene::new();
    let deadline = now().plus(Duration::from_secs(20));
    let rule = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "GatewayRule", "metadata": {"name": "dark", "namespace": NAMESPACE},
        "spec": {"id": "dark", "run": "by-hand", "step": "s", "effect": {"refuse": {}}, "services": ["dynamodb"], "region": "us-east-1", "deadline": deadline},
    });
    scene.cluster().kubectl_create(&rule.to_string());
    eventually(|| if scene.gateway.passes(EAST) { Err("it passes".to_owned()) } else { Ok(()) });
    scene.bed.kill_apiserver("east");
    let mut refused = 0;
    let passed = eventually(|| {
        if scene.gateway.passes(EAST) {
            return Ok(now());
        }
        refused += 1;
        Err("the rule outlived its deadline".to_owned())
    });
    assert!(refused > 1 && passed >= deadline, "it ended {:?} early, after {refused} refusals", deadline.since(passed));
    scene.bed.start_apiserver("east");
    eventually(|| {
        let status = scene.rules()[0]["status"].clone();
        if status["gateways"][0]["error"] == "its deadline has passed" { Ok(()) } else { Err(format!("{status:#}")) }
    });
    // And goes on.
    let folder = scene.folder("after", "dynamodb", "300ms");
    let done = folder.run(None, None);
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
}

#[test]
fn killed_at_any_place_of_a_run_the_rule_is_gone_after_resume_and_after_sweep_without_a_journal() {
    let scene = Scene::new();
    // Each with a service of its own: of two rules about one the newer acts, and only that is proven.
    let mut services = ["sqs", "sns", "sts", "kms", "ecs", "eks", "rds", "ssm", "lambda", "logs"].into_iter().cycle();
    let mut folder = |name: &str| scene.folder(name, services.next().unwrap(), "300ms");
    let first = folder("traced");
    let trace = first.folder.join("trace");
    let done = first.run(None, Some(&trace));
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let mut hits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(trace).unwrap().lines() {
        hits.entry(line.split_once('#').unwrap().0.to_owned()).or_default().push(line.to_owned());
    }
    for needed in ["cluster.create.before", "cluster.create.after", "cluster.delete.before", "cluster.delete.after", "journal.intents.committed"] {
        assert!(hits.contains_key(needed), "the drill never passes {needed}: {hits:?}");
    }
    let places: Vec<String> = hits.into_values().flat_map(|all| all.into_iter().take(2)).collect();
    let mut failed = Vec::new();
    for (number, places) in places.chunks(10).enumerate() {
        for way in ["resume", "sweep"] {
            let folders: Vec<(String, Folder)> =
                places.iter().enumerate().map(|(one, place)| (place.clone(), folder(&format!("{way}-{number}-{one}")))).collect();
            std::thread::scope(|scope| {
                for (place, folder) in &folders {
                    scope.spawn(move || {
                        let done = folder.run(Some(&format!("{place}=kill")), None);
                        assert_eq!(done.status.code(), None, "{place}: was not killed: {}", told(&done));
                    });
                }
            });
            if way == "sweep" {
                folders.iter().for_each(|(_, folder)| std::fs::remove_dir_all(folder.folder.join("state")).unwrap());
            }
            for (place, folder) in if way == "sweep" { &folders[..1] } else { &folders[..] } {
                // Who sweeps looks everywhere, for every kind.
                let everywhere = folder.folder.join("administrator.yaml").display().to_string();
                let words = if way == "sweep" { vec!["sweep", "--apply", "--env", &everywhere] } else { vec!["resume", "latest"] };
                let undone = folder.command(&words).output().unwrap();
                // 6: a resumed run is aborted. 0: nothing was to be undone. 2: the run had not begun, or there is none.
                if !matches!(undone.status.code(), Some(0 | 2 | 6)) {
                    failed.push(format!("{way} after {place}: {}", told(&undone)));
                }
            }
            let left = scene.rules();
            if !left.is_empty() {
                failed.push(format!("{way} after {places:?} left {left:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
