//! The testbed is what the Kubernetes tests take it for: a real control plane, twice, that starts whole and leaves nothing.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

#[path = "testbed/mod.rs"]
mod testbed;

use testbed::{Options, Testbed, eventually};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/testbed");

fn running(pid: u32) -> bool {
    // A zombie has ended: nobody has asked for its status yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[test]
fn two_clusters_are_ready_in_their_regions_and_zones() {
    let bed = Testbed::shared();
    for (cluster, region) in [(bed.east(), "us-east-1"), (bed.west(), "us-west-2")] {
        let nodes = cluster.json(&["get", "nodes"]);
        let nodes = nodes["items"].as_array().unwrap();
        assert_eq!(nodes.len(), 6);
        for node in nodes {
            let conditions = node["status"]["conditions"].as_array().unwrap();
            assert!(conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"), "{node}");
            assert_eq!(node["metadata"]["labels"]["topology.kubernetes.io/region"], region);
        }
        for zone in ["a", "b", "c"] {
            let count =
                cluster.kubectl(&["get", "nodes", "-o", "name", "-l", &format!("topology.kubernetes.io/zone={region}{zone}")]).lines().count();
            assert_eq!(count, 2, "{region}{zone}");
        }
        let pods = cluster.json(&[
            "get",
            "pods",
            "-A",
            "-l",
            "app notin (node-agent)",
            "--field-selector=status.phase=Running,metadata.namespace!=kube-system",
        ]);
        let own = pods["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|pod| ["catalog", "checkout", "payments", "search"].contains(&pod["metadata"]["namespace"].as_str().unwrap()));
        assert_eq!(own.count(), 12);
        assert_eq!(cluster.json(&["get", "namespace", "kube-system"])["metadata"]["uid"], cluster.uid);
    }
    assert_ne!(bed.east().uid, bed.west().uid);
}

#[test]
fn its_environment_is_one_that_firedrill_reads() {
    let bed = Testbed::shared();
    let output = Command::new(env!("CARGO_BIN_EXE_firedrill")).arg("validate").arg(&bed.environment).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_eviction_beyond_the_budget_is_refused_until_the_first_pod_is_replaced() {
    let bed = Testbed::start(Options::ONE);
    let east = bed.east();
    east.namespace("evicted", 3, 1);
    let evict = |pod: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let body = serde_json::json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "evicted"}});
        std::fs::write(file.path(), body.to_string()).unwrap();
        let path = format!("/api/v1/namespaces/evicted/pods/{pod}/eviction");
        let output = east.try_kubectl(&["create", "--raw", &path, "-f", file.path().to_str().unwrap()]);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let pods = east.kubectl(&["-n", "evicted", "get", "pods", "-o", "jsonpath={.items[*].metadata.name}"]);
    let pods: Vec<&str> = pods.split(' ').collect();
    // What replaces an evicted pod finds no node: the budget stays used up.
    bed.kill("east", "kube-scheduler");
    evict(pods[0]).unwrap();
    let refused = evict(pods[1]).unwrap_err();
    assert!(refused.contains("would violate the pod's disruption budget"), "{refused}");
    assert!(east.audit().iter().any(|entry| entry.name == pods[1] && entry.subresource == "eviction" && entry.status == 429));
    bed.restart("east", "kube-scheduler");
    eventually(|| evict(pods[1]));
}

#[test]
fn a_user_may_do_what_its_role_says_and_nothing_more() {
    let east = Testbed::shared().east();
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: reads-nodes}, rules: [{apiGroups: [''], resources: [nodes], verbs: [get, list]}]}";
    let (reader, nobody) = (east.user("reader", role), east.user("nobody", ""));
    let ask = |kubeconfig: &Path, arguments: &[&str]| east.kubectl_command(kubeconfig).args(arguments).output().unwrap();
    assert!(ask(&reader.kubeconfig, &["get", "nodes"]).status.success());
    assert!(!ask(&reader.kubeconfig, &["get", "pods", "-A"]).status.success());
    let denied = ask(&nobody.kubeconfig, &["get", "nodes"]);
    assert!(String::from_utf8_lossy(&denied.stderr).contains("Forbidden"), "{denied:?}");
    // Not `kubectl cordon`: it exits 0 when it is refused.
    assert!(!ask(&reader.kubeconfig, &["patch", "node", "east-a-01", "-p", r#"{"spec":{"unschedulable":true}}"#]).status.success());
    let tried =
        east.audit().into_iter().find(|entry| entry.user == reader.name && entry.verb == "patch").expect("the refused call is in the audit log");
    assert_eq!((tried.resource.as_str(), tried.name.as_str(), tried.status, tried.changed()), ("nodes", "east-a-01", 403, false));
}

#[test]
fn the_audit_log_tells_every_change_once_and_no_read() {
    let west = Testbed::shared().west();
    west.namespace("audited", 1, 1);
    let before = west.audit().len();
    west.kubectl(&["-n", "audited", "annotate", "service", "app", "testbed.example/mark=here"]);
    west.kubectl(&["-n", "audited", "get", "service", "app"]);
    west.kubectl(&["-n", "audited", "delete", "service", "app", "--dry-run=server"]);
    let entries = west.audit();
    let seen: Vec<_> = entries[before..].iter().filter(|entry| entry.namespace == "audited" && entry.resource == "services").collect();
    assert_eq!(
        seen.iter().map(|entry| (entry.verb.as_str(), entry.status, entry.changed())).collect::<Vec<_>>(),
        [("patch", 200, true), ("delete", 200, false)]
    );
    assert!(
        seen[0].agent.starts_with("kubectl/") && seen[0].user == "admin" && seen[0].body["metadata"]["annotations"]["testbed.example/mark"] == "here",
        "{seen:?}"
    );
}

#[test]
fn a_dump_is_equal_to_itself_and_sees_what_was_left_behind() {
    let west = Testbed::shared().west();
    west.namespace("dumped", 2, 1);
    let before = west.dump_namespace("dumped");
    // Evicting moves pods; their owner puts as many back.
    west.kubectl(&["-n", "dumped", "delete", "pods", "--all"]);
    west.returns_to(&before);
    west.kubectl(&["-n", "dumped", "annotate", "deployment", "app", "testbed.example/left=behind"]);
    let differences = before.differences(&west.dump_namespace("dumped"));
    assert!(differences.iter().any(|line| line.contains("Deployment dumped/app") && line.contains("testbed.example/left")), "{differences:?}");
    west.kubectl(&["-n", "dumped", "annotate", "deployment", "app", "testbed.example/left-"]);
    west.kubectl(&["-n", "dumped", "delete", "service", "app"]);
    let differences = before.differences(&west.dump_namespace("dumped"));
    assert!(differences.iter().any(|line| line == "Service dumped/app: gone"), "{differences:?}");
}

#[test]
fn an_api_server_that_was_killed_comes_back_with_its_objects_and_tokens() {
    let bed = Testbed::start(Options::ONE);
    let east = bed.east();
    let user = east.user("stays", "");
    east.namespace("kept", 2, 1);
    let before = east.dump();
    bed.kill_apiserver("east");
    let refused = east.try_kubectl(&["get", "nodes"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{refused:?}");
    bed.start_apiserver("east");
    east.returns_to(&before);
    // Who it was told to be before, it is now: the token is still good.
    let known = east.kubectl_command(&user.kubeconfig).args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&known.stdout), user.name, "{known:?}");
    bed.freeze("east", "kube-apiserver");
    let hangs = east.try_kubectl(&["get", "--raw", "/readyz", "--request-timeout=1s"]);
    let said = String::from_utf8_lossy(&hangs.stderr);
    assert!(said.contains("deadline exceeded") || said.contains("imeout"), "{said}");
    bed.thaw("east", "kube-apiserver");
    // The controllers go on too.
    east.kubectl(&["-n", "kept", "scale", "deployment", "app", "--replicas=4"]);
    east.available("kept", "app");
}

#[test]
fn dns_answers_and_follows_the_config_map() {
    let bed = Testbed::start(Options::ONE);
    let east = bed.east();
    assert_eq!(east.dig("app-1.catalog.svc.cluster.local", "A").code, "NOERROR");
    assert_eq!(east.dig("no-such.catalog.svc.cluster.local", "A").code, "NXDOMAIN");
    assert_eq!(east.dig("sts.us-east-1.amazonaws.com", "A").answers, ["192.0.2.53"], "what the resolver behind it says");
    let corefile = east.json(&["-n", "kube-system", "get", "configmap", "coredns"])["data"]["Corefile"].as_str().unwrap().to_owned();
    let put = |corefile: &str| {
        let patch = serde_json::json!({"data": {"Corefile": corefile}}).to_string();
        east.kubectl(&["-n", "kube-system", "patch", "configmap", "coredns", "-p", &patch]);
    };
    let block = "    template ANY ANY us-east-1.amazonaws.com {\n        rcode NXDOMAIN\n    }\n";
    put(&corefile.replace("    prometheus", &format!("{block}    prometheus")));
    eventually(|| match east.dig("sts.us-east-1.amazonaws.com", "A") {
        one if one.code == "NXDOMAIN" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(east.dig("sts.us-west-2.amazonaws.com", "A").answers, ["192.0.2.53"], "the other region is not named");
    put(&corefile);
    eventually(|| match east.dig("sts.us-east-1.amazonaws.com", "A") {
        one if one.answers == ["192.0.2.53"] => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    let bed = Testbed::start(Options::ONE);
    let (directory, pids): (_, Vec<u32>) = (bed.directory.clone(), bed.east().pids.values().copied().collect());
    assert!(pids.len() == 6 && pids.iter().all(|pid| running(*pid)), "{:?}", bed.east().pids);
    drop(bed);
    assert_eq!(pids.iter().filter(|pid| running(**pid)).count(), 0);
    assert!(!directory.exists());
}

#[test]
#[should_panic(expected = "kwok of east ended by itself with status -9")]
fn a_component_that_ends_in_the_middle_of_a_test_is_named() {
    let bed = Testbed::start(Options::ONE);
    let pid = bed.east().pids["kwok"];
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    eventually(|| if bed.directory.exists() { Err("it runs on".to_owned()) } else { Ok(()) });
}

#[test]
fn its_components_die_with_a_launcher_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("bed");
    let mut launcher = Command::new(SCRIPT)
        .args(["run", "--cluster=east", "--nodes=3", "--pods=3", "--deployments=1", "--directory"])
        .arg(&files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(launcher.stdout.take().unwrap()), &mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let pids: Vec<u32> = said["clusters"][0]["pids"].as_object().unwrap().values().map(|pid| pid.as_u64().unwrap() as u32).collect();
    assert!(pids.len() == 6 && pids.iter().all(|pid| running(*pid)));
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    eventually(|| match pids.iter().filter(|pid| running(**pid)).count() {
        0 => Ok(()),
        left => Err(format!("{left} of {} run on", pids.len())),
    });
}

#[test]
fn a_component_that_fails_is_named_with_its_log_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    // An API server that is none: the testbed takes it from KUBEBUILDER_ASSETS.
    let assets = directory.path().join("assets");
    std::fs::create_dir(&assets).unwrap();
    let own = Testbed::shared().kubectl_program();
    for (name, target) in [("etcd", own.with_file_name("etcd")), ("kubectl", own.clone()), ("kube-apiserver", "/bin/false".into())] {
        std::os::unix::fs::symlink(target, assets.join(name)).unwrap();
    }
    let output = Command::new(SCRIPT)
        .args(["run", "--cluster=east", "--directory"])
        .arg(directory.path().join("bed"))
        .env("KUBEBUILDER_ASSETS", &assets)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("kube-apiserver of east ended with status 1"), "{said}");
    assert!(!directory.path().join("bed").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_client_trusts_the_certificate() {
    let west = Testbed::shared().west();
    let config = kube::config::Kubeconfig::read_from(&west.kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await.unwrap();
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(kube::Client::try_from(config).unwrap());
    assert_eq!(nodes.list(&kube::api::ListParams::default()).await.unwrap().items.len(), 6);
}

#[test]
fn people_start_it_look_at_it_and_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("bed");
    let testbed = |arguments: &[&str]| {
        let output = Command::new(SCRIPT).args(arguments).arg("--directory").arg(&files).stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let up = ["up", "--cluster=east", "--nodes=3", "--pods=3", "--deployments=1"];
    assert_eq!(testbed(&["status"]).0, 1);
    let (status, told) = testbed(&up);
    assert_eq!(status, 0, "{told}");
    let kubeconfig = files.join("east.kubeconfig");
    let down = format!("scripts/testbed down --directory {}", files.display());
    for wanted in [format!("export KUBECONFIG={}", kubeconfig.display()), down, "AWS_ACCESS_KEY_ID=AKIA".to_owned()] {
        assert!(told.contains(&wanted), "{told}");
    }
    assert_eq!(testbed(&["status"]).0, 0);
    let (status, told) = testbed(&up);
    assert!(status == 1 && told.contains("runs in"), "a second one there is refused: {told}");
    let kubectl = Testbed::shared().kubectl_program();
    let nodes =
        Command::new(&kubectl).args(["get", "nodes", "-o", "name"]).env("KUBECONFIG", &kubeconfig).env("HOME", directory.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&nodes.stdout).lines().count(), 3, "{nodes:?}");
    let reached =
        || Command::new(&kubectl).args(["get", "--raw", "/readyz"]).env("KUBECONFIG", &kubeconfig).env("HOME", directory.path()).output().unwrap();
    assert_eq!(testbed(&["kill", "east", "kube-apiserver"]).0, 0);
    assert!(!reached().status.success());
    assert_eq!(testbed(&["start", "east", "kube-apiserver"]).0, 0);
    assert!(reached().status.success());
    let (status, told) = testbed(&["kill", "east", "kubelet"]);
    assert!(status == 1 && told.contains("components are etcd"), "{told}");
    let pids = std::fs::read_to_string(files.join("testbed.json")).unwrap();
    let pids: serde_json::Value = serde_json::from_str(&pids).unwrap();
    let pids: Vec<u32> = pids["clusters"][0]["pids"].as_object().unwrap().values().map(|pid| pid.as_u64().unwrap() as u32).collect();
    assert!(pids.len() == 6 && pids.iter().all(|pid| running(*pid)));
    assert_eq!(testbed(&["down"]).0, 0);
    assert!(!files.exists() && !pids.iter().any(|pid| running(*pid)));
    assert_eq!(testbed(&["down"]), (0, "no testbed is running\n".to_owned()));
    // What is not its own is left alone.
    std::fs::create_dir(&files).unwrap();
    assert_eq!((testbed(&["down"]).0, files.exists()), (1, true));
    assert_eq!(testbed(&up).0, 1);
}
