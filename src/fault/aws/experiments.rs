//! Experiments of the Fault Injection Service as they are read: templates, how long they last, and the safety lever.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_fis::types::{ExperimentStatus, ExperimentSummary};

use super::mark::Tags;
use super::place::Place;
use crate::aws::error::CallError;

/// Parameters of actions that say when FIS ends them.
/// <https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html>
const ENDS: [&str; 2] = ["duration", "startInstancesAfterDuration"];
/// Actions that end resources for good.
const FOR_GOOD: [&str; 3] = ["aws:ec2:terminate-instances", "aws:eks:terminate-nodegroup-instances", "aws:ec2:send-spot-instance-interruptions"];

/// What is known of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// When it was changed last: tells its versions apart.
    pub changed: String,
    /// Its tags.
    pub tags: Tags,
    /// Its actions, by name.
    pub actions: BTreeMap<String, Action>,
    /// It has no stop condition.
    pub unguarded: bool,
    /// Other accounts that it acts on.
    pub accounts: i64,
}

/// An action of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Action {
    /// `aws:ec2:stop-instances`.
    pub id: String,
    /// When FIS ends it; none when nothing says so.
    pub lasts: Option<Duration>,
    /// Actions that end before it begins.
    pub after: Vec<String>,
}

impl Template {
    /// When the experiment is over by itself, from its start; none when an action has no end.
    pub fn ends(&self) -> Option<Duration> {
        let mut ends: BTreeMap<&str, Duration> = BTreeMap::new();
        // An action that waits for another may come before it in the list: as many rounds as there are actions are enough.
        for _ in 0..self.actions.len() {
            for (name, action) in &self.actions {
                let begins = action.after.iter().filter_map(|before| ends.get(before.as_str())).max().copied().unwrap_or_default();
                ends.insert(name, begins + action.lasts?);
            }
        }
        ends.into_values().max()
    }

    /// Names of the actions that nothing ends.
    pub fn unbounded(&self) -> Vec<String> {
        let open = self.actions.iter().filter(|(_, action)| action.lasts.is_none());
        open.map(|(name, action)| format!("'{name}' ({})", action.id)).collect()
    }

    /// Why what it does would stay once it is stopped.
    pub fn lasting(&self) -> Vec<String> {
        let why = |(name, action): (&String, &Action)| match action.id.as_str() {
            id if FOR_GOOD.contains(&id) => Some(format!("action '{name}' ({id}) ends resources for good: nothing could undo it")),
            "aws:ec2:stop-instances" if action.lasts.is_none() => {
                Some(format!("action '{name}' stops instances and would not start them again: give it startInstancesAfterDuration, or use ec2Stop"))
            }
            _ => None,
        };
        self.actions.iter().filter_map(why).collect()
    }

