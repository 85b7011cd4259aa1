//! What a run's reports say, and that nothing in a drill can make them say something else.

#![allow(clippy::unwrap_used)] // also in what tests share

mod rehearsal;

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firedrill::clock::{Clock, Timestamp};
use firedrill::event::{Event, Health, RunEvent};
use firedrill::journal::sqlite::Sqlite;
use firedrill::journal::{Journal, RunHeader};
use firedrill::report::story::Story;
use firedrill::report::tell::Teller;
use firedrill::report::{Format, Sink, live::Live, write_all};
use firedrill::report::{frame, html, json, jsonl, junit, markdown, summary};
use firedrill::score;
use rehearsal::{Going, Stream, at, header, stream, stream_of};

const GOINGS: [Going; 6] = [Going::Well, Going::NoFailover, Going::Deaf, Going::Killed, Going::Stuck, Going::Aborted];

fn page(events: &[RunEvent]) -> String {
    html::render(events, &score::evaluate(events)).unwrap()
}

fn lines(events: &[RunEvent]) -> Vec<String> {
    let mut teller = Teller::default();
    events.iter().flat_map(|event| teller.event(event)).collect()
}

#[test]
fn report_json_has_stable_fields() {
    let events = stream(Going::Well);
    let value: serde_json::Value = serde_json::from_slice(&json::render(&events, &score::evaluate(&events)).unwrap()).unwrap();
    insta::assert_json_snapshot!(value, {
        ".writtenBy" => "[version]",
        ".scorecard.objectives[].severity" => "[windows]",
    });
}

#[test]
fn the_summary_says_verdict_score_clocks_and_what_was_undone() {
    for going in GOINGS {
        let events = stream(going);
        let text = summary::summary(&Story::of(&events), &score::evaluate(&events), Some("/tmp/report/report.html".as_ref()));
        insta::assert_snapshot!(format!("summary_{going:?}"), text);
    }
}

