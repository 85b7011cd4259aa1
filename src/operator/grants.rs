//! What firedrill must be allowed in a cluster by kind of fault, action and probe, before any drill is known: the chart's roles are made from it.
//!
//! Each kind is opened as its own example says, and asked what `firedrill policy` asks. What is the example's namespace or object stands for any.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::permissions::{self, GATEWAY, NAMESPACED};
use crate::clock::Clock;
use crate::cluster::access::{Access, Needs};
use crate::cluster::rbac::{self, Rule};
use crate::drill::about::{Described, Sort, kinds, sample};
use crate::drill::load::{Options, load_text};
use crate::drill::spec::{DrillSpec, EnvironmentSpec, Step};
use crate::fault::KindSource;
use crate::fault::registry::Registry;
use crate::probe::ProbeSource;
use crate::probe::open::Opener;

/// Name of the chart's file of rules, from the root of the repository.
pub const CHART_FILE: &str = "charts/firedrill/files/rules.yaml";

/// Fields that stand for another one in a kind's example and change what it needs: a test holds that these are all.
const ALTERNATIVES: [(&str, &str, &str); 3] =
    [("workloadScale", "deployment", "statefulSet"), ("workload", "deployment", "statefulSet"), ("workload", "deployment", "daemonSet")];

/// What one kind must be allowed, to read, to inject and to revert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// In the whole cluster.
    pub cluster: Vec<Rule>,
    /// In each namespace where it may act.
    pub namespaces: Vec<Rule>,
    /// In namespaces that are always the same.
    pub fixed: BTreeMap<String, Vec<Rule>>,
    /// In the operator's own namespace, whose gateways it steers.
    pub own: Vec<Rule>,
}

/// Namespaces of accesses that stand for others: where a kind may act, and the operator's own. Neither is a name that a namespace can have.
const TARGETS: &str = "<targets>";
const OWN: &str = "<own>";

/// Grants of all kinds that this build runs. One without a rule needs nothing of RBAC: AWS has policies of its own.
///
/// # Errors
/// A kind whose example cannot be opened, which a test rules out.
pub fn grants(sorts: &[Sort]) -> Result<BTreeMap<&'static str, Grant>, String> {
    let mut all: BTreeMap<&'static str, Grant> = BTreeMap::new();
    for kind in kinds().into_iter().filter(|kind| sorts.contains(&kind.sort)) {
        let Some(about) = kind.about else { continue };
        // A kind that is a fault and an action has one example.
        if let std::collections::btree_map::Entry::Vacant(place) = all.entry(kind.name) {
            place.insert(grant(&kind, about.example).map_err(|why| format!("{}: {why}", kind.name))?);
        }
    }
    Ok(all)
}

fn grant(kind: &Described, example: &str) -> Result<Grant, String> {
    if !of_cluster(kind) {
        return Ok(Grant::default());
    }
    let example: Value = serde_saphyr::from_str(example).map_err(|error| error.to_string())?;
    let parameters = example[kind.name].clone();
    let mut needed = accesses(kind, &parameters)?;
    for (_, given, instead) in ALTERNATIVES.iter().filter(|(name, ..)| *name == kind.name) {
        needed.extend(accesses(kind, &replaced(&parameters, given, instead))?);
    }
    Ok(granted(needed))
}

/// Whether a kind works in a cluster, or on gateways that a cluster steers.
fn of_cluster(kind: &Described) -> bool {
    let field = |name: &str, format: &str| kind.schema.pointer(&format!("/properties/{name}/format")).is_some_and(|found| found == format);
    field("cluster", "cluster-name") || field("gateway", "gateway-name")
}

fn replaced(parameters: &Value, given: &str, instead: &str) -> Value {
    let mut other = parameters.clone();
    if let Some(fields) = other.as_object_mut()
        && let Some(value) = fields.remove(given)
    {
        fields.insert(instead.to_owned(), value);
    }
    other
}

