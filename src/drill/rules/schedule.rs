//! Rules of a schedule: its blackouts. Its cron and zone are checked as single values.

use crate::drill::suggest::short;
use crate::drill::tree::Node;
use crate::drill::{freeze, zone};

use super::Findings;

pub fn check(spec: &Node, found: &mut Findings<'_>) {
    let zone = spec.text_of("timeZone");
    for blackout in spec.items_of("blackouts") {
        window(blackout, zone, found);
    }
}

/// A freeze or blackout: both ends are instants, and the second comes after the first.
pub fn window(window: &Node, default_zone: Option<&str>, found: &mut Findings<'_>) {
    let name = window.text_of("timeZone").or(default_zone);
    // A wrong zone has been told; its offset does not change whether an end is a date.
    let zone = name.map(|name| zone::parse(name).unwrap_or(chrono_tz::Tz::UTC));
    let mut ends = Vec::new();
    for (key, end) in [("from", false), ("to", true)] {
        let Some((node, text)) = window.get(key).and_then(|node| Some((node, node.text()?))) else { continue };
        match freeze::instant(text, zone, end) {
            Ok(at) => ends.push((node, text, at)),
            Err(error) => found.error(node.at, error),
        }
    }
    if let [(_, from_text, from), (node, text, to)] = ends.as_slice()
        && from >= to
    {
        found.error(node.at, format!("'to' ({}) is not after 'from' ({})", short(text), short(from_text)));
    }
}
