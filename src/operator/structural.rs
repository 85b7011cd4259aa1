//! From the one generated schema to a structural schema, the form in which the API server takes the description of a custom resource.
//!
//! The rules are those of the Kubernetes documentation, "Specifying a structural schema": no `$ref`, no `default` that would change what was sent, no
//! `additionalProperties: false` (the API server drops, and with strict validation refuses, what it does not know), one `type` for every value.
//! What has no single type is taken as it is and bounded: see `text_or_list` and `anything` below.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value as Json, json};

use super::cel;
use crate::drill::schema::bounded;

/// Deepest nesting that is followed. Ours is some 12 deep; a type that holds itself would be endless.
const DEEPEST: usize = 40;
/// RFC 1123: a DNS label, as `validate` checks names.
pub const NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Formats of the files' schema that are exactly a DNS label.
const NAMES: [&str; 5] = ["name", "cluster-name", "gateway-name", "account-name", "prometheus-name"];
/// Lists of things with a name of their own, by the type of their items: no two have the same, and server-side apply joins them by it.
const KEYED: [(&str, &str); 10] = [
    ("Step", "id"),
    ("Objective", "id"),
    ("HaltWhen", "id"),
    ("AwsAccount", "name"),
    ("Cluster", "name"),
    ("GatewayRef", "name"),
    ("PrometheusRef", "name"),
    ("Condition", "type"),
    ("JournalRecord", "number"),
    ("RecordState", "number"),
];
/// What stands in a structural schema as it stands in ours.
const KEPT: [&str; 14] = [
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "required",
    "nullable",
];
/// What the API server has no use for, or would refuse.
const DROPPED: [&str; 7] = ["$schema", "$defs", "title", "default", "description", "enumDescriptions", "$ref"];

/// A type that the API server could not be told of: a mistake in the type, found by a test.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}; change the Rust type so that its schema is structural")]
pub struct NotStructural {
    /// Where in the schema: `.steps[].fault`.
    pub path: String,
    /// What is wrong there.
    pub what: String,
}

/// The structural schema of a type, with the rules of [`cel`] where its types have any.
///
/// # Errors
/// [`NotStructural`] names the first place that cannot be said.
pub fn structural<T: JsonSchema>() -> Result<Json, NotStructural> {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with_transform(RecursiveTransform(bounded));
    let root = settings.into_generator().into_root_schema_for::<T>().to_value();
    let definition = T::schema_name();
    Inlining { root: &root }.of(&definition, &root, "", 0)
}

struct Inlining<'a> {
    root: &'a Json,
}

