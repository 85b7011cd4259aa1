//! Joins a drill with an environment: look-ups become values, and what the drill names must be there and allowed. Offline.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value as Json;

use super::diagnostic::Diagnostic;
use super::load::Located;
use super::schema::{self, Kind, Met, walk};
use super::source::Source;
use super::spec::{Drill, Environment};
use super::suggest::{did_you_mean, listed, short};
use super::text::Percent;
use super::tree::{Entry, Node, Value};
use super::{address, lookup, rules};

/// A drill that can be bound: as loaded (mistakes then have positions), or as plain data.
pub trait Bindable {
    /// The drill's tree, the same as data, and the text that both came from.
    fn parts(&self) -> (Cow<'_, Node>, Cow<'_, Json>, Cow<'_, Source>);
}

impl Bindable for Located<Drill> {
    fn parts(&self) -> (Cow<'_, Node>, Cow<'_, Json>, Cow<'_, Source>) {
        (Cow::Borrowed(&self.tree), Cow::Borrowed(&self.data), Cow::Borrowed(&self.source))
    }
}

impl Bindable for Drill {
    fn parts(&self) -> (Cow<'_, Node>, Cow<'_, Json>, Cow<'_, Source>) {
        let data = serde_json::to_value(self).unwrap_or_default();
        let file = format!("drill {}", self.metadata.name);
        (Cow::Owned(Node::of_json(&data)), Cow::Owned(data), Cow::Owned(Source::of_text(file, "")))
    }
}

/// The drill with every `${…}` replaced by the environment's value. Alone in a value, a look-up takes the looked-up type, a list too.
///
/// Errors: unknown names, values that do not fit, addresses that may not be probed, gateways, clusters, accounts, regions and sources that the
/// environment does not have, faults that it does not allow, limits above its own.
pub fn bind<D: Bindable + ?Sized>(drill: &D, environment: &Environment) -> Result<Drill, Vec<Diagnostic>> {
    let (tree, data, source) = drill.parts();
    let mut binder = Binder { environment, source: &source, found: Vec::new() };
    let bound = binder.node(&tree, &data);
    // A value that could not be looked up says nothing about types.
    if binder.found.is_empty() {
        binder.found.extend(schema::check(Kind::Drill, &bound, &source).1);
    }
    binder.places(&bound);
    binder.allowed(&bound);
    binder.limits(&bound);
    let mut found = binder.found;
    if found.is_empty() {
        return Drill::deserialize(&bound.to_json()).map_err(|error| vec![Diagnostic::error(&source, bound.at, error.to_string())]);
    }
    found.sort_by_key(|one| (one.line, one.column));
    found.dedup();
    Err(found)
}

struct Binder<'a> {
    environment: &'a Environment,
    source: &'a Source,
    found: Vec<Diagnostic>,
}