#[test]
fn plain_lines_tell_changes_and_not_samples() {
    let events = stream(Going::Well);
    let told = lines(&events);
    assert!(told.len() < 80, "{} lines for {} events", told.len(), events.len());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_line_comes_at_least_every_ten_seconds_of_a_hold() {
    let mut teller = Teller::default();
    let mut spoke: Option<Timestamp> = None;
    for event in stream(Going::Well) {
        if !teller.event(&event).is_empty() {
            if let Some(spoke) = spoke {
                assert!(event.at.since(spoke) < Duration::from_secs(11), "silent from {spoke} to {}", event.at);
            }
            spoke = Some(event.at);
        }
    }
    // Without events too: the probes may hang.
    let mut teller = Teller::default();
    let killed = stream(Going::Killed);
    killed.iter().for_each(|event| drop(teller.event(event)));
    assert!(teller.tick(killed.last().unwrap().at).is_empty());
    let late = teller.tick(killed.last().unwrap().at.plus(Duration::from_secs(10)));
    assert!(late.len() == 1 && late[0].contains("hold:") && late[0].contains("4 targets in place"), "{late:?}");
}

#[test]
fn an_objective_that_flaps_is_not_told_with_every_sample_but_ends_in_its_true_state() {
    let mut s = Stream::default();
    s.add(0.0, Event::RunStarted(Box::new(header())));
    for n in 0..2000 {
        s.sample("checkout", 1.0 + f64::from(n) * 0.01, if n % 2 == 0 { Health::Good } else { Health::Bad }, None);
    }
    s.sample("checkout", 30.0, Health::Bad, Some("down"));
    let told: Vec<String> = lines(&s.events()).into_iter().filter(|line| line.contains("objective checkout")).collect();
    assert!((2..=24).contains(&told.len()), "{}", told.len());
    assert!(told.last().unwrap().contains("BAD"), "{told:?}");
}

#[test]
fn the_live_view_shows_what_breathes_and_what_is_in_place() {
    let events = stream(Going::Killed);
    let view = frame::frame(&Story::of(&events), at(33.3), frame::Canvas { width: 110, height: 40, colour: false });
    insta::assert_snapshot!(view.join("\n"));
}

#[test]
fn the_live_view_keeps_to_a_small_terminal_and_keeps_what_is_in_place() {
    let events = stream(Going::Killed);
    for (width, height) in [(20, 8), (40, 12), (80, 16), (160, 60)] {
        for colour in [false, true] {
            let view = frame::frame(&Story::of(&events), at(33.3), frame::Canvas { width, height, colour });
            assert!(view.len() <= height, "{} lines on {width}×{height}", view.len());
            for line in &view {
                assert!(console::measure_text_width(line) <= width, "{line:?} on {width}×{height}");
            }
            if height >= 12 {
                assert!(view.iter().any(|line| line.contains("gateway edge")), "{view:?}");
            }
            assert!(view.last().unwrap().contains("Ctrl-C"), "{view:?}");
        }
    }
}

#[test]
fn colours_are_only_used_where_they_are_wanted() {
    let story = Story::of(&stream(Going::Killed));
    let view = |colour| frame::frame(&story, at(33.3), frame::Canvas { width: 110, height: 40, colour });
    assert!(view(true).iter().any(|line| line.contains('\x1b')));
    assert!(view(false).iter().all(|line| !line.contains('\x1b')));
}

/// A drill that tries to write something into every output.
fn hostile() -> Vec<RunEvent> {
    let mut header = header();
    header.summary = "<script>alert(1)</script>\x1b[2J\x1b]0;owned\x07\u{202e}gnp.exe\u{2066}".into();
    header.hypothesis = "[click](javascript:alert(1)) =HYPERLINK(\"http://evil\",\"x\") @cmd {{run}} \" onload=\"alert(1)".into();
    header.owner = "<img src=x onerror=alert(1)>".into();
    header.objectives[0].probe = "</title></svg><script>alert(2)</script>".into();
    header.steps[0].summary = "</style><script>alert(3)</script>\r\nfake line".into();
    header.plan.warnings.push("</pre><iframe src=//evil>\u{9b}31m".into());
    header.plan.targets[0].undo_by_hand.push("echo '</pre><script>'\x1b[31m".into());
    header.plan.targets[0].prior = serde_json::json!({"</pre><script>": "\u{202e}"});
    let mut events = stream_of(Going::Stuck, header);
    for event in &mut events {
        if let Event::Sample(sample) = &mut event.body
            && sample.detail.is_some()
        {
            sample.detail = Some("\x1b[1A\x1b[2K<script>alert(4)</script>\nall good\u{202e}".into());
        }
    }
    events
}

#[test]
fn hostile_text_is_inert_in_html() {
    let page = page(&hostile());
    let lower = page.to_lowercase();
    for active in ["<script", "<img", "<iframe", "onload=\"", "href=\"javascript", "\u{202e}", "\u{2066}", "\x1b", "\u{9b}"] {
        assert!(!lower.contains(active), "{active:?} is in the page");
    }
    assert_eq!(lower.matches("</style>").count(), 1);
    assert_eq!(lower.matches("<h1>").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(1)"), "the text itself is still there");
    assert!(page.contains("⟨U+202E⟩") && page.contains("{{run}}"));
}

#[test]
fn hostile_text_is_inert_on_a_terminal() {
    let events = hostile();
    let story = Story::of(&events);
    let card = score::evaluate(&events);
    let canvas = frame::Canvas { width: 200, height: 60, colour: false };
    let mut texts = lines(&events);
    texts.extend(frame::frame(&Story::of(&events[..events.len() / 2]), at(33.0), canvas));
    texts.extend(summary::summary(&story, &card, None).lines().map(str::to_owned));
    for text in &texts {
        let bad = text.chars().find(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(c) || ('\u{2066}'..='\u{2069}').contains(c));
        assert_eq!(bad, None, "{text:?}");
    }
    assert!(!lines(&events).iter().any(|line| line.starts_with("fake") || line.starts_with("all good")), "a drill cannot begin a line");
}

#[test]
fn a_killed_run_says_that_it_has_no_end_and_what_is_in_place() {
    let events = stream(Going::Killed);
    let page = page(&events);
    assert!(page.contains("This run has no end"));
    assert!(page.contains("4 targets still in place"));
    assert!(page.contains("firedrill resume 01KB2QXW8V5Z3M4N7P9R1S6T8D"));
    assert!(page.contains("--drop fd-01KB2QXW-1"), "how a person undoes it");
    let value: serde_json::Value = serde_json::from_slice(&json::render(&events, &score::evaluate(&events)).unwrap()).unwrap();
    assert!(value["result"].is_null());
    assert_eq!(value["inPlace"].as_array().unwrap().len(), 4);
}

#[test]
fn every_prefix_of_a_run_makes_a_page() {
    let events = stream(Going::Stuck);
    for end in (1..events.len()).step_by(37).chain(1..30) {
        page(&events[..end]);
    }
}

#[test]
fn the_page_is_one_file_without_scripts_that_fetches_nothing() {
    for going in GOINGS {
        let page = page(&stream(going));
        for (tag, why) in [("<script", "scripts"), ("src=", "images or frames"), ("@import", "style sheets"), ("http://", "an address")] {
            let found = page.replace("http://www.w3.org/2000/svg", "").contains(tag);
            assert!(!found, "{going:?}: {why}");
        }
        assert!(!page.contains("url(") || page.matches("url(").count() == page.matches("url(#").count(), "only its own patterns");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        for tag in ["section", "table", "details", "div", "tr", "td", "g", "text"] {
            let opened = page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{going:?}: <{tag}>");
        }
        assert!(page.contains("role=\"img\"") && page.contains("Timeline from "), "{going:?}: a text alternative");
    }
}

#[test]
fn severity_and_verdicts_read_without_colour() {
    let page = page(&stream(Going::NoFailover));
    for pattern in ["id=\"sev-degraded\"", "id=\"sev-disruption\"", "id=\"sev-unknown\"", "✗ missed", "✓ met"] {
        assert!(page.contains(pattern), "{pattern}");
    }
}

#[test]
fn the_page_shows_the_table_that_the_score_came_from() {
    let events = stream(Going::NoFailover);
    let card = score::evaluate(&events);
    let page = page(&events);
    for row in &card.table {
        assert!(page.contains(&row.wanted), "{}", row.wanted);
        let measured = row.measured.replace('\'', "&#x27;").replace('"', "&quot;").replace('=', "&#x3D;");
        assert!(page.contains(&measured), "{}", row.measured);
    }
    assert!(page.contains(&format!(">{:.0}</text>", card.score.unwrap())), "the score");
}

/// The row of a step in the table of a section.
fn row<'p>(page: &'p str, section: &str, step: &str) -> &'p str {
    let after = page.split_once(section).unwrap_or_else(|| panic!("no {section}")).1;
    after.split("<tr>").find(|row| row.contains(&format!(">{step}<"))).unwrap_or_else(|| panic!("no row of {step} after {section}"))
}

