//! All objects of a cluster, without what moves by itself: equal before and after means that nothing was left behind.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Cluster;

/// Resources that move whatever firedrill does. `componentstatuses` are no objects.
const NOT_DUMPED: [&str; 6] =
    ["events", "events.events.k8s.io", "leases.coordination.k8s.io", "endpointslices.discovery.k8s.io", "endpoints", "componentstatuses"];
/// Fields that move whatever firedrill does. Pods are compared by owner and number instead: see [`Dump::of`].
const IGNORED: [&str; 4] = ["/metadata/generation", "/metadata/resourceVersion", "/metadata/managedFields", "/status"];

/// `resource namespace/name` to the object. uid and creation time count: what was deleted and made again is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Dump {
    pub namespace: Option<String>,
    pub objects: BTreeMap<String, Value>,
}

impl Dump {
    pub(super) fn of(cluster: &Cluster, namespace: Option<&str>) -> Self {
        let mut list = vec!["api-resources", "--verbs=list", "-o", "name"];
        list.extend(namespace.map(|_| "--namespaced=true"));
        let listed = cluster.kubectl(&list);
        let resources: Vec<&str> = listed.lines().filter(|name| !NOT_DUMPED.contains(name)).collect();
        let scope = namespace.map_or(vec!["-A"], |name| vec!["-n", name]);
        let list = cluster.json(&[vec!["get", &resources.join(",")], scope].concat());
        let mut objects = BTreeMap::new();
        for mut object in list["items"].as_array().unwrap().iter().cloned() {
            let (key, value) = if object["kind"] == "Pod" {
                let owner = &object["metadata"]["ownerReferences"][0];
                let key = format!("Pods of {} {}/{}", text(&owner["kind"]), text(&object["metadata"]["namespace"]), text(&owner["name"]));
                let count = objects.get(&key).and_then(Value::as_u64).unwrap_or_default();
                (key, Value::from(count + 1))
            } else {
                let key = format!("{} {}/{}", text(&object["kind"]), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
                for path in IGNORED {
                    let (parent, field) = path.rsplit_once('/').unwrap();
                    if let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
                        parent.remove(field);
                    }
                }
                (key, object)
            };
            objects.insert(key, value);
        }
        Self { namespace: namespace.map(str::to_owned), objects }
    }

    /// A line for each value that is not the same afterwards; empty when nothing differs.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let keys: std::collections::BTreeSet<&String> = self.objects.keys().chain(after.objects.keys()).collect();
        for key in keys {
            match (self.objects.get(key), after.objects.get(key)) {
                (Some(_), None) => found.push(format!("{key}: gone")),
                (None, Some(_)) => found.push(format!("{key}: new")),
                (before, after) => compare(key, before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null), &mut found),
            }
        }
        found
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn compare(at: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                compare(&format!("{at} .{key}"), one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (one, other) if one != other => found.push(format!("{at}: {one} -> {other}")),
        _ => {}
    }
}
