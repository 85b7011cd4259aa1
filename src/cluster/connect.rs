//! How a cluster is reached: its kubeconfig or service account, and in words what is wrong with them.

use std::error::Error;
use std::process::Output;
use std::time::Duration;

use kube::Client;
use kube::client::AuthError;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::cause::{chain, sources};
use crate::drill::spec::ClusterConnection;

/// Longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest that an answer may take. The engine gives a call up sooner.
const ANSWER: Duration = Duration::from_secs(15);

/// A client for the connection. `Err` is one sentence. No call of the cluster yet, but the kubeconfig's credentials command runs.
pub async fn client(connection: &ClusterConnection) -> Result<Client, String> {
    patient(connection, ANSWER).await
}

/// The same, for answers that take longer: nothing comes for at most `silence`.
pub async fn patient(connection: &ClusterConnection, silence: Duration) -> Result<Client, String> {
    let mut config = config(connection).await?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(silence);
    config.reset_reader_on_write = true;
    // kube would send a call again on 429, 503 and 504, writes too, unseen and for up to sixteen minutes: a 503 may have been carried out, and a drain
    // must hear its budget's 429. Who calls decides.
    config.default_retry = false;
    // The credentials command runs in here, and the thread waits for it: not one that the undo of other targets needs.
    let made = tokio::task::spawn_blocking(move || Client::try_from(config)).await.map_err(|error| error.to_string())?;
    made.map_err(|error| match error {
        kube::Error::Auth(error) => credentials(&error),
        error => chain(&error),
    })
}

/// Where the connection leads. `Err` is one sentence.
pub async fn config(connection: &ClusterConnection) -> Result<Config, String> {
    let (read, from) = match (&connection.kubeconfig_file, &connection.context) {
        (Some(file), _) => (Kubeconfig::read_from(file), format!("kubeconfig {file}")),
        (None, Some(_)) => (Kubeconfig::read(), "the default kubeconfig ($KUBECONFIG, else ~/.kube/config)".to_owned()),
        (None, None) => return Config::incluster().map_err(|error| in_cluster(&error)),
    };
    let kubeconfig = read.map_err(|error| unread(&from, &error))?;
    let context = connection.context.as_ref().or(kubeconfig.current_context.as_ref());
    let proxy = context.map(|context| examine(&kubeconfig, context, &from)).transpose()?.flatten();
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unread(&from, &error))?;
    // HTTPS_PROXY of the shell is for the applications under test: it often names the very gateway that a drill steers, and undo may not depend on it.
    config.proxy_url = proxy.and_then(|proxy| proxy.parse().ok());
    if let Some(proxy) = &config.proxy_url {
        return Err(format!("{from}: its proxy-url {proxy} cannot be used by this build; run firedrill where the API server is reached directly"));
    }
    Ok(config)
}

/// That what the context names is there, told by name; its proxy.
fn examine(kubeconfig: &Kubeconfig, context: &str, from: &str) -> Result<Option<String>, String> {
    let contexts: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let found = kubeconfig.contexts.iter().find(|one| one.name == context).and_then(|one| one.context.as_ref());
    let Some(found) = found else {
        let has = if contexts.is_empty() { "it has none".to_owned() } else { format!("it has: {}", contexts.join(", ")) };
        return Err(format!("{from} has no context '{context}'; {has}"));
    };
    let cluster = kubeconfig.clusters.iter().find(|one| one.name == found.cluster).and_then(|one| one.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| format!("{from}: context '{context}' names cluster '{}', which the file does not have", found.cluster))?;
    // Without this, whoever is missing would call without any credentials.
    if let Some(user) = found.user.as_ref().filter(|user| !kubeconfig.auth_infos.iter().any(|one| one.name == **user)) {
        return Err(format!("{from}: context '{context}' names user '{user}', which the file does not have"));
    }
    Ok(cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty()))
}

fn unread(from: &str, error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => format!("{from} cannot be read: {error}"),
        KubeconfigError::FindPath => format!("{from} is not there"),
        KubeconfigError::CurrentContextNotSet => {
            format!("{from} has no current-context; set it with `kubectl --kubeconfig FILE config use-context NAME`")
        }
        KubeconfigError::Parse(error) => format!("{from} is no kubeconfig: {}", first_line(&error.to_string())),
        error => format!("{from}: {}", chain(error)),
    }
}