#[test]
fn a_step_began_at_the_same_time_in_every_table_and_points_stand_once_an_objective() {
    let mut events = stream(Going::NoFailover);
    // A step begins a moment before its first call is sent, which is T0.
    for event in &mut events {
        if matches!(&event.body, Event::StepStarted { step, .. } if step == "endpoints-dark") {
            event.at = event.at.minus(Duration::from_millis(17));
        }
    }
    let page = page(&events);
    for section in ["<h2 id=\"steps-name\">", "The timeline as a table"] {
        let row = row(&page, section, "endpoints-dark");
        assert!(row.contains(">+0 s<") && !row.contains("\u{2212}"), "{section}: {row}");
    }
    let card = score::evaluate(&events);
    let checkout = &card.objectives[0];
    assert!(checkout.verdict == firedrill::score::ObjectiveVerdict::Missed && checkout.targets.len() == 2);
    let score = row(&page, "<h2 id=\"score-name\">", "checkout");
    assert!(score.contains(&format!("<td class=\"r\" rowspan=\"2\">{:.1}</td>", checkout.points)), "{score}");
    assert!(page.contains("the worst s counts"));
    let markdown = markdown_of(&events);
    let mut rows = markdown.lines().filter(|line| line.contains("| `checkout` |"));
    assert!(rows.next().unwrap().ends_with(&format!("| {:.1} |", checkout.points)) && rows.all(|row| row.ends_with("|  |")), "{markdown}");
    assert!(markdown.contains("missed 'checkout': not recovered within"), "{markdown}");
}

#[test]
fn the_lead_of_a_report_is_short_for_the_tables_say_the_rest() {
    for going in [Going::Well, Going::NoFailover] {
        let events = stream(going);
        let markdown = markdown_of(&events);
        let lead = markdown.lines().find(|line| line.starts_with("**Score")).unwrap();
        assert!(lead.chars().count() <= 240, "{lead}");
        let page = page(&events);
        let why = page.split_once("<p class=\"why\">").unwrap().1.split_once("</p>").unwrap().0;
        assert!(why.chars().count() <= 160, "{why}");
    }
    assert!(markdown_of(&stream(Going::Well)).contains("all 5 objectives met, every fault verified"));
}

fn markdown_of(events: &[RunEvent]) -> String {
    markdown::render(&Story::of(events), &score::evaluate(events)).unwrap()
}

#[test]
fn report_md_tells_the_run_in_one_screen() {
    for going in [Going::Well, Going::Stuck] {
        insta::assert_snapshot!(format!("markdown_{going:?}"), markdown_of(&stream(going)));
    }
    for (going, said) in [
        (Going::NoFailover, "# ❌ Failed: Checkout survives"),
        (Going::Deaf, "# ❔ Inconclusive:"),
        (Going::Killed, "# ⏳ Unfinished:"),
        (Going::Aborted, "# ⛔ Aborted:"),
    ] {
        let text = markdown_of(&stream(going));
        assert!(text.starts_with(said), "{text}");
        assert!(text.lines().count() < 100, "{} lines", text.lines().count());
    }
}

#[test]
fn hostile_text_starts_no_markup_in_report_md() {
    let text = markdown_of(&hostile());
    for c in text.chars() {
        assert!(c == '\n' || !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c), "{c:?}");
    }
    // Every sign that opens HTML, a link or a mention is escaped, or within code.
    let (code, escaped) = (regex::Regex::new(r"`[^`]*`").unwrap(), regex::Regex::new(r"\\.").unwrap());
    for line in text.lines() {
        let bare = code.replace_all(&escaped.replace_all(line, ""), "").into_owned();
        assert!(!bare.contains(['<', '[', ']', '`']) && !bare.contains("@cmd") && !bare.contains("://"), "{line}");
    }
}

fn junit_of(events: &[RunEvent]) -> String {
    String::from_utf8(junit::render(&Story::of(events), &score::evaluate(events)).unwrap()).unwrap()
}

#[test]
fn junit_xml_has_a_case_for_each_objective_for_the_undo_and_for_the_faults() {
    insta::assert_snapshot!("junit_Stuck", junit_of(&stream(Going::Stuck)));
    let cases = |text: &str| text.matches("<testcase ").count();
    for going in GOINGS {
        let events = stream(going);
        let text = junit_of(&events);
        assert_eq!(cases(&text), score::evaluate(&events).objectives.len() + 3, "{going:?}");
    }
    let missed = junit_of(&stream(Going::NoFailover));
    assert!(missed.contains("<failure message=\"not recovered within") && missed.contains("type=\"missed\""), "{missed}");
    assert!(junit_of(&stream(Going::Deaf)).contains("type=\"unknown\""));
    assert!(junit_of(&stream(Going::Stuck)).contains("STILL IN PLACE, undo it with `firedrill resume 01KB2QXW8V5Z3M4N7P9R1S6T8D`"));
}

#[test]
fn junit_xml_is_green_exactly_when_the_run_passed_and_is_clean() {
    for going in GOINGS {
        let events = stream(going);
        for end in [events.len(), events.len() - 1, events.len() / 2, 30, 1] {
            let events = &events[..end];
            let card = score::evaluate(events);
            let over = matches!(events[end - 1].body, Event::RunEnded { .. });
            let passed = over && card.exit().code() == 0;
            let text = junit_of(events);
            assert_eq!(!text.contains("<failure") && !text.contains("<error"), passed, "{going:?} to event {end}: {text}");
        }
    }
}

