//! What a plan says of a DNS blackhole: every pod of the cluster, by which names, and who may put the Corefile back.

use std::collections::BTreeSet;

use serde_json::Value;

use super::corefile::{Corefile, Key};
use super::dns_blackhole::{AT, Wanted};
use super::node_examine::{share, some};
use super::own;
use super::place::{protected, text};
use crate::cluster::api::Cluster;
use crate::cluster::resource::PODS;
use crate::fault::{Examined, KindError};

/// Reads: what forbids the step, or should be known of it. `prior` is the Corefile before, `map` the ConfigMap that it is in.
pub async fn examine(cluster: &Cluster, wanted: &Wanted, map: &Value, prior: &str) -> Result<Examined, KindError> {
    let mut examined = Examined::default();
    let name = cluster.name();
    let pods = cluster.list(PODS, None, None, None).await?;
    let pods: Vec<&Value> = pods.iter().filter(|pod| !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")).collect();
    let asking = pods.iter().filter(|pod| asks(pod)).count();
    examined.radius.push(format!(
        "{asking} of {} pods of cluster '{name}' ({}): every one that asks the cluster's DNS",
        pods.len(),
        share(asking, pods.len())
    ));
    examined.radius.push(format!("they get {} for {} zone(s): {}", wanted.parameters.answer.name(), wanted.zones.len(), some(&wanted.zones)));
    if protected(wanted.places.environment.protect.as_ref(), AT.0) {
        examined.refusals.push(format!("namespace '{}' is protected by the environment (protect.namespaces), and the cluster's DNS is there", AT.0));
    }
    let server = cluster.server().await.unwrap_or_default();
    if let Some(zone) = zone_of(&wanted.zones, &server) {
        examined.refusals.push(format!("the API server of cluster '{name}' ({server}) is a name in {zone}: the undo needs it; name fewer services"));
    }
    if let Some(own) = own::among(&pods) {
        examined.warnings.push(format!("firedrill's own pod {own} may ask this DNS too: its probes and calls of these services fail with it"));
    }
    if let Ok(read) = Corefile::parse(prior) {
        let finer: Vec<String> = (read.servers.iter().flat_map(|server| &server.keys))
            .filter(|key| zone_of(&wanted.zones, Key::of(key).zone.trim_end_matches('.')).is_some())
            .cloned()
            .collect();
        if !finer.is_empty() {
            examined.warnings.push(format!("server blocks below these zones go on answering: {}", some(&finer)));
        }
        if !read.imports.is_empty() {
            examined.warnings.push(format!("the Corefile imports {}, which is not looked into", some(&read.imports)));
        }
    }
    for keeper in keepers(map) {
        examined.warnings.push(format!("{keeper} and may put the Corefile back in the hold; the fault would be lost, and the run says so"));
    }
    Ok(examined)
}

/// The zone that a name is in.
fn zone_of<'a>(zones: &'a [String], name: &str) -> Option<&'a String> {
    let name = name.to_ascii_lowercase();
    zones.iter().find(|zone| name == **zone || name.strip_suffix(zone.as_str()).is_some_and(|rest| rest.ends_with('.')))
}

/// Whether a pod asks the cluster's DNS (`dnsPolicy`, in the Pod API).
fn asks(pod: &Value) -> bool {
    let on_host = pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true);
    match text(pod, "/spec/dnsPolicy") {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" | "" => !on_host,
        _ => false,
    }
}

/// Who keeps the ConfigMap as it was installed, as far as it says so itself.
fn keepers(map: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if text(map, "/metadata/labels/addonmanager.kubernetes.io~1mode") == "Reconcile" {
        found.insert("the ConfigMap is kept by the Addon Manager (label addonmanager.kubernetes.io/mode: Reconcile)".to_owned());
    }
    if map.pointer("/metadata/annotations/objectset.rio.cattle.io~1id").is_some() {
        found.insert("the ConfigMap is kept by the deploy controller of k3s".to_owned());
    }
    let managers = map.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    for manager in managers.filter(|one| one.pointer("/fieldsV1/f:data").is_some()).map(|one| text(one, "/manager")) {
        let known =
            [("eks", "the EKS add-on"), ("argocd", "Argo CD"), ("kustomize-controller", "Flux"), ("helm", "Helm"), ("addon", "an add-on manager")];
        if let Some((_, who)) = known.iter().find(|(name, _)| manager.to_ascii_lowercase().contains(name)) {
            found.insert(format!("the Corefile is kept by {who} (field manager '{manager}')"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_would_put_the_corefile_back_is_told_by_name() {
        let told = |map: Value| keepers(&map).into_iter().collect::<Vec<_>>().join("; ");
        let managed = |manager: &str| json!({"metadata": {"managedFields": [{"manager": manager, "fieldsV1": {"f:data": {"f:Corefile": {}}}}]}});
        assert!(told(managed("eks")).contains("the EKS add-on"));
        assert!(told(managed("argocd-controller")).contains("Argo CD"));
        assert!(told(json!({"metadata": {"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}})).contains("Addon Manager"));
        assert_eq!(told(managed("kubeadm")), "");
        assert_eq!(
            told(json!({"metadata": {"labels": {"addonmanager.kubernetes.io/mode": "EnsureExists"}}})),
            "",
            "it makes what is missing, no more"
        );
        assert_eq!(told(json!({"metadata": {"managedFields": [{"manager": "eks", "fieldsV1": {"f:metadata": {}}}]}})), "", "it keeps something else");
    }

    #[test]
    fn pods_that_ask_another_dns_are_not_counted() {
        let rows = [
            (json!({"dnsPolicy": "ClusterFirst"}), true),
            (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), false),
            (json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), true),
            (json!({"dnsPolicy": "Default"}), false),
            (json!({"dnsPolicy": "None"}), false),
        ];
        for (spec, expected) in rows {
            assert_eq!(asks(&json!({"spec": spec})), expected, "{spec}");
        }
    }

    #[test]
    fn a_name_is_in_a_zone_by_whole_labels() {
        let zones = ["us-east-1.amazonaws.com".to_owned()];
        assert!(zone_of(&zones, "ABC.gr7.us-east-1.amazonaws.com").is_some());
        assert!(zone_of(&zones, "us-east-1.amazonaws.com").is_some());
        assert!(zone_of(&zones, "x-us-east-1.amazonaws.com").is_none());
        assert!(zone_of(&zones, "").is_none());
    }
}
