//! What a real browser makes of the reports: they render, say nothing on the console, print, follow the colour scheme, shut nobody out, run nothing.

#![allow(clippy::unwrap_used)] // also in what tests share

mod rehearsal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use firedrill::event::RunEvent;
use firedrill::report::story::Story;
use firedrill::report::{html, markdown};
use firedrill::score;
use rehearsal::{Going, header, stream, stream_of};

/// Chromium, or the way to get it: without it these tests prove nothing, so they fail.
fn browser() -> PathBuf {
    let places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = places.iter().map(Path::new).find(|path| path.exists());
    found.expect("Chromium is not installed; install it: apt-get update && apt-get install -y chromium").to_owned()
}

fn chromium(arguments: &[String]) -> Output {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Writes the page where a person can look at it after the test.
fn page(name: &str, events: &[RunEvent]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{name}.html"));
    fs::write(&path, html::render(events, &score::evaluate(events)).unwrap()).unwrap();
    path
}

fn url(page: &Path) -> String {
    format!("file://{}", page.display())
}

fn picture(page: &Path, scheme: &str) -> Vec<u8> {
    let out = page.with_extension(format!("{scheme}.png"));
    let preferred = if scheme == "dark" { 0 } else { 1 };
    chromium(&[
        format!("--blink-settings=preferredColorScheme={preferred}"),
        "--window-size=1200,1600".into(),
        format!("--screenshot={}", out.display()),
        url(page),
    ]);
    fs::read(out).unwrap()
}

#[test]
fn the_page_renders_without_a_word_on_the_console() {
    for (name, going) in
        [("well", Going::Well), ("no-failover", Going::NoFailover), ("deaf", Going::Deaf), ("killed", Going::Killed), ("stuck", Going::Stuck)]
    {
        let page = page(name, &stream(going));
        let output = chromium(&["--dump-dom".into(), url(&page)]);
        let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!log.contains("CONSOLE"), "{name}: {log}");
        assert!(dom.contains("Checkout survives the loss of us-east-1") && dom.contains("</svg>") && dom.trim_end().ends_with("</html>"), "{name}");
    }
}

#[test]
fn the_page_follows_the_colour_scheme() {
    let page = page("schemes", &stream(Going::Well));
    let (light, dark) = (picture(&page, "light"), picture(&page, "dark"));
    let size = |png: &[u8]| (u32::from_be_bytes(png[16..20].try_into().unwrap()), u32::from_be_bytes(png[20..24].try_into().unwrap()));
    assert_eq!((size(&light), size(&dark)), ((1200, 1600), (1200, 1600)));
    assert_ne!(light, dark);
}

#[test]
fn the_page_prints() {
    let page = page("print", &stream(Going::Stuck));
    let out = page.with_extension("pdf");
    chromium(&["--no-pdf-header-footer".into(), format!("--print-to-pdf={}", out.display()), url(&page)]);
    let pdf = fs::read(out).unwrap();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 20_000, "{} bytes", pdf.len());
}

#[test]
fn hostile_text_runs_nothing_in_a_browser() {
    let mut header = header();
    // Each would change the title, which the browser then shows in the DOM.
    let attack = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><svg onload=\"document.title='owned'\">";
    header.summary = attack.into();
    header.hypothesis = format!("</p>{attack}");
    header.objectives[0].probe = format!("</title></svg>{attack}");
    header.steps[0].summary = format!("</style></script>{attack}");
    header.plan.targets[0].undo_by_hand = vec![format!("</pre>{attack}")];
    let page = page("hostile", &stream_of(Going::Stuck, header));
    let output = chromium(&["--dump-dom".into(), url(&page)]);
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(dom.contains("– firedrill</title>") && !dom.contains("<title>owned"), "{}", &dom[..400]);
    assert!(!dom.contains("<script") && !dom.contains("<img"), "text stays text");
}

/// A package that `scripts/test` installs, by its path in `node_modules`: without it these tests prove nothing, so they fail.
fn script(path: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let file = cache.join("firedrill/tools/report_browser/node_modules").join(path);
    assert!(file.exists(), "{} is missing; install it: scripts/test --setup", file.display());
    file
}