    /// Its actions, for people.
    pub fn described(&self) -> String {
        let one = |(name, action): (&String, &Action)| {
            let lasts = action.lasts.map_or("without a duration".to_owned(), |lasts| format!("{} s", lasts.as_secs()));
            format!("{name} ({}, {lasts})", action.id)
        };
        self.actions.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// Reads: a template; none when there is no such one.
pub async fn template(place: &Place, id: &str) -> Result<Option<Template>, CallError> {
    let request = place.clients().await?.fis.get_experiment_template().id(id);
    let found = match place.account.read("fis:GetExperimentTemplate", request.send()).await {
        Err(error) if error.is_not_found() => return Ok(None),
        found => found?.experiment_template,
    };
    let action = |action: &aws_sdk_fis::types::ExperimentTemplateAction| Action {
        id: action.action_id().unwrap_or_default().to_owned(),
        lasts: action.parameters().and_then(|parameters| ENDS.iter().find_map(|key| seconds(parameters.get(*key)?))),
        after: action.start_after().to_vec(),
    };
    Ok(found.map(|found| Template {
        changed: found.last_update_time().map(ToString::to_string).unwrap_or_default(),
        tags: tags(found.tags()),
        actions: found.actions().into_iter().flatten().map(|(name, one)| (name.clone(), action(one))).collect(),
        unguarded: found.stop_conditions().iter().all(|condition| condition.source() == Some("none")),
        accounts: found.target_account_configurations_count().unwrap_or(0),
    }))
}

/// Reads: the experiments of a template, or all; FIS keeps them for 120 days. A template that is gone has none that could be asked for by it: all, then.
pub async fn list(place: &Place, template: Option<&str>) -> Result<Vec<ExperimentSummary>, CallError> {
    let request = place.clients().await?.fis.list_experiments().max_results(100);
    let some = request.clone().set_experiment_template_id(template.map(str::to_owned)).into_paginator().items().send();
    match place.account.read("fis:ListExperiments", some.try_collect()).await {
        Err(error) if error.is_not_found() && template.is_some() => {}
        found => return found,
    }
    let all: Vec<_> = place.account.read("fis:ListExperiments", request.into_paginator().items().send().try_collect()).await?;
    Ok(all.into_iter().filter(|one: &ExperimentSummary| one.experiment_template_id() == template).collect())
}

/// Reads: how many resources an experiment acts on.
pub async fn resolved(place: &Place, experiment: &str) -> Result<usize, CallError> {
    let pages = place.clients().await?.fis.list_experiment_resolved_targets().experiment_id(experiment).into_paginator().items().send();
    let all: Vec<_> = place.account.read("fis:ListExperimentResolvedTargets", pages.try_collect()).await?;
    Ok(all.len())
}

/// The safety lever of a region: engaged, it ends every experiment and lets none begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lever {
    /// Experiments may run.
    Free,
    /// They may not, and why.
    Engaged(String),
    /// Nobody can say, and why: the region, or the emulator, has no such API.
    NotChecked(String),
}

/// Reads: the safety lever. <https://docs.aws.amazon.com/fis/latest/userguide/safety-lever.html>
pub async fn lever(place: &Place) -> Result<Lever, CallError> {
    let request = place.clients().await?.fis.get_safety_lever().id("default");
    let state = match place.account.read("fis:GetSafetyLever", request.send()).await {
        Err(error) if error.code().is_some() => return Ok(Lever::NotChecked(error.to_string())),
        found => found?.safety_lever.and_then(|lever| lever.state),
    };
    let Some(state) = state else { return Ok(Lever::NotChecked("it has no state".to_owned())) };
    match state.status().map(|status| status.as_str()) {
        Some("disengaged") => Ok(Lever::Free),
        Some(status) => Ok(Lever::Engaged(state.reason().filter(|reason| !reason.is_empty()).unwrap_or(status).to_owned())),
        None => Ok(Lever::NotChecked("it has no state".to_owned())),
    }
}

/// Whether an experiment in this state is over.
pub fn is_over(status: Option<&ExperimentStatus>) -> bool {
    use ExperimentStatus::{Cancelled, Completed, Failed, Stopped};
    matches!(status, Some(Completed | Stopped | Failed | Cancelled))
}

/// Tags of something of FIS.
pub fn tags(all: Option<&HashMap<String, String>>) -> Tags {
    all.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A duration of ISO 8601 as FIS takes it: `PT5M`, `P1DT2H`. None: it is none.
fn seconds(text: &str) -> Option<Duration> {
    let (mut total, mut number, mut timed) = (0u64, String::new(), false);
    for c in text.strip_prefix('P')?.chars() {
        let unit = match (c, timed) {
            ('T', false) => {
                timed = true;
                continue;
            }
            ('0'..='9', _) => {
                number.push(c);
                continue;
            }
            ('D', false) => 86_400,
            ('H', true) => 3_600,
            ('M', true) => 60,
            ('S', true) => 1,
            _ => return None,
        };
        total = total.checked_add(std::mem::take(&mut number).parse::<u64>().ok()?.checked_mul(unit)?)?;
    }
    number.is_empty().then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(actions: &[(&str, &str, Option<&str>, &[&str])]) -> Template {
        let action = |id: &str, lasts: Option<&str>, after: &[&str]| Action {
            id: id.to_owned(),
            lasts: lasts.and_then(seconds),
            after: after.iter().map(|name| (*name).to_owned()).collect(),
        };
        let actions = actions.iter().map(|(name, id, lasts, after)| ((*name).to_owned(), action(id, *lasts, after))).collect();
        Template { changed: "1".into(), tags: Tags::new(), actions, unguarded: false, accounts: 0 }
    }

    #[test]
    fn durations_are_read_as_fis_writes_them() {
        for (text, expected) in [("PT5M", 300), ("PT1H30M", 5_400), ("P1DT2S", 86_402), ("PT0S", 0)] {
            assert_eq!(seconds(text), Some(Duration::from_secs(expected)), "{text}");
        }
        for text in ["5M", "P5M", "PT5", "PTM", "PT5X", "PT99999999999999999999H"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn an_experiment_ends_when_its_longest_chain_does_and_never_with_an_action_that_has_no_end() {
        let cut = "aws:network:disrupt-connectivity";
        let chain = template(&[("a", cut, Some("PT5M"), &["z"]), ("m", cut, Some("PT8M"), &[]), ("z", cut, Some("PT10M"), &[])]);
        assert_eq!(chain.ends(), Some(Duration::from_mins(15)));
        let open = template(&[("a", cut, Some("PT5M"), &[]), ("b", "aws:rds:failover-db-cluster", None, &[])]);
        assert_eq!((open.ends(), open.unbounded()), (None, vec!["'b' (aws:rds:failover-db-cluster)".to_owned()]));
        assert_eq!(template(&[]).ends(), None);
    }

    #[test]
    fn what_nothing_could_undo_is_refused() {
        let stop = "aws:ec2:stop-instances";
        assert_eq!(template(&[("a", stop, Some("PT5M"), &[])]).lasting(), Vec::<String>::new());
        assert_eq!(template(&[("a", stop, None, &[]), ("b", "aws:ec2:terminate-instances", None, &[])]).lasting().len(), 2);
    }
}
