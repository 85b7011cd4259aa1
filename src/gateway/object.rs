//! `GatewayRule`: a rule of the egress gateways that watch its namespace. The same rule as over the gateway's socket, as people write choices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws_call::AwsError;
use super::{Effect, Rule};
use crate::choice;
use crate::clock::Timestamp;
use crate::cluster::condition::{Condition, ConditionStatus};

/// What fails, for whom, until when. A gateway drops it at its deadline by itself, whether or not it can reach the API server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayRuleSpec {
    /// Run-unique id of the rule, the same in every gateway.
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
    pub id: String,
    /// Id of the run that owns it.
    #[schemars(length(min = 1, max = 200))]
    pub run: String,
    /// Step that made it.
    #[schemars(length(min = 1, max = 200))]
    pub step: String,
    /// What happens.
    pub effect: RuleEffect,
    /// AWS service names as in endpoints, or `*`.
    #[schemars(length(min = 1, max = 500), inner(length(min = 1, max = 200)))]
    pub services: Vec<String>,
    /// AWS region; global services homed there are included.
    #[schemars(length(min = 1, max = 32))]
    pub region: String,
    /// Whether connections that are already open are cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_existing: bool,
    /// The rule is gone by then: at most 24 hours from now.
    pub deadline: Timestamp,
}

choice! {
    /// What a rule does: exactly one.
    RuleEffect as RuleEffectKind {
        /// Connections hang.
        blackhole / "blackhole" => Blackhole(Plain),
        /// Connections are refused at once.
        refuse / "refuse" => Refuse(Plain),
        /// Connections are cut when the client has got so much of an answer.
        reset / "reset" => Reset(ResetEffect),
        /// Requests are slow.
        latency / "latency" => Latency(LatencyEffect),
        /// Chosen operations fail. Plain HTTP only.
        error / "error" => Error(ErrorEffect),
    }
}

/// An effect without parameters: `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plain {}

/// A reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetEffect {
    /// Bytes of the answer that pass, its head included. Default 0: the reset comes as soon as the request was taken up.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub after_bytes: u64,
}

/// Slowness. At least one of the three is above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LatencyEffect {
    /// Milliseconds before each request.
    #[serde(default)]
    #[schemars(range(min = 0, max = 600_000))]
    pub delay_ms: u64,
    /// At most so many milliseconds more, at random.
    #[serde(default)]
    #[schemars(range(min = 0, max = 600_000))]
    pub jitter_ms: u64,
    /// Most bytes a second per connection and direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_099_511_627_776_u64))]
    pub bytes_per_second: Option<u64>,
}

/// Errors of AWS services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorEffect {
    /// AWS operation names, or `*`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub operations: Vec<String>,
    /// Which error.
    pub error: AwsError,
    /// How many of a million requests fail.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_million: u32,
    /// The same seed makes the same sequence of choices. Text, because JSON numbers end below 2^64. Default: of the rule's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[0-9]+$"))]
    pub seed: Option<String>,
}

/// What the gateways said of the rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRuleStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Each gateway that has seen it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub gateways: Vec<GatewaySaid>,
    /// Whether it is in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// What one gateway said of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySaid {
    /// Name of its pod.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Whether the rule is in force there.
    pub in_force: bool,
    /// Whether a client of the gateway's own, which calls through its proxy port, saw the rule act.
    #[serde(default)]
    pub proven: bool,
    /// Connections and requests that it acted on.
    #[schemars(range(min = 0))]
    pub hits: i64,
    /// When the gateway said so.
    pub at: Timestamp,
    /// Why it is not in force, or was not seen to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub error: Option<String>,
}

/// Most gateways that a status names.
pub const MOST_GATEWAYS: usize = 64;

