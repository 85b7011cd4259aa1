//! Nodes that are asked for at the same time are answered by one listing: reading a thousand one by one costs the API server as much as changing them.
//!
//! An answer is never older than its question: a listing begins after all of the questions that it answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::api::Cluster;
use super::error::ApiError;
use super::resource::NODES;

/// So many questions at once are cheaper listed. A listing of a thousand nodes costs about as much as reading thirty.
const MANY: usize = 32;
/// A listing begins when no question has come for so long, and after so long at most: those that come together are there by then.
const SETTLE: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(50));
/// After a listing it is so long: what comes then are changes that are read back one after the other, and nobody waits for them with the next change.
const GATHER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1500));

/// What is kept of a node in a listing: its identity, its marks, whether it takes pods.
#[derive(Deserialize)]
struct Slim {
    metadata: SlimMetadata,
    #[serde(default)]
    spec: SlimSpec,
}

#[derive(Deserialize, Serialize)]
struct SlimMetadata {
    name: String,
    uid: String,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize, Serialize)]
struct SlimSpec {
    unschedulable: Option<bool>,
}

type Answer = Result<Option<Value>, ApiError>;
type Question = (String, oneshot::Sender<Answer>);

/// Questions that wait for an answer.
#[derive(Debug, Default)]
pub struct Together(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Question>,
    /// Somebody answers them.
    busy: bool,
}

impl Together {
    /// Adds a question. True: the caller sees to it that they are answered.
    fn ask(&self, name: &str, answer: oneshot::Sender<Answer>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push((name.to_owned(), answer));
        !std::mem::replace(&mut state.busy, true)
    }

    fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// Whether none is left: then whoever answered them is done.
    fn is_done(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy = !state.waiting.is_empty();
        !state.busy
    }

    fn take(&self) -> Vec<Question> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }

    /// Waits while questions keep coming.
    async fn until_quiet(&self, (quiet, longest): (Duration, Duration)) {
        let (mut seen, end) = (self.waiting(), Instant::now() + longest);
        loop {
            tokio::time::sleep(quiet).await;
            let now = self.waiting();
            if now == seen || Instant::now() >= end {
                return;
            }
            seen = now;
        }
    }
}

/// Reads: a node, or none (404).
pub async fn node(cluster: &Arc<Cluster>, name: &str) -> Answer {
    let (answer, answered) = oneshot::channel();
    if cluster.together().ask(name, answer) {
        // In a task of its own: whoever asks first may give up, and the others would wait for ever.
        tokio::spawn(answer_all(cluster.clone()));
    }
    let gone = |_| ApiError::LostAnswer { cluster: cluster.name().to_owned(), why: "the reading ended before its answer".to_owned() };
    answered.await.unwrap_or_else(|error| Err(gone(error)))
}

async fn answer_all(cluster: Arc<Cluster>) {
    let together = cluster.together();
    // Those that come together are there by then.
    tokio::task::yield_now().await;
    while !together.is_done() {
        let mut asked = together.take();
        if asked.len() < MANY {
            one_by_one(&cluster, asked).await;
            continue;
        }
        together.until_quiet(SETTLE).await;
        asked.append(&mut together.take());
        listed(&cluster, asked).await;
        together.until_quiet(GATHER).await;
    }
}

// Who no longer waits needs no answer: a closed channel is nothing.

async fn one_by_one(cluster: &Cluster, asked: Vec<Question>) {
    let each = asked.into_iter().map(|(name, answer)| async move {
        let _ = answer.send(cluster.get(&NODES.at(None, &name)).await);
    });
    futures::future::join_all(each).await;
}

async fn listed(cluster: &Cluster, asked: Vec<Question>) {
    match cluster.list_of::<Slim>(NODES, None, None, None).await {
        Ok(nodes) => {
            let named: HashMap<&str, &Slim> = nodes.iter().map(|node| (node.metadata.name.as_str(), node)).collect();
            for (name, answer) in asked {
                let _ = answer.send(Ok(named.get(name.as_str()).map(|node| json!({"metadata": node.metadata, "spec": node.spec}))));
            }
        }
        Err(error) => {
            for (_, answer) in asked {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}