impl Inlining<'_> {
    fn node(&self, schema: &Json, path: &str, depth: usize) -> Result<Json, NotStructural> {
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        let Some(name) = name else { return self.of("", schema, path, depth) };
        let Some(target) = self.root.get("$defs").and_then(|all| all.get(name)) else {
            return wrong(path, format!("'{name}' is not defined"));
        };
        // What stands beside the reference says what the field is; behind it, what the type is.
        let mut joined = target.as_object().cloned().unwrap_or_default();
        for (key, value) in schema.as_object().into_iter().flatten().filter(|(key, _)| *key != "$ref") {
            joined.insert(key.clone(), value.clone());
        }
        self.of(name, &Json::Object(joined), path, depth)
    }

    fn of(&self, definition: &str, schema: &Json, path: &str, depth: usize) -> Result<Json, NotStructural> {
        if depth > DEEPEST {
            return wrong(path, "a type holds itself");
        }
        let nothing = Map::new();
        let schema = match schema {
            Json::Object(map) => map,
            Json::Bool(true) => &nothing,
            _ => return wrong(path, "not a schema"),
        };
        let mut out = Map::new();
        if let Some(said) = schema.get("description").and_then(Json::as_str) {
            out.insert("description".to_owned(), json!(said.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
        match schema.get("type") {
            Some(Json::String(one)) => out.insert("type".to_owned(), json!(one)),
            Some(Json::Array(both)) if *both == [json!("string"), json!("array")] => return self.text_or_list(out, schema, path, depth),
            None if schema.keys().all(|key| DROPPED.contains(&key.as_str())) => return Ok(Self::anything(out)),
            other => return wrong(path, format!("no single type: {other:?}")),
        };
        for (key, value) in schema {
            match key.as_str() {
                "type" => {}
                key if DROPPED.contains(&key) => {}
                key if KEPT.contains(&key) => drop(out.insert(key.to_owned(), value.clone())),
                "format" => Self::format(&mut out, schema, value.as_str().unwrap_or_default()),
                "additionalProperties" if *value == false => {}
                "additionalProperties" => drop(out.insert(key.clone(), self.node(value, &format!("{path}{{}}"), depth + 1)?)),
                "items" => drop(out.insert(key.clone(), self.node(value, &format!("{path}[]"), depth + 1)?)),
                "properties" => {
                    let mut all = Map::new();
                    for (name, value) in value.as_object().into_iter().flatten() {
                        all.insert(name.clone(), self.node(value, &format!("{path}.{name}"), depth + 1)?);
                    }
                    out.insert(key.clone(), Json::Object(all));
                }
                other => return wrong(path, format!("'{other}' has no place in a structural schema")),
            }
        }
        if schema.get("additionalProperties").is_some_and(|others| *others == false) && !schema.contains_key("properties") {
            // `{}`: an effect without parameters.
            out.insert("maxProperties".to_owned(), json!(0));
        }
        let items = schema.get("items").and_then(|items| items.get("$ref")?.as_str()?.strip_prefix("#/$defs/"));
        if let Some((_, key)) = KEYED.iter().find(|(keyed, _)| Some(*keyed) == items) {
            out.insert("x-kubernetes-list-type".to_owned(), json!("map"));
            out.insert("x-kubernetes-list-map-keys".to_owned(), json!([key]));
        }
        let fields: Vec<&str> = schema.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let rules = cel::rules_of(definition, &fields);
        if !rules.is_empty() {
            out.insert("x-kubernetes-validations".to_owned(), rules.iter().map(cel::Rule::to_json).collect());
        }
        Ok(Json::Object(out))
    }

    /// Formats that the API server knows stay; of the others, those that are one expression become it. What is left, the operator checks as `validate` does.
    fn format(out: &mut Map<String, Json>, schema: &Map<String, Json>, format: &str) {
        let most = match format {
            "date-time" | "int32" | "int64" | "double" => return drop(out.insert("format".to_owned(), json!(format))),
            "uint8" => u64::from(u8::MAX),
            "uint16" => u64::from(u16::MAX),
            "uint32" => u64::from(u32::MAX),
            _ if NAMES.contains(&format) && schema.get("type").is_some_and(|kind| kind == "string") => {
                return drop(out.insert("pattern".to_owned(), json!(NAME)));
            }
            _ => return,
        };
        if !schema.contains_key("maximum") {
            out.insert("maximum".to_owned(), json!(most));
        }
    }

    /// One string or a list of strings. A structural schema has one `type`, so this one has none: its bounds say what may stand here, because each of
    /// them is about one type of JSON. No object and no number is within contradictory bounds; the two booleans are ruled out by name, and
    /// null is as good as nothing: the API server drops it.
    fn text_or_list(&self, mut out: Map<String, Json>, schema: &Map<String, Json>, path: &str, depth: usize) -> Result<Json, NotStructural> {
        out.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
        for key in ["minLength", "maxLength", "minItems", "maxItems"] {
            if let Some(bound) = schema.get(key) {
                out.insert(key.to_owned(), bound.clone());
            }
        }
        let items =
            schema.get("items").map_or_else(|| wrong(path, "a list of anything"), |items| self.node(items, &format!("{path}[]"), depth + 1))?;
        out.insert("items".to_owned(), items);
        for (least, most) in [("minProperties", "maxProperties"), ("minimum", "maximum")] {
            out.insert(least.to_owned(), json!(1));
            out.insert(most.to_owned(), json!(0));
        }
        out.insert("not".to_owned(), json!({"enum": [true, false]}));
        Ok(Json::Object(out))
    }

    /// Any JSON, such as the value that a probe expects at a pointer.
    fn anything(mut out: Map<String, Json>) -> Json {
        out.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
        out.insert("nullable".to_owned(), json!(true));
        for (key, most) in [("maxLength", 4096), ("maxItems", 64), ("maxProperties", 64)] {
            out.insert(key.to_owned(), json!(most));
        }
        Json::Object(out)
    }
}

fn wrong<T>(path: &str, what: impl Into<String>) -> Result<T, NotStructural> {
    Err(NotStructural { path: path.to_owned(), what: what.into() })
}
