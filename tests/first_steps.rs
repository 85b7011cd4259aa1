//! The first steps of a new user with the real binary: `init`, `explain`, `schema`, `completions`.

// Helpers of tests fail by panicking, like tests.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use firedrill::drill::about::kinds;
use serde_json::Value;

fn firedrill(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.args(args).current_dir(dir).env("XDG_STATE_HOME", dir.join("state")).env("FIREDRILL_ALLOW_TMPFS_STATE", "1");
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that must succeed prints.
fn said(dir: &Path, args: &[&str]) -> String {
    let out = firedrill(dir, args);
    assert_eq!(out.status.code(), Some(0), "{args:?}: {}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

fn refused(dir: &Path, args: &[&str]) -> String {
    let out = firedrill(dir, args);
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(2), ""), "{args:?}: {}", text(&out.stderr));
    text(&out.stderr)
}

#[test]
fn what_init_writes_is_valid_without_a_warning_and_runs_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let told = said(dir.path(), &["init"]);
    for file in ["first-drill.yaml", "environment.yaml", "firedrill.schema.json"] {
        assert!(dir.path().join(file).is_file() && told.contains(&format!("wrote  {file}")), "{told}");
    }
    assert_eq!(said(dir.path(), &["validate", "--strict", "first-drill.yaml", "environment.yaml"]), "valid: 1 drill, 1 environment\n");
    said(dir.path(), &["validate", "--strict", "first-drill.yaml", "--env", "environment.yaml"]);

    // Every command that it prints is one that works as it is printed; those of a real place end at the places that are examples.
    let next: Vec<&str> = told.lines().filter_map(|line| line.trim_start().strip_prefix("firedrill ")?.split("  ").next()).collect();
    assert_eq!(next.len(), 4, "{told}");
    for command in next {
        let out = firedrill(dir.path(), &command.split(' ').collect::<Vec<_>>());
        let (code, told) = (out.status.code().unwrap(), text(&out.stdout) + &text(&out.stderr));
        match command.split_once(' ').unwrap_or((command, "")) {
            ("run", _) => assert!(code == 0 && told.contains("PASSED"), "{told}"),
            ("plan", _) => assert!(code == 8 && told.contains("cannot reach gateway at /run/firedrill/gateway.sock"), "{code}: {told}"),
            _ => assert_eq!(code, 0, "{command}: {told}"),
        }
    }
}

#[test]
fn init_overwrites_nothing_and_says_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let drill = dir.path().join("deep/drills/lose-it.yaml");
    let told = said(dir.path(), &["init", "lose-it", "--dir", "deep/drills"]);
    assert!(told.contains("firedrill run deep/drills/lose-it.yaml --env sandbox"), "{told}");
    assert!(std::fs::read_to_string(&drill).unwrap().contains("metadata: {name: lose-it}"));

    std::fs::write(&drill, "mine").unwrap();
    let environment = dir.path().join("deep/drills/environment.yaml");
    std::fs::remove_file(&environment).unwrap();
    let why = refused(dir.path(), &["init", "lose-it", "--dir", "deep/drills"]);
    assert!(why.contains("deep/drills/lose-it.yaml is there already"), "{why}");
    assert_eq!(std::fs::read_to_string(&drill).unwrap(), "mine");
    assert!(!environment.exists(), "a refusal writes nothing");

    // A second drill joins the environment that is there.
    std::fs::write(&environment, "also mine").unwrap();
    let told = said(dir.path(), &["init", "other", "--dir", "deep/drills"]);
    assert!(told.contains("kept   deep/drills/environment.yaml"), "{told}");
    assert_eq!(std::fs::read_to_string(&environment).unwrap(), "also mine");

    assert!(refused(dir.path(), &["init", "Lose_It"]).contains("use 'lose-it'"));
    assert!(refused(dir.path(), &["init", "../up"]).contains("not a name"));
    assert!(refused(dir.path(), &["init", "environment"]).contains("choose another name"));
    assert!(refused(dir.path(), &["init", "a", "--dir", "deep/drills/lose-it.yaml"]).contains("cannot make the folder"));
}