/// Runs scripts on a copy of the page that allows them, every `<details>` open; gives back the text that the last one makes of it.
fn run_in(page: &Path, name: &str, arguments: &[String], scripts: &[PathBuf], result: &str) -> String {
    let html = fs::read_to_string(page).unwrap();
    let policy = "<meta http-equiv=\"Content-Security-Policy\"";
    let from = html.find(policy).unwrap_or(html.len());
    let to = html[from..].find('>').map_or(from, |end| from + end + 1);
    let html = format!("{}{}", &html[..from], &html[to..]);
    let sources: String = scripts.iter().map(|path| format!("<script src=\"file://{}\"></script>", path.display())).collect();
    let run = format!(
        "{sources}<script>document.querySelectorAll('details').forEach(it => it.open = true);\
         (async () => {{ let said; try {{ said = await ({result})(); }} catch (error) {{ said = 'ERROR ' + error; }}\
         document.body.innerHTML = ''; const out = document.createElement('output'); out.id = 'said'; out.textContent = encodeURIComponent(said); \
         document.body.append(out); }})();</script></body>"
    );
    let copy = page.with_file_name(format!("{}-{name}.html", page.file_stem().unwrap().to_string_lossy()));
    fs::write(&copy, html.replacen("</body>", &run, 1)).unwrap();
    let mut all = vec!["--allow-file-access-from-files".into(), "--virtual-time-budget=60000".into(), "--window-size=1200,1600".into()];
    all.extend(arguments.iter().cloned());
    all.extend(["--dump-dom".into(), url(&copy)]);
    let output = chromium(&all);
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = dom.split("<output id=\"said\">").nth(1).and_then(|rest| rest.split("</output>").next());
    let said = said.unwrap_or_else(|| panic!("no result: {}\n{}", &dom[..dom.len().min(2000)], String::from_utf8_lossy(&output.stderr)));
    let encoded = format!("said={}", said.replace('+', "%2B"));
    let said = url::form_urlencoded::parse(encoded.as_bytes()).next().unwrap().1.into_owned();
    assert!(!said.starts_with("ERROR"), "{said}");
    said
}

