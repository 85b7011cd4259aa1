//! What is fed arbitrary bytes, and what must hold whatever they are. Shared by the fuzzer and by `tests/fuzz_corpus.rs`.

mod call;
mod host;
mod journal;
mod loader;
mod report;
mod request;

/// A function from bytes to nothing, which panics when something does not hold.
pub type Target = fn(&[u8]);

/// Every target: its name, which is also its folder in `corpus/`, and its function.
pub const ALL: [(&str, Target); 6] = [
    ("call", call::run),
    ("host", host::run),
    ("journal", journal::run),
    ("loader", loader::run),
    ("report", report::run),
    ("request", request::run),
];
