//! The dns probe against a real DNS server on loopback, by UDP and TCP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firedrill::clock::Clock;
use firedrill::drill::text::{RecordType, Strings};
use firedrill::event::Health;
use firedrill::probe::Reading;
use firedrill::probe::params::{DnsProbe, ProbeSpec};
use firedrill::probe::watch::read_once;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::{detail, open, read};

/// What is sent for one question, in this order.
pub type Answers = Vec<Vec<u8>>;

/// A DNS server on loopback; gone when dropped.
pub struct Server {
    pub address: SocketAddr,
    by_udp: Arc<AtomicUsize>,
    by_tcp: Arc<AtomicUsize>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Server {
    /// `answer` gets the question and how many came before it.
    async fn start(udp: impl Fn(Message, usize) -> Answers + Send + 'static, tcp: impl Fn(Message) -> Answers + Send + 'static) -> Self {
        let (socket, listener) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // Another test may have the same port by UDP.
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let address = socket.local_addr().unwrap();
        let (by_udp, by_tcp) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (udp_count, tcp_count) = (Arc::clone(&by_udp), Arc::clone(&by_tcp));
        let datagrams = tokio::spawn(async move {
            let mut bytes = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut bytes).await {
                let question = Message::from_vec(&bytes[..length]).unwrap();
                assert!(question.metadata.recursion_desired, "a resolver would not look further");
                for told in udp(question, udp_count.fetch_add(1, Ordering::SeqCst)) {
                    socket.send_to(&told, client).await.unwrap();
                }
            }
        });
        let streams = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tcp_count.fetch_add(1, Ordering::SeqCst);
                let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut bytes).await.unwrap();
                for told in tcp(Message::from_vec(&bytes).unwrap()) {
                    stream.write_u16(told.len().try_into().unwrap()).await.unwrap();
                    stream.write_all(&told).await.unwrap();
                }
            }
        });
        Self { address, by_udp, by_tcp, tasks: [datagrams, streams] }
    }

    pub async fn udp(answer: impl Fn(Message, usize) -> Answers + Send + 'static) -> Self {
        Self::start(answer, |_| panic!("asked by TCP")).await
    }

    fn probe(&self, name: &str, kind: RecordType, answers: &[&str]) -> DnsProbe {
        let answers = Strings(answers.iter().map(|answer| (*answer).to_owned()).collect());
        DnsProbe { name: name.to_owned(), answers, record_type: Some(kind), server: Some(self.address.to_string()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn dns(probe: DnsProbe) -> ProbeSpec {
    ProbeSpec { dns: Some(probe), ..Default::default() }
}

async fn read_dns(probe: DnsProbe) -> Reading {
    read(&*open(true, &dns(probe)).unwrap()).await
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(owner: &str, ip: &str) -> Record {
    Record::from_rdata(name(owner), 300, RData::A(A(ip.parse().unwrap())))
}

fn cname(owner: &str, to: &str) -> Record {
    Record::from_rdata(name(owner), 300, RData::CNAME(CNAME(name(to))))
}

fn reply(question: Message, code: ResponseCode, records: Vec<Record>) -> Message {
    let mut told = question.into_response();
    told.metadata.response_code = code;
    told.add_answers(records);
    told
}

pub fn bytes(told: &Message) -> Vec<u8> {
    told.to_vec().unwrap()
}

/// A small zone: what is answered to each name.
pub fn zone(question: Message) -> Message {
    use ResponseCode::{NXDomain, NoError, NotImp, Refused, ServFail};
    let asked = question.queries[0].name.to_lowercase().to_ascii();
    let txt = |parts: &[&str]| RData::TXT(TXT::new(parts.iter().map(|part| (*part).to_owned()).collect()));
    let (code, records) = match asked.as_str() {
        "west.example." => (NoError, vec![a("west.example.", "198.51.100.7")]),
        "both.example." => (NoError, vec![a("both.example.", "198.51.100.7"), a("both.example.", "203.0.113.9")]),
        "shouted.example." => (NoError, vec![a("SHOUTED.Example.", "198.51.100.7")]),
        "alias.example." => {
            (NoError, vec![a("edge.example.", "198.51.100.7"), cname("www.example.", "edge.example."), cname("alias.example.", "www.example.")])
        }
        "dangling.example." => (NoError, vec![cname("dangling.example.", "gone.example.")]),
        "circle.example." => (NoError, vec![cname("circle.example.", "round.example."), cname("round.example.", "circle.example.")]),
        "stray.example." => (NoError, vec![a("other.example.", "198.51.100.7")]),
        "empty.example." => (NoError, vec![]),
        "six.example." => (NoError, vec![Record::from_rdata(name("six.example."), 300, RData::AAAA(AAAA("2001:db8::7".parse().unwrap())))]),
        "text.example." => (NoError, vec![Record::from_rdata(name("text.example."), 300, txt(&["v=spf1 ", "-all"]))]),
        "failing.example." => (ServFail, vec![]),
        "refused.example." => (Refused, vec![]),
        "unknown-to-me.example." => (NotImp, vec![]),
        _ => (NXDomain, vec![]),
    };
    reply(question, code, records)
}

#[tokio::test]
async fn dns_is_good_only_when_every_answer_is_expected_and_says_which_failure_it_was() {
    use RecordType::{A, Aaaa, Cname, Txt};
    let server = Server::udp(|question, _| vec![bytes(&zone(question))]).await;
    let west = &["198.51.100.7"][..];
    let table: &[(&str, RecordType, &[&str], &str)] = &[
        ("west.example", A, west, ""),
        ("West.Example.", A, west, ""),
        ("west.example", A, &["198.51.100.7", "198.51.100.8"], ""),
        ("west.example", A, &["198.51.100.8"], "A 198.51.100.7, expected 198.51.100.8"),
        ("both.example", A, &["203.0.113.9", "198.51.100.7"], ""),
        ("both.example", A, west, "A 198.51.100.7, 203.0.113.9, expected 198.51.100.7"),
        ("shouted.example", A, west, ""),
        ("alias.example", A, west, ""),
        ("alias.example", Cname, &["WWW.example."], ""),
        ("alias.example", Cname, &["edge.example"], "CNAME www.example, expected edge.example"),
        ("dangling.example", A, west, "NODATA: no A record for 'gone.example', to which 'dangling.example' leads"),
        ("circle.example", A, west, "NODATA: no A record for 'circle.example'"),
        ("stray.example", A, west, "NODATA: no A record for 'stray.example'"),
        ("empty.example", A, west, "NODATA: no A record for 'empty.example'"),
        ("west.example", Aaaa, &["2001:db8::7"], "NODATA: no AAAA record for 'west.example'"),
        ("six.example", Aaaa, &["2001:0db8:0:0::7"], ""),
        ("text.example", Txt, &["v=spf1 -all"], ""),
        ("text.example", Txt, &["v=spf1 ~all"], "TXT v=spf1 -all, expected v=spf1 ~all"),
        ("gone.example", A, west, "NXDOMAIN: there is no name 'gone.example'"),
        ("failing.example", A, west, "SERVFAIL: the server could not find out"),
        ("refused.example", A, west, "REFUSED: the server does not answer this question"),
        ("unknown-to-me.example", A, west, "NOTIMP: the server does not answer this question"),
    ];
    for (name, kind, answers, expected) in table {
        let reading = read_dns(server.probe(name, *kind, answers)).await;
        let health = if expected.is_empty() { Health::Good } else { Health::Bad };
        assert_eq!((reading.health, detail(&reading)), (health, *expected), "{name} {kind:?}");
    }
}

#[tokio::test]
async fn every_tick_asks_anew_and_sees_a_record_move_at_once() {
    let address = Arc::new(Mutex::new("198.51.100.7"));
    let now = Arc::clone(&address);
    let server = Server::udp(move |question, _| {
        let record = a("move.example.", *now.lock().unwrap());
        vec![bytes(&reply(question, ResponseCode::NoError, vec![record]))]
    })
    .await;
    let probe = open(true, &dns(server.probe("move.example", RecordType::A, &["198.51.100.7"]))).unwrap();
    assert_eq!(read(&*probe).await, Reading::good());
    *address.lock().unwrap() = "203.0.113.9";
    assert_eq!(detail(&read(&*probe).await), "A 203.0.113.9, expected 198.51.100.7");
    *address.lock().unwrap() = "198.51.100.7";
    assert_eq!(read(&*probe).await, Reading::good());
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_asked_for_by_tcp() {
    // Cut between records, in the middle of one, and after the head.
    for keep in [usize::MAX, 40, 12] {
        let cut = move |question: Message, _| {
            let mut told = zone(question);
            told.metadata.truncation = true;
            let mut told = bytes(&told);
            told.truncate(keep);
            vec![told]
        };
        let server = Server::start(cut, |question| vec![bytes(&zone(question))]).await;
        let reading = read_dns(server.probe("both.example", RecordType::A, &["198.51.100.7", "203.0.113.9"])).await;
        assert_eq!((reading, server.by_tcp.load(Ordering::SeqCst)), (Reading::good(), 1), "{keep}");
    }
}

#[tokio::test]
async fn a_server_that_has_no_tcp_for_its_long_answers_is_bad_and_says_so() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let mut told = zone(Message::from_vec(&buffer[..length]).unwrap());
        told.metadata.truncation = true;
        socket.send_to(&bytes(&told), client).await.unwrap();
    });
    let answers = Strings(vec!["198.51.100.7".to_owned()]);
    let reading = read_dns(DnsProbe { name: "west.example".to_owned(), answers, record_type: None, server: Some(address.to_string()) }).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "the answer is too long for UDP, and by TCP: connection refused"));
}

