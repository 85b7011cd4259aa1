//! `--env FILE[#name]` or `--env sandbox[:variant]`: the environment that a command works in.

use std::path::PathBuf;

use crate::drill::diagnostic::Diagnostic;
use crate::drill::load::{self, Options};
use crate::drill::spec::Environment;
use crate::sandbox::{self, Sandbox};

/// Reads the environment of a flag: a file, or the sandbox's offline sample (nothing is started).
///
/// # Errors
/// Every mistake of the file, or a variant that there is none of.
pub fn load_environment(text: &str, options: &Options) -> Result<Environment, Vec<Diagnostic>> {
    match sandbox::parse_env(text) {
        Some(Ok(variant)) => Ok(sandbox::sample_environment(variant)),
        Some(Err(error)) => Err(vec![Diagnostic::of_file("--env", error.to_string())]),
        None => load::load_environment_with(text, options).map(|located| located.value),
    }
}

/// An environment that is ready to be used: a file's, or that of a sandbox that was started for this command.
pub struct Opened {
    /// The document.
    pub environment: Environment,
    sandbox: Option<(Sandbox, PathBuf)>,
}

/// Why an environment could not be opened.
pub enum OpenError {
    /// Mistakes of the file.
    Invalid(Vec<Diagnostic>),
    /// The sandbox did not start.
    Sandbox(String),
}

impl Opened {
    /// Reads the file, or starts the sandbox in a folder for temporary files.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(text: &str) -> Result<Self, OpenError> {
        let options = Options::default();
        let Some(Ok(variant)) = sandbox::parse_env(text) else {
            let environment = load_environment(text, &options).map_err(OpenError::Invalid)?;
            return Ok(Self { environment, sandbox: None });
        };
        let dir = std::env::temp_dir().join(format!("firedrill-{}", ulid::Ulid::generate()));
        let started = Sandbox::start(variant, &dir).await;
        let sandbox = started.map_err(|error| OpenError::Sandbox(format!("the sandbox did not start: {error}")))?;
        Ok(Self { environment: sandbox.environment().clone(), sandbox: Some((sandbox, dir)) })
    }

    /// Whether the environment lives and ends with this process.
    #[must_use]
    pub fn embedded(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Stops a sandbox and removes its folder.
    pub async fn close(self) {
        if let Some((sandbox, dir)) = self.sandbox {
            sandbox.stop().await;
            // Left behind at worst: a few files for temporary files.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}
