//! Several clusters in one environment: each known by its uid, and one that is down does not keep the others from being undone.

use std::path::Path;
use std::process::{Command, Output};

use firedrill::event::Phase;
use firedrill::fault::registry::Registry;
use firedrill::fault::{KindSource, Observed};
use serde_json::{Value, json};

use super::ground::{Ground, run_id};
use super::policy::{TURN, bed};
use super::testbed::Cluster;

const DRILL: &str = r#"{"apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "cordon"}, "spec": {
    "summary": "s", "owner": "o", "hypothesis": "h", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"], "hold": "1m", "undoBy": "1h",
    "objectives": [{"id": "dns", "probe": {"workload": {"cluster": "west", "namespace": "kube-system", "deployment": "coredns", "ready": "50%"}},
                    "interval": "1s", "recoverWithin": "1m"}],
    "steps": [{"id": "cordon", "fault": {"nodeCordon": {"cluster": "east", "nodes": {"names": ["east-c-02"]}}}}]}}"#;

fn firedrill(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    let Output { status, stdout, stderr } = command.current_dir(folder).arg("--state-dir").arg(folder.join("state")).args(words).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

fn cordoned(cluster: &Cluster, node: &str) -> bool {
    cluster.json(&["get", "node", node])["spec"]["unschedulable"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_does_not_keep_sweep_from_the_others() {
    let _turn = TURN.lock().await;
    let ground = Ground::new(bed());
    let step = json!({"fault": {"nodeCordon": {"cluster": "west", "nodes": {"names": ["west-c-02"]}}}});
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    assert!(cordoned(bed().west(), "west-c-02"));

    let folder = tempfile::tempdir().unwrap();
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&bed().east().kubeconfig).unwrap()).unwrap();
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1".into();
    let nobody = bed().east().kubeconfig.with_file_name("east-down.kubeconfig");
    std::fs::write(&nobody, config.to_string()).unwrap();
    let (down, up) = (folder.path().join("down.yaml"), folder.path().join("up.yaml"));
    bed().environment_as(&down, &[("east", &nobody)]);
    bed().environment_as(&up, &[]);

    let (exit, said) = firedrill(folder.path(), &["sweep", "--env", "down.yaml"]);
    assert_eq!(exit, Some(7), "{said}");
    assert!(said.contains("nodes/west-c-02/") && said.contains("not searched: cannot reach cluster 'east'"), "{said}");
    let (exit, said) = firedrill(folder.path(), &["sweep", "--env", "down.yaml", "--apply"]);
    assert_eq!(exit, Some(8), "what is in east is not known: {said}");
    assert!(!cordoned(bed().west(), "west-c-02"), "{said}");
    let (exit, said) = firedrill(folder.path(), &["sweep", "--env", "down.yaml"]);
    assert_eq!(exit, Some(8), "nothing found is not nothing there: {said}");
    let (exit, said) = firedrill(folder.path(), &["sweep", "--env", "up.yaml"]);
    assert_eq!(exit, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_at_the_address_is_refused_by_the_plan_and_never_written_to_by_an_undo() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("drill.yaml"), DRILL).unwrap();
    bed().environment_as(&folder.path().join("right.yaml"), &[]);
    bed().environment_as(&folder.path().join("swapped.yaml"), &[("east", &bed().west().kubeconfig), ("west", &bed().east().kubeconfig)]);
    let (exit, said) = firedrill(folder.path(), &["plan", "drill.yaml", "--env", "right.yaml"]);
    assert_eq!(exit, Some(0), "{said}");
    let (exit, said) = firedrill(folder.path(), &["plan", "drill.yaml", "--env", "swapped.yaml"]);
    assert_eq!(exit, Some(5), "{said}");
    assert!(said.contains("cluster 'east' is not the one that is meant"), "{said}");

    let ground = Ground::new(bed());
    let step = json!({"fault": {"nodeCordon": {"cluster": "east", "nodes": {"names": ["east-c-02"]}}}});
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    let mut elsewhere = records[0].clone();
    elsewhere.invert["cluster"]["connection"]["kubeconfigFile"] = bed().west().kubeconfig.to_str().unwrap().into();
    let kind = Registry::new(&ground.environment).for_record(&elsewhere).unwrap();
    let Observed::Unreadable { error } = kind.observe(&elsewhere).await else { panic!("another cluster was taken for east") };
    assert!(error.contains("is not the one that is meant"), "{error}");
    for tried in [kind.revert(&elsewhere).await, kind.tidy(&elsewhere).await] {
        assert!(tried.unwrap_err().to_string().contains("is not the one that is meant"));
    }
    assert!(cordoned(bed().east(), "east-c-02"));
    assert_eq!(ground.undo(&records, Phase::Injected).await[0].0, Phase::Reverted);
    assert!(!cordoned(bed().east(), "east-c-02"));
}
