//! `edgeShift`: the sandbox edge sends one region's users to another, until fail-back.
//!
//! The target is one edge, named by the identity that it gives itself. The write carries the version that the plan read (`If-Match`), and the mark,
//! the prior weights and the intended ones as annotations beside the new weights. Every accepted write makes a new version; undoing always writes, so
//! that an inject which is still on its way finds another version and is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::control::{Change, Control, Found, State, Weights};
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, EnvironmentSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::word;
use crate::fault::{Bite, ByHand, Expiry, Kind, KindError, Observed, Prepared, RECORD_VERSION, Record, TargetId};

/// As written in files.
const NAME: &str = "edgeShift";
/// Endpoints of an environment whose names begin with this are edges: sweep searches them.
const PREFIX: &str = "edge";
/// What all users' weights come to where health has decided so far.
const ALL_USERS: u32 = 100;

/// The sandbox edge sends one region's traffic to another; undone as fail-back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EdgeShift {
    /// URL of the edge's control endpoint: an endpoint of the environment whose name begins with `edge`, so that sweep finds it.
    #[schemars(length(max = 2048))]
    #[schemars(extend("format" = "probe-url"))]
    pub edge: String,
    /// Region whose traffic leaves. Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub from: Option<String>,
    /// Region that takes it.
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub to: String,
}

impl Definition for EdgeShift {
    fn limit() -> Duration {
        Duration::from_mins(1)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "The edge's weights are set through its control endpoint: what `from` had goes to `to`. An operator's weights override the edge's \
                        health checks, so users stay where they were sent until the weights are undone.",
            undo: "Fail-back: after every fault is lifted and the failed region has been healthy for `regionHealthy.stableFor`, the weights that were \
                   there before are written back, on the condition that they are still ours. It never expires by itself: evacuated is the safe state.",
            verified: "The edge says that most users are sent to `to`, and holds the weights with this run's mark.",
            must_know: &[
                "Only the sandbox's edge has such a control endpoint.",
                "The endpoint's name in the environment begins with `edge`: sweep looks there, and nowhere else.",
                "Refused while `to` is not healthy, and while another run's shift is in place. Weights that already send nobody to `from` are left as they are.",
                "Weights that someone else changed meanwhile are left alone: the run ends drifted.",
            ],
            permissions: Permissions { inject: &["PUT <edge>/weights"], revert: &["PUT <edge>/weights"], read: &["GET <edge>/weights"] },
            example: "edgeShift: {edge: \"${endpoints.edge}\", to: us-west-2}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, _step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let places = &places.environment;
        if !edges(places).any(|url| url == self.edge) {
            return Err(KindError::Refused(format!(
                "{} is no edge of the environment, where sweep would find it; name it among the environment's endpoints, as '{PREFIX}' or '{PREFIX}…'",
                self.edge
            )));
        }
        let from = self.from.as_ref().unwrap_or(&drill.failed_region).clone();
        if from == self.to {
            return Err(KindError::Refused(format!("'from' and 'to' are both {from}")));
        }
        let wanted = Wanted { from, to: self.to.clone() };
        Ok(Arc::new(Shift { wanted: Some(wanted), ..Shift::at(place(places, &self.edge))? }))
    }

    fn reopen(record: &Record, _places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        let place: Place = serde_json::from_value(record.invert.clone())
            .map_err(|error| KindError::Failed(format!("the record of {} does not say where its edge is: {error}", record.target)))?;
        Ok(Arc::new(Shift::at(place)?))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        let places = &places.environment;
        let mut urls: Vec<&str> = edges(places).collect();
        urls.sort_unstable();
        urls.dedup();
        urls.into_iter().filter_map(|url| Shift::at(place(places, url)).ok()).map(|shift| Arc::new(shift) as Arc<dyn Kind>).collect()
    }
}

/// Where an environment's edges are.
fn edges(places: &EnvironmentSpec) -> impl Iterator<Item = &str> {
    places.endpoints.iter().filter(|(name, _)| name.starts_with(PREFIX)).map(|(_, url)| url.as_str())
}

fn place(places: &EnvironmentSpec, edge: &str) -> Place {
    Place { edge: edge.to_owned(), allow_private: places.network.as_ref().is_some_and(|network| network.allow_private) }
}

/// How a record finds its edge again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    edge: String,
    allow_private: bool,
}

#[derive(Debug, Clone)]
struct Wanted {
    from: String,
    to: String,
}

/// `prior` of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    weights: Weights,
}

/// `ours` of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ours {
    weights: Weights,
    /// Region that users are sent to.
    to: String,
    /// The version that the plan read: the condition of the write.
    if_version: u64,
}

const MARK_RUN: &str = "firedrill.dev/run";
const MARK_RECORD: &str = "firedrill.dev/record";

/// The kind, bound to one edge.
struct Shift {
    place: Place,
    control: Control,
    wanted: Option<Wanted>,
}

