//! `status`, `history`, `abandon` and `abort`, as a user runs them.

use serde_json::Value;

use super::*;

fn run(dir: &Path, words: &[&str]) -> Output {
    firedrill(dir).args(words).output().unwrap()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[test]
fn status_says_what_is_in_place_and_the_command_that_undoes_it() {
    let dir = state();
    with_intents(dir.path(), 2);
    let journal = Sqlite::open(dir.path()).unwrap();
    move_to(&journal, RUN, 0, Phase::Injected).unwrap();
    move_to(&journal, RUN, 1, Phase::Reverted).unwrap();
    let output = run(dir.path(), &["status"]);
    assert_eq!(output.status.code(), Some(7));
    let text = stdout(&output);
    for words in [
        format!("run {RUN} DIED AND LEFT CHANGES IN PLACE"),
        "drill evacuate-us-east-1, environment sandbox, started 2026-09-21T14:13:20Z".into(),
        format!("{STEP}  gateway/edge/rule-0  injected"),
        format!("firedrill --state-dir {} resume {RUN}", dir.path().display()),
    ] {
        assert!(text.contains(&words), "no '{words}' in\n{text}");
    }
    assert!(!text.contains("rule-1"), "what is undone is not listed");
    let json = parsed(&run(dir.path(), &["status", "--format", "json"]));
    assert_eq!(json["inPlace"], true);
    assert_eq!(json["runs"][0]["open"].as_array().unwrap().len(), 1);
    assert_eq!(json["runs"][0]["open"][0]["phase"], "injected");
}

#[test]
fn status_of_a_live_run_is_zero_and_says_how_to_abort_it() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    let _claim = now(journal.claim(RUN)).unwrap();
    let output = run(dir.path(), &["status"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("is going on") && stdout(&output).contains(&format!("abort {RUN}")), "{}", stdout(&output));
}

#[test]
fn status_with_nothing_open_is_zero() {
    let dir = state();
    assert_eq!(run(dir.path(), &["status"]).status.code(), Some(0), "an empty directory");
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    move_to(&journal, RUN, 0, Phase::Reverted).unwrap();
    now(journal.close_run(RUN, &end(Cleanliness::Clean))).unwrap();
    let output = run(dir.path(), &["status"]);
    assert_eq!((output.status.code(), stdout(&output).starts_with("nothing in place")), (Some(0), true));
    let missing = run(&dir.path().join("missing"), &["status"]);
    assert_eq!(missing.status.code(), Some(5), "a wrong --state-dir is no good news");
}

#[test]
fn hostile_names_cannot_steer_the_terminal() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&RunHeader { drill: "\x1b[2J\x1b]0;owned\x07".into(), ..header(RUN) })).unwrap();
    for words in [&["status"][..], &["history"]] {
        assert!(!stdout(&run(dir.path(), words)).contains('\x1b'));
    }
}

#[test]
fn abandon_wants_the_whole_run_id() {
    let dir = state();
    with_intents(dir.path(), 1);
    for (words, problem) in [
        (vec!["abandon", "01JD"], format!("without a terminal pass --yes-abandon {RUN}")),
        (vec!["abandon", "01JD", "--yes-abandon", "01JD"], format!("'01JD' is not {RUN}; nothing was changed")),
        (vec!["abandon", "01XX"], "no run '01XX' in the journal".into()),
    ] {
        let output = run(dir.path(), &words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains(&problem), "{}", stderr(&output));
    }
    assert_eq!(run(dir.path(), &["status"]).status.code(), Some(7), "still in place");
    let output = run(dir.path(), &["abandon", "01jd", "--yes-abandon", RUN]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("gateway/edge/rule-0") && stdout(&output).contains("1 change NOT undone"));
    assert_eq!(run(dir.path(), &["status"]).status.code(), Some(0));
    let history = run(dir.path(), &["history"]);
    assert!(stdout(&history).contains("abandoned"), "{}", stdout(&history));
    assert!(stdout(&run(dir.path(), &["abandon", RUN])).contains("nothing to abandon"));
}

#[test]
fn a_live_run_cannot_be_abandoned() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    let _claim = now(journal.claim(RUN)).unwrap();
    let output = run(dir.path(), &["abandon", RUN, "--yes-abandon", RUN]);
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("is held by process"), "{}", stderr(&output));
    assert_eq!(now(journal.run(RUN)).unwrap().open_records, 1);
}

#[test]
fn abort_reaches_a_live_run_and_no_other() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    let dead = run(dir.path(), &["abort", RUN]);
    assert_eq!(dead.status.code(), Some(5));
    assert!(stderr(&dead).contains(&format!("resume {RUN}` undoes them")), "{}", stderr(&dead));
    assert!(!now(journal.abort_requested(RUN)).unwrap());
    let claim = now(journal.claim(RUN)).unwrap();
    assert_eq!(run(dir.path(), &["abort", RUN]).status.code(), Some(0));
    assert!(now(journal.abort_requested(RUN)).unwrap());
    drop(claim);
    move_to(&journal, RUN, 0, Phase::Reverted).unwrap();
    now(journal.close_run(RUN, &end(Cleanliness::Clean))).unwrap();
    let over = run(dir.path(), &["abort", RUN]);
    assert_eq!((over.status.code(), run(dir.path(), &["resume", RUN]).status.code()), (Some(0), Some(0)), "{}", stderr(&over));
    assert!(stdout(&over).contains("has ended already"), "{}", stdout(&over));
}

