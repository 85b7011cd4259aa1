//! Who may do what: denied by the API server, by the policies that `firedrill admission` prints, and allowed once the role says so.

use std::process::{Output, Stdio};
use std::sync::LazyLock;

use firedrill::fault::params::{ActionSpec, FaultSpec};
use serde_json::{Value, json};

use super::ground::{cluster, created, drill, firedrill, kubectl, namespace, object, said};
use super::process::{Ground, Operator};
use super::testbed::{Cluster, User, eventually};

/// The namespace of these tests, with the policies in force.
const HERE: &str = "admission";

/// Its cluster. The account that is firedrill's here has no process.
fn guarded() -> (&'static Cluster, &'static User) {
    static ACCOUNT: LazyLock<User> = LazyLock::new(|| {
        let cluster = namespace(HERE);
        let account = cluster.user("admission-operator", &format!("{}\n---\n{}", everything(), role("drill-approver")));
        in_force(cluster, HERE, &account.name);
        account
    });
    let account = &*ACCOUNT;
    (cluster(), account)
}

/// Puts the policies for a namespace and an account that may patch nodes in force, and waits until they are.
pub fn in_force(cluster: &Cluster, namespace: &str, account: &str) {
    let policies = firedrill(&["admission", "--namespace", namespace, "--account", account]);
    let applied = kubectl(cluster, &["apply", "-f", "-"], &policies);
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(!said(&applied).contains("Warning"), "{}", said(&applied));
    eventually(|| checked(cluster, &format!(".{namespace}")));
    eventually(|| {
        let scheduled = json!({"schedule": "a", "uid": "2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11", "at": "2026-12-08T15:00:00Z"});
        let forged = object("DrillRun", namespace, "forged", &json!({"drill": "a", "environment": "a", "scheduled": scheduled}));
        let run = said(&kubectl(cluster, &["create", "--dry-run=server", "-f", "-"], &forged.to_string()));
        let label = ["label", "node", "--all", "a=b", "--dry-run=server"];
        let node = said(&cluster.try_kubectl(&[label.as_slice(), &["--as", account]].concat()));
        let held = run.contains(&format!("'firedrill-runs.{namespace}'")) && node.contains(&format!("'firedrill-account.{namespace}'"));
        if held { Ok(()) } else { Err(format!("{run}{node}")) }
    });
}

/// The controller manager has checked the types of every expression, as far as it knows them, and has found nothing.
fn checked(cluster: &Cluster, ending: &str) -> Result<(), String> {
    let found = cluster.json(&["get", "validatingadmissionpolicies"]);
    let items = found["items"].as_array().unwrap().iter();
    let ours: Vec<&Value> = items.filter(|one| one["metadata"]["name"].as_str().unwrap().ends_with(ending)).collect();
    assert_eq!(ours.len(), 6, "{found:#}");
    for one in ours {
        assert!(one["status"]["typeChecking"]["expressionWarnings"].is_null(), "{}", one["status"]);
        if one["status"]["observedGeneration"] != one["metadata"]["generation"] {
            return Err(format!("{}: {}", one["metadata"]["name"], one["status"]));
        }
    }
    Ok(())
}

/// A role of the documentation, in the namespace of these tests.
fn role(name: &str) -> String {
    let page = include_str!("../../docs/operator.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Who may do what")).unwrap();
    let block = section.split("```").find(|block| block.starts_with("yaml\n")).unwrap();
    let found = block.trim_start_matches("yaml\n").split("---\n").find(|role| role.contains(&format!("name: {name},"))).unwrap();
    found.replace("namespace: firedrill", &format!("namespace: {HERE}"))
}

/// A role with one rule more or less than those of the documentation.
fn rule(name: &str, resource: &str, names: &[&str], verbs: &[&str]) -> String {
    let mut rule = json!({"apiGroups": ["firedrill.dev"], "resources": [resource], "verbs": verbs});
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name, "namespace": HERE}, "rules": [rule]}).to_string()
}

fn bind(cluster: &Cluster, user: &User, role: &str) {
    cluster.apply(role);
    let role: Value = serde_json::from_str(role).unwrap();
    let name = role["metadata"]["name"].as_str().unwrap();
    cluster.kubectl(&["-n", HERE, "create", "rolebinding", name, &format!("--role={name}"), &format!("--user={}", user.name)]);
}

