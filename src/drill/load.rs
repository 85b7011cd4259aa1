//! Loading: paths to drills, environments, schedules and runs, with every mistake of every file at once.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::diagnostic::Diagnostic;
use super::rules;
use super::schema::{self, Kind};
use super::source::Source;
use super::spec::{API_VERSION, Drill, DrillRun, DrillSchedule, Environment};
use super::suggest::{did_you_mean, listed, short};
use super::tree::{self, Entry, Node, Value};

/// Most mistakes that are told of one file.
const MOST_TOLD: usize = 200;
/// Deepest folders that are entered, so that a loop of links ends.
const DEEPEST: usize = 32;

/// What a reader may accept beyond the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Regions that this build does not know (`--allow-unknown-region`).
    pub allow_unknown_region: bool,
}

/// A document, and where everything in it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The document.
    pub value: T,
    /// The file it came from.
    pub source: Arc<Source>,
    /// Every key and value with its position.
    pub tree: Node,
    /// The same as data, as it was read.
    pub data: Json,
}

impl<T> Deref for Located<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Everything that files said.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Drills.
    pub drills: Vec<Located<Drill>>,
    /// Environments.
    pub environments: Vec<Located<Environment>>,
    /// Schedules.
    pub schedules: Vec<Located<DrillSchedule>>,
    /// Runs.
    pub runs: Vec<Located<DrillRun>>,
    /// Errors and warnings, in the order of the files and of their lines.
    pub diagnostics: Vec<Diagnostic>,
    /// How many files were read.
    pub files: usize,
}

impl Loaded {
    /// Whether anything is wrong (warnings are not).
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads files, and all YAML files of folders. `-` is the standard input.
#[must_use]
pub fn load_paths(paths: &[PathBuf], options: &Options) -> Loaded {
    let mut loaded = Loaded::default();
    for path in paths {
        if !path.is_dir() {
            load_file(path, options, &mut loaded);
            continue;
        }
        let mut files = Vec::new();
        folder(path, DEEPEST, &mut files, &mut loaded.diagnostics);
        files.sort();
        if files.is_empty() {
            loaded.diagnostics.push(Diagnostic::of_file(path.display().to_string(), "no .yaml or .yml file in this folder"));
        }
        files.iter().for_each(|file| load_file(file, options, &mut loaded));
    }
    loaded
}

fn folder(path: &Path, depth: usize, files: &mut Vec<PathBuf>, found: &mut Vec<Diagnostic>) {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return found.push(Diagnostic::of_file(path.display().to_string(), format!("cannot be read: {}", error.kind()))),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if hidden {
            continue;
        }
        if path.is_dir() {
            // A link may lead back up.
            if depth > 0 && !path.is_symlink() {
                folder(&path, depth - 1, files, found);
            }
        } else if yaml {
            files.push(path);
        }
    }
}

fn load_file(path: &Path, options: &Options, loaded: &mut Loaded) {
    loaded.files += 1;
    match Source::read(path) {
        Ok(source) => load_source(source, options, loaded),
        Err(found) => loaded.diagnostics.push(found),
    }
}

/// Reads a text that is in memory.
#[must_use]
pub fn load_text(file: &str, text: &str, options: &Options) -> Loaded {
    let mut loaded = Loaded { files: 1, ..Loaded::default() };
    load_source(Source::of_text(file, text), options, &mut loaded);
    loaded
}

