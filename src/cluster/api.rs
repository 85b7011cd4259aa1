//! One cluster: reads, conditional writes, and the check that it is the one that is meant.
//!
//! Writes go through [`Cluster::write`], and nowhere else: it hits a failpoint before the call and after the answer, so that a test can kill the
//! process at each of them (`tests/kubernetes` fails on a write that it cannot find).

use std::time::Duration;

use futures::StreamExt;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::http;
use hyper::{Method, Request};
use kube::Client;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::access::Access;
use super::error::ApiError;
use super::resource::{ACCESS_REVIEWS, At, NAMESPACES, PODS, Resource};
use super::together::Together;
use super::{Reference, connect};
use crate::drill::spec::ClusterConnection;
use crate::failpoint;
use crate::fence;

/// So many objects a page: kubectl's own figure.
const PAGE: usize = 500;
/// The cluster's identity is read again after this long: a run may hold for an hour.
const TRUSTED: Duration = Duration::from_secs(60);
/// Longest that a call waits while the server asks for patience (429), and one such wait when it does not say how long.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_secs(1);
/// What is wanted back by who does not look at it: a node without its status, which is most of it.
const BRIEF: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// Access reviews in flight.
const REVIEWS: usize = 8;

/// A cluster. It is connected to at the first call.
pub struct Cluster {
    reference: Reference,
    /// Whether it may be any cluster.
    any: bool,
    client: OnceCell<Client>,
    watching: OnceCell<Client>,
    /// When its identity was last seen to be right.
    seen: Mutex<Option<Instant>>,
    together: Together,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// How a failpoint and an audit log call a write.
#[derive(Debug, Clone, Copy)]
enum Write {
    Patch,
    Create,
    Delete,
    Evict,
}

impl Write {
    fn failpoints(self) -> (&'static str, &'static str) {
        match self {
            Self::Patch => ("cluster.patch.before", "cluster.patch.after"),
            Self::Create => ("cluster.create.before", "cluster.create.after"),
            Self::Delete => ("cluster.delete.before", "cluster.delete.after"),
            Self::Evict => ("cluster.evict.before", "cluster.evict.after"),
        }
    }
}

impl Cluster {
    /// A cluster that is not connected to yet.
    #[must_use]
    pub fn new(reference: Reference) -> Self {
        Self { reference, any: false, client: OnceCell::new(), watching: OnceCell::new(), seen: Mutex::new(None), together: Together::default() }
    }

    /// The cluster of a connection, whichever it is: its uid is read, and from then on it must stay the same.
    pub async fn discover(name: &str, connection: &ClusterConnection) -> Result<Self, ApiError> {
        let reference = Reference { name: name.to_owned(), uid: String::new(), connection: connection.clone() };
        let mut cluster = Self::new(reference);
        let at = NAMESPACES.at(None, "kube-system");
        let found: Value =
            cluster.patiently(|| request(Method::GET, &at.path(), None, None)).await.map_err(|error| error.naming(&cluster.check_access()))?;
        cluster.reference.uid = found.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(cluster)
    }

    /// The cluster of a connection, whichever it is, for who follows one namespace of it and may do nothing else: its uid is never looked at, which would
    /// need a permission on the whole cluster. Not for targets.
    #[must_use]
    pub fn any(name: &str, connection: &ClusterConnection) -> Self {
        let reference = Reference { name: name.to_owned(), uid: String::new(), connection: connection.clone() };
        Self { any: true, ..Self::new(reference) }
    }

    /// How it is named, known and reached.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Questions about its nodes that wait for an answer.
    pub(super) fn together(&self) -> &Together {
        &self.together
    }

    /// Its name in the environment.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// Where its targets live, for [`crate::event`] and people: `kubernetes/<uid of kube-system>`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("kubernetes/{}", self.reference.uid)
    }

