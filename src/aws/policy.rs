//! The least IAM policies that allow a list of needs, as documents that `aws iam put-role-policy` takes: `firedrill policy` prints them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::access::{Conditions, Needs, Statement};

/// What a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To plan, to watch and to read back.
    Read,
    /// To make the failure.
    Inject,
    /// To undo it.
    Revert,
    /// To undo it without us: the role of the schedules.
    DeadMan,
}

impl Purpose {
    /// All, in the order in which they are printed.
    pub const ALL: [Self; 4] = [Self::Read, Self::Inject, Self::Revert, Self::DeadMan];

    /// Last part of a policy's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Inject => "inject",
            Self::Revert => "revert",
            Self::DeadMan => "dead-man",
        }
    }

    /// Who needs it, for people.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Read => "to plan, to watch and to read back",
            Self::Inject => "to make the failure",
            Self::Revert => "to undo it; undo reads too, so whoever undoes needs 'read' beside it",
            Self::DeadMan => "for the role of the schedules that undo it when firedrill is dead, and for nobody else",
        }
    }

    /// What this purpose needs.
    #[must_use]
    pub fn of(self, needs: &Needs) -> &[Statement] {
        match self {
            Self::Read => &needs.read,
            Self::Inject => &needs.inject,
            Self::Revert => &needs.revert,
            Self::DeadMan => &needs.dead_man,
        }
    }
}

impl std::str::FromStr for Purpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == text).ok_or_else(|| "expected read, inject, revert or dead-man".to_owned())
    }
}

/// The policy document of one account and one purpose; none when nothing is needed. Actions on the same resources under the same conditions share a
/// statement.
#[must_use]
pub fn document(needs: &Needs, account: &str, purpose: Purpose) -> Option<Value> {
    let mut together: BTreeMap<(&Conditions, BTreeSet<&str>), BTreeSet<&str>> = BTreeMap::new();
    for statement in purpose.of(needs).iter().filter(|statement| statement.account == account) {
        let resources = statement.resources.iter().map(String::as_str).collect();
        together.entry((&statement.conditions, resources)).or_default().insert(&statement.action);
    }
    let mut seen: BTreeMap<BTreeSet<&str>, BTreeSet<&str>> = BTreeMap::new();
    // What is allowed everywhere and always needs no second statement.
    let always: BTreeSet<&str> = together
        .iter()
        .filter(|((conditions, resources), _)| conditions.is_empty() && resources.contains("*"))
        .flat_map(|(_, actions)| actions.clone())
        .collect();
    let mut statements = Vec::new();
    for ((conditions, resources), actions) in together {
        let everywhere = conditions.is_empty() && resources.contains("*");
        let actions: BTreeSet<&str> = actions.into_iter().filter(|action| everywhere || !always.contains(action)).collect();
        if actions.is_empty() {
            continue;
        }
        if conditions.is_empty() {
            seen.entry(actions).or_default().extend(resources);
            continue;
        }
        statements.push(json!({"Effect": "Allow", "Action": actions, "Resource": resources, "Condition": conditions}));
    }
    let plain = seen.into_iter().map(|(actions, resources)| json!({"Effect": "Allow", "Action": actions, "Resource": resources}));
    statements.splice(0..0, plain.collect::<Vec<_>>());
    (!statements.is_empty()).then(|| json!({"Version": "2012-10-17", "Statement": statements}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(read: Vec<Statement>) -> Needs {
        Needs { read, ..Needs::default() }
    }

    fn on(action: &str, resources: &[&str]) -> Statement {
        Statement::new("main", action).on(resources.iter().map(|one| (*one).to_owned()))
    }

    #[test]
    fn actions_on_the_same_resources_share_a_statement() {
        let read =
            needs(vec![on("ec2:B", &["*"]), on("ec2:A", &["*"]), on("iam:C", &["arn:r1"]), on("iam:C", &["arn:r2"]), on("iam:C", &["arn:r1"])]);
        let expected = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["ec2:A", "ec2:B"], "Resource": ["*"]},
            {"Effect": "Allow", "Action": ["iam:C"], "Resource": ["arn:r1", "arn:r2"]},
        ]});
        assert_eq!(document(&read, "main", Purpose::Read).unwrap(), expected);
    }

    #[test]
    fn conditions_keep_a_statement_apart_and_what_is_always_allowed_needs_no_second_one() {
        let tagged = |action| on(action, &["arn:i"]).when("StringEquals", "ec2:ResourceTag/app", ["web".to_owned()]);
        let read = needs(vec![tagged("ec2:A"), tagged("ec2:B"), on("ec2:B", &["*"])]);
        let expected = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["ec2:B"], "Resource": ["*"]},
            {"Effect": "Allow", "Action": ["ec2:A"], "Resource": ["arn:i"], "Condition": {"StringEquals": {"ec2:ResourceTag/app": ["web"]}}},
        ]});
        assert_eq!(document(&read, "main", Purpose::Read).unwrap(), expected);
    }

    #[test]
    fn another_account_and_another_purpose_are_none_of_it() {
        let read = needs(vec![on("ec2:A", &["*"])]);
        assert_eq!(document(&read, "other", Purpose::Read), None);
        assert_eq!(document(&read, "main", Purpose::Inject), None);
    }
}
