//! Scalars that people write: durations (`1h30m`, `800ms`), percentages (`99.5%`), one-or-many lists.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in the Gateway API's form: `1h30m`, `10s`, `800ms`. At most 720h; most fields allow less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationText(pub Duration);

impl DurationText {
    /// Gateway API GEP-2257: up to four groups of one to five digits.
    pub const PATTERN: &'static str = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$";

    /// Reads the text form; the error is a sentence with the way out.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let squeezed = squeezed.replace("min", "m").replace("sec", "s").replace("hours", "h").replace("hour", "h");
            match Self::parse_groups(&squeezed) {
                Some(good) if squeezed != text => format!("invalid duration '{text}'; use '{good}'"),
                _ => format!("invalid duration '{text}'; write it like '1h30m', '10s' or '800ms'"),
            }
        };
        Self::parse_groups(text).ok_or_else(wrong)
    }

    fn parse_groups(text: &str) -> Option<Self> {
        let mut total = Duration::ZERO;
        let mut rest = text;
        let mut groups = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 5 || groups == 4 {
                return None;
            }
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let (unit, length) = if rest.starts_with("ms") {
                (Duration::from_millis(number), 2)
            } else if rest.starts_with('h') {
                (Duration::from_secs(number * 3600), 1)
            } else if rest.starts_with('m') {
                (Duration::from_secs(number * 60), 1)
            } else if rest.starts_with('s') {
                (Duration::from_secs(number), 1)
            } else {
                return None;
            };
            rest = &rest[length..];
            total = total.checked_add(unit)?;
            groups += 1;
        }
        (groups > 0).then_some(Self(total))
    }
}

impl std::ops::Deref for DurationText {
    type Target = Duration;
    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let parts = [(millis / 3_600_000, "h"), (millis / 60_000 % 60, "m"), (millis / 1000 % 60, "s"), (millis % 1000, "ms")];
        if millis == 0 {
            return f.write_str("0s");
        }
        parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": Self::PATTERN, "maxLength": 32, "description": "A duration: 1h30m, 10s, 800ms."})
    }
}

/// A percentage 0–100, written with its sign: `99.5%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Percent(pub f64);

impl Percent {
    /// Digits, optionally a fraction, and the sign.
    pub const PATTERN: &'static str = r"^[0-9]{1,3}(\.[0-9]{1,6})?%$";

    /// Reads the text form; the error is a sentence with the way out.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').ok_or_else(|| format!("invalid percentage '{text}'; write it like \"99.5%\""))?;
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match number.parse::<f64>() {
            Ok(value) if plain && (0.0..=100.0).contains(&value) => Ok(Self(value)),
            Ok(_) => Err(format!("'{text}': threshold must be within 0..100%")),
            Err(_) => Err(format!("invalid percentage '{text}'; write it like \"99.5%\"")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percentage".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": Self::PATTERN, "maxLength": 12, "description": "A percentage with its sign: \"99.5%\"."})
    }
}

/// One string or a list of strings; a look-up such as `${vips.west}` alone in the value may become a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strings(pub Vec<String>);

impl Serialize for Strings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => to.serialize_str(one),
            many => many.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(one) => Ok(Self(vec![one])),
            list @ serde_json::Value::Array(_) => serde_json::from_value(list).map(Self).map_err(serde::de::Error::custom),
            _ => Err(serde::de::Error::custom("expected a string or a list of strings")),
        }
    }
}

impl JsonSchema for Strings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Strings".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "array"], "maxLength": 1024, "items": {"type": "string", "maxLength": 1024}, "maxItems": 64})
    }
}

/// DNS record types that probes and actions know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Another name.
    Cname,
    /// Text.
    Txt,
}
