//! Malformed and hostile files, by the real binary: the exact place, the words that help, exit code 2, no panic, bounded memory.
//!
//! Rows are those of the table of bad inputs that need no cloud and no cluster. `§` marks the place that the message must name.

// Helpers of tests fail by panicking, like tests.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use firedrill::clock::Timestamp;
use firedrill::drill::bind;
use firedrill::drill::load::{Options, load_text};
use firedrill::drill::schedule::next_instants;
use firedrill::drill::source::Source;
use proptest::prelude::*;
use serde_json::Value;

/// A drill without a mistake.
const DRILL: &str = r#"apiVersion: firedrill.dev/v1alpha1
kind: Drill
metadata: {name: small}
spec:
  summary: Checkout survives
  owner: payments-oncall
  hypothesis: It carries on.
  failedRegion: us-east-1
  survivingRegions: [us-west-2]
  hold: 30m
  undoBy: 60m
  objectives:
    - id: checkout
      probe: {http: {url: "${endpoints.checkout}/healthz"}}
      interval: 1s
      recoverWithin: 5m
  steps:
    - id: dark
      fault: {gatewayBlackhole: {gateway: edge, services: ["*"]}}
      limit: 1m
    - id: confirm
      after: [dark]
      manual: {role: commander, instruction: Look., limit: 5m}
"#;

/// An environment without a mistake, in which the drill may run.
const ENVIRONMENT: &str = r#"apiVersion: firedrill.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec:
  aws:
    - {name: main, account: "111122223333", regions: [us-east-1, us-west-2], roleArn: "arn:aws:iam::111122223333:role/firedrill"}
  kubernetes:
    - {name: east, uid: 2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11, region: us-east-1, connection: {context: staging-use1}}
  gateways: [{name: edge, connection: {socket: /run/firedrill/gateway.sock}}]
  endpoints: {checkout: "https://checkout.example.com"}
  vips: {west: [198.51.100.7, 198.51.100.8], east: 198.51.100.9}
  allow: {faults: [gatewayBlackhole]}
  limits: {maxTargets: 10, maxRegions: 1}
  freezes: [{from: 2026-11-26, to: 2026-12-02, timeZone: America/New_York, reason: peak week}]
"#;

const SCHEDULE: &str = r#"apiVersion: firedrill.dev/v1alpha1
kind: DrillSchedule
metadata: {name: monthly}
spec:
  drill: small
  environment: staging
  cron: "0 10 * * TUE#2"
  timeZone: America/New_York
  blackouts: [{from: 2026-11-26, to: 2026-12-02, reason: peak week}]
  announce: [24h, 1h]
"#;

/// What a run of the binary said.
struct Said {
    code: Option<i32>,
    json: Value,
    stderr: String,
}

impl Said {
    fn diagnostics(&self) -> Vec<(u64, u64, String)> {
        let all = self.json["diagnostics"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| (one["line"].as_u64().unwrap(), one["column"].as_u64().unwrap(), one["message"].as_str().unwrap().to_owned())).collect()
    }
}

fn validate(dir: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    let out = command.args(["validate", "--format", "json"]).args(args).current_dir(dir).env_remove("RUST_BACKTRACE").output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Said { code: out.status.code(), json: serde_json::from_slice(&out.stdout).unwrap_or(Value::Null), stderr }
}

/// The text without the mark, and the mark's line and column.
fn marked(text: &str) -> (String, (u64, u64)) {
    let at = text.find('§').expect("a row marks its place");
    let line = text[..at].matches('\n').count() + 1;
    let column = text[..at].rsplit('\n').next().unwrap().chars().count() + 1;
    (text.replacen('§', "", 1), (line as u64, column as u64))
}

fn changed(base: &str, from: &str, to: &str) -> String {
    assert_eq!(base.matches(from).count(), 1, "'{from}' is in the document once");
    base.replacen(from, to, 1)
}

/// A row: a document, what is replaced in it, by what, words of the message, flags.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [&'a str]);

