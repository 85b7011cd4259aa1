//! The monitoring system: scrapes the components, evaluates the `RegionDown` alert, answers Prometheus' instant queries.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};

use super::Region;
use super::series::{self, Selector, Series};
use super::truth::{Happening, Truth};
use super::wire::{self, Answer, Tasks};
use crate::clock::{Clock, Timestamp};

/// Time from one scrape and evaluation to the next.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a component may take to answer a scrape.
const SCRAPE_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a region must be unhealthy before the alert fires: `for` of the rule.
const ALERT_FOR: Duration = Duration::from_secs(1);
/// How far from now a query's `time` may be: nothing but the present is kept.
const PRESENT: Duration = Duration::from_secs(5);

/// Something that is scraped.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its `job` label.
    pub job: &'static str,
    /// Where `/metrics` is.
    pub address: SocketAddr,
    /// Its `region` label, for `up` only.
    pub region: Option<Region>,
}

#[derive(Debug)]
struct Monitoring {
    targets: Vec<Target>,
    series: Mutex<Vec<Series>>,
    truth: Truth,
    /// The query side does not work: the instrument is broken, what it measures is not.
    deaf: bool,
    alert_on: &'static str,
    refused: AtomicUsize,
}

/// How it works.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The query side is broken.
    pub deaf: bool,
    /// The series that the alert watches.
    pub alert_on: &'static str,
}

/// Starts monitoring `targets`, with its query endpoint at `listener`.
pub fn start(tasks: &Tasks, listener: TcpListener, targets: Vec<Target>, setup: Setup, truth: Truth) {
    let Setup { deaf, alert_on } = setup;
    let monitoring = Arc::new(Monitoring { targets, series: Mutex::default(), truth, deaf, alert_on, refused: AtomicUsize::new(0) });
    let queries = Arc::clone(&monitoring);
    wire::serve(tasks, listener, move |request| {
        let monitoring = Arc::clone(&queries);
        async move { monitoring.query(&request) }
    });
    tasks.spawn(monitoring.watch());
}

