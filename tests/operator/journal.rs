//! The journal of a cluster, on a real API server: what every journal promises, ten thousand targets, damage, and two who write.

use std::sync::Arc;
use std::time::Instant;

use firedrill::cluster::api::Cluster as Api;
use firedrill::drill::spec::ClusterConnection;
use firedrill::event::Phase;
use firedrill::journal::{Journal, JournalError};
use firedrill::operator::memory::Memory;
use futures::StreamExt;
use serde_json::{Value, json};

use super::ground::namespace;
use super::journal_contract::{self as contract, header, intents, note, run_id, target};
use super::testbed::Cluster;

async fn memory(cluster: &Cluster, namespace: &str) -> Memory {
    let connection = ClusterConnection { kubeconfig_file: Some(cluster.kubeconfig.display().to_string()), ..ClusterConnection::default() };
    Memory::new(Arc::new(Api::discover("here", &connection).await.unwrap()), namespace)
}

fn parts(cluster: &Cluster, namespace: &str, run: &str) -> Vec<Value> {
    let selector = format!("firedrill.dev/run={run}");
    cluster.json(&["-n", namespace, "get", "drilljournals", "-l", &selector])["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_of_a_cluster_promises_what_that_of_a_machine_does() {
    let cluster = namespace("journal-contract");
    contract::holds(async || memory(cluster, "journal-contract").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_targets_fit_and_no_object_grows_with_them() {
    let cluster = namespace("journal-large");
    let journal = memory(cluster, "journal-large").await;
    let run = run_id();
    journal.open_run(&header(&run)).await.unwrap();
    let begun = Instant::now();
    for chunk in intents(&run, 0..10_000).chunks(500) {
        journal.commit_intents(chunk).await.unwrap();
    }
    let committed = begun.elapsed();
    let before = cluster.audit().len();
    let begun = Instant::now();
    for phase in [Phase::Injected, Phase::Verified, Phase::Reverting, Phase::Reverted] {
        let moves = (0..10_000).map(|number| (number, target(&run, number)));
        let moved = futures::stream::iter(moves).map(|(_, target)| {
            let (journal, run) = (&journal, &run);
            async move { journal.set_phase(run, "lose", &target, phase, None).await }
        });
        let failed: Vec<JournalError> = moved.buffer_unordered(2_000).filter_map(async |done| done.err()).collect().await;
        assert!(failed.is_empty(), "{failed:?}");
    }
    let moved = begun.elapsed();
    let writes = cluster.audit()[before..].iter().filter(|entry| entry.namespace == "journal-large").count();
    eprintln!("10,000 targets: intents {committed:?}, 40,000 phases {moved:?} in {writes} writes");
    // One for each move would be 40,000.
    assert!(writes < 4_000, "{writes} writes");
    let all = parts(cluster, "journal-large", &run);
    let records = all.iter().filter(|part| part["spec"]["part"] == "records").count();
    assert_eq!(records, 100);
    let largest = all.iter().map(|part| part.to_string().len()).max().unwrap();
    assert!(largest < 400_000, "{largest} bytes in one object");
    let again = memory(cluster, "journal-large").await;
    let read = again.records(&run).await.unwrap();
    assert_eq!(read.len(), 10_000);
    assert!(read.iter().all(|record| record.phase == Phase::Reverted));
    assert_eq!(again.run(&run).await.unwrap().open_records, 0);
}

/// I20.
#[tokio::test(flavor = "multi_thread")]
async fn i20_a_damaged_journal_is_never_nothing_to_undo() {
    let cluster = namespace("journal-damage");
    let here = "journal-damage";
    let journal = memory(cluster, here).await;
    let unreadable = |result: Result<Vec<firedrill::fault::Record>, JournalError>, what: &str| {
        assert!(matches!(&result, Err(JournalError::Unreadable(why)) if why.contains("firedrill sweep")), "{what}: {result:?}");
    };
    // A part that is gone: somebody took its finalizer and deleted it.
    let run = run_id();
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..250)).await.unwrap();
    let last = format!("drilljournal/{}-records-2", run.to_lowercase());
    let held = cluster.try_kubectl(&["-n", here, "delete", &last, "--wait=false"]);
    assert!(held.status.success());
    assert_eq!(memory(cluster, here).await.records(&run).await.unwrap().len(), 250, "a part that is deleted stays until its run is undone");
    cluster.kubectl(&["-n", here, "patch", &last, "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]);
    unreadable(memory(cluster, here).await.records(&run).await, "the last part is gone");
    assert!(matches!(memory(cluster, here).await.open_runs().await, Err(JournalError::Unreadable(_))), "and what is open is not known");
    cluster.kubectl(&["-n", here, "delete", "drilljournals", "-l", &format!("firedrill.dev/run={run}"), "--wait=false"]);
    for part in parts(cluster, here, &run) {
        let name = format!("drilljournal/{}", part["metadata"]["name"].as_str().unwrap());
        cluster.kubectl(&["-n", here, "patch", &name, "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]);
    }

    // A checksum that does not fit: made again by hand from a backup, with one character changed.
    let run = run_id();
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..1)).await.unwrap();
    let mut part = parts(cluster, here, &run).into_iter().find(|part| part["spec"]["part"] == "records").unwrap();
    let name = part["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.kubectl(&["-n", here, "delete", "drilljournal", &name, "--wait=false"]);
    cluster.kubectl(&["-n", here, "patch", "drilljournal", &name, "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]);
    let body = part["spec"]["records"][0]["body"].as_str().unwrap().replace("rule-0", "rule-1");
    part["spec"]["records"][0]["body"] = body.into();
    part["metadata"] = json!({"name": name, "namespace": here, "labels": part["metadata"]["labels"]});
    super::ground::created(cluster, &part);
    unreadable(memory(cluster, here).await.records(&run).await, "a body was changed");

    // A phase that only a newer build knows the meaning of is open, whatever it says.
    let run = run_id();
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..1)).await.unwrap();
    let name = format!("drilljournal/{}-records-0", run.to_lowercase());
    let state = json!({"number": 0, "phase": "reverted", "version": 99, "at": "2026-12-01T00:00:00.000001Z"});
    super::ground::status(cluster, here, &name, &json!({"open": 0, "states": [state]}));
    let read = memory(cluster, here).await.records(&run).await.unwrap();
    assert_eq!(read[0].phase, Phase::Unknown);
    assert!(!read[0].phase.is_closed());
    // A status that somebody emptied tells of nothing that was undone.
    cluster.kubectl(&["-n", here, "patch", &name, "--subresource=status", "--type=merge", "-p", r#"{"status": {"states": null, "open": null}}"#]);
    assert_eq!(memory(cluster, here).await.records(&run).await.unwrap()[0].phase, Phase::Intent);
}

/// I11, I12.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_the_leader_any_more_cannot_commit_an_intent() {
    let cluster = namespace("journal-stale");
    let (old, new) = (memory(cluster, "journal-stale").await, memory(cluster, "journal-stale").await);
    let run = run_id();
    old.open_run(&header(&run)).await.unwrap();
    old.commit_intents(&intents(&run, 0..1)).await.unwrap();
    old.append(&run, &[note(0, "here")]).await.unwrap();
    // Without any other write of the new one: taking it over is enough.
    let claim = new.claim(&run).await.unwrap();
    assert!(matches!(new.claim(&run).await, Err(JournalError::Busy(_))));
    let refused = old.commit_intents(&intents(&run, 1..2)).await.unwrap_err();
    assert!(matches!(&refused, JournalError::Busy(why) if why.contains("another process")), "{refused}");
    assert!(matches!(old.append(&run, &[note(1, "still here")]).await, Err(JournalError::Busy(_))));
    // The part was created and never counted: it is undone all the same.
    assert_eq!(new.records(&run).await.unwrap().len(), 2);
    new.append(&run, &[note(1, "taken over")]).await.unwrap();
    drop(claim);
    drop(new.claim(&run).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_on_an_object_that_is_not_a_status_stops_no_run() {
    let cluster = namespace("journal-labels");
    let journal = memory(cluster, "journal-labels").await;
    let run = run_id();
    journal.open_run(&header(&run)).await.unwrap();
    journal.commit_intents(&intents(&run, 0..1)).await.unwrap();
    let selector = format!("firedrill.dev/run={run}");
    cluster.kubectl(&["-n", "journal-labels", "label", "drilljournals", "-l", &selector, "team=a"]);
    journal.set_phase(&run, "lose", &target(&run, 0), Phase::Injected, None).await.unwrap();
    journal.append(&run, &[note(0, "on")]).await.unwrap();
    journal.set_phase(&run, "lose", &target(&run, 0), Phase::Reverted, None).await.unwrap();
    let end = firedrill::journal::RunEnd {
        at: firedrill::clock::Timestamp(1_790_000_900_000_000),
        verdict: firedrill::event::Verdict::Aborted,
        cleanliness: firedrill::event::Cleanliness::Clean,
        score: None,
        exit_code: 6,
    };
    journal.close_run(&run, &end).await.unwrap();
    // Nothing keeps them any more, and nobody asks for them at the next start.
    for part in parts(cluster, "journal-labels", &run) {
        assert!(part["metadata"]["finalizers"].is_null() && part["metadata"]["labels"]["firedrill.dev/open"].is_null(), "{part}");
    }
    assert!(journal.open_runs().await.unwrap().is_empty());
}
