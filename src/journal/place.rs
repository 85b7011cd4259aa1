//! Where the journal of one machine lives: finding the state directory, refusing unsafe ones, claiming runs in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Claim, JournalError};

/// Tests and throw-away containers set this to `1` to keep state on a file system in memory.
pub const ALLOW_TMPFS: &str = "FIREDRILL_ALLOW_TMPFS_STATE";

/// Longest that [`claim`] waits for somebody who is only looking whether the run is alive.
const LOOKERS: Duration = Duration::from_millis(500);

/// The state directory where neither `--state-dir` nor `FIREDRILL_STATE_DIR` says one: `$XDG_STATE_HOME/firedrill`, else `~/.local/state/firedrill`
/// (XDG Base Directory Specification 0.8; a relative `$XDG_STATE_HOME` is ignored, as it demands).
pub fn default_dir() -> Result<PathBuf, JournalError> {
    default_dir_from(|name| std::env::var_os(name).map(PathBuf::from))
}

fn default_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, JournalError> {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    match (absolute("XDG_STATE_HOME"), absolute("HOME")) {
        (Some(state), _) => Ok(state.join("firedrill")),
        (None, Some(home)) => Ok(home.join(".local/state/firedrill")),
        (None, None) => Err(JournalError::Unusable("no place for the journal: HOME is not set; pass --state-dir DIR".into())),
    }
}

/// Makes the directory when it is missing (0700), then refuses a place that cannot keep a journal; a refused place is left as it was found, but for
/// what was missing. `runs/` is made in it.
pub fn prepare(dir: &Path, make_parents: bool) -> Result<(), JournalError> {
    let shown = dir.display();
    let unusable = |message: String| Err(JournalError::Unusable(message));
    if dir.as_os_str().is_empty() {
        return unusable("the state directory is an empty path; pass --state-dir DIR".into());
    }
    if let Err(error) = DirBuilder::new().mode(0o700).recursive(make_parents).create(dir) {
        match error.kind() {
            io::ErrorKind::AlreadyExists => {}
            io::ErrorKind::NotFound => {
                return unusable(format!(
                    "cannot create state directory {shown}: the folder above it does not exist; create it, or pass another --state-dir"
                ));
            }
            _ => return unusable(format!("cannot create state directory {shown}: {error}; pass another --state-dir")),
        }
    }
    let about = match fs::metadata(dir) {
        Ok(about) => about,
        Err(error) => return unusable(format!("cannot read state directory {shown}: {error}; pass another --state-dir")),
    };
    if !about.is_dir() {
        return unusable(format!("state directory {shown} is not a directory; pass another --state-dir"));
    }
    let (owner, me) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != me {
        return unusable(format!(
            "state directory {shown} belongs to user {owner}, and you are user {me}; run as its owner, or pass a --state-dir of your own"
        ));
    }
    let mode = about.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return unusable(format!("state directory {shown} can be written by other users (mode {mode:04o}); run `chmod 700 {shown}` first"));
    }
    if let Some(problem) = file_system_problem(dir)? {
        return unusable(format!("state directory {shown} is on {problem}"));
    }
    let runs = dir.join("runs");
    let made = match DirBuilder::new().mode(0o700).create(&runs) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    // A directory's mode says little about whether it can be written (read-only mounts, immutable flags, root): so try.
    let tried = made.and_then(|()| {
        // A name of its own: another thread or process may be trying too.
        let probe = runs.join(format!(".writable-{}", ulid::Ulid::generate()));
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe)?;
        fs::remove_file(&probe)
    });
    match tried {
        Ok(()) => Ok(()),
        Err(error) => unusable(format!("cannot write in state directory {shown}: {error}; make it writable, or pass another --state-dir")),
    }
}

#[cfg(target_os = "linux")]
fn file_system_problem(dir: &Path) -> Result<Option<String>, JournalError> {
    let about =
        rustix::fs::statfs(dir).map_err(|error| JournalError::Unusable(format!("cannot read the file system of {}: {error}", dir.display())))?;
    // The magic is 32 bits wide whatever the width of the field.
    Ok(refused_file_system(about.f_type as u32, std::env::var_os(ALLOW_TMPFS).is_some_and(|value| value == "1")))
}

#[cfg(not(target_os = "linux"))]
fn file_system_problem(_dir: &Path) -> Result<Option<String>, JournalError> {
    Ok(None)
}

