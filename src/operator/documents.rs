//! Drills and environments of the cluster as documents: checked by the rules of `firedrill validate`, bound, and frozen for a run.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::object::{Meta, Object};
use super::resource::Resource;
use super::status::DrillRunStatus;
use crate::clock::Timestamp;
use crate::drill::bind;
use crate::drill::diagnostic::Diagnostic;
use crate::drill::load::{Loaded, Located, Options, load_text};
use crate::drill::spec::{API_VERSION, Drill, DrillRunSpec, Environment};
use crate::journal::RunHeader;
use crate::prepare;

/// A `DrillRun`.
pub type Run = Object<DrillRunSpec, DrillRunStatus>;

/// What a run is made of, whatever becomes of its drill and its environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// For the journal: the bound drill and the environment.
    pub header: RunHeader,
    /// SHA-256 of the drill as it was written.
    pub drill_hash: String,
    /// SHA-256 of the environment.
    pub environment_hash: String,
}

/// Id of a run: a ULID that follows from its `DrillRun`, so that no run begins twice, whoever leads.
#[must_use]
pub fn run_id(meta: &Meta) -> String {
    let mut random = [0; 16];
    random[6..].copy_from_slice(&Sha256::digest(&meta.uid)[..10]);
    let made = u64::try_from(meta.creation_timestamp.0 / 1_000).unwrap_or(0);
    ulid::Ulid::from_parts(made, u128::from_be_bytes(random)).to_string()
}

/// The mistakes of a drill or an environment, by all the rules of `firedrill validate` that concern one document.
#[must_use]
pub fn mistakes(resource: &Resource, object: &Value) -> Vec<String> {
    let loaded = load(resource, object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default(), &object["spec"]);
    told(&loaded.diagnostics)
}

/// Binds a run's drill to its environment. The error says what is wrong with which.
///
/// # Errors
/// One sentence for each mistake.
pub fn freeze(run: &Run, drill: Option<&Value>, environment: &Value, now: Timestamp) -> Result<Frozen, String> {
    let spec = match (&run.spec.frozen_drill, drill) {
        (Some(frozen), _) => serde_json::to_value(frozen).map_err(|error| error.to_string())?,
        (None, Some(drill)) => drill["spec"].clone(),
        (None, None) => return Err(format!("there is no Drill '{}'", run.spec.drill)),
    };
    let drill = drill_of(&run.spec.drill, &spec)?;
    let environment = environment_of(&run.spec.environment, &environment["spec"])?;
    let bound = bind(&drill, &environment)
        .map_err(|found| format!("Drill '{}' in Environment '{}': {}", run.spec.drill, run.spec.environment, told(&found).join("; ")))?;
    Ok(Frozen {
        header: prepare::header(&run_id(&run.metadata), &bound, &environment, false, now),
        drill_hash: prepare::hash(&drill.value.spec),
        environment_hash: prepare::environment_hash(&environment),
    })
}

/// The environment and the drill of a run that was frozen.
///
/// # Errors
/// They do not read: another build wrote them.
pub fn thaw(header: &RunHeader) -> Result<(Drill, Environment), String> {
    let unread = |error: serde_json::Error| format!("the frozen documents of run {} do not read: {error}", header.run);
    Ok((
        serde_json::from_value(header.drill_document.clone()).map_err(unread)?,
        serde_json::from_value(header.environment_document.clone()).map_err(unread)?,
    ))
}

fn drill_of(name: &str, spec: &Value) -> Result<Located<Drill>, String> {
    let mut loaded = load(&Resource::DRILL, name, spec);
    match loaded.drills.pop() {
        Some(drill) if !loaded.has_errors() => Ok(drill),
        _ => Err(format!("Drill '{name}': {}", told(&loaded.diagnostics).join("; "))),
    }
}

/// An environment by its spec.
///
/// # Errors
/// One sentence for each mistake.
pub fn environment_of(name: &str, spec: &Value) -> Result<Environment, String> {
    let mut loaded = load(&Resource::ENVIRONMENT, name, spec);
    let mut environment = match loaded.environments.pop() {
        Some(environment) if !loaded.has_errors() => environment.value,
        _ => return Err(format!("Environment '{name}': {}", told(&loaded.diagnostics).join("; "))),
    };
    let relative = prepare::files(&mut environment.spec).find(|file| !Path::new(file.as_str()).is_absolute()).map(|file| file.clone());
    relative.map_or(Ok(environment), |file| {
        Err(format!("Environment '{name}': {file} is a file of the operator's pod: write its whole path, or inCluster: true"))
    })
}

fn load(resource: &Resource, name: &str, spec: &Value) -> Loaded {
    let document = json!({"apiVersion": API_VERSION, "kind": resource.kind, "metadata": {"name": name}, "spec": spec});
    // JSON is YAML: one reader, one set of rules.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    load_text(&format!("{} {name}", resource.kind), &text, &Options::default())
}

fn told(found: &[Diagnostic]) -> Vec<String> {
    found.iter().filter(|one| one.is_error()).map(|one| one.message.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_run_follows_from_its_object() {
        let meta = |uid: &str| Meta { uid: uid.to_owned(), creation_timestamp: Timestamp(1_790_000_000_000_000), ..Meta::default() };
        let id = run_id(&meta("2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11"));
        assert_eq!(id, run_id(&meta("2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11")));
        assert_ne!(id, run_id(&meta("2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e12")), "made again under the same name");
        let read = ulid::Ulid::from_string(&id).unwrap();
        assert_eq!(read.timestamp_ms(), 1_790_000_000_000, "it sorts by when it was asked for");
    }
}
