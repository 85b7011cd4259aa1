//! `firedrill policy`: what is printed for a drill, without any cluster.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const ENVIRONMENT: &str = r#"
apiVersion: firedrill.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec:
  kubernetes:
    - {name: east, uid: 2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11, region: us-east-1, connection: {context: staging-use1}}
    - {name: west, uid: 91b7e0aa-52a4-4a35-8f0a-3f6a0f1f2c77, region: us-west-2, connection: {context: staging-usw2}}
  gateways:
    - {name: edge, connection: {socket: /run/firedrill/gateway.sock}}
  allow: {faults: [nodeDrain, gatewayBlackhole], noDeadMan: true}
  haltWhen:
    - {id: incident, probe: {workload: {cluster: west, namespace: ops, statefulSet: incident, ready: "100%"}}}
"#;

const DRILL: &str = r#"
apiVersion: firedrill.dev/v1alpha1
kind: Drill
metadata: {name: evacuate-nodes}
spec:
  summary: s
  owner: o
  hypothesis: h
  failedRegion: us-east-1
  survivingRegions: [us-west-2]
  regionHealthy: {probe: {workload: {cluster: east, namespace: shop, deployment: checkout, ready: "90%"}}, stableFor: 1m, limit: 15m}
  hold: 10m
  undoBy: 2h
  objectives:
    - {id: checkout, probe: {workload: {cluster: west, namespace: shop, deployment: checkout, ready: "90%"}}, interval: 2s, recoverWithin: 5m}
    - {id: search, probe: {workload: {cluster: west, namespace: shop, deployment: search, ready: "90%"}}, interval: 2s, recoverWithin: 5m}
  steps:
    - id: dark
      fault: {gatewayBlackhole: {gateway: edge, services: ["*"]}}
    - id: drain
      fault: {nodeDrain: {cluster: east, nodes: {labels: {topology.kubernetes.io/region: us-east-1}}}}
"#;

fn firedrill(folder: &Path, words: &[&str]) -> Output {
    std::fs::write(folder.join("drill.yaml"), DRILL).unwrap();
    std::fs::write(folder.join("staging.yaml"), ENVIRONMENT).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    // Whatever it would take from the shell is not there.
    command.current_dir(folder).env_clear().args(["policy", "drill.yaml", "--env", "staging.yaml"]).args(words);
    command.output().unwrap()
}

fn printed(words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = firedrill(folder.path(), words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    text.split("---\n").skip(1).map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[test]
fn the_policy_of_a_drill_is_read_inject_and_revert_for_each_cluster() {
    insta::assert_snapshot!(printed(&[]));
}

#[test]
fn a_cluster_alone_comes_with_its_bindings_and_can_be_applied() {
    let text = printed(&["--cluster", "east", "--bind-to", "ServiceAccount:ops/firedrill", "--bind-to", "User:oidc:a \"b\" # c"]);
    let documents = documents(&text);
    let of = |kind: &str| documents.iter().filter(|document| document["kind"] == kind).collect::<Vec<_>>();
    assert_eq!((of("ClusterRole").len(), of("Role").len()), (3, 1), "{text}");
    assert_eq!((of("ClusterRoleBinding").len(), of("RoleBinding").len()), (3, 1), "{text}");
    for document in &documents {
        assert_eq!(document["apiVersion"], "rbac.authorization.k8s.io/v1");
        if let Some(role) = document.get("roleRef") {
            let named = |role_: &&Value| role_["kind"] == role["kind"] && role_["metadata"] == document["metadata"];
            assert!(documents.iter().any(|one| named(&one)), "{document} binds a role that is not printed");
            assert_eq!(document["subjects"][0]["namespace"], "ops");
            // Whatever is in a name stays in the name.
            assert_eq!(document["subjects"][1]["name"], "oidc:a \"b\" # c");
        }
    }
    assert!(!text.contains("west"), "{text}");
}

#[test]
fn what_cannot_be_printed_is_said_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let output = firedrill(folder.path(), &["--cluster", "north"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cluster 'north' is not in the environment; it has: east, west"), "{said}");
    let output = firedrill(folder.path(), &["--bind-to", "alice"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("expected User:NAME, Group:NAME or ServiceAccount:NAMESPACE/NAME"), "{said}");
}
