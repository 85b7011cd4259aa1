//! The generated schema: every error of a document with its path, told in a reader's words; and a walk over a tree that knows each value's type.
//!
//! One schema serves files, editors (`firedrill schema`) and custom resources. What the schema cannot say, the rules do.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value as Json, json};

use super::diagnostic::Diagnostic;
use super::lookup;
use super::source::Source;
use super::spec::{Drill, DrillRun, DrillSchedule, Environment};
use super::suggest::{did_you_mean, listed, short};
use super::text::{DurationText, Percent};
use super::tree::{Entry, Node, Place, Value};

/// The four kinds of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// *What* is rehearsed.
    Drill,
    /// *Where*.
    Environment,
    /// *When*.
    DrillSchedule,
    /// *One run*.
    DrillRun,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Drill, Self::Environment, Self::DrillSchedule, Self::DrillRun];

    /// As written in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drill => "Drill",
            Self::Environment => "Environment",
            Self::DrillSchedule => "DrillSchedule",
            Self::DrillRun => "DrillRun",
        }
    }

    fn checked(self) -> Option<&'static Checked> {
        static DRILL: LazyLock<Option<Checked>> = LazyLock::new(Checked::of::<Drill>);
        static ENVIRONMENT: LazyLock<Option<Checked>> = LazyLock::new(Checked::of::<Environment>);
        static SCHEDULE: LazyLock<Option<Checked>> = LazyLock::new(Checked::of::<DrillSchedule>);
        static RUN: LazyLock<Option<Checked>> = LazyLock::new(Checked::of::<DrillRun>);
        let checked = match self {
            Self::Drill => &DRILL,
            Self::Environment => &ENVIRONMENT,
            Self::DrillSchedule => &SCHEDULE,
            Self::DrillRun => &RUN,
        };
        checked.as_ref()
    }

    /// The schema of the kind, as editors read it.
    #[must_use]
    pub fn schema(self) -> Json {
        self.checked().map_or(Json::Null, |checked| checked.schema.clone())
    }
}

/// Fields that point a kind at its targets and are neither the name of a place nor a selector.
const SCOPES: [&str; 6] = ["services", "service", "region", "template", "group", "edge"];

/// A schema and its compiled form.
struct Checked {
    schema: Json,
    validator: Validator,
}

impl Checked {
    fn of<T: JsonSchema>() -> Option<Self> {
        let settings = SchemaSettings::draft2020_12().for_deserialize().with_transform(RecursiveTransform(bounded));
        let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        // As draft 7, whose metaschema compiles in a tenth of the time: at every start of `validate` that is a third of the whole. The two drafts
        // differ where constraints stand beside a `$ref`; `tests/validate.rs` shows that none does.
        let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema).ok()?;
        Some(Self { schema, validator })
    }
}

/// Makes a generated schema one that files and custom resources share: nothing is nullable, every choice of words is an `enum`, and every string,
/// list and map has a bound, its own or the default.
pub fn bounded(schema: &mut Schema) {
    let Some(map) = schema.as_object_mut() else { return };
    let null = json!({"type": "null"});
    if let Some(Json::Array(options)) = map.get("anyOf")
        && let [one, other] = options.as_slice()
        && *other == null
        && let Json::Object(inner) = one.clone()
    {
        map.remove("anyOf");
        for (key, value) in inner {
            map.entry(key).or_insert(value);
        }
    }
    if let Some(Json::Array(options)) = map.get("oneOf")
        && let Some(words) = options
            .iter()
            .map(|option| option.get("const").cloned().map(|word| vec![word]).or_else(|| Some(option.get("enum")?.as_array()?.clone())))
            .collect::<Option<Vec<_>>>()
    {
        map.remove("oneOf");
        map.insert("type".to_owned(), json!("string"));
        map.insert("enum".to_owned(), Json::Array(words.concat()));
    }
    if let Some(Json::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            map.insert("type".to_owned(), one);
        }
    }
    if map.get("default").is_some_and(Json::is_null) {
        map.remove("default");
    }
    let is = |map: &serde_json::Map<String, Json>, name: &str| match map.get("type") {
        Some(Json::String(one)) => one == name,
        Some(Json::Array(many)) => many.iter().any(|one| one == name),
        _ => false,
    };
    if is(map, "string") && !map.contains_key("enum") {
        map.entry("maxLength").or_insert(json!(1024));
    }
    if is(map, "array") {
        map.entry("maxItems").or_insert(json!(64));
    }
    if is(map, "object") && map.contains_key("additionalProperties") && !map.contains_key("properties") {
        map.entry("maxProperties").or_insert(json!(64));
    }
}