/// Runs each row and lists those that went wrong.
fn check(rows: &[Row<'_>]) {
    let wrong: String = rows.iter().map(|(base, from, to, words, flags)| wrong(&changed(base, from, to), words, flags)).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

/// The same for whole texts and their words.
fn texts(rows: &[(String, String)], flags: &[&str]) {
    let wrong: String = rows.iter().map(|(text, words)| wrong(text, words, flags)).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

/// What went wrong with a marked text: nothing when the binary names the place with the words, and exits 2.
fn wrong(text: &str, words: &str, flags: &[&str]) -> String {
    assert!(!words.is_empty(), "a row without words proves nothing");
    let dir = tempfile::tempdir().unwrap();
    let (plain, place) = marked(text);
    std::fs::write(dir.path().join("drill.yaml"), plain).unwrap();
    let said = validate(dir.path(), &[&["drill.yaml"], flags].concat());
    let found = said.diagnostics();
    let hit = found.iter().any(|(line, column, message)| (*line, *column) == place && message.contains(words));
    if hit && said.code == Some(2) {
        return String::new();
    }
    let line = text.lines().find(|line| line.contains('§')).unwrap_or_default();
    format!("\n{line}\n  wanted {place:?} '{words}', exit 2\n  got {:?} {found:#?} {}\n", said.code, said.stderr)
}

#[test]
fn the_documents_that_rows_change_are_good() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("d.yaml", DRILL), ("e.yaml", ENVIRONMENT), ("s.yaml", SCHEDULE)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let said = validate(dir.path(), &["--strict", "--env", "e.yaml", "."]);
    assert_eq!((said.code, said.diagnostics()), (Some(0), vec![]), "{}", said.stderr);
}

#[test]
fn files_that_hold_no_text_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain("kind: Drill\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let utf16_bare: Vec<u8> = "kind: Drill\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let torn = [b"a: 1\n# \xc3\xa9 ".as_slice(), &[0xff], b"\n"].concat();
    let rows: [(&str, &[u8], &str); 8] = [
        ("empty", b"", "no drill document found"),
        ("comments", b"# nothing\n\n---\n# here\n", "no drill document found"),
        ("torn", &torn, "invalid UTF-8 at byte 10 (line 2)"),
        ("utf16", &utf16, "looks like UTF-16; save as UTF-8"),
        ("utf16-bare", &utf16_bare, "looks like UTF-16; save as UTF-8"),
        ("list", b"- a\n- b\n", "expected a document with apiVersion, kind, metadata and spec, found a list"),
        ("word", b"hello\n", "found a string"),
        ("half", b"a: [1, 2\n", "not YAML"),
    ];
    for (name, bytes, words) in rows {
        std::fs::write(dir.path().join("file.yaml"), bytes).unwrap();
        let said = validate(dir.path(), &["file.yaml"]);
        let found = said.diagnostics();
        assert!(said.code == Some(2) && found.len() == 1 && found[0].2.contains(words), "{name}: {:?} {found:?}", said.code);
    }
    std::fs::write(dir.path().join("bom.yaml"), [&[0xef, 0xbb, 0xbf], DRILL.as_bytes()].concat()).unwrap();
    assert_eq!(validate(dir.path(), &["bom.yaml"]).code, Some(0), "a UTF-8 byte order mark is accepted");
    for (name, words) in [("missing.yaml", "no such file"), ("bom.yaml/x", "cannot be read")] {
        let said = validate(dir.path(), &[name]);
        assert!(said.code == Some(2) && said.diagnostics()[0].2.to_lowercase().contains(words), "{name}: {:?}", said.diagnostics());
    }
}

#[test]
fn yaml_that_a_drill_may_not_use_is_refused_where_it_stands() {
    let deep = format!("§{}1{}", "[".repeat(70), "]".repeat(70));
    let (_, place) = marked(&changed(DRILL, "It carries on.", &deep));
    let deep_row = changed(DRILL, "It carries on.", &deep.replace('§', ""));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("deep.yaml"), deep_row).unwrap();
    let said = validate(dir.path(), &["deep.yaml"]);
    assert!(
        said.code == Some(2) && said.diagnostics().iter().any(|(line, _, message)| *line == place.0 && message.contains("nested deeper than 64"))
    );
    check(&[
        (DRILL, "  hold: 30m", "§\thold: 30m", "tabs cannot indent YAML; use spaces", &[]),
        (DRILL, "      interval: 1s", "    §\tinterval: 1s", "tabs cannot indent YAML; use spaces", &[]),
        (DRILL, "[us-west-2]", "[\n§\tus-west-2]", "tabs cannot indent YAML; use spaces", &[]),
        (DRILL, "hold: 30m", "hold: §*nothing", "aliases are not allowed", &[]),
        (DRILL, "hold: 30m\n  undoBy: 60m", "hold: &a 30m\n  undoBy: §*a", "aliases are not allowed", &[]),
        (DRILL, "after: [dark]", "after: &a [§*a]", "aliases are not allowed", &[]),
        (DRILL, "  undoBy: 60m\n", "  undoBy: 60m\n  §hold: 20m\n", "duplicate key 'hold' (first at 10:3)", &[]),
        (DRILL, "hold: 30m", "hold: §!!python/object:os.system 30m", "tag not allowed", &[]),
        (DRILL, "hold: 30m", "hold: §!custom 30m", "tag not allowed", &[]),
        (DRILL, "hold: 30m", "hold: §!!str 30m", "tag not allowed", &[]),
        (DRILL, "  undoBy: 60m\n", "  undoBy: 60m\n  §<<: {hold: 1m}\n", "merge keys are not allowed", &[]),
        (DRILL, "  undoBy: 60m\n", "  undoBy: 60m\n  §[a, b]: 1\n", "a key must be a plain string", &[]),
        (DRILL, "manual: {", "keep: §yes\n      manual: {", "expected true or false, found a string", &[]),
    ]);
}

#[test]
fn wrong_fields_and_types_get_the_field_that_was_meant() {
    check(&[
        (DRILL, "recoverWithin", "§recoverWithn", "unknown field 'recoverWithn'; did you mean 'recoverWithin'?", &[]),
        (DRILL, "gatewayBlackhole", "§gatewayBlackhol", "unknown fault 'gatewayBlackhol'; did you mean 'gatewayBlackhole'?", &[]),
        (DRILL, "gatewayBlackhole: {gateway: edge, services: [\"*\"]}", "§ec2Stp: {}", "unknown fault 'ec2Stp'; did you mean 'ec2Stop'?", &[]),
        (DRILL, "gatewayBlackhole: {gateway: edge, services: [\"*\"]}", "§ec2-stop: {}", "unknown fault 'ec2-stop'; did you mean 'ec2Stop'?", &[]),
        (DRILL, "gatewayBlackhole: {gateway: edge, services: [\"*\"]}", "§EC2Stop: {}", "unknown fault 'EC2Stop'; did you mean 'ec2Stop'?", &[]),
        (DRILL, "gatewayBlackhole: {gateway: edge, services: [\"*\"]}", "§route53Shift: {}", "unknown fault 'route53Shift'; it is an action", &[]),
        (DRILL, "http: {url", "§htp: {url", "unknown probe 'htp'; did you mean 'http'?", &[]),
        (DRILL, "apiVersion: firedrill.dev/v1alpha1\n", "§", "missing field 'apiVersion'; this build knows", &[]),
        (DRILL, "firedrill.dev/v1alpha1", "§firedrill.dev/v9", "unsupported apiVersion 'firedrill.dev/v9'; this build knows v1alpha1", &[]),
        (DRILL, "kind: Drill\n", "kind: §Dril\n", "unknown kind 'Dril'; did you mean 'Drill'?", &[]),
        (DRILL, "apiVersion: firedrill.dev/v1alpha1\nkind: Drill\n", "§apiVersion: firedrill.dev/v1alpha1\n", "missing field 'kind'", &[]),
        (DRILL, "after: [dark]", "after: §{}", "expected a list, found a map", &[]),
        (DRILL, "services: [\"*\"]", "services: §\"*\"", "expected a list, found a string", &[]),
        (DRILL, "owner: payments-oncall", "owner: §17", "expected a string, found a number", &[]),
        (DRILL, "owner: payments-oncall", "§owner:", "expected a string, found nothing", &[]),
        (DRILL, "owner: payments-oncall", "owner: §\"\"", "'owner' must not be empty", &[]),
        (DRILL, "{name: small}", "{name: §Small_Drill}", "use 'small-drill'", &[]),
        (DRILL, "id: dark", "id: §\"\"", "is not a name", &[]),
        (DRILL, "    - id: confirm", "    - id: §dark", "duplicate step 'dark' (first at 18:11)", &[]),
        (DRILL, "      recoverWithin: 5m\n", "      recoverWithin: 5m\n      weight: §0\n", "'weight' must be at least 1", &[]),
        (DRILL, "edge, services", "edge, existing: §cutt, services", "unknown value 'cutt'; did you mean 'cut'?", &[]),
    ]);
}

#[test]
fn what_has_no_default_is_missed_by_name() {
    let mut rows = Vec::new();
    for (line, field) in [
        ("  owner: payments-oncall\n", "owner"),
        ("  hypothesis: It carries on.\n", "hypothesis"),
        ("  hold: 30m\n", "hold"),
        ("  undoBy: 60m\n", "undoBy"),
        ("  summary: Checkout survives\n", "summary"),
        ("  failedRegion: us-east-1\n", "failedRegion"),
    ] {
        let text = changed(&changed(DRILL, line, ""), "spec:", "§spec:");
        rows.push((text, format!("missing field '{field}'")));
    }
    for (from, to, words) in [
        (
            "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "fault: {§gatewayBlackhole: {gateway: edge}}",
            "step 'dark' has no scope: missing field 'services'; firedrill never defaults to all",
        ),
        (
            "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "fault: {§ec2Stop: {instances: {tags: {a: b}}}}",
            "step 'dark' has no scope: missing field 'account'",
        ),
        (
            "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "fault: {§podKill: {cluster: east, count: 1, pods: {labels: {a: b}}}}",
            "no scope: missing field 'namespace'",
        ),
        (
            "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "fault: {nodeDrain: {cluster: east, nodes: §{}}}",
            "empty selector matches everything; add labels or tags",
        ),
        (
            "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "fault: {nodeDrain: {cluster: east, nodes: {labels: §{}}}}",
            "empty selector matches everything",
        ),
        (
            "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "fault: {ec2Stop: {account: main, instances: {ids: §[]}}}",
            "must name at least one",
        ),
        ("services: [\"*\"]", "services: §[]", "must name at least one"),
        ("fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}", "§fault: {}", "a fault is exactly one of"),
        (
            "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "fault: {gatewayBlackhole: {gateway: edge, services: [sts]}, §gatewayRefuse: {gateway: edge, services: [sts]}}",
            "found gatewayBlackhole and gatewayRefuse",
        ),
        (
            "      manual: {role",
            "      wait: {for: 1m}\n      §manual: {role",
            "a step is exactly one of fault, action, manual, wait or check; found wait and manual",
        ),
        ("- id: dark\n      fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}\n", "- §id: dark\n", "a step is exactly one of"),
    ] {
        rows.push((changed(DRILL, from, to), words.to_owned()));
    }
    let objective = changed(&changed(DRILL, "      recoverWithin: 5m\n", ""), "- id: checkout", "- §id: checkout");
    rows.push((objective, "objective 'checkout' has no target".to_owned()));
    let start = DRILL.find("  objectives:").unwrap();
    let end = DRILL.find("  steps:").unwrap();
    let none = format!("{}  objectives: §[]\n{}", &DRILL[..start], &DRILL[end..]);
    rows.push((none, "'objectives' must name at least one".to_owned()));
    texts(&rows, &[]);
}

#[test]
fn regions_are_regions() {
    check(&[
        (DRILL, "failedRegion: us-east-1", "failedRegion: §us-esat-1", "unknown region; did you mean 'us-east-1'?", &[]),
        (DRILL, "failedRegion: us-east-1", "failedRegion: §us-east-1a", "is an availability zone; region is 'us-east-1'", &[]),
        (DRILL, "failedRegion: us-east-1", "failedRegion: §moon", "unknown region", &["--allow-unknown-region"]),
        (DRILL, "[us-west-2]", "[§cn-north-1]", "is in partition aws-cn, 'us-east-1' in aws", &[]),
        (DRILL, "[us-west-2]", "[§us-east-1]", "is the region that fails", &[]),
        (DRILL, "edge, services", "edge, region: §us-esat-1, services", "did you mean 'us-east-1'?", &[]),
        (DRILL, "[us-west-2]", "§[]", "must name at least one", &[]),
        (ENVIRONMENT, "[us-east-1, us-west-2]", "[us-east-1, §us-gov-west-1]", "an account is in one partition", &[]),
        (ENVIRONMENT, "\"arn:aws:iam", "§\"arn:aws-cn:iam", "ARN partition aws-cn ≠ aws", &[]),
    ]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("new.yaml"), changed(DRILL, "failedRegion: us-east-1", "failedRegion: us-north-7")).unwrap();
    assert_eq!(validate(dir.path(), &["new.yaml"]).code, Some(2));
    assert_eq!(validate(dir.path(), &["new.yaml", "--allow-unknown-region"]).code, Some(0));
}

#[test]
fn durations_and_percentages_are_bounded_and_told_how_to_be_written() {
    check(&[
        (DRILL, "hold: 30m", "hold: §10 min", "invalid duration '10 min'; use '10m'", &[]),
        (DRILL, "hold: 30m", "hold: §\"10m \"", "invalid duration '10m '; use '10m'", &[]),
        (DRILL, "hold: 30m", "hold: §1e9h", "invalid duration '1e9h'", &[]),
        (DRILL, "hold: 30m", "hold: §99999999999999999999s", "invalid duration", &[]),
        (DRILL, "hold: 30m", "hold: §13h", "'13h' exceeds the maximum 12h", &[]),
        (DRILL, "hold: 30m", "hold: §-5m", "invalid duration", &[]),
        (DRILL, "hold: 30m", "hold: §600", "expected a duration such as '10m', found a number", &[]),
        (DRILL, "interval: 1s", "interval: §0s", "'interval' must be longer than 0s", &[]),
        (DRILL, "interval: 1s\n", "interval: 1s\n      timeout: §2s\n", "timeout 2s is longer than the interval 1s", &[]),
        (SCHEDULE, "[24h, 1h]", "[§721h]", "exceeds the maximum 720h", &[]),
        (DRILL, "recoverWithin: 5m", "availability: §\"101%\"", "threshold must be within 0..100%", &[]),
        (DRILL, "recoverWithin: 5m", "availability: §\">100%\"", "invalid percentage", &[]),
        (DRILL, "recoverWithin: 5m", "availability: §.nan", "threshold must be within 0..100%", &[]),
        (DRILL, "recoverWithin: 5m", "availability: §.inf", "threshold must be within 0..100%", &[]),
        (DRILL, "recoverWithin: 5m", "availability: §\"NaN%\"", "threshold must be within 0..100%", &[]),
        (DRILL, "recoverWithin: 5m", "availability: §\"-1%\"", "threshold must be within 0..100%", &[]),
        (DRILL, "recoverWithin: 5m", "availability: §99.5", "expected a percentage such as \"99.5%\", found a number", &[]),
        (DRILL, "undoBy: 60m", "undoBy: §31m", "steps (6m) + hold (30m) exceed undoBy 31m by 5m", &[]),
    ]);
}

#[test]
fn steps_and_objectives_need_what_is_there_and_no_circles() {
    check(&[
        (DRILL, "after: [dark]", "after: [§drak]", "'confirm' needs 'drak', which is not there; did you mean 'dark'?", &[]),
        (DRILL, "after: [dark]", "after: [§confirm]", "'confirm' needs itself", &[]),
        (DRILL, "interval: 1s\n", "interval: 1s\n      dependsOn: [§chekout]\n", "'checkout' needs 'chekout'", &[]),
        (DRILL, "interval: 1s\n", "interval: 1s\n      clockFrom: §drk\n", "no step 'drk'; did you mean 'dark'?", &[]),
        (
            DRILL,
            "  undoBy: 60m\n",
            "  undoBy: 60m\n  abortWhen: [{objective: §chekout, availabilityBelow: \"10%\", for: 7m}]\n",
            "no objective 'chekout'; did you mean 'checkout'?",
            &[],
        ),
        (
            DRILL,
            "      manual: {role: commander, instruction: Look., limit: 5m}",
            "      §action: {edgeShift: {edge: \"${endpoints.edge}\", to: us-west-2}}",
            "missing field 'regionHealthy'",
            &[],
        ),
        (DRILL, "      limit: 1m\n", "      limit: 1m\n      §keep: true\n", "'keep' is for actions", &[]),
        (DRILL, "      recoverWithin: 5m\n", "      §loseAtMost: 0s\n", "loseAtMost needs a canary probe", &[]),
        (
            DRILL,
            "      probe: {http: {url: \"${endpoints.checkout}/healthz\"}}\n      interval: 1s\n      recoverWithin: 5m\n",
            "      probe: {prometheus: {source: main, query: up}}\n      interval: 1s\n      §detectWithin: 3m\n",
            "detectWithin needs 'alive'",
            &[],
        ),
    ]);
}

#[test]
fn a_cycle_is_told_from_its_first_step_round_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let steps = "  steps:\n    - {id: a, after: [c], wait: {for: 1m}}\n    - {id: b, after: [a], wait: {for: 1m}}\n    - {id: c, after: [b], wait: {for: 1m}}\n";
    std::fs::write(dir.path().join("ring.yaml"), format!("{}{steps}", &DRILL[..DRILL.find("  steps:").unwrap()])).unwrap();
    let said = validate(dir.path(), &["ring.yaml"]);
    let found = said.diagnostics();
    assert_eq!(found.iter().filter(|one| one.2.contains("cycle")).count(), 1, "{found:?}");
    assert!(found.iter().any(|one| one.2 == "cycle: a → c → b → a"), "{found:?}");
}

