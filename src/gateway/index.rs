//! Which rules concern a host: looked up by region and service, so that a thousand rules about others cost nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::Effect;
use super::aws_host::AwsHost;
use super::rules::{Active, Judgement};

/// The effects in the order in which they go before each other: a rank each.
const RANKS: usize = 5;
const ERROR: usize = 3;
const LATENCY: usize = 4;

fn rank(effect: &Effect) -> usize {
    match effect {
        Effect::Refuse => 0,
        Effect::Blackhole => 1,
        Effect::Reset { .. } => 2,
        Effect::Error { .. } => ERROR,
        Effect::Latency { .. } => LATENCY,
    }
}

/// The rules of one region and one service name, by rank, oldest first.
type Lanes = [Vec<Arc<Active>>; RANKS];

/// Rules in force by region, then by service name as the rule says it, `*` too. Says the same as [`super::Rule::covers`].
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<String, HashMap<String, Lanes>>);

impl Index {
    /// Adds a rule that is newer than all others.
    pub fn add(&mut self, active: &Arc<Active>) {
        let region = self.0.entry(active.rule.region.clone()).or_default();
        for service in &active.rule.services {
            region.entry(service.clone()).or_default()[rank(&active.rule.effect)].push(active.clone());
        }
    }

    /// Takes a rule out, and what is empty then.
    pub fn remove(&mut self, active: &Arc<Active>) {
        let Some(region) = self.0.get_mut(&active.rule.region) else { return };
        for service in &active.rule.services {
            if let Some(lanes) = region.get_mut(service) {
                lanes[rank(&active.rule.effect)].retain(|present| present.number != active.number);
                if lanes.iter().all(Vec::is_empty) {
                    region.remove(service);
                }
            }
        }
        if region.is_empty() {
            self.0.remove(&active.rule.region);
        }
    }

    /// The rules that act on a request to this host.
    pub fn judge(&self, host: &AwsHost) -> Judgement {
        let mut newest: [Option<&Arc<Active>>; RANKS] = [None; RANKS];
        self.each(host, |lanes| {
            for (best, lane) in newest.iter_mut().zip(lanes) {
                let last = lane.iter().rev().find(|active| !active.is_over());
                if last.map(|active| active.number) > best.map(|active| active.number) {
                    *best = last;
                }
            }
        });
        if let Some(stops) = newest[..ERROR].iter().find_map(|best| *best) {
            return Judgement { stops: Some(stops.clone()), ..Judgement::default() };
        }
        let mut judgement = Judgement { slows: newest[LATENCY].cloned(), ..Judgement::default() };
        if newest[ERROR].is_some() {
            let errors = &mut judgement.errors;
            self.each(host, |lanes| errors.extend(lanes[ERROR].iter().filter(|active| !active.is_over()).cloned()));
            errors.sort_by_key(|active| std::cmp::Reverse(active.number));
            // A rule may name a service by its name and by `*`.
            errors.dedup_by_key(|active| active.number);
        }
        judgement
    }

    /// Every lane whose rules cover the host.
    fn each<'a>(&'a self, host: &AwsHost, mut look: impl FnMut(&'a Lanes)) {
        let homed = host.homed.filter(|homed| host.region.as_deref() != Some(*homed));
        for region in host.region.as_deref().into_iter().chain(homed) {
            let Some(services) = self.0.get(region) else { continue };
            services.get("*").into_iter().for_each(&mut look);
            // `api.ecr` is found under its own name and under that of its family, `ecr`.
            let mut name = host.service.as_str();
            loop {
                if name != "*" {
                    services.get(name).into_iter().for_each(&mut look);
                }
                match name.split_once('.') {
                    Some((_, family)) => name = family,
                    None => break,
                }
            }
        }
    }

    /// Whether no rule is in it.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;
    use crate::gateway::Rule;
    use crate::gateway::aws_host::classify;
    use crate::gateway::rules::Rules;

    fn effect() -> impl Strategy<Value = Effect> {
        prop_oneof![
            Just(Effect::Refuse),
            Just(Effect::Blackhole),
            Just(Effect::Reset { after_bytes: 0 }),
            Just(Effect::Latency { delay_ms: 1, jitter_ms: 0, bytes_per_second: None }),
        ]
    }

    fn rule() -> impl Strategy<Value = (Effect, Vec<&'static str>, &'static str)> {
        let service = prop::sample::select(vec!["*", "ecr", "api.ecr", "dkr.ecr", "sts", "iam", "s3", "dynamodb", "streams.dynamodb"]);
        let region = prop::sample::select(vec!["us-east-1", "us-west-2", "eu-central-1"]);
        (effect(), prop::collection::vec(service, 1..4), region)
    }

    proptest! {
        #[test]
        fn the_index_finds_exactly_what_the_rules_cover(said in prop::collection::vec(rule(), 0..12), removed in prop::collection::vec(any::<bool>(), 12)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _inside = runtime.enter();
            let rules = Rules::default();
            let deadline = Clock::system().now().plus(std::time::Duration::from_secs(600));
            for (number, (effect, services, region)) in said.iter().enumerate() {
                let services = services.iter().map(|service| (*service).to_owned()).collect();
                let (run, step) = ("r".to_owned(), "s".to_owned());
                let (effect, region) = (effect.clone(), (*region).to_owned());
                rules.put(Rule { id: number.to_string(), run, step, effect, services, region, cut_existing: false, deadline }).unwrap();
            }
            for (number, _) in removed.iter().enumerate().filter(|(number, gone)| **gone && *number < said.len()) {
                rules.remove(&number.to_string(), None, None).unwrap();
            }
            for name in ["api.ecr.us-east-1.amazonaws.com", "sts.amazonaws.com", "sts.us-west-2.amazonaws.com", "iam.amazonaws.com", "b.s3.eu-central-1.amazonaws.com",
                "streams.dynamodb.us-east-1.amazonaws.com", "dynamodb.us-west-2.amazonaws.com", "globalaccelerator.amazonaws.com"] {
                let host = classify(name).unwrap();
                let covering: Vec<Rule> = rules.list().into_iter().map(|status| status.rule).filter(|rule| rule.covers(&host)).collect();
                let newest = |rank_wanted: usize| covering.iter().rfind(|rule| rank(&rule.effect) == rank_wanted).map(|rule| rule.id.clone());
                let judgement = rules.judge(Some(&host));
                let id = |active: &Option<Arc<Active>>| active.as_ref().map(|active| active.rule.id.clone());
                let stops = newest(0).or(newest(1)).or(newest(2));
                prop_assert_eq!(id(&judgement.slows), if stops.is_some() { None } else { newest(LATENCY) });
                prop_assert_eq!(id(&judgement.stops), stops);
            }
        }
    }
}
