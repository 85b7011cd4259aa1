//! The tcp probe: a connection that opens.

use std::sync::Arc;

use async_trait::async_trait;
use url::Host;

use super::definition::Definition;
use super::open::{Opening, unanswered};
use super::params::TcpProbe;
use super::{Probe, Reading};
use crate::drill::about::{About, Permissions};
use crate::http::Client;

/// A TCP handshake a tick, closed again without a byte.
struct Tcp {
    client: Client,
    host: Host,
    port: u16,
}

impl Definition for TcpProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "One TCP connection a tick, closed without a byte once its handshake is complete.",
            undo: "",
            verified: "",
            must_know: &[
                "A name with several addresses is good when one of them takes the connection, as for a client that tries them all; the next is tried after 250 ms, or once one has failed.",
                "Refused, unreachable, no answer in time and a name without addresses are bad; an address that probes may not reach is unknown.",
                "The kernel completes handshakes for a process that hangs, and a load balancer for targets that are gone: use http to see an answer.",
            ],
            permissions: Permissions { inject: &[], revert: &[], read: &["reach the port from where firedrill runs"] },
            example: "tcp: {host: \"${records.checkout}\", port: 443}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        if self.port == 0 {
            return Err("port 0 is nobody's; use 1 to 65535".to_owned());
        }
        let host = opening.client.host(&self.host).map_err(|error| match self.host.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && opening.rules.host(host).is_ok() => format!("{error}; the port goes into 'port'"),
            _ => error,
        })?;
        Ok(Arc::new(Tcp { client: opening.client.clone(), host, port: self.port }))
    }
}

#[async_trait]
impl Probe for Tcp {
    async fn read(&self) -> Reading {
        self.client.connect(&self.host, self.port).await.map_or_else(unanswered, |_| Reading::good())
    }

    fn timed_out(&self) -> Reading {
        Reading::bad("no connection in time")
    }

    fn describe(&self) -> String {
        format!("tcp {}:{}", self.host, self.port)
    }
}