impl GatewayRuleStatus {
    /// What the gateway of this name said.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&GatewaySaid> {
        self.gateways.iter().find(|said| said.name == name)
    }

    /// The same with what one gateway says now. Where there is no room for another one, the one that has said nothing for longest makes it.
    #[must_use]
    pub fn with(&self, said: GatewaySaid, generation: Option<i64>, now: Timestamp) -> Self {
        let mut gateways: Vec<GatewaySaid> = self.gateways.iter().filter(|before| before.name != said.name).cloned().collect();
        if gateways.len() >= MOST_GATEWAYS {
            gateways.sort_by_key(|said| said.at);
            gateways.remove(0);
        }
        gateways.push(said);
        gateways.sort_by(|one, other| one.name.cmp(&other.name));
        self.judged(gateways, generation, now)
    }

    /// The same without what one gateway said: it stops, and its rules with it.
    #[must_use]
    pub fn without(&self, name: &str, generation: Option<i64>, now: Timestamp) -> Self {
        self.judged(self.gateways.iter().filter(|said| said.name != name).cloned().collect(), generation, now)
    }

    /// The condition follows from all that was said.
    fn judged(&self, gateways: Vec<GatewaySaid>, generation: Option<i64>, now: Timestamp) -> Self {
        let applying = gateways.iter().filter(|said| said.in_force).count();
        let refusal =
            gateways.iter().find(|said| !said.in_force).map(|said| format!("{}: {}", said.name, said.error.as_deref().unwrap_or("no word")));
        let (status, reason, message) = match (applying, refusal) {
            (0, None) => (ConditionStatus::False, "NoGateway", "no gateway applies it".to_owned()),
            (_, None) => (ConditionStatus::True, "InForce", format!("applied by {applying} of {applying} gateways")),
            (0, Some(why)) => (ConditionStatus::False, "NotInForce", why),
            (_, Some(why)) => (ConditionStatus::False, "Partly", format!("applied by {applying} of {} gateways; {why}", gateways.len())),
        };
        let before = self.conditions.iter().find(|condition| condition.about == IN_FORCE);
        let since = before.filter(|before| before.status == status).map_or(now, |before| before.last_transition_time);
        let condition = Condition {
            about: IN_FORCE.to_owned(),
            status,
            observed_generation: generation,
            last_transition_time: since,
            reason: reason.to_owned(),
            message,
        };
        let others = self.conditions.iter().filter(|condition| condition.about != IN_FORCE).cloned();
        Self { observed_generation: generation, gateways, conditions: others.chain([condition]).collect() }
    }
}

/// The condition of a rule.
const IN_FORCE: &str = "InForce";

/// Why an object is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRule {
    /// Not exactly one effect. The API server refuses such an object; a gateway does not rely on it.
    #[error("rule '{0}': an effect is exactly one of blackhole, refuse, reset, latency, error")]
    Effect(String),
    /// The seed is no number below 2^64.
    #[error("rule '{id}': seed '{seed}' is not a number below 2^64")]
    Seed {
        /// The rule.
        id: String,
        /// What was given.
        seed: String,
    },
}

impl From<&Rule> for GatewayRuleSpec {
    fn from(rule: &Rule) -> Self {
        let Rule { id, run, step, effect, services, region, cut_existing, deadline } = rule.clone();
        Self { id, run, step, effect: (&effect).into(), services, region, cut_existing, deadline }
    }
}

impl From<&Effect> for RuleEffect {
    fn from(effect: &Effect) -> Self {
        let none = Self::default();
        match effect {
            Effect::Blackhole => Self { blackhole: Some(Plain {}), ..none },
            Effect::Refuse => Self { refuse: Some(Plain {}), ..none },
            Effect::Reset { after_bytes } => Self { reset: Some(ResetEffect { after_bytes: *after_bytes }), ..none },
            Effect::Latency { delay_ms, jitter_ms, bytes_per_second } => {
                let latency = LatencyEffect { delay_ms: *delay_ms, jitter_ms: *jitter_ms, bytes_per_second: *bytes_per_second };
                Self { latency: Some(latency), ..none }
            }
            Effect::Error { operations, error, per_million, seed } => {
                let seed = seed.map(|seed| seed.to_string());
                Self { error: Some(ErrorEffect { operations: operations.clone(), error: *error, per_million: *per_million, seed }), ..none }
            }
        }
    }
}

impl TryFrom<&GatewayRuleSpec> for Rule {
    type Error = NoRule;