#[test]
fn junit_xml_keeps_to_the_schema_that_ci_servers_read() {
    for events in GOINGS.map(stream).into_iter().chain([hostile()]) {
        let text = junit_of(&events);
        assert!(text.chars().all(|c| c == '\n' || c == '\t' || c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}'), "characters that XML 1.0 forbids");
        xunit(&text);
    }
}

/// The part of Jenkins' `junit-10.xsd` that such a file can meet: which element may stand where, in which order, with which attributes.
fn xunit(text: &str) {
    const SUITE: [&str; 9] = ["name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp", "id"];
    let attributes: &[(&str, &[&str], &[&str])] = &[
        ("testsuites", &["name", "time", "tests", "failures", "disabled", "errors", "uuid", "timestamp"], &[]),
        ("testsuite", &SUITE, &["name", "tests"]),
        ("properties", &[], &[]),
        ("property", &["name", "value"], &["name", "value"]),
        ("testcase", &["name", "assertions", "time", "classname", "status", "timestamp"], &["name"]),
        ("failure", &["type", "message"], &[]),
        ("error", &["type", "message"], &[]),
        ("skipped", &["type", "message"], &[]),
        ("system-out", &[], &[]),
        ("system-err", &[], &[]),
    ];
    let children: &[(&str, &[&str])] = &[
        ("", &["testsuites"]),
        ("testsuites", &["testsuite"]),
        ("testsuite", &["properties", "testcase", "system-out", "system-err"]),
        ("properties", &["property"]),
        ("testcase", &["skipped", "error", "failure", "system-out", "system-err"]),
    ];
    let tag = regex::Regex::new(r#"<(/?)([a-z-]+)((?:\s+[a-z]+="[^"<]*")*)\s*(/?)>"#).unwrap();
    let attribute = regex::Regex::new(r#"([a-z]+)="([^"<]*)""#).unwrap();
    let body = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("a declaration");
    let mut open = vec![""];
    let mut order = 0;
    let mut counts = [0_u32; 3];
    let mut said = [0_u32; 3];
    for found in tag.captures_iter(body) {
        let name = attributes.iter().map(|(name, ..)| *name).find(|name| *name == &found[2]).unwrap_or_else(|| panic!("<{}>", &found[2]));
        if &found[1] == "/" {
            assert_eq!(open.pop(), Some(name), "closed where it is not open");
            continue;
        }
        let parent = *open.last().unwrap();
        let allowed = children.iter().find(|(of, _)| *of == parent).map_or(&[][..], |(_, allowed)| allowed);
        let place = allowed.iter().position(|child| *child == name).unwrap_or_else(|| panic!("<{name}> in <{parent}>"));
        if parent == "testsuite" {
            assert!(place >= order, "<{name}> comes too late");
            order = place;
        }
        let (_, known, needed) = attributes.iter().find(|(of, ..)| *of == name).unwrap();
        let given: Vec<(String, String)> = attribute.captures_iter(&found[3]).map(|it| (it[1].to_owned(), it[2].to_owned())).collect();
        assert!(given.iter().all(|(name, _)| known.contains(&name.as_str())), "{name}: {given:?}");
        assert!(needed.iter().all(|name| given.iter().any(|(given, _)| given == name)), "{name}: {given:?}");
        let number = |wanted: &str| given.iter().find(|(name, _)| name == wanted).map_or(0, |(_, value)| value.parse().unwrap());
        match name {
            "testsuite" => said = [number("tests"), number("failures"), number("errors")],
            "testcase" => counts[0] += 1,
            "failure" => counts[1] += 1,
            "error" => counts[2] += 1,
            _ => {}
        }
        if &found[4] != "/" {
            open.push(name);
        }
    }
    assert_eq!((open, counts), (vec![""], said));
    let between = tag.replace_all(body, "");
    assert!(!between.contains('<'), "every tag was read: {between}");
}

#[test]
fn a_hundred_thousand_samples_make_a_page_of_less_than_500_kilobytes() {
    let mut s = Stream::default();
    s.add(0.0, Event::RunStarted(Box::new(header())));
    s.add(20.0, Event::InjectSent { step: "endpoints-dark".into() });
    for n in 0..50_000_u32 {
        let t = f64::from(n) * 0.1;
        let health = match n.wrapping_mul(2_654_435_761) >> 29 {
            0 | 1 => Health::Bad,
            2 => Health::Unknown,
            _ => Health::Good,
        };
        let why = format!("reading {n} of many");
        s.sample("checkout", t, health, (health != Health::Good).then_some(&why));
        s.sample("status-page", t + 0.05, if n % 2 == 0 { Health::Good } else { Health::Bad }, None);
    }
    s.add(5000.0, Event::UndoStarted { targets: 0, hurried: false });
    let page = page(&s.events());
    assert!(page.len() < 500_000, "{} bytes", page.len());
}

/// A rehearsal of a million samples: of 200 objectives each reads once a second, one fails for nine seconds, one for a single reading.
fn million() -> impl Iterator<Item = RunEvent> {
    const TICKS: u32 = 5000;
    let mut header = header();
    header.plan.targets.clear();
    header.objectives = (0..200).map(|n| rehearsal::objective(&format!("objective-{n}"), "http", 1.0)).collect();
    let first = [(0.0, Event::RunStarted(Box::new(header))), (20.0, Event::InjectSent { step: "endpoints-dark".into() })];
    let samples = (0..TICKS).flat_map(|tick| (0..200_u32).map(move |n| (tick, n))).map(|(tick, n)| {
        let bad = n == 7 && (3000..3009).contains(&tick) || n == 8 && tick == 4000;
        let mut one = Stream::default();
        let health = if bad { Health::Bad } else { Health::Good };
        one.sample(&format!("objective-{n}"), f64::from(tick) + f64::from(n) * 0.001, health, bad.then_some("503"));
        let event = one.events().remove(0);
        (event.at.since(at(0.0)).as_secs_f64(), event.body)
    });
    let last = [(5001.0, Event::UndoStarted { targets: 0, hurried: false })];
    first.into_iter().chain(samples).chain(last).zip(0..).map(|((seconds, body), seq)| RunEvent { v: 1, seq, at: at(seconds), body })
}

#[tokio::test]
async fn a_million_samples_make_a_readable_page_and_no_outage_vanishes() {
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let journal = Sqlite::open(state.path()).unwrap();
    let mut waiting: Vec<RunEvent> = Vec::new();
    for event in million() {
        if let Event::RunStarted(start) = &event.body {
            let (drill, environment) = (start.drill.clone(), start.environment.clone());
            let (drill_document, environment_document) = (serde_json::json!({}), serde_json::json!({}));
            let header = RunHeader { run: start.run.clone(), drill, environment, drill_document, environment_document, started: event.at };
            journal.open_run(&header).await.unwrap();
        }
        waiting.push(event);
        if waiting.len() == 5000 {
            journal.append(&header().run, &waiting).await.unwrap();
            waiting.clear();
        }
    }
    journal.append(&header().run, &waiting).await.unwrap();
    drop(journal);
    let output = firedrill(state.path(), &["report", "latest"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dir = state.path().join("reports").join(header().run);
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert_eq!(page.matches("smp-bad").count(), 2 + page.matches(".smp-bad").count(), "nine seconds of one objective, and one reading of another");
    let lines = io::BufRead::lines(io::BufReader::new(fs::File::open(dir.join("events.jsonl")).unwrap())).count();
    assert_eq!(lines, 1_000_003);
    for name in ["report.md", "junit.xml"] {
        assert!(fs::metadata(dir.join(name)).unwrap().len() < 200_000, "{name}");
    }
}

#[test]
fn ten_thousand_targets_and_two_hundred_objectives_keep_the_page_bounded() {
    let mut header = header();
    let pattern = header.plan.targets[0].clone();
    header.plan.targets = (0..10_000).map(|n| firedrill::event::TargetInfo { target: format!("node {n}"), ..pattern.clone() }).collect();
    header.objectives = (0..200).map(|n| rehearsal::objective(&format!("objective-{n}"), "http", 1.0)).collect();
    let mut s = Stream::default();
    s.add(0.0, Event::RunStarted(Box::new(header)));
    s.add(1.0, Event::InjectSent { step: "endpoints-dark".into() });
    for n in 0..60_000_u32 {
        let bad = n.wrapping_mul(2_654_435_761) >> 31 == 0;
        s.sample(&format!("objective-{}", n % 200), f64::from(n) * 0.01, if bad { Health::Bad } else { Health::Good }, None);
    }
    let page = page(&s.events());
    assert!(page.len() < 2_500_000, "{} bytes", page.len());
    assert!(page.contains("and 9880 more"));
}

#[test]
fn files_appear_whole_and_one_that_fails_does_not_stop_the_others() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("new/report");
    let events = stream(Going::Well);
    let card = score::evaluate(&events);
    assert!(write_all(&dir, &events, &card).iter().all(|file| file.result.is_ok()));
    // A directory is in the way of one of them.
    fs::remove_file(dir.join("report.json")).unwrap();
    fs::create_dir(dir.join("report.json")).unwrap();
    fs::write(dir.join("report.html"), "old").unwrap();
    let mut reader = fs::File::open(dir.join("report.html")).unwrap();
    let written = write_all(&dir, &events, &card);
    let failed: Vec<Format> = written.iter().filter(|file| file.result.is_err()).map(|file| file.format).collect();
    assert_eq!(failed, [Format::Json]);
    assert!(fs::read_to_string(dir.join("report.html")).unwrap().starts_with("<!DOCTYPE html>"));
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    assert_eq!(old, "old", "who was reading the old file reads it to its end");
    let mut names: Vec<String> = fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["events.jsonl", "junit.xml", "report.html", "report.json", "report.md"], "no drafts are left behind");
}

#[test]
fn a_stream_without_a_header_still_gives_its_events() {
    let home = tempfile::tempdir().unwrap();
    let events = stream(Going::Well).split_off(1);
    let written = write_all(home.path(), &events, &score::evaluate(&events));
    let good: Vec<Format> = written.iter().filter(|file| file.result.is_ok()).map(|file| file.format).collect();
    assert_eq!(good, [Format::Jsonl]);
    assert!(written.iter().any(|file| file.result.as_ref().is_err_and(|error| error.to_string().contains("runStarted"))));
}

#[test]
fn events_jsonl_replays_to_the_same_report() {
    let events = stream(Going::Stuck);
    let text = jsonl::render(&events).unwrap();
    let replayed: Vec<RunEvent> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(replayed, events);
    assert_eq!(page(&replayed), page(&events));
}

/// An output that a test can read, and break.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<(Vec<u8>, bool)>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap();
        if inner.1 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        inner.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_live_sink_writes_what_the_lines_say() {
    let output = Screen::default();
    let mut live = Live::lines(Clock::starting_at(rehearsal::ZERO), Box::new(output.clone())).unwrap();
    let events = stream(Going::Well);
    events.iter().for_each(|event| live.event(event).unwrap());
    live.finish().unwrap();
    let written = String::from_utf8(output.0.lock().unwrap().0.clone()).unwrap();
    assert_eq!(written.lines().collect::<Vec<_>>(), lines(&events));
}

#[test]
fn a_closed_output_becomes_an_error_of_the_sink() {
    let output = Screen::default();
    output.0.lock().unwrap().1 = true;
    let mut live = Live::lines(Clock::starting_at(rehearsal::ZERO), Box::new(output)).unwrap();
    let events = stream(Going::Well);
    // The error comes from another thread: with a later event, or at the latest at the end.
    let failed = events.iter().find_map(|event| live.event(event).err()).or_else(|| live.finish().err());
    assert_eq!(failed.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
}

/// A terminal that remembers everything that was written to it.
#[derive(Clone, Debug, Default)]
struct Terminal(Arc<Mutex<String>>);

impl indicatif::TermLike for Terminal {
    fn width(&self) -> u16 {
        120
    }
    fn height(&self) -> u16 {
        40
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.write_str("\n")
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn on_a_terminal_changes_scroll_past_above_a_picture_and_no_heartbeats() {
    let terminal = Terminal::default();
    let mut live = Live::picture(Clock::starting_at(rehearsal::ZERO), Box::new(terminal.clone()), false).unwrap();
    let events = stream(Going::Well);
    events.iter().for_each(|event| live.event(event).unwrap());
    live.finish().unwrap();
    let shown = terminal.0.lock().unwrap().clone();
    for line in lines(&events).iter().filter(|line| !line.contains("targets in place")) {
        assert!(shown.contains(line.as_str()), "{line}");
    }
    for part in ["in place right now", "Ctrl-C: stop and undo", "HOLD", "gateway edge / rule sts us-east-1  sts-refused  verified in effect"] {
        assert!(shown.contains(part), "{part}");
    }
    assert!(!shown.contains("4 targets in place"), "heartbeats are for logs");
    assert!(!shown.contains("\x1b[3"), "no colours were wanted");
}

/// An output that takes nothing until it is let go.
struct Stuck(Arc<Mutex<()>>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        drop(self.0.lock());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_terminal_that_takes_no_output_holds_nothing_up() {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let mut live = Live::lines(Clock::starting_at(rehearsal::ZERO), Box::new(Stuck(gate.clone()))).unwrap();
    // Every event is taken and the end returns while the output is stuck: otherwise this test never ends.
    stream(Going::Well).iter().for_each(|event| live.event(event).unwrap());
    assert_eq!(live.finish().unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(closed);
}

/// A state directory whose journal holds this run.
async fn journal_of(events: &[RunEvent]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    let Event::RunStarted(start) = &events[0].body else { panic!("a stream begins with its header") };
    let (drill, environment) = (start.drill.clone(), start.environment.clone());
    let (drill_document, environment_document) = (serde_json::json!({}), serde_json::json!({}));
    let opened = RunHeader { run: start.run.clone(), drill, environment, drill_document, environment_document, started: events[0].at };
    journal.open_run(&opened).await.unwrap();
    journal.append(&start.run, events).await.unwrap();
    dir
}

fn firedrill(state: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firedrill")).arg("--state-dir").arg(state).args(words).current_dir(state).output().unwrap()
}

#[tokio::test]
async fn the_report_command_replays_a_stored_run_to_the_same_files() {
    let events = stream(Going::NoFailover);
    let state = journal_of(&events).await;
    let output = firedrill(state.path(), &["report", "01KB2QXW"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("FAILED  evacuate-us-east-1 in staging"), "{text}");
    assert!(text.contains("reports/01KB2QXW8V5Z3M4N7P9R1S6T8D/report.html"), "{text}");
    let dir = state.path().join("reports/01KB2QXW8V5Z3M4N7P9R1S6T8D");
    for format in Format::ALL {
        let written = fs::read(dir.join(format.file_name())).unwrap();
        let written = String::from_utf8(written).unwrap().replace(&format!("firedrill --state-dir {}", state.path().display()), "firedrill");
        assert_eq!(written.as_bytes(), format.render(&events, &score::evaluate(&events)).unwrap(), "{format}");
    }
}

#[tokio::test]
async fn the_report_command_writes_only_what_was_asked_for_and_works_for_a_killed_run() {
    let state = journal_of(&stream(Going::Killed)).await;
    let output = firedrill(state.path(), &["report", "01KB2QXW", "--out", "here", "--format", "json,jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("STILL IN PLACE"));
    let mut names: Vec<_> = fs::read_dir(state.path().join("here")).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["events.jsonl", "report.json"]);
}

#[tokio::test]
async fn the_report_of_a_run_that_is_going_on_says_so_and_judges_nothing() {
    let state = journal_of(&stream(Going::Killed)).await;
    let journal = Sqlite::open(state.path()).unwrap();
    let claim = journal.claim("01KB2QXW8V5Z3M4N7P9R1S6T8D").await.unwrap();
    let output = firedrill(state.path(), &["report", "latest", "--out", "here"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("GOING ON  ") && text.contains("none yet") && !text.contains("STILL IN PLACE"), "{text}");
    assert!(text.trim_end().lines().any(|line| line.ends_with("abort 01KB2QXW8V5Z3M4N7P9R1S6T8D")), "{text}");
    for file in ["report.md", "report.html", "junit.xml"] {
        let told = fs::read_to_string(state.path().join("here").join(file)).unwrap();
        assert!(
            told.contains(" abort 01KB2QXW8V") && !told.contains(" resume ") && !told.to_lowercase().contains("person must act"),
            "{file}: {told}"
        );
    }
    let json: serde_json::Value = serde_json::from_slice(&fs::read(state.path().join("here/report.json")).unwrap()).unwrap();
    assert_eq!((json["goingOn"].clone(), json["scorecard"]["score"].clone()), (true.into(), serde_json::Value::Null));
    assert_eq!(json["scorecard"]["verdict"], "inconclusive");
    drop(claim);
    let dead = String::from_utf8(firedrill(state.path(), &["report", "latest", "--out", "here"]).stdout).unwrap();
    assert!(dead.starts_with("UNFINISHED  ") && dead.contains("STILL IN PLACE, a person must act"), "{dead}");
    let undo = format!("firedrill --state-dir {} resume 01KB2QXW8V5Z3M4N7P9R1S6T8D", state.path().display());
    assert!(dead.trim_end().ends_with(&undo) && dead.lines().last().unwrap().starts_with("STILL IN PLACE"), "{dead}");
    for file in ["report.md", "report.html", "junit.xml"] {
        let told = fs::read_to_string(state.path().join("here").join(file)).unwrap();
        assert!(told.contains(&undo), "{file}: {told}");
    }
}

#[tokio::test]
async fn the_latest_run_needs_no_id() {
    let state = journal_of(&stream(Going::Well)).await;
    let output = firedrill(state.path(), &["report", "latest", "--out", "here", "--format", "md,junit"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let names: std::collections::BTreeSet<_> = fs::read_dir(state.path().join("here")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["junit.xml", "report.md"]);
    let before = firedrill(state.path(), &["report", "latest~1"]);
    assert_eq!(before.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&before.stderr).contains("latest~1"));
}

/// A browser that writes down what it is asked to show.
fn browser(dir: &Path) -> std::path::PathBuf {
    let program = dir.join("browser");
    fs::write(&program, format!("#!/bin/sh\necho \"$1\" > {0}/shown.new && mv {0}/shown.new {0}/shown\n", dir.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn open_shows_the_page_in_the_browser_that_the_reader_chose() {
    let state = journal_of(&stream(Going::Well)).await;
    let program = browser(state.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.arg("--state-dir").arg(state.path()).args(["report", "latest", "--open", "--format", "json"]);
    let output = command.env("BROWSER", format!("/does/not/exist:{}", program.display())).env("SSH_CONNECTION", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("opened  /") && said.contains(&format!("report.html with $BROWSER '{}'", program.display())), "{said}");
    let shown = state.path().join("shown");
    // The browser is nobody's child: what it leaves behind is all there is to wait for.
    let deadline = std::time::Instant::now() + Duration::from_secs(90);
    while !shown.exists() {
        assert!(std::time::Instant::now() < deadline, "the browser was never started");
        std::thread::sleep(Duration::from_millis(10));
    }
    let page = fs::read_to_string(shown).unwrap();
    assert!(page.trim().ends_with("reports/01KB2QXW8V5Z3M4N7P9R1S6T8D/report.html") && Path::new(page.trim()).exists(), "{page}");
}

#[tokio::test]
async fn without_a_display_open_says_why_and_where_the_page_is() {
    let state = journal_of(&stream(Going::Well)).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.arg("--state-dir").arg(state.path()).args(["report", "latest", "--open"]);
    for variable in ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SSH_TTY"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "the report is there all the same");
    assert!(said.contains("no display") && said.contains("report.html"), "{said}");
}

#[tokio::test]
async fn the_report_command_names_what_it_cannot_do() {
    let state = journal_of(&stream(Going::Well)).await;
    let unknown = firedrill(state.path(), &["report", "01ZZZZ"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("01ZZZZ"));
    fs::write(state.path().join("file"), "").unwrap();
    let blocked = firedrill(state.path(), &["report", "01KB2QXW", "--out", "file/below"]);
    assert_eq!(blocked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&blocked.stderr).contains("cannot write file/below/report.html"));
    assert!(String::from_utf8_lossy(&blocked.stdout).starts_with("PASSED"), "the summary is told all the same");
}

/// A stored report of the rehearsal, for comparing.
fn stored(dir: &Path, name: &str, events: &[RunEvent]) {
    fs::write(dir.join(name), json::render(events, &score::evaluate(events)).unwrap()).unwrap();
}

fn compared(dir: &Path, a: &str, b: &str) -> (Option<i32>, String) {
    let output = firedrill(dir, &["compare", a, b]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn compare_says_better_same_or_worse_with_an_exit_code_for_pipelines() {
    let state = journal_of(&stream(Going::Well)).await;
    let dir = state.path();
    stored(dir, "well.json", &stream(Going::Well));
    stored(dir, "missed.json", &stream(Going::NoFailover));
    stored(dir, "deaf.json", &stream(Going::Deaf));
    // A stored run is compared with a report of itself: everything is the same.
    let (code, text) = compared(dir, "latest", "well.json");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("SAME") && !text.contains("WORSE") && !text.contains("better"), "{text}");
    let (code, text) = compared(dir, "01KB2QXW", "missed.json");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("WORSE") && text.contains("'checkout' was met and is missed"), "{text}");
    let (code, text) = compared(dir, "missed.json", "well.json");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("BETTER") && text.contains("'checkout' was missed and is met"), "{text}");
    // What was not measured is neither better nor worse.
    let (code, text) = compared(dir, "well.json", "deaf.json");
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("the second run is no measurement: inconclusive"), "{text}");
    for (a, b, why) in
        [("well.json", "01ZZZZ", "no run '01ZZZZ'"), ("nothing.json", "latest", "no file 'nothing.json'"), ("browser", "latest", "'browser'")]
    {
        let (code, text) = compared(dir, a, b);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(why), "{text}");
    }
    fs::write(dir.join("other.json"), "{\"format\": \"other/v9\"}").unwrap();
    assert!(compared(dir, "other.json", "latest").1.contains("its format is 'other/v9'"));
}

#[test]
fn compare_keeps_to_the_error_bars_and_to_what_is_comparable() {
    let dir = tempfile::tempdir().unwrap();
    let later = |by: i64| {
        let mut events = stream(Going::Well);
        // Orders recover later: one more bad reading for each half second.
        for event in &mut events {
            if let Event::Sample(sample) = &mut event.body
                && sample.objective == "orders"
                && (at(14.4)..at(14.4).plus(Duration::from_millis(by as u64))).contains(&sample.at)
            {
                sample.health = Health::Bad;
            }
        }
        events.pop();
        let card = score::evaluate(&events);
        let end = Event::RunEnded { verdict: card.verdict, cleanliness: card.cleanliness, score: card.score, exit_code: 0, reason: card.reason };
        let last = events.last().unwrap().clone();
        events.push(RunEvent { seq: last.seq + 1, body: end, ..last });
        events
    };
    stored(dir.path(), "a.json", &later(0));
    stored(dir.path(), "half.json", &later(400));
    stored(dir.path(), "two.json", &later(2000));
    let (code, text) = compared(dir.path(), "a.json", "half.json");
    assert_eq!(code, Some(0), "half a second is within two error bars of half a second: {text}");
    assert!(text.lines().any(|line| line.trim_start().starts_with("recover") && line.contains("same +500 ms")), "{text}");
    let (code, text) = compared(dir.path(), "a.json", "two.json");
    assert_eq!(code, Some(3), "met, but slower by more than the error bars: {text}");
    assert!(text.contains("'orders' recover: 4.4 s ± 528 ms before, 6.4 s ± 520 ms now"), "{text}");
    let mut header = header();
    header.drill_hash = "another".into();
    stored(dir.path(), "drill.json", &stream_of(Going::Well, header.clone()));
    header.environment_hash = "another".into();
    stored(dir.path(), "both.json", &stream_of(Going::Well, header));
    let (code, text) = compared(dir.path(), "a.json", "drill.json");
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("the drill changed in between") && !text.contains("environment changed"), "{text}");
    assert!(compared(dir.path(), "drill.json", "both.json").1.contains("the environment changed in between"));
    let json = firedrill(dir.path(), &["compare", "a.json", "two.json", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&value["outcome"], &value["objectives"][1]["clocks"][0]["change"]), (&"worse".into(), &"worse".into()));
    assert_eq!(value["objectives"][1]["clocks"][0]["delta"], 2.0);
}

#[test]
fn compare_shows_a_clock_that_the_drill_asks_nothing_of_and_does_not_judge_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut asks_less = header();
    asks_less.objectives[1].recover_within = None;
    let slower = |by: f64| {
        let mut events = stream_of(Going::Well, asks_less.clone());
        for event in &mut events {
            if let Event::Sample(sample) = &mut event.body
                && sample.objective == "orders"
                && (at(14.4)..at(14.4 + by)).contains(&sample.at)
            {
                sample.health = Health::Bad;
            }
        }
        events
    };
    stored(dir.path(), "a.json", &slower(0.0));
    stored(dir.path(), "b.json", &slower(2.0));
    let (code, text) = compared(dir.path(), "a.json", "b.json");
    assert_eq!(code, Some(0), "{text}");
    let orders: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("orders")).skip(1).take_while(|line| line.starts_with(' ')).collect();
    let recover = orders.iter().find(|line| line.trim_start().starts_with("recover")).unwrap_or_else(|| panic!("{text}"));
    assert!(recover.ends_with("+2 s") && !recover.contains("WORSE") && !recover.contains("same"), "{text}");
    assert!(text.starts_with("SAME"), "{text}");
}

#[tokio::test]
async fn history_shows_where_a_drill_is_heading() {
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let journal = Sqlite::open(state.path()).unwrap();
    for (n, going) in [Going::NoFailover, Going::NoFailover, Going::Well].into_iter().enumerate() {
        let run = format!("01KB2QXW8V5Z3M4N7P9R1S6T{n}D");
        let events = stream_of(going, firedrill::event::RunStarted { run: run.clone(), ..header() });
        let card = score::evaluate(&events);
        let opened = RunHeader {
            run: run.clone(),
            drill: "evacuate-us-east-1".into(),
            environment: "staging".into(),
            drill_document: serde_json::json!({}),
            environment_document: serde_json::json!({}),
            started: at(n as f64 * 3600.0),
        };
        journal.open_run(&opened).await.unwrap();
        journal.append(&run, &events).await.unwrap();
        let end = firedrill::journal::RunEnd {
            at: at(n as f64 * 3600.0 + 66.0),
            verdict: card.verdict,
            cleanliness: card.cleanliness,
            score: card.score,
            exit_code: card.exit().code(),
        };
        journal.close_run(&run, &end).await.unwrap();
    }
    drop(journal);
    let output = firedrill(state.path(), &["history"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("evacuate-us-east-1 in staging, 3 comparable runs:"), "{text}");
    assert!(text.contains("  score     ▅▅█  100.0, better (median 62.5)"), "{text}");
    assert!(text.contains("  recovery  ××█  12.9 s ± 1 s, better"), "{text}");
    let ends: Vec<&str> = text.lines().skip(1).take(3).filter_map(|line| line.split_whitespace().next_back()).collect();
    assert_eq!(ends, ["better", "same", "first"], "the words of `firedrill compare`: {text}");
    assert!(firedrill(state.path(), &["compare", "latest~1", "latest"]).stdout.starts_with(b"BETTER"));
    assert!(firedrill(state.path(), &["compare", "latest~2", "latest~1"]).stdout.starts_with(b"SAME"));
    let value: serde_json::Value = serde_json::from_slice(&firedrill(state.path(), &["history", "--format", "json"]).stdout).unwrap();
    assert_eq!((&value["trends"][0]["score"], value["trends"][0]["runs"].as_array().unwrap().len()), (&"better".into(), 3));
}
