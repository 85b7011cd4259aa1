//! `firedrill policy`: the least permissions that a drill needs, as RBAC objects and IAM policies. Reads files only.

use std::path::PathBuf;

use clap::Args;

use super::environment::load_environment;
use super::listing::{command, print, quoted};
use super::session::warn;
use super::{Context, fail, fail_invalid};
use crate::aws::policy::{Purpose, document};
use crate::clock::Clock;
use crate::cluster::rbac::{Subject, roles, yaml};
use crate::drill::about::{Permissions, kinds};
use crate::drill::diagnostic::printable;
use crate::drill::load::{self, Options};
use crate::drill::spec::{ClusterConnection, Drill, EnvironmentSpec};
use crate::drill::{about::Sort, bind};
use crate::exit::Exit;
use crate::fault::KindSource;
use crate::fault::registry::Registry;
use crate::needs::Needs;
use crate::prepare::all_probes;
use crate::probe::ProbeSource;
use crate::probe::open::Opener;

/// Print the least permissions that a drill needs: RBAC that kubectl applies, IAM policies that aws takes
///
/// In a cluster: one ClusterRole, and one Role for each namespace, to read, to inject and to revert: firedrill-DRILL-read, -inject, -revert. In an AWS account:
/// one policy document each, and one more for the role of the dead-man schedules where the environment names one. Whoever runs the drill needs read, inject
/// and revert; whoever only plans it needs read; whoever only undoes it needs read and revert. Reads the two files only: nothing is called, so it works before
/// any permission is there. `firedrill plan` names every one that is missing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill policy drill.yaml --env staging.yaml
  firedrill policy drill.yaml --env staging.yaml --cluster east --bind-to User:alice@example.com | kubectl --context east apply -f -
  firedrill policy drill.yaml --env staging.yaml --cluster west --bind-to ServiceAccount:ops/firedrill
  firedrill policy drill.yaml --env staging.yaml --account main --purpose inject > inject.json
  aws iam put-role-policy --role-name firedrill --policy-name firedrill-inject --policy-document file://inject.json")]
pub struct Policy {
    /// Drill file, or FILE#name
    pub drill: PathBuf,

    /// Where it would run: FILE, or FILE#name
    #[arg(long, value_name = "ENV")]
    pub env: String,

    /// Only for this cluster of the environment
    #[arg(long, value_name = "NAME", conflicts_with = "account")]
    pub cluster: Option<String>,

    /// Print bindings too: User:NAME, Group:NAME or ServiceAccount:NAMESPACE/NAME; may be repeated
    #[arg(long, value_name = "SUBJECT")]
    pub bind_to: Vec<Subject>,

    /// Only for this AWS account of the environment
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,

    /// With --account: only the policy document of one purpose (read, inject, revert, dead-man), as plain JSON
    #[arg(long, value_name = "PURPOSE", requires = "account")]
    pub purpose: Option<Purpose>,
}

/// Runs the command.
pub async fn run(context: &Context, args: Policy) -> Exit {
    match policy(context, &args) {
        Ok(text) => {
            print(&text);
            Exit::Passed
        }
        Err(exit) => exit,
    }
}

