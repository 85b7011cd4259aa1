//! The order of a drill's steps.

use std::collections::{BTreeMap, BTreeSet};

use super::spec::DrillSpec;

/// Every step, direct or not, that `step` comes after.
#[must_use]
pub fn before(drill: &DrillSpec, step: &str) -> BTreeSet<String> {
    let after: BTreeMap<&str, &[String]> = drill.steps.iter().map(|step| (step.id.as_str(), step.after.as_slice())).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![step];
    while let Some(id) = open.pop() {
        for before in after.get(id).copied().unwrap_or_default() {
            if found.insert(before.clone()) {
                open.push(before);
            }
        }
    }
    found
}
