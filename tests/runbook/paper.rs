//! The runbook on paper: the commands that a person finds in it, typed into a shell that has no firedrill.
//!
//! Suites of a platform take it in with `#[path = "../runbook/paper.rs"] mod paper;`.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part, and tests panic

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The lines of every block of commands below a heading, until the next one of the same depth or less. `#` alone: of all blocks.
pub fn commands(markdown: &str, heading: &str) -> Vec<String> {
    blocks(markdown, heading).into_iter().flat_map(|(_, lines)| lines).collect()
}

/// What a person types who follows the abort card: its front from top to bottom, and a block of its back where a box says so.
pub fn card(markdown: &str) -> Vec<String> {
    let text = &markdown[markdown.find("## Abort card").unwrap()..];
    let text = &text[..text[3..].find("\n## ").map_or(text.len(), |end| end + 3)];
    let (front, back) = text.split_once("### Abort card, the back").unwrap_or((text, ""));
    let (mut lines, mut piece) = (Vec::new(), String::new());
    for line in front.lines() {
        piece.push_str(line);
        piece.push('\n');
        if let Some(rest) = line.strip_prefix("**On the back, block ") {
            lines.extend(commands(&std::mem::take(&mut piece), "#"));
            lines.extend(commands(back, &format!("#### Block {}:", &rest[..1])));
        }
    }
    lines.extend(commands(&piece, "#"));
    lines
}

/// The lines of every block below a heading that comes right after a line of text.
pub fn labelled(markdown: &str, heading: &str, label: &str) -> Vec<String> {
    blocks(markdown, heading).into_iter().filter(|(before, _)| before == label).flat_map(|(_, lines)| lines).collect()
}

/// Blocks with the last line of text before each.
pub fn blocks(markdown: &str, heading: &str) -> Vec<(String, Vec<String>)> {
    let depth = heading.chars().take_while(|c| *c == '#').count();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let (mut inside, mut before) = (heading == "#", String::new());
    let mut fence: Option<String> = None;
    for line in markdown.lines() {
        match &fence {
            Some(end) if line == end => fence = None,
            Some(_) if inside => found.last_mut().unwrap().1.push(line.to_owned()),
            Some(_) => {}
            None if line.starts_with("```") => {
                fence = Some(line.trim_end_matches("sh").to_owned());
                found.extend(inside.then(|| (before.clone(), Vec::new())));
            }
            None if line.starts_with('#') => {
                let own = line.chars().take_while(|c| *c == '#').count();
                inside = heading == "#" || line.starts_with(heading) || inside && own > depth;
            }
            None if !line.is_empty() => line.clone_into(&mut before),
            None => {}
        }
    }
    found
}

/// The text of each page of an HTML file on paper.
pub fn printed(page: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let pdf = dir.path().join("page.pdf");
    let run = |program: &str, arguments: &[String]| {
        let done = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let print = [format!("--print-to-pdf={}", pdf.display()), format!("file://{}", page.display())];
    let flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-pdf-header-footer"].map(str::to_owned);
    run("chromium", &[&flags[..], &[profile], &print].concat());
    let text = run("pdftotext", &["-layout".to_owned(), pdf.display().to_string(), "-".to_owned()]);
    text.trim_end_matches('\u{c}').split('\u{c}').map(str::to_owned).collect()
}

/// A process that ends with its test, also with one that fails.
pub struct Held(pub Child);

impl Drop for Held {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Types lines into one shell, with nothing on its path but these folders and the system's own. It ends at the first command that fails.
pub fn typed(lines: &[String], folders: &[&Path], environment: &[(String, String)]) -> Output {
    let path: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).chain(["/usr/bin".into(), "/bin".into()]).collect();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-e", "-c", &format!("! command -v firedrill\n{}", lines.join("\n"))])
        .env_clear()
        .env("PATH", path.join(":"))
        .env("HOME", home.path());
    command.envs(environment.iter().cloned()).stdin(Stdio::null()).output().unwrap()
}

/// The same; every command must succeed. What they said.
pub fn done(lines: &[String], folders: &[&Path], environment: &[(String, String)]) -> String {
    assert!(!lines.is_empty(), "there are no commands");
    let output = typed(lines, folders, environment);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // A loop goes on after a target that failed, and says so.
    let well = output.status.success() && !said.contains("FAILED ");
    assert!(well, "{}\n{said}{}", lines.join("\n"), String::from_utf8_lossy(&output.stderr));
    said
}