impl Shift {
    fn at(place: Place) -> Result<Self, KindError> {
        let control = Control::new(&place.edge, place.allow_private).map_err(KindError::Refused)?;
        Ok(Self { place, control, wanted: None })
    }

    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    fn target(&self, state: &State) -> TargetId {
        TargetId { place: format!("edge/{}", self.control.authority()), id: state.edge.clone() }
    }

    /// The edge as it must be there for planning.
    async fn edge(&self) -> Result<State, KindError> {
        match self.control.read().await? {
            Found::Edge(state) => Ok(state),
            Found::NoEdge(why) => Err(KindError::Refused(why)),
        }
    }

    /// The record's own edge; none when it is gone, or another has its address.
    async fn same(&self, record: &Record) -> Result<Option<State>, KindError> {
        match self.control.read().await? {
            Found::Edge(state) if state.edge == record.target.id => Ok(Some(state)),
            Found::Edge(_) | Found::NoEdge(_) => Ok(None),
        }
    }

    /// Writes `weights` on what was read, without our mark.
    async fn put(&self, state: &State, weights: &Weights) -> Result<(), KindError> {
        let mut annotations = state.annotations.clone();
        annotations.retain(|key, _| key != MARK_RUN && key != MARK_RECORD);
        self.control.write(state.version, &Change { weights: weights.clone(), annotations }).await.map(|_| ())
    }

    /// What is left to do where the weights are not ours: drops our mark, and makes a new version if an inject could still find the one it was given.
    async fn fence(&self, record: &Record, state: &State) -> Result<(), KindError> {
        let (_, ours) = parts(record)?;
        if marked(state, record) || state.version == ours.if_version { self.put(state, &state.weights).await } else { Ok(()) }
    }
}

fn parts(record: &Record) -> Result<(Before, Ours), KindError> {
    let broken = |error: serde_json::Error| KindError::Failed(format!("the record of {} holds no weights: {error}", record.target));
    let before = serde_json::from_value(record.prior.clone()).map_err(broken)?;
    Ok((before, serde_json::from_value(record.ours.clone()).map_err(broken)?))
}

fn marked(state: &State, record: &Record) -> bool {
    state.annotations.get(MARK_RUN) == Some(&record.run) && carried(state).is_some_and(|carried| carried.step == record.step)
}

/// The record that a mark carries.
fn carried(state: &State) -> Option<Record> {
    serde_json::from_str(state.annotations.get(MARK_RECORD)?).ok()
}

/// What `from` has goes to `to`. Weights that health has decided so far are all of them.
fn shifted(weights: &Weights, regions: &[String], wanted: &Wanted) -> BTreeMap<String, u32> {
    let mut after: BTreeMap<String, u32> = regions.iter().map(|region| (region.clone(), 0)).collect();
    match weights {
        Some(weights) => {
            after.extend(weights.clone());
            let moving = after.insert(wanted.from.clone(), 0).unwrap_or_default();
            *after.entry(wanted.to.clone()).or_default() += moving;
        }
        None => drop(after.insert(wanted.to.clone(), ALL_USERS)),
    }
    after
}