/// What the kind asks for with these parameters, in the cluster that they name; what is theirs alone stands for any.
fn accesses(kind: &Described, parameters: &Value) -> Result<Vec<Access>, String> {
    let cluster = |name: &str, region: &str| json!({"name": name, "uid": name, "region": region, "connection": {"inCluster": true}});
    let here = parameters["cluster"].as_str().unwrap_or("east");
    let mut environment = json!({"kubernetes": [cluster("east", "us-east-1"), cluster("west", "us-west-2")]});
    if let Some(gateway) = parameters["gateway"].as_str() {
        environment["gateways"] = json!([{"name": gateway, "connection": {"cluster": here, "namespace": OWN}}]);
    }
    let environment: EnvironmentSpec = serde_json::from_value(environment).map_err(|error| error.to_string())?;
    let needs = if kind.sort == Sort::Probe {
        let probe = serde_json::from_value(json!({kind.name: parameters})).map_err(|error| error.to_string())?;
        Opener::new(&environment, Clock::system()).open(&probe, "example")?.needs().cluster
    } else {
        let step: Step =
            serde_json::from_value(json!({"id": "example", kind.sort.name(): {kind.name: parameters}})).map_err(|error| error.to_string())?;
        Registry::new(&environment).for_step(&drill()?, &step).map_err(|error| error.to_string())?.needs().cluster
    };
    let targets = parameters["namespace"].as_str();
    let wanted = needs.all().into_iter().filter(|access| access.cluster == here);
    Ok(wanted
        .map(|access| match access.namespace.as_deref() {
            Some(namespace) if Some(namespace) == targets => Access { namespace: Some(TARGETS.to_owned()), name: None, ..access },
            _ => access,
        })
        .collect())
}

/// Any drill: no need depends on it.
fn drill() -> Result<DrillSpec, String> {
    let loaded = load_text("example.yaml", &sample(Sort::Fault, "gatewayRefuse: {gateway: edge, services: [sts]}"), &Options::default());
    loaded.drills.first().map(|drill| drill.value.spec.clone()).ok_or_else(|| "the example of a drill does not read".to_owned())
}

fn granted(needed: Vec<Access>) -> Grant {
    // The operator's own, in any case.
    let needed = needed.into_iter().filter(|access| !(access.resource == "namespaces" && access.name.as_deref() == Some("kube-system")));
    let one = |access| Access { cluster: String::new(), ..access };
    let mut grant = Grant::default();
    for role in rbac::roles(&Needs { read: needed.map(one).collect(), ..Needs::default() }, "") {
        match role.namespace.as_deref() {
            None => grant.cluster = role.rules,
            Some(TARGETS) => grant.namespaces = role.rules,
            Some(OWN) => grant.own = role.rules,
            Some(namespace) => drop(grant.fixed.insert(namespace.to_owned(), role.rules)),
        }
    }
    grant
}

/// The chart's file: what the operator itself needs in its namespace and in the cluster, and what each kind adds.
///
/// # Errors
/// As [`grants`].
pub fn yaml() -> Result<String, String> {
    let mut out = "# What firedrill must be allowed in a cluster: src/operator/permissions.rs, and what each kind says of itself.\n\
                   # Made by a test; write it anew with: UPDATE=1 cargo test --features failpoints --locked --test operator the_chart\n\n\
                   # The operator, in its own namespace.\noperator:\n"
        .to_owned();
    write_own(&mut out, &NAMESPACED);
    out.push_str("\n# A gateway, in the namespace that it watches.\ngateway:\n");
    write_own(&mut out, &GATEWAY);
    let identity = Rule { group: String::new(), resource: "namespaces".into(), names: vec!["kube-system".into()], verbs: vec!["get".into()] };
    let _ = writeln!(out, "\n# The operator, in the whole cluster: it is known by the uid of kube-system.\ncluster:\n  {}", line(&identity));
    for (name, what, sorts) in [
        ("kinds", "What a kind of fault or action adds, to read, to inject and to revert.", &[Sort::Fault, Sort::Action][..]),
        ("probes", "What a kind of probe adds.", &[Sort::Probe][..]),
    ] {
        let _ = writeln!(
            out,
            "\n# {what} `cluster`: in all of it; `namespaces`: in each namespace where it may act; `own`: in the operator's own;\n# `fixed`: always there. None: it needs nothing of RBAC.\n{name}:"
        );
        for (kind, grant) in grants(sorts)? {
            write_grant(&mut out, kind, &grant);
        }
    }
    Ok(out)
}

fn write_own(out: &mut String, rules: &[permissions::Rule]) {
    for own in rules {
        let verbs = own.verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let rule = Rule { group: own.group.to_owned(), resource: own.resource.to_owned(), names: Vec::new(), verbs };
        let _ = writeln!(out, "  # {}\n  {}", own.why, line(&rule));
    }
}

fn write_grant(out: &mut String, kind: &str, grant: &Grant) {
    if *grant == Grant::default() {
        let _ = writeln!(out, "  {kind}: {{}}");
        return;
    }
    let _ = writeln!(out, "  {kind}:");
    let list = |out: &mut String, indent: &str, rules: &[Rule]| rules.iter().for_each(|rule| out.push_str(&format!("{indent}{}\n", line(rule))));
    for (name, rules) in
        [("cluster", &grant.cluster), ("namespaces", &grant.namespaces), ("own", &grant.own)].into_iter().filter(|(_, rules)| !rules.is_empty())
    {
        let _ = writeln!(out, "    {name}:");
        list(out, "      ", rules);
    }
    if !grant.fixed.is_empty() {
        out.push_str("    fixed:\n");
    }
    for (namespace, rules) in &grant.fixed {
        let _ = writeln!(out, "      {namespace}:");
        list(out, "        ", rules);
    }
}

