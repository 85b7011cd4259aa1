//! Record sets as targets: their parts, and the batch that exchanges them.

use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, TagResourceType};
use serde_json::Value;

use super::mark::Tags;
use super::place::Place;
use crate::aws::error::CallError;
use crate::aws::hosted_zones::{NoZone, RecordSet};
use crate::fault::{KindError, Record, TargetId};

/// Targets: `record/ZONE/NAME/TYPE`: all sets of one name and type are changed together.
pub const SORT: &str = "record/";

/// A target's parts.
#[derive(Debug)]
pub struct At<'a> {
    /// Id of the hosted zone.
    pub zone: &'a str,
    /// The record's name.
    pub name: &'a str,
    /// Its type.
    pub r#type: &'a str,
}

impl From<NoZone> for KindError {
    fn from(error: NoZone) -> Self {
        match error {
            NoZone::Unclear(why) => Self::Refused(why),
            NoZone::Call(error) => error.into(),
        }
    }
}

/// A target of this kind, in its parts.
pub fn at(target: &TargetId) -> Result<At<'_>, KindError> {
    let parts = target.id.strip_prefix(SORT).and_then(|rest| rest.split_once('/')).and_then(|(zone, rest)| Some((zone, rest.rsplit_once('/')?)));
    let (zone, (name, r#type)) = parts.ok_or_else(|| KindError::Failed(format!("{target} is no record")))?;
    Ok(At { zone, name, r#type })
}

/// Name of the zone that a record's state keeps.
pub fn zone_of(record: &Record) -> Result<&str, KindError> {
    record.prior["zone"].as_str().ok_or_else(|| KindError::Failed(format!("the record of {} does not name its zone", record.target)))
}

/// The sets of a recorded state.
pub fn changed(state: &Value) -> Vec<RecordSet> {
    serde_json::from_value(state["sets"].clone()).unwrap_or_default()
}

/// Whether every one of these sets stands there, exactly.
pub fn is_there(wanted: &[RecordSet], sets: &[RecordSet]) -> bool {
    !wanted.is_empty() && wanted.iter().all(|set| sets.contains(set))
}

/// Takes these sets away and puts those in their place, with the mark, in one batch.
pub fn exchange(from: Vec<RecordSet>, to: Vec<RecordSet>, mark: (ChangeAction, RecordSet)) -> Vec<(ChangeAction, RecordSet)> {
    let (deleted, created) = (from.into_iter().map(|set| (ChangeAction::Delete, set)), to.into_iter().map(|set| (ChangeAction::Create, set)));
    deleted.chain(created).chain([mark]).collect()
}

/// What one call changes: all of it, or nothing.
pub fn batch(changes: &[(ChangeAction, RecordSet)], comment: &str) -> Result<ChangeBatch, KindError> {
    let change = |(action, set): &(ChangeAction, RecordSet)| Change::builder().action(action.clone()).set_resource_record_set(set.sent()).build();
    let changes = changes.iter().map(change).collect::<Result<Vec<_>, _>>().map_err(|error| KindError::Failed(error.to_string()))?;
    ChangeBatch::builder().comment(comment).set_changes(Some(changes)).build().map_err(|error| KindError::Failed(error.to_string()))
}

/// Reads: the tags of a zone.
pub async fn tags(place: &Place, zone: &str) -> Result<Tags, CallError> {
    let request = place.clients().await?.route53.list_tags_for_resource().resource_type(TagResourceType::Hostedzone).resource_id(zone);
    let answer = place.account.read("route53:ListTagsForResource", request.send()).await?;
    let tags = answer.resource_tag_set().into_iter().flat_map(|set| set.tags());
    Ok(tags.map(|tag| (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned())).collect())
}