#[async_trait]
impl Kind for Shift {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        Expiry::None
    }

    /// Zero: undoing makes a new version, which refuses a late inject.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let (wanted, state) = (self.wanted()?, self.edge().await?);
        for region in [&wanted.from, &wanted.to] {
            if !state.regions.contains(region) {
                return Err(KindError::Refused(format!("the edge knows no region '{region}'; it has: {}", state.regions.join(", "))));
            }
        }
        Ok(vec![self.target(&state)])
    }

    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let (wanted, state) = (self.wanted()?, self.edge().await?);
        if self.target(&state) != *target {
            return Err(KindError::Conflict(format!("another edge than {target} answers now; plan again")));
        }
        if let Some(run) = state.annotations.get(MARK_RUN) {
            return Err(KindError::Refused(format!(
                "the edge's weights are run {run}'s; undo that first: `firedrill resume {run}`, or `firedrill sweep --env FILE --drill FILE --apply`"
            )));
        }
        let noop = state.weights.as_ref().is_some_and(|weights| weights.get(&wanted.from).is_none_or(|weight| *weight == 0));
        if !noop && !state.healthy.contains(&wanted.to) {
            return Err(KindError::Refused(format!("{} is not healthy: users would be sent into an outage", wanted.to)));
        }
        let after = if noop { state.weights.clone() } else { Some(shifted(&state.weights, &state.regions, wanted)) };
        let ours = Ours { weights: after, to: wanted.to.clone(), if_version: state.version };
        Ok(Prepared { prior: serde_json::json!(Before { weights: state.weights }), ours: serde_json::json!(ours), companions: Vec::new(), noop })
    }

    fn invert(&self) -> Value {
        serde_json::json!(self.place)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let (_, ours) = parts(record)?;
        let Some(state) = self.same(record).await? else {
            return Err(KindError::Refused(format!("{} is gone", record.target)));
        };
        if state.weights == ours.weights && marked(&state, record) {
            return Ok(());
        }
        // What stands beside the weights is others'; a write of theirs after this read makes a new version, and ours is refused.
        let mut annotations = state.annotations;
        let copy = serde_json::to_string(record).map_err(|error| KindError::Failed(error.to_string()))?;
        annotations.insert(MARK_RUN.to_owned(), record.run.clone());
        annotations.insert(MARK_RECORD.to_owned(), copy);
        self.control.write(ours.if_version, &Change { weights: ours.weights, annotations }).await.map(|_| ())
    }

    async fn observe(&self, record: &Record) -> Observed {
        let (state, (before, ours)) = match (self.same(record).await, parts(record)) {
            (Ok(Some(state)), Ok(parts)) => (state, parts),
            (Ok(None), _) => return Observed::Absent,
            (Err(error), _) | (_, Err(error)) => return Observed::Unreadable { error: error.to_string() },
        };
        if state.weights == ours.weights {
            Observed::Ours { marked: marked(&state, record) }
        } else if state.weights == before.weights {
            Observed::Prior
        } else {
            Observed::Other { current: serde_json::json!({"weights": state.weights, "annotations": state.annotations}) }
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let (before, ours) = parts(record)?;
        let Some(state) = self.same(record).await? else { return Ok(()) };
        if state.weights == before.weights {
            self.fence(record, &state).await
        } else if state.weights == ours.weights && marked(&state, record) {
            self.put(&state, &before.weights).await
        } else {
            Err(KindError::Conflict("the edge's weights are someone else's by now".to_owned()))
        }
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        let (_, ours) = parts(record)?;
        match self.same(record).await? {
            // Ours after all: an inject was faster. The next look sees it, and reverts it.
            Some(state) if state.weights == ours.weights && marked(&state, record) => Ok(()),
            Some(state) => self.fence(record, &state).await,
            None => Ok(()),
        }
    }

    async fn bite(&self, record: &Record) -> Bite {
        let looked = async { Ok::<_, KindError>((self.same(record).await?, parts(record)?.1)) };
        let why = match looked.await {
            Ok((Some(state), ours)) if state.weights == ours.weights && marked(&state, record) => {
                if state.serving == ours.to {
                    return Bite::Verified;
                }
                format!("the edge sends most users to {}, not to {}", state.serving, ours.to)
            }
            Ok((Some(_), _)) => "the edge's weights are not as firedrill set them".to_owned(),
            Ok((None, _)) => "the edge is gone".to_owned(),
            Err(error) => error.to_string(),
        };
        Bite::Unproven { why }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        // Something else at an endpoint that happens to be named like an edge has no mark of ours.
        let Found::Edge(state) = self.control.read().await? else { return Ok(Vec::new()) };
        let Some(run) = state.annotations.get(MARK_RUN) else { return Ok(Vec::new()) };
        let Some(record) = carried(&state).filter(|record| record.run == *run && parts(record).is_ok()) else {
            return Err(KindError::Failed(format!("the edge at {} carries a mark of run {run} that this build cannot read", self.control.url())));
        };
        // Where it was found, whatever the mark says: a copied mark must not lead to another edge.
        let target = self.target(&state);
        Ok(vec![Record {
            version: RECORD_VERSION,
            kind: NAME.to_owned(),
            action: true,
            target,
            invert: self.invert(),
            phase: Phase::Injected,
            ..record
        }])
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let Ok((before, ours)) = parts(record) else { return ByHand::default() };
        // Whatever its version is by then: a person may evacuate again after a fail-back.
        let put = |weights: &Weights| {
            let body = serde_json::json!({"weights": weights}).to_string();
            format!("curl -X PUT -H 'If-Match: *' -d '{body}' {}", word(self.control.url().as_str()))
        };
        ByHand { inject: vec![put(&ours.weights)], undo: vec![put(&before.weights)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
        pairs.iter().map(|(region, weight)| ((*region).to_owned(), *weight)).collect()
    }

    #[test]
    fn what_a_region_has_goes_to_the_other_and_the_rest_stays() {
        let regions = ["us-east-1", "us-west-2", "eu-west-1"].map(str::to_owned);
        let wanted = Wanted { from: "us-east-1".to_owned(), to: "us-west-2".to_owned() };
        let all = shifted(&None, &regions, &wanted);
        assert_eq!(all, weights(&[("us-east-1", 0), ("us-west-2", 100), ("eu-west-1", 0)]));
        let some = weights(&[("us-east-1", 50), ("us-west-2", 30), ("eu-west-1", 20)]);
        assert_eq!(shifted(&Some(some), &regions, &wanted), weights(&[("us-east-1", 0), ("us-west-2", 80), ("eu-west-1", 20)]));
    }
}
