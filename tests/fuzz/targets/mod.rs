//! What is fed arbitrary bytes, and what must hold whatever they are. Shared by the fuzzer and by `tests/fuzz_corpus.rs`.

mod call;
mod host;
mod journal;
mod loader;
mod request;

/// Every target: its name, which is also its folder in `corpus/`, and the function that panics when something does not hold.
pub const ALL: [(&str, fn(&[u8])); 5] =
    [("call", call::run), ("host", host::run), ("journal", journal::run), ("loader", loader::run), ("request", request::run)];
