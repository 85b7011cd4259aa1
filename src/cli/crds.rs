//! `firedrill crds`: the custom resources of the operator, as a cluster takes them.

use clap::Args;

use super::listing::print;
use super::{Context, fail};
use crate::exit::Exit;
use crate::operator::crd;

/// Print the CustomResourceDefinitions, so that a cluster knows drills
///
/// Drill, Environment, DrillSchedule and DrillRun are the kinds of the files, with the same fields: a file that `firedrill validate` accepts can be
/// applied (where a look-up stands for a whole list, write the list). The API server checks structure, bounds and the rules that need one object only; `firedrill validate` checks all.
#[derive(Debug, Args)]
#[command(after_help = "\
Install them, or update them:
  firedrill crds | kubectl apply -f -
See what is there afterwards:
  kubectl get firedrill --all-namespaces
  kubectl explain drill.spec.objectives")]
pub struct Crds {}

/// Runs the command.
pub async fn run(_context: &Context, _args: Crds) -> Exit {
    match crd::all() {
        Ok(text) => {
            print(&text);
            Exit::Passed
        }
        Err(error) => fail(Exit::Internal, error),
    }
}
