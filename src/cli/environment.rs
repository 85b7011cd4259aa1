//! `--env FILE[#name]` or `--env sandbox[:variant]`: the environment that a command works in.

use std::path::{Path, PathBuf};

use crate::drill::diagnostic::Diagnostic;
use crate::drill::load::{self, Options};
use crate::drill::spec::{Environment, EnvironmentSpec};
use crate::prepare::files;
use crate::sandbox::{self, Sandbox};

/// Reads the environment of a flag: a file, or the sandbox's offline sample (nothing is started).
///
/// Files that it names beside itself have absolute paths afterwards: what is undone from another folder must find them.
///
/// # Errors
/// Every mistake of the file, or a variant that there is none of.
pub fn load_environment(text: &str, options: &Options) -> Result<Environment, Vec<Diagnostic>> {
    match sandbox::parse_env(text) {
        Some(Ok(variant)) => Ok(sandbox::sample_environment(variant)),
        Some(Err(error)) => Err(vec![Diagnostic::of_file("--env", error.to_string())]),
        None => {
            let located = load::load_environment_with(text, options)?;
            let folder = Path::new(&located.source.file).parent().unwrap_or(Path::new("")).to_path_buf();
            let mut environment = located.value;
            make_absolute(&mut environment.spec, &folder).map_err(|error| vec![Diagnostic::of_file(&located.source.file, error)])?;
            Ok(environment)
        }
    }
}

fn make_absolute(environment: &mut EnvironmentSpec, folder: &Path) -> Result<(), String> {
    for file in files(environment) {
        let path = std::path::absolute(folder.join(&*file)).map_err(|error| format!("the path of {file}: {error}"))?;
        *file = path.into_os_string().into_string().map_err(|path| format!("the path {} is no text", path.display()))?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::without_folders;

    const FILE: &str = "apiVersion: firedrill.dev/v1alpha1\nkind: Environment\nmetadata: {name: staging}\nspec:\n  kubernetes:\n    \
        - {name: east, uid: 2f0c6f5e-0d0c-4b62-9d0e-6f3c1b7a9e11, region: us-east-1, connection: {kubeconfigFile: keys/east}}\n    \
        - {name: west, uid: 91b7e0aa-52a4-4a35-8f0a-3f6a0f1f2c77, region: us-west-2, connection: {kubeconfigFile: /etc/keys/west}}\n";

    fn kubeconfigs(environment: &Environment) -> Vec<String> {
        environment.spec.kubernetes.iter().filter_map(|cluster| cluster.connection.kubeconfig_file.clone()).collect()
    }

    #[test]
    fn a_kubeconfig_is_found_beside_the_environment_file_from_every_folder() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("staging.yaml");
        std::fs::write(&file, FILE).unwrap();
        for name in [file.display().to_string(), format!("{}#staging", file.display())] {
            let environment = load_environment(&name, &Options::default()).unwrap();
            assert_eq!(kubeconfigs(&environment), [dir.path().join("keys/east").display().to_string(), "/etc/keys/west".to_owned()]);
        }
        // As named from a shell in another folder.
        let mut environment = load_environment(&file.display().to_string(), &Options::default()).unwrap().spec;
        environment.kubernetes[0].connection.kubeconfig_file = Some("keys/east".to_owned());
        make_absolute(&mut environment, Path::new("envs")).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(environment.kubernetes[0].connection.kubeconfig_file, Some(here.join("envs/keys/east").display().to_string()));
    }

    #[test]
    fn the_same_environment_in_two_folders_is_one_environment() {
        let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()].map(|dir| {
            let file = dir.path().join("staging.yaml");
            std::fs::write(&file, FILE).unwrap();
            load_environment(&file.display().to_string(), &Options::default()).unwrap()
        });
        assert_ne!(one, two);
        assert_eq!(without_folders(&one), without_folders(&two));
    }
}
