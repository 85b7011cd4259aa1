//! What a run makes of a status page: the objective's clock, verdict and exit code, with the real binary.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::{Bench, Done};

/// A status page on loopback that says `outage` once the test has told it to. Its thread ends with the process.
fn page() -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, outage) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&outage);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let body = if told.load(Ordering::SeqCst) { "Major outage in us-east-1" } else { "All systems operational" };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    (port, outage)
}

/// The bench's drill with an objective on the page at `port`.
fn watch(bench: &Bench, port: u16) {
    let objective = format!(
        "  objectives:\n    - id: page-tells\n      probe: {{statusPage: {{url: \"http://127.0.0.1:{port}/\", expectBody: outage}}}}\n      \
         interval: 200ms\n      timeout: 200ms\n      detectWithin: 7s\n"
    );
    let path = bench.path("short.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("  objectives:\n", &objective, 1)).unwrap();
}

/// Runs it; `at_hold` is called once the faults are in place.
fn run(bench: &Bench, port: u16, at_hold: impl FnOnce()) -> Done {
    watch(bench, port);
    let mut run = bench.run();
    run.wait_for_the_hold();
    at_hold();
    run.finish()
}

#[test]
fn a_status_page_that_tells_of_the_outage_in_time_meets_its_objective() {
    let bench = Bench::new();
    let (port, outage) = page();
    let done = run(&bench, port, || outage.store(true, Ordering::SeqCst));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("'page-tells': detected in "), "{done:?}");
}

#[test]
fn a_status_page_that_goes_on_saying_that_all_is_well_misses_it_and_so_does_one_that_is_gone() {
    let bench = Bench::new();
    let (port, _outage) = page();
    let done = run(&bench, port, || {});
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.out.contains("missed 'page-tells'"), "{done:?}");

    let bench = Bench::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let done = run(&bench, gone, || {});
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.out.contains("missed 'page-tells'"), "{done:?}");
}

#[test]
fn a_status_page_that_tells_of_an_outage_before_the_drill_refuses_it() {
    let bench = Bench::new();
    let (port, outage) = page();
    outage.store(true, Ordering::SeqCst);
    watch(&bench, port);
    let done = bench.run().finish();
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(format!("{}{}", done.out, done.err).contains("'page-tells' is already true before the drill"), "{done:?}");
    assert_eq!(bench.east(), "200");
}
