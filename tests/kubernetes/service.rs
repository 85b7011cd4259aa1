//! serviceBlackhole under the contract, and what is its alone.

use firedrill::event::Phase;
use firedrill::fault::Record;
use serde_json::{Value, json};

use super::contract::{On, Subject};
use super::ground::{Ground, run_id};
use super::testbed::{Cluster, Testbed, eventually};

/// The Service that [`Cluster::namespace`] makes.
pub struct Blackhole;

fn step(namespace: &str, service: &str) -> Value {
    json!({"fault": {"serviceBlackhole": {"cluster": "east", "namespace": namespace, "service": service}}})
}

/// Addresses behind the Service, as kubectl finds them.
fn addresses(cluster: &Cluster, namespace: &str) -> usize {
    let slices = cluster.json(&["-n", namespace, "get", "endpointslices", "-l", "kubernetes.io/service-name=app"]);
    slices["items"].as_array().unwrap().iter().map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len)).sum()
}

fn selector(cluster: &Cluster, namespace: &str) -> Value {
    cluster.json(&["-n", namespace, "get", "service", "app"])["spec"]["selector"].clone()
}

fn select(cluster: &Cluster, namespace: &str, selector: &Value) {
    let patch = json!([{"op": "replace", "path": "/spec/selector", "value": selector}]).to_string();
    cluster.kubectl(&["-n", namespace, "patch", "service", "app", "--type=json", "-p", &patch]);
}

/// Waits until the slices hold so many addresses.
fn filled(cluster: &Cluster, namespace: &str, wanted: usize) {
    eventually(|| match addresses(cluster, namespace) {
        now if now == wanted => Ok(()),
        now => Err(format!("{now} addresses")),
    });
}