    /// The object, or none (404).
    pub async fn get(&self, at: &At<'_>) -> Result<Option<Value>, ApiError> {
        self.check().await?;
        match self.patiently(|| request(Method::GET, &at.path(), None, None)).await {
            Ok(found) => Ok(Some(found)),
            Err(ApiError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.naming(&self.access("get", at.resource, at.namespace).named(at.name))),
        }
    }

    /// Every object of a collection, all pages; `labels` is a label selector, `fields` a field selector.
    pub async fn list(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Vec<Value>, ApiError> {
        self.list_of(resource, namespace, labels, fields).await
    }

    /// The same, and of each object only what `T` keeps: to read a thousand whole ones costs more than to ask for them.
    pub(super) async fn list_of<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Vec<T>, ApiError> {
        self.check().await?;
        Ok(self.pages(resource, namespace, labels, fields).await?.0)
    }

    /// Every object of a namespace's collection, and the version of it from which a watch goes on.
    pub async fn list_at(&self, resource: Resource, namespace: &str) -> Result<(Vec<Value>, String), ApiError> {
        self.check().await?;
        self.pages(resource, Some(namespace), None, None).await
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<(Vec<T>, String), ApiError> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let path = page_path(resource, namespace, labels, fields, &token);
            let page = self.patiently(|| request(Method::GET, &path, None, None)).await;
            let page: Page<T> = page.map_err(|error| error.naming(&self.access("list", resource, namespace)))?;
            items.extend(page.items);
            token = page.metadata.next;
            if token.is_empty() {
                return Ok((items, page.metadata.resource_version));
            }
        }
    }

    /// Writes: a JSON patch (RFC 6902), whose `test` operations are its conditions.
    pub async fn patch(&self, at: &At<'_>, operations: &[Value]) -> Result<(), ApiError> {
        self.patch_as::<IgnoredAny>(at, operations, BRIEF).await.map(drop)
    }

    /// Writes: the same, for who needs the object as it is after it.
    pub async fn patched(&self, at: &At<'_>, operations: &[Value]) -> Result<Value, ApiError> {
        self.patch_as(at, operations, "application/json").await
    }

