//! Messages to people's own places: what concerns them of a run, posted as JSON or as Slack reads it. Nothing of a run waits for one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::metrics::Metrics;
use crate::clock::Timestamp;
use crate::http::{Client, Request, Rules};

/// Longest that one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Pauses before a message is posted again.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];
/// Messages that wait for one receiver; more are dropped, and counted.
const WAITING: usize = 256;
/// Bytes of a receiver's answer that are read.
const ANSWER: usize = 256;

/// What people want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Notice {
    /// A scheduled run comes, as long before as its schedule says.
    Announce,
    /// A run begins to watch the steady state; its steps follow.
    Start,
    /// A run is stopped before its time, and undone.
    Abort,
    /// A run is over.
    End,
    /// Something is in place that no run works on.
    StillInPlace,
}

impl Notice {
    const ALL: [Self; 5] = [Self::Announce, Self::Start, Self::Abort, Self::End, Self::StillInPlace];

    /// As people read it.
    const fn title(self) -> &'static str {
        match self {
            Self::Announce => "Drill announced",
            Self::Start => "Drill starts",
            Self::Abort => "Drill aborted, undoing",
            Self::End => "Drill over",
            Self::StillInPlace => "STILL IN PLACE",
        }
    }
}

/// The file of `firedrill operator --notifications`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    notifications: Vec<Receiver>,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Format {
    /// The fields of [`Message`].
    #[default]
    Json,
    /// `{"text": …}` of Slack's incoming webhooks (docs.slack.dev, "Sending messages using incoming webhooks"); Mattermost and Rocket.Chat take the same.
    Slack,
}

/// Where messages go.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Receiver {
    /// In logs and metrics.
    name: String,
    #[serde(default)]
    format: Format,
    /// Where to post.
    url: Option<String>,
    /// A file that holds the URL, for one that is a secret; read for each message.
    url_file: Option<PathBuf>,
    /// A file that holds a bearer token; read for each message.
    token_file: Option<PathBuf>,
    /// All of them when it is left out.
    on: Option<BTreeSet<Notice>>,
}

/// What is told, as the format `json` posts it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What kind of message.
    pub notice: Notice,
    /// The reason of the Event that says the same: `Holding`, `Passed`.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Kind of the object that it is about.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its drill, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    /// Its environment, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// A run's status, in short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInShort>,
}

/// A run's status, in short.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunInShort {
    /// A ULID.
    pub run_id: Option<String>,
    /// Targets that are changed now.
    pub in_place: Option<u32>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The slowest recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<String>,
    /// Where the full report is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

impl Message {
    /// As Slack reads it: three characters are its own (docs.slack.dev, "Formatting message text").
    fn slack(&self) -> String {
        let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let of = |what: &str, name: Option<&String>| name.map(|name| format!(" {what} `{}`", plain(&name.replace('`', "'")))).unwrap_or_default();
        let mut text = format!(
            "*{}*:{}{}\n{}",
            self.notice.title(),
            of("drill", self.drill.as_ref()),
            of("in", self.environment.as_ref()),
            plain(&self.message)
        );
        if let Some(run) = &self.run {
            let score = run.score.map(|score| format!(", score {score}")).unwrap_or_default();
            let recovery = run.recovery.as_ref().map(|recovery| format!(", recovery {}", plain(recovery))).unwrap_or_default();
            text.push_str(&run.verdict.as_ref().map(|verdict| format!("\n{}{score}{recovery}", plain(verdict))).unwrap_or_default());
        }
        text + &plain(&format!("\n{} {}/{}", self.kind, self.namespace, self.name))
    }
}

/// Whoever wants to be told.
#[derive(Debug, Default)]
pub struct Notifier {
    receivers: Vec<Line>,
    /// Messages that are neither sent nor given up.
    under_way: watch::Sender<usize>,
}

/// A receiver, and the queue to it.
#[derive(Debug)]
struct Line {
    name: String,
    on: BTreeSet<Notice>,
    queue: mpsc::Sender<Arc<Message>>,
    waiting: Option<(Receiver, mpsc::Receiver<Arc<Message>>)>,
}

impl Notifier {
    /// The receivers of a file. Nothing is posted before [`Notifier::begin`].
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        Self::of(&text).map_err(|why| format!("{}: {why}", file.display()))
    }

    fn of(text: &str) -> Result<Self, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let mut names = BTreeSet::new();
        for receiver in &file.notifications {
            let name = &receiver.name;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(format!("notifications: '{name}' is no name; letters, digits and '-' are"));
            }
            if !names.insert(name.clone()) {
                return Err(format!("notifications: there are two of the name '{name}'"));
            }
            match (&receiver.url, &receiver.url_file) {
                (Some(url), None) => {
                    rules().url(url).map_err(|refusal| format!("notifications: {name}: url: {refusal}"))?;
                }
                (None, Some(_)) => {}
                _ => return Err(format!("notifications: {name}: one of 'url' and 'urlFile' is needed")),
            }
        }
        let line = |receiver: Receiver| {
            let (queue, waiting) = mpsc::channel(WAITING);
            let on = receiver.on.clone().unwrap_or_else(|| Notice::ALL.into());
            Line { name: receiver.name.clone(), on, queue, waiting: Some((receiver, waiting)) }
        };
        Ok(Self { receivers: file.notifications.into_iter().map(line).collect(), under_way: watch::Sender::default() })
    }

    /// Posts from now on, each receiver on its own: one that hangs keeps no other waiting.
    ///
    /// # Errors
    /// When this machine cannot make an HTTP client.
    pub fn begin(&mut self, metrics: &Arc<Metrics>) -> Result<(), String> {
        for (receiver, mut waiting) in self.receivers.iter_mut().filter_map(|line| line.waiting.take()) {
            let (client, metrics, under_way) = (Client::new(rules())?, metrics.clone(), self.under_way.clone());
            tokio::spawn(async move {
                while let Some(message) = waiting.recv().await {
                    let sent = deliver(&client, &receiver, &message).await;
                    if let Err(why) = &sent {
                        tracing::warn!("notification '{}' of {} '{}' was not delivered: {why}", receiver.name, message.kind, message.name);
                    }
                    metrics.notified(&receiver.name, if sent.is_ok() { "sent" } else { "failed" });
                    under_way.send_modify(|count| *count -= 1);
                }
            });
        }
        Ok(())
    }

    /// Posts a message to whoever wants it, in the order of the calls; returns at once.
    pub fn post(&self, message: Message, metrics: &Metrics) {
        let message = Arc::new(message);
        for line in self.receivers.iter().filter(|line| line.on.contains(&message.notice)) {
            self.under_way.send_modify(|count| *count += 1);
            if line.queue.try_send(message.clone()).is_err() {
                self.under_way.send_modify(|count| *count -= 1);
                tracing::warn!("notification '{}' of {} '{}' is dropped: {WAITING} wait already", line.name, message.kind, message.name);
                metrics.notified(&line.name, "dropped");
            }
        }
    }

    /// Waits until all are delivered or given up, at most so long.
    pub async fn finish(&self, longest: Duration) {
        let mut count = self.under_way.subscribe();
        if tokio::time::timeout(longest, count.wait_for(|count| *count == 0)).await.is_err() {
            tracing::warn!("{} notification(s) were not delivered in time", *self.under_way.borrow());
        }
    }
}

