//! Things that are asked for at the same time are answered by one reading: describing five hundred subnets takes one call, not five hundred.
//!
//! An answer is never older than its question: a reading begins after all of the questions that it answers.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::error::CallError;

/// Most questions of one reading: what the describe calls of EC2 take as values of one filter.
const MOST: usize = 200;

type Answer<V> = Result<Option<V>, CallError>;
type Question<V> = (String, oneshot::Sender<Answer<V>>);

/// Questions by name, and the answers' type.
#[derive(Debug)]
pub struct Together<V>(Arc<Mutex<State<V>>>);

#[derive(Debug)]
struct State<V> {
    waiting: Vec<Question<V>>,
    /// Somebody answers them.
    busy: bool,
}

impl<V> Default for Together<V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { waiting: Vec::new(), busy: false })))
    }
}

impl<V: Clone + Send + Sync + 'static> Together<V> {
    /// The answer to one question; `None` where a reading has none. `read` answers many by their names.
    ///
    /// # Errors
    /// The reading's.
    pub async fn ask<F, R>(&self, name: &str, read: F) -> Answer<V>
    where
        F: Fn(Vec<String>) -> R + Send + 'static,
        R: Future<Output = Result<HashMap<String, V>, CallError>> + Send,
    {
        let (answer, answered) = oneshot::channel();
        let first = {
            let mut state = self.lock();
            state.waiting.push((name.to_owned(), answer));
            !std::mem::replace(&mut state.busy, true)
        };
        if first {
            let own = Self(self.0.clone());
            // In a task of its own: whoever asks first may give up, and the others would wait for ever.
            tokio::spawn(async move { own.answer_all(read).await });
        }
        let gone = |_| CallError::LostAnswer { account: String::new(), action: "reading".to_owned(), why: "it ended before its answer".to_owned() };
        answered.await.unwrap_or_else(|error| Err(gone(error)))
    }

    async fn answer_all<F, R>(&self, read: F)
    where
        F: Fn(Vec<String>) -> R,
        R: Future<Output = Result<HashMap<String, V>, CallError>>,
    {
        // Those that come together are there by then.
        tokio::task::yield_now().await;
        loop {
            let asked = {
                let mut state = self.lock();
                let count = state.waiting.len().min(MOST);
                state.busy = count > 0;
                state.waiting.drain(..count).collect::<Vec<_>>()
            };
            if asked.is_empty() {
                return;
            }
            let mut names: Vec<String> = asked.iter().map(|(name, _)| name.clone()).collect();
            names.sort();
            names.dedup();
            let answers = read(names).await;
            for (name, answer) in asked {
                // Who no longer waits needs no answer: a closed channel is nothing.
                let _ = answer.send(answers.as_ref().map(|all| all.get(&name).cloned()).map_err(Clone::clone));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
