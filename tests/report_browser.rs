//! What a real browser makes of `report.html`: it renders, says nothing on the console, prints, follows the colour scheme, and runs nothing.

#![allow(clippy::unwrap_used)] // also in what tests share

mod rehearsal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use firedrill::event::RunEvent;
use firedrill::report::html;
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
