//! One thing that an AWS account must allow: what a plan checks, and `firedrill policy` prints.

use std::collections::BTreeMap;

/// Condition operators, their keys, and the values of each key, as IAM policies write them.
pub type Conditions = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// An action on resources, under conditions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement {
    /// Name of the account in its environment.
    pub account: String,
    /// As IAM names it: `ec2:StopInstances`.
    pub action: String,
    /// ARNs, with wildcards; `*` alone where the action knows no resources.
    pub resources: Vec<String>,
    /// Under which conditions it is needed at most; none is always.
    pub conditions: Conditions,
}

impl Statement {
    /// An action that knows no resources: IAM takes only `*` for it.
    #[must_use]
    pub fn new(account: &str, action: &str) -> Self {
        Self { account: account.to_owned(), action: action.to_owned(), resources: vec!["*".to_owned()], conditions: Conditions::new() }
    }

    /// The same, on these resources only.
    #[must_use]
    pub fn on(mut self, resources: impl IntoIterator<Item = String>) -> Self {
        self.resources = resources.into_iter().collect();
        self
    }

    /// The same, on resources with these tags only.
    #[must_use]
    pub fn tagged(self, tags: &BTreeMap<String, String>) -> Self {
        tags.iter().fold(self, |statement, (key, value)| statement.when("StringEquals", &format!("aws:ResourceTag/{key}"), [value.clone()]))
    }

    /// The same, under one more condition.
    #[must_use]
    pub fn when(mut self, operator: &str, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.conditions.entry(operator.to_owned()).or_default().insert(key.to_owned(), values.into_iter().collect());
        self
    }
}

impl std::fmt::Display for Statement {
    /// `ec2:StopInstances on arn:aws:ec2:us-east-1:111122223333:instance/* of account main`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = match self.resources.as_slice() {
            [all] if all == "*" => String::new(),
            [first] => format!(" on {first}"),
            [first, others @ ..] => format!(" on {first} and {} more", others.len()),
            [] => String::new(),
        };
        write!(f, "{}{on} of account {}", self.action, self.account)
    }
}

/// What a kind must be allowed, by purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// To make the failure.
    pub inject: Vec<Statement>,
    /// To undo it.
    pub revert: Vec<Statement>,
    /// To plan, to watch and to read back.
    pub read: Vec<Statement>,
    /// What the schedules that undo it without us must be allowed.
    pub dead_man: Vec<Statement>,
}

impl Needs {
    /// Adds what something else needs.
    pub fn extend(&mut self, more: Self) {
        self.inject.extend(more.inject);
        self.revert.extend(more.revert);
        self.read.extend(more.read);
        self.dead_man.extend(more.dead_man);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_named_with_its_first_resource() {
        let stop = Statement::new("main", "ec2:StopInstances");
        assert_eq!(stop.to_string(), "ec2:StopInstances of account main");
        let stop = stop.on(["arn:a".to_owned(), "arn:b".to_owned()]);
        assert_eq!(stop.to_string(), "ec2:StopInstances on arn:a and 1 more of account main");
    }
}
