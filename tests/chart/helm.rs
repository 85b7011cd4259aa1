//! helm, as it was built for the testbed, with the chart of this repository, and nobody's configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use super::testbed::Cluster;

/// The chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/firedrill");

/// Where the launcher has built it.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/testbed")).arg("helm").output().expect("scripts/testbed starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
});

/// A command of helm against a cluster, as its administrator; or against none.
pub fn command(cluster: Option<&Cluster>, arguments: &[&str]) -> Command {
    let kubeconfig = cluster.map_or(Path::new("/nonexistent/config"), |cluster| &cluster.kubeconfig);
    let mut command = Command::new(&*PROGRAM);
    // What it remembers of a cluster goes when the testbed does; without one it remembers nothing.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", kubeconfig.parent().unwrap());
    command.env("KUBECONFIG", kubeconfig);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it; it must succeed.
pub fn helm(cluster: Option<&Cluster>, arguments: &[&str]) -> String {
    let output = command(cluster, arguments).output().unwrap();
    assert!(output.status.success(), "helm {}: {}", arguments.join(" "), said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it; it must fail.
pub fn refused(cluster: Option<&Cluster>, arguments: &[&str]) -> String {
    let output = command(cluster, arguments).output().unwrap();
    assert!(!output.status.success(), "helm {} was accepted: {}", arguments.join(" "), said(&output));
    said(&output)
}

/// All that a command printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}
