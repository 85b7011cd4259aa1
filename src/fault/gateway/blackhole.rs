//! `gatewayBlackhole`: connections to the named services hang.

use super::rule::{Flavor, PATIENCE, Seen};
use crate::gateway::Effect;

/// The kind: a client sees nothing at all for as long as it looks.
pub static FLAVOR: Flavor = Flavor { name: "gatewayBlackhole", effect: Effect::Blackhole, bites };

fn bites(seen: &Seen) -> Result<(), String> {
    match seen {
        Seen::Nothing => Ok(()),
        other => Err(format!("a new connection should hang for {} ms, but {other}", PATIENCE.as_millis())),
    }
}
