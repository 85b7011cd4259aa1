//! The fields of a schema, for people: type, default, limits and meaning of each, found by a path.

use serde::Serialize;
use serde_json::Value as Json;

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Its path below what was asked for: `nodes.labels`. Items of lists add `[]`.
    pub path: String,
    /// What it is: `duration`, `AWS region`, `list of strings`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it must be given.
    pub required: bool,
    /// What holds when it is not given, where that is not simply nothing.
    pub default: Option<String>,
    /// What is checked beyond the type: `at most 63 characters`. Empty when nothing is.
    pub limits: String,
    /// What it means.
    pub meaning: String,
    /// The words that it may be, each with its meaning.
    pub words: Vec<(String, String)>,
    /// Whether it has fields of its own that are not listed after it.
    pub more: bool,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The field itself; none when the path is empty.
    pub field: Option<Field>,
    /// The schema behind it: of the items, where it is a list.
    pub schema: &'a Json,
}

/// A path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoField {
    /// The word that is no field.
    pub wrong: String,
    /// The fields that are there.
    pub known: Vec<String>,
}

/// Follows field names from a schema; lists and references are passed through.
///
/// # Errors
/// The first word that is no field there.
pub fn find<'a>(root: &'a Json, path: &[&str]) -> Result<Found<'a>, NoField> {
    let mut found = Found { field: None, schema: root };
    for word in path {
        let properties = found.schema.get("properties").and_then(Json::as_object);
        let Some(schema) = properties.and_then(|properties| properties.get(*word)) else {
            let known = properties.into_iter().flatten().map(|(name, _)| name.clone()).collect();
            return Err(NoField { wrong: (*word).to_owned(), known });
        };
        let field = field(root, word, schema, required(found.schema, word));
        found = Found { field: Some(field), schema: inner(root, schema) };
    }
    Ok(found)
}

/// The fields of a schema that [`find`] gave, in their order. `deep`: those of its objects too, but never the kinds of a choice.
#[must_use]
pub fn list(root: &Json, schema: &Json, deep: bool) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(root, schema, "", deep, &mut fields);
    fields
}

fn collect(root: &Json, schema: &Json, prefix: &str, deep: bool, fields: &mut Vec<Field>) {
    for (name, schema_of) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let mut found = field(root, &format!("{prefix}{name}"), schema_of, required(schema, name));
        let inside = inner(root, schema_of);
        let enter = deep && found.more && !is_choice(schema_of);
        found.more &= !enter;
        let items = if resolve(root, schema_of).get("items").is_some() { "[]" } else { "" };
        fields.push(found);
        if enter {
            collect(root, inside, &format!("{prefix}{name}{items}."), deep, fields);
        }
    }
}

fn field(root: &Json, path: &str, schema: &Json, required: bool) -> Field {
    let target = resolve(root, schema);
    let item = target.get("items").map(|items| resolve(root, items));
    let said = schema.get("description").or_else(|| target.get("description")).and_then(Json::as_str).unwrap_or_default();
    let (meaning, default) = split_default(said);
    let words = words(target).or_else(|| item.and_then(words)).unwrap_or_default();
    Field {
        path: path.to_owned(),
        kind: kind(root, schema),
        required,
        default: default.or_else(|| written_default(schema)),
        limits: limits(target, item),
        meaning,
        words,
        more: inner(root, schema).get("properties").is_some(),
    }
}

fn required(schema: &Json, name: &str) -> bool {
    schema.get("required").and_then(Json::as_array).is_some_and(|all| all.iter().any(|one| one == name))
}

fn is_choice(schema: &Json) -> bool {
    reference(schema).is_some_and(|name| matches!(name, "FaultSpec" | "ActionSpec" | "ProbeSpec"))
}

fn reference(schema: &Json) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn resolve<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    reference(schema).and_then(|name| root.get("$defs")?.get(name)).unwrap_or(schema)
}

/// What has the fields: the object itself, or that of the items.
fn inner<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let target = resolve(root, schema);
    target.get("items").map_or(target, |items| resolve(root, items))
}

fn kind(root: &Json, schema: &Json) -> String {
    match reference(schema) {
        Some("Duration") => return "duration".to_owned(),
        Some("Percentage") => return "percentage".to_owned(),
        Some("Strings") => return "string or list of strings".to_owned(),
        _ => {}
    }
    let target = resolve(root, schema);
    let format = schema.get("format").or_else(|| target.get("format")).and_then(Json::as_str).unwrap_or_default();
    if target.get("enum").is_some() {
        return "word".to_owned();
    }
    match target.get("type").and_then(Json::as_str).unwrap_or_default() {
        "array" => match kind(root, target.get("items").unwrap_or(&Json::Null)).as_str() {
            "string" if !format.is_empty() => format!("list ({})", formatted(format)),
            "string" => "list of strings".to_owned(),
            "object" => "list of objects".to_owned(),
            other => format!("list ({other})"),
        },
        "object" if target.get("properties").is_none() => match format {
            "" => "map of strings".to_owned(),
            format => format!("map ({})", formatted(format)),
        },
        "object" => "object".to_owned(),
        "string" => formatted(format),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "" => "any".to_owned(),
        other => other.to_owned(),
    }
}

