//! `gatewayRefuse`: connections to the named services are refused at once.

use std::time::Duration;

use super::rule::{Flavor, Seen};
use crate::gateway::Effect;

/// The kind: the connection to the gateway is reset as soon as the client has said where it wants to go.
pub static FLAVOR: Flavor = Flavor { name: "gatewayRefuse", effect: Effect::Refuse, watch: Duration::from_secs(5), bites };

fn bites(seen: &Seen) -> Result<(), String> {
    match seen {
        Seen::Reset => Ok(()),
        other => Err(format!("a new connection should be reset, but {other}")),
    }
}
