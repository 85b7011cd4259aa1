//! Disruption budgets in the way of evictions.

use serde_json::Value;

use super::place::text;
use crate::fault::Examined;

/// Whether a label selector (`matchLabels`, `matchExpressions`) selects labels. An empty selector selects all (policy/v1), none selects nothing.
pub fn selects(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return false };
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let equal =
        selector.get("matchLabels").and_then(Value::as_object).is_none_or(|wanted| wanted.iter().all(|(key, value)| label(key) == value.as_str()));
    equal
        && selector.get("matchExpressions").and_then(Value::as_array).is_none_or(|all| {
            all.iter().all(|expression| {
                let key = text(expression, "/key");
                let values: Vec<&str> =
                    expression.get("values").and_then(Value::as_array).map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
                match text(expression, "/operator") {
                    "In" => label(key).is_some_and(|value| values.contains(&value)),
                    "NotIn" => label(key).is_none_or(|value| !values.contains(&value)),
                    "Exists" => label(key).is_some(),
                    "DoesNotExist" => label(key).is_none(),
                    _ => true,
                }
            })
        })
}

/// Budgets that never allow an eviction refuse the step, and without a `refuge` (a node that still takes pods) those that keep some; those that allow none
/// at the moment are warned of.
pub fn examine(budgets: &[Value], leaving: &[&Value], refuge: bool, examined: &mut Examined) {
    for budget in budgets {
        let namespace = text(budget, "/metadata/namespace");
        let covered = leaving.iter().filter(|pod| {
            text(pod, "/metadata/namespace") == namespace && selects(budget.pointer("/spec/selector"), pod.pointer("/metadata/labels"))
        });
        let count = covered.count();
        if count == 0 {
            continue;
        }
        let name = format!("{namespace}/{}", text(budget, "/metadata/name"));
        let allowed = budget.pointer("/status/disruptionsAllowed").and_then(Value::as_u64).unwrap_or_default();
        if never(budget) {
            examined.refusals.push(format!("disruption budget {name} never allows an eviction, and {count} pod(s) to be evicted are under it"));
        } else if !refuge && allowed < count as u64 {
            examined.refusals.push(format!(
                "no node would be left for evicted pods, and disruption budget {name} lets only {allowed} of {count} go: the drain could never end"
            ));
        } else if allowed == 0 {
            examined.warnings.push(format!("disruption budget {name} allows no eviction at the moment; {count} pod(s) under it would wait"));
        }
    }
    let doubly = leaving.iter().filter(|pod| {
        let covers = |budget: &&Value| {
            text(budget, "/metadata/namespace") == text(pod, "/metadata/namespace")
                && selects(budget.pointer("/spec/selector"), pod.pointer("/metadata/labels"))
        };
        budgets.iter().filter(covers).count() > 1
    });
    let doubly = doubly.count();
    if doubly > 0 {
        examined.refusals.push(format!("{doubly} pod(s) are under two disruption budgets at once; the API server evicts no such pod"));
    }
}

/// `maxUnavailable: 0`, or `minAvailable` of everything.
fn never(budget: &Value) -> bool {
    let is = |pointer: &str, number: i64, share: &str| {
        budget.pointer(pointer).is_some_and(|value| value.as_i64() == Some(number) || value.as_str() == Some(share))
    };
    let expected = budget.pointer("/status/expectedPods").and_then(Value::as_i64).unwrap_or(i64::MAX);
    let least = budget.pointer("/spec/minAvailable").and_then(Value::as_i64);
    is("/spec/maxUnavailable", 0, "0%") || is("/spec/minAvailable", i64::MAX, "100%") || least.is_some_and(|least| least >= expected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_selects_as_the_api_server_does() {
        let labels = json!({"app": "api", "tier": "web"});
        let rows = [
            (json!({}), true),
            (json!(null), false),
            (json!({"matchLabels": {"app": "api"}}), true),
            (json!({"matchLabels": {"app": "other"}}), false),
            (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}), false),
            (json!({"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}, {"key": "tier", "operator": "Exists"}]}), true),
        ];
        for (selector, expected) in rows {
            assert_eq!(selects(Some(&selector), Some(&labels)), expected, "{selector}");
        }
    }

    #[test]
    fn a_budget_that_never_gives_way_refuses_and_one_that_is_used_up_warns() {
        let pod = json!({"metadata": {"namespace": "shop", "name": "api-1", "labels": {"app": "api"}}});
        let budget = |spec: Value, status: Value| {
            let mut spec = spec;
            spec["selector"] = json!({"matchLabels": {"app": "api"}});
            json!({"metadata": {"namespace": "shop", "name": "api"}, "spec": spec, "status": status})
        };
        let look_with = |refuge: bool, budgets: &[Value]| {
            let mut examined = Examined::default();
            examine(budgets, &[&pod, &pod], refuge, &mut examined);
            (examined.refusals.len(), examined.warnings.len())
        };
        let look = |budgets: &[Value]| look_with(true, budgets);
        let roomy = budget(json!({"maxUnavailable": 1}), json!({"disruptionsAllowed": 1, "expectedPods": 4}));
        assert_eq!(look(std::slice::from_ref(&roomy)), (0, 0));
        assert_eq!(look_with(false, std::slice::from_ref(&roomy)), (1, 0), "nowhere to go, and one of two may leave");
        assert_eq!(look(&[budget(json!({"maxUnavailable": 0}), json!({"disruptionsAllowed": 0}))]), (1, 0));
        assert_eq!(look(&[budget(json!({"minAvailable": "100%"}), json!({"disruptionsAllowed": 0}))]), (1, 0));
        assert_eq!(look(&[budget(json!({"minAvailable": 4}), json!({"disruptionsAllowed": 0, "expectedPods": 4}))]), (1, 0));
        assert_eq!(look(&[budget(json!({"minAvailable": 3}), json!({"disruptionsAllowed": 0, "expectedPods": 4}))]), (0, 1));
        assert_eq!(look(&[roomy.clone(), roomy]), (1, 0), "two budgets");
    }
}
