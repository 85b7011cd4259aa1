//! The alarm probe: the state of a CloudWatch alarm, as CloudWatch says it.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::{AlarmType, StateValue};

use super::definition::Definition;
use super::open::Opening;
use super::params::{AlarmState, AwsAlarmProbe};
use super::{Probe, Reading, Unasked};
use crate::aws::Reference;
use crate::aws::access::{self, Statement};
use crate::aws::account::Account;
use crate::aws::clients::Use;
use crate::aws::error::CallError;
use crate::drill::about::{About, Permissions};
use crate::needs::Needs;

/// One alarm of one region, read again at each tick.
struct Alarm {
    account: Arc<Account>,
    region: String,
    name: String,
    wanted: AlarmState,
}

impl Definition for AwsAlarmProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "One DescribeAlarms a tick, for this alarm by its name: a metric alarm or a composite one.",
            undo: "",
            verified: "",
            must_know: &[
                "Good in the state that `state` names (ALARM unless given), bad in another one.",
                "Unknown: INSUFFICIENT_DATA, unless that is the state that is asked for. CloudWatch itself cannot tell then, and no data never passes.",
                "Unknown too: an alarm that is not there (a typo, or somebody deleted it), no answer, a missing permission. Nobody measures then.",
                "To see that you would be paged: `state: ALARM` with `detectWithin`. To stop a run when it hurts: `state: OK` in `haltWhen`.",
                "An alarm is as late as its period and its evaluation periods. It may be off (actions disabled) and change its state all the same: whether \
                 somebody is told is not measured.",
                "It reads the control plane of its region. In the region that fails that may be down too: watch from a region that survives.",
            ],
            permissions: Permissions { inject: &[], revert: &[], read: &["cloudwatch:DescribeAlarms (composite alarms are shown only with `*`)"] },
            example: "awsAlarm: {account: main, region: us-west-2, alarm: checkout-errors, state: OK}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        let reference = Reference::named(opening.environment, &self.account)?;
        let account = opening.accounts.get(&reference, Use::Run, std::slice::from_ref(&self.region));
        Ok(Arc::new(Alarm { account, region: self.region.clone(), name: self.alarm.clone(), wanted: self.state.unwrap_or_default() }))
    }
}

impl Alarm {
    fn describing(&self) -> Statement {
        self.account.may("cloudwatch:DescribeAlarms")
    }

    /// Reads: its state, and why it is in it; none when there is no such alarm.
    async fn state(&self) -> Result<Option<(StateValue, String)>, CallError> {
        let cloudwatch = self.account.clients(Some(&self.region)).await?.cloudwatch;
        // Without the types only metric alarms are shown.
        let request = cloudwatch.describe_alarms().alarm_names(&self.name).alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = self.account.read("cloudwatch:DescribeAlarms", std::future::ready(page)).await?;
            let metric = page.metric_alarms().iter().map(|one| (one.alarm_name(), one.state_value(), one.state_reason()));
            let composite = page.composite_alarms().iter().map(|one| (one.alarm_name(), one.state_value(), one.state_reason()));
            let found = metric.chain(composite).find(|(name, ..)| *name == Some(self.name.as_str()));
            if let Some((_, Some(state), reason)) = found {
                return Ok(Some((state.clone(), reason.unwrap_or_default().to_owned())));
            }
        }
        Ok(None)
    }
}

fn text(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Alarm => "ALARM",
        AlarmState::Ok => "OK",
        AlarmState::InsufficientData => "INSUFFICIENT_DATA",
    }
}

fn judge(wanted: AlarmState, state: &StateValue, reason: &str) -> Reading {
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match state {
        state if state.as_str() == text(wanted) => Reading::good(),
        StateValue::InsufficientData => Reading::unknown(format!("INSUFFICIENT_DATA{because}")),
        StateValue::Ok | StateValue::Alarm => Reading::bad(format!("{}, {} wanted{because}", state.as_str(), text(wanted))),
        other => Reading::unknown(format!("a state that this build does not know: {}", other.as_str())),
    }
}

#[async_trait]
impl Probe for Alarm {
    async fn read(&self) -> Reading {
        match self.state().await {
            Ok(Some((state, reason))) => judge(self.wanted, &state, &reason),
            Ok(None) => Reading::unknown(format!("account '{}' has no alarm '{}' in {}", self.account.name(), self.name, self.region)),
            Err(error) => Reading::unknown(error.to_string()),
        }
    }

    fn timed_out(&self) -> Reading {
        Reading::unknown(format!("CloudWatch of account '{}' in {} did not answer in time", self.account.name(), self.region))
    }

    fn describe(&self) -> String {
        format!("awsAlarm {} of {} in {} is {}", self.name, self.account.name(), self.region, text(self.wanted))
    }

    fn needs(&self) -> Needs {
        access::Needs { read: vec![self.describing()], ..access::Needs::default() }.into()
    }

    async fn missing(&self) -> Result<Vec<String>, Unasked> {
        let asked = async {
            let cloudwatch = self.account.clients(Some(&self.region)).await?.cloudwatch;
            self.account.allows(&self.describing(), cloudwatch.describe_alarms().alarm_names(&self.name).send()).await
        };
        Ok(asked.await?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Health;

    #[test]
    fn the_state_that_is_asked_for_is_good_another_is_bad_and_no_data_is_unknown() {
        use AlarmState::{Alarm, InsufficientData, Ok};
        let rows = [
            (Alarm, StateValue::Alarm, Health::Good),
            (Alarm, StateValue::Ok, Health::Bad),
            (Alarm, StateValue::InsufficientData, Health::Unknown),
            (Ok, StateValue::Ok, Health::Good),
            (Ok, StateValue::Alarm, Health::Bad),
            (Ok, StateValue::InsufficientData, Health::Unknown),
            (InsufficientData, StateValue::InsufficientData, Health::Good),
            (InsufficientData, StateValue::Ok, Health::Bad),
            (Ok, StateValue::from("PANIC"), Health::Unknown),
        ];
        for (wanted, state, expected) in rows {
            assert_eq!(judge(wanted, &state, "why").health, expected, "{wanted:?} {state:?}");
        }
        assert_eq!(judge(Ok, &StateValue::Alarm, "5 > 1").detail.as_deref(), Some("ALARM, OK wanted: 5 > 1"));
    }
}
