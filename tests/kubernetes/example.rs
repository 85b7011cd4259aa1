//! The example for a laptop, on clusters and an account that take its place.

use super::drain::told;
use super::testbed::{Options, Testbed};

#[path = "../testbed/aws.rs"]
mod aws;

#[test]
fn the_example_for_kind_and_an_emulator_runs_and_leaves_everything_as_before() {
    let bed = Testbed::start(Options::ONE);
    let account = aws::Aws::start(aws::AwsOptions::SMALL);
    let (before, account_before) = (bed.east().dump(), account.dump());
    let folder = tempfile::tempdir().unwrap();
    // What a reader fills in: the uid and the endpoint; and, since this is no kind cluster, how it is reached and the name of its worker.
    let uid = bed.east().kubectl(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    let endpoint = account.endpoint.clone();
    let kubeconfig = format!("kubeconfigFile: {}", bed.directory.join("east.kubeconfig").display());
    let filled = |name: &str, changes: &[(&str, &str)]| {
        let mut text = std::fs::read_to_string(format!("{}/examples/kind/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{name} has no {from}");
            text = text.replace(from, to);
        }
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let changes =
        [("00000000-0000-0000-0000-000000000000", uid.trim()), ("http://127.0.0.1:5000", &endpoint), ("context: kind-firedrill", &kubeconfig)];
    let (environment, drill) = (filled("environment.yaml", &changes), filled("drill.yaml", &[("firedrill-worker", "east-a-01")]));
    let mut command = super::drain::firedrill(&folder.path().join("state"));
    let done = account.command(&mut command).arg("run").arg(&drill).arg("--env").arg(&environment).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    assert!(told(&done).contains("PASSED"), "{}", told(&done));
    bed.east().returns_to(&before);
    assert_eq!(account_before.differences(&account.dump()), Vec::<String>::new());
}