    async fn patch_as<T: DeserializeOwned>(&self, at: &At<'_>, operations: &[Value], answer: &'static str) -> Result<T, ApiError> {
        let (path, body) = (format!("{}?fieldManager=firedrill", at.path()), json!(operations));
        let call = || {
            let mut request = request(Method::PATCH, &path, Some(&body), Some("application/json-patch+json"))?;
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(answer));
            Ok(request)
        };
        self.write(Write::Patch, call).await.map_err(|error| error.naming(&self.access("patch", at.resource, at.namespace).named(at.name)))
    }

    /// Writes: the same on the object's status.
    pub async fn patch_status(&self, at: &At<'_>, operations: &[Value]) -> Result<Value, ApiError> {
        let (path, body) = (format!("{}/status?fieldManager=firedrill", at.path()), json!(operations));
        let sent = self.write(Write::Patch, || request(Method::PATCH, &path, Some(&body), Some("application/json-patch+json"))).await;
        sent.map_err(|error| error.naming(&self.access("patch", at.resource, at.namespace).subresource("status").named(at.name)))
    }

    /// Writes: a new object.
    pub async fn create(&self, resource: Resource, namespace: Option<&str>, object: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager=firedrill", resource.path(namespace));
        let sent = self.write(Write::Create, || request(Method::POST, &path, Some(object), None)).await;
        sent.map_err(|error| error.naming(&self.access("create", resource, namespace)))
    }

    /// Writes: deletes the object if it is still the one with this uid; that it is gone already is success, that it is another is a conflict.
    pub async fn delete(&self, at: &At<'_>, uid: &str) -> Result<(), ApiError> {
        self.delete_if(at, json!({"uid": uid})).await
    }

    /// Writes: as [`Cluster::delete`], and only if nobody has changed the object since it was read.
    pub async fn delete_unchanged(&self, at: &At<'_>, object: &Value) -> Result<(), ApiError> {
        let of = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
        self.delete_if(at, json!({"uid": of("/metadata/uid"), "resourceVersion": of("/metadata/resourceVersion")})).await
    }

    async fn delete_if(&self, at: &At<'_>, preconditions: Value) -> Result<(), ApiError> {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
        match self.write::<IgnoredAny>(Write::Delete, || request(Method::DELETE, &at.path(), Some(&body), None)).await {
            Ok(_) | Err(ApiError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.naming(&self.access("delete", at.resource, at.namespace).named(at.name))),
        }
    }

    /// Writes: asks for the eviction of the pod with this uid. `TooMany`: a disruption budget does not allow it now.
    pub async fn evict(&self, namespace: &str, name: &str, uid: &str, grace: Option<Duration>) -> Result<(), ApiError> {
        let mut options = json!({"preconditions": {"uid": uid}});
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = json!(grace.as_secs());
        }
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}, "deleteOptions": options,
        });
        let path = format!("{}/eviction?fieldManager=firedrill", PODS.at(Some(namespace), name).path());
        match self.write::<IgnoredAny>(Write::Evict, || request(Method::POST, &path, Some(&body), None)).await {
            Ok(_) | Err(ApiError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.naming(&self.access("create", PODS, Some(namespace)).subresource("eviction"))),
        }
    }

    /// Reads: those of `wanted` that the caller may not do.
    pub async fn missing(&self, wanted: Vec<Access>) -> Result<Vec<Access>, ApiError> {
        self.connected().await?;
        let reviewed = futures::stream::iter(wanted).map(|access| async move {
            let allowed = self.may(&access).await?;
            Ok::<_, ApiError>((!allowed).then_some(access))
        });
        let answers: Vec<Result<Option<Access>, ApiError>> = reviewed.buffered(REVIEWS).collect().await;
        answers.into_iter().filter_map(Result::transpose).collect()
    }

    async fn may(&self, access: &Access) -> Result<bool, ApiError> {
        let (resource, subresource) = access.resource.split_once('/').unwrap_or((&access.resource, ""));
        let access = access.as_asked();
        let attributes = json!({
            "verb": access.verb, "group": access.group, "resource": resource, "subresource": subresource,
            "namespace": access.namespace.as_deref().unwrap_or_default(), "name": access.name.as_deref().unwrap_or_default(),
        });
        let review = json!({
            "apiVersion": ACCESS_REVIEWS.api_version(), "kind": ACCESS_REVIEWS.kind, "spec": {"resourceAttributes": attributes},
        });
        // Not a write: the server stores no review.
        let answer: Value = self.patiently(|| request(Method::POST, &ACCESS_REVIEWS.path(None), Some(&review), None)).await?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
    }

    /// That this is the cluster that is meant, seen within the last minute.
    pub async fn check(&self) -> Result<(), ApiError> {
        if self.any {
            return Ok(());
        }
        let mut seen = self.seen.lock().await;
        if seen.is_some_and(|at| at.elapsed() < TRUSTED) {
            return Ok(());
        }
        let at = NAMESPACES.at(None, "kube-system");
        let found = self.patiently(|| request(Method::GET, &at.path(), None, None)).await;
        let found: Value = found.map_err(|error| error.naming(&self.access("get", NAMESPACES, None).named(at.name)))?;
        let found = found.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        if found != self.reference.uid {
            return Err(ApiError::OtherCluster { cluster: self.name().to_owned(), found: found.to_owned(), wanted: self.reference.uid.clone() });
        }
        *seen = Some(Instant::now());
        Ok(())
    }

    /// What [`Cluster::check`] needs.
    #[must_use]
    pub fn check_access(&self) -> Access {
        self.access("get", NAMESPACES, None).named("kube-system")
    }

    /// A verb on a resource of this cluster.
    #[must_use]
    pub fn access(&self, verb: &str, resource: Resource, namespace: Option<&str>) -> Access {
        Access { namespace: namespace.map(str::to_owned), ..Access::to(self.name(), verb, resource) }
    }

    /// Host of the API server as this process reaches it; none when the connection cannot be used.
    pub async fn server(&self) -> Option<String> {
        let config = connect::config(&self.reference.connection).await.ok()?;
        config.cluster_url.host().map(|host| host.trim_start_matches('[').trim_end_matches(']').to_owned())
    }

    /// The only way to a change.
    async fn write<T: DeserializeOwned>(&self, write: Write, call: impl Fn() -> Result<Request<Vec<u8>>, http::Error>) -> Result<T, ApiError> {
        self.check().await?;
        let (before, after) = write.failpoints();
        let failed = |what: failpoint::Tripped| ApiError::Failed { cluster: self.name().to_owned(), code: 0, what: what.to_string() };
        failpoint::hit(before).map_err(failed)?;
        fence::check();
        let answer = match write {
            // A budget's 429 is no throttling: who drains decides when to ask again.
            Write::Evict => self.once(&call).await,
            Write::Patch | Write::Create | Write::Delete => self.patiently(&call).await,
        };
        let lost = |what: failpoint::Tripped| ApiError::LostAnswer { cluster: self.name().to_owned(), why: what.to_string() };
        failpoint::hit(after).map_err(lost)?;
        answer
    }

    /// Asks again while the server throttles (429), which promises that nothing was done.
    async fn patiently<T: DeserializeOwned>(&self, call: impl Fn() -> Result<Request<Vec<u8>>, http::Error>) -> Result<T, ApiError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.once(&call).await {
                Err(ApiError::TooMany { after, .. }) if Instant::now() + after.unwrap_or(PAUSE) < end => {
                    tokio::time::sleep(after.unwrap_or(PAUSE)).await;
                }
                done => return done,
            }
        }
    }

    async fn once<T: DeserializeOwned>(&self, call: &impl Fn() -> Result<Request<Vec<u8>>, http::Error>) -> Result<T, ApiError> {
        let client = self.connected().await?;
        let request = call().map_err(|error| ApiError::Failed { cluster: self.name().to_owned(), code: 0, what: error.to_string() })?;
        client.request(request).await.map_err(|error| ApiError::of(self.name(), error))
    }

    async fn connected(&self) -> Result<&Client, ApiError> {
        let unusable = |why: String| ApiError::Config { cluster: self.name().to_owned(), why };
        self.client.get_or_try_init(|| async { connect::client(&self.reference.connection).await.map_err(unusable) }).await
    }
}