#[test]
fn two_hundred_steps_are_the_limit_and_a_hundred_thousand_cost_no_more() {
    let dir = tempfile::tempdir().unwrap();
    for (count, code) in [(200, 0), (201, 2), (100_000, 2)] {
        // Short enough for a file of one MiB.
        let body = "- {}\n".repeat(count);
        let named: String = (0..count.min(201)).fold(String::new(), |mut all, index| {
            writeln!(all, "    - {{id: s{index}, fault: {{gatewayRefuse: {{gateway: edge, services: [sts]}}}}}}").unwrap();
            all
        });
        let text = format!("{}  steps:\n{}", &DRILL[..DRILL.find("  steps:").unwrap()], if count > 201 { indent(&body) } else { named });
        std::fs::write(dir.path().join("many.yaml"), text).unwrap();
        let said = validate(dir.path(), &["many.yaml"]);
        assert_eq!(said.code, Some(code), "{count}: {:?}", said.diagnostics().first());
        if code == 2 {
            assert!(said.diagnostics().iter().any(|one| one.2.contains("limit 200 steps")), "{count}");
            assert!(said.diagnostics().len() <= 201, "told without end");
        }
    }
}

fn indent(body: &str) -> String {
    body.lines().fold(String::new(), |mut all, line| {
        writeln!(all, "  {line}").unwrap();
        all
    })
}