impl Monitoring {
    fn locked(&self) -> MutexGuard<'_, Vec<Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rule = Rule::new(self.alert_on);
        loop {
            ticks.tick().await;
            let mut all = futures::future::join_all(self.targets.iter().map(scrape)).await.concat();
            let (alerts, happened) = rule.evaluate(&all, Instant::now());
            all.extend(alerts);
            *self.locked() = all;
            // After the series are in place: an alert fires when it can be seen.
            for what in happened {
                self.truth.note(what);
            }
        }
    }

    fn query(&self, request: &Request<Bytes>) -> Answer {
        if request.uri().path() != "/api/v1/query" {
            return wire::text(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        if self.deaf {
            return self.broken();
        }
        let encoded = match *request.method() {
            Method::GET => request.uri().query().unwrap_or_default().as_bytes(),
            Method::POST => request.body(),
            _ => return wire::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
        };
        // A form may be posted to a URL that carries the parameters.
        let parameter = |name| wire::parameter(encoded, name).or_else(|| wire::parameter(request.uri().query().unwrap_or_default().as_bytes(), name));
        let now = Clock::system().now();
        if let Some(error) = parameter("time").and_then(|time| refuse_other_times(&time, now)) {
            return bad_data("time", &error);
        }
        let selector = match Selector::parse(&parameter("query").unwrap_or_default()) {
            Ok(selector) => selector,
            Err(error) => return bad_data("query", &error),
        };
        // Prometheus' instants are seconds with milliseconds, its values strings.
        let seconds = (now.0 / 1000) as f64 / 1000.0;
        let series = self.locked();
        let found = series.iter().filter(|series| selector.matches(series));
        let result: Vec<_> = found.map(|series| json!({"metric": series.labels, "value": [seconds, series.value.to_string()]})).collect();
        wire::json(StatusCode::OK, &json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
    }

    /// The ways in which a query endpoint is broken in real life, one after the other.
    fn broken(&self) -> Answer {
        match self.refused.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => wire::text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n"),
            1 => wire::typed(StatusCode::OK, "text/html", "<html><body>Sign in to continue</body></html>".to_owned()),
            _ => wire::typed(StatusCode::OK, "application/json", "{\"status\":\"success\",\"data\":{\"resultType\":\"vec".to_owned()),
        }
    }
}

async fn scrape(target: &Target) -> Vec<Series> {
    let instance = target.address.to_string();
    let answer = wire::send(target.address, wire::get(&instance, "/metrics"), SCRAPE_TIMEOUT).await;
    let text = answer.ok().filter(|answer| answer.status() == StatusCode::OK).map(|answer| String::from_utf8_lossy(answer.body()).into_owned());
    let mut up = Series::new("up", &[("job", target.job), ("instance", &instance)], if text.is_some() { 1.0 } else { 0.0 });
    if let Some(region) = target.region {
        up.labels.insert("region".to_owned(), region.name().to_owned());
    }
    let mut all = vec![up];
    for mut series in series::scraped(&text.unwrap_or_default()) {
        series.labels.insert("job".to_owned(), target.job.to_owned());
        series.labels.insert("instance".to_owned(), instance.clone());
        all.push(series);
    }
    all
}

/// The alerting rule `RegionDown`: `<series> == 0` for [`ALERT_FOR`].
#[derive(Debug)]
struct Rule {
    series: &'static str,
    active: BTreeMap<Region, Active>,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    since: Instant,
    firing: bool,
}

impl Rule {
    fn new(series: &'static str) -> Self {
        Self { series, active: BTreeMap::new() }
    }

    /// One evaluation: the `ALERTS` series, and what changed.
    fn evaluate(&mut self, series: &[Series], now: Instant) -> (Vec<Series>, Vec<Happening>) {
        let (mut alerts, mut happened) = (Vec::new(), Vec::new());
        for region in Region::ALL {
            let down = series.iter().any(|series| series.name() == self.series && series.label("region") == region.name() && series.value == 0.0);
            if !down {
                if self.active.remove(&region).is_some() {
                    happened.push(Happening::AlertResolved { region });
                }
                continue;
            }
            let alert = self.active.entry(region).or_insert_with(|| {
                happened.push(Happening::AlertPending { region });
                Active { since: now, firing: false }
            });
            if !alert.firing && now.duration_since(alert.since) >= ALERT_FOR {
                alert.firing = true;
                happened.push(Happening::AlertFiring { region });
            }
            let state = if alert.firing { "firing" } else { "pending" };
            let labels = [("alertname", "RegionDown"), ("alertstate", state), ("region", region.name()), ("severity", "page")];
            alerts.push(Series::new("ALERTS", &labels, 1.0));
        }
        (alerts, happened)
    }
}

/// Prometheus takes Unix seconds or RFC 3339; this endpoint knows the present only.
fn refuse_other_times(time: &str, now: Timestamp) -> Option<String> {
    let at = match time.parse::<f64>() {
        Ok(seconds) => Timestamp((seconds * 1e6) as i64),
        Err(_) => match chrono::DateTime::parse_from_rfc3339(time) {
            Ok(at) => at.with_timezone(&chrono::Utc).into(),
            Err(_) => return Some(format!("cannot parse {time:?} to a valid timestamp")),
        },
    };
    (at.since(now) > PRESENT || now.since(at) > PRESENT).then(|| "this endpoint keeps no history; leave 'time' out".to_owned())
}

/// Prometheus' error document.
fn bad_data(parameter: &str, error: &str) -> Answer {
    let error = format!("invalid parameter \"{parameter}\": {error}");
    wire::json(StatusCode::BAD_REQUEST, &json!({"status": "error", "errorType": "bad_data", "error": error}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(alerts: &[Series]) -> Vec<&str> {
        alerts.iter().map(|alert| alert.label("alertstate")).collect()
    }

    #[test]
    fn the_alert_is_pending_first_fires_after_its_time_and_resolves() {
        let (mut rule, start) = (Rule::new("region_healthy"), Instant::now());
        let region = Region::East;
        let seen = |value| [Series::new("region_healthy", &[("region", "us-east-1")], value)];
        assert_eq!(rule.evaluate(&seen(1.0), start), (vec![], vec![]));

        let (alerts, happened) = rule.evaluate(&seen(0.0), start);
        assert_eq!((states(&alerts), happened), (vec!["pending"], vec![Happening::AlertPending { region }]));
        assert_eq!(states(&rule.evaluate(&seen(0.0), start + ALERT_FOR / 2).0), ["pending"]);

        let (alerts, happened) = rule.evaluate(&seen(0.0), start + ALERT_FOR);
        assert_eq!((states(&alerts), happened), (vec!["firing"], vec![Happening::AlertFiring { region }]));
        assert_eq!(rule.evaluate(&seen(0.0), start + 2 * ALERT_FOR).1, []);

        assert_eq!(rule.evaluate(&seen(1.0), start + 3 * ALERT_FOR), (vec![], vec![Happening::AlertResolved { region }]));
        assert_eq!(states(&rule.evaluate(&seen(0.0), start + 4 * ALERT_FOR).0), ["pending"]);
    }

    #[test]
    fn a_rule_about_a_series_that_nobody_exports_never_fires() {
        let (mut rule, start) = (Rule::new("region_up"), Instant::now());
        let down = [Series::new("region_healthy", &[("region", "us-east-1")], 0.0)];
        assert_eq!(rule.evaluate(&down, start), (vec![], vec![]));
        assert_eq!(rule.evaluate(&down, start + 10 * ALERT_FOR), (vec![], vec![]));
    }

    #[test]
    fn only_the_present_can_be_queried() {
        let now = Timestamp(1_700_000_000_000_000);
        assert_eq!(refuse_other_times("1700000000.5", now), None);
        assert_eq!(refuse_other_times("2023-11-14T22:13:21Z", now), None);
        for wrong in ["1600000000", "2031-11-14T22:13:20Z", "yesterday", "1e300", "NaN"] {
            assert!(refuse_other_times(wrong, now).is_some(), "{wrong}");
        }
    }
}
