//! Every input that the fuzzer has kept, through its target: what it found once is not lost again where nobody fuzzes.

#![allow(clippy::unwrap_used)] // also in what tests share

use std::panic::catch_unwind;
use std::path::Path;

#[path = "fuzz/targets/mod.rs"]
mod targets;

/// The corpora are kept small: they are replayed with every `cargo test`.
const MOST_INPUTS: usize = 200;

#[test]
fn every_kept_input_of_every_fuzz_target_is_taken_without_a_panic() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut failed = Vec::new();
    for (name, run) in targets::ALL {
        let mut inputs: Vec<_> = std::fs::read_dir(corpora.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!((5..=MOST_INPUTS).contains(&inputs.len()), "{} inputs in the corpus of {name}", inputs.len());
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            if catch_unwind(|| run(&bytes)).is_err() {
                failed.push(input);
            }
        }
    }
    assert!(failed.is_empty(), "these panicked; see above for the first reason: {failed:?}");
}

#[test]
fn every_corpus_belongs_to_a_target() {
    let corpora = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")).unwrap();
    for corpus in corpora {
        let name = corpus.unwrap().file_name();
        assert!(targets::ALL.iter().any(|(target, _)| *target == name), "{} has no target", name.display());
    }
}