#[tokio::test]
async fn answers_to_other_questions_are_not_believed() {
    let server = Server::udp(|question, _| {
        let forged = |change: &dyn Fn(&mut Message)| {
            let mut told = reply(question.clone(), ResponseCode::NoError, vec![a("west.example.", "203.0.113.66")]);
            change(&mut told);
            bytes(&told)
        };
        vec![
            forged(&|told| told.metadata.id ^= 1),
            forged(&|told| told.metadata.id = told.metadata.id.wrapping_add(256)),
            forged(&|told| {
                told.queries[0].set_name(name("other.example."));
            }),
            forged(&|told| told.queries.clear()),
            forged(&|told| told.metadata.message_type = hickory_resolver::proto::op::MessageType::Query),
            vec![],
            vec![0],
            bytes(&zone(question)),
        ]
    })
    .await;
    assert_eq!(read_dns(server.probe("west.example", RecordType::A, &["198.51.100.7"])).await, Reading::good());
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let server = Server::udp(|question, before| if before == 0 { vec![] } else { vec![bytes(&zone(question))] }).await;
    assert_eq!(read_dns(server.probe("west.example", RecordType::A, &["198.51.100.7"])).await, Reading::good());
    assert_eq!(server.by_udp.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_named_server_that_is_silent_absent_or_babbles_is_bad() {
    let silent = Server::udp(|_, _| vec![]).await;
    let probe = open(true, &dns(silent.probe("west.example", RecordType::A, &["198.51.100.7"]))).unwrap();
    let (_, _, reading) = read_once(&Clock::system(), &*probe, Duration::from_millis(100)).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "no answer in time"));

    let babbling =
        Server::udp(|question, _| vec![[&question.metadata.id.to_be_bytes()[..], &[0x84, 0, 0, 1, 0, 9, 0, 0, 0, 0, 0xff]].concat()]).await;
    let reading = read_dns(babbling.probe("west.example", RecordType::A, &["198.51.100.7"])).await;
    assert_eq!(reading.health, Health::Bad);
    assert!(detail(&reading).starts_with("the answer cannot be read: "), "{reading:?}");

    let absent = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for server in [absent.to_string(), format!("localhost:{}", absent.port())] {
        let answers = Strings(vec!["198.51.100.7".to_owned()]);
        let reading = read_dns(DnsProbe { name: "west.example".to_owned(), answers, record_type: None, server: Some(server.clone()) }).await;
        assert_eq!(reading.health, Health::Bad, "{server}: {reading:?}");
        assert!(detail(&reading).contains("connection refused"), "{server}: {reading:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_named_is_looked_up_and_by_tcp_another_answer_is_not_believed() {
    let cut = |question: Message, _| {
        let mut told = zone(question);
        told.metadata.truncation = true;
        vec![bytes(&told)]
    };
    let server = Server::start(cut, |question| {
        let mut told = zone(question);
        told.metadata.id ^= 1;
        vec![bytes(&told)]
    })
    .await;
    let probe =
        DnsProbe { server: Some(format!("localhost:{}", server.address.port())), ..server.probe("west.example", RecordType::A, &["198.51.100.7"]) };
    let reading = read_dns(probe).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "the answer is too long for UDP, and by TCP: the answer is to another question"));
}

