//! What `kubectl get` prints of the resources.

use serde_json::{Value, json};

use super::ground::{created, drill, namespace, object, status};

fn words(line: &str) -> Vec<&str> {
    // Columns are apart by two spaces and more; a head may have one inside.
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[test]
fn tables_tell_the_story_of_schedules_and_runs() {
    let cluster = namespace("tables");
    let spec = json!({"drill": "evacuate", "environment": "staging", "cron": "0 10 * * TUE#2", "timeZone": "America/New_York"});
    created(cluster, &object("DrillSchedule", "tables", "monthly", &spec));
    created(cluster, &object("DrillSchedule", "tables", "new", &spec));
    let conditions = json!([{
        "type": "Valid", "status": "True", "observedGeneration": 1, "lastTransitionTime": "2026-11-10T15:00:00Z", "reason": "Valid", "message": "",
    }]);
    let state = json!({
        "rule": {"cron": "0 10 * * TUE#2", "timeZone": "America/New_York"}, "handled": "2026-11-10T15:00:00Z",
        "lastRun": {"instant": "2026-11-10T15:00:00Z", "name": "monthly-1"}, "started": 1,
        "missed": {"count": 1, "last": [{"instant": "2026-10-13T14:00:00Z", "reason": "Blackout", "message": "peak week"}]},
        "announced": [{"lead": "24h", "through": "2026-12-08T15:00:00Z"}],
    });
    let told = json!({
        "observedGeneration": 1, "next": "2026-12-08T10:00:00-05:00", "lastVerdict": "passed", "lastCleanliness": "clean", "lastScore": 92.5,
        "state": state, "conditions": conditions,
    });
    status(cluster, "tables", "drillschedule/monthly", &told);
    assert_eq!(cluster.json(&["-n", "tables", "get", "drillschedule", "monthly"])["status"], told, "nothing of a status is lost");
    let table = cluster.kubectl(&["-n", "tables", "get", "drillschedules"]);
    let lines: Vec<Vec<&str>> = table.lines().map(words).collect();
    assert_eq!(lines[0], ["NAME", "SCHEDULE", "NEXT", "LAST", "VERDICT", "SCORE", "AGE"], "{table}");
    assert_eq!(lines[1][..3], ["monthly", "0 10 * * TUE#2", "2026-12-08T10:00:00-05:00"], "{table}");
    assert_eq!(lines[1][4..6], ["passed", "92.5"], "{table}");
    assert_eq!(lines[2][..2], ["new", "0 10 * * TUE#2"], "{table}");

    let run = |name: &str| object("DrillRun", "tables", name, &json!({"drill": "evacuate", "environment": "staging"}));
    created(cluster, &run("monthly-1"));
    created(cluster, &run("monthly-2"));
    let over: Value = json!({
        "observedGeneration": 1, "phase": "over", "runId": "01JABCDEFGHJKMNPQRSTVWXYZ0", "drillHash": "0".repeat(64), "environmentHash": "1".repeat(64),
        "started": "2026-11-10T15:00:00Z", "undoBy": "2026-11-10T16:00:00Z", "ended": "2026-11-10T15:31:00Z", "targets": 12, "inPlace": 0,
        "verdict": "passed", "cleanliness": "clean", "score": 92.5, "coverage": "100%", "recovery": "2m 14s ± 1s", "reason": "all objectives met",
        "objectives": [{"id": "checkout", "verdict": "met", "recovery": "2m 14s ± 1s"}], "approvedBy": ["bob@example.com"],
        "report": "configmap/monthly-1-report", "stillInPlace": ["kubernetes/2f0c6f5e/nodes/a"], "conditions": conditions,
    });
    status(cluster, "tables", "drillrun/monthly-1", &over);
    assert_eq!(cluster.json(&["-n", "tables", "get", "drillrun", "monthly-1"])["status"], over, "nothing of a status is lost");
    status(cluster, "tables", "drillrun/monthly-2", &json!({"phase": "hold", "inPlace": 12}));
    let table = cluster.kubectl(&["-n", "tables", "get", "fdr"]);
    let lines: Vec<Vec<&str>> = table.lines().map(words).collect();
    assert_eq!(lines[0], ["NAME", "DRILL", "PHASE", "IN PLACE", "VERDICT", "SCORE", "RECOVERY", "AGE"], "{table}");
    assert_eq!(lines[1][..7], ["monthly-1", "evacuate", "over", "0", "passed", "92.5", "2m 14s ± 1s"], "{table}");
    assert_eq!(lines[2][..4], ["monthly-2", "evacuate", "hold", "12"], "{table}");
}

#[test]
fn one_word_lists_all_and_the_others_have_tables_too() {
    let cluster = namespace("words");
    created(cluster, &object("Drill", "words", "evacuate", &drill(&json!([{"id": "a", "wait": {"for": "1m"}}]))));
    let spec = json!({"approvals": 2, "allow": {"faults": ["nodeDrain", "ec2Stop"]}});
    created(cluster, &object("Environment", "words", "staging", &spec));
    created(cluster, &object("DrillApproval", "words", "yes", &json!({"run": "first", "approver": "alice@example.com"})));
    let table = cluster.kubectl(&["-n", "words", "get", "environments"]);
    assert_eq!(words(table.lines().next().unwrap()), ["NAME", "FAULTS", "APPROVALS", "VALID", "AGE"]);
    assert_eq!(words(table.lines().nth(1).unwrap())[..3], ["staging", r#"["nodeDrain","ec2Stop"]"#, "2"]);
    let listed = cluster.kubectl(&["-n", "words", "get", "firedrill", "-o", "name"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["drill.firedrill.dev/evacuate", "drillapproval.firedrill.dev/yes", "environment.firedrill.dev/staging"]);
    let explained = cluster.kubectl(&["explain", "drill.spec.objectives.recoverWithin"]);
    assert!(explained.contains("RTO"), "{explained}");
}