/// A value met on a walk: what the schema says about it.
#[derive(Clone, Copy)]
pub struct Met<'a> {
    /// Its type's name in the schema: `Duration`, `Step`, `FaultSpec`; empty for plain values.
    pub definition: &'a str,
    /// The format of a string: `aws-region`, `probe-url`. Of a list or map: of its strings.
    pub format: &'a str,
    /// The key that it is the value of; for items of a list, the list's.
    pub key: &'a str,
    /// Where that key is; the value itself in lists.
    pub key_at: Place,
    /// The value.
    pub node: &'a Node,
}

/// Walks a document of a kind with its schema in hand. Unknown fields are not entered.
pub fn walk(kind: Kind, document: &Node, visit: &mut dyn FnMut(Met<'_>)) {
    if let Some(checked) = kind.checked() {
        let met = Met { definition: "", format: "", key: "", key_at: document.at, node: document };
        step(&checked.schema, &checked.schema, met, visit);
    }
}

fn step(root: &Json, schema: &Json, met: Met<'_>, visit: &mut dyn FnMut(Met<'_>)) {
    let (definition, target) = resolve(root, schema);
    let format = [schema, target].iter().find_map(|schema| schema.get("format")?.as_str()).unwrap_or(met.format);
    let met = Met { definition: if definition.is_empty() { "" } else { definition }, format, ..met };
    visit(met);
    match &met.node.value {
        Value::Map(entries) => {
            for Entry { key, at, node } in entries {
                let property = target.get("properties").and_then(|properties| properties.get(key));
                let other = || target.get("additionalProperties").filter(|other| other.is_object());
                if let Some(inner) = property.or_else(other) {
                    let format = if property.is_some() { "" } else { format };
                    step(root, inner, Met { definition: "", format, key, key_at: *at, node }, visit);
                }
            }
        }
        Value::List(items) => {
            if let Some(inner) = target.get("items") {
                for node in items {
                    step(root, inner, Met { definition: "", format, key: met.key, key_at: node.at, node }, visit);
                }
            }
        }
        _ => {}
    }
}

/// Follows a reference; its name, and the schema that it names.
fn resolve<'a>(root: &'a Json, schema: &'a Json) -> (&'a str, &'a Json) {
    let name = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
    match name.and_then(|name| Some((name, root.get("$defs")?.get(name)?))) {
        Some(found) => found,
        None => ("", schema),
    }
}

/// Every error of a document against its schema, and the document as data.
///
/// A string that is wholly a look-up stands for a list where one is wanted: it becomes a list of itself.
pub fn check(kind: Kind, document: &Node, source: &Source) -> (Json, Vec<Diagnostic>) {
    let mut data = document.to_json();
    let Some(checked) = kind.checked() else {
        return (data, vec![Diagnostic::of_file(&source.file, "the schema of this build does not compile")]);
    };
    let mut found = Vec::new();
    let mut lists = Vec::new();
    for error in checked.validator.iter_errors(&data) {
        let path: Vec<Segment> = error.instance_path().segments().map(Segment::of).collect();
        let spot = Spot::find(&checked.schema, document, path);
        if spot.node.value == Value::Refused {
            continue;
        }
        if wants_list(&error) && spot.node.text().is_some_and(lookup::whole) {
            lists.push(error.instance_path().as_str().to_owned());
            continue;
        }
        spot.tell(&error, source, &mut found);
    }
    for path in lists {
        if let Some(value) = data.pointer_mut(&path) {
            *value = json!([value.clone()]);
        }
    }
    (data, found)
}

fn wants_list(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Type { kind: TypeKind::Single(wanted) } if wanted.to_string() == "array")
}

enum Segment {
    Key(String),
    Index(usize),
}

impl Segment {
    fn of(segment: LocationSegment<'_>) -> Self {
        match segment {
            LocationSegment::Property(key) => Self::Key(key.into_owned()),
            LocationSegment::Index(index) => Self::Index(index),
        }
    }
}

