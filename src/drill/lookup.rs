//! Look-ups: `${endpoints.checkout}` names a value of the environment. Nothing else is interpolated, and the process environment is never read.

use super::spec::EnvironmentSpec;
use super::suggest::{did_you_mean, short};

/// The parts of an environment that can be looked up.
pub const SECTIONS: [&str; 3] = ["endpoints", "records", "vips"];

/// A piece of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// The name between `${` and `}`.
    Name(&'a str),
}

/// The pieces of a string. An error when a look-up is not closed.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if start > 0 {
            pieces.push(Piece::Text(&rest[..start]));
        }
        let after = &rest[start + 2..];
        let end = after.find('}').ok_or_else(|| format!("look-up '{}' has no closing '}}'", short(&rest[start..])))?;
        pieces.push(Piece::Name(&after[..end]));
        rest = &after[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// Whether a string holds a look-up.
#[must_use]
pub fn has(text: &str) -> bool {
    text.contains("${")
}

/// Whether a string is wholly one look-up, which then takes the looked-up type.
#[must_use]
pub fn whole(text: &str) -> bool {
    matches!(pieces(text).as_deref(), Ok([Piece::Name(_)]))
}

/// What is wrong with a name, whatever the environment.
pub fn check_name(name: &str) -> Result<(), String> {
    let unknown = |hint: String| Err(format!("unknown name '{}'{hint}", short(name)));
    let Some((section, key)) = name.split_once('.') else {
        return unknown("; a look-up is like ${endpoints.checkout}".to_owned());
    };
    if !SECTIONS.contains(&section) {
        let better = super::suggest::closest(section, SECTIONS).map(|near| format!("{near}.{key}"));
        return unknown(
            better.map_or_else(|| "; look-ups begin with endpoints, records or vips".to_owned(), |name| format!("; did you mean '{name}'?")),
        );
    }
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return unknown("; a key has letters, digits, '-' and '_'".to_owned());
    }
    Ok(())
}

/// The values of a name in an environment.
pub fn resolve(name: &str, environment: &EnvironmentSpec) -> Result<Vec<String>, String> {
    check_name(name)?;
    let (section, key) = name.split_once('.').unwrap_or_default();
    let found = match section {
        "endpoints" => environment.endpoints.get(key).map(|value| vec![value.clone()]),
        "records" => environment.records.get(key).map(|value| vec![value.clone()]),
        _ => environment.vips.get(key).map(|values| values.0.clone()),
    };
    found.ok_or_else(|| {
        let names = names(environment);
        format!("unknown name '{name}'{}", did_you_mean(name, names.iter().map(String::as_str)))
    })
}

/// Every name that can be looked up in an environment.
#[must_use]
pub fn names(environment: &EnvironmentSpec) -> Vec<String> {
    let endpoints = environment.endpoints.keys().map(|key| format!("endpoints.{key}"));
    let records = environment.records.keys().map(|key| format!("records.{key}"));
    let vips = environment.vips.keys().map(|key| format!("vips.{key}"));
    endpoints.chain(records).chain(vips).collect()
}
