//! The workload probe against a real API server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firedrill::cli::environment::load_environment;
use firedrill::clock::Clock;
use firedrill::drill::load::Options;
use firedrill::event::Health;
use firedrill::probe::open::Opener;
use firedrill::probe::params::ProbeSpec;
use firedrill::probe::watch::read_once;
use firedrill::probe::{Probe, ProbeSource};
use serde_json::json;

use super::testbed::{Cluster, Testbed, eventually};

fn probe(environment: &Path, parameters: serde_json::Value) -> Arc<dyn Probe> {
    let environment = load_environment(environment.to_str().unwrap(), &Options::default()).unwrap().spec;
    let spec: ProbeSpec = serde_json::from_value(json!({"workload": parameters})).unwrap();
    Opener::new(&environment, Clock::system()).open(&spec, "run").unwrap()
}

fn read(probe: &dyn Probe) -> (Health, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reading = runtime.block_on(read_once(&Clock::system(), probe, Duration::from_secs(20))).2;
    (reading.health, reading.detail.unwrap_or_default())
}

/// Waits for a reading.
fn becomes(probe: impl Fn() -> Arc<dyn Probe>, wanted: Health) -> String {
    eventually(|| match read(&*probe()) {
        (health, detail) if health == wanted => Ok(detail),
        other => Err(format!("{other:?} instead of {wanted:?}")),
    })
}

fn environment_of(bed: &Testbed, east: &Cluster, roles: &str, name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let user = east.user(name, roles);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("environment.yaml");
    bed.environment_as(&file, &[("east", &user.kubeconfig)]);
    (folder, file)
}

const READER: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: workload-reader}
rules:
  - {apiGroups: [""], resources: ["namespaces"], resourceNames: ["kube-system"], verbs: ["get"]}
  - {apiGroups: ["apps"], resources: ["deployments"], resourceNames: ["app"], verbs: ["get"]}
"#;

#[test]
fn a_workload_is_good_while_enough_is_ready_and_bad_while_it_is_not() {
    let bed = Testbed::shared();
    let east = bed.east();
    east.namespace("ready-share", 4, 1);
    let (_folder, environment) = environment_of(bed, east, READER, "workload-reader");
    let probe = || probe(&environment, json!({"cluster": "east", "namespace": "ready-share", "deployment": "app", "ready": "75%"}));
    assert_eq!(probe().describe(), "workload deployments/ready-share/app of east ready ≥ 75%");
    becomes(probe, Health::Good);

    // Wanted, and no node takes them.
    let nowhere =
        r#"{"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}, "template": {"spec": {"nodeSelector": {"nowhere": "at-all"}}}}}"#;
    east.kubectl(&["-n", "ready-share", "patch", "deployment", "app", "-p", nowhere]);
    let detail = becomes(probe, Health::Bad);
    assert!(detail.contains("of 4 replicas ready") && detail.ends_with("75% wanted"), "{detail}");

    east.kubectl(&["-n", "ready-share", "rollout", "undo", "deployment/app"]);
    becomes(probe, Health::Good);

    east.kubectl(&["-n", "ready-share", "scale", "deployment", "app", "--replicas=0"]);
    assert_eq!(becomes(probe, Health::Bad), "0 replicas wanted: it serves nobody");

    east.kubectl(&["-n", "ready-share", "delete", "deployment", "app"]);
    assert_eq!(becomes(probe, Health::Bad), "there is no deployments/ready-share/app");
}

#[test]
fn a_daemon_set_is_read_by_the_nodes_that_want_it() {
    let bed = Testbed::shared();
    let wanted = json!({"cluster": "east", "namespace": "kube-system", "daemonSet": "node-agent", "ready": "100%"});
    becomes(|| probe(&bed.environment, wanted.clone()), Health::Good);
}

#[test]
fn a_broken_instrument_is_unknown_and_the_missing_permission_is_named() {
    let bed = Testbed::shared();
    let east = bed.east();
    east.namespace("unreadable", 1, 1);
    let parameters = json!({"cluster": "east", "namespace": "unreadable", "deployment": "app", "ready": "75%"});
    becomes(|| probe(&bed.environment, parameters.clone()), Health::Good);

    // Denied.
    let only_identity = READER.replace("workload-reader", "identity-reader").replace(r#"["deployments"]"#, r#"["nothing"]"#);
    let (_folder, environment) = environment_of(bed, east, &only_identity, "identity-reader");
    let denied = becomes(|| probe(&environment, parameters.clone()), Health::Unknown);
    assert!(denied.contains("permission missing: get deployments.apps 'app' in namespace unreadable of cluster east"), "{denied}");
    let missing = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(probe(&environment, parameters.clone()).missing()).unwrap()
    };
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["get deployments.apps 'app' in namespace unreadable of cluster east"]);

    // Another cluster answers there.
    let folder = tempfile::tempdir().unwrap();
    let swapped = folder.path().join("swapped.yaml");
    bed.environment_as(&swapped, &[("east", &bed.west().kubeconfig)]);
    let other = becomes(|| probe(&swapped, parameters.clone()), Health::Unknown);
    assert!(other.contains("cluster 'east' is not the one that is meant"), "{other}");

    // Nobody answers.
    let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&east.kubeconfig).unwrap()).unwrap();
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1".into();
    let nobody = east.kubeconfig.with_file_name("nobody.kubeconfig");
    std::fs::write(&nobody, config.to_string()).unwrap();
    let gone = folder.path().join("gone.yaml");
    bed.environment_as(&gone, &[("east", &nobody)]);
    becomes(|| probe(&gone, parameters.clone()), Health::Unknown);
}
