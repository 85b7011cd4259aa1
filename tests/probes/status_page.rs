//! The statusPage probe against a real page.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use firedrill::clock::Clock;
use firedrill::event::Health;
use firedrill::probe::Reading;
use firedrill::probe::params::{ExpectJson, ProbeSpec, StatusPageProbe};
use firedrill::probe::watch::read_once;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{Server, answer, detail, open, read};

fn page(url: String, body: Option<&str>, json: Option<(&str, Value)>) -> ProbeSpec {
    let expect_json = json.map(|(pointer, equals)| ExpectJson { pointer: pointer.to_owned(), equals });
    ProbeSpec { status_page: Some(StatusPageProbe { url, expect_body: body.map(str::to_owned), expect_json }), ..Default::default() }
}

#[tokio::test]
async fn a_page_tells_the_truth_once_it_says_what_is_expected_of_it() {
    const PAGES: [&str; 3] =
        [r#"{"status": "All systems operational"}"#, r#"{"status": "Major outage"}"#, "<html>an outage of the page itself</html>"];
    let shown = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&shown);
    let server = Server::start(move |_| {
        let page = now.load(Ordering::SeqCst);
        let status = if page == 2 { 503 } else { 200 };
        Box::pin(async move { answer(status, PAGES[page]) })
    })
    .await;
    let outage = ("/status", json!("Major outage"));
    let by_body = open(true, &page(server.url("/"), Some("(?i)outage|degraded"), None)).unwrap();
    let by_json = open(true, &page(server.url("/"), None, Some(outage.clone()))).unwrap();
    let by_both = open(true, &page(server.url("/"), Some("operational"), Some(outage))).unwrap();

    assert_eq!(detail(&read(&*by_body).await), "the body does not match '(?i)outage|degraded'");
    assert_eq!(detail(&read(&*by_json).await), r#"'/status' is "All systems operational", expected "Major outage""#);
    shown.store(1, Ordering::SeqCst);
    assert_eq!(read(&*by_body).await, Reading::good());
    assert_eq!(read(&*by_json).await, Reading::good());
    assert_eq!(read(&*by_both).await.health, Health::Bad, "both conditions hold, or neither is enough");
    // An error page that happens to say the word tells its readers nothing about the service.
    shown.store(2, Ordering::SeqCst);
    let reading = read(&*by_body).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "status 503, expected 2xx"));
}

#[tokio::test]
async fn a_page_that_cannot_be_reached_is_bad_for_it_was_hosted_in_what_failed() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let reading = read(&*open(true, &page(refused, Some("outage"), None)).unwrap()).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "connection refused"));
    let silent = Server::silent().await;
    let probe = open(true, &page(silent.url("/"), Some("outage"), None)).unwrap();
    let (_, _, reading) = read_once(&Clock::system(), &*probe, Duration::from_millis(50)).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "no answer in time"));
}

#[test]
fn a_page_of_which_nothing_is_expected_does_not_open() {
    let url = || "https://status.example.com/".to_owned();
    for (allow_private, spec, said) in [
        (true, page(url(), None, None), "needs at least one of expectBody and expectJson"),
        (true, page(url(), Some("(unclosed"), None), "unclosed group"),
        (true, page("http://169.254.169.254/".to_owned(), Some("x"), None), "blocked address (link-local/metadata)"),
        (false, page("http://127.0.0.1/".to_owned(), Some("x"), None), "allowPrivate"),
    ] {
        let error = open(allow_private, &spec).err().unwrap_or_else(|| panic!("opened: {spec:?}"));
        assert!(error.starts_with("probe 'statusPage': ") && error.contains(said), "{error}");
    }
}
