//! The import direction: reads the layering table of `src/lib.rs` and every path of `src/**`, and fails on an arrow that the table forbids.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Lines that a file may have before its tests. Documentation of items does not count: nobody should write less of it to fit.
const MOST_LINES: usize = 450;

/// Outside crates that belong to one place each, so that the rest can be read and tested without them.
const HOMES: [(&str, &[&str]); 18] = [
    ("aws_config", &["aws"]),
    ("aws_sdk_autoscaling", &["aws", "fault::aws", "probe"]),
    ("aws_sdk_cloudwatch", &["aws", "fault::aws", "probe"]),
    ("aws_sdk_ec2", &["aws", "fault::aws", "probe"]),
    ("aws_sdk_fis", &["aws", "fault::aws", "probe"]),
    ("aws_sdk_iam", &["aws", "fault::aws", "probe"]),
    ("aws_sdk_route53", &["aws", "fault::aws", "probe"]),
    ("aws_sdk_scheduler", &["aws", "fault::aws", "probe"]),
    ("aws_sdk_sts", &["aws"]),
    ("clap", &["cli"]),
    ("console", &["report", "cli"]),
    ("handlebars", &["report", "runbook"]),
    ("indicatif", &["report", "cli"]),
    ("jsonschema", &["drill"]),
    ("k8s_openapi", &["cluster", "fault::kubernetes", "probe"]),
    ("kube", &["cluster"]),
    ("rusqlite", &["journal"]),
    ("serde_saphyr", &["drill", "operator", "sandbox"]),
];

/// Modules that get `now` as an argument and touch nothing: a stored run can be scored again, the machine tested by calling it.
const PURE: [&str; 3] = ["drill::schedule", "engine::machine", "score"];

/// What a pure module does not name.
const IMPURE: [&str; 11] = ["tokio", "fs", "net", "process", "env", "Instant", "SystemTime", "Utc", "Clock", "rand", "reqwest"];

#[test]
fn no_module_imports_what_the_table_forbids() {
    let table = Table::of(&read(&root().join("src/lib.rs"))).unwrap();
    let sources = library_sources();
    let macros: BTreeSet<String> = sources.iter().flat_map(|source| source.exported_macros()).collect();
    let found: Vec<String> = sources.iter().flat_map(|source| table.check(source, &macros)).map(|arrow| arrow.to_string()).collect();
    assert!(sources.len() > 20, "only {} files were read", sources.len());
    assert!(found.is_empty(), "forbidden arrows:\n{}", found.join("\n"));
}

#[test]
fn the_table_names_every_module_and_only_modules() {
    let library = read(&root().join("src/lib.rs"));
    let table = Table::of(&library).unwrap();
    let declared: BTreeSet<&str> = library.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.split([';', ' ', '{']).next()).collect();
    let rows: BTreeSet<&str> = table.rows.iter().map(|(from, _)| from[0].as_str()).collect();
    assert_eq!(declared, rows, "left: modules of src/lib.rs, right: rows of its table");
    let named = table.rows.iter().flat_map(|(from, to)| std::iter::once(from).chain(to)).filter(|path| path[0] != "*");
    let missing: Vec<String> = named.filter(|path| !is_module(path)).map(|path| path.join("::")).collect();
    assert!(missing.is_empty(), "the table names modules that do not exist: {missing:?}");
}

#[test]
fn outside_crates_stay_where_they_belong() {
    let mut found = Vec::new();
    for source in library_sources() {
        for (line, first) in source.outside_paths() {
            let Some((name, homes)) = HOMES.iter().find(|(name, _)| *name == first) else { continue };
            if !homes.iter().any(|home| starts_with(&source.module, &split(home))) {
                found.push(format!("{}:{line}: {name} belongs to {}", source.path.display(), homes.join(", ")));
            }
        }
    }
    assert!(found.is_empty(), "outside crates used outside their place:\n{}", found.join("\n"));
}