/// The formats of the schema, as people say them.
fn formatted(format: &str) -> String {
    match format {
        "" => "string".to_owned(),
        "probe-url" | "endpoint-url" => "URL".to_owned(),
        "aws-region" => "AWS region".to_owned(),
        "aws-zone" => "availability zone".to_owned(),
        "aws-account" => "AWS account".to_owned(),
        "iam-action" => "IAM action".to_owned(),
        "role-arn" => "role ARN".to_owned(),
        "regex" => "regular expression".to_owned(),
        "json-pointer" => "JSON pointer".to_owned(),
        "cidr" => "address range".to_owned(),
        "ip-address" => "IP address".to_owned(),
        "socket-address" => "address and port".to_owned(),
        "dns-name" => "DNS name".to_owned(),
        "http-method" => "HTTP method".to_owned(),
        "http-header" => "HTTP headers".to_owned(),
        "kubernetes-name" => "Kubernetes name".to_owned(),
        other => other.replace('-', " "),
    }
}

fn words(schema: &Json) -> Option<Vec<(String, String)>> {
    let words = schema.get("enum")?.as_array()?;
    let meanings = schema.get("enumDescriptions").and_then(Json::as_array);
    let meaning = |index: usize| meanings.and_then(|all| all.get(index)?.as_str()).unwrap_or_default().to_owned();
    Some(words.iter().enumerate().filter_map(|(index, word)| Some((word.as_str()?.to_owned(), meaning(index)))).collect())
}

fn limits(schema: &Json, item: Option<&Json>) -> String {
    let range = |schema: &Json, low: &str, high: &str, unit: &str| {
        let number = |key: &str| schema.get(key).filter(|value| value.is_number()).map(ToString::to_string);
        // A minimum of 0 says nothing of a count.
        match (number(low).filter(|low| low != "0" && low != "0.0"), number(high)) {
            (Some(low), Some(high)) => Some(format!("{low} to {high}{unit}")),
            (Some(low), None) => Some(format!("at least {low}{unit}")),
            (None, Some(high)) => Some(format!("at most {high}{unit}")),
            (None, None) => None,
        }
    };
    let mut said = Vec::new();
    if schema.get("enum").is_none() && schema.get("pattern").is_none() {
        said.extend(range(schema, "minLength", "maxLength", " characters"));
    }
    said.extend(range(schema, "minimum", "maximum", ""));
    said.extend(range(schema, "minItems", "maxItems", " items"));
    if schema.get("properties").is_none() {
        said.extend(range(schema, "minProperties", "maxProperties", " entries"));
    } else if schema.get("minProperties").is_some_and(|least| least == 1) {
        let most = schema.get("maxProperties").is_some_and(|most| most == 1);
        said.push(if most { "exactly one field" } else { "at least one field" }.to_owned());
    }
    let item = item.filter(|item| item.get("pattern").is_none() && item.get("enum").is_none());
    said.extend(item.and_then(|item| range(item, "minLength", "maxLength", " characters each")));
    said.join(", ")
}

/// The sentences of a description that say the default stand in a column of their own.
fn split_default(text: &str) -> (String, Option<String>) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut meaning, mut default) = (Vec::new(), None);
    for sentence in sentences(&text) {
        match sentence.strip_prefix("Default").filter(|rest| rest.starts_with([':', ' '])) {
            Some(rest) => default = Some(rest.trim_start_matches(':').trim().trim_end_matches('.').to_owned()),
            None => meaning.push(sentence),
        }
    }
    (meaning.join(" "), default)
}

/// The sentences of a text; a point inside `code` ends none.
#[must_use]
pub fn sentences(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut code) = (Vec::new(), 0, false);
    for (index, character) in text.char_indices() {
        match character {
            '`' => code = !code,
            '.' if !code && text[index + 1..].starts_with(' ') => {
                found.push(text[start..=index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    found.push(text[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// A default that only the schema says; the empty ones say nothing.
fn written_default(schema: &Json) -> Option<String> {
    match schema.get("default")? {
        Json::Null => None,
        Json::Array(all) if all.is_empty() => None,
        Json::Object(all) if all.values().all(|value| value.as_array().is_some_and(Vec::is_empty) || *value == false) => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_taken_out_of_the_sentence_that_says_it() {
        let split = |text: &str| split_default(text);
        assert_eq!(split("Status code. Default: any 2xx."), ("Status code.".to_owned(), Some("any 2xx".to_owned())));
        assert_eq!(
            split("Default: the drill's `failedRegion`. Global services homed there are included."),
            ("Global services homed there are included.".to_owned(), Some("the drill's `failedRegion`".to_owned()))
        );
        assert_eq!(split("Defaults are evil."), ("Defaults are evil.".to_owned(), None));
        assert_eq!(sentences("Reads `a. b` now. Then this."), ["Reads `a. b` now.", "Then this."]);
    }

    #[test]
    fn a_path_passes_through_lists_and_references_and_names_what_is_there() {
        let schema = serde_json::json!({
            "properties": {"all": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/One"}}},
            "required": ["all"],
            "$defs": {"One": {"type": "object", "properties": {"id": {"type": "string", "maxLength": 9, "description": "Its name."}}}},
        });
        let id = find(&schema, &["all", "id"]).unwrap().field.unwrap();
        assert_eq!((id.kind.as_str(), id.limits.as_str(), id.meaning.as_str(), id.required), ("string", "at most 9 characters", "Its name.", false));
        let deep: Vec<String> = list(&schema, &schema, true).into_iter().map(|field| field.path).collect();
        assert_eq!(deep, ["all", "all[].id"]);
        assert!(list(&schema, &schema, false)[0].more);
        let wrong = find(&schema, &["all", "ide"]).unwrap_err();
        assert_eq!((wrong.wrong.as_str(), wrong.known), ("ide", vec!["id".to_owned()]));
    }
}