#[test]
fn a_drill_that_cannot_pass_is_warned_of_and_refused_with_strict() {
    let action = "      action: {edgeShift: {edge: \"https://edge.example.com\", to: us-west-2}}\n";
    let shift = format!(
        "instruction: Look., limit: 10m}}\n    - id: shift\n      after: [confirm]\n{action}  regionHealthy: {{probe: {{http: {{url: \"https://east.example.com\"}}}}, stableFor: 1m, limit: 15m}}\n"
    );
    let rows = [
        (
            changed(&changed(DRILL, "instruction: Look., limit: 5m}\n", &shift), "recoverWithin: 5m", "recoverWithin: §5m"),
            "recoverWithin 5m, but the shift 'shift' waits for manual step 'confirm' (limit 10m)",
        ),
        (changed(DRILL, "hold: 30m", "hold: §3m"), "hold 3m is shorter than recoverWithin 5m + stableFor 30s"),
        (
            changed(DRILL, "  undoBy: 60m\n", "  undoBy: 60m\n  abortWhen: [{objective: checkout, availabilityBelow: \"10%\", for: §4m}]\n"),
            "abortWhen for 4m is no longer than recoverWithin 5m",
        ),
        (
            changed(DRILL, "interval: 1s", "interval: 10m").replace("recoverWithin: 5m", "recoverWithin: §5m"),
            "recoverWithin 5m is shorter than the interval 10m",
        ),
        (
            changed(DRILL, "fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}\n      limit: 1m", "wait: {for: 1m}")
                .replace("  steps:", "  §steps:"),
            "no step is a fault",
        ),
    ];
    let rows: Vec<(String, String)> = rows.into_iter().map(|(text, words)| (text, words.to_owned())).collect();
    texts(&rows, &["--strict"]);
    let dir = tempfile::tempdir().unwrap();
    for (text, words) in rows {
        std::fs::write(dir.path().join("drill.yaml"), marked(&text).0).unwrap();
        let said = validate(dir.path(), &["drill.yaml"]);
        assert_eq!(said.code, Some(0), "{words}: a warning alone is no error");
        assert_eq!(said.json["diagnostics"][0]["severity"], "warning", "{words}");
    }
}

