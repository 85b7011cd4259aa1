//! The mark of a change to record sets, which carry no tags: a TXT record set beside them, in the same batch of changes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as CODE;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::aws::hosted_zones::{Content, RecordSet, Zone};
use crate::fault::carried::{packed, unpacked};
use crate::fault::shell::word;
use crate::fault::{Record, TargetId};

/// All marks of a zone stand under this label of it: Route 53 lists them together.
const UNDER: &str = "_firedrill";
/// Before the run's id, in the first text of the set.
const RUN: &str = "firedrill.dev/run=";
/// Longest text of a TXT record, and longest value: <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#TXTFormat>
const TEXT: usize = 255;
const VALUE: usize = 4_000;

/// Where the marks of a zone begin.
pub fn under(zone: &Zone) -> String {
    format!("{UNDER}.{}", zone.name)
}

/// Whether a name is one of a mark.
pub fn is_name(name: &str, zone: &Zone) -> bool {
    name.trim_end_matches('.').ends_with(under(zone).trim_end_matches('.'))
}

/// The mark of a record in a zone: run-unique by its name.
pub fn of(record: &Record, zone: &str) -> RecordSet {
    let code = CODE.encode(packed(record));
    let texts = code.as_bytes().chunks(TEXT).map(|part| format!("\"{}\"", String::from_utf8_lossy(part)));
    let texts: Vec<String> = std::iter::once(format!("\"{RUN}{}\"", record.run)).chain(texts).collect();
    let content = Content { value: texts.join(" ") };
    RecordSet {
        name: name(record, zone),
        r#type: "TXT".to_owned(),
        set_identifier: None,
        weight: None,
        ttl: Some(60),
        resource_records: vec![content],
        alias_target: None,
        health_check_id: None,
    }
}

/// The name of a record's mark in a zone.
pub fn name(record: &Record, zone: &str) -> String {
    let digest = Sha256::digest(format!("{}/{}", record.step, record.target.id));
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{short}.{UNDER}.{zone}", record.run.to_ascii_lowercase())
}

/// Commands that delete the mark of this name by hand. None is there when the change was made by hand: then they do nothing.
pub fn delete_by_hand(aws: &str, zone: &str, name: &str) -> [String; 2] {
    let start = word(name);
    let query = format!("{{Changes: ResourceRecordSets[?Name=='{name}'].{{Action: 'DELETE', ResourceRecordSet: @}}}}");
    let list =
        format!("{aws} route53 list-resource-record-sets --hosted-zone-id {zone} --start-record-name {start} --start-record-type TXT --max-items 1");
    [
        format!("mark=$({list} --query \"{query}\" --output json)"),
        format!("case \"$mark\" in *DELETE*) {aws} route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch \"$mark\" ;; esac"),
    ]
}

/// Whether it is too long for one TXT record.
pub fn too_long(mark: &RecordSet) -> bool {
    mark.resource_records.iter().any(|content| content.value.len() > VALUE)
}

/// The record that a mark in this place carries; none when it cannot be read, or was copied from another zone.
pub fn carried(mark: &RecordSet, place: &str, zone: &str, invert: Value) -> Option<Record> {
    let [only] = mark.resource_records.as_slice() else { return None };
    let mut texts = only.value.split(' ').map(|text| text.trim_matches('"'));
    let run = texts.next()?.strip_prefix(RUN)?.to_owned();
    let text = String::from_utf8(CODE.decode(texts.collect::<String>()).ok()?).ok()?;
    let record = unpacked(&run, &text, invert)?;
    let here = |target: &TargetId| target.place == place && target.id.starts_with(&format!("record/{zone}/"));
    Some(record).filter(|record| here(&record.target))
}
