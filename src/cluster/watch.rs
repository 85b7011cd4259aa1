//! What changes in a collection of a cluster, as it does.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use hyper::{Method, Request};
use kube::core::WatchEvent;
use serde_json::Value;

use super::api::Cluster;
use super::error::ApiError;
use super::resource::Resource;

/// The API server ends a watch after this long; the next one goes on from where it was.
const LENGTH: Duration = Duration::from_secs(240);
/// A watch that says nothing for so long is broken: bookmarks come once a minute.
pub(super) const SILENCE: Duration = Duration::from_secs(180);

/// A change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The object is like this now.
    Is(Value),
    /// It is gone; as it was.
    Gone(Value),
    /// Nothing has changed up to this version.
    Mark(String),
    /// The version that the watch began from is too old: list again.
    TooOld,
}

impl Change {
    /// The version of the collection after it.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Is(value) | Self::Gone(value) => value.pointer("/metadata/resourceVersion").and_then(Value::as_str),
            Self::Mark(version) => Some(version),
            Self::TooOld => None,
        }
    }
}

impl Cluster {
    /// Changes of a collection after `version`, until the API server ends the watch.
    pub async fn watch(&self, resource: Resource, namespace: &str, version: &str) -> Result<BoxStream<'static, Result<Change, ApiError>>, ApiError> {
        self.check().await?;
        // The version is the server's own word, a number.
        let query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={}", LENGTH.as_secs());
        let path = format!("{}?{query}", resource.path(Some(namespace)));
        let name = self.name().to_owned();
        let failed = |error: kube::Error| ApiError::of(&name, error);
        let request = Request::builder().method(Method::GET).uri(path).body(Vec::new());
        let request = request.map_err(|error| ApiError::Failed { cluster: name.clone(), code: 0, what: error.to_string() })?;
        let stream = match self.watching().await?.request_events::<Value>(request).await {
            Ok(stream) => stream,
            Err(kube::Error::Api(status)) if status.code == 410 => return Ok(futures::stream::iter([Ok(Change::TooOld)]).boxed()),
            Err(error) => return Err(failed(error).naming(&self.access("watch", resource, Some(namespace)))),
        };
        Ok(told(stream, self.name().to_owned()))
    }
}

fn told(
    events: impl Stream<Item = Result<WatchEvent<Value>, kube::Error>> + Send + 'static,
    name: String,
) -> BoxStream<'static, Result<Change, ApiError>> {
    let change = move |event| match event {
        Ok(WatchEvent::Added(value) | WatchEvent::Modified(value)) => Ok(Change::Is(value)),
        Ok(WatchEvent::Deleted(value)) => Ok(Change::Gone(value)),
        Ok(WatchEvent::Bookmark(mark)) => Ok(Change::Mark(mark.metadata.resource_version)),
        Ok(WatchEvent::Error(status)) if status.code == 410 => Ok(Change::TooOld),
        Ok(WatchEvent::Error(status)) => Err(ApiError::of(&name, kube::Error::Api(status))),
        Err(error) => Err(ApiError::of(&name, error)),
    };
    events.map(change).boxed()
}