/// What axe-core finds wrong: rule, why it matters, and where. Every rule that it has on by default, the advice beyond WCAG too.
fn violations(page: &Path, scheme: &str) -> Vec<String> {
    let preferred = if scheme == "dark" { 0 } else { 1 };
    let arguments = [format!("--blink-settings=preferredColorScheme={preferred}")];
    let look = "async () => { const found = await axe.run(document, { resultTypes: ['violations'] }); \
                if (found.passes.length < 15) throw 'only ' + found.passes.length + ' rules applied'; \
                return JSON.stringify([matchMedia('(prefers-color-scheme: dark)').matches, found.violations]); }";
    let said = run_in(page, &format!("axe-{scheme}"), &arguments, &[script("axe-core/axe.min.js")], look);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said[0], scheme == "dark", "the browser took the other scheme");
    let one = |found: &serde_json::Value| {
        let nodes: Vec<String> =
            found["nodes"].as_array().unwrap().iter().map(|node| format!("{} {}", node["target"], node["failureSummary"])).collect();
        format!("{} ({}): {}", found["id"].as_str().unwrap(), found["help"].as_str().unwrap(), nodes.join("; "))
    };
    said[1].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn axe_finds_nothing_wrong_with_any_report_light_or_dark() {
    let goings = [
        ("passed", Going::Well),
        ("missed", Going::NoFailover),
        ("inconclusive", Going::Deaf),
        ("aborted", Going::Aborted),
        ("in-place", Going::Stuck),
        ("unfinished", Going::Killed),
    ];
    let mut wrong = Vec::new();
    for (name, going) in goings {
        let page = page(&format!("axe-{name}"), &stream(going));
        for scheme in ["light", "dark"] {
            wrong.extend(violations(&page, scheme).into_iter().map(|what| format!("{name}, {scheme}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn axe_would_see_poor_contrast_a_missing_language_and_a_skipped_heading() {
    let good = page("axe-teeth", &stream(Going::Well));
    let html = fs::read_to_string(&good).unwrap();
    for (rule, from, to) in
        [("color-contrast", "--soft: #59616e", "--soft: #b0b6be"), ("html-has-lang", "<html lang=\"en\">", "<html>"), ("heading-order", "<h2", "<h4")]
    {
        let spoiled = html.replace(from, to).replace(&from.replace("<h", "</h"), &to.replace("<h", "</h"));
        assert_ne!(spoiled, html, "{from}");
        let page = good.with_file_name(format!("axe-teeth-{rule}.html"));
        fs::write(&page, spoiled).unwrap();
        let found = violations(&page, "light");
        assert!(found.iter().any(|it| it.starts_with(rule)), "{rule}: {found:?}");
    }
}

/// What GitHub-flavoured Markdown makes of `report.md`.
fn rendered(name: &str, events: &[RunEvent]) -> String {
    let text = markdown::render(&Story::of(events), &score::evaluate(events)).unwrap();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&dir).unwrap();
    let page = dir.join(format!("{name}.html"));
    fs::write(&page, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>x</title></head><body></body></html>").unwrap();
    let look = format!("async () => marked.parse({}, {{ gfm: true }})", serde_json::to_string(&text).unwrap());
    run_in(&page, "markdown", &[], &[script("marked/lib/marked.umd.js")], &look)
}

#[test]
fn report_md_is_headings_tables_and_text_and_nothing_of_a_drill_becomes_more() {
    let tables = |html: &str| (html.matches("<table>").count(), html.matches("<th").count(), html.matches("<tr>").count());
    let honest = rendered("markdown-honest", &stream(Going::Stuck));
    assert!(honest.contains("<h1>") && honest.contains("Checkout survives the loss of us-east-1"), "{honest}");
    let mut header = header();
    let attack = "</td><script>alert(1)</script> | x | <img src=x onerror=alert(1)> [a](javascript:alert(1)) ![b](http://evil/c.png) `|` ``` \
                  https://evil.example www.evil.example a@evil.example @ops #12 **bold** ~~gone~~ $x$ <!-- ";
    header.summary = attack.into();
    header.hypothesis = format!("1. {attack}");
    header.drill = attack.into();
    header.environment = format!("`{attack}");
    header.objectives[0].id = attack.into();
    header.steps[0].name = attack.into();
    header.plan.targets[1].undo_by_hand = vec![format!("{attack}\n# heading")];
    let html = rendered("markdown-hostile", &stream_of(Going::Stuck, header));
    for active in ["<script", "<img", "<a ", "<td></td><script", "<del>", "<li># heading", "<!--"] {
        assert!(!html.contains(active), "{active}: {html}");
    }
    assert_eq!(html.matches("<h1>").count(), 1);
    // An objective that the stream does not know has no readings of its own; everything else keeps its place.
    assert_eq!(tables(&html).0, tables(&honest).0);
    for row in html.split("<tr>").skip(1) {
        let cells = row.matches("<td").count();
        assert!([0, 5, 6].contains(&cells), "{cells} cells: {row}");
    }
    let outside_code: String = html.split("<code>").map(|part| part.split("</code>").last().unwrap()).collect();
    assert!(!outside_code.contains("@ops") && !outside_code.contains("#12"), "nobody is notified: a zero-width space stands in between");
}

/// Runbooks as the real binary makes them: with targets, with blanks, of a drill that wants to be more than text, and, if that is wanted, of a run that took place.
fn runbooks(played: bool) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let firedrill = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
        command.env_remove("FIREDRILL_STATE_DIR").env("FIREDRILL_ALLOW_TMPFS_STATE", "1").current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.arg("--state-dir").arg(&state).args(words).output().unwrap();
        // Of a run it matters here only that it took place: on a busy machine an objective may be missed.
        let wanted: &[i32] = if words[0] == "run" { &[0, 3] } else { &[0] };
        assert!(output.status.code().is_some_and(|code| wanted.contains(&code)), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let attack = "</p></pre></title></style><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\n\n# x\n\n[a](http://evil.example) ``` <b>";
    let hostile = dir.path().join("hostile.yaml");
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/drills/sandbox/fail-back.yaml")).unwrap();
    let place = "Users are out of us-east-1 within five seconds, stay out until it is healthy again, and no accepted order is lost.";
    assert!(shipped.contains(place));
    fs::write(&hostile, shipped.replace(place, &serde_json::to_string(attack).unwrap())).unwrap();
    let start = ["--start", "2036-12-09T10:00", "--time-zone", "America/New_York"];
    let mut pages = Vec::new();
    let mut into = |name: &str, words: &[&str]| {
        let out = dir.path().join(name);
        firedrill(&[&["runbook"], words, &["--out", out.to_str().unwrap()]].concat());
        pages.push(out);
    };
    into("looked-up", &[&["drills/sandbox/fail-back.yaml", "--env", "sandbox"], &start[..]].concat());
    into("blanks", &["drills/aws/evacuate-us-east-1.yaml"]);
    into("hostile", &[hostile.to_str().unwrap()]);
    if played {
        firedrill(&["run", "drills/sandbox/fail-back.yaml", "--env", "sandbox"]);
        into("played", &["--record", "latest"]);
    }
    (dir, pages)
}

#[test]
fn runbooks_are_read_by_everybody_print_their_card_on_a_page_of_its_own_and_run_nothing() {
    let (_dir, folders) = runbooks(true);
    let mut wrong = Vec::new();
    for folder in &folders {
        for page in ["runbook.html", "abort-card.html"].map(|name| folder.join(name)) {
            let output = chromium(&["--dump-dom".into(), url(&page)]);
            let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(!log.contains("CONSOLE"), "{}: {log}", page.display());
            assert!(dom.contains("– firedrill</title>") && !dom.contains("<script") && !dom.contains("<img"), "{}", page.display());
            for scheme in ["light", "dark"] {
                wrong.extend(violations(&page, scheme).into_iter().map(|what| format!("{}, {scheme}: {what}", page.display())));
            }
        }
        // Text of a PDF is compressed; its pages are not.
        let card = folder.join("card.pdf");
        chromium(&["--no-pdf-header-footer".into(), format!("--print-to-pdf={}", card.display()), url(&folder.join("abort-card.html"))]);
        let pdf = fs::read(&card).unwrap();
        let pages = pdf.windows(11).filter(|part| *part == b"/Type /Page").count() - pdf.windows(12).filter(|part| *part == b"/Type /Pages").count();
        let back = fs::read_to_string(folder.join("abort-card.html")).unwrap().contains("Abort card, the back</h2>");
        assert_eq!(pages, 1 + usize::from(back), "{}", card.display());
        let front = poppler("pdftotext", &["-l", "1", card.to_str().unwrap(), "-"]);
        assert!(front.contains("Afterwards") || front.contains("Nothing is in place"), "the front ends on its page: {front}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn runbook_md_is_headings_tables_and_text_and_nothing_of_a_drill_becomes_more() {
    let (dir, folders) = runbooks(true);
    let page = dir.path().join("empty.html");
    fs::write(&page, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>x</title></head><body></body></html>").unwrap();
    let rendered = |folder: &Path| {
        let text = fs::read_to_string(folder.join("runbook.md")).unwrap();
        let look = format!("async () => marked.parse({}, {{ gfm: true }})", serde_json::to_string(&text).unwrap());
        run_in(&page, "markdown", &[], &[script("marked/lib/marked.umd.js")], &look)
    };
    let shape = |html: &str| ["<h1", "<h2", "<h3", "<table>", "<pre>", "<li>", "<blockquote>"].map(|tag| html.matches(tag).count());
    let all: Vec<String> = folders.iter().map(|folder| rendered(folder)).collect();
    for (folder, html) in folders.iter().zip(&all) {
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b>"), "{}", folder.display());
        let links: Vec<&str> = html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(!links.is_empty() && links.iter().all(|link| link.starts_with('#')), "{links:?}");
        assert!(html.contains("<input") && html.contains("Abort card</h2>"), "a checklist and a card: {}", folder.display());
    }
    // The hostile drill has the shape of the one that it was made from.
    let plain = dir.path().join("plain");
    let output = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["runbook", "drills/sandbox/fail-back.yaml", "--out", plain.to_str().unwrap()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(shape(&all[2]), shape(&rendered(&plain)));
}

/// Every command of a Markdown file, a line each.
fn command_lines(markdown: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        match line.starts_with("```") {
            true => inside = !inside,
            false if inside && !line.trim().is_empty() => found.push(line.trim().to_owned()),
            false => {}
        }
    }
    found
}

/// Runs a tool of poppler, or says how to get it.
fn poppler(tool: &str, arguments: &[&str]) -> String {
    let done = Command::new(tool).args(arguments).output();
    let done = done.unwrap_or_else(|error| panic!("{tool}: {error}; install it: apt-get install -y poppler-utils"));
    assert!(done.status.success(), "{tool}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn on_paper_no_command_is_broken_but_where_it_says_so_and_those_of_the_card_are_large_enough() {
    let (_dir, folders) = runbooks(false);
    // What is not hostile, and has something in place.
    let word = regex::Regex::new(r#"<word [^>]*yMin="([0-9.]+)"[^>]*yMax="([0-9.]+)">--[a-z-]+</word>"#).unwrap();
    for folder in &folders[..2] {
        for name in ["runbook", "abort-card"] {
            let pdf = folder.join(format!("{name}.pdf"));
            let page = folder.join(format!("{name}.html"));
            chromium(&["--no-pdf-header-footer".into(), format!("--print-to-pdf={}", pdf.display()), url(&page)]);
            let printed = poppler("pdftotext", &["-layout", pdf.to_str().unwrap(), "-"]);
            let printed: Vec<&str> = printed.lines().map(str::trim).collect();
            let lines = command_lines(&fs::read_to_string(folder.join(format!("{name}.md"))).unwrap());
            assert!(lines.len() > 2, "{lines:?}");
            for line in lines {
                assert!(printed.contains(&line.as_str()), "{}: {line}: {printed:#?}", pdf.display());
            }
        }
        // A box is as high as ascent and descent of the font together: 1.13 of its size in Liberation Mono.
        let boxes = poppler("pdftotext", &["-bbox", folder.join("abort-card.pdf").to_str().unwrap(), "-"]);
        let heights: Vec<f64> = word.captures_iter(&boxes).map(|it| it[2].parse::<f64>().unwrap() - it[1].parse::<f64>().unwrap()).collect();
        assert!(!heights.is_empty() && heights.iter().all(|height| *height >= 8.5), "{heights:?}");
    }
}

#[test]
fn on_a_phone_no_page_of_a_runbook_is_wider_than_the_screen() {
    let (_dir, folders) = runbooks(false);
    for folder in &folders {
        for name in ["runbook.html", "abort-card.html"] {
            let look = "async () => { document.querySelectorAll('script').forEach(it => it.remove()); const frame = document.createElement('iframe'); \
                        frame.style.width = '390px'; frame.style.height = '800px'; frame.srcdoc = document.documentElement.outerHTML; document.body.append(frame); \
                        await new Promise(done => frame.onload = done); const inner = frame.contentDocument; \
                        const row = inner.querySelector('.when tbody tr'); \
                        return [inner.documentElement.scrollWidth, inner.body.innerText.length > 200, row ? inner.defaultView.getComputedStyle(row).display : 'none'].join(' '); }";
            let said = run_in(&folder.join(name), "narrow", &[], &[], look);
            let row = if name == "runbook.html" { "block" } else { "none" };
            let width: u32 = said.split(' ').next().unwrap().parse().unwrap();
            assert!(width <= 390 && said.ends_with(&format!("true {row}")), "{}/{name}: {said}", folder.display());
        }
    }
}