fn in_cluster(error: &InClusterError) -> String {
    let hint = "`inCluster: true` works only in a pod with a service account; outside name a context or a kubeconfigFile";
    format!("{}; {hint}", chain(error))
}

/// Why there are no credentials.
pub fn credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(error) => format!("its credentials command cannot be started: {error}; is it installed, and on the PATH?"),
        AuthError::AuthExecRun { cmd, out } => {
            format!("its credentials command {} failed ({}){}; log in again?", cmd.replace('"', ""), out.status, last_words(out))
        }
        AuthError::ReadTokenFile(error, file) => format!("its token file {} cannot be read: {error}", file.display()),
        error => chain(error),
    }
}

/// The credentials error inside another one: a token that ran out in the middle of a run, and could not be had anew.
pub fn credentials_within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a AuthError> {
    sources(error).find_map(|error| error.downcast_ref())
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or(text).trim()
}

fn last_words(out: &Output) -> String {
    let said = String::from_utf8_lossy(&out.stderr);
    said.lines().rev().find(|line| !line.trim().is_empty()).map(|line| format!(": {}", line.trim())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
        contexts:\n- {name: one, context: {cluster: here, user: me}}\n\
        clusters:\n- {name: here, cluster: {server: \"https://127.0.0.1:1\"}}\n\
        users:\n- {name: me, user: {token: t}}\n";

    async fn said(text: &str, context: Option<&str>) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, text).unwrap();
        let connection =
            ClusterConnection { kubeconfig_file: Some(file.display().to_string()), context: context.map(str::to_owned), in_cluster: None };
        let said = client(&connection).await.map(|_| ());
        said.map_err(|error| error.replace(&dir.path().display().to_string(), "DIR"))
    }

    async fn refused(text: &str) -> String {
        said(text, None).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_said_by_name() {
        assert_eq!(said(GOOD, None).await, Ok(()));
        let nowhere = ClusterConnection { kubeconfig_file: Some("/nowhere/config".into()), ..ClusterConnection::default() };
        let error = client(&nowhere).await.map(|_| ()).unwrap_err();
        assert_eq!(error, "kubeconfig /nowhere/config cannot be read: No such file or directory (os error 2)");
        assert_eq!(said(GOOD, Some("two")).await.unwrap_err(), "kubeconfig DIR/config has no context 'two'; it has: one");
        assert_eq!(
            refused(&GOOD.replace("current-context: one\n", "")).await,
            "kubeconfig DIR/config has no current-context; set it with `kubectl --kubeconfig FILE config use-context NAME`"
        );
        assert_eq!(
            refused(&GOOD.replace("- {name: here,", "- {name: there,")).await,
            "kubeconfig DIR/config: context 'one' names cluster 'here', which the file does not have"
        );
        assert_eq!(
            refused(&GOOD.replace("- {name: me,", "- {name: other,")).await,
            "kubeconfig DIR/config: context 'one' names user 'me', which the file does not have"
        );
        let broken = refused("contexts: [}").await;
        assert!(broken.starts_with("kubeconfig DIR/config is no kubeconfig: ") && !broken.contains('\n'), "{broken}");
    }

    #[tokio::test]
    async fn credentials_that_cannot_be_had_name_the_command_and_its_last_words() {
        let exec = |command: &str| {
            let exec = format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, {command}}}}}");
            GOOD.replace("{token: t}", &exec)
        };
        let failed = refused(&exec("command: sh, args: [-c, \"echo the session has expired >&2; exit 3\"]")).await;
        assert!(failed.contains("failed (exit status: 3): the session has expired; log in again?"), "{failed}");
        let missing = refused(&exec("command: /nowhere/get-token")).await;
        assert!(missing.starts_with("its credentials command cannot be started: No such file"), "{missing}");
    }

    #[tokio::test]
    async fn a_proxy_of_the_kubeconfig_is_refused_by_name() {
        let error = refused(&GOOD.replace("{server:", "{proxy-url: \"http://proxy.example.com:3128\", server:")).await;
        assert!(error.contains("its proxy-url http://proxy.example.com:3128/ cannot be used"), "{error}");
    }
}
