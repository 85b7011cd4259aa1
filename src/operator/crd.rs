//! CustomResourceDefinitions, as JSON and as the YAML that `firedrill crds` prints and the chart carries.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::resource::{Column, Resource};
use super::structural::NotStructural;
use super::{GROUP, VERSION, cel};

/// The definition of a resource.
///
/// # Errors
/// [`NotStructural`] when a type cannot be told to the API server, which a test rules out.
pub fn definition(resource: &Resource) -> Result<Json, NotStructural> {
    let (spec, status) = resource.schemas()?;
    let Resource { kind, plural, short, about, .. } = resource;
    let mut schema = json!({
        "description": about,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": format!("{GROUP}/{VERSION}"), "type": "string"},
            "kind": {"description": kind, "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    });
    if resource.referred_to {
        schema["x-kubernetes-validations"] = json!([cel::short_name().to_json()]);
    }
    let mut names = json!({
        "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase(), "shortNames": [short],
    });
    if resource.listed {
        names["categories"] = json!(["firedrill"]);
    }
    let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
    let columns: Vec<Json> = resource.columns.iter().map(printed).chain([age]).collect();
    Ok(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.name(), "labels": {"app.kubernetes.io/name": "firedrill", "app.kubernetes.io/part-of": "firedrill"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": names,
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    }))
}

fn printed(column: &Column) -> Json {
    let mut out = json!({"name": column.name, "type": column.of, "jsonPath": column.path, "description": column.about});
    if column.wide {
        out["priority"] = json!(1);
    }
    out
}

/// Why the definitions cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// A type has no structural schema.
    #[error("{kind}: {source}")]
    Type {
        /// The kind.
        kind: &'static str,
        /// Where, and what.
        source: NotStructural,
    },
    /// It cannot be written as YAML.
    #[error("{kind} cannot be written as YAML: {why}")]
    Yaml {
        /// The kind.
        kind: &'static str,
        /// What the writer said.
        why: String,
    },
}

/// One definition as a YAML document, without the line that separates documents.
///
/// # Errors
/// See [`CrdError`].
pub fn yaml(resource: &Resource) -> Result<String, CrdError> {
    let kind = resource.kind;
    let definition = definition(resource).map_err(|source| CrdError::Type { kind, source })?;
    let text = serde_saphyr::to_string(&definition).map_err(|error| CrdError::Yaml { kind, why: error.to_string() })?;
    Ok(format!("# {}\n# Made by `firedrill crds`.\n{text}", resource.about))
}

/// Every definition, ready for `kubectl apply -f -`.
///
/// # Errors
/// See [`CrdError`].
pub fn all() -> Result<String, CrdError> {
    let mut out = String::new();
    for resource in &Resource::ALL {
        let _ = write!(out, "---\n{}", yaml(resource)?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Visits every schema below one.
    fn each(schema: &Json, path: &str, visit: &mut dyn FnMut(&str, &Json)) {
        visit(path, schema);
        for (name, inner) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            each(inner, &format!("{path}.{name}"), visit);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(key) {
                each(inner, &format!("{path}[]"), visit);
            }
        }
    }

    #[test]
    fn every_list_map_and_string_of_every_resource_is_bounded() {
        let mut seen = 0;
        for resource in &Resource::ALL {
            let (spec, status) = resource.schemas().unwrap();
            for (name, schema) in [("spec", spec), ("status", status)] {
                each(&schema, &format!("{}.{name}", resource.kind), &mut |path, schema| {
                    seen += 1;
                    let has = |key: &str| schema.get(key).is_some();
                    let bounded = match schema.get("type").and_then(Json::as_str) {
                        Some("string") => has("enum") || has("maxLength") || schema["format"] == "date-time",
                        Some("array") => has("maxItems"),
                        Some("object") => has("properties") || has("maxProperties"),
                        Some("integer" | "number" | "boolean") => true,
                        None => has("maxLength") && has("maxItems") && has("maxProperties"),
                        Some(other) => panic!("{path}: {other}"),
                    };
                    assert!(bounded, "{path} has no bound: {schema}");
                    assert!(!has("default"), "{path}: a default would change what was sent");
                });
            }
        }
        assert!(seen > 500, "{seen}");
    }

    #[test]
    fn a_definition_is_small_enough_for_a_plain_kubectl_apply() {
        for resource in &Resource::ALL {
            // `kubectl apply` keeps the whole text in an annotation; all annotations together are at most 256 KiB.
            let size = definition(resource).unwrap().to_string().len();
            assert!(size < 200 * 1024, "{}: {size} bytes", resource.kind);
        }
    }
}