#[test]
fn a_beginning_that_fits_several_runs_means_the_one_that_left_something() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&RunHeader { started: Timestamp(header(OTHER).started.0 + 1), ..header(OTHER) })).unwrap();
    now(journal.close_run(OTHER, &end(Cleanliness::Clean))).unwrap();
    let status = run(dir.path(), &["status", "01JD"]);
    assert!(status.status.code() == Some(7) && stdout(&status).contains(RUN), "{}", stderr(&status));
    let abort = run(dir.path(), &["abort", "01jd"]);
    assert!(stderr(&abort).contains(&format!("run {RUN} is not alive")), "{}", stderr(&abort));
    let abandon = run(dir.path(), &["abandon", "01JD"]);
    assert!(stderr(&abandon).contains(&format!("--yes-abandon {RUN}")), "{}", stderr(&abandon));
    for words in [&["status", "latest"][..], &["abort", "latest"], &["abandon", "latest"], &["resume", "latest"]] {
        assert_eq!(run(dir.path(), words).status.code(), Some(0), "{words:?}: the latest is over");
    }
    assert_eq!(run(dir.path(), &["status", "latest~1"]).status.code(), Some(7));
    let none = run(dir.path(), &["abort", "latest~2"]);
    assert!(none.status.code() == Some(2) && stderr(&none).contains("`firedrill history` lists"), "{}", stderr(&none));
    now(journal.abandon(RUN, Timestamp(1))).unwrap();
    let both = run(dir.path(), &["resume", "01JD"]);
    assert!(both.status.code() == Some(2) && stderr(&both).contains("`latest`"), "{}", stderr(&both));
}

#[test]
fn a_run_that_ended_with_something_in_place_is_not_said_to_have_died() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    let (verdict, cleanliness, reason) = (Verdict::Passed, Cleanliness::StillInPlace, String::new());
    let over = RunEvent { body: Event::RunEnded { verdict, cleanliness, score: None, exit_code: 7, reason }, ..note(1) };
    now(journal.append(RUN, &[note(0), over, note(2)])).unwrap();
    let text = stdout(&run(dir.path(), &["status"]));
    assert!(text.contains("ENDED WITH CHANGES IN PLACE") && !text.contains("DIED"), "{text}");
    now(journal.append(RUN, &[sample(3)])).unwrap();
    let text = stdout(&run(dir.path(), &["status"]));
    assert!(text.contains("DIED AND LEFT CHANGES IN PLACE"), "a resume that died again: {text}");
}

#[test]
fn what_an_embedded_sandbox_took_with_it_is_closed_and_not_resumed() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&RunHeader { environment_document: json!({"spec": {}, "embedded": true}), ..header(RUN) })).unwrap();
    now(journal.commit_intents(&intents(RUN, 0..1))).unwrap();
    let status = stdout(&run(dir.path(), &["status"]));
    assert!(status.contains(&format!("abandon {RUN}")) && !status.contains("resume"), "{status}");
    let resume = run(dir.path(), &["resume", RUN]);
    assert!(resume.status.code() == Some(7) && stderr(&resume).contains(&format!("abandon {RUN}")), "{}", stderr(&resume));
}

#[test]
fn abort_wait_stays_until_the_run_has_ended() {
    let dir = state();
    with_intents(dir.path(), 1);
    let journal = Sqlite::open(dir.path()).unwrap();
    let claim = now(journal.claim(RUN)).unwrap();
    let mut waiting = firedrill(dir.path()).args(["abort", RUN, "--wait"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("asked run"));
    assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
    move_to(&journal, RUN, 0, Phase::Reverted).unwrap();
    now(journal.close_run(RUN, &end(Cleanliness::Clean))).unwrap();
    drop(claim);
    assert!(lines.next().unwrap().unwrap().contains("has ended: Aborted, Clean"));
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
}

#[test]
fn history_lists_runs_newest_first_as_text_and_json() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    for (number, run) in [RUN, OTHER].into_iter().enumerate() {
        let started = Timestamp(header(run).started.0 + i64::try_from(number).unwrap());
        now(journal.open_run(&RunHeader { started, ..header(run) })).unwrap();
        now(journal.close_run(run, &RunEnd { verdict: Verdict::Passed, ..end(Cleanliness::Clean) })).unwrap();
    }
    let text = stdout(&run(dir.path(), &["history", "--limit", "1"]));
    assert!(text.contains(OTHER) && !text.contains(RUN) && text.contains("… and 1 older"), "{text}");
    let json = parsed(&run(dir.path(), &["history", "--format", "json"]));
    assert_eq!(json["runs"][0]["run"], OTHER);
    assert_eq!(json["runs"][0]["score"], 12.5);
    assert_eq!(json["runs"][0]["comparison"]["result"], "notComparable", "neither has an event that says what it ran");
    assert!(stdout(&run(dir.path(), &["history", "--drill", "other"])).contains("no run of drill 'other'"));
}

#[test]
fn a_closed_output_does_not_change_the_answer() {
    let dir = state();
    with_intents(dir.path(), 1);
    let mut child = firedrill(dir.path()).arg("status").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(7), ""));
}
