//! `awsIamDeny`: roles are denied API calls by an inline policy that expires by itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::params::{AwsIamDeny, NamedSelector};
use super::place::{self, Place};
use super::roles;
use crate::aws::access::{self, Statement};
use crate::aws::error::CallError;
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::order::before;
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, RECORD_VERSION, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "awsIamDeny";
/// Targets: `role/NAME/AROA…`, with the id that no later role of that name has.
const SORT: &str = "role/";
/// Our policies are named `firedrill-RUN-STEP`, and their statement begins so.
const POLICY: &str = "firedrill-";
const STATEMENT: &str = "firedrill";
/// How long after `undoBy` the policy denies nothing any more: as the dead-man of other kinds.
const GRACE: Duration = Duration::from_secs(120);
/// Characters of a run id (ULID).
const RUN: usize = 26;
/// Longest name of an inline policy.
const LONGEST: usize = 128;
/// Most readings in flight: IAM answers some 20 calls a second.
const AT_ONCE: usize = 8;

impl Definition for AwsIamDeny {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "An inline policy named after run and step is put on each role: Deny of the actions on all resources, until two minutes after `undoBy` \
                        (`DateLessThan aws:CurrentTime`), and with `regions` only for calls to those (`aws:RequestedRegion`).",
            undo: "DeleteRolePolicy, if the policy is still the one that was put there. Two minutes after `undoBy` it denies nothing any more, whatever \
                   becomes of firedrill; undo and sweep still delete it.",
            verified: "The policy is read back with this document. IAM takes seconds to apply it everywhere: measure with a probe what a caller sees.",
            must_know: &[
                "Refused: roles that firedrill uses or runs as, roles of AWS (service-linked, SSO), protected roles, and roles whose inline policies would \
                 exceed 10,240 characters.",
                "A role that was deleted and made again with the same name is another role: it is left alone.",
                "No identity policy stops AssumeRoleWithWebIdentity, which is not signed, or GetCallerIdentity, which is always allowed. Losing STS is a fault \
                 of the gateway or of a VPC endpoint.",
                "Calls that are under way, and data planes that were authorised before (a presigned URL, an open database connection), go on.",
                "IAM is changed in us-east-1 (of its partition) only. In a real outage of us-east-1 policies cannot be taken off there; this one expires.",
            ],
            permissions: Permissions {
                inject: &["iam:PutRolePolicy"],
                revert: &["iam:DeleteRolePolicy"],
                read: &["iam:GetAccountAuthorizationDetails", "iam:GetRole", "iam:GetRolePolicy"],
            },
            example: "awsIamDeny: {account: main, roles: {tags: {tier: checkout}}, actions: [\"dynamodb:*\"], regions: [us-east-1]}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let place = Place::named(places, drill, &self.account, None)?;
        let wanted = Wanted {
            roles: self.roles.clone(),
            statement: Deny { actions: self.actions.clone(), regions: self.regions.clone() },
            places: places.clone(),
            drill: drill.clone(),
            step: step.id.clone(),
        };
        Ok(Arc::new(Denied { place, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Denied { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, true).into_iter().map(|place| Arc::new(Denied { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The roles of one account that are denied something.
#[derive(Debug)]
struct Denied {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    roles: NamedSelector,
    statement: Deny,
    places: Places,
    drill: DrillSpec,
    step: String,
}

#[derive(Debug)]
struct Deny {
    actions: Vec<String>,
    regions: Vec<String>,
}

impl Deny {
    /// The policy that is put on the role with this id.
    fn document(&self, role: &str, after: &[String], undo_by: Timestamp) -> Value {
        let until = undo_by.plus(GRACE).utc().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut condition = json!({"DateLessThan": {"aws:CurrentTime": until}});
        if !self.regions.is_empty() {
            condition["StringEquals"] = json!({"aws:RequestedRegion": self.regions});
        }
        let statement = json!({"Sid": sid(role, after), "Effect": "Deny", "Action": self.actions, "Resource": "*", "Condition": condition});
        json!({"Version": "2012-10-17", "Statement": [statement]})
    }
}

/// One role, as it is now.
enum Current {
    Gone,
    /// Its policy of that name, if it has one.
    There(Option<Value>),
}

impl Denied {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    /// An action on the roles that the step names, as narrow as its selector. A role's path is not known before it is read.
    fn on_chosen(&self, action: &str) -> Statement {
        let statement = self.place.account.may(action);
        let Some(Wanted { roles, .. }) = &self.wanted else { return statement };
        let arn = |name: &str| self.place.arn("iam", &format!("role/{name}"));
        let names: Vec<String> = roles.names.iter().flat_map(|name| [arn(name), arn(&format!("*/{name}"))]).collect();
        let statement = statement.on(if names.is_empty() { vec![arn("*")] } else { names });
        statement.tagged(&roles.tags)
    }

    async fn current(&self, target: &TargetId, policy: &str) -> Result<Current, CallError> {
        let (name, id) = role(target);
        let (account, iam) = (&self.place.account, self.place.clients().await?.iam);
        match account.read("iam:GetRole", iam.get_role().role_name(name).send()).await {
            Err(error) if error.is_not_found() => return Ok(Current::Gone),
            Ok(found) if found.role().is_none_or(|role| role.role_id() != id) => return Ok(Current::Gone),
            found => found.map(|_| ())?,
        }
        match account.read("iam:GetRolePolicy", iam.get_role_policy().role_name(name).policy_name(policy).send()).await {
            Err(error) if error.is_not_found() => Ok(Current::There(None)),
            found => {
                let text = roles::decoded(found?.policy_document());
                Ok(Current::There(Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))))
            }
        }
    }

    async fn delete(&self, record: &Record) -> Result<(), KindError> {
        let request = self.place.clients().await?.iam.delete_role_policy().role_name(role(&record.target).0).policy_name(policy(record));
        match self.place.account.write("iam:DeleteRolePolicy", request.send()).await {
            Err(error) if error.is_not_found() => Ok(()),
            done => Ok(done.map(|_| ())?),
        }
    }

    /// The record of a policy that a run left on a role.
    fn left(&self, seen: &roles::Seen, name: &str, document: &str) -> Option<Record> {
        let (run, step) = run_and_step(name)?;
        let found: Value = serde_json::from_str(document).ok()?;
        let statement = found.pointer("/Statement/0")?;
        // Copied to another role it is someone else's.
        let after = steps(statement.get("Sid")?.as_str()?.strip_prefix(STATEMENT)?.strip_prefix(&seen.id)?);
        let until = DateTime::parse_from_rfc3339(statement.pointer("/Condition/DateLessThan/aws:CurrentTime")?.as_str()?).ok()?;
        let undo_by = Timestamp((until - GRACE).timestamp_micros());
        // As it was put there: what somebody made of it since is theirs, and observing it tells.
        let texts = |pointer: &str| serde_json::from_value::<Vec<String>>(statement.pointer(pointer).cloned().unwrap_or_else(|| json!([]))).ok();
        let deny = Deny { actions: texts("/Action")?, regions: texts("/Condition/StringEquals/aws:RequestedRegion")? };
        let ours = deny.document(&seen.id, &after, undo_by);
        Some(Record {
            version: RECORD_VERSION,
            run: run.to_owned(),
            step: step.to_owned(),
            after,
            kind: NAME.to_owned(),
            action: false,
            keep: false,
            target: self.target(seen),
            prior: Value::Null,
            ours,
            invert: self.place.invert(),
            companions: Vec::new(),
            undo_by,
            phase: Phase::Injected,
        })
    }

    fn target(&self, seen: &roles::Seen) -> TargetId {
        TargetId { place: self.place.name(), id: format!("{SORT}{}/{}", seen.name, seen.id) }
    }
}

#[async_trait]
impl Kind for Denied {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        Expiry::Own
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn needs(&self) -> Needs {
        if self.wanted.is_none() {
            return Needs::default();
        }
        access::Needs {
            inject: vec![self.on_chosen("iam:PutRolePolicy")],
            revert: vec![self.on_chosen("iam:DeleteRolePolicy")],
            read: vec![
                self.place.account.may("iam:GetAccountAuthorizationDetails"),
                self.on_chosen("iam:GetRole"),
                self.on_chosen("iam:GetRolePolicy"),
            ],
            dead_man: Vec::new(),
        }
        .into()
    }

    /// A document that is none, and a policy that is not there, change nothing.
    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let all = roles::all(&self.place).await?;
        let chosen = roles::chosen(&all, &self.wanted()?.roles);
        let (run, undoing) = (&self.place, &self.place.undoing());
        let (put, delete) = (run.clients().await?.iam, undoing.clients().await?.iam);
        let asked = chosen.into_iter().cloned().map(|seen| {
            let (may_put, may_delete) = (run.account.may("iam:PutRolePolicy"), undoing.account.may("iam:DeleteRolePolicy"));
            let put = put.put_role_policy().role_name(&seen.name).policy_name("firedrill-asks").policy_document("none");
            let delete = delete.delete_role_policy().role_name(&seen.name).policy_name("firedrill-asks");
            async move {
                let first = run.account.allows(&may_put.on([seen.arn.clone()]), put.send()).await?;
                let second = undoing.account.allows(&may_delete.on([seen.arn.clone()]), delete.send()).await?;
                Ok::<_, CallError>([first, second])
            }
        });
        let answers: Vec<_> = futures::stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        Ok(answers.into_iter().flatten().flatten().collect())
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { places, drill, statement, step, .. } = self.wanted()?;
        let all = roles::all(&self.place).await?;
        let callers = self.place.account.callers().await?;
        let mut examined = Examined::default();
        for record in records {
            let (name, id) = role(&record.target);
            let Some(seen) = all.iter().find(|seen| seen.id == id) else {
                examined.refusals.push(format!("role {name} is gone"));
                continue;
            };
            let mut refuse = |why: String| examined.refusals.push(format!("role {name}: {why}"));
            if let Some(why) = seen.forbidden(&places.environment, &callers) {
                refuse(why);
            }
            if let Some((run, _)) = seen.inline.keys().find_map(|policy| run_and_step(policy)) {
                refuse(format!("it has a policy of run {run}; `firedrill sweep` shows what it left"));
            }
            let wanted = roles::size(&record.ours.to_string());
            if wanted > seen.room() {
                refuse(format!("its inline policies have room for {} more characters, and the deny has {wanted}: name fewer actions", seen.room()));
            }
        }
        if policy_name(records.first().map_or("", |record| &record.run), step).len() > LONGEST {
            examined.refusals.push(format!("the name of step '{step}' is too long for a policy's name"));
        }
        // What reading back needs, tried on each role while nothing is changed yet.
        let read = records.iter().map(|record| async { self.current(&record.target, &policy(record)).await.map(|_| ()) });
        futures::stream::iter(read.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect::<Vec<()>>().await?;
        examined.warnings.push("IAM takes seconds to apply a policy everywhere, and to take it away".to_owned());
        let denies = |action: &str| statement.actions.iter().any(|pattern| action_fits(pattern, action));
        for never in ["sts:GetCallerIdentity", "sts:AssumeRoleWithWebIdentity"].into_iter().filter(|action| denies(action)) {
            examined.warnings.push(format!("{never} cannot be denied by a policy of the role: it goes on"));
        }
        let home = self.place.account.reference().global_region();
        if drill.failed_region == home {
            examined.warnings.push(format!(
                "IAM is changed in {home}, the region that fails here: in a real outage the policy could not be taken off, but it expires by itself"
            ));
        }
        let count = all.iter().filter(|seen| !seen.of_aws()).count();
        examined.radius.push(format!("{} of {count} roles of account {}", records.len(), self.place.account.name()));
        examined.population.insert(self.place.name(), count);
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let (wanted, all) = (&self.wanted()?.roles, roles::all(&self.place).await?);
        let chosen = roles::chosen(&all, wanted);
        if let Some(missing) = wanted.names.iter().find(|name| !chosen.iter().any(|seen| seen.name == **name)) {
            return Err(KindError::Refused(format!("account {} has no role {missing} that fits", self.place.account.name())));
        }
        Ok(chosen.into_iter().map(|seen| self.target(seen)).collect())
    }

    async fn prepare(&self, _run: &str, target: &TargetId, undo_by: Timestamp) -> Result<Prepared, KindError> {
        let Wanted { statement, drill, step, .. } = self.wanted()?;
        let ours = statement.document(role(target).1, &Vec::from_iter(before(drill, step)), undo_by);
        // No policy of this run's name can be there before it: prior is always none.
        Ok(Prepared { prior: Value::Null, ours, companions: Vec::new(), noop: false })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let name = role(&record.target).0;
        match self.current(&record.target, &policy(record)).await? {
            Current::Gone => return Err(KindError::Conflict(format!("role {name} is gone, or another one of that name"))),
            Current::There(Some(current)) if current != record.ours => {
                return Err(KindError::Conflict(format!("role {name} has another policy {}", policy(record))));
            }
            Current::There(_) => {}
        }
        let put =
            self.place.clients().await?.iam.put_role_policy().role_name(name).policy_name(policy(record)).policy_document(record.ours.to_string());
        self.place.account.write("iam:PutRolePolicy", put.send()).await?;
        Ok(())
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.current(&record.target, &policy(record)).await {
            Ok(Current::Gone) => Observed::Absent,
            Ok(Current::There(None)) => Observed::Prior,
            // Its name is this run's.
            Ok(Current::There(Some(current))) if current == record.ours => Observed::Ours { marked: true },
            Ok(Current::There(Some(current))) => Observed::Other { current },
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        match self.current(&record.target, &policy(record)).await? {
            Current::There(Some(current)) if current == record.ours => self.delete(record).await,
            Current::There(Some(_)) => Err(KindError::Conflict("someone else changed the policy".to_owned())),
            Current::There(None) | Current::Gone => Ok(()),
        }
    }

    /// IAM may show yesterday's state for seconds: what is not seen is deleted all the same.
    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        match self.current(&record.target, &policy(record)).await? {
            Current::There(None) => self.delete(record).await,
            Current::There(Some(current)) if current == record.ours => self.delete(record).await,
            Current::There(Some(_)) | Current::Gone => Ok(()),
        }
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.observe(record).await {
            Observed::Ours { .. } => Bite::Verified,
            other => Bite::Unproven { why: format!("the role does not have the policy: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let all = roles::all(&self.place).await?;
        let policies = all.iter().flat_map(|seen| seen.inline.iter().map(move |(name, document)| (seen, name, document)));
        Ok(policies.filter_map(|(seen, name, document)| self.left(seen, name, document)).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, name, policy) = (self.place.cli(), word(role(&record.target).0), word(&policy(record)));
        let document = word(&record.ours.to_string());
        ByHand {
            inject: vec![format!("{aws} iam put-role-policy --role-name {name} --policy-name {policy} --policy-document {document}")],
            undo: vec![format!("{aws} iam delete-role-policy --role-name {name} --policy-name {policy}")],
        }
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let Wanted { statement, drill, .. } = self.wanted().ok()?;
        let target = TargetId { place: self.place.name(), id: format!("{SORT}{}/role", blank("each role", step)) };
        let mut ours = statement.document("role", &Vec::from_iter(before(drill, step)), Timestamp::default());
        ours["Statement"][0]["Condition"]["DateLessThan"]["aws:CurrentTime"] = blank("last instant in UTC", step).into();
        Some((target, Prepared { prior: Value::Null, ours, companions: Vec::new(), noop: false }))
    }
}

/// Name and id of a target's role.
fn role(target: &TargetId) -> (&str, &str) {
    target.id.strip_prefix(SORT).and_then(|rest| rest.rsplit_once('/')).unwrap_or_default()
}

fn policy(record: &Record) -> String {
    policy_name(&record.run, &record.step)
}

fn policy_name(run: &str, step: &str) -> String {
    format!("{POLICY}{run}-{step}")
}

/// Of a policy that a run made.
fn run_and_step(policy: &str) -> Option<(&str, &str)> {
    let (run, step) = policy.strip_prefix(POLICY)?.split_at_checked(RUN)?;
    run.parse::<ulid::Ulid>().ok()?;
    Some((run, step.strip_prefix('-')?))
}

/// Identifier of the statement: the role for which it was made, and the steps that its own came after. IAM takes letters and digits only.
fn sid(role: &str, after: &[String]) -> String {
    let coded = |one: char| if one.is_ascii_lowercase() || one.is_ascii_digit() { one.to_string() } else { format!("X{:04x}", u32::from(one)) };
    let after = after.iter().map(|step| format!("A{}", step.chars().map(coded).collect::<String>()));
    format!("{STATEMENT}{role}{}", after.collect::<String>())
}

/// The steps of [`sid`]: upper-case letters are in none of them.
fn steps(coded: &str) -> Vec<String> {
    let step = |coded: &str| {
        let mut parts = coded.split('X');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |mut step, part| {
            let (code, rest) = part.split_at_checked(4).unwrap_or((part, ""));
            step.extend(u32::from_str_radix(code, 16).ok().and_then(char::from_u32));
            step + rest
        })
    };
    coded.split('A').skip(1).map(step).collect()
}

/// Whether IAM's pattern (`iam:*`, `*`) meets an action; neither regards case.
fn action_fits(pattern: &str, action: &str) -> bool {
    roles::fits(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statements_identifier_keeps_the_steps_before_it_in_letters_and_digits() {
        let after = vec!["isolate-east".to_owned(), "s".to_owned(), "Ä_1".to_owned()];
        let sid = sid("AROA12", &after);
        assert!(sid.chars().all(|one| one.is_ascii_alphanumeric()), "{sid}");
        assert_eq!(steps(sid.strip_prefix("firedrillAROA12").unwrap()), after);
        assert_eq!(steps(""), Vec::<String>::new());
    }

    #[test]
    fn a_policys_name_says_run_and_step_and_others_say_nothing() {
        let run = "01KB2QXW8V5Z3M4N7P9R1S6T8D";
        assert_eq!(run_and_step(&policy_name(run, "deny-iam")), Some((run, "deny-iam")));
        for other in ["own", "firedrill-", "firedrill-read", "firedrill-run-and-revert-policies-of-ops"] {
            assert_eq!(run_and_step(other), None, "{other}");
        }
    }

    #[test]
    fn the_policy_ends_two_minutes_after_undo_by() {
        let deny = Deny { actions: vec!["iam:*".into()], regions: vec!["us-east-1".into()] };
        let document = deny.document("AROA12", &[], Timestamp(1_700_000_000_000_000));
        let expected = json!({"DateLessThan": {"aws:CurrentTime": "2023-11-14T22:15:20Z"}, "StringEquals": {"aws:RequestedRegion": ["us-east-1"]}});
        assert_eq!(document.pointer("/Statement/0/Condition"), Some(&expected));
    }

    #[test]
    fn wildcards_of_actions_meet_what_cannot_be_denied() {
        assert!(
            action_fits("sts:*", "sts:GetCallerIdentity")
                && action_fits("*", "sts:GetCallerIdentity")
                && action_fits("STS:Get*", "sts:GetCallerIdentity")
        );
        assert!(!action_fits("sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"));
    }
}
