//! How a cluster runs it: drills, environments and runs as custom resources, of the same types as the files.
//!
//! | file | job |
//! |---|---|
//! | [`resource`] | the resources: their names, columns and rules |
//! | [`crd`] | their CustomResourceDefinitions, as `firedrill crds` prints them |
//! | [`structural`] | the one generated schema in the form that the API server takes |
//! | [`cel`] | rules that the API server checks by itself |
//! | [`status`] | what the operator writes into the status of drills, environments, schedules and runs |
//! | [`approval`], [`gateway_rule`], [`journal`] | the kinds that are no files: `DrillApproval`, `GatewayRule`, `DrillJournal` |

pub mod approval;
pub mod cel;
pub mod crd;
pub mod gateway_rule;
pub mod journal;
pub mod resource;
pub mod status;
pub mod structural;

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
