//! IAM roles as they are read: which ones a step names, their inline policies, and which of them nobody may touch.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{EntityType, RoleDetail};

use super::mark::Tags;
use super::params::NamedSelector;
use super::place::{Place, protecting};
use crate::aws::error::CallError;
use crate::drill::spec::{EnvironmentSpec, Protect};

/// Characters without white space that the inline policies of a role may have in all.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const ROOM: usize = 10_240;
/// Paths of roles that belong to AWS: nobody else may change those.
const OF_AWS: [&str; 2] = ["/aws-service-role/", "/aws-reserved/"];

/// What is known of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// `AROA…`: never given again, unlike the name.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// `/` or `/team/`.
    pub path: String,
    /// Its tags.
    pub tags: Tags,
    /// Its inline policies by name.
    pub inline: BTreeMap<String, String>,
}

impl Seen {
    /// How many more characters fit into its inline policies.
    pub fn room(&self) -> usize {
        ROOM.saturating_sub(self.inline.values().map(|document| size(document)).sum())
    }

    /// Whether it is AWS's own.
    pub fn of_aws(&self) -> bool {
        OF_AWS.iter().any(|path| self.path.starts_with(path))
    }

    /// Why it may not be touched, if it may not.
    pub fn forbidden(&self, environment: &EnvironmentSpec, callers: &[String]) -> Option<String> {
        let of_environment = environment.aws.iter().flat_map(|account| [&account.role_arn, &account.undo_role_arn, &account.dead_man_role_arn]);
        if of_environment.flatten().any(|arn| *arn == self.arn) {
            return Some("firedrill itself uses it".to_owned());
        }
        if callers.iter().any(|caller| self.is_caller(caller)) {
            return Some("firedrill itself runs as it: the undo needs it".to_owned());
        }
        if self.of_aws() {
            return Some("it belongs to AWS: nobody may change it".to_owned());
        }
        let protect = environment.protect.as_ref();
        let named = format!("{}{}", self.path, self.name);
        let pattern = protect.into_iter().flat_map(|Protect { roles, .. }| roles).find(|pattern| fits(pattern, &named) || fits(pattern, &self.arn));
        if let Some(pattern) = pattern {
            return Some(format!("the environment protects '{pattern}'"));
        }
        protecting(protect, &self.tags).map(|tag| format!("tag '{tag}' protects it"))
    }

    /// Whether credentials of that ARN are this role's: `arn:aws:sts::…:assumed-role/NAME/SESSION`, which has no path.
    fn is_caller(&self, caller: &str) -> bool {
        let account = |arn: &str| arn.split(':').nth(4).map(str::to_owned);
        let name = caller.split_once(":assumed-role/").and_then(|(_, rest)| rest.split('/').next());
        name == Some(&self.name) && account(caller) == account(&self.arn)
    }
}

/// Reads: all roles of an account, in order of their names.
pub async fn all(place: &Place) -> Result<Vec<Seen>, CallError> {
    // One list with tags and inline policies: asking each role for them would be throttled in a large account.
    let pages = place.clients().await?.iam.get_account_authorization_details().filter(EntityType::Role).max_items(500).into_paginator().send();
    let pages: Vec<_> = place.account.read("iam:GetAccountAuthorizationDetails", pages.try_collect()).await?;
    let mut all: Vec<Seen> = pages.iter().flat_map(|page| page.role_detail_list()).map(seen).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// Those that a selector names.
pub fn chosen<'a>(all: &'a [Seen], selector: &NamedSelector) -> Vec<&'a Seen> {
    let named = |seen: &&Seen| selector.names.is_empty() || selector.names.contains(&seen.name);
    let tagged = |seen: &&Seen| selector.tags.iter().all(|(key, value)| seen.tags.get(key) == Some(value));
    all.iter().filter(named).filter(tagged).collect()
}

/// Characters of a policy as its quota counts them.
pub fn size(document: &str) -> usize {
    document.chars().filter(|one| !one.is_whitespace()).count()
}

/// A policy's document as it is read: percent-encoded, RFC 3986.
pub fn decoded(document: &str) -> String {
    let bytes = document.as_bytes();
    let (mut found, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = document.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| bytes[at] == b'%');
        found.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&found).into_owned()
}

/// Whether a pattern with `*` fits all of a text.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(after) = text.strip_prefix(first) else { return false };
    (0..=after.len()).filter(|at| after.is_char_boundary(*at)).any(|at| fits(rest, &after[at..]))
}

fn seen(role: &RoleDetail) -> Seen {
    let inline = role.role_policy_list().iter();
    let inline = inline.map(|policy| (policy.policy_name().unwrap_or_default().to_owned(), decoded(policy.policy_document().unwrap_or_default())));
    Seen {
        name: role.role_name().unwrap_or_default().to_owned(),
        id: role.role_id().unwrap_or_default().to_owned(),
        arn: role.arn().unwrap_or_default().to_owned(),
        path: role.path().unwrap_or_default().to_owned(),
        tags: role.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect(),
        inline: inline.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(path: &str, name: &str) -> Seen {
        let arn = format!("arn:aws:iam::111122223333:role{path}{name}");
        Seen { name: name.into(), id: "AROA1".into(), arn, path: path.into(), tags: Tags::new(), inline: BTreeMap::new() }
    }

    #[test]
    fn a_pattern_protects_by_path_and_name_or_by_arn() {
        for (pattern, path, name, expected) in [
            ("*/break-glass*", "/", "break-glass-admin", true),
            ("*/break-glass*", "/ops/", "break-glass", true),
            ("*/break-glass*", "/", "no-break-glass", false),
            ("/ops/*", "/ops/", "anything", true),
            ("arn:aws:iam::*:role/app", "/", "app", true),
            ("app", "/", "app", false),
        ] {
            let protect = Protect { roles: vec![pattern.to_owned()], ..Protect::default() };
            let environment = EnvironmentSpec { protect: Some(protect), ..EnvironmentSpec::default() };
            let found = role(path, name).forbidden(&environment, &[]);
            assert_eq!(found.is_some(), expected, "{pattern} {path}{name}: {found:?}");
        }
    }

    #[test]
    fn who_calls_is_never_denied_and_neither_is_what_belongs_to_aws() {
        let environment = EnvironmentSpec::default();
        let caller = ["arn:aws:sts::111122223333:assumed-role/ops/firedrill".to_owned()];
        assert!(role("/team/", "ops").forbidden(&environment, &caller).is_some());
        assert!(role("/", "ops-2").forbidden(&environment, &caller).is_none());
        let elsewhere = ["arn:aws:sts::444455556666:assumed-role/ops/firedrill".to_owned()];
        assert!(role("/", "ops").forbidden(&environment, &elsewhere).is_none());
        assert!(role("/aws-service-role/ec2.amazonaws.com/", "AWSServiceRoleForX").forbidden(&environment, &[]).is_some());
        assert!(role("/aws-reserved/sso.amazonaws.com/", "AWSReservedSSO_Admin_1").forbidden(&environment, &[]).is_some());
    }

    #[test]
    fn the_quota_counts_no_white_space() {
        let mut role = role("/", "app");
        role.inline.insert("own".into(), "{ \"a\":\n 1 }".into());
        assert_eq!(role.room(), ROOM - 7);
    }

    #[test]
    fn documents_are_percent_encoded() {
        assert_eq!(decoded("%7B%22a%22%3A%20%22%C3%A9+%25%22%7D"), "{\"a\": \"é+%\"}");
        assert_eq!(decoded("{\"a\": \"100%\"}"), "{\"a\": \"100%\"}");
    }
}