#[test]
fn schedules_are_placed_to_the_character() {
    check(&[
        (SCHEDULE, "\"0 10 * * TUE#2\"", "\"§61 * * * *\"", "minute: '61' is out of range 0-59", &[]),
        (SCHEDULE, "\"0 10 * * TUE#2\"", "\"0 10 * * §TEU\"", "did you mean 'TUE'?", &[]),
        (SCHEDULE, "\"0 10 * * TUE#2\"", "\"0 10 * * * §7 8\"", "expected five fields", &[]),
        (SCHEDULE, "\"0 10 * * TUE#2\"", "\"§@evry 1h\"", "is not a cron expression", &[]),
        (SCHEDULE, "\"0 10 * * TUE#2\"", "\"0 0 §31 2 *\"", "never fires", &[]),
        (SCHEDULE, "\"0 10 * * TUE#2\"", "0 §25 * * *", "hour: '25' is out of range 0-23", &[]),
        (SCHEDULE, "America/New_York", "§Amercia/New_York", "unknown time zone; did you mean 'America/New_York'?", &[]),
        (SCHEDULE, "America/New_York", "§EST", "is a fixed abbreviation", &[]),
        (SCHEDULE, "America/New_York", "§UTC+25", "unknown time zone", &[]),
        (SCHEDULE, "to: 2026-12-02", "to: §2026-11-26", "'to' (2026-11-26) is not after 'from' (2026-11-26)", &[]),
        (SCHEDULE, "from: 2026-11-26", "from: §thursday", "neither a date", &[]),
        (ENVIRONMENT, "to: 2026-12-02", "to: §2026-11-20", "is not after 'from'", &[]),
        (ENVIRONMENT, "from: 2026-11-26, to: 2026-12-02, timeZone: America/New_York", "from: §2026-11-26, to: 2026-12-02", "needs a timeZone", &[]),
    ]);
}

