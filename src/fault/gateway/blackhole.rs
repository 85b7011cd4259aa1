//! `gatewayBlackhole`: connections to the named services hang.

use std::time::Duration;

use super::rule::{Flavor, Seen};
use crate::gateway::Effect;

/// A connection counts as hanging when nothing came back for this long: a gateway in front answers within milliseconds.
const HANGS: Duration = Duration::from_secs(1);

/// The kind: a client sees nothing at all for as long as it looks.
pub static FLAVOR: Flavor = Flavor { name: "gatewayBlackhole", effect: Effect::Blackhole, watch: HANGS, bites };

fn bites(seen: &Seen) -> Result<(), String> {
    match seen {
        Seen::Nothing => Ok(()),
        other => Err(format!("a new connection should hang for {} s, but {other}", HANGS.as_secs())),
    }
}
