//! The schemas as editors and `firedrill explain` read them: the generated one, with the meaning of each word of a choice kept.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value as Json, json};

use super::schema::{Kind, bounded};
use super::spec::{API_VERSION, Drill, DrillRun, DrillSchedule, Environment};
use super::text::{DurationText, Percent};

/// The dialect that editors know best. `tests/validate.rs` shows that the schema needs no later one.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";
/// Objects with exactly one field set.
const CHOICES: [&str; 3] = ["FaultSpec", "ActionSpec", "ProbeSpec"];

/// The schema of one kind of document.
#[must_use]
pub fn schema(kind: Kind) -> Json {
    let mut all = match kind {
        Kind::Drill => generated::<Drill>(),
        Kind::Environment => generated::<Environment>(),
        Kind::DrillSchedule => generated::<DrillSchedule>(),
        Kind::DrillRun => generated::<DrillRun>(),
    };
    all["$schema"] = json!(DIALECT);
    all["title"] = json!(kind.name());
    all["properties"]["apiVersion"]["const"] = json!(API_VERSION);
    all["properties"]["kind"]["const"] = json!(kind.name());
    for name in CHOICES {
        if let Some(choice) = all.pointer_mut(&format!("/$defs/{name}")) {
            choice["minProperties"] = json!(1);
            choice["maxProperties"] = json!(1);
        }
    }
    all
}

/// One schema for every kind of document, for files that hold several.
#[must_use]
pub fn any() -> Json {
    let (mut definitions, mut kinds) = (Map::new(), Vec::new());
    for kind in Kind::ALL {
        let mut one = schema(kind);
        let Some(one) = one.as_object_mut() else { continue };
        one.remove("$schema");
        if let Some(Json::Object(inner)) = one.remove("$defs") {
            definitions.extend(inner);
        }
        definitions.insert(kind.name().to_owned(), json!(one));
        kinds.push(json!({
            "if": {"properties": {"kind": {"const": kind.name()}}, "required": ["kind"]},
            "then": {"$ref": format!("#/$defs/{}", kind.name())},
        }));
    }
    json!({
        "$schema": DIALECT,
        "title": "A document of firedrill",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": Kind::ALL.map(Kind::name)},
        },
        "allOf": kinds,
        "$defs": definitions,
    })
}

/// The schema of a kind's parameters ([`crate::fault::params::FaultSpec::KINDS`]), in the same form.
#[must_use]
pub fn parameters(mut schema: Schema) -> Json {
    RecursiveTransform(told).transform(&mut schema);
    schema.to_value()
}

fn generated<T: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().for_deserialize().with_transform(RecursiveTransform(told)).into_generator().into_root_schema_for::<T>().to_value()
}

/// [`bounded`], which makes one `enum` of the words of a choice; what each of them means goes into `enumDescriptions`, which editors show.
fn told(schema: &mut Schema) {
    let options = schema.get("oneOf").and_then(Json::as_array).cloned().unwrap_or_default();
    bounded(schema);
    // What editors say instead of the expression.
    let wanted = match schema.get("pattern").and_then(Json::as_str) {
        Some(DurationText::PATTERN) => Some("a duration is written like 1h30m, 10s or 800ms"),
        Some(Percent::PATTERN) => Some("a percentage is written like \"99.5%\""),
        _ => None,
    };
    if let Some(wanted) = wanted {
        schema.insert("patternErrorMessage".to_owned(), json!(wanted));
    }
    let Some(words) = schema.get("enum").and_then(Json::as_array) else { return };
    let meaning = |word: &Json| {
        let option = options.iter().find(|option| option.get("const") == Some(word))?;
        Some(option.get("description")?.as_str()?.to_owned())
    };
    let meanings: Vec<String> = words.iter().map(|word| meaning(word).unwrap_or_default()).collect();
    if meanings.iter().any(|meaning| !meaning.is_empty()) {
        schema.insert("enumDescriptions".to_owned(), json!(meanings));
    }
}
