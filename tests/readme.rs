//! The documents: every command, flag, file, link, exit code and dependency that they name exists, and the tables equal the code's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use firedrill::cli::Cli;
use firedrill::exit::Exit;

/// Folders whose files the documents name by path.
const FOLDERS: [&str; 9] = [".ci/", "benches/", "docs/", "drills/", "examples/", "scripts/", "src/", "tests/", "charts/"];

#[test]
fn exit_codes_are_the_same_in_readme_help_and_code() {
    let readme = read("README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Exit codes")).expect("README.md has a section 'Exit codes'");
    let rows: Vec<(String, String)> = section.lines().filter_map(exit_row).collect();
    let table: Vec<(String, String)> = Exit::TABLE.iter().map(|(exit, meaning)| (exit.code().to_string(), (*meaning).to_owned())).collect();
    assert_eq!(rows, table, "left: README.md, right: src/exit.rs");

    let output = Command::new(env!("CARGO_BIN_EXE_firedrill")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for (code, meaning) in &table {
        let row = format!("{code:>2}  {meaning}");
        assert!(help.lines().any(|line| line.trim() == row.trim()), "`firedrill --help` has no row '{row}':\n{help}");
    }
}

#[test]
fn every_command_and_flag_in_the_documents_exists() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for document in documents() {
        for command in read(&document).as_str().commands() {
            match unknown_part(&command) {
                Some(part) => wrong.push(format!("{document}: `{command}`: no {part}")),
                None => _ = seen.insert(command.split_whitespace().nth(1).unwrap_or_default().to_owned()),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for subcommand in Cli::command().get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        assert!(seen.contains(subcommand.get_name()), "no document shows `firedrill {}`", subcommand.get_name());
    }
}

#[test]
fn every_file_that_the_documents_name_exists() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = read(&document);
        for file in text.as_str().files().into_iter().filter(|file| !root().join(file).exists()) {
            missing.push(format!("{document}: {file}"));
        }
        let folder = Path::new(&document).parent().unwrap();
        for link in text.as_str().links() {
            let (file, heading) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = if file.is_empty() { PathBuf::from(&document) } else { folder.join(file) };
            if !root().join(&target).exists() {
                missing.push(format!("{document}: link to {link}"));
            } else if !heading.is_empty() && !read(&target.display().to_string()).as_str().headings().contains(heading) {
                missing.push(format!("{document}: link to {link}: no such heading"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_dependency_table_equals_cargo_toml() {
    // What the fuzz package takes is listed too: it is in Cargo.lock, and `deny.toml` judges it. This crate itself is no outside crate.
    let manifest = read("Cargo.toml") + &read("tests/fuzz/Cargo.toml").replace("firedrill = ", "# ");
    let mut declared = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = ["[dependencies]", "[dev-dependencies]"].contains(&line);
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside && !line.starts_with('#')) {
            declared.insert(name.trim().to_owned());
        }
    }
    let document = read("docs/dependencies.md");
    let rows = document.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 2);
    let listed: BTreeSet<String> = rows.flat_map(|row| row.split(" | ").nth(1).unwrap_or_default().spans()).collect();
    // What a package takes from the other is not from outside.
    declared.remove("firedrill");
    assert!(declared.len() > 20);
    assert_eq!(declared, listed, "left: Cargo.toml, right: second column of docs/dependencies.md");
}

#[test]
fn every_drill_shown_or_shipped_is_valid_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = vec![root().join("drills"), root().join("benches/validate/drill.yaml")];
    for document in documents() {
        let text = read(&document);
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        // An approval is an object of a cluster, and no file.
        let files = blocks.filter(|block| block.contains("apiVersion: firedrill.dev/") && !block.contains("kind: DrillApproval"));
        for (number, block) in files.enumerate() {
            let file = folder.path().join(format!("{}-{number}.yaml", document.replace('/', "-")));
            std::fs::write(&file, block).unwrap();
            checked.push(file);
        }
    }
    assert!(checked.len() > 2, "no document shows a drill");
    let output = Command::new(env!("CARGO_BIN_EXE_firedrill")).args(["validate", "--strict"]).args(&checked).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&said));
}

