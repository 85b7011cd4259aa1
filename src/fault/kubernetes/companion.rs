//! The mark of a target whose own annotations would travel to other objects: a `ConfigMap` beside it, named after run and step, that carries the whole
//! record.
//!
//! It is made before the change and deleted after the undo, so whatever dies in between can be found, and undone, from the companion alone. It counts only
//! where it was made: a copy of it in another namespace, or under another name, is nobody's mark.

use serde_json::{Value, json};

use super::place::text;
use super::{mark, object, place};
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{At, CONFIG_MAPS};
use crate::fault::carried::{packed, unpacked};
use crate::fault::{KindError, Record, TargetId};

/// Key of its data.
const RECORD: &str = "record";

/// Its identity in a record: `configmaps/shop/firedrill-<run>-<step>`.
pub fn named(namespace: &str, run: &str, step: &str) -> String {
    // RFC 1123: lower case. Run ids are upper case, steps are names already.
    format!("{}/{namespace}/firedrill-{}-{step}", CONFIG_MAPS.plural, run.to_lowercase())
}

/// Where a record's companion is.
fn at(record: &Record) -> Result<At<'_>, KindError> {
    let mut all = record.companions.iter();
    let found = all.find_map(|id| id.strip_prefix(CONFIG_MAPS.plural)?.strip_prefix('/')?.split_once('/'));
    let (namespace, name) = found.ok_or_else(|| KindError::Failed(format!("the record of {} names no companion", record.target)))?;
    Ok(CONFIG_MAPS.at(Some(namespace), name))
}

fn config_map(record: &Record, at: &At<'_>) -> Value {
    json!({
        "apiVersion": CONFIG_MAPS.api_version(),
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "name": at.name,
            "namespace": at.namespace,
            "labels": {mark::RUN: record.run, "app.kubernetes.io/managed-by": "firedrill"},
            "annotations": {mark::EXPIRES: record.undo_by.to_string()},
        },
        "immutable": true,
        "data": {RECORD: packed(record)},
    })
}

/// Writes: makes it. False: it was there already.
pub async fn create(cluster: &Cluster, record: &Record) -> Result<bool, KindError> {
    let at = at(record)?;
    match cluster.create(CONFIG_MAPS, at.namespace, &config_map(record, &at)).await {
        Ok(_) => Ok(true),
        Err(error @ ApiError::Conflict { .. }) => match find(cluster, record).await? {
            Some(_) => Ok(false),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Reads: the companion of exactly this record.
pub async fn find(cluster: &Cluster, record: &Record) -> Result<Option<Value>, KindError> {
    let found = cluster.get(&at(record)?).await?;
    Ok(found.filter(|found| carried(found, &record.target.place, Value::Null).is_some_and(|own| same(&own, record))))
}

/// Writes: deletes it. That there is none is success.
pub async fn drop(cluster: &Cluster, record: &Record) -> Result<(), KindError> {
    let Some(found) = find(cluster, record).await? else { return Ok(()) };
    Ok(cluster.delete(&at(record)?, mark::uid(&found)).await?)
}

/// Reads: the records that companions carry, in one namespace or all.
pub async fn all(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Record>, KindError> {
    let found = cluster.list(CONFIG_MAPS, namespace, Some(mark::RUN), None).await?;
    Ok(found.iter().filter_map(|found| carried(found, &cluster.place(), place::invert(cluster))).collect())
}

fn same(one: &Record, other: &Record) -> bool {
    (&one.run, &one.step, &one.target) == (&other.run, &other.step, &other.target)
}

/// The record that a `ConfigMap` carries, if it is where that record put it.
fn carried(found: &Value, place: &str, invert: Value) -> Option<Record> {
    let run = found.pointer("/metadata/labels")?.get(mark::RUN)?.as_str()?;
    let record = unpacked(run, text(found, "/data/record"), invert)?;
    let at = at(&record).ok()?;
    let here = (at.namespace.unwrap_or_default(), at.name) == (text(found, "/metadata/namespace"), text(found, "/metadata/name"));
    let beside = record.target.id.split('/').nth(1) == at.namespace;
    (here && beside && record.target.place == place).then_some(record)
}

/// Reads: refuses a target that another run has marked and not given back.
pub async fn refuse_marked(cluster: &Cluster, target: &TargetId, identity: &object::Identity<'_>) -> Result<(), KindError> {
    let all = all(cluster, Some(identity.namespace)).await?;
    match all.iter().find(|record| record.target == *target) {
        Some(record) => Err(KindError::Refused(format!("{identity} is marked by run {}; `firedrill sweep` shows what it left", record.run))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::Phase;
    use crate::fault::RECORD_VERSION;

    fn record() -> Record {
        Record {
            version: RECORD_VERSION,
            run: "01KB2QXW8V5Z3M4N7P9R1S6T8D".into(),
            step: "scale-up".into(),
            after: vec!["dark".into()],
            kind: "workloadScale".into(),
            action: true,
            keep: true,
            target: TargetId { place: "kubernetes/cluster".into(), id: "deployments/shop/api/uid-1".into() },
            prior: json!({"replicas": 2}),
            ours: json!({"replicas": 9}),
            invert: json!({"cluster": "…"}),
            companions: vec![named("shop", "01KB2QXW8V5Z3M4N7P9R1S6T8D", "scale-up")],
            undo_by: Timestamp(1_700_000_000_000_000),
            phase: Phase::Injected,
        }
    }

    fn made() -> Value {
        let record = record();
        config_map(&record, &at(&record).unwrap())
    }

    #[test]
    fn a_companion_carries_the_whole_record() {
        let record = record();
        assert_eq!(made().pointer("/metadata/name").unwrap(), "firedrill-01kb2qxw8v5z3m4n7p9r1s6t8d-scale-up");
        assert_eq!(carried(&made(), &record.target.place, record.invert.clone()).unwrap(), record);
    }

    #[test]
    fn a_copy_elsewhere_is_nobodys_mark() {
        let ghost = |pointer: &str, value: &str| {
            let mut copy = made();
            *copy.pointer_mut(pointer).unwrap() = value.into();
            carried(&copy, "kubernetes/cluster", Value::Null)
        };
        assert!(ghost("/metadata/namespace", "shop").is_some());
        assert!(ghost("/metadata/namespace", "restored").is_none(), "another namespace");
        assert!(ghost("/metadata/name", "copy").is_none(), "another name");
        let with = |target: &str| ghost("/data/record", &packed(&record()).replace("deployments/shop/api/uid-1", target));
        assert!(with("deployments/bank/api/uid-1").is_none(), "a target elsewhere");
        assert!(ghost("/data/record", "{}").is_none(), "not a record");
        assert!(carried(&made(), "kubernetes/another", Value::Null).is_none(), "another cluster");
        assert!(!same(&with("deployments/shop/api/uid-2").unwrap(), &record()), "another object of that name");
    }
}
