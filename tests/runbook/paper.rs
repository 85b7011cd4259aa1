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
    assert!(output.status.success(), "{}\n{said}{}", lines.join("\n"), String::from_utf8_lossy(&output.stderr));
    said
}