impl Subject for Blackhole {
    fn kind(&self) -> &'static str {
        "serviceBlackhole"
    }

    fn make(&self, on: &On<'_>) {
        on.cluster.namespace(&on.namespace, 2, 1);
        filled(on.cluster, &on.namespace, 2);
    }

    fn step(&self, on: &On<'_>) -> Value {
        step(&on.namespace, "app")
    }

    fn bites(&self, on: &On<'_>) -> Result<(), String> {
        match addresses(on.cluster, &on.namespace) {
            0 => Ok(()),
            now => Err(format!("{now} addresses")),
        }
    }

    fn already(&self, on: &On<'_>) -> bool {
        select(on.cluster, &on.namespace, &json!({"app": "nobody"}));
        filled(on.cluster, &on.namespace, 0);
        true
    }

    fn theirs(&self, on: &On<'_>) -> bool {
        select(on.cluster, &on.namespace, &json!({"app": "theirs"}));
        true
    }

    fn replace(&self, on: &On<'_>) -> bool {
        let mut service = on.cluster.json(&["-n", &on.namespace, "get", "service", "app"]);
        on.cluster.kubectl(&["-n", &on.namespace, "delete", "service", "app"]);
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            service["metadata"].as_object_mut().unwrap().remove(field);
        }
        on.cluster.kubectl_create(&service.to_string());
        true
    }

    /// Someone copies the Service, with our mark and our selector, under another name.
    fn ghost(&self, on: &On<'_>, _record: &Record) -> bool {
        let mut service = on.cluster.json(&["-n", &on.namespace, "get", "service", "app"]);
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            service["metadata"].as_object_mut().unwrap().remove(field);
        }
        for field in ["clusterIP", "clusterIPs"] {
            service["spec"].as_object_mut().unwrap().remove(field);
        }
        service["metadata"]["name"] = "copy".into();
        on.cluster.kubectl_create(&service.to_string());
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_label_goes_even_when_the_mark_is_gone_or_a_manifest_was_applied_over_it() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("service-merged", 2, 1);
    filled(east, "service-merged", 2);
    let step = step("service-merged", "app");
    let unmark = || east.kubectl(&["-n", "service-merged", "annotate", "service", "app", "firedrill.dev/run-", "firedrill.dev/record-"]);
    for (what, left, phase) in [
        (None, json!({"app": "app"}), Phase::Reverted),
        // kubectl apply merges: the manifest's own label joins ours, and the Service would stay dark.
        (Some("app"), json!({"app": "app"}), Phase::Reverted),
        (Some("other"), json!({"app": "other"}), Phase::Drifted),
    ] {
        let records = ground.records(&run_id(), &step).await;
        ground.inject(&step, &records).await.unwrap();
        match what {
            None => drop(unmark()),
            Some(app) => {
                let patch = json!({"spec": {"selector": {"app": app}}}).to_string();
                east.kubectl(&["-n", "service-merged", "patch", "service", "app", "-p", &patch]);
            }
        }
        let ended = ground.undo(&records, Phase::Verified).await;
        assert_eq!((ended[0].0, selector(east, "service-merged")), (phase, left), "{what:?}: {ended:?}");
        let annotations = east.json(&["-n", "service-merged", "get", "service", "app"])["metadata"]["annotations"].to_string();
        assert!(!annotations.contains("firedrill.dev/run"), "{annotations}");
        // What a cleared mark leaves is in nobody's way.
        east.kubectl(&["-n", "service-merged", "annotate", "service", "app", "firedrill.dev/expires-"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_the_undo_needs_or_that_selects_nothing_is_refused() {
    let bed = Testbed::shared();
    let (ground, east) = (Ground::new(bed), bed.east());
    east.namespace("service-refused", 2, 1);
    filled(east, "service-refused", 2);
    let refused = async |step: Value, text: &str| {
        let plan = ground.plan(&run_id(), &step).await;
        assert!(plan.refusals.iter().any(|refusal| refusal.to_string().contains(text)), "no '{text}' in {:?}", plan.refusals);
    };
    let plan = ground.plan(&run_id(), &step("service-refused", "app")).await;
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    assert_eq!(plan.steps[0].radius, ["2 ready endpoint(s) of Service service-refused/app of cluster 'east', in 1 EndpointSlice(s)"]);
    refused(step("default", "kubernetes"), "the undo needs it").await;
    refused(step("service-refused", "none"), "has no Service 'none'").await;
    east.apply(r#"{apiVersion: v1, kind: Service, metadata: {name: manual, namespace: service-refused}, spec: {ports: [{port: 80}]}}"#);
    refused(step("service-refused", "manual"), "has no selector").await;
    // It stands behind a webhook that nothing calls, and must answer when it is.
    let hook = json!({"name": "check.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"service": {"namespace": "service-refused", "name": "app"}},
        "rules": [{"apiGroups": ["none.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothings"]}]});
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "policies"}, "webhooks": [hook]});
    east.apply(&configuration.to_string());
    refused(step("service-refused", "app"), "admission webhook 'check.example.com'").await;
    east.kubectl(&["delete", "validatingwebhookconfiguration", "policies"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_patch_there_and_one_back_and_only_what_the_plan_asked_for() {
    let bed = Testbed::shared();
    let east = bed.east();
    east.namespace("service-audit", 2, 1);
    filled(east, "service-audit", 2);
    let step = step("service-audit", "app");
    let needs = Ground::new(bed).kind(&step).needs();
    let user = east.user("darkener", &super::ground::roles(&needs.cluster.all(), "darkener"));
    let ground = Ground::as_user(bed, "east", &user);
    let records = ground.records(&run_id(), &step).await;
    ground.inject(&step, &records).await.unwrap();
    ground.bites(&step, &records[0]).await;
    assert_eq!(ground.undo(&records, Phase::Verified).await[0].0, Phase::Reverted);
    let changed = east.audit().into_iter().filter(|entry| entry.user == user.name && entry.changed());
    let changes: Vec<String> = changed.map(|entry| format!("{} {}", entry.verb, entry.resource)).collect();
    assert_eq!(changes, ["patch services", "patch services"]);
    filled(east, "service-audit", 2);
    for (number, gone) in needs.cluster.all().into_iter().enumerate() {
        let left: Vec<_> = needs.cluster.all().into_iter().filter(|access| *access != gone).collect();
        let user = east.user(&format!("darkener-{number}"), &super::ground::roles(&left, &format!("darkener-{number}")));
        let plan = Ground::as_user(bed, "east", &user).plan(&run_id(), &step).await;
        let refusals: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
        assert!(refusals.iter().any(|text| text.contains(&gone.to_string())), "without '{gone}': {refusals:?}");
    }
}