impl Binder<'_> {
    fn error(&mut self, node: &Node, message: String) {
        self.found.push(Diagnostic::error(self.source, node.at, message));
    }

    /// The node with look-ups replaced. `data` is a list where a look-up stands for one.
    fn node(&mut self, node: &Node, data: &Json) -> Node {
        let value = match &node.value {
            Value::String(text) if lookup::has(text) => self.text(node, text, data.is_array()),
            Value::List(items) => {
                let mut all = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let inner = self.node(item, data.get(index).unwrap_or(&Json::Null));
                    match (item.text().is_some_and(lookup::whole), inner) {
                        (true, Node { value: Value::List(values), .. }) => all.extend(values),
                        (_, inner) => all.push(inner),
                    }
                }
                Value::List(all)
            }
            Value::Map(entries) => {
                let entry = |entry: &Entry| {
                    let node = self.node(&entry.node, data.get(&entry.key).unwrap_or(&Json::Null));
                    Entry { key: entry.key.clone(), at: entry.at, node }
                };
                Value::Map(entries.iter().map(entry).collect())
            }
            other => other.clone(),
        };
        Node { at: node.at, value }
    }

    fn text(&mut self, node: &Node, text: &str, list: bool) -> Value {
        let pieces = lookup::pieces(text).unwrap_or_default();
        if let [lookup::Piece::Name(name)] = pieces.as_slice() {
            let values = self.values(node, name);
            return match values.as_slice() {
                [one] if !list => Value::String(one.clone()),
                many => Value::List(many.iter().map(|one| Node { at: node.at, value: Value::String(one.clone()) }).collect()),
            };
        }
        let mut whole = String::new();
        for piece in pieces {
            match piece {
                lookup::Piece::Text(text) => whole.push_str(text),
                lookup::Piece::Name(name) => match self.values(node, name).as_slice() {
                    [one] => whole.push_str(one),
                    [] => {}
                    many => self.error(node, format!("'{name}' has {} values; inside a text it must have one", many.len())),
                },
            }
        }
        Value::String(whole)
    }

    fn values(&mut self, node: &Node, name: &str) -> Vec<String> {
        lookup::resolve(name, &self.environment.spec).unwrap_or_else(|error| {
            let error = Diagnostic::error(self.source, node.at, error);
            let names = lookup::names(&self.environment.spec);
            self.found.push(error.with_help(format!("environment '{}' has {}", self.environment.metadata.name, listed(&names))));
            Vec::new()
        })
    }

    /// Names that the environment must have, and values that are known only now.
    fn places(&mut self, bound: &Node) {
        let environment = self.environment;
        let spec = &environment.spec;
        let named = |format: &str| -> Option<(&'static str, Vec<&str>)> {
            Some(match format {
                "cluster-name" => ("cluster", spec.kubernetes.iter().map(|one| one.name.as_str()).collect()),
                "gateway-name" => ("gateway", spec.gateways.iter().map(|one| one.name.as_str()).collect()),
                "account-name" => ("account", spec.aws.iter().map(|one| one.name.as_str()).collect()),
                "prometheus-name" => ("prometheus source", spec.prometheus.iter().map(|one| one.name.as_str()).collect()),
                _ => return None,
            })
        };
        let allow_private = spec.network.as_ref().is_some_and(|network| network.allow_private);
        walk(Kind::Drill, bound, &mut |met: Met<'_>| {
            let Some(text) = met.node.text() else { return };
            if let Some((what, names)) = named(met.format) {
                if !names.contains(&text) {
                    let near = did_you_mean(text, names.iter().copied());
                    self.error(met.node, format!("no {what} '{}' in environment '{}'{near}", short(text), environment.metadata.name));
                }
                return;
            }
            let checked = match met.format {
                "probe-url" => address::check_url(text),
                "address" => address::check_host(text),
                format => rules::text_of_format(format, text).map(|()| None),
            };
            match checked {
                Err(error) => self.error(met.node, error),
                Ok(Some(literal)) if !allow_private && address::private(literal) => {
                    let message =
                        format!("{literal} is a private address; environment '{}' does not set network.allowPrivate", environment.metadata.name);
                    self.error(met.node, message);
                }
                Ok(_) => {}
            }
        });
    }

    /// Faults that the environment allows, in regions that its accounts have.
    fn allowed(&mut self, bound: &Node) {
        let environment = self.environment;
        let name = &environment.metadata.name;
        let spec = bound.get("spec");
        let failed = spec.and_then(|spec| spec.text_of("failedRegion"));
        let mut regions = BTreeSet::new();
        for step in spec.map(|spec| spec.items_of("steps")).unwrap_or_default() {
            let choice = |key: &str| step.get(key).and_then(|choice| choice.entries().first());
            if let Some(fault) = choice("fault")
                && !environment.spec.allow.faults.contains(&fault.key)
            {
                let allowed = &environment.spec.allow.faults;
                let has = if allowed.is_empty() { "allows none".to_owned() } else { format!("allows {}", listed(allowed)) };
                let error =
                    Diagnostic::error(self.source, fault.at, format!("fault '{}' is not allowed in environment '{name}', which {has}", fault.key));
                self.found.push(error.with_help("allow.faults of the environment names the faults that may be used there"));
            }
            for kind in [choice("fault"), choice("action")].into_iter().flatten() {
                let cluster = kind.node.text_of("cluster").and_then(|cluster| environment.spec.kubernetes.iter().find(|one| one.name == cluster));
                let region = kind.node.text_of("region").or(cluster.map(|cluster| cluster.region.as_str())).or(failed);
                let account = kind.node.text_of("account").and_then(|account| environment.spec.aws.iter().find(|one| one.name == account));
                if let (Some(region), Some(account)) = (region, account)
                    && !account.regions.iter().any(|known| known == region)
                {
                    let at = kind.node.entry("region").map_or(kind.at, |entry| entry.node.at);
                    let message = format!("region '{region}' not enabled for account '{}', which has {}", account.name, listed(&account.regions));
                    self.found.push(Diagnostic::error(self.source, at, message));
                }
                if step.get("fault").is_some() {
                    regions.extend(region.map(str::to_owned));
                }
            }
        }
        let most = environment.spec.limits.as_ref().and_then(|limits| limits.max_regions);
        if let (Some(most), Some(entry)) = (most, spec.and_then(|spec| spec.entry("steps")))
            && regions.len() > most as usize
        {
            let all: Vec<String> = regions.into_iter().collect();
            let message = format!("faults in {} regions ({}); limits.maxRegions of environment '{name}' is {most}", all.len(), listed(&all));
            self.found.push(Diagnostic::error(self.source, entry.at, message));
        }
    }

    /// The drill's own limits are tighter than the environment's, or the same.
    fn limits(&mut self, bound: &Node) {
        let Some(theirs) = &self.environment.spec.limits else { return };
        let Some(ours) = bound.get("spec").and_then(|spec| spec.get("limits")) else { return };
        let name = self.environment.metadata.name.clone();
        if let (Some(node), Some(most)) = (ours.get("maxTargets"), theirs.max_targets)
            && node.to_json().as_u64().is_some_and(|own| own > u64::from(most))
        {
            self.error(node, format!("limits.maxTargets exceeds that of environment '{name}', {most}"));
        }
        if let (Some((node, own)), Some(most)) =
            (ours.get("maxPercent").and_then(|node| Some((node, Percent::parse(node.text()?).ok()?))), theirs.max_percent)
            && own > most
        {
            self.error(node, format!("limits.maxPercent exceeds that of environment '{name}', {most}"));
        }
    }
}