/// The file is compiled and tested as a module of `src/fault/gateway/mod.rs`.
#[test]
fn the_worked_example_of_contributing_is_the_file_that_is_compiled() {
    let text = read("CONTRIBUTING.md");
    let blocks: Vec<&str> = text.split("```rust\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(blocks.join("\n\n").trim(), read("docs/worked-example/no_credentials.rs").trim(), "left: the blocks of CONTRIBUTING.md");
    assert!(read("src/fault/gateway/mod.rs").contains("docs/worked-example/no_credentials.rs"));
}

#[test]
fn the_licence_is_the_one_that_cargo_toml_names() {
    assert!(read("Cargo.toml").contains("license = \"Apache-2.0\""));
    let licence = read("LICENSE");
    assert!(licence.contains("Apache License\n                           Version 2.0, January 2004"));
    assert!(licence.contains("Copyright 2026 The firedrill authors"));
}

#[test]
fn a_wrong_command_flag_or_path_is_found() {
    assert_eq!(unknown_part("firedrill frobnicate"), Some("subcommand 'frobnicate'".to_owned()));
    assert_eq!(unknown_part("firedrill sweep --frob"), Some("flag '--frob'".to_owned()));
    assert_eq!(unknown_part("firedrill sweep --env=FILE"), None);
    assert_eq!(unknown_part("firedrill"), None);
    assert_eq!(unknown_part("firedrill --version"), None);
    let text = "See `firedrill plan a.yaml` and [x](docs/a.md#b).\n<!-- `firedrill old` -->\n```sh\n$ firedrill run d.yaml # starts\ncargo run --release -- status\n./scripts/test\n```\n";
    assert_eq!(text.commands(), ["firedrill plan a.yaml", "firedrill run d.yaml", "firedrill status"]);
    assert_eq!(text.links(), ["docs/a.md#b"]);
    assert_eq!(text.files(), ["scripts/test"]);
    assert_eq!("# A `b`: c, d\n".headings(), BTreeSet::from(["a-b-c-d".to_owned()]));
}

/// What the tests read out of Markdown; comments are left out.
trait Markdown {
    /// Commands of firedrill in code spans and code blocks, `cargo run --release --` spelt as `firedrill`.
    fn commands(&self) -> Vec<String>;
    /// Paths below [`FOLDERS`] in code.
    fn files(&self) -> Vec<String>;
    /// Targets of links and images inside this repository.
    fn links(&self) -> Vec<String>;
    /// Anchors of headings.
    fn headings(&self) -> BTreeSet<String>;
    /// Text of code spans.
    fn spans(&self) -> Vec<String>;
}

impl Markdown for &str {
    fn commands(&self) -> Vec<String> {
        let spelt = |line: String| {
            let line = line.trim().trim_start_matches("$ ").replacen("cargo run --release --", "firedrill", 1);
            let line = line.split(" # ").next().unwrap_or_default().trim_end_matches(" &").trim().to_owned();
            (line == "firedrill" || line.starts_with("firedrill ")).then_some(line)
        };
        code(self).into_iter().filter_map(spelt).collect()
    }

    fn files(&self) -> Vec<String> {
        let words = code(self).into_iter().flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let trimmed = words.map(|word| word.trim_matches(|c: char| ",;:()\"'".contains(c)).trim_start_matches("./").to_owned());
        trimmed.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '<', '…'])).collect()
    }

    fn links(&self) -> Vec<String> {
        let text = without_comments(self);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned));
        targets.filter(|target| !target.contains("://")).collect()
    }

    fn headings(&self) -> BTreeSet<String> {
        let slug = |line: &str| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        self.lines().filter(|line| line.starts_with('#')).map(slug).collect()
    }

    fn spans(&self) -> Vec<String> {
        self.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }
}

/// Lines of code blocks that are not data, and code spans, in order.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<bool> = None;
    for line in without_comments(text).lines() {
        match (block, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => block = Some(["", "sh", "console", "text"].contains(&language)),
            (Some(_), Some(_)) => block = None,
            (Some(true), None) => found.push(line.to_owned()),
            (Some(false), None) => {}
            (None, None) => found.extend(line.spans()),
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = after.split_once("-->").expect("a comment ends").1;
    }
    kept + rest
}

/// What a command line of firedrill names that the binary does not know.
fn unknown_part(line: &str) -> Option<String> {
    let mut cli = Cli::command();
    cli.build();
    let mut words = line.split_whitespace().skip(1).peekable();
    let mut command = &cli;
    while let Some(first) = words.peek().filter(|_| command.has_subcommands()).filter(|word| !word.starts_with('-')) {
        match command.find_subcommand(first) {
            Some(found) => command = found,
            None => return Some(format!("subcommand '{first}'")),
        }
        words.next();
    }
    let known = |flag: &str| command.get_arguments().any(|argument| argument.get_long() == Some(flag.trim_start_matches('-')));
    words
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split(['=', ']', '|']).next().unwrap_or(word))
        .find(|flag| !known(flag))
        .map(|flag| format!("flag '{flag}'"))
}

fn exit_row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
    let (code, meaning) = (cells.next()?.trim(), cells.next()?.trim());
    code.parse::<u8>().ok().map(|_| (code.to_owned(), meaning.to_owned()))
}

/// README, CONTRIBUTING and docs/*.md, as paths from the root.
fn documents() -> Vec<String> {
    let folder = std::fs::read_dir(root().join("docs")).expect("a folder docs");
    let names = folder.map(|entry| format!("docs/{}", entry.expect("a readable folder").file_name().display()));
    let mut documents: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    documents.extend(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]);
    documents.sort();
    assert!(documents.len() >= 8, "{documents:?}");
    documents
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