#[test]
fn look_ups_name_the_environment_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("env.yaml"), ENVIRONMENT).unwrap();
    let env = dir.path().join("env.yaml").display().to_string();
    let flags: &[&str] = &["--env", &env];
    check(&[
        (DRILL, "\"${endpoints.checkout}/healthz\"", "§\"${AWS_SECRET_ACCESS_KEY}\"", "unknown name 'AWS_SECRET_ACCESS_KEY'", &[]),
        (DRILL, "\"${endpoints.checkout}/healthz\"", "§\"${endpoint.checkout}\"", "did you mean 'endpoints.checkout'?", &[]),
        (DRILL, "\"${endpoints.checkout}/healthz\"", "§\"${endpoints.checkout/healthz\"", "has no closing '}'", &[]),
        (
            DRILL,
            "\"${endpoints.checkout}/healthz\"",
            "§\"${endpoints.chekout}/healthz\"",
            "unknown name 'endpoints.chekout'; did you mean 'endpoints.checkout'?",
            flags,
        ),
        (DRILL, "\"${endpoints.checkout}/healthz\"", "§\"http://${vips.west}/\"", "'vips.west' has 2 values", flags),
        (DRILL, "hold: 30m", "hold: §\"${endpoints.checkout}\"", "a look-up gives text; a duration", &[]),
        (DRILL, "gateway: edge", "gateway: §\"${endpoints.checkout}\"", "a look-up cannot stand for a name", &[]),
        (ENVIRONMENT, "\"https://checkout.example.com\"", "§\"${HOME}\"", "look-ups belong in drills", &[]),
        (DRILL, "gateway: edge", "gateway: §egde", "no gateway 'egde' in environment 'staging'; did you mean 'edge'?", flags),
        (
            DRILL,
            "{gatewayBlackhole: {gateway: edge, services: [\"*\"]}}",
            "{§gatewayRefuse: {gateway: edge, services: [\"*\"]}}",
            "fault 'gatewayRefuse' is not allowed in environment 'staging'",
            flags,
        ),
        (
            DRILL,
            "gatewayBlackhole: {gateway: edge, services: [\"*\"]}",
            "§ec2Stop: {account: main, region: us-west-2, instances: {tags: {a: b}}}",
            "is not allowed",
            flags,
        ),
        (
            DRILL,
            "gatewayBlackhole: {gateway: edge, services: [\"*\"]}",
            "ec2Stop: {account: main, region: §eu-west-1, instances: {tags: {a: b}}}",
            "region 'eu-west-1' not enabled for account 'main'",
            flags,
        ),
        (
            DRILL,
            "  undoBy: 60m\n",
            "  undoBy: 60m\n  limits: {maxTargets: §40}\n",
            "limits.maxTargets exceeds that of environment 'staging', 10",
            flags,
        ),
        (DRILL, "\"${endpoints.checkout}/healthz\"", "§\"http://127.0.0.1/\"", "does not set network.allowPrivate", flags),
    ]);
}

#[test]
fn a_look_up_alone_in_a_value_takes_the_looked_up_type() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("env.yaml"), ENVIRONMENT).unwrap();
    let probe = "{dns: {name: checkout.example.com, answers: \"${vips.west}\"}}";
    let text = changed(DRILL, "{http: {url: \"${endpoints.checkout}/healthz\"}}", probe);
    let services = changed(&text, "services: [\"*\"]", "services: \"${vips.west}\"");
    std::fs::write(dir.path().join("drill.yaml"), services).unwrap();
    let said = validate(dir.path(), &["drill.yaml", "--env", "env.yaml"]);
    assert_eq!(said.code, Some(0), "{:?}", said.diagnostics());
}

#[test]
fn secrets_are_found_and_never_shown() {
    let keys = [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "\"-----BEGIN RSA PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA7\"",
        "Bearer abcdefghijklmnop123456",
    ];
    let dir = tempfile::tempdir().unwrap();
    for key in keys {
        // The owner's duplicate makes another message quote the same line.
        let (text, place) = marked(&changed(DRILL, "  summary: Checkout survives\n", &format!("  summary: §{key}\n")));
        std::fs::write(dir.path().join("drill.yaml"), text.replace("failedRegion: us-east-1", &format!("failedRegion: {key}"))).unwrap();
        let said = validate(dir.path(), &["drill.yaml"]);
        assert!(said.diagnostics().iter().any(|one| (one.0, one.1) == place && one.2 == "looks like a secret"), "{key}: {:?}", said.diagnostics());
        let out = Command::new(env!("CARGO_BIN_EXE_firedrill")).args(["validate", "drill.yaml"]).current_dir(dir.path()).output().unwrap();
        let shown = format!("{}{}{}", said.json, String::from_utf8_lossy(&out.stderr), String::from_utf8_lossy(&out.stdout));
        let heart = key.trim_start_matches("Bearer ").trim_matches('"').split("\\n").last().unwrap();
        assert!(!shown.contains(&heart[4..]), "{key} is shown: {shown}");
    }
}

#[test]
fn hostile_titles_are_accepted_as_text() {
    let dir = tempfile::tempdir().unwrap();
    for title in ["<script>alert(1)</script>", "=HYPERLINK(\"http://evil\")", "@cmd", "[x](javascript:alert(1))"] {
        let text = changed(DRILL, "Checkout survives", &serde_json::to_string(title).unwrap());
        std::fs::write(dir.path().join("drill.yaml"), text).unwrap();
        assert_eq!(validate(dir.path(), &["drill.yaml"]).code, Some(0), "{title}");
    }
}