/// All of what the policies for firedrill's own account are about, so that only they can deny it.
fn everything() -> String {
    let resources = ["nodes", "pods", "services", "configmaps", "deployments", "statefulsets", "networkpolicies"];
    let rules = json!([
        {"apiGroups": ["", "apps", "networking.k8s.io"], "resources": resources, "verbs": ["*"]},
        {"apiGroups": ["firedrill.dev"], "resources": ["drillruns"], "verbs": ["*"]},
        {"apiGroups": ["policy", ""], "resources": ["poddisruptionbudgets", "pods/eviction", "replicasets"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["replicasets", "daemonsets"], "verbs": ["get"]},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    ]);
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "admission-everything"}, "rules": rules})
        .to_string()
}

fn as_user(cluster: &Cluster, user: &User, arguments: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut command = cluster.kubectl_command(&user.kubeconfig);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that is refused before it reads has closed its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Denied by the policies: what the user reads.
fn denied(cluster: &Cluster, user: &User, arguments: &[&str], input: &str) -> String {
    let output = as_user(cluster, user, arguments, input);
    let told = said(&output);
    assert!(!output.status.success() && told.contains("denied request: "), "{arguments:?}: {told}");
    told
}

fn create_denied(cluster: &Cluster, user: &User, object: &Value) -> String {
    denied(cluster, user, &["create", "-f", "-"], &object.to_string())
}

/// Allowed; roles need a moment until the API server knows them.
fn create_allowed(cluster: &Cluster, user: &User, object: &Value) {
    eventually(|| {
        let output = as_user(cluster, user, &["create", "-f", "-"], &object.to_string());
        if output.status.success() { Ok(()) } else { Err(said(&output)) }
    });
}

fn patch<'a>(object: &'a str, patch: &'a str) -> [&'a str; 6] {
    ["-n", HERE, "patch", object, "--type=merge", patch]
}

fn with(name: &str, steps: &Value) -> Value {
    object("Drill", HERE, name, &drill(steps))
}

fn cordon(id: &str) -> Value {
    json!({"id": id, "fault": {"nodeCordon": {"cluster": "east", "nodes": {"names": ["a"]}}}})
}

fn drain(id: &str) -> Value {
    json!({"id": id, "fault": {"nodeDrain": {"cluster": "east", "nodes": {"names": ["a"]}}}})
}