fn policy(context: &Context, args: &Policy) -> Result<String, Exit> {
    let drill = load::load_drill(&args.drill).map_err(|found| fail_invalid(&found))?;
    let environment = load_environment(&args.env, &Options::default()).map_err(|found| fail_invalid(&found))?;
    let bound = bind(&drill, &environment).map_err(|found| fail_invalid(&found))?;
    let names: Vec<&str> = environment.spec.kubernetes.iter().map(|cluster| cluster.name.as_str()).collect();
    if let Some(wanted) = args.cluster.as_ref().filter(|wanted| !names.contains(&wanted.as_str())) {
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(fail(Exit::Usage, format!("cluster '{wanted}' is not in the environment; it has: {has}")));
    }
    let accounts: Vec<&str> = environment.spec.aws.iter().map(|account| account.name.as_str()).collect();
    if let Some(wanted) = args.account.as_ref().filter(|wanted| !accounts.contains(&wanted.as_str())) {
        let has = if accounts.is_empty() { "none".to_owned() } else { accounts.join(", ") };
        return Err(fail(Exit::Usage, format!("account '{wanted}' is not in the environment; it has: {has}")));
    }
    let Wanted { needs, elsewhere } = wanted(&bound, &environment.spec)?;
    let drill = &bound.metadata.name;
    if let (Some(account), Some(purpose)) = (&args.account, args.purpose) {
        let found = document(&needs.aws, account, purpose);
        return found
            .map(|found| pretty(&found))
            .ok_or_else(|| fail(Exit::Usage, format!("nothing is needed in account '{account}' for {}", purpose.name())));
    }
    let mut out = format!("# What drill {drill} needs in environment {}; made by `firedrill policy`.\n", environment.metadata.name);
    if !elsewhere.is_empty() {
        out.push_str("# Beside the clusters and accounts:\n");
        elsewhere.iter().for_each(|line| out.push_str(&format!("#   {}\n", printable(line))));
    }
    let mut body = String::new();
    let of_clusters = |name: &str| args.account.is_none() && args.cluster.as_ref().is_none_or(|wanted| wanted == name);
    for cluster in environment.spec.kubernetes.iter().filter(|cluster| of_clusters(&cluster.name)) {
        let roles = roles(&needs.cluster, &cluster.name);
        if roles.is_empty() {
            out.push_str(&format!("# Nothing in cluster {}.\n", cluster.name));
            continue;
        }
        let again = format!("policy {} --env {} --cluster {}", quoted(&args.drill.display().to_string()), quoted(&args.env), cluster.name);
        let bindings = if args.bind_to.is_empty() { " --bind-to User:NAME" } else { " --bind-to …" };
        let line = format!("Cluster {}: {}{bindings} | {} apply -f -", cluster.name, command(context, &again), kubectl(&cluster.connection));
        out.push_str(&format!("# {}\n", printable(&line)));
        body.push_str(&yaml(&roles, drill, &cluster.name, &args.bind_to));
    }
    let of_accounts = |name: &str| args.cluster.is_none() && args.account.as_ref().is_none_or(|wanted| wanted == name);
    for account in environment.spec.aws.iter().map(|account| account.name.as_str()).filter(|name| of_accounts(name)) {
        let documents: Vec<_> = Purpose::ALL.into_iter().filter_map(|purpose| Some((purpose, document(&needs.aws, account, purpose)?))).collect();
        if documents.is_empty() {
            out.push_str(&format!("# Nothing in account {account}.\n"));
            continue;
        }
        let again = format!(
            "policy {} --env {} --account {account} --purpose {}",
            quoted(&args.drill.display().to_string()),
            quoted(&args.env),
            documents[0].0.name()
        );
        let to = "aws iam put-role-policy --role-name ROLE --policy-name NAME --policy-document file:///dev/stdin";
        out.push_str(&format!("# {}\n", printable(&format!("Account {account}: {} | {to}", command(context, &again)))));
        for (purpose, found) in documents {
            body.push_str(&format!("---\n# account {account}, {}: {}\n{}", purpose.name(), purpose.what(), pretty(&found)));
        }
    }
    if names.is_empty() && accounts.is_empty() {
        out.push_str("# The environment has no cluster and no AWS account: nothing to apply.\n");
    } else if args.cluster.is_none() && args.account.is_none() && names.len() > 1 {
        out.push_str("# The clusters' roles differ under the same names: apply each cluster's alone, with --cluster.\n");
    }
    Ok(out + &body)
}

fn pretty(document: &serde_json::Value) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}

struct Wanted {
    needs: Needs,
    /// What is needed where no RBAC rules, in words.
    elsewhere: Vec<String>,
}

fn wanted(drill: &Drill, environment: &EnvironmentSpec) -> Result<Wanted, Exit> {
    let mut wanted = Wanted { needs: Needs::default(), elsewhere: Vec::new() };
    let registry = Registry::new(environment);
    for step in drill.spec.steps.iter().filter(|step| step.fault.is_some() || step.action.is_some()) {
        let kind = registry.for_step(&drill.spec, step).map_err(|error| fail(Exit::Refused, format!("step '{}': {error}", step.id)))?;
        let needs = kind.needs();
        if needs.is_empty() {
            let sort = if step.action.is_some() { Sort::Action } else { Sort::Fault };
            let about = kinds().into_iter().find(|known| known.sort == sort && known.name == kind.name()).and_then(|known| known.about);
            wanted.elsewhere.extend(about.iter().flat_map(|about| in_words(&step.id, kind.name(), &about.permissions)));
        }
        wanted.needs.extend(needs);
    }
    let probes = Opener::sharing(environment, Clock::system(), registry.connections());
    for (whose, probe) in all_probes(&drill.spec, environment) {
        match probes.open(probe, "policy") {
            Ok(probe) => wanted.needs.extend(probe.needs()),
            Err(error) => warn(&format!("{whose}: {error}; the plan refuses it")),
        }
    }
    Ok(wanted)
}

fn in_words(step: &str, kind: &str, permissions: &Permissions) -> Vec<String> {
    let mut all: Vec<&str> = Vec::new();
    for one in permissions.inject.iter().chain(permissions.revert).chain(permissions.read) {
        if !all.contains(one) {
            all.push(one);
        }
    }
    all.into_iter().map(|one| format!("step {step} ({kind}): {one}")).collect()
}

fn kubectl(connection: &ClusterConnection) -> String {
    match (&connection.kubeconfig_file, &connection.context) {
        (Some(file), _) => format!("kubectl --kubeconfig {}", quoted(file)),
        (None, Some(context)) => format!("kubectl --context {}", quoted(context)),
        (None, None) => "kubectl".to_owned(),
    }
}