#[test]
fn pure_modules_read_no_clock_and_touch_nothing() {
    let mut found = Vec::new();
    let sources = library_sources();
    let tests: Vec<Modules> = sources.iter().flat_map(Source::test_modules).collect();
    let pure = |source: &&Source| PURE.iter().any(|pure| starts_with(&source.module, &split(pure)));
    let test = |source: &&Source| tests.iter().any(|test| starts_with(&source.module, test));
    for source in sources.iter().filter(|source| pure(source) && !test(source)) {
        for token in source.tokens.iter().take_while(|token| token.line < source.first_test_line()) {
            if IMPURE.contains(&token.text.as_str()) {
                found.push(format!("{}:{}: {} in a pure module", source.path.display(), token.line, token.text));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_opens_with_a_sentence_and_stays_readable() {
    let mut found = Vec::new();
    for path in ["src", "tests", "benches", "examples"].iter().flat_map(|folder| rust_files(&root().join(folder))) {
        let text = read(&path);
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let opening: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
        if !opening.join(" ").contains('.') {
            found.push(format!("{name}:1: does not open with a `//!` sentence that says its job"));
        }
        let lines = countable_lines(&text);
        if name.starts_with("src/") && lines > MOST_LINES {
            found.push(format!("{name}: {lines} lines before its tests; at most {MOST_LINES}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_forbidden_arrow_is_found_with_its_file_and_line() {
    let table = Table::of("//! ```text layering\n//! low  ->\n//! high -> low::plain\n//! top  -> *\n//! ```").unwrap();
    let found = |path: &str, text: &str| -> Vec<String> {
        let macros = BTreeSet::from(["choice".to_owned()]);
        table.check(&Source::new(path, text), &macros).iter().map(|arrow| arrow.to_string()).collect()
    };
    let seen = found("src/low/mod.rs", "//! Low.\n\nuse crate::high::Thing;\n");
    assert_eq!(seen, ["src/low/mod.rs:3: low -> high::Thing"]);
    // Every way to write a path is seen.
    for line in [
        "use crate::high;",
        "use crate::{high::A, low::B};",
        "use crate::{low::{B, C}, high::*};",
        "pub use crate::high::A as B;",
        "fn f(x: &crate::high::A) {}",
        "fn f() { crate::high::g::<u8>() }",
        "mod tests { use super::super::high::A; }",
        "use super::super::high;",
    ] {
        let file = if line.starts_with("use super") { "src/low/deep.rs" } else { "src/low.rs" };
        assert_eq!(found(file, line).len(), 1, "{line}");
    }
    // What is no arrow is left alone.
    for line in [
        "// use crate::high;",
        "/* crate::high /* nested */ crate::high */",
        "const TEXT: &str = \"use crate::high;\";",
        "const TEXT: &str = r#\"a \" crate::high\"#;",
        "const QUOTE: char = '\"'; const LIFE: &'static str = \"crate::high\";",
        "use crate::low::deeper::A;",
        "pub(crate) fn f() {}",
        "crate::choice! {}",
        "use other::crates::high;",
        "mod tests { use super::*; }",
        "mod tests { mod deeper { use super::super::high; } }",
    ] {
        assert_eq!(found("src/low.rs", line), Vec::<String>::new(), "{line}");
    }
    // A grant of a submodule is a grant of that submodule, and nothing beside it.
    assert_eq!(found("src/high.rs", "use crate::low::plain::A;"), Vec::<String>::new());
    assert_eq!(found("src/high.rs", "use crate::low::{plain, other::B};"), ["src/high.rs:1: high -> low::other::B"]);
    assert_eq!(found("src/high.rs", "use crate::low::{self, plain};"), ["src/high.rs:1: high -> low"]);
    assert_eq!(found("src/high.rs", "use crate::lower;"), ["src/high.rs:1: high -> lower"]);
    assert_eq!(found("src/high.rs", "use super::*;"), ["src/high.rs:1: high -> *"]);
    assert_eq!(found("src/top.rs", "use crate::{low, high::A};"), Vec::<String>::new());
    assert_eq!(found("src/unlisted.rs", "use crate::low;"), ["src/unlisted.rs:1: unlisted -> low"]);
}

#[test]
fn a_table_that_cannot_be_read_is_an_error() {
    assert!(Table::of("//! no table here").is_err());
    assert!(Table::of("//! ```text layering\n//! low high\n//! ```").is_err());
    assert!(Table::of("//! ```text layering\n//! ```").is_err());
}

/// A path of modules, `["fault", "params"]`.
type Modules = Vec<String>;

/// Who may import whom.
struct Table {
    rows: Vec<(Modules, Vec<Modules>)>,
}

impl Table {
    /// Reads the block that opens with "```text layering" in a file's `//!` lines.
    fn of(library: &str) -> Result<Self, String> {
        let mut lines = library.lines().map(|line| line.trim_start_matches("//!").trim());
        lines.by_ref().find(|line| *line == "```text layering").ok_or("no layering table")?;
        let rows: Vec<_> = lines
            .take_while(|line| *line != "```")
            .map(|line| {
                let (from, to) = line.split_once("->").ok_or(format!("no arrow in '{line}'"))?;
                Ok((split(from.trim()), to.split_whitespace().map(split).collect()))
            })
            .collect::<Result<_, String>>()?;
        if rows.is_empty() { Err("the layering table is empty".to_owned()) } else { Ok(Self { rows }) }
    }

    /// Every arrow of a file that no row allows.
    fn check(&self, source: &Source, macros: &BTreeSet<String>) -> Vec<Arrow> {
        let row = self.rows.iter().filter(|(from, _)| starts_with(&source.module, from)).max_by_key(|(from, _)| from.len());
        let allowed = |to: &Modules| {
            to.first() == source.module.first()
                || to.len() == 1 && macros.contains(&to[0])
                || row.is_some_and(|(_, grants)| grants.iter().any(|grant| grant[0] == "*" || starts_with(to, grant)))
        };
        let arrow = |(line, to): (usize, Modules)| Arrow {
            file: source.path.clone(),
            line,
            from: source.module.join("::"),
            to: if to.is_empty() { "*".to_owned() } else { to.join("::") },
        };
        source.inside_paths().into_iter().filter(|(_, to)| !allowed(to)).map(arrow).collect()
    }
}

/// An import that the table does not allow.
struct Arrow {
    file: PathBuf,
    line: usize,
    from: String,
    to: String,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} -> {}", self.file.display(), self.line, self.from, self.to)
    }
}

/// A word or a sign, without comments and literals.
struct Token {
    line: usize,
    text: String,
}

/// A file of the library.
struct Source {
    path: PathBuf,
    module: Modules,
    text: String,
    tokens: Vec<Token>,
}

impl Source {
    /// `path` starts with `src/`.
    fn new(path: &str, text: &str) -> Self {
        let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
        let module = inner.split('/').filter(|part| !["mod", "lib"].contains(part)).map(str::to_owned).collect();
        Self { path: path.into(), module, text: text.to_owned(), tokens: tokens(text) }
    }

    fn first_test_line(&self) -> usize {
        self.text.lines().position(|line| line.trim() == "#[cfg(test)]").map_or(usize::MAX, |at| at + 1)
    }

    /// Modules in files of their own that are only compiled for tests: `#[cfg(test)] mod bank;`.
    fn test_modules(&self) -> Vec<Modules> {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let declared = |at: usize| {
            let attribute = ["#", "[", "cfg", "(", "test", ")", "]", "mod"].iter().enumerate().all(|(offset, word)| text(at + offset) == *word);
            (attribute && text(at + 9) == ";").then(|| [self.module.as_slice(), &[text(at + 8).to_owned()]].concat())
        };
        (0..self.tokens.len()).filter_map(declared).collect()
    }

    fn exported_macros(&self) -> Vec<String> {
        let named = |three: &[Token]| (three[0].text == "macro_rules" && three[1].text == "!").then(|| three[2].text.clone());
        self.tokens.windows(3).filter_map(named).collect()
    }

    /// Every path that starts at the crate's root, written with `crate` or `super`, with its line.
    fn inside_paths(&self) -> Vec<(usize, Modules)> {
        let mut paths = Vec::new();
        let mut inline: Vec<usize> = Vec::new();
        let mut depth = 0;
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let mut at = 0;
        while at < self.tokens.len() {
            match text(at) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    inline.pop_if(|opened| *opened > depth);
                }
                "mod" if text(at + 2) == "{" => {
                    inline.push(depth + 1);
                }
                "crate" if text(at + 1) == "::" => at = self.tree(at + 2, &[], &mut paths) - 1,
                "super" if text(at + 1) == "::" => {
                    let mut ups = 1;
                    while text(at + 2 * ups) == "super" && text(at + 2 * ups + 1) == "::" {
                        ups += 1;
                    }
                    let kept = (self.module.len() + inline.len()).saturating_sub(ups).min(self.module.len());
                    at = self.tree(at + 2 * ups, &self.module[..kept], &mut paths) - 1;
                }
                _ => {}
            }
            at += 1;
        }
        paths
    }

    /// Reads `a::b`, `{a, b::c}`, `*` at `at`; gives where it ends.
    fn tree(&self, mut at: usize, prefix: &[String], paths: &mut Vec<(usize, Modules)>) -> usize {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        let mut path = prefix.to_vec();
        loop {
            match text(at) {
                "{" => {
                    at += 1;
                    while !["}", ""].contains(&text(at)) {
                        at = match text(at) {
                            word if is_word(word) || word == "*" || word == "{" => self.tree(at, &path, paths),
                            _ => at + 1,
                        };
                    }
                    return at + 1;
                }
                "*" | "self" => at += 1,
                word if is_word(word) => {
                    path.push(word.to_owned());
                    at += 1;
                    if text(at) == "::" && (is_word(text(at + 1)) || ["{", "*"].contains(&text(at + 1))) {
                        at += 1;
                        continue;
                    }
                    if text(at) == "as" {
                        at += 2;
                    }
                }
                _ => {}
            }
            paths.push((line, path));
            return at;
        }
    }

    /// The first word of every path that starts outside: `use kube::Client`, `kube::Client::new()`.
    fn outside_paths(&self) -> Vec<(usize, &str)> {
        let starts = |at: &usize| {
            let before = at.checked_sub(1).map_or("", |before| self.tokens[before].text.as_str());
            let after = self.tokens.get(at + 1).map_or("", |after| after.text.as_str());
            before != "::" && is_word(&self.tokens[*at].text) && (after == "::" || before == "use")
        };
        (0..self.tokens.len()).filter(starts).map(|at| (self.tokens[at].line, self.tokens[at].text.as_str())).collect()
    }
}

/// Words and signs of Rust text; comments, strings and characters are left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let bytes = text.as_bytes();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80).count();
        let hashes = rest[word..].bytes().take_while(|b| *b == b'#').count();
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if ["r", "br", "cr"].contains(&&rest[..word]) && rest[word + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = word + hashes + 1;
            open + rest[open..].find(&close).map_or(rest.len() - open, |end| end + close.len())
        } else if &rest[..word] == "r" && hashes == 1 {
            2
        } else if word > 0 {
            tokens.push(Token { line, text: rest[..word].to_owned() });
            word
        } else if rest.starts_with('"') {
            quoted(rest, '"')
        } else if rest.starts_with('\'') && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            quoted(rest, '\'')
        } else {
            let sign = if rest.starts_with("::") { 2 } else { rest.chars().next().map_or(1, char::len_utf8) };
            if !rest[..sign].trim().is_empty() {
                tokens.push(Token { line, text: rest[..sign].to_owned() });
            }
            sign
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn split(path: &str) -> Modules {
    path.split("::").map(str::to_owned).collect()
}

fn starts_with(path: &[String], prefix: &[String]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(a, b)| a == b)
}

fn is_module(path: &[String]) -> bool {
    let inner = root().join("src").join(path.join("/"));
    inner.join("mod.rs").is_file() || inner.with_extension("rs").is_file()
}

fn countable_lines(text: &str) -> usize {
    let documentation = |line: &&str| ["///", "//!"].iter().any(|mark| line.trim_start().starts_with(mark));
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").filter(|line| !documentation(line)).count()
}

fn library_sources() -> Vec<Source> {
    let files = rust_files(&root().join("src")).into_iter();
    let named = files.map(|file| (file.strip_prefix(root()).expect("below the root").display().to_string(), read(&file)));
    named.filter(|(name, _)| !["src/lib.rs", "src/main.rs"].contains(&name.as_str())).map(|(name, text)| Source::new(&name, &text)).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
