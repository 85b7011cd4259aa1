//! The drill that is shipped, as a user runs it: two clusters, 60 nodes, 600 pods under disruption budgets.

use super::drain::{firedrill, told};
use super::testbed::{Options, Testbed};

#[test]
fn the_shipped_drill_takes_thirty_nodes_away_the_survivor_recovers_and_everything_returns() {
    // All pods of the region lose their place at once: smaller budgets would keep some, and the plan says so (see the drill's first lines).
    let bed = Testbed::start(Options { max_unavailable: "100%", ..Options::FULL });
    let before: Vec<_> = bed.clusters.iter().map(|cluster| (cluster, cluster.dump())).collect();
    let state = tempfile::tempdir().unwrap();
    let mut command = firedrill(state.path());
    command.args(["run", "drills/kubernetes/evacuate-nodes.yaml", "--env"]).arg(&bed.environment);
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(out.contains("PASSED") && out.contains("checkout") && out.contains("31 of 31 targets read back as before"), "{}", told(&done));
    for (cluster, before) in &before {
        // Ignored: what tests/testbed/dump.rs lists, which moves by itself.
        cluster.returns_to(before);
    }
}

#[test]
fn a_drain_that_budgets_could_never_let_end_is_refused_before_anything_is_touched() {
    let bed = Testbed::start(Options { max_unavailable: "25%", pods: 80, ..Options::SMALL });
    let state = tempfile::tempdir().unwrap();
    let mut command = firedrill(state.path());
    let done = command.args(["run", "drills/kubernetes/evacuate-nodes.yaml", "--env"]).arg(&bed.environment).output().unwrap();
    assert_eq!(done.status.code(), Some(5), "{}", told(&done));
    assert!(told(&done).contains("no node would be left for evicted pods"), "{}", told(&done));
}