#[test]
fn a_message_cannot_drive_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("drill.yaml"), changed(DRILL, "owner: payments-oncall", "\"own\\e[2Jer\\u202e\": x")).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_firedrill")).args(["validate", "drill.yaml"]).current_dir(dir.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(shown.contains("unknown field") && !shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn probes_are_not_pointed_at_metadata() {
    let mut rows = Vec::new();
    for (url, words) in [
        ("file:///etc/passwd", "scheme 'file' is not allowed"),
        ("gopher://example.com/", "scheme 'gopher' is not allowed"),
        ("http://169.254.169.254/latest", "blocked address (link-local/metadata)"),
        ("http://[fd00:ec2::254]/", "blocked address (link-local/metadata)"),
        ("http://2852039166/", "blocked address (link-local/metadata)"),
        ("http://0251.0376.0251.0376/", "blocked address (link-local/metadata)"),
        ("http://0xa9.0xfe.0xa9.0xfe/", "blocked address (link-local/metadata)"),
        ("http://[::ffff:a9fe:a9fe]/", "blocked address (link-local/metadata)"),
        ("http://user:pw@example.com/", "user information in a URL is not allowed"),
        ("checkout", "not a URL"),
    ] {
        rows.push((changed(DRILL, "\"${endpoints.checkout}/healthz\"", &format!("§\"{url}\"")), words.to_owned()));
        rows.push((changed(ENVIRONMENT, "\"https://checkout.example.com\"", &format!("§\"{url}\"")), words.to_owned()));
    }
    rows.push((
        changed(DRILL, "{http: {url: \"${endpoints.checkout}/healthz\"}}", "{tcp: {host: §169.254.169.254, port: 80}}"),
        "blocked address".to_owned(),
    ));
    texts(&rows, &[]);
}

#[test]
fn expressions_and_pointers_fail_when_they_are_read() {
    let probe = |rest: &str| changed(DRILL, "healthz\"}}", &format!("healthz\", {rest}}}}}"));
    texts(
        &[
            (probe("expectBody: §\"(ok\""), "invalid regular expression: unclosed group".to_owned()),
            (probe("expectBody: §\"((a{1000}){1000}){10}\""), "regular expression is too large".to_owned()),
            (probe("expectJson: {pointer: §status.phase, equals: 1}"), "use '/status/phase'".to_owned()),
            (probe("expectJson: {pointer: §\"/a~2\", equals: 1}"), "'~' is written '~0'".to_owned()),
            (probe("method: §DELETE"), "method 'DELETE' is not allowed".to_owned()),
            (probe(&format!("expectBody: §{}", "a".repeat(1025))), "1025 characters; limit 1024".to_owned()),
        ],
        &[],
    );
}

#[test]
fn environments_are_checked_like_drills() {
    check(&[
        (ENVIRONMENT, "\"111122223333\"", "§\"1111\"", "is not an account: twelve digits", &[]),
        (ENVIRONMENT, "account: \"111122223333\"", "account: §111122223333", "expected a string, found a number", &[]),
        (ENVIRONMENT, "{context: staging-use1}", "{context: a, §inCluster: true}", "a cluster's connection is exactly one of", &[]),
        (ENVIRONMENT, "connection: {context: staging-use1}", "§connection: {}", "a cluster's connection is exactly one of", &[]),
        (ENVIRONMENT, "uid: 2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11", "uid: §abc", "is not a uid", &[]),
        (
            ENVIRONMENT,
            "[{name: edge, connection: {socket: /run/firedrill/gateway.sock}}]",
            "[{name: edge, connection: {cluster: §eas, namespace: x}}]",
            "no cluster 'eas'; did you mean 'east'?",
            &[],
        ),
        (
            ENVIRONMENT,
            "[{name: edge, connection: {socket: /run/firedrill/gateway.sock}}]",
            "[{name: edge, connection: {socket: /a}}, {name: §edge, connection: {socket: /b}}]",
            "duplicate gateway 'edge'",
            &[],
        ),
        (ENVIRONMENT, "[gatewayBlackhole]", "[§gatewayBlackhol]", "unknown fault 'gatewayBlackhol'; did you mean 'gatewayBlackhole'?", &[]),
        (ENVIRONMENT, "\"https://checkout.example.com\"", "§\"http://localhost:8080\"", "127.0.0.1 is a private address", &[]),
        (ENVIRONMENT, "east: 198.51.100.9", "east: §198.51.100.999", "is not an IP address", &[]),
        (ENVIRONMENT, "  limits:", "  §endpointUrl: \"http://localhost:5000\"\n  limits:", "goes with 'emulator: true'", &[]),
    ]);
}

#[test]
fn every_mistake_of_a_file_is_told_in_one_go_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = DRILL.to_owned();
    for (from, to) in [
        ("  owner: payments-oncall\n", ""),
        ("failedRegion: us-east-1", "failedRegion: us-esat-1"),
        ("hold: 30m", "hold: 10 min"),
        ("recoverWithin: 5m", "recoverWithn: 5m"),
        ("gatewayBlackhole", "gatewayBlackhol"),
        ("after: [dark]", "after: [drak]"),
    ] {
        text = changed(&text, from, to);
    }
    let both = format!("{text}---\n{}", changed(SCHEDULE, "America/New_York", "EST"));
    std::fs::write(dir.path().join("drill.yaml"), both).unwrap();
    let said = validate(dir.path(), &["drill.yaml"]);
    let found = said.diagnostics();
    let words = ["missing field 'owner'", "us-esat-1", "10 min", "recoverWithn", "gatewayBlackhol", "drak", "EST"];
    assert_eq!(found.len(), words.len(), "{found:#?}");
    for (one, word) in found.iter().zip(words) {
        assert!(one.2.contains(word), "{word}: {found:#?}");
    }
}

#[test]
fn a_message_shows_its_line_with_a_caret_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("drill.yaml"), changed(DRILL, "recoverWithin", "recoverWithn")).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_firedrill")).args(["validate", "drill.yaml"]).current_dir(dir.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&out.stderr).into_owned();
    let wanted =
        "drill.yaml:16:7: error: unknown field 'recoverWithn'; did you mean 'recoverWithin'?\n    16 |       recoverWithn: 5m\n       |       ^\n";
    assert!(shown.contains(wanted), "{shown}");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "1 error, 0 warnings in 1 file\n");
}

