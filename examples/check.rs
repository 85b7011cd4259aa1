//! Checks drill files as an editor or a pre-commit hook would: `cargo run --example check -- FILE…`. Exits 1 when one is wrong.

#![allow(clippy::print_stdout)] // it is what it is for

use std::path::PathBuf;
use std::process::ExitCode;

use firedrill::drill::load::{Options, load_paths};

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let loaded = load_paths(&paths, &Options::default());
    // All mistakes of all files at once, each with its place.
    for mistake in &loaded.diagnostics {
        println!("{}:{}:{}: {}", mistake.file, mistake.line, mistake.column, mistake.message);
    }
    for drill in &loaded.drills {
        println!(
            "{}: {} steps, {} objectives, owned by {}",
            drill.metadata.name,
            drill.spec.steps.len(),
            drill.spec.objectives.len(),
            drill.spec.owner
        );
    }
    ExitCode::from(u8::from(loaded.has_errors()))
}
