//! Full reports on a volume: a directory for each run, of which so many are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::event::RunEvent;
use crate::report::files::write_all;
use crate::score::Scorecard;

/// A directory of reports. Each run's is called `RUN-NAME`, after its id, so that names sort by time.
#[derive(Debug, Clone)]
pub struct Volume {
    directory: PathBuf,
    kept: usize,
}

impl Volume {
    /// Reports go into this directory, which is made where it is missing.
    ///
    /// # Errors
    /// When nothing can be written there: what is wrong with the volume is better known at the start than at the end of a run.
    pub fn open(directory: &Path, kept: u32) -> Result<Self, String> {
        let directory = std::path::absolute(directory).map_err(|error| error.to_string())?;
        let probe = directory.join(format!(".{}.tmp", ulid::Ulid::generate()));
        let tried = fs::create_dir_all(&directory).and_then(|()| fs::write(&probe, "")).and_then(|()| fs::remove_file(&probe));
        tried.map_err(|error| format!("cannot write into {}: {error}", directory.display()))?;
        Ok(Self { directory, kept: usize::try_from(kept).unwrap_or(usize::MAX) })
    }

    /// Writes every file of a run's report; its directory.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub async fn write(&self, name: &str, run: &str, events: &[RunEvent], card: &Scorecard) -> io::Result<String> {
        let (volume, directory) = (self.clone(), self.directory.join(format!("{run}-{name}")));
        let (events, card) = (events.to_vec(), card.clone());
        tokio::task::spawn_blocking(move || {
            for written in write_all(&directory, &events, &card) {
                written.result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", written.path.display())))?;
            }
            if let Err(error) = volume.prune() {
                tracing::warn!("old reports in {} could not be removed: {error}", volume.directory.display());
            }
            Ok(directory.display().to_string())
        })
        .await?
    }

    /// Removes the oldest; what is not a report is left alone.
    fn prune(&self) -> io::Result<()> {
        let mut reports: Vec<PathBuf> =
            fs::read_dir(&self.directory)?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_report(path)).collect();
        reports.sort_unstable();
        let old = reports.len().saturating_sub(self.kept);
        reports[..old].iter().try_for_each(fs::remove_dir_all)
    }
}

fn is_report(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let run = name.split_once('-').map(|(run, _)| run).unwrap_or_default();
    run.len() == ulid::ULID_LEN && ulid::Ulid::from_string(run).is_ok() && path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_reports_go_and_strange_files_stay() {
        let place = tempfile::tempdir().unwrap();
        let volume = Volume::open(&place.path().join("reports"), 2).unwrap();
        let names = ["01K0000000000000000000000B-b", "lost+found", "01K0000000000000000000000A-a", "01K0000000000000000000000C-monthly-1"];
        names.iter().for_each(|name| fs::create_dir(volume.directory.join(name)).unwrap());
        fs::write(volume.directory.join("01K00000000000000000000000-file"), "").unwrap();
        volume.prune().unwrap();
        let mut left: Vec<String> = fs::read_dir(&volume.directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["01K00000000000000000000000-file", "01K0000000000000000000000B-b", "01K0000000000000000000000C-monthly-1", "lost+found"]);
        assert!(Volume::open(Path::new("/proc/none"), 1).unwrap_err().starts_with("cannot write into /proc/none"));
    }
}
