//! What drills write about faults and actions: every kind's parameters, in every build.

use crate::choice;
pub use crate::fault::gateway::params::{GatewayBlackhole, GatewayRefuse};

choice! {
    /// A fault: exactly one kind.
    FaultSpec as FaultKind {
        /// Connections to the named services hang.
        gateway_blackhole / "gatewayBlackhole" => GatewayBlackhole(GatewayBlackhole),
        /// Connections to the named services are refused at once.
        gateway_refuse / "gatewayRefuse" => GatewayRefuse(GatewayRefuse),
    }
}

choice! {
    /// An action, the evacuation itself: exactly one kind.
    ActionSpec as ActionKind {
        /// Placeholder until the other kinds are listed.
        gateway_refuse / "gatewayRefuse" => GatewayRefuse(GatewayRefuse),
    }
}
