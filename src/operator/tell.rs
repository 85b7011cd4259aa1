//! What people read beside a status: Events with reasons, and conditions.

use serde_json::{Value, json};

use super::lead::Operator;
use super::notify::{Message, Notice, RunInShort};
use super::object::Meta;
use super::resource::Resource;
use super::status::{Condition, ConditionStatus};
use super::{GROUP, VERSION};
use crate::clock::Timestamp;
use crate::cluster::resource::EVENTS;

/// Bytes of an Event's note (API reference, `events.k8s.io/v1`).
const MOST_NOTE: usize = 1_024;
/// Characters of a condition's message.
const MOST_MESSAGE: usize = 2_048;

/// An Event: about which object, and what happened.
#[derive(Debug, Clone, Copy)]
pub struct News<'a> {
    /// `Started`, `StillInPlace`.
    pub reason: &'a str,
    /// Whether somebody should look.
    pub warning: bool,
    /// A sentence.
    pub note: &'a str,
    /// As what it is told outside the cluster too.
    pub notice: Option<Notice>,
}

impl<'a> News<'a> {
    /// For the object's Events only.
    #[must_use]
    pub const fn of(reason: &'a str, warning: bool, note: &'a str) -> Self {
        Self { reason, warning, note, notice: None }
    }

    /// Told outside the cluster too.
    #[must_use]
    pub const fn told_as(self, notice: Notice) -> Self {
        Self { notice: Some(notice), ..self }
    }
}

impl Operator {
    /// Writes an Event. One that cannot be written is logged: nothing waits for it.
    pub async fn tell(&self, resource: &Resource, about: &Meta, news: News<'_>) {
        let News { reason, warning, note, notice } = news;
        if warning {
            tracing::warn!(kind = resource.kind, name = about.name, reason, "{note}");
        } else {
            tracing::info!(kind = resource.kind, name = about.name, reason, "{note}");
        }
        if let Some(notice) = notice {
            self.notify(resource, about, notice, reason, note);
        }
        let unique = ulid::Ulid::generate().to_string().to_lowercase();
        let event = json!({
            "apiVersion": EVENTS.api_version(), "kind": EVENTS.kind,
            "metadata": {"name": format!("{}.{unique}", about.name), "namespace": self.namespace},
            "eventTime": now(), "reportingController": "firedrill.dev/operator", "reportingInstance": cut(&self.identity, 128),
            "action": reason, "reason": reason, "type": if warning { "Warning" } else { "Normal" }, "note": cut(note, MOST_NOTE),
            "regarding": {
                "apiVersion": format!("{GROUP}/{VERSION}"), "kind": resource.kind, "name": about.name, "namespace": self.namespace, "uid": about.uid,
            },
        });
        if let Err(error) = self.cluster.create(EVENTS, Some(&self.namespace), &event).await {
            tracing::warn!("the Event {reason} of {} '{}' could not be written: {error}", resource.kind, about.name);
        }
    }

    fn notify(&self, resource: &Resource, about: &Meta, notice: Notice, reason: &str, note: &str) {
        let store = if resource.kind == Resource::DRILL_RUN.kind { &self.stores.runs } else { &self.stores.schedules };
        let object = store.get(&about.name).filter(|object| object.pointer("/metadata/uid").and_then(Value::as_str) == Some(about.uid.as_str()));
        let text = |pointer: &str| object.as_ref()?.pointer(pointer)?.as_str().map(str::to_owned);
        let environment = if resource.kind == Resource::ENVIRONMENT.kind { Some(about.name.clone()) } else { text("/spec/environment") };
        let run = (object.as_ref().filter(|_| resource.kind == Resource::DRILL_RUN.kind))
            .and_then(|object| serde_json::from_value::<RunInShort>(object.get("status")?.clone()).ok());
        let message = Message {
            notice,
            reason: reason.to_owned(),
            message: note.to_owned(),
            at: now(),
            kind: resource.kind,
            namespace: self.namespace.clone(),
            name: about.name.clone(),
            drill: text("/spec/drill"),
            environment,
            run,
        };
        self.settings.notifications.post(message, &self.metrics);
    }
}

/// Sets a condition; when it last changed stays as long as it says the same.
pub fn set(conditions: &mut Vec<Condition>, about: &str, holds: Option<bool>, reason: &str, message: &str, generation: Option<i64>) {
    let status = match holds {
        Some(true) => ConditionStatus::True,
        Some(false) => ConditionStatus::False,
        None => ConditionStatus::Unknown,
    };
    let known = conditions.iter().find(|one| one.about == about && one.status == status);
    let condition = Condition {
        about: about.to_owned(),
        status,
        observed_generation: generation,
        last_transition_time: known.map_or_else(now, |known| known.last_transition_time),
        reason: reason.to_owned(),
        message: cut(message, MOST_MESSAGE).to_owned(),
    };
    match conditions.iter_mut().find(|one| one.about == about) {
        Some(one) => *one = condition,
        None => conditions.push(condition),
    }
}

/// At most so many bytes, whole characters.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The time on the wall: what people and schedules go by.
#[must_use]
pub fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

/// A reference that makes an object go with its owner.
#[must_use]
pub fn owned_by(resource: &Resource, meta: &Meta) -> Value {
    json!([{"apiVersion": format!("{GROUP}/{VERSION}"), "kind": resource.kind, "name": meta.name, "uid": meta.uid}])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_changes_when_its_status_does() {
        let mut all = Vec::new();
        set(&mut all, "Valid", Some(true), "Checked", "", Some(1));
        all[0].last_transition_time = Timestamp(7);
        set(&mut all, "Valid", Some(true), "Checked", "again", Some(2));
        assert_eq!((all.len(), all[0].last_transition_time, all[0].observed_generation), (1, Timestamp(7), Some(2)));
        set(&mut all, "Valid", Some(false), "Invalid", "ü", None);
        assert!(all[0].last_transition_time > Timestamp(7));
        assert_eq!(cut("aü", 2), "a");
    }
}