/// Whoever configures the operator may name a place inside the network.
fn rules() -> Rules {
    Rules { allow_private: true }
}

/// Why a message was not taken, and whether it may be taken later.
struct Refused {
    why: String,
    for_good: bool,
}

async fn deliver(client: &Client, receiver: &Receiver, message: &Message) -> Result<(), String> {
    let mut pauses = PAUSES.iter();
    loop {
        let refused = match tokio::time::timeout(ATTEMPT, attempt(client, receiver, message)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(refused)) => refused,
            Err(_) => Refused { why: format!("no answer within {} s", ATTEMPT.as_secs()), for_good: false },
        };
        match pauses.next().filter(|_| !refused.for_good) {
            Some(pause) => tokio::time::sleep(*pause).await,
            None => return Err(refused.why),
        }
    }
}

async fn attempt(client: &Client, receiver: &Receiver, message: &Message) -> Result<(), Refused> {
    let wrong = |why: String| Refused { why, for_good: false };
    let secret = |file: &Path| {
        let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("cannot read {}: {error}", file.display())))?;
        Ok::<_, Refused>(text.trim().to_owned())
    };
    let text = match (&receiver.url, &receiver.url_file) {
        (Some(url), _) => url.clone(),
        (None, Some(file)) => secret(file)?,
        (None, None) => return Err(Refused { why: "it has no URL".to_owned(), for_good: true }),
    };
    // Its own words would hold the URL, which is a secret.
    let url = client.url(&text).map_err(|_| wrong("its URL does not read, or leads where nothing may be asked".to_owned()))?;
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    if let Some(file) = &receiver.token_file {
        let mut value = HeaderValue::try_from(format!("Bearer {}", secret(file)?)).map_err(|_| wrong("its token cannot be sent".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let body = match receiver.format {
        Format::Json => serde_json::to_vec(message),
        Format::Slack => serde_json::to_vec(&json!({"text": message.slack()})),
    };
    let body = body.map_err(|error| Refused { why: error.to_string(), for_good: true })?;
    let asked = Request { method: Method::POST, url, headers, body: Some(body.into()), follow: false, limit: ANSWER };
    let answer = client.fetch(asked).await.map_err(|failure| wrong(failure.to_string()))?;
    if answer.status.is_success() {
        return Ok(());
    }
    let later = answer.status.is_server_error() || [408, 429].contains(&answer.status.as_u16());
    let said = crate::http::excerpt(&String::from_utf8_lossy(&answer.body));
    Err(Refused { why: format!("{} {said}", answer.status).trim().to_owned(), for_good: !later })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            notice: Notice::End,
            reason: "Passed".to_owned(),
            message: "all <objectives> & more".to_owned(),
            at: Timestamp(0),
            kind: "DrillRun",
            namespace: "firedrill".to_owned(),
            name: "now".to_owned(),
            drill: Some("evacuate".to_owned()),
            environment: Some("<!channel>`".to_owned()),
            run: Some(RunInShort { verdict: Some("passed".to_owned()), score: Some(92.5), ..RunInShort::default() }),
        }
    }

    #[test]
    fn names_of_objects_call_nobody_in_a_channel() {
        assert_eq!(
            message().slack(),
            "*Drill over*: drill `evacuate` in `&lt;!channel&gt;'`\nall &lt;objectives&gt; &amp; more\npassed, score 92.5\nDrillRun firedrill/now"
        );
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong() {
        let wrong = |text: &str| Notifier::of(text).unwrap_err();
        assert!(wrong("notifications: [{name: a}]").contains("one of 'url' and 'urlFile'"));
        assert!(wrong("notifications: [{name: a, url: 'ftp://x'}]").contains("a: url"));
        assert!(wrong("notifications: [{name: a, urlFile: x}, {name: a, urlFile: y}]").contains("two of the name 'a'"));
        assert!(wrong("notifications: [{name: a, urlFile: x, on: [begin]}]").contains("begin"));
        assert!(wrong("notifications: [{name: a, urlFile: x, colour: red}]").contains("colour"));
        assert!(Notifier::of("notifications: [{name: a, urlFile: x, on: [start, stillInPlace], format: slack}]").is_ok());
    }
}