fn load_source(source: Source, options: &Options, loaded: &mut Loaded) {
    let (documents, mut found) = tree::parse(&source);
    // A mistake that is none of one document (an alias, a duplicate key) makes the whole file unusable.
    let usable = found.is_empty();
    if documents.is_empty() && usable {
        found.push(Diagnostic::of_file(&source.file, "no drill document found").with_help("a document has apiVersion, kind, metadata and spec"));
    }
    let source = Arc::new(source);
    let mut names: Vec<(Kind, String)> = Vec::new();
    for document in documents {
        let Some(kind) = kind_of(&document, &source, &mut found) else { continue };
        if let Some((name, node)) = document.get("metadata").and_then(|metadata| Some((metadata.text_of("name")?, metadata.get("name")?))) {
            if names.iter().any(|(other, known)| *other == kind && known == name) {
                found.push(Diagnostic::error(&source, node.at, format!("a second {} '{}' in this file", kind.name(), short(name))));
            }
            names.push((kind, name.to_owned()));
        }
        let (data, mut wrong) = schema::check(kind, &document, &source);
        wrong.extend(rules::check(kind, &document, &source, options));
        let clean = usable && !wrong.iter().any(Diagnostic::is_error);
        found.append(&mut wrong);
        if !clean {
            continue;
        }
        match kind {
            Kind::Drill => keep(document, data, &source, &mut loaded.drills, &mut found),
            Kind::Environment => keep(document, data, &source, &mut loaded.environments, &mut found),
            Kind::DrillSchedule => keep(document, data, &source, &mut loaded.schedules, &mut found),
            Kind::DrillRun => keep(document, data, &source, &mut loaded.runs, &mut found),
        }
    }
    loaded.diagnostics.extend(in_order(found, &source));
}

/// By line and column, without repetitions, and not without end.
fn in_order(mut found: Vec<Diagnostic>, source: &Source) -> Vec<Diagnostic> {
    found.sort_by_key(|one| (one.line, one.column));
    found.dedup();
    if found.len() > MOST_TOLD {
        let more = found.len() - MOST_TOLD;
        found.truncate(MOST_TOLD);
        found.push(Diagnostic::of_file(&source.file, format!("and {more} more")));
    }
    found
}

fn keep<T: DeserializeOwned>(tree: Node, data: Json, source: &Arc<Source>, into: &mut Vec<Located<T>>, found: &mut Vec<Diagnostic>) {
    match T::deserialize(&data) {
        Ok(value) => into.push(Located { value, source: source.clone(), tree, data }),
        // The schema and the types come from one definition; a difference is a defect, and told as an error all the same.
        Err(error) => found.push(Diagnostic::error(source, tree.at, error.to_string())),
    }
}

/// The kind of a document. Without one, or with another version, its fields mean nothing.
fn kind_of(document: &Node, source: &Source, found: &mut Vec<Diagnostic>) -> Option<Kind> {
    if !matches!(document.value, Value::Map(_)) {
        if document.value != Value::Refused {
            let message = format!("expected a document with apiVersion, kind, metadata and spec, found {}", document.described());
            found.push(Diagnostic::error(source, document.at, message));
        }
        return None;
    }
    let mut say = |entry: Option<&Entry>, message: String| {
        let at = entry.map_or(document.at, |entry| entry.node.at);
        found.push(Diagnostic::error(source, at, message));
    };
    let version = document.entry("apiVersion");
    let version_good = version.and_then(|entry| entry.node.text()) == Some(API_VERSION);
    match version {
        None => say(None, format!("missing field 'apiVersion'; this build knows {API_VERSION}")),
        Some(entry) if !version_good => {
            let given = entry.node.text().map(|text| format!(" '{}'", short(text))).unwrap_or_default();
            say(version, format!("unsupported apiVersion{given}; this build knows v1alpha1 ({API_VERSION})"));
        }
        Some(_) => {}
    }
    let names = Kind::ALL.map(Kind::name);
    let kind = document.entry("kind");
    let known = kind.and_then(|entry| entry.node.text()).and_then(|text| Kind::ALL.into_iter().find(|kind| kind.name() == text));
    match (known, kind.and_then(|entry| entry.node.text())) {
        (None, Some(text)) => say(kind, format!("unknown kind '{}'{}; kinds are {}", short(text), did_you_mean(text, names), listed(&names))),
        (None, None) => say(kind, format!("missing field 'kind'; kinds are {}", listed(&names))),
        (Some(_), _) => {}
    }
    known.filter(|_| version_good || version.is_none())
}

/// Reads the one drill of `FILE`, or the named one of `FILE#name`. Errors of the whole file count; warnings do not.
pub fn load_drill(path: &Path) -> Result<Located<Drill>, Vec<Diagnostic>> {
    load_drill_with(path, &Options::default())
}

