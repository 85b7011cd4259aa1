//! The one HTTP client builder: address rules, redirects, time and size limits.
//!
//! Every request makes a connection of its own. A kept connection would go on working while new ones already fail (that is how
//! DynamoDB's empty DNS answer looked on 20 October 2025), and a probe must see what a new client sees.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode};
use rustix::io::Errno;
use url::Url;

use crate::cause::sources;

mod address;
pub mod connect;
pub mod dns;
mod resolve;

pub use address::{Refusal, Rules};
use resolve::{Lookup, ResolveError, Resolver, System};

/// Redirects that are followed in one request.
pub const MAX_REDIRECTS: usize = 5;
/// How long connecting (name look-up, TCP, TLS) may take; readings have their own, usually shorter limit on top.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of an answer that a message shows.
const EXCERPT: usize = 200;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD` or `POST`.
    pub method: Method,
    /// Already checked by [`Rules::url`]; checked again before every hop.
    pub url: Url,
    /// Sent to the URL's own origin only, never to where it redirects.
    pub headers: HeaderMap,
    /// Sent with `POST`.
    pub body: Option<Bytes>,
    /// Whether redirects are followed. A `POST` follows only 307 and 308: the others would turn it into a `GET`, whose success proves nothing.
    pub follow: bool,
    /// Bytes of the body that are read; at 0 the answer is complete with its head.
    pub limit: usize,
}

impl Request {
    /// A `GET` that follows redirects and reads `limit` bytes.
    #[must_use]
    pub fn get(url: Url, limit: usize) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None, follow: true, limit }
    }
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Response headers.
    pub headers: HeaderMap,
    /// The body, or its first [`Request::limit`] bytes.
    pub body: Vec<u8>,
    /// The body is longer.
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The rules forbid the address, or that of a redirect.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The other side: refused, reset, no such name, bad certificate, endless redirects.
    #[error("{0}")]
    NoAnswer(String),
    /// This machine: out of file descriptors, ports, memory; no certificate store.
    #[error("{0}")]
    Instrument(String),
}

/// The client of all probes; cheap to clone.
///
/// No proxy of the process environment is used, no cookie kept, nothing retried. TLS certificates are verified against the system's store.
#[derive(Clone)]
pub struct Client {
    rules: Rules,
    resolver: Arc<Resolver>,
    plain: reqwest::Client,
    secure: Arc<OnceLock<Result<reqwest::Client, String>>>,
}

impl Client {
    /// The client for an environment's rules.
    pub fn new(rules: Rules) -> Result<Self, String> {
        Self::with_lookup(rules, Arc::new(System))
    }

    fn with_lookup(rules: Rules, lookup: Arc<dyn Lookup>) -> Result<Self, String> {
        let resolver = Arc::new(Resolver::new(rules, lookup));
        // Plain HTTP must work on a machine that has no certificate store, where a client that could do TLS cannot even be made.
        let plain = builder(&resolver).tls_certs_only([]).build().map_err(|error| format!("cannot make an HTTP client: {}", reason(&error)))?;
        Ok(Self { rules, resolver, plain, secure: Arc::default() })
    }

    /// The rules that this client keeps.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// Reads a URL, checks it, and makes sure that this machine can talk its scheme at all.
    pub fn url(&self, text: &str) -> Result<Url, String> {
        let url = self.rules.url(text).map_err(|refusal| refusal.to_string())?;
        self.of_scheme(&url).map_err(|failure| failure.to_string())?;
        Ok(url)
    }

    fn of_scheme(&self, url: &Url) -> Result<&reqwest::Client, Failure> {
        if url.scheme() == "http" {
            return Ok(&self.plain);
        }
        let build = || builder(&self.resolver).build().map_err(|error| format!("cannot verify TLS certificates here: {}", reason(&error)));
        self.secure.get_or_init(build).as_ref().map_err(|error| Failure::Instrument(error.clone()))
    }

    /// Asks, and follows redirects within the rules. The caller bounds the time; dropping the future closes the connection.
    pub async fn fetch(&self, request: Request) -> Result<Answer, Failure> {
        let origin = request.url.origin();
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            self.rules.check_url(&url)?;
            let mut asked = self.of_scheme(&url)?.request(request.method.clone(), url.clone());
            if url.origin() == origin {
                asked = asked.headers(request.headers.clone());
            }
            if let Some(body) = &request.body {
                asked = asked.body(body.clone());
            }
            let response = asked.send().await.map_err(failure)?;
            match if request.follow { redirect(&request.method, &url, &response)? } else { None } {
                Some(next) => url = next,
                None => return answer(response, request.limit).await,
            }
        }
        Err(Failure::NoAnswer(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

fn builder(resolver: &Arc<Resolver>) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .dns_resolver(Arc::clone(resolver))
        .pool_max_idle_per_host(0)
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("firedrill/", env!("CARGO_PKG_VERSION")))
}

/// Where an answer sends the request on to, if it does.
fn redirect(method: &Method, from: &Url, response: &Response) -> Result<Option<Url>, Failure> {
    let followed = match response.status().as_u16() {
        307 | 308 => true,
        301..=303 => *method != Method::POST,
        _ => false,
    };
    let Some(location) = response.headers().get(LOCATION).filter(|_| followed) else { return Ok(None) };
    let broken = |why: String| Failure::NoAnswer(format!("{} with a broken Location: {why}", response.status()));
    let location = location.to_str().map_err(|error| broken(error.to_string()))?;
    let next = from.join(location).map_err(|error| broken(error.to_string()))?;
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(Failure::NoAnswer(format!("{} from https to http", response.status())));
    }
    Ok(Some(next))
}

async fn answer(mut response: Response, limit: usize) -> Result<Answer, Failure> {
    let mut answer = Answer { status: response.status(), headers: response.headers().clone(), body: Vec::new(), truncated: false };
    while limit > 0 && !answer.truncated {
        let Some(chunk) = response.chunk().await.map_err(failure)? else { break };
        let room = limit - answer.body.len();
        answer.truncated = chunk.len() > room;
        answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(answer)
}

/// The innermost reason, which says what happened; the outer layers say where in the client.
fn reason(error: &reqwest::Error) -> String {
    plain(&sources(error).last().map(ToString::to_string).unwrap_or_default())
}

/// A lower-case fragment without the number of the error.
fn plain(text: &str) -> String {
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let plain_word = text.split(' ').next().is_some_and(|word| word.chars().skip(1).all(char::is_lowercase));
    match letters.next() {
        Some(first) if plain_word => excerpt(&(first.to_lowercase().collect::<String>() + letters.as_str())),
        _ => excerpt(text),
    }
}

impl From<&ResolveError> for Failure {
    fn from(error: &ResolveError) -> Self {
        match error {
            ResolveError::Refused(refusal) => Self::Refused(refusal.clone()),
            ResolveError::Failed { .. } => Self::NoAnswer(error.to_string()),
            ResolveError::Instrument(_) => Self::Instrument(error.to_string()),
        }
    }
}

/// A failure of this machine's own: it has run out of something.
fn of_io(error: &std::io::Error) -> Option<Failure> {
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::ADDRNOTAVAIL => {
            Some(Failure::Instrument(format!("this machine cannot open a connection: {}", plain(&error.to_string()))))
        }
        _ => None,
    }
}

fn failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    for source in sources(&error) {
        if let Some(unresolved) = source.downcast_ref::<ResolveError>() {
            return unresolved.into();
        }
        if let Some(own) = source.downcast_ref::<std::io::Error>().and_then(of_io) {
            return own;
        }
    }
    if error.is_builder() {
        return Failure::Instrument(format!("cannot make the request: {}", reason(&error)));
    }
    if error.is_timeout() {
        return Failure::NoAnswer(format!("no connection within {}s", CONNECT_TIMEOUT.as_secs()));
    }
    Failure::NoAnswer(reason(&error))
}

/// What a server sent, short enough for a message, without what could steer a terminal or turn its text around (Unicode TR9).
#[must_use]
pub fn excerpt(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut letters = text.trim().chars().map(|c| if steers(c) { ' ' } else { c });
    let mut short: String = letters.by_ref().take(EXCERPT).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io;
    use std::net::{IpAddr, SocketAddr};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A resolver of our own: each look-up of a name gives its next answer, the last one for ever.
    #[derive(Default)]
    struct Names(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

    impl Names {
        fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
            let ips = |answer: &[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
            let answers = |answers: &[&[&str]]| answers.iter().map(|answer| ips(answer)).collect();
            Arc::new(Self(Mutex::new(names.iter().map(|(name, all)| ((*name).to_owned(), answers(all))).collect())))
        }
    }

    impl Lookup for Names {
        fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            let mut names = self.0.lock().unwrap();
            let answers = names.get_mut(name).ok_or_else(|| io::Error::other("failed to lookup address information: Name or service not known"))?;
            Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
        }
    }

    /// Answers everyone with `head`, and counts them.
    async fn server(head: String) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(head.as_bytes()).await;
            }
        });
        (address, count)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    async fn fetch(client: &Client, url: &str) -> Result<u16, Failure> {
        let url = client.rules().url(url).expect("nothing to see before resolution");
        client.fetch(Request::get(url, 1024)).await.map(|answer| answer.status.as_u16())
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_forbidden_address_is_refused_before_anything_connects() {
        let names = Names::new(&[
            ("metadata.example", &[&["169.254.169.254"]]),
            ("mapped.example", &[&["::ffff:169.254.169.254"]]),
            ("six.example", &[&["fd00:ec2::254"]]),
            ("mixed.example", &[&["93.184.216.34", "169.254.169.254"]]),
            ("private.example", &[&["127.0.0.1"]]),
            ("any.example", &[&["0.0.0.0"]]),
        ]);
        let open = Client::with_lookup(Rules { allow_private: true }, names.clone()).unwrap();
        for name in ["metadata", "mapped", "six", "mixed"] {
            let failure = fetch(&open, &format!("http://{name}.example/")).await.unwrap_err();
            assert!(matches!(&failure, Failure::Refused(Refusal::Metadata(what)) if what.starts_with(&format!("{name}.example is "))), "{failure:?}");
        }
        assert!(matches!(fetch(&open, "http://any.example/").await, Err(Failure::Refused(Refusal::Nowhere(_)))));
        let closed = Client::with_lookup(Rules { allow_private: false }, names).unwrap();
        assert!(matches!(fetch(&closed, "https://private.example/").await, Err(Failure::Refused(Refusal::Private(_)))));
    }

    #[tokio::test]
    async fn the_address_that_was_checked_is_the_one_connected_to_whatever_the_name_says_next() {
        let (address, connections) = server(OK.to_owned()).await;
        let names = Names::new(&[("rebind.example", &[&["127.0.0.1"], &["169.254.169.254"], &["127.0.0.1"]])]);
        let client = Client::with_lookup(Rules { allow_private: true }, names).unwrap();
        let url = format!("http://rebind.example:{}/", address.port());
        assert_eq!(fetch(&client, &url).await, Ok(200));
        let failure = fetch(&client, &url).await.unwrap_err();
        assert_eq!(failure.to_string(), "blocked address (link-local/metadata): rebind.example is 169.254.169.254");
        assert_eq!(fetch(&client, &url).await, Ok(200));
        assert_eq!(connections.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_redirect_to_a_name_of_a_metadata_address_is_refused() {
        let (address, _) = server("HTTP/1.1 302 Found\r\nlocation: http://metadata.example/\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
        let names = Names::new(&[("metadata.example", &[&["169.254.169.254"]])]);
        let client = Client::with_lookup(Rules { allow_private: true }, names).unwrap();
        let failure = fetch(&client, &format!("http://{address}/")).await.unwrap_err();
        assert!(matches!(failure, Failure::Refused(Refusal::Metadata(_))), "{failure:?}");
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_the_services_failure_and_says_so() {
        let client = Client::with_lookup(Rules::default(), Names::new(&[("empty.example", &[&[]])])).unwrap();
        let text = async |url: &str| fetch(&client, url).await.unwrap_err();
        assert_eq!(text("http://gone.example/").await, Failure::NoAnswer("cannot resolve 'gone.example': Name or service not known".to_owned()));
        assert_eq!(text("http://empty.example/").await, Failure::NoAnswer("cannot resolve 'empty.example': no address".to_owned()));
    }

    #[tokio::test]
    async fn a_dead_resolver_holds_a_bounded_number_of_threads_and_no_other_name() {
        struct Dead(AtomicUsize, Mutex<std::sync::mpsc::Receiver<()>>);
        impl Lookup for Dead {
            fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
                if name == "dead.example" {
                    self.0.fetch_add(1, Ordering::SeqCst);
                    // Until the test drops its end.
                    let _ = self.1.lock().unwrap().recv();
                }
                Ok(vec!["127.0.0.1".parse().unwrap()])
            }
        }
        let (address, _) = server(OK.to_owned()).await;
        let (alive, dead) = std::sync::mpsc::channel();
        let lookup = Arc::new(Dead(AtomicUsize::new(0), Mutex::new(dead)));
        let client = Client::with_lookup(Rules { allow_private: true }, lookup.clone()).unwrap();
        let hanging: Vec<_> = (0..100)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { fetch(&client, "http://dead.example/").await })
            })
            .collect();
        let all_started = async {
            while lookup.0.load(Ordering::SeqCst) < 16 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all_started).await.expect("16 look-ups have started");
        assert_eq!(fetch(&client, &format!("http://alive.example:{}/", address.port())).await, Ok(200));
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(lookup.0.load(Ordering::SeqCst), 16);
        drop(alive);
    }

    #[test]
    fn an_excerpt_is_short_and_cannot_steer_a_terminal() {
        assert_eq!(excerpt("\u{1b}[2Jgone\u{202e}\r\n"), " [2Jgone ");
        assert_eq!(excerpt(&"é".repeat(300)), "é".repeat(200) + "…");
    }
}