#[test]
fn questions_that_make_no_sense_and_servers_that_must_not_be_asked_do_not_open() {
    use RecordType::{A, Aaaa, Cname};
    let metadata = "server: blocked address (link-local/metadata)";
    for (allow_private, name, kind, answers, server, said) in [
        (true, "a.example", A, &["198.51.100.7"][..], "169.254.169.253:53", metadata),
        (true, "a.example", A, &["198.51.100.7"], "[fd00:ec2::253]:53", metadata),
        (true, "a.example", A, &["198.51.100.7"], "fd00:ec2::253", metadata),
        (false, "a.example", A, &["198.51.100.7"], "127.0.0.1:53", "allowPrivate"),
        (false, "a.example", A, &["198.51.100.7"], "localhost", "allowPrivate"),
        (true, "a.example", A, &["198.51.100.7"], "ns.example:port", "'port' is not a port"),
        (true, "a.example", A, &[], "ns.example", "'answers' is empty"),
        (true, "a.example", A, &["2001:db8::7"], "ns.example", "the answer to a question of type A is an IPv4 address, not '2001:db8::7'"),
        (true, "a.example", Aaaa, &["198.51.100.7"], "ns.example", "type AAAA is an IPv6 address"),
        (true, "a.example", Cname, &["two..dots"], "ns.example", "type CNAME is a DNS name"),
        (true, "198.51.100.7", A, &["198.51.100.7"], "ns.example", "is an address, not a name"),
        (true, "", A, &["198.51.100.7"], "ns.example", "is not a DNS name"),
        (true, "two..dots", A, &["198.51.100.7"], "ns.example", "is not a DNS name"),
    ] {
        let answers = Strings(answers.iter().map(|answer| (*answer).to_owned()).collect());
        let probe = DnsProbe { name: name.to_owned(), answers, record_type: Some(kind), server: Some(server.to_owned()) };
        let error = open(allow_private, &dns(probe)).err().unwrap_or_else(|| panic!("opened: {name} of {server}"));
        assert!(error.starts_with("probe 'dns': ") && error.contains(said), "{name} of {server}: {error}");
    }
}
