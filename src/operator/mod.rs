//! How a cluster runs it: drills, environments and runs as custom resources, of the same types as the files.
//!
//! | file | job |
//! |---|---|
//! | [`resource`] | the resources: their names, columns and rules |
//! | [`crd`] | their CustomResourceDefinitions, as `firedrill crds` prints them |
//! | [`structural`] | the one generated schema in the form that the API server takes |
//! | [`cel`] | rules that the API server checks by itself |
//! | [`status`] | what the operator writes into the status of drills, environments, schedules and runs |
//! | [`object`] | one object of them, as the API server hands it out |
//! | [`lease`] | who leads |
//! | [`memory`] | the journal of a cluster |
//! | [`lead`] | the operator as it leads: what it does first, and the loop after that |
//! | [`store`], [`queue`] | what a watch tells of, and what is to be looked at |
//! | [`drill_run`], [`drill_schedule`] | one look at a run, at a schedule |
//! | [`documents`] | drills and environments: checked, bound, frozen |
//! | [`rehearse`], [`follow`], [`tell`] | a run as a task, its events as its status, Events and conditions |
//! | [`notify`], [`volume`] | what leaves the cluster: messages to people's own places, reports on a volume |
//! | [`metrics`], [`serve`] | what is counted, and where it is read |
//! | [`permissions`], [`grants`] | what the operator itself may do, and what each kind adds |
//! | [`admission`] | what the API server refuses by who asks |
//! | [`approval`], [`journal`] | the kinds that are no files: `DrillApproval`, `DrillJournal`; `GatewayRule` is the gateway's |

pub mod admission;
pub mod approval;
pub mod cel;
pub mod crd;
pub mod documents;
pub mod drill_run;
pub mod drill_schedule;
pub mod follow;
pub mod grants;
pub mod journal;
pub mod lead;
pub mod lease;
pub mod memory;
pub mod metrics;
pub mod notify;
pub mod object;
pub mod permissions;
pub mod queue;
pub mod rehearse;
pub mod resource;
pub mod serve;
pub mod status;
pub mod store;
pub mod structural;
pub mod tell;
pub mod volume;

/// API group of every resource.
pub const GROUP: &str = "firedrill.dev";
/// The only version that this build serves and knows.
pub const VERSION: &str = "v1alpha1";
/// Name of the chart's folder of definitions, from the root of the repository.
pub const CHART_FOLDER: &str = "charts/firedrill/crds";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_custom_resources_have_one_api_version() {
        assert_eq!(format!("{GROUP}/{VERSION}"), crate::drill::spec::API_VERSION);
    }
}
