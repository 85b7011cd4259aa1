//! What the chart makes, with any values: lint, schema, and every object as the API server would take it.

use serde_json::Value;

use super::helm::{CHART, command, helm, refused, said};
use super::testbed::{Cluster, Testbed, eventually};

/// Everything that can be switched on, and every list with something in it.
const EVERYTHING: &str = r#"
faults: [dnsBlackhole, egressBlackhole, nodeCordon, nodeDrain, podKill, serviceBlackhole, workloadScale, ec2Stop, gatewayBlackhole]
namespaces: [checkout, payments]
probes: [workload]
image: {repository: registry.example.com/firedrill, digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
imagePullSecrets: [{name: registry}]
operator:
  priorityClassName: system-cluster-critical
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: dedicated, operator: Exists}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
  podAnnotations: {a: b}
  podLabels: {team: platform}
  env: [{name: AWS_REGION, value: us-west-2}]
  volumes: [{name: clusters, secret: {secretName: clusters}}]
  volumeMounts: [{name: clusters, mountPath: /etc/firedrill/clusters, readOnly: true}]
serviceAccount: {annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::111122223333:role/firedrill"}}
networkPolicy:
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  egress: [{ports: [{port: 443, protocol: TCP}, {port: 53, protocol: UDP}]}]
notifications:
  receivers: [{name: chat, format: slack, urlFile: /etc/firedrill/secret/slack-url, on: [end, stillInPlace]}]
  secret: firedrill-receivers
reports: {volume: {enabled: true, storageClass: efs, size: 20Gi}, kept: 200}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
gateway:
  enabled: true
  clients: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: checkout}}}]
  priorityClassName: system-cluster-critical
  podLabels: {team: platform}
"#;

/// The two of the Prometheus operator, as far as this chart uses them: what they lack is refused by a strict client.
const MONITORING: &str = r#"
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: servicemonitors.monitoring.coreos.com}, spec: {group: monitoring.coreos.com, scope: Namespaced, names: {kind: ServiceMonitor, plural: servicemonitors}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, required: [selector, endpoints], properties: {selector: {type: object, properties: {matchLabels: {type: object, additionalProperties: {type: string}}}}, endpoints: {type: array, items: {type: object, properties: {port: {type: string}, path: {type: string}, interval: {type: string, pattern: "^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"}}}}}}}}}}]}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: prometheusrules.monitoring.coreos.com}, spec: {group: monitoring.coreos.com, scope: Namespaced, names: {kind: PrometheusRule, plural: prometheusrules}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {groups: {type: array, items: {type: object, required: [name], properties: {name: {type: string}, rules: {type: array, items: {type: object, required: [expr], properties: {alert: {type: string}, expr: {type: string}, for: {type: string}, labels: {type: object, additionalProperties: {type: string}}, annotations: {type: object, additionalProperties: {type: string}}}}}}}}}}}}}}]}}
"#;

fn everything() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), EVERYTHING).unwrap();
    file
}

fn template(values: &[&str]) -> Vec<Value> {
    let arguments = ["template", "firedrill", CHART, "--namespace", "firedrill", "--kube-version", "1.36.0", "--no-hooks"];
    let arguments = if values.contains(&"--hooks") { &arguments[..7] } else { &arguments[..] };
    let values: Vec<&str> = values.iter().copied().filter(|word| *word != "--hooks").collect();
    documents(&helm(None, &[arguments, &values[..]].concat()))
}

fn documents(text: &str) -> Vec<Value> {
    let documents =
        text.split("\n---\n").filter(|document| document.lines().any(|line| !line.starts_with('#') && !line.starts_with("---") && !line.is_empty()));
    documents
        .map(|document| serde_saphyr::from_str(document.trim_start_matches("---\n")).unwrap_or_else(|error| panic!("{error}\n{document}")))
        .collect()
}

#[test]
fn helm_lint_has_nothing_to_say_of_the_chart() {
    let everything = everything();
    for values in [&[][..], &["--values", everything.path().to_str().unwrap()]] {
        let arguments = [&["lint", CHART, "--strict", "--kube-version", "1.36.0"], values].concat();
        let said = helm(None, &arguments);
        assert!(said.contains("0 chart(s) failed") && !said.contains("WARNING"), "{said}");
    }
}

