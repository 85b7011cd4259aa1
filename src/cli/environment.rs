//! `--env FILE[#name]` or `--env sandbox[:variant]`: the environment that a command works in.

use crate::drill::diagnostic::Diagnostic;
use crate::drill::load::{self, Located, Options};
use crate::drill::spec::Environment;

/// Reads the environment of a flag: a file, or the embedded sandbox's.
pub fn load_environment(text: &str) -> Result<Located<Environment>, Vec<Diagnostic>> {
    load_environment_with(text, &Options::default())
}

/// The same with options.
pub fn load_environment_with(text: &str, options: &Options) -> Result<Located<Environment>, Vec<Diagnostic>> {
    load::load_environment_with(text, options)
}