#[test]
fn who_may_not_use_node_drain_writes_no_drill_that_drains_and_changes_none_into_one() {
    let (cluster, _) = guarded();
    // All that the author lacks is a kind: of several policies that deny, the API server tells of any.
    let uses = ["drills", "environments"].map(|resource| rule(&format!("author-{resource}"), resource, &[], &["use"]));
    let roles = [role("drill-author"), rule("author-runs", "drillruns", &[], &["create"]), uses.join("\n---\n")];
    let author = cluster.user("author", &roles.join("\n---\n"));
    let drains = with("drains", &json!([cordon("a"), drain("b")]));
    let told = create_denied(cluster, &author, &drains);
    assert!(told.contains(&format!("fault nodeDrain: {} may not use it in namespace {HERE}", author.name)), "{told}");
    assert!(told.contains("apiGroups: [firedrill.dev], resources: [faults], resourceNames: [nodeCordon, nodeDrain], verbs: [use]"), "{told}");
    // Brought along by a run, it is the same drill.
    let run = object("DrillRun", HERE, "drains", &json!({"drill": "drains", "environment": "staging", "frozenDrill": drains["spec"]}));
    assert!(create_denied(cluster, &author, &run).contains("fault nodeDrain"));
    // What the author may use is taken, and stays so.
    create_allowed(cluster, &author, &with("cordons", &json!([cordon("a")])));
    let into = json!({"spec": {"steps": [drain("a")]}}).to_string();
    let into = format!("--patch={into}");
    assert!(denied(cluster, &author, &patch("drill/cordons", &into), "").contains("fault nodeDrain"));
    assert!(cluster.json(&["-n", HERE, "get", "drill", "cordons"])["spec"]["steps"][0]["fault"]["nodeCordon"].is_object());
    // A kind is one thing as a fault, another as an action.
    let scale = json!({"workloadScale": {"cluster": "east", "namespace": "a", "deployment": "a", "replicas": 1}});
    let told = create_denied(cluster, &author, &with("scales", &json!([{"id": "a", "fault": scale}])));
    assert!(told.contains("fault workloadScale"), "{told}");
    create_allowed(cluster, &author, &with("scales", &json!([{"id": "a", "action": scale}])));
    let shift = json!({"edgeShift": {"edge": "a", "to": "us-west-2"}});
    let told = create_denied(cluster, &author, &with("shifts", &json!([{"id": "a", "action": shift}])));
    assert!(told.contains("action edgeShift") && told.contains("resources: [actions]"), "{told}");

    // Somebody else's drill may be labelled, and not changed.
    created(cluster, &with("theirs", &json!([drain("a")])));
    let output = as_user(cluster, &author, &["-n", HERE, "label", "drill", "theirs", "team=a"], "");
    assert!(output.status.success(), "{}", said(&output));
    assert!(denied(cluster, &author, &patch("drill/theirs", r#"--patch={"spec":{"hold":"2m"}}"#), "").contains("fault nodeDrain"));

    // The rule of the message is what was missing.
    bind(cluster, &author, &rule("may-drain", "faults", &["nodeDrain"], &["use"]));
    create_allowed(cluster, &author, &drains);
    let output = as_user(cluster, &author, &patch("drill/theirs", r#"--patch={"spec":{"hold":"2m"}}"#), "");
    assert!(output.status.success(), "{}", said(&output));
    // As the documentation tells to look.
    let can = said(&as_user(cluster, &author, &["-n", HERE, "auth", "can-i", "--list"], ""));
    let row = can.lines().find(|line| line.starts_with("faults.firedrill.dev") && line.contains("[nodeDrain]"));
    assert!(row.is_some_and(|row| row.ends_with("[use]")), "{can}");
}

/// As many steps as a drill may have, of every kind of the fixture that has them all.
fn two_hundred(of: impl Fn(&Value) -> bool) -> Value {
    let fixture = include_str!("../fixtures/every-kind.yaml");
    let loaded = firedrill::drill::load::load_text("every-kind.yaml", fixture, &firedrill::drill::load::Options::default());
    let all = loaded.drills[0].data["spec"]["steps"].as_array().unwrap().clone();
    let chosen: Vec<Value> = all.into_iter().filter(|step| of(step)).collect();
    let step = |number: usize| {
        let mut step = chosen[number % chosen.len()].clone();
        step["id"] = json!(format!("step-{number}"));
        step.as_object_mut().unwrap().remove("after");
        step
    };
    (0..200).map(step).collect()
}

#[test]
fn two_hundred_steps_of_one_kind_and_of_every_kind_fit_the_budget() {
    let (cluster, _) = guarded();
    let writes = |name: &str| rule(&format!("{name}-writes"), "*", &[], &["create", "get", "patch"]);
    let uses = |name: &str, resource: &str, names: &[&str]| rule(&format!("{name}-{resource}"), resource, names, &["use"]);
    let all = ["faults", "actions", "drills", "environments"].map(|resource| uses("all", resource, &[]));
    let all = cluster.user("uses-all", &format!("{}\n---\n{}", writes("all"), all.join("\n---\n")));
    let every = two_hundred(|step| step["fault"].is_object() || step["action"].is_object());
    let kinds = |sort: &str| {
        let mut kinds: Vec<&str> =
            every.as_array().unwrap().iter().filter_map(|step| step[sort].as_object()?.keys().next()).map(String::as_str).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.len()
    };
    assert_eq!((kinds("fault"), kinds("action")), (FaultSpec::NAMES.len(), ActionSpec::NAMES.len()), "the fixture has every kind");
    let one = two_hundred(|step| step["fault"]["nodeDrain"].is_object());
    for (name, steps) in [("every-kind", &every), ("one-kind", &one)] {
        let sent = with(name, steps);
        create_allowed(cluster, &all, &sent);
        let run = object("DrillRun", HERE, name, &json!({"drill": name, "environment": "staging", "frozenDrill": sent["spec"]}));
        create_allowed(cluster, &all, &run);
    }
    // And each is asked for: without the last one it is denied.
    let (last, others) = FaultSpec::NAMES.split_last().unwrap();
    let most =
        cluster.user("uses-most", &format!("{}\n---\n{}\n---\n{}", writes("most"), uses("most", "faults", others), uses("most", "actions", &[])));
    let told = create_denied(cluster, &most, &with("most", &every));
    assert!(told.contains(&format!("fault {last}: ")), "{told}");
    // Who stops a run needs none of it.
    let aborted = as_user(cluster, &most, &patch("drillrun/every-kind", r#"--patch={"spec":{"abort":true}}"#), "");
    assert!(aborted.status.success(), "{}", said(&aborted));
}

#[test]
fn who_may_not_use_the_drill_or_the_environment_runs_and_schedules_nothing() {
    let (cluster, _) = guarded();
    let runner = cluster.user("runner", &role("drill-runner"));
    let run = |name: &str, spec: Value| object("DrillRun", HERE, name, &spec);
    let own = |drill: &str, environment: &str| json!({"drill": drill, "environment": environment});
    let told = create_denied(cluster, &runner, &run("a", own("evacuate-us-east-1", "production")));
    assert!(told.contains(&format!("{} may not use environment production in namespace {HERE}", runner.name)), "{told}");
    assert!(told.contains("resources: [environments], resourceNames: [production], verbs: [use]"), "{told}");
    let told = create_denied(cluster, &runner, &run("a", own("other", "staging")));
    assert!(told.contains("may not use drill other") && told.contains("resources: [drills], resourceNames: [other]"), "{told}");
    create_allowed(cluster, &runner, &run("allowed", own("evacuate-us-east-1", "staging")));

    let schedule = |name: &str, environment: &str| {
        let mut spec = own("evacuate-us-east-1", environment);
        spec.as_object_mut().unwrap().extend(json!({"cron": "0 10 * * *", "timeZone": "UTC"}).as_object().unwrap().clone());
        object("DrillSchedule", HERE, name, &spec)
    };
    assert!(create_denied(cluster, &runner, &schedule("daily", "production")).contains("may not use environment production"));
    create_allowed(cluster, &runner, &schedule("daily", "staging"));
    let told = denied(cluster, &runner, &patch("drillschedule/daily", r#"--patch={"spec":{"environment":"production"}}"#), "");
    assert!(told.contains("may not use environment production"), "{told}");

    // On call: stops what others have started, starts nothing again.
    let stopper = cluster.user("stopper", &role("drill-stopper"));
    let tried = |change: &str, object: &str| as_user(cluster, &stopper, &patch(object, &format!("--patch={change}")), "");
    let suspended = tried(r#"{"spec":{"suspend":true}}"#, "drillschedule/daily");
    assert!(suspended.status.success(), "{}", said(&suspended));
    let aborted = tried(r#"{"spec":{"abort":true}}"#, "drillrun/allowed");
    assert!(aborted.status.success(), "{}", said(&aborted));
    for change in [r#"{"spec":{"suspend":false}}"#, r#"{"spec":{"suspend":null}}"#, r#"{"spec":{"cron":"* * * * *"}}"#] {
        let told = said(&tried(change, "drillschedule/daily"));
        assert!(told.contains("may not use drill evacuate-us-east-1"), "{change}: {told}");
    }

    bind(cluster, &runner, &rule("may-produce", "environments", &["production"], &["use"]));
    create_allowed(cluster, &runner, &run("produces", own("evacuate-us-east-1", "production")));
    create_allowed(cluster, &runner, &schedule("produces", "production"));
}

#[test]
fn nobody_asks_in_the_name_of_another_and_nobody_approves_his_own_run() {
    let (cluster, account) = guarded();
    let person = |name: &str| {
        let uses = rule(&format!("{name}-uses"), "environments", &[], &["use"]);
        cluster.user(name, &format!("{}\n---\n{}\n---\n{uses}", role("drill-runner"), role("drill-approver")))
    };
    let (alice, bob) = (person("alice"), person("bob"));
    let run =
        |name: &str, by: &str| object("DrillRun", HERE, name, &json!({"drill": "evacuate-us-east-1", "environment": "staging", "requestedBy": by}));
    let told = create_denied(cluster, &alice, &run("asked", &bob.name));
    assert!(told.contains(&format!("spec.requestedBy is {}, and the request is of {}", bob.name, alice.name)), "{told}");
    create_allowed(cluster, &alice, &run("asked", &alice.name));
    create_allowed(cluster, &bob, &run("of-bob", &bob.name));
    let mut schedule = object(
        "DrillSchedule",
        HERE,
        "asked",
        &json!({"drill": "evacuate-us-east-1", "environment": "staging", "cron": "0 10 * * *", "timeZone": "UTC", "requestedBy": bob.name}),
    );
    assert!(create_denied(cluster, &alice, &schedule).contains("spec.requestedBy is"));
    schedule["spec"]["requestedBy"] = json!(alice.name);
    create_allowed(cluster, &alice, &schedule);
    // Who changes it asks for it from then on.
    let told = denied(cluster, &bob, &patch("drillschedule/asked", r#"--patch={"spec":{"cron":"* * * * *"}}"#), "");
    assert!(told.contains(&format!("spec.requestedBy is {}", alice.name)), "{told}");

    // That a run is a schedule's says firedrill alone, and only it asks for nobody.
    let mut scheduled = run("scheduled", &alice.name);
    scheduled["spec"]["scheduled"] = json!({"schedule": "asked", "uid": "2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11", "at": "2026-12-08T15:00:00Z"});
    assert!(create_denied(cluster, &alice, &scheduled).contains("spec.scheduled is set by firedrill alone"));
    let mut brought = scheduled.clone();
    brought["spec"]["frozenDrill"] = drill(&json!([{"id": "a", "wait": {"for": "1m"}}]));
    assert!(create_denied(cluster, account, &brought).contains("firedrill's own runs name a drill, and bring none"));
    assert!(create_denied(cluster, account, &run("unscheduled", &alice.name)).contains("spec.scheduled is set by firedrill alone"));
    create_allowed(cluster, account, &scheduled);

    let yes = |name: &str, run: &str, who: &str| object("DrillApproval", HERE, name, &json!({"run": run, "approver": who}));
    let told = create_denied(cluster, &alice, &yes("own", "of-bob", &bob.name));
    assert!(told.contains(&format!("spec.approver is {}, and the request is of {}", bob.name, alice.name)), "{told}");
    // The API server compares with the runs that it has seen, a moment after it took them; the operator compares again before it counts.
    let told = eventually(|| {
        let told = said(&as_user(cluster, &alice, &["create", "--dry-run=server", "-f", "-"], &yes("own", "asked", &alice.name).to_string()));
        if told.contains("denied request: ") { Ok(told) } else { Err(told) }
    });
    assert!(told.contains(&format!("DrillRun asked was requested by {}: nobody approves his own run, ask somebody else", alice.name)), "{told}");
    create_allowed(cluster, &bob, &yes("others", "asked", &bob.name));
    create_allowed(cluster, &alice, &yes("others-too", "of-bob", &alice.name));
}

#[test]
fn firedrills_own_account_changes_only_the_fields_of_its_kinds() {
    let (cluster, account) = guarded();
    cluster.namespace("admission-app", 1, 1);
    created(cluster, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "admission-own"}}));
    let app = ["-n", "admission-app"];
    let node = |patch: &'static str| vec!["patch", "node", "admission-own", "--type=merge", "-p", patch];
    let of_app = |arguments: &[&'static str]| [app.as_slice(), arguments].concat();
    let policies = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"open","namespace":"admission-app"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}"#;
    cluster.apply(&policies.replace("\"open\"", "\"firedrill-open\""));
    let own_policy = policies.replace("\"open\"", "\"firedrill-01jabcdefghjkmnpqrstvwxyz0-step\"");
    let refused: Vec<(Vec<&str>, &str, &str)> = vec![
        (node(r#"{"metadata":{"labels":{"a":"b"}}}"#), "", "spec.unschedulable and its own annotations"),
        (node(r#"{"metadata":{"annotations":{"a":"b"}}}"#), "", "spec.unschedulable and its own annotations"),
        (node(r#"{"spec":{"taints":[{"key":"a","effect":"NoExecute"}]}}"#), "", "spec.unschedulable and its own annotations"),
        (node(r#"{"spec":{"unschedulable":true,"taints":[{"key":"a","effect":"NoExecute"}]}}"#), "", "spec.unschedulable and its own annotations"),
        (vec!["delete", "node", "admission-own"], "", "spec.unschedulable and its own annotations"),
        (of_app(&["set", "image", "deployment/app", "app=registry.example.com/other:1"]), "", "spec.replicas"),
        (of_app(&["annotate", "deployment", "app", "a=b"]), "", "spec.replicas"),
        (of_app(&["delete", "deployment", "app"]), "", "spec.replicas"),
        (of_app(&["patch", "service", "app", "--type=merge", "-p", r#"{"spec":{"type":"LoadBalancer"}}"#]), "", "spec.selector"),
        (of_app(&["delete", "service", "app"]), "", "spec.selector"),
        (of_app(&["delete", "pods", "--all"]), "", "asks for evictions"),
        (vec!["create", "-f", "-"], policies, "those of egress that are named firedrill-RUN-STEP"),
        (vec!["create", "-f", "-"], &own_policy, "those of egress that are named firedrill-RUN-STEP"),
        (of_app(&["delete", "networkpolicy", "firedrill-open"]), "", "those of egress that are named firedrill-RUN-STEP"),
        (of_app(&["create", "configmap", "other", "--from-literal=a=b"]), "", "writes reports and records"),
        (of_app(&["create", "configmap", "firedrill-other", "--from-literal=a=b"]), "", "writes reports and records"),
        (of_app(&["delete", "configmap", "kube-root-ca.crt"]), "", "writes reports and records"),
        (of_app(&["patch", "configmap", "kube-root-ca.crt", "--type=merge", "-p", r#"{"data":{"a":"b"}}"#]), "", "writes reports and records"),
        (vec!["-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", r#"{"data":{"a":"b"}}"#], "", "the Corefile"),
    ];
    for (arguments, input, why) in &refused {
        let told = denied(cluster, account, arguments, input);
        assert!(told.contains("firedrill's own account only") && told.contains(why), "{arguments:?}: {told}");
    }
    // The same permissions, not firedrill's account: the policy is about nobody else.
    let other = cluster.user("not-firedrill", &everything());
    let output = as_user(cluster, &other, &node(r#"{"metadata":{"labels":{"a":"b"}}}"#), "");
    assert!(output.status.success(), "{}", said(&output));
    let allowed = as_user(cluster, account, &node(r#"{"spec":{"unschedulable":true},"metadata":{"annotations":{"firedrill.dev/run":"x"}}}"#), "");
    assert!(allowed.status.success(), "{}", said(&allowed));
    let scaled = as_user(cluster, account, &of_app(&["patch", "deployment", "app", "--type=merge", "-p", r#"{"spec":{"replicas":2}}"#]), "");
    assert!(scaled.status.success(), "{}", said(&scaled));
}

#[test]
fn every_kubernetes_kind_injects_and_undoes_with_an_account_that_is_kept_to_its_fields() {
    let ground = Ground::new("op-kept", "1s");
    ground.cluster.apply(&everything());
    let bound = format!("--serviceaccount={}", ground.user.name.trim_start_matches("system:serviceaccount:"));
    ground.cluster.kubectl(&["create", "clusterrolebinding", "op-kept-everything", "--clusterrole=admission-everything", &bound]);
    ground.admit();
    ground.cluster.namespace("op-kept-app", 2, 1);
    let before = ground.cluster.dump_namespace("op-kept-app");
    let dns = ground.cluster.json(&["-n", "kube-system", "get", "configmap", "coredns"])["data"].clone();
    let connection = json!({"kubeconfigFile": ground.user.kubeconfig});
    let here = json!({"name": "here", "uid": ground.cluster.uid, "region": "us-east-1", "connection": connection, "dns": ground.cluster.dns});
    let kinds = ["nodeCordon", "nodeDrain", "podKill", "workloadScale", "egressBlackhole", "dnsBlackhole", "serviceBlackhole"];
    let of_a_cluster = |kind: &&firedrill::fault::definition::Entry| {
        let reads = (kind.about)().is_some_and(|about| about.permissions.read.contains(&"get namespaces (kube-system)"));
        reads && !kind.name.starts_with("gateway")
    };
    let all: Vec<&str> = FaultSpec::KINDS.iter().filter(of_a_cluster).map(|kind| kind.name).collect();
    assert_eq!(all, kinds, "left: the kinds of this build that change a cluster");
    ground.environment("wide", &json!({"kubernetes": [here], "allow": {"faults": kinds, "noDeadMan": true}}));
    let app = json!({"cluster": "here", "namespace": "op-kept-app"});
    let within = |more: Value| {
        let mut all = app.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let pods = json!({"labels": {"app": "app"}});
    let other = format!("{}-other", ground.name);
    let faults = [
        json!({"nodeCordon": {"cluster": "here", "nodes": {"names": [ground.node]}}}),
        json!({"nodeDrain": {"cluster": "here", "nodes": {"names": [other]}}}),
        json!({"podKill": within(json!({"pods": pods, "count": 1}))}),
        json!({"workloadScale": within(json!({"deployment": "app", "replicas": 3}))}),
        json!({"serviceBlackhole": within(json!({"service": "app"}))}),
        json!({"egressBlackhole": within(json!({"pods": pods, "cidrs": ["203.0.113.0/24"]}))}),
        json!({"dnsBlackhole": {"cluster": "here", "services": ["dynamodb"], "answer": "NODATA"}}),
    ];
    let steps = faults.iter().enumerate().map(|(number, fault)| {
        let after: Vec<String> = number.checked_sub(1).map(|before| format!("step-{before}")).into_iter().collect();
        json!({"id": format!("step-{number}"), "after": after, "fault": fault, "limit": "2m"})
    });
    ground.drill("every", "1s", &steps.collect());
    let operator = Operator::start(&ground, &[]);
    operator.leads();
    ground.run("every", &json!({"drill": "every", "environment": "wide"}));
    let over = ground.until_phase("every", "over");
    let status = &over["status"];
    // An egress policy cannot be proven: everything else bit.
    assert_eq!(
        (status["verdict"].as_str(), status["cleanliness"].as_str(), status["inPlace"].as_u64()),
        (Some("inconclusive"), Some("clean"), Some(0)),
        "{status:#}"
    );
    assert_eq!(status["targets"], 7, "{status:#}");
    let ours: Vec<_> = ground.cluster.audit().into_iter().filter(|entry| entry.user == ground.user.name).collect();
    let forbidden: Vec<String> = ours.iter().filter(|entry| entry.status == 403).map(|entry| format!("{} {}", entry.verb, entry.uri)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    for touched in ["nodes", "pods", "deployments", "services", "networkpolicies", "configmaps"] {
        assert!(ours.iter().any(|entry| entry.resource == touched && entry.changed()), "{touched} were not touched");
    }
    ground.undone();
    ground.cluster.returns_to(&before);
    assert_eq!(ground.cluster.json(&["-n", "kube-system", "get", "configmap", "coredns"])["data"], dns);
    // While the policies held.
    let told = denied(ground.cluster, &ground.user, &["label", "node", &ground.node, "a=b"], "");
    assert!(told.contains("firedrill-account.op-kept"), "{told}");
}

#[test]
fn a_name_that_is_none_is_refused_and_without_a_namespace_only_the_account_is_kept() {
    let wrong = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill")).args(["admission", "--account", "a' || true || '"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(said(&wrong).contains("is no user name, such as system:serviceaccount:NAMESPACE:NAME"), "{}", said(&wrong));
    let printed = firedrill(&["admission", "--account", "system:serviceaccount:ops:firedrill"]);
    assert_eq!(printed.matches("kind: ValidatingAdmissionPolicy\n").count(), 1, "{printed}");
    assert_eq!(printed.matches("kind: ValidatingAdmissionPolicyBinding\n").count(), 1, "{printed}");
    // It can be applied as it is.
    let applied = kubectl(cluster(), &["apply", "--dry-run=server", "-f", "-"], &printed);
    assert!(applied.status.success(), "{}", said(&applied));
}