/// The place of an error: the value, its type, and what is around it.
struct Spot<'a> {
    node: &'a Node,
    /// The place of the value's key, where it has one.
    key_at: Place,
    definition: &'a str,
    schema: &'a Json,
    /// The step that it is in.
    step: Option<&'a str>,
    /// True in the parameters of a fault or an action.
    in_kind: bool,
    key: String,
}

impl<'a> Spot<'a> {
    fn find(root: &'a Json, document: &'a Node, path: Vec<Segment>) -> Self {
        let mut spot = Self { node: document, key_at: document.at, definition: "", schema: root, step: None, in_kind: false, key: String::new() };
        for segment in path {
            match segment {
                Segment::Key(key) => {
                    let Some(entry) = spot.node.entry(&key) else { break };
                    let schema =
                        spot.schema.get("properties").and_then(|properties| properties.get(&key)).or_else(|| spot.schema.get("additionalProperties"));
                    spot.in_kind |= matches!(spot.definition, "FaultSpec" | "ActionSpec");
                    (spot.definition, spot.schema) = resolve(root, schema.unwrap_or(&Json::Null));
                    (spot.node, spot.key_at, spot.key) = (&entry.node, entry.at, key);
                }
                Segment::Index(index) => {
                    let Some(item) = spot.node.items().get(index) else { break };
                    (spot.definition, spot.schema) = resolve(root, spot.schema.get("items").unwrap_or(&Json::Null));
                    (spot.node, spot.key_at) = (item, item.at);
                }
            }
            if spot.definition == "Step" {
                spot.step = spot.node.text_of("id");
            }
        }
        spot
    }

