//! `firedrill status --namespace`: what the operator of a namespace runs and has in place, from its `DrillRun`s and its journal.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Shown, ShownRun, in_place};
use crate::cli::Context;
use crate::cli::listing::{plain, program, quoted};
use crate::clock::Timestamp;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::LEASES;
use crate::drill::spec::ClusterConnection;
use crate::journal::{Journal, JournalError, RunSummary};
use crate::operator::documents::{Run, run_id};
use crate::operator::lease::Lease;
use crate::operator::memory::Memory;
use crate::operator::resource::Resource;
use crate::operator::status::RunPhase;

/// Which operator, instead of this machine's journal.
#[derive(Debug, Args)]
pub struct Place {
    /// The runs of the operator of this namespace, instead of those of this machine
    #[arg(long, value_name = "NAME", help_heading = "In a cluster")]
    pub namespace: Option<String>,

    /// A kubeconfig file [default: the service account of the pod, unless --context is given]
    #[arg(long, value_name = "FILE", requires = "namespace", help_heading = "In a cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME", requires = "namespace", help_heading = "In a cluster")]
    pub context: Option<String>,

    /// Exit 5 unless no run is going on or waiting, and nothing is in place: what the chart asks before it is uninstalled
    #[arg(long, requires = "namespace", help_heading = "In a cluster")]
    pub idle: bool,
}

fn unread(error: &ApiError) -> JournalError {
    JournalError::Unreadable(error.to_string())
}

/// Every run that is going on, waits, or has something in place; of `only`, its name or the beginning of its id, if given.
pub(super) async fn look(context: &Context, place: &Place, namespace: &str, only: Option<&str>) -> Result<Shown, JournalError> {
    let connection = ClusterConnection {
        kubeconfig_file: place.kubeconfig.as_ref().map(|file| file.display().to_string()),
        context: place.context.clone(),
        in_cluster: (place.kubeconfig.is_none() && place.context.is_none()).then_some(true),
    };
    let cluster = Arc::new(Cluster::discover("own", &connection).await.map_err(|error| unread(&error))?);
    let leads = leads(&cluster, namespace).await.map_err(|error| unread(&error))?;
    let objects = cluster.list(Resource::DRILL_RUN.api(), Some(namespace), None, None).await.map_err(|error| unread(&error))?;
    let objects: Vec<Run> = objects.iter().map(Run::read).collect::<Result<_, _>>().map_err(JournalError::Unreadable)?;
    let memory = Memory::new(cluster, namespace);
    let asked = Asked { context, place, namespace, leads, memory: &memory };
    let mut runs = Vec::new();
    for summary in memory.open_runs().await? {
        let object = objects.iter().find(|object| run_id(&object.metadata) == summary.header.run);
        runs.push(asked.of_journal(summary, object).await?);
    }
    // Those that the operator has not looked at yet have no journal.
    let known = |object: &Run, runs: &[ShownRun]| runs.iter().any(|run| run.run == run_id(&object.metadata));
    let over = |object: &Run| object.status.as_ref().and_then(|status| status.phase) == Some(RunPhase::Over);
    for object in objects.iter().filter(|object| !over(object)) {
        if !known(object, &runs) {
            runs.push(asked.of_object(object));
        }
    }
    if let Some(only) = only {
        let named = objects.iter().any(|object| object.metadata.name == only || begins(&run_id(&object.metadata), only));
        runs.retain(|run| run.drill_run.as_deref() == Some(only) || begins(&run.run, only));
        if runs.is_empty() && !named {
            return Err(JournalError::NoSuchRun(only.to_owned()));
        }
    }
    Ok(Shown { journal: Some(format!("namespace {namespace}")), in_place: in_place(&runs), runs })
}

fn begins(run: &str, prefix: &str) -> bool {
    run.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

/// Whether an operator renews the lease: it takes care of what is in place. By the clocks of two machines, so for people only.
async fn leads(cluster: &Cluster, namespace: &str) -> Result<bool, ApiError> {
    let Some(lease) = cluster.get(&LEASES.at(Some(namespace), Lease::NAME)).await? else { return Ok(false) };
    let text = |pointer: &str| lease.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    let lasts = lease.pointer("/spec/leaseDurationSeconds").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let renewed: Option<Timestamp> = lease.pointer("/spec/renewTime").and_then(|at| serde_json::from_value(at.clone()).ok());
    let now: Timestamp = std::time::SystemTime::now().into();
    Ok(!text("/spec/holderIdentity").is_empty() && renewed.is_some_and(|at| now.since(at).as_secs() < lasts))
}

struct Asked<'a> {
    context: &'a Context,
    place: &'a Place,
    namespace: &'a str,
    leads: bool,
    memory: &'a Memory,
}

impl Asked<'_> {
    async fn of_journal(&self, summary: RunSummary, object: Option<&Run>) -> Result<ShownRun, JournalError> {
        let records = self.memory.records(&summary.header.run).await?;
        let run = summary.header.run;
        Ok(ShownRun {
            drill_run: object.map(|object| object.metadata.name.clone()),
            drill: summary.header.drill,
            environment: summary.header.environment,
            started: summary.header.started,
            alive: self.leads,
            ended: summary.end.is_some(),
            gone: false,
            open: super::open(records),
            undo: self.undo(object),
            run,
        })
    }

    fn of_object(&self, object: &Run) -> ShownRun {
        ShownRun {
            drill_run: Some(object.metadata.name.clone()),
            drill: object.spec.drill.clone(),
            environment: object.spec.environment.clone(),
            started: object.metadata.creation_timestamp,
            alive: self.leads,
            ended: false,
            gone: false,
            open: Vec::new(),
            undo: self.undo(Some(object)),
            run: run_id(&object.metadata),
        }
    }

    /// With an operator: what makes it stop the run. Without one: what starts one, which undoes it first of all.
    fn undo(&self, object: Option<&Run>) -> String {
        let file = self.place.kubeconfig.as_ref().map(|file| format!(" --kubeconfig {}", quoted(&file.display().to_string()))).unwrap_or_default();
        let flags = self.place.context.as_ref().map(|context| format!("{file} --context {}", quoted(context))).unwrap_or(file);
        match object {
            Some(object) if self.leads => {
                format!(
                    r#"kubectl{flags} -n {} patch drillrun {} --type=merge -p '{{"spec": {{"abort": true}}}}'"#,
                    self.namespace,
                    plain(&object.metadata.name)
                )
            }
            _ => format!("{} operator{flags} --namespace {}", program(self.context), self.namespace),
        }
    }
}
