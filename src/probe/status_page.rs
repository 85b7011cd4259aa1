//! The statusPage probe: your own status page tells the truth.

use std::sync::Arc;

use async_trait::async_trait;

use super::definition::Definition;
use super::http::Http;
use super::open::Opening;
use super::params::{HttpProbe, StatusPageProbe};
use super::{Probe, Reading};
use crate::drill::about::{About, Permissions};

/// A page that is read as the http probe reads.
struct StatusPage(Http);

impl Definition for StatusPageProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "One GET a tick, as a reader of the page makes it; good while the answer is 2xx and says what is expected.",
            undo: "",
            verified: "",
            must_know: &[
                "Expect what the page says of the failure, and give the objective `detectWithin`: the page must not say it before the drill, and its clock runs from the first fault.",
                "A page that cannot be reached is bad, not unknown: it was hosted in what failed, and its readers see nothing.",
                "The URL is read as readers get it, caches included; point it at the address that you publish.",
                "`expectBody` sees the first 64 KiB as sent: a page that a script fills in the browser has an address for its data, and that is the one to read.",
            ],
            permissions: Permissions { inject: &[], revert: &[], read: &["reach the page from where firedrill runs"] },
            example: "statusPage: {url: \"${endpoints.status}\", expectBody: 'degraded|outage'}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        if self.expect_body.is_none() && self.expect_json.is_none() {
            return Err("needs at least one of expectBody and expectJson".to_owned());
        }
        let page =
            HttpProbe { url: self.url.clone(), expect_body: self.expect_body.clone(), expect_json: self.expect_json.clone(), ..HttpProbe::default() };
        Ok(Arc::new(StatusPage(Http::open(&page, opening.client.clone())?)))
    }
}

#[async_trait]
impl Probe for StatusPage {
    async fn read(&self) -> Reading {
        self.0.read().await
    }

    fn timed_out(&self) -> Reading {
        self.0.timed_out()
    }

    fn describe(&self) -> String {
        format!("statusPage {}", self.0.address())
    }
}