/// The same with options.
pub fn load_drill_with(path: &Path, options: &Options) -> Result<Located<Drill>, Vec<Diagnostic>> {
    one_of(&path.display().to_string(), options, Kind::Drill, |loaded| loaded.drills, |drill| &drill.metadata.name)
}

/// Reads the one environment of `FILE`, or the named one of `FILE#name`. Errors of the whole file count; warnings do not.
pub fn load_environment(text: &str) -> Result<Located<Environment>, Vec<Diagnostic>> {
    load_environment_with(text, &Options::default())
}

/// The same with options.
pub fn load_environment_with(text: &str, options: &Options) -> Result<Located<Environment>, Vec<Diagnostic>> {
    one_of(text, options, Kind::Environment, |loaded| loaded.environments, |environment| &environment.metadata.name)
}

/// The schedules of a file, and the environments beside them.
#[derive(Debug)]
pub struct Schedules {
    /// Those that were asked for; at least one.
    pub schedules: Vec<Located<DrillSchedule>>,
    /// Every environment of the file.
    pub environments: Vec<Located<Environment>>,
}

/// Reads all schedules of `FILE`, or the named one of `FILE#name`. Errors of the whole file count; warnings do not.
pub fn load_schedules(text: &str, options: &Options) -> Result<Schedules, Vec<Diagnostic>> {
    let (file, wanted) = file_and_name(text);
    let mut loaded = load_one(file, options)?;
    let environments = std::mem::take(&mut loaded.environments);
    let schedules = match wanted {
        Some(_) => vec![pick(file, wanted, Kind::DrillSchedule, loaded.schedules, |schedule| &schedule.metadata.name)?],
        None if loaded.schedules.is_empty() => return Err(vec![none_of(file, Kind::DrillSchedule)]),
        None => loaded.schedules,
    };
    Ok(Schedules { schedules, environments })
}

fn one_of<T>(
    text: &str,
    options: &Options,
    kind: Kind,
    take: impl FnOnce(Loaded) -> Vec<Located<T>>,
    name_of: impl Fn(&T) -> &str,
) -> Result<Located<T>, Vec<Diagnostic>> {
    let (file, wanted) = file_and_name(text);
    pick(file, wanted, kind, take(load_one(file, options)?), name_of)
}

/// A file may have '#' in its name.
fn file_and_name(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('#').filter(|_| !Path::new(text).exists()) {
        Some((file, name)) => (file, Some(name)),
        None => (text, None),
    }
}

fn load_one(file: &str, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut loaded = Loaded::default();
    load_file(Path::new(file), options, &mut loaded);
    if loaded.has_errors() {
        loaded.diagnostics.retain(Diagnostic::is_error);
        return Err(loaded.diagnostics);
    }
    Ok(loaded)
}

fn none_of(file: &str, kind: Kind) -> Diagnostic {
    Diagnostic::of_file(file, format!("has no document of kind {}", kind.name()))
}

fn pick<T>(
    file: &str,
    wanted: Option<&str>,
    kind: Kind,
    mut all: Vec<Located<T>>,
    name_of: impl Fn(&T) -> &str,
) -> Result<Located<T>, Vec<Diagnostic>> {
    let names: Vec<String> = all.iter().map(|one| name_of(&one.value).to_owned()).collect();
    let wrong = |message: String| Err(vec![Diagnostic::of_file(file, message)]);
    match wanted {
        Some(wanted) => match names.iter().position(|name| name == wanted) {
            Some(index) => Ok(all.swap_remove(index)),
            None => wrong(format!("no {} '{}' in this file{}", kind.name(), short(wanted), did_you_mean(wanted, names.iter().map(String::as_str)))),
        },
        None if all.len() > 1 => wrong(format!("has {} documents of kind {}; name one: {file}#{}", all.len(), kind.name(), names[0])),
        None => all.pop().ok_or_else(|| vec![none_of(file, kind)]),
    }
}
