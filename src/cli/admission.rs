//! `firedrill admission`: the policies by which the API server refuses what somebody may not do with drills.

use clap::Args;

use super::listing::print;
use super::{Context, fail};
use crate::exit::Exit;
use crate::operator::admission::Place;

/// Print ValidatingAdmissionPolicies: who may write, run, schedule and approve drills, and what firedrill's own account may change
///
/// Whoever writes a drill needs the verb `use` on each kind of fault and action in it (`faults.firedrill.dev`, `actions.firedrill.dev`); whoever runs or
/// schedules one, on the drill and on the environment; nobody approves his own run. Firedrill's own account is kept to the fields that its kinds own. The
/// chart carries the same policies. Kubernetes 1.30 or newer. docs/operator.md has Roles to copy.
#[derive(Debug, Args)]
#[command(after_help = "\
Put them in force where the operator is:
  firedrill admission --namespace firedrill --account system:serviceaccount:firedrill:firedrill | kubectl apply -f -
In a cluster that it only drills in, keep its account to its fields:
  firedrill admission --account system:serviceaccount:ops:firedrill | kubectl --context east apply -f -
See what somebody may use:
  kubectl auth can-i --list --namespace firedrill --as alice@example.com | grep firedrill.dev")]
pub struct Admission {
    /// The operator's namespace; without it only the policy for its account is printed
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Firedrill's own user name, as the API server knows it: system:serviceaccount:NAMESPACE:NAME
    #[arg(long, value_name = "USER")]
    pub account: String,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Admission) -> Exit {
    let place = match Place::new(args.namespace.as_deref(), &args.account) {
        Ok(place) => place,
        Err(why) => return fail(Exit::Usage, why),
    };
    match place.yaml() {
        Ok(text) => {
            print(&text);
            Exit::Passed
        }
        Err(error) => fail(Exit::Internal, error),
    }
}