    fn try_from(spec: &GatewayRuleSpec) -> Result<Self, NoRule> {
        let GatewayRuleSpec { id, run, step, effect, services, region, cut_existing, deadline } = spec.clone();
        let effect = match effect.one().ok_or_else(|| NoRule::Effect(id.clone()))? {
            RuleEffectKind::Blackhole(_) => Effect::Blackhole,
            RuleEffectKind::Refuse(_) => Effect::Refuse,
            RuleEffectKind::Reset(reset) => Effect::Reset { after_bytes: reset.after_bytes },
            RuleEffectKind::Latency(latency) => {
                let LatencyEffect { delay_ms, jitter_ms, bytes_per_second } = *latency;
                Effect::Latency { delay_ms, jitter_ms, bytes_per_second }
            }
            RuleEffectKind::Error(error) => {
                let seed = error.seed.as_ref().map(|seed| seed.parse().map_err(|_| NoRule::Seed { id: id.clone(), seed: seed.clone() }));
                let (operations, per_million) = (error.operations.clone(), error.per_million);
                Effect::Error { operations, error: error.error, per_million, seed: seed.transpose()? }
            }
        };
        Ok(Self { id, run, step, effect, services, region, cut_existing, deadline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_socket_is_the_same_rule_as_an_object() {
        let error = Effect::Error { operations: vec!["*".to_owned()], error: AwsError::AccessDenied, per_million: 5, seed: Some(u64::MAX) };
        let slow = Effect::Latency { delay_ms: 5, jitter_ms: 7, bytes_per_second: Some(9) };
        for effect in [Effect::Blackhole, Effect::Refuse, Effect::Reset { after_bytes: 3 }, slow, error] {
            let rule = Rule {
                id: "01J-step".to_owned(),
                run: "01J".to_owned(),
                step: "step".to_owned(),
                effect,
                services: vec!["dynamodb".to_owned()],
                region: "us-east-1".to_owned(),
                cut_existing: true,
                deadline: Timestamp(1_800_000_000_000_000),
            };
            // By way of JSON, as the API server has it.
            let text = serde_json::to_string(&GatewayRuleSpec::from(&rule)).unwrap();
            let spec: GatewayRuleSpec = serde_json::from_str(&text).unwrap();
            assert_eq!(Rule::try_from(&spec), Ok(rule), "{text}");
        }
    }

    #[test]
    fn whether_a_rule_is_in_force_follows_from_what_each_gateway_said() {
        let said = |name: &str, error: Option<&str>, at: i64| GatewaySaid {
            name: name.to_owned(),
            in_force: error.is_none(),
            proven: false,
            hits: 0,
            at: Timestamp(at),
            error: error.map(str::to_owned),
        };
        let condition = |status: &GatewayRuleStatus| {
            let [one] = status.conditions.as_slice() else { panic!("{status:?}") };
            (one.status, one.message.clone(), one.last_transition_time.0)
        };
        let one = GatewayRuleStatus::default().with(said("a", None, 1), Some(1), Timestamp(1));
        assert_eq!(condition(&one), (ConditionStatus::True, "applied by 1 of 1 gateways".to_owned(), 1));
        let two = one.with(said("b", Some("no room"), 2), Some(1), Timestamp(2));
        assert_eq!(condition(&two), (ConditionStatus::False, "applied by 1 of 2 gateways; b: no room".to_owned(), 2));
        assert_eq!(condition(&two.with(said("a", Some("over"), 3), Some(1), Timestamp(3))), (ConditionStatus::False, "a: over".to_owned(), 2));
        assert_eq!(condition(&two.without("b", Some(1), Timestamp(4))).0, ConditionStatus::True);
        assert_eq!(condition(&one.without("a", Some(1), Timestamp(4))).1, "no gateway applies it");
        // Each says one thing, and a status names no more than the schema takes: the one that was heard last is in it.
        let many = (0..100).fold(GatewayRuleStatus::default(), |status, number| {
            status.with(said(&format!("gateway-{}", 99 - number), None, number), Some(1), Timestamp(number))
        });
        assert_eq!((many.gateways.len(), many.of("gateway-0").is_some(), many.of("gateway-99")), (MOST_GATEWAYS, true, None));
        assert_eq!(two.with(said("a", None, 9), Some(1), Timestamp(9)).gateways.len(), 2);
    }

    #[test]
    fn an_object_with_two_effects_or_a_seed_that_is_none_is_no_rule() {
        let mut spec: GatewayRuleSpec = serde_json::from_value(serde_json::json!({
            "id": "a", "run": "r", "step": "s", "effect": {"refuse": {}, "blackhole": {}}, "services": ["*"], "region": "us-east-1",
            "deadline": "2026-12-01T00:00:00Z",
        }))
        .unwrap();
        assert_eq!(Rule::try_from(&spec), Err(NoRule::Effect("a".to_owned())));
        let seed = Some("18446744073709551616".to_owned());
        let error = ErrorEffect { operations: vec!["*".to_owned()], error: AwsError::Throttling, per_million: 1, seed };
        spec.effect = RuleEffect { error: Some(error), ..RuleEffect::default() };
        assert!(matches!(Rule::try_from(&spec), Err(NoRule::Seed { .. })));
    }
}