/// File systems that lose what was synced (memory) or cannot share a write-ahead log between processes (network: sqlite.org/wal.html, "all processes
/// using a database must be on the same host computer"). Numbers: statfs(2) and linux/magic.h.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn refused_file_system(magic: u32, allow_memory: bool) -> Option<String> {
    let memory = match magic {
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        _ => None,
    };
    if let Some(name) = memory {
        let advice = format!("{name}, which does not survive a restart: what is in place would be forgotten; pass a --state-dir on a disk");
        return (!allow_memory).then(|| format!("{advice} (or set {ALLOW_TMPFS}=1 where that is meant)"));
    }
    let network = match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB",
        0x0102_1997 => "9P",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x7375_7245 => "Coda",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        _ => return None,
    };
    Some(format!("{network}, a network file system, where locks and syncs cannot be relied on; pass a --state-dir on a local disk"))
}

/// Refuses ids that are no plain file name. Ids that firedrill makes are ULIDs.
pub fn check_run_id(run: &str) -> Result<(), JournalError> {
    let plain = !run.is_empty() && run.len() <= 64 && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain { Ok(()) } else { Err(JournalError::NoSuchRun(run.chars().take(64).collect())) }
}

fn lock_path(dir: &Path, run: &str) -> PathBuf {
    dir.join("runs").join(format!("{run}.lock"))
}

/// A held lock on a run's file: given back by the system when the process ends, however it ends.
#[derive(Debug)]
pub struct Held {
    // Closing the file gives the lock back.
    _file: File,
}

impl Claim for Held {}

/// Claims a run, or says who holds it. Blocks for half a second at most.
pub fn claim(dir: &Path, run: &str) -> Result<Held, JournalError> {
    check_run_id(run)?;
    let path = lock_path(dir, run);
    let failed = |error: io::Error| JournalError::Write(format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOOKERS => std::thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy(held_by(&path, run))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    // Who holds it is a courtesy to the next reader; the lock is what counts, so a full disk is no reason to fail here.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Held { _file: file })
}

fn held_by(path: &Path, run: &str) -> String {
    let holder = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    format!("run {run} is held by {holder}; `firedrill abort {run}` asks it to stop and undo")
}

/// True exactly while a process holds the run. A shared lock is what looks, so that two lookers do not see each other.
pub fn is_held(dir: &Path, run: &str) -> Result<bool, JournalError> {
    let path = lock_path(dir, run);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(JournalError::Unreadable(format!("{}: {error}", path.display()))),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(JournalError::Unreadable(format!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_place_follows_the_xdg_specification() {
        let with = |state: Option<&str>, home: Option<&str>| {
            let (state, home) = (state.map(PathBuf::from), home.map(PathBuf::from));
            default_dir_from(move |name| if name == "HOME" { home.clone() } else { state.clone() })
        };
        assert_eq!(with(Some("/s"), Some("/h")).unwrap(), Path::new("/s/firedrill"));
        assert_eq!(with(None, Some("/h")).unwrap(), Path::new("/h/.local/state/firedrill"));
        assert_eq!(with(Some("relative"), Some("/h")).unwrap(), Path::new("/h/.local/state/firedrill"));
        assert!(with(None, None).unwrap_err().to_string().contains("--state-dir"));
    }

    #[test]
    fn network_and_memory_file_systems_are_refused_by_name() {
        assert!(refused_file_system(0x6969, false).unwrap().starts_with("NFS"));
        assert!(refused_file_system(0x6969, true).unwrap().starts_with("NFS"), "the override is for memory only");
        assert!(refused_file_system(0x0102_1994, false).unwrap().contains(ALLOW_TMPFS));
        assert_eq!(refused_file_system(0x0102_1994, true), None);
        assert_eq!(refused_file_system(0xef53, false), None, "ext4");
        assert_eq!(refused_file_system(0x794c_7630, false), None, "overlayfs");
    }

    #[test]
    fn a_run_id_cannot_leave_the_directory() {
        for wrong in ["", "..", "a/b", "../../etc/passwd", "a\0b", "a b", &"x".repeat(65)] {
            assert!(check_run_id(wrong).is_err(), "{wrong:?}");
        }
        assert!(check_run_id("01JD3Z8M6Q4N9V0T7R2W5X1Y0A").is_ok());
    }
}
