//! The runbook as its readers get it: what it says of the drills that ship, of a run that took place, of hostile drills, and through other templates.

#![allow(clippy::unwrap_used)] // also in what tests share

mod game_day;
mod golden;
mod hostile;
mod paper;
mod recorded;
mod templates;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The real binary with a state directory of its own.
pub fn firedrill(state: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.env_remove("FIREDRILL_FAILPOINT").env_remove("FIREDRILL_STATE_DIR").env("FIREDRILL_ALLOW_TMPFS_STATE", "1").env("NO_COLOR", "1");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("--state-dir").arg(state).args(words).stdin(Stdio::null()).output().unwrap()
}

/// Standard output of one that ends well.
pub fn printed(state: &Path, words: &[&str]) -> String {
    let output = firedrill(state, words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
