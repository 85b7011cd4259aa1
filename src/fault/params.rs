//! The kinds of faults and actions: one line each. What a kind is stands in its own file.

use super::definition::{Definition, Entry};
use crate::choice;
pub use crate::fault::aws::params::{
    AsgScale, AwsIamDeny, Ec2Stop, FisExperiment, LaunchRefusal, Route53HealthInvert, Route53Shift, SubnetIsolate, VpcEndpointDeny,
};
pub use crate::fault::gateway::blackhole::GatewayBlackhole;
pub use crate::fault::gateway::error::GatewayError;
pub use crate::fault::gateway::latency::GatewayLatency;
pub use crate::fault::gateway::params::GatewayDns;
pub use crate::fault::gateway::refuse::GatewayRefuse;
pub use crate::fault::gateway::reset::GatewayReset;
pub use crate::fault::kubernetes::dns_blackhole::DnsBlackhole;
pub use crate::fault::kubernetes::egress_blackhole::EgressBlackhole;
pub use crate::fault::kubernetes::node_cordon::NodeCordon;
pub use crate::fault::kubernetes::node_drain::NodeDrain;
pub use crate::fault::kubernetes::pod_kill::PodKill;
pub use crate::fault::kubernetes::service_blackhole::ServiceBlackhole;
pub use crate::fault::kubernetes::workload_scale::WorkloadScale;
pub use crate::fault::sandbox::edge_shift::EdgeShift;

choice! {
    /// A fault: exactly one kind.
    FaultSpec as FaultKind defined by Definition, Entry {
        /// Nodes take no new pods.
        node_cordon / "nodeCordon" => NodeCordon(NodeCordon),
        /// Nodes lose their pods, by evictions.
        node_drain / "nodeDrain" => NodeDrain(NodeDrain),
        /// Pods are evicted.
        pod_kill / "podKill" => PodKill(PodKill),
        /// A workload gets another number of replicas.
        workload_scale / "workloadScale" => WorkloadScale(WorkloadScale),
        /// Pods cannot reach the given addresses.
        egress_blackhole / "egressBlackhole" => EgressBlackhole(EgressBlackhole),
        /// The cluster's DNS answers wrongly.
        dns_blackhole / "dnsBlackhole" => DnsBlackhole(DnsBlackhole),
        /// A Service selects nothing.
        service_blackhole / "serviceBlackhole" => ServiceBlackhole(ServiceBlackhole),
        /// Instances are stopped.
        ec2_stop / "ec2Stop" => Ec2Stop(Ec2Stop),
        /// Subnets lose all traffic.
        subnet_isolate / "subnetIsolate" => SubnetIsolate(SubnetIsolate),
        /// Roles are denied API calls.
        aws_iam_deny / "awsIamDeny" => AwsIamDeny(AwsIamDeny),
        /// Health checks are inverted.
        route53_health_invert / "route53HealthInvert" => Route53HealthInvert(Route53HealthInvert),
        /// Auto Scaling groups launch nothing.
        launch_refusal / "launchRefusal" => LaunchRefusal(LaunchRefusal),
        /// VPC endpoints deny operations.
        vpc_endpoint_deny / "vpcEndpointDeny" => VpcEndpointDeny(VpcEndpointDeny),
        /// An AWS FIS experiment runs.
        fis_experiment / "fisExperiment" => FisExperiment(FisExperiment),
        /// Connections to the named services hang.
        gateway_blackhole / "gatewayBlackhole" => GatewayBlackhole(GatewayBlackhole),
        /// Connections to the named services are refused at once.
        gateway_refuse / "gatewayRefuse" => GatewayRefuse(GatewayRefuse),
        /// Connections to the named services are cut.
        gateway_reset / "gatewayReset" => GatewayReset(GatewayReset),
        /// The named services are slow.
        gateway_latency / "gatewayLatency" => GatewayLatency(GatewayLatency),
        /// Chosen operations fail with AWS's own error documents.
        gateway_error / "gatewayError" => GatewayError(GatewayError),
        /// Names of the named services are answered wrongly.
        gateway_dns / "gatewayDns" => GatewayDns(GatewayDns),
    }
}

choice! {
    /// An action, the evacuation itself: exactly one kind.
    ActionSpec as ActionKind defined by Definition, Entry {
        /// A workload of the surviving side gets more replicas.
        workload_scale / "workloadScale" => WorkloadScale(WorkloadScale),
        /// Weighted records send traffic elsewhere.
        route53_shift / "route53Shift" => Route53Shift(Route53Shift),
        /// A survivor's Auto Scaling group gets another capacity.
        asg_scale / "asgScale" => AsgScale(AsgScale),
        /// The sandbox edge sends traffic elsewhere.
        edge_shift / "edgeShift" => EdgeShift(EdgeShift),
    }
}