#[test]
fn what_init_comments_out_is_valid_when_switched_on() {
    let dir = tempfile::tempdir().unwrap();
    said(dir.path(), &["init"]);
    let mut switched_on = 0;
    for file in ["first-drill.yaml", "environment.yaml"] {
        let path = dir.path().join(file);
        let mut on = false;
        let lines = std::fs::read_to_string(&path).unwrap();
        let lines = lines.lines().map(|line| {
            let comment = line.split_once("# ").filter(|(before, _)| !before.is_empty() && before.trim().is_empty());
            let begins = |text: &str| {
                text.starts_with("- id: ")
                    || text.split_once(':').is_some_and(|(key, rest)| !key.contains(' ') && (rest.is_empty() || rest.starts_with(" {")))
            };
            on = comment.is_some_and(|(_, text)| on || begins(text));
            switched_on += usize::from(on);
            comment.filter(|_| on).map_or_else(|| line.to_owned(), |(indent, text)| format!("{indent}{text}"))
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        std::fs::write(&path, text).unwrap();
    }
    assert!(switched_on > 10, "only {switched_on} lines");
    said(dir.path(), &["validate", "--strict", "first-drill.yaml", "environment.yaml", "--env", "environment.yaml"]);
}

#[test]
fn the_printed_schema_is_the_one_that_validate_means() {
    let dir = tempfile::tempdir().unwrap();
    said(dir.path(), &["init"]);
    let read = |file: &str| -> Value { serde_saphyr::from_str(&std::fs::read_to_string(dir.path().join(file)).unwrap()).unwrap() };
    let (drill, environment) = (read("first-drill.yaml"), read("environment.yaml"));
    let validator = |kind: &str| {
        let printed: Value = serde_json::from_str(&said(dir.path(), &["schema", kind])).unwrap();
        assert_eq!(printed["$schema"], "http://json-schema.org/draft-07/schema#");
        // What an editor would have to fetch from somewhere is not there.
        assert!(!printed.to_string().replace("http://json-schema.org/draft-07/schema#", "").contains("\"$ref\":\"http"));
        jsonschema::validator_for(&printed).unwrap()
    };
    let (only_drill, only_environment, all) = (validator("drill"), validator("environment"), validator("all"));
    assert!(only_drill.is_valid(&drill) && !only_drill.is_valid(&environment));
    assert!(only_environment.is_valid(&environment) && !only_environment.is_valid(&drill));
    assert!(all.is_valid(&drill) && all.is_valid(&environment));
    for (kind, document) in [("schedule", "DrillSchedule"), ("run", "DrillRun")] {
        assert!(validator(kind).is_valid(&serde_json::json!({
            "apiVersion": "firedrill.dev/v1alpha1", "kind": document, "metadata": {"name": "a"},
            "spec": if kind == "run" { serde_json::json!({"drill": "a", "environment": "b"}) } else {
                serde_json::json!({"drill": "a", "environment": "b", "cron": "0 10 * * *", "timeZone": "UTC"})
            },
        })));
    }
    // A mistake in one kind of document is found by both, at the same place.
    for (pointer, wrong) in [
        ("/spec/hold", serde_json::json!("soon")),
        ("/spec/objectives/0/recoverWithn", serde_json::json!("1m")),
        ("/spec/steps/1/fault/gatewayRefuse", serde_json::json!({"gateway": "edge", "services": ["sts"]})),
        ("/kind", serde_json::json!("Dril")),
    ] {
        let mut broken = drill.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        broken.pointer_mut(parent).unwrap()[key] = wrong;
        assert!(!all.is_valid(&broken) && !only_drill.is_valid(&broken), "{pointer} passes");
    }
    // The file that init writes for editors is the same.
    assert_eq!(std::fs::read_to_string(dir.path().join("firedrill.schema.json")).unwrap(), said(dir.path(), &["schema"]));
}

#[test]
fn bash_accepts_the_completions_and_completes_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("firedrill.bash");
    std::fs::write(&script, said(dir.path(), &["completions", "bash"])).unwrap();
    let bash = |line: &str| {
        let out = Command::new("bash").args(["--norc", "-c", line, "bash"]).arg(&script).output().unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        text(&out.stdout)
    };
    bash("bash -n \"$1\"");
    // As bash does it for `firedrill WORD<Tab>`.
    let complete = |words: &str| {
        let line = format!(
            "source \"$1\"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             function=$(complete -p firedrill | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $function firedrill \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        bash(&line)
    };
    assert_eq!(complete("firedrill ab").split_whitespace().collect::<Vec<_>>(), ["abort", "abandon"]);
    assert_eq!(complete("firedrill sweep --ap").trim(), "--apply");
    assert_eq!(complete("firedrill schema env").trim(), "environment");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(said(dir.path(), &["completions", shell]).contains("completions"), "{shell}");
    }
    assert!(refused(dir.path(), &["completions", "tcsh"]).contains("possible values: bash"));
}

#[test]
fn explain_lists_every_kind_and_says_which_are_built() {
    let dir = tempfile::tempdir().unwrap();
    let table = said(dir.path(), &["explain"]);
    for sort in ["FAULTS", "ACTIONS", "PROBES"] {
        let section = table.split("\n\n").find(|section| section.starts_with(sort)).unwrap();
        let (built, later) = section.split_once("not built yet in this version:").unwrap_or((section, ""));
        let has = |text: &str, name: &str| text.lines().any(|line| line.trim_start().split("  ").next() == Some(name) && line.ends_with('.'));
        for kind in kinds().iter().filter(|kind| sort.to_lowercase().starts_with(kind.sort.name())) {
            assert_eq!((has(built, kind.name), has(later, kind.name)), (kind.about.is_some(), kind.about.is_none()), "{}: {table}", kind.name);
        }
    }
    let told: Value = serde_json::from_str(&said(dir.path(), &["explain", "--format", "json"])).unwrap();
    let told: Vec<(&str, &str, bool)> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["sort"].as_str().unwrap(), one["name"].as_str().unwrap(), one["built"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, kinds().iter().map(|kind| (kind.sort.name(), kind.name, kind.about.is_some())).collect::<Vec<_>>());
}

#[test]
fn explain_says_all_that_an_engineer_asks_about_a_kind() {
    let dir = tempfile::tempdir().unwrap();
    let told = said(dir.path(), &["explain", "gatewayBlackhole"]);
    for part in [
        "gatewayBlackhole (fault)",
        "MECHANISM A rule",
        "taken and never answered",
        "fault: gatewayBlackhole: {gateway: edge,",
        "gateway <gateway name> required",
        "Default: the drill's `failedRegion`.",
        "keep: They go on, as on the day: only new connections broke.",
        "UNDO",
        "When firedrill dies, it ends by itself at the run's `undoBy` (own expiry).",
        "VERIFIED",
        "inject: write to the gateway's socket",
        "undo: the same socket",
        "GOOD TO KNOW",
        "1m, for a step that gives none",
    ] {
        let unwrapped = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(part), "no '{part}' in:\n{told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 100 || line.contains("gatewayBlackhole: {")), "{told}");
    let probe = said(dir.path(), &["explain", "canary"]);
    assert!(probe.contains("canary (probe)") && !probe.contains("UNDO") && !probe.contains("LIMIT"), "{probe}");

    let planned = said(dir.path(), &["explain", "gatewayDns"]);
    assert!(planned.contains("not built yet in this version"), "{planned}");
    let drain = said(dir.path(), &["explain", "nodeDrain"]);
    assert!(drain.contains("nodes.zones  <list (availability zone)>") && drain.contains("create pods/eviction"), "{drain}");
    let both = said(dir.path(), &["explain", "workloadScale"]);
    assert!(both.contains("workloadScale (fault") && both.contains("workloadScale (action"), "{both}");
}

#[test]
fn explain_follows_a_path_and_helps_with_a_wrong_one() {
    let dir = tempfile::tempdir().unwrap();
    let field = said(dir.path(), &["explain", "gatewayLatency.jitter"]);
    assert!(field.contains("<duration>") && field.contains("a random part of this"), "{field}");
    let list = said(dir.path(), &["explain", "drill.objectives"]);
    assert_eq!(list.matches("What must survive").count(), 1, "said once: {list}");
    let markdown = said(dir.path(), &["explain", "drill.objectives", "--format", "markdown"]);
    assert_eq!(markdown.matches("What must survive").count(), 1, "said once: {markdown}");
    let pointer = said(dir.path(), &["explain", "http.expectJson"]);
    assert_eq!(pointer.matches("A JSON pointer").count(), 1, "said once: {pointer}");
    assert!(said(dir.path(), &["explain", "drill"]).lines().nth(1).is_some_and(|line| !line.trim().is_empty()), "a document says what it is");
    assert!(list.contains("required") && list.contains("RTO.") && list.contains("1 to 200 items"), "{list}");
    assert!(said(dir.path(), &["explain", "Drill.spec.objectives.probe.http.url"]).contains("<URL>, required"));
    assert!(said(dir.path(), &["explain", "environment"]).contains("  allow+  <object>"));
    let json: Value = serde_json::from_str(&said(dir.path(), &["explain", "http.expectJson", "--format", "json"])).unwrap();
    assert_eq!(json["fields"][0]["path"], "pointer");

    assert!(refused(dir.path(), &["explain", "gatewayBlackhol"]).contains("did you mean 'gatewayBlackhole'?"));
    assert!(refused(dir.path(), &["explain", "gateway-blackhole"]).contains("did you mean 'gatewayBlackhole'?"));
    assert!(refused(dir.path(), &["explain", "drill.objctives"]).contains("did you mean 'objectives'?"));
    assert!(refused(dir.path(), &["explain", "http.url.scheme"]).contains("has no fields"));
    assert!(refused(dir.path(), &["explain", ""]).contains("there is no kind ''"));
}

/// `docs/kinds.md` is what the binary says of itself.
#[test]
fn the_page_of_kinds_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kinds.md");
    let wanted = said(page.parent().unwrap(), &["explain", "--all", "--format", "markdown"]);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&page, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(&page).unwrap_or_default();
    let differs = there.lines().zip(wanted.lines()).find(|(there, wanted)| there != wanted);
    assert!(
        there == wanted,
        "docs/kinds.md is out of date ({differs:?}); write it anew with: UPDATE=1 cargo test --features failpoints --locked --test first_steps page_of_kinds"
    );
}
