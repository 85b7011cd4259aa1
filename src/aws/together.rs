//! Things that are asked for at the same time are answered by one reading: describing five hundred subnets takes one call, not five hundred.
//!
//! An answer is never older than its question: a reading begins after all of the questions that it answers.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::CallError;

/// Most questions of one reading: what the describe calls of EC2 take as values of one filter.
const MOST: usize = 200;
/// A reading begins when no more questions have come for this long: half of what a call takes.
const QUIET: Duration = Duration::from_millis(25);
/// But questions wait no longer than this for others.
const LONGEST: Duration = Duration::from_millis(1500);

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
        loop {
            self.until_quiet().await;
            // All of them, for a reading may know more than what it is asked for: an ACL comes with all of its subnets.
            let mut asked = {
                let mut state = self.lock();
                state.busy = !state.waiting.is_empty();
                std::mem::take(&mut state.waiting)
            };
            if asked.is_empty() {
                return;
            }
            let others = asked.split_off(asked.len().min(MOST));
            let mut names: Vec<String> = asked.iter().map(|(name, _)| name.clone()).collect();
            names.sort();
            names.dedup();
            let answers = read(names).await;
            for (name, answer) in asked {
                // Who no longer waits needs no answer: a closed channel is nothing.
                let _ = answer.send(answers.as_ref().map(|all| all.get(&name).cloned()).map_err(Clone::clone));
            }
            let mut unanswered = Vec::new();
            for (name, answer) in others {
                match answers.as_ref().ok().and_then(|all| all.get(&name)) {
                    Some(found) => drop(answer.send(Ok(Some(found.clone())))),
                    None => unanswered.push((name, answer)),
                }
            }
            self.lock().waiting.splice(0..0, unanswered);
        }
    }

    /// Waits while questions keep coming.
    async fn until_quiet(&self) {
        let until = tokio::time::Instant::now() + LONGEST;
        let mut count = self.lock().waiting.len();
        while count > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(QUIET).await;
            let before = std::mem::replace(&mut count, self.lock().waiting.len());
            if before == count {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    const READING: Duration = Duration::from_millis(50);

    /// Asks so many things, one every so often; the number of readings that it took. Each answer says when its reading began.
    async fn readings(questions: u32, every: Duration) -> usize {
        let (together, readings) = (&Together::<Instant>::default(), &Arc::new(AtomicUsize::new(0)));
        join_all((0..questions).map(|number| async move {
            sleep(every * number).await;
            let (asked, counted) = (Instant::now(), readings.clone());
            let read = move |names: Vec<String>| {
                counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    let began = Instant::now();
                    sleep(READING).await;
                    Ok(names.into_iter().map(|name| (name, began)).collect())
                }
            };
            let began = together.ask(&number.to_string(), read).await.unwrap().unwrap();
            assert!(began >= asked, "question {number} is younger than its answer");
            assert!(Instant::now() - asked <= LONGEST + READING * 3, "question {number} waited too long");
        }))
        .await;
        readings.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_in_one_go_takes_as_few_readings_as_there_can_be() {
        assert_eq!(readings(500, Duration::ZERO).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_knows_more_than_it_was_asked_answers_that_too() {
        let (together, readings) = (&Together::<Instant>::default(), &Arc::new(AtomicUsize::new(0)));
        join_all((0..500).map(|number| async move {
            let counted = readings.clone();
            let read = move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                async { Ok((0..450).map(|number: u32| (number.to_string(), Instant::now())).collect()) }
            };
            let answer = together.ask(&number.to_string(), read).await.unwrap();
            assert_eq!(answer.is_some(), number < 450, "question {number}");
        }))
        .await;
        assert_eq!(readings.load(Ordering::SeqCst), 2, "the second is for those that the first did not know");
    }

    #[tokio::test(start_paused = true)]
    async fn questions_that_keep_coming_wait_for_each_other() {
        // For two seconds; each reading after the last one would be forty.
        let count = readings(400, Duration::from_millis(5)).await;
        assert!((2..=4).contains(&count), "{count} readings");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_alone_hardly_waits() {
        let began = Instant::now();
        assert_eq!(readings(1, Duration::ZERO).await, 1);
        assert!(began.elapsed() < READING + QUIET * 2, "{:?}", began.elapsed());
    }
}