/// A rule of RBAC in one line.
fn line(rule: &Rule) -> String {
    // A list of strings as JSON is YAML, but for the spaces that people expect.
    let list = |words: &[String]| words.iter().map(|word| Value::from(word.as_str()).to_string()).collect::<Vec<_>>().join(", ");
    let names = if rule.names.is_empty() { String::new() } else { format!(", resourceNames: [{}]", list(&rule.names)) };
    let (group, resource) = (list(std::slice::from_ref(&rule.group)), list(std::slice::from_ref(&rule.resource)));
    format!("- {{apiGroups: [{group}], resources: [{resource}]{names}, verbs: [{}]}}", list(&rule.verbs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Sort; 3] = Sort::ALL;

    fn of_clusters() -> impl Iterator<Item = Described> {
        kinds().into_iter().filter(|kind| kind.about.is_some() && of_cluster(kind))
    }

    /// Every text field that the example leaves out is tried in the place of every one that it gives: what that needs is granted already.
    #[test]
    fn no_other_field_of_a_kind_needs_more_than_is_granted() {
        let mut tried = 0;
        for kind in of_clusters() {
            let example = kind.about.unwrap().example;
            let parameters = serde_saphyr::from_str::<Value>(example).unwrap()[kind.name].clone();
            let granted_now = grant(&kind, example).unwrap();
            let fields = kind.schema["properties"].as_object().unwrap();
            let given: Vec<&String> = fields.keys().filter(|field| parameters[field.as_str()].is_string()).collect();
            for (instead, _) in fields.iter().filter(|(field, _)| parameters[field.as_str()].is_null()) {
                for given in &given {
                    let Ok(more) = accesses(&kind, &replaced(&parameters, given, instead)) else { continue };
                    let mut together = accesses(&kind, &parameters).unwrap();
                    for (_, given, instead) in ALTERNATIVES.iter().filter(|(name, ..)| *name == kind.name) {
                        together.extend(accesses(&kind, &replaced(&parameters, given, instead)).unwrap());
                    }
                    together.extend(more);
                    assert_eq!(granted(together), granted_now, "{}: {instead} in the place of {given}", kind.name);
                    tried += 1;
                }
            }
        }
        assert!(tried > 3, "{tried}");
    }

    #[test]
    fn every_kind_of_a_cluster_is_granted_something_and_nobody_secrets_or_everything() {
        let all = grants(&ALL).unwrap();
        assert!(of_clusters().count() > 7);
        for kind in of_clusters() {
            assert_ne!(all[kind.name], Grant::default(), "{}", kind.name);
        }
        let rules =
            all.values().flat_map(|grant| grant.cluster.iter().chain(&grant.namespaces).chain(&grant.own).chain(grant.fixed.values().flatten()));
        for rule in rules {
            let words = rule.verbs.iter().chain([&rule.group, &rule.resource]).chain(&rule.names);
            assert!(words.clone().all(|word| !word.contains('*') && !word.starts_with("secrets")), "{rule:?}");
            // The example's own names are nobody's.
            assert!(words.clone().all(|word| word != "api" && word != "shop" && word != "checkout"), "{rule:?}");
        }
        for own in NAMESPACED.iter().chain(&GATEWAY) {
            assert!(own.resource != "secrets" && !own.resource.contains('*') && own.verbs.iter().all(|verb| *verb != "*"), "{own:?}");
        }
    }

    #[test]
    fn a_kind_is_granted_its_targets_where_they_may_be_and_its_fixed_objects_by_name() {
        let all = grants(&ALL).unwrap();
        let told =
            |rules: &[Rule]| rules.iter().map(|rule| format!("{} {:?} {}", rule.resource, rule.names, rule.verbs.join(","))).collect::<Vec<_>>();
        assert_eq!(told(&all["nodeCordon"].cluster), ["nodes [] get,list,patch"]);
        assert!(all["nodeCordon"].namespaces.is_empty() && all["nodeCordon"].fixed.is_empty());
        assert!(told(&all["workloadScale"].namespaces).contains(&"statefulsets [] get,patch".to_owned()));
        assert!(told(&all["dnsBlackhole"].fixed["kube-system"]).contains(&r#"configmaps ["coredns"] get,patch"#.to_owned()));
        assert!(told(&all["podKill"].namespaces).contains(&"pods/eviction [] create".to_owned()));
        assert_eq!(told(&all["gatewayError"].own), ["gatewayrules [] create,delete,get,list"]);
        assert_eq!(all["ec2Stop"], Grant::default());
    }
}