    fn tell(&self, error: &ValidationError<'_>, source: &Source, found: &mut Vec<Diagnostic>) {
        let at = self.node.at;
        let say = |at: Place, message: String| Diagnostic::error(source, at, message);
        let quoted = || self.node.text().map(|text| format!("'{}'", short(text))).unwrap_or_else(|| "the value".to_owned());
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                found.extend(unexpected.iter().filter_map(|key| self.node.entry(key)).map(|entry| self.unknown_field(entry, source)));
            }
            ValidationErrorKind::Required { property } => found.push(self.missing(property.as_str().unwrap_or_default(), source)),
            ValidationErrorKind::Type { kind } => found.push(self.wrong_type(kind, source)),
            ValidationErrorKind::Pattern { pattern } => {
                let text = self.node.text().unwrap_or_default();
                let message = match pattern.as_str() {
                    _ if lookup::whole(text) => Some(format!("a look-up gives text; {} is needed here", self.wanted("string"))),
                    DurationText::PATTERN => DurationText::parse(text).err(),
                    Percent::PATTERN => percent(&self.node.value),
                    _ => None,
                };
                found.push(say(at, message.unwrap_or_else(|| format!("{} is not {}", quoted(), self.wanted("string")))));
            }
            ValidationErrorKind::Enum { options } => {
                let words: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
                let near = self.node.text().map(|text| did_you_mean(text, words.iter().copied())).unwrap_or_default();
                found.push(say(at, format!("unknown value {}{near}", quoted())).with_help(format!("one of {}", listed(&words))));
            }
            ValidationErrorKind::MaxItems { limit } => {
                let many = self.node.items().len();
                found.push(say(self.key_at, format!("{many} {}; limit {limit} {}", self.noun(), self.noun())));
            }
            ValidationErrorKind::MaxProperties { limit } => {
                found.push(say(self.key_at, format!("{} {}; limit {limit}", self.node.entries().len(), self.noun())));
            }
            ValidationErrorKind::MaxLength { limit } => {
                let length = self.node.text().map_or(0, |text| text.chars().count());
                found.push(say(at, format!("{length} characters; limit {limit}")));
            }
            ValidationErrorKind::MinLength { .. } => found.push(say(at, format!("'{}' must not be empty", self.key))),
            ValidationErrorKind::MinItems { .. } => found.push(say(at, format!("'{}' must name at least one", self.key))),
            ValidationErrorKind::MinProperties { .. } => {
                found.push(say(at, "empty selector matches everything; add labels or tags".to_owned()));
            }
            ValidationErrorKind::Format { format } if format == "date-time" => {
                found.push(say(at, format!("{} is not an instant; write it like '2026-12-08T15:00:00Z'", quoted())));
            }
            ValidationErrorKind::Maximum { limit } => found.push(say(at, format!("'{}' must be at most {limit}", self.key))),
            ValidationErrorKind::Minimum { limit } => found.push(say(at, format!("'{}' must be at least {limit}", self.key))),
            _ => found.push(say(at, error.to_string())),
        }
    }

    fn unknown_field(&self, entry: &Entry, source: &Source) -> Diagnostic {
        let known: Vec<&str> = self.schema.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let near = did_you_mean(&entry.key, known.iter().copied());
        let key = short(&entry.key);
        let say = |message: String| Diagnostic::error(source, entry.at, message);
        let what = match self.definition {
            "FaultSpec" => "fault",
            "ActionSpec" => "action",
            "ProbeSpec" => "probe",
            _ => return say(format!("unknown field '{key}'{near}")).with_help_unless(!near.is_empty(), || format!("known here: {}", listed(&known))),
        };
        let other = match what {
            "fault" if crate::fault::params::ActionSpec::NAMES.contains(&entry.key.as_str()) => "; it is an action: write 'action:'",
            "action" if crate::fault::params::FaultSpec::NAMES.contains(&entry.key.as_str()) => "; it is a fault: write 'fault:'",
            _ => near.as_str(),
        };
        say(format!("unknown {what} '{key}'{other}")).with_help(format!("{what}s: {}", listed(&known)))
    }

    fn missing(&self, field: &str, source: &Source) -> Diagnostic {
        // Selectors and places: what a kind is pointed at. Nothing defaults to all of it.
        let property = self.schema.get("properties").and_then(|properties| properties.get(field)).unwrap_or(&Json::Null);
        let text = |key: &str| property.get(key).and_then(Json::as_str).unwrap_or_default();
        let scope = text("format").ends_with("-name") || text("$ref").ends_with("Selector") || SCOPES.contains(&field);
        let missing = format!("missing field '{field}'");
        if !(self.in_kind && scope) {
            return Diagnostic::error(source, self.key_at, missing);
        }
        let step = self.step.map_or_else(|| "this step".to_owned(), |step| format!("step '{}'", short(step)));
        Diagnostic::error(source, self.key_at, format!("{step} has no scope: {missing}; firedrill never defaults to all"))
    }

    fn wrong_type(&self, kind: &TypeKind, source: &Source) -> Diagnostic {
        let names: Vec<String> = match kind {
            TypeKind::Single(one) => vec![one.to_string()],
            TypeKind::Multiple(many) => many.iter().map(|one| one.to_string()).collect(),
        };
        let wanted: Vec<String> = names.iter().map(|name| self.wanted(name)).collect();
        let lookup = self.node.text().is_some_and(lookup::whole);
        let found = if lookup { "a look-up, which gives text" } else { self.node.described() };
        let at = if self.node.value == Value::Null { self.key_at } else { self.node.at };
        let error = Diagnostic::error(source, at, format!("expected {}, found {found}", wanted.join(" or ")));
        let quotable = names.iter().any(|name| name == "string") && matches!(self.node.value, Value::Number(_) | Value::Bool(_));
        if quotable && wanted == ["a string"] { error.with_help("quote the value to make it a string") } else { error }
    }

    /// What is wanted here, for people.
    fn wanted(&self, name: &str) -> String {
        match (self.definition, name) {
            ("Duration", _) => "a duration such as '10m'",
            ("Percentage", _) => "a percentage such as \"99.5%\"",
            (_, "array") => "a list",
            (_, "object") => "a map",
            (_, "string") => "a string",
            (_, "integer") => "a whole number",
            (_, "number") => "a number",
            (_, "boolean") => "true or false",
            (_, other) => other,
        }
        .to_owned()
    }

    fn noun(&self) -> &str {
        if self.key.is_empty() { "items" } else { &self.key }
    }
}

/// What is wrong with a percentage.
fn percent(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::NotFinite(text) => return Some(format!("'{text}': threshold must be within 0..100%")),
        _ => return None,
    };
    let number = text.trim().trim_end_matches('%').parse::<f64>();
    match number {
        Ok(number) if !(0.0..=100.0).contains(&number) => Some(format!("'{}': threshold must be within 0..100%", short(text))),
        _ => Percent::parse(text).err().or_else(|| Some(format!("'{}': at most six digits after the point", short(text)))),
    }
}

impl Diagnostic {
    fn with_help_unless(self, given: bool, help: impl FnOnce() -> String) -> Self {
        if given { self } else { self.with_help(help()) }
    }
}