impl Cluster {
    /// The client of watches, whose answers do not end.
    pub(super) async fn watching(&self) -> Result<&Client, ApiError> {
        let unusable = |why: String| ApiError::Config { cluster: self.name().to_owned(), why };
        let connect = || async { connect::patient(&self.reference.connection, super::watch::SILENCE).await.map_err(unusable) };
        self.watching.get_or_try_init(connect).await
    }
}

/// One page of a collection.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    // Without `default`: an answer that is no list is an error, and not an empty one.
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    /// Where the next page begins; empty on the last.
    #[serde(default, rename = "continue")]
    next: String,
    #[serde(default, rename = "resourceVersion")]
    resource_version: String,
}

fn page_path(resource: Resource, namespace: Option<&str>, labels: Option<&str>, fields: Option<&str>, token: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &PAGE.to_string());
    for (name, value) in [("labelSelector", labels), ("fieldSelector", fields), ("continue", Some(token))] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    format!("{}?{}", resource.path(namespace), query.finish())
}

fn request(method: Method, path: &str, body: Option<&Value>, content: Option<&str>) -> Result<Request<Vec<u8>>, http::Error> {
    let builder = Request::builder().method(method).uri(path).header("Content-Type", content.unwrap_or("application/json"));
    builder.body(body.map(Value::to_string).unwrap_or_default().into_bytes())
}