/// Peak memory of a run of the binary, in KiB, with its exit code and what it said.
fn peak(path: &str, dir: &Path, input: Option<&mut dyn FnMut(&mut std::process::ChildStdin)>) -> (Option<i32>, u64, String) {
    // The shell's limit makes an unbounded reader die instead of taking the machine down.
    let script = "ulimit -v 3000000; exec \"$0\" validate --format json \"$1\"";
    // A file: nobody reads a pipe while the child runs.
    let answer = dir.join("answer.json");
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_firedrill"), path])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&answer).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(feed) = input {
        feed(&mut stdin);
    }
    drop(stdin);
    let mut most = 0;
    // The high-water mark only grows: the last reading before the end is the peak, give or take the last instants.
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let now = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
        most = most.max(now);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    (child.wait().unwrap().code(), most, std::fs::read_to_string(&answer).unwrap())
}

#[test]
fn bombs_and_endless_files_are_refused_in_bounded_memory() {
    const MOST_KIB: u64 = 200 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", vec![below; 10].join(", ")).unwrap();
    }
    std::fs::write(dir.path().join("bomb.yaml"), bomb).unwrap();
    let big = std::fs::File::create(dir.path().join("big.yaml")).unwrap();
    big.set_len(104_857_600).unwrap();
    std::fs::write(
        dir.path().join("keys.yaml"),
        (0..100_000).fold(String::new(), |mut all, _| {
            all.push_str("a: 1\n");
            all
        }),
    )
    .unwrap();
    std::fs::write(dir.path().join("brackets.yaml"), "[".repeat(1_000_000)).unwrap();
    std::fs::write(dir.path().join("braces.yaml"), "{a: ".repeat(250_000)).unwrap();
    std::fs::write(dir.path().join("dashes.yaml"), "- ".repeat(500_000)).unwrap();
    for (path, words) in [
        ("bomb.yaml", "aliases are not allowed"),
        ("big.yaml", "file is 104857600 bytes; limit 1 MiB"),
        ("keys.yaml", "duplicate key 'a'"),
        ("brackets.yaml", "nested deeper than 64 levels"),
        ("braces.yaml", "nested deeper than 64 levels"),
        ("dashes.yaml", "nested deeper than 64 levels"),
        ("/dev/zero", "limit 1 MiB"),
    ] {
        let (code, most, said) = peak(path, dir.path(), None);
        assert_eq!(code, Some(2), "{path}: {said}");
        assert!(said.contains(words), "{path}: {said}");
        assert!(most < MOST_KIB, "{path}: {most} KiB");
    }
}

#[test]
fn a_pipe_is_read_like_a_file_and_an_endless_one_only_as_far_as_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, said) = peak("-", dir.path(), Some(&mut |stdin| stdin.write_all(DRILL.as_bytes()).unwrap()));
    assert_eq!(code, Some(0), "{said}");
    let mut endless = |stdin: &mut std::process::ChildStdin| {
        // The reader goes away at its limit: a broken pipe is the proof.
        let refused = (0..10_000).any(|_| stdin.write_all(&[b'#'; 65_536]).is_err());
        assert!(refused, "more than 600 MiB were read");
    };
    let (code, most, said) = peak("/dev/stdin", dir.path(), Some(&mut endless));
    assert!(code == Some(2) && said.contains("limit 1 MiB") && most < 200 * 1024, "{code:?} {most} {said}");
}

/// The design's own example and one of every kind: what mutations begin from.
fn seeds() -> [&'static str; 2] {
    [include_str!("fixtures/evacuate-us-east-1.yaml"), include_str!("fixtures/every-kind.yaml")]
}

/// Loads, binds and tells a file as `validate` does; panics are what the properties look for.
fn swallow(bytes: Vec<u8>) {
    let Ok(source) = Source::decode("file.yaml".to_owned(), bytes) else { return };
    let loaded = load_text("file.yaml", &source.text, &Options::default());
    for found in &loaded.diagnostics {
        let shown = found.to_string();
        assert!(shown.lines().all(|line| !line.chars().any(char::is_control)), "{shown:?}");
        assert!(found.line == 0 || source.text.is_empty() || (found.line as usize) <= source.text.lines().count() + 2, "{shown}");
    }
    for drill in &loaded.drills {
        for environment in &loaded.environments {
            let _ = bind(drill, environment);
        }
    }
    for schedule in &loaded.schedules {
        let _ = next_instants(&schedule.spec, Timestamp(1_780_000_000_000_000), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        swallow(bytes);
    }

    #[test]
    fn no_yaml_like_text_makes_the_loader_panic(text in "([ \t]{0,4}[-?:&*!|>%@#'\"{}\\[\\],~<a-z0-9$.]{0,12}[:\n ]?){0,40}") {
        swallow(text.into_bytes());
    }

    #[test]
    fn no_mutation_of_a_good_file_makes_the_loader_panic(
        seed in 0..2usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..6u8, "[-:{}\\[\\]\"'#$ \n\t0-9a-zA-Z.%*&!<>|é☃]{0,6}"), 1..6),
    ) {
        let mut lines: Vec<String> = seeds()[seed].lines().map(str::to_owned).collect();
        for (at, how, text) in edits {
            let index = at.index(lines.len());
            let other = at.index(lines.len() / 2 + 1);
            match how {
                0 => drop(lines.remove(index)),
                1 => lines.insert(index, text),
                2 => lines[index].push_str(&text),
                3 => lines.swap(index, other),
                4 => { let line = lines[index].clone(); lines.insert(other, line); }
                _ => { let middle = lines[index].chars().count() / 2; lines[index] = lines[index].chars().take(middle).chain(text.chars()).collect(); }
            }
            if lines.is_empty() { lines.push(String::new()); }
        }
        swallow(lines.join("\n").into_bytes());
    }
}