#[test]
fn values_that_mean_nothing_are_refused_with_the_reason() {
    let installed = |more: &[&str]| refused(None, &[&["template", "firedrill", CHART, "--kube-version", "1.36.0"], more].concat());
    for (set, reason) in [
        ("faults={nodeDrian}", "/faults/0"),
        ("faults={nodeDrain,nodeDrain}", "/faults"),
        ("probes={http}", "/probes/0"),
        ("namespaces={Shop}", "/namespaces/0"),
        ("operator.replica=3", "replica"),
        ("operator.leaseDuration=15", "leaseDuration"),
        ("image.digest=latest", "digest"),
        ("gateway.enabled=true", "gateway.clients: say who may use the gateway"),
        ("faults={podKill}", "podKill has its targets in namespaces: say in which it may act"),
    ] {
        let said = installed(&["--set", set]);
        assert!(said.contains(reason), "{set}: {said}");
    }
    let old = refused(None, &["template", "firedrill", CHART, "--kube-version", "1.29.0"]);
    assert!(old.contains("1.30"), "{old}");
}

#[test]
fn the_operator_is_allowed_what_the_named_kinds_need_and_never_secrets() {
    let kinds = |set: &[&str]| {
        let mut rules: Vec<(String, String, Value)> = Vec::new();
        for object in template(set).into_iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole") {
            let place = object["metadata"]["namespace"].as_str().unwrap_or("*").to_owned();
            for rule in object["rules"].as_array().unwrap() {
                for resource in rule["resources"].as_array().unwrap() {
                    rules.push((place.clone(), resource.as_str().unwrap().to_owned(), rule["verbs"].clone()));
                }
            }
        }
        rules
    };
    let has = |rules: &[(String, String, Value)], place: &str, resource: &str| rules.iter().any(|(at, of, _)| at == place && of == resource);
    let none = kinds(&[]);
    assert!(none.iter().all(|(place, resource, _)| place == "firedrill" || (place == "*" && resource == "namespaces")), "{none:?}");
    let some = kinds(&["--set", "faults={podKill,nodeCordon,dnsBlackhole},namespaces={shop,pay}"]);
    for (place, resource) in [("shop", "pods/eviction"), ("pay", "pods/eviction"), ("*", "nodes"), ("kube-system", "configmaps")] {
        assert!(has(&some, place, resource), "{resource} in {place}: {some:?}");
    }
    assert!(!has(&some, "*", "pods/eviction") && !has(&some, "shop", "configmaps") && !has(&some, "shop", "deployments"), "{some:?}");
    let everywhere = kinds(&["--set", "faults={podKill},namespaces={*}"]);
    assert!(has(&everywhere, "*", "pods/eviction"), "{everywhere:?}");
    let everything = everything();
    let all = kinds(&["--values", everything.path().to_str().unwrap()]);
    assert!(all.len() > 25, "{all:?}");
    for (place, resource, verbs) in &all {
        assert!(!resource.contains("secrets") && !resource.contains('*') && !verbs.to_string().contains('*'), "{place} {resource} {verbs}");
    }
}

#[test]
fn every_object_is_accepted_by_the_api_server() {
    let cluster = Testbed::shared().east();
    defined(cluster);
    // A name of its own: other tests of this cluster install nothing.
    cluster.apply(r#"{apiVersion: v1, kind: Namespace, metadata: {name: firedrill, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}}"#);
    let everything = everything();
    for values in [&["--hooks"][..], &["--hooks", "--values", everything.path().to_str().unwrap()]] {
        let objects = template(values);
        assert!(objects.len() > 8, "{objects:#?}");
        for object in objects {
            // Strict, so that a field which the API server would drop is an error; a warning is what restricted pod security has against a pod.
            let mut command = cluster.kubectl_command(&cluster.kubeconfig);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), object.to_string()).unwrap();
            let output = command.args(["create", "--dry-run=server", "--validate=strict", "-f"]).arg(file.path()).output().unwrap();
            assert!(output.status.success() && !said(&output).contains("Warning"), "{}\n{object:#}", said(&output));
        }
    }
    let output = command(Some(cluster), &["install", "firedrill", CHART, "--namespace", "firedrill", "--dry-run=server"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // What a person reads after installing it.
    let notes = said(&output);
    for line in ["Drills may break nothing here yet", "kubectl -n firedrill get drillschedules,drillruns", "firedrill crds | kubectl apply -f -"] {
        assert!(notes.contains(line), "{line}: {notes}");
    }
}

#[test]
fn every_command_of_a_pod_is_one_of_the_binary() {
    let everything = everything();
    let mut seen = 0;
    for object in template(&["--hooks", "--values", everything.path().to_str().unwrap()]) {
        let pod = &object["spec"]["template"]["spec"];
        if pod.is_null() {
            continue;
        }
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill"));
        command.args(pod["containers"][0]["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
        // What stands before it is read first.
        let output = command.arg("--help").output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", said(&output));
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// The custom resources of others that the chart can make.
fn defined(cluster: &Cluster) {
    cluster.apply(MONITORING);
    eventually(|| {
        let found = cluster.try_kubectl(&["get", "servicemonitors,prometheusrules", "--all-namespaces"]);
        if found.status.success() { Ok(()) } else { Err(said(&found)) }
    });
}
