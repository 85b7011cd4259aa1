//! Who else sets the replicas of a workload, or would put an object back as its manifest has it: autoscalers, GitOps, other controllers. Pure.

use serde_json::Value;

use super::evict;
use super::place::text;

/// Why an autoscaler forbids setting the replicas of `kind` `name` to `wanted`; none when it is another's, or it is switched off.
pub fn autoscaler_refusal(autoscaler: &Value, kind: &str, name: &str, wanted: i64) -> Option<String> {
    if text(autoscaler, "/spec/scaleTargetRef/kind") != kind || text(autoscaler, "/spec/scaleTargetRef/name") != name {
        return None;
    }
    let own = text(autoscaler, "/metadata/name");
    if let Some(scaled) = scaled_object(autoscaler) {
        return Some(format!(
            "KEDA's ScaledObject '{scaled}' sets the replicas of {kind} '{name}'; pause it for the drill: kubectl annotate scaledobject {scaled} \
             autoscaling.keda.sh/paused=true"
        ));
    }
    let least = autoscaler.pointer("/spec/minReplicas").and_then(Value::as_i64).unwrap_or(1);
    let most = autoscaler.pointer("/spec/maxReplicas").and_then(Value::as_i64).unwrap_or(i64::MAX);
    let off = |direction: &str| text(autoscaler, &format!("/spec/behavior/{direction}/selectPolicy")) == "Disabled";
    if !off("scaleUp") || !off("scaleDown") {
        return Some(format!(
            "HorizontalPodAutoscaler '{own}' sets the replicas of {kind} '{name}'; switch it off for the drill: selectPolicy: Disabled under \
             behavior.scaleUp and behavior.scaleDown"
        ));
    }
    // Even switched off it keeps the number within its bounds.
    let within = (least..=most).contains(&wanted);
    (!within).then(|| {
        format!("HorizontalPodAutoscaler '{own}' keeps {kind} '{name}' within {least} and {most} replicas even when it is switched off; {wanted} is outside")
    })
}

/// The KEDA object that made an autoscaler. KEDA deletes the autoscaler while it is paused: one that is there is at work.
fn scaled_object(autoscaler: &Value) -> Option<&str> {
    let label = autoscaler.pointer("/metadata/labels").and_then(|labels| labels.get("scaledobject.keda.sh/name")).and_then(Value::as_str);
    label.or_else(|| evict::controller(autoscaler).filter(|owner| text(owner, "/kind") == "ScaledObject").map(|owner| text(owner, "/name")))
}

/// Who would put an object back as a manifest has it, in words.
pub fn keepers(object: &Value) -> Vec<String> {
    let of = |map: &str, key: &str| object.pointer(map).and_then(|map| map.get(key)).and_then(Value::as_str);
    let label = |key: &str| of("/metadata/labels", key);
    let annotation = |key: &str| of("/metadata/annotations", key);
    let mut found = Vec::new();
    // The tracking id is `<application>:<group>/<kind>:<namespace>/<name>`.
    let tracked = annotation("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
    if let Some(application) = tracked.or_else(|| label("argocd.argoproj.io/instance")) {
        found.push(format!("Argo CD application '{application}'"));
    }
    for (what, key) in [("Flux Kustomization", "kustomize.toolkit.fluxcd.io/name"), ("Flux HelmRelease", "helm.toolkit.fluxcd.io/name")] {
        found.extend(label(key).map(|name| format!("{what} '{name}'")));
    }
    if found.is_empty() && label("app.kubernetes.io/managed-by") == Some("Helm") {
        found.push(format!("Helm release '{}', at its next upgrade", annotation("meta.helm.sh/release-name").unwrap_or("unknown")));
    }
    if let Some(owner) = evict::controller(object) {
        found.push(format!("its controller, {} '{}'", text(owner, "/kind"), text(owner, "/name")));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_that_is_at_work_refuses_and_says_how_to_switch_it_off() {
        let mut hpa = json!({
            "metadata": {"name": "api-hpa"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}, "minReplicas": 2, "maxReplicas": 10},
        });
        let refusal = autoscaler_refusal(&hpa, "Deployment", "api", 4).unwrap();
        assert!(refusal.contains("'api-hpa'") && refusal.contains("selectPolicy: Disabled"), "{refusal}");
        assert_eq!(autoscaler_refusal(&hpa, "StatefulSet", "api", 4), None, "another kind");
        assert_eq!(autoscaler_refusal(&hpa, "Deployment", "web", 4), None, "another name");
        hpa["spec"]["behavior"] = json!({"scaleDown": {"selectPolicy": "Disabled"}});
        assert!(autoscaler_refusal(&hpa, "Deployment", "api", 4).is_some(), "it still scales up");
        hpa["spec"]["behavior"]["scaleUp"] = json!({"selectPolicy": "Disabled"});
        assert_eq!(autoscaler_refusal(&hpa, "Deployment", "api", 4), None);
        assert!(autoscaler_refusal(&hpa, "Deployment", "api", 11).unwrap().contains("within 2 and 10"));
        assert!(autoscaler_refusal(&hpa, "Deployment", "api", 0).is_some());
    }

    #[test]
    fn an_autoscaler_of_keda_names_the_scaled_object() {
        let spec = json!({"scaleTargetRef": {"kind": "Deployment", "name": "api"}, "maxReplicas": 10});
        let labelled = json!({"metadata": {"name": "keda-hpa-x", "labels": {"scaledobject.keda.sh/name": "queue"}}, "spec": spec});
        let owner = json!([{"kind": "ScaledObject", "name": "queue", "controller": true}]);
        let owned = json!({"metadata": {"name": "keda-hpa-x", "ownerReferences": owner}, "spec": spec});
        for hpa in [labelled, owned] {
            let refusal = autoscaler_refusal(&hpa, "Deployment", "api", 4).unwrap();
            assert!(refusal.contains("ScaledObject 'queue'") && refusal.contains("autoscaling.keda.sh/paused=true"), "{refusal}");
        }
    }

    #[test]
    fn who_would_put_it_back_is_named() {
        let named = |metadata: Value| keepers(&json!({ "metadata": metadata })).join("; ");
        assert_eq!(named(json!({"labels": {"app": "api"}})), "");
        let argo = json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/api"}, "labels": {"app.kubernetes.io/managed-by": "Helm"}});
        assert_eq!(named(argo), "Argo CD application 'shop'");
        assert_eq!(named(json!({"labels": {"argocd.argoproj.io/instance": "shop"}})), "Argo CD application 'shop'");
        assert_eq!(named(json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}})), "Flux Kustomization 'apps'");
        assert_eq!(
            named(json!({"labels": {"helm.toolkit.fluxcd.io/name": "api", "app.kubernetes.io/managed-by": "Helm"}})),
            "Flux HelmRelease 'api'"
        );
        let helm = json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "api"}});
        assert_eq!(named(helm), "Helm release 'api', at its next upgrade");
        let operator = json!({"ownerReferences": [{"kind": "Kafka", "name": "events", "controller": true}]});
        assert_eq!(named(operator), "its controller, Kafka 'events'");
    }
}
