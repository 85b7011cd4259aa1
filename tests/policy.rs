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
    firedrill_on(folder, DRILL, ENVIRONMENT, words)
}

fn firedrill_on(folder: &Path, drill: &str, environment: &str, words: &[&str]) -> Output {
    std::fs::write(folder.join("drill.yaml"), drill).unwrap();
    std::fs::write(folder.join("staging.yaml"), environment).unwrap();
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

/// Drills on AWS accounts: a build without the SDKs knows of no permission that they need.
#[cfg(feature = "aws")]
mod accounts {
    use serde_json::json;

    use super::*;

    const ENVIRONMENT: &str = r#"
apiVersion: firedrill.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec:
  aws:
    - name: main
      account: "111122223333"
      regions: [us-east-1, us-west-2]
      roleArn: arn:aws:iam::111122223333:role/firedrill
      undoRoleArn: arn:aws:iam::111122223333:role/firedrill-undo
      deadManRoleArn: arn:aws:iam::111122223333:role/firedrill-deadman
    - {name: other, account: "444455556666", regions: [us-east-1]}
  allow: {faults: [ec2Stop, launchRefusal, vpcEndpointDeny, fisExperiment], noDeadMan: true}
"#;

    const DRILL: &str = r#"
apiVersion: firedrill.dev/v1alpha1
kind: Drill
metadata: {name: lose-us-east-1}
spec:
  summary: s
  owner: o
  hypothesis: h
  failedRegion: us-east-1
  survivingRegions: [us-west-2]
  regionHealthy: {probe: {awsAlarm: {account: main, region: us-east-1, alarm: checkout-errors, state: OK}}, stableFor: 1m, limit: 15m}
  hold: 10m
  undoBy: 2h
  objectives:
    - {id: checkout, probe: {awsAlarm: {account: main, region: us-west-2, alarm: checkout-errors, state: OK}}, interval: 5s, recoverWithin: 5m}
  steps:
    - id: grow
      action: {asgScale: {account: main, region: us-west-2, group: web, desired: 6}}
    - id: frozen
      fault: {launchRefusal: {account: main, groups: {names: [web]}}}
    - id: stopped
      after: [frozen]
      fault: {ec2Stop: {account: main, instances: {tags: {app: checkout}, zones: [us-east-1a]}}}
    - id: denied
      fault: {vpcEndpointDeny: {account: main, endpoints: {tags: {Name: dynamodb}}, actions: ["dynamodb:*"]}}
    - id: experiment
      fault: {fisExperiment: {account: main, template: EXT1a2b3c4d5e6f7}}
"#;

    fn policy(words: &[&str]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        firedrill_on(folder.path(), DRILL, ENVIRONMENT, words)
    }

    fn printed(words: &[&str]) -> String {
        let output = policy(words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_policy_of_an_aws_drill_is_read_inject_revert_and_dead_man_for_each_account() {
        insta::assert_snapshot!(printed(&[]));
    }

    #[test]
    fn one_purpose_of_one_account_is_plain_json_as_aws_takes_it() {
        for (purpose, allows) in
            [("read", "ec2:DescribeInstances"), ("inject", "ec2:StopInstances"), ("revert", "ec2:StartInstances"), ("dead-man", "ec2:StartInstances")]
        {
            let document: Value = serde_json::from_str(&printed(&["--account", "main", "--purpose", purpose])).unwrap();
            assert_eq!(document["Version"], "2012-10-17");
            let statements = document["Statement"].as_array().unwrap();
            let all: Vec<&Value> = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap()).collect();
            assert!(all.contains(&&json!(allows)), "{purpose}: {document}");
            // Whoever injects cannot undo, and the other way round, but for what is the same call.
            assert!(purpose == "inject" || !all.contains(&&json!("ec2:StopInstances")), "{purpose}: {document}");
            // A mutation is never allowed everywhere.
            let everywhere = statements.iter().filter(|statement| statement["Resource"] == json!(["*"]));
            let wide: Vec<&str> = everywhere.flat_map(|statement| statement["Action"].as_array().unwrap()).filter_map(Value::as_str).collect();
            let reads = |action: &&str| ["Describe", "List", "Get"].iter().any(|word| action.split(':').next_back().unwrap().starts_with(word));
            assert!(wide.iter().all(reads), "{purpose}: {wide:?}");
        }
        let dead_man: Value = serde_json::from_str(&printed(&["--account", "main", "--purpose", "dead-man"])).unwrap();
        let actions: Vec<&Value> = dead_man["Statement"].as_array().unwrap().iter().flat_map(|one| one["Action"].as_array().unwrap()).collect();
        // No action, and no experiment, which has an end of its own or none.
        assert_eq!(actions.len(), 3, "{dead_man}");
    }

    #[test]
    fn a_wrong_account_purpose_or_an_account_without_needs_is_a_usage_error_with_the_way_out() {
        for (words, said) in [
            (&["--account", "mian"] as &[&str], "account 'mian' is not in the environment; it has: main, other"),
            (&["--account", "main", "--purpose", "undo"], "expected read, inject, revert or dead-man"),
            (&["--purpose", "read"], "--account <NAME>"),
            (&["--account", "other", "--purpose", "read"], "nothing is needed in account 'other' for read"),
            (&["--account", "main", "--cluster", "east"], "cannot be used with"),
        ] {
            let output = policy(words);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
            assert!(text.contains(said) && output.stdout.is_empty(), "{words:?}: {text}");
        }
        assert!(printed(&["--account", "other"]).contains("# Nothing in account other."));
    }
}
