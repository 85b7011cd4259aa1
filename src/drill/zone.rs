//! Time zones by IANA name: places only, so that daylight saving is always known.

use chrono_tz::{TZ_VARIANTS, Tz};

use super::suggest::{closest, short};

/// Abbreviations that people write, and the place they usually mean.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("EST", "America/New_York"),
    ("EDT", "America/New_York"),
    ("ET", "America/New_York"),
    ("EST5EDT", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("CT", "America/Chicago"),
    ("CST6CDT", "America/Chicago"),
    ("MST", "America/Denver"),
    ("MDT", "America/Denver"),
    ("MT", "America/Denver"),
    ("MST7MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("PT", "America/Los_Angeles"),
    ("PST8PDT", "America/Los_Angeles"),
    ("HST", "Pacific/Honolulu"),
    ("GMT", "Europe/London"),
    ("BST", "Europe/London"),
    ("WET", "Europe/Lisbon"),
    ("CET", "Europe/Berlin"),
    ("CEST", "Europe/Berlin"),
    ("MET", "Europe/Berlin"),
    ("EET", "Europe/Athens"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("AEST", "Australia/Sydney"),
];

/// Reads a zone. Fixed abbreviations and offsets are refused: they do not know daylight saving. `UTC` is the exception.
pub fn parse(name: &str) -> Result<Tz, String> {
    if matches!(name, "UTC" | "Etc/UTC") {
        return Ok(Tz::UTC);
    }
    if let Some((_, place)) = ABBREVIATIONS.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)) {
        return Err(format!("'{name}' is a fixed abbreviation, not a time zone; did you mean '{place}'?"));
    }
    let place = name.contains('/') && !name.starts_with("Etc/");
    match name.parse::<Tz>() {
        Ok(zone) if place => Ok(zone),
        Ok(zone) if !name.starts_with("Etc/") => Err(format!("'{name}' is an old alias; use a place such as '{}'", modern(zone))),
        Ok(_) => Err(format!("'{name}' is a fixed offset, not a time zone; use a place such as 'America/New_York', or UTC")),
        Err(_) => {
            let offset = name.starts_with("UTC") || name.starts_with("GMT") || name.starts_with(['+', '-']);
            let known = TZ_VARIANTS.iter().map(|zone| zone.name()).filter(|name| name.contains('/'));
            let hint = match closest(name, known).filter(|_| !offset) {
                Some(near) => format!("; did you mean '{near}'?"),
                None => "; use an IANA name such as 'America/New_York', or UTC".to_owned(),
            };
            Err(format!("'{}': unknown time zone{hint}", short(name)))
        }
    }
}

/// A place whose zone has the same rules as an old alias has, as far as its name tells.
fn modern(zone: Tz) -> &'static str {
    let ending = format!("/{}", zone.name());
    TZ_VARIANTS.iter().map(|zone| zone.name()).find(|name| name.ends_with(&ending)).unwrap_or("America/New_York")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_zones_and_nothing_else() {
        assert!(parse("America/New_York").is_ok());
        assert!(parse("UTC").is_ok());
        assert!(parse("Amercia/New_York").unwrap_err().contains("unknown time zone; did you mean 'America/New_York'?"));
        assert!(parse("america/new_york").unwrap_err().contains("did you mean 'America/New_York'?"));
        for fixed in ["EST", "est", "CET", "EST5EDT", "Etc/GMT+5"] {
            assert!(parse(fixed).unwrap_err().contains("fixed"), "{fixed}");
        }
        assert!(parse("UTC+25").unwrap_err().contains("unknown time zone"));
        assert!(parse("Japan").is_err());
        assert!(parse("").is_err());
    }
}
