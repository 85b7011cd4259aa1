//! Places that cannot keep a journal, each refused before anything is written.

use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;

use super::*;

fn refusal(dir: &Path) -> String {
    match Sqlite::open(dir) {
        Err(JournalError::Unusable(why)) => why,
        other => panic!("{} is not refused: {other:?}", dir.display()),
    }
}

fn root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_missing_directory_is_made_private_and_so_is_every_file_in_it() {
    let base = state();
    let dir = base.path().join("firedrill");
    let journal = Sqlite::open(&dir).unwrap();
    now(journal.open_run(&header(RUN))).unwrap();
    now(journal.commit_intents(&[intent(RUN, 0)])).unwrap();
    let _claim = now(journal.claim(RUN)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let names = ["journal.db", "journal.db-wal", "journal.db-shm", &format!("runs/{RUN}.lock"), &format!("runs/{RUN}.intents")];
    for name in names {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    assert_eq!(journal.path().file_name().unwrap(), "journal.db");
}

#[test]
fn a_directory_below_nothing_is_refused_and_nothing_is_made() {
    let base = state();
    let dir = base.path().join("missing/firedrill");
    assert!(refusal(&dir).contains(&format!("{}: the folder above it does not exist", dir.display())));
    assert!(!base.path().join("missing").exists());
}

#[test]
fn a_file_in_the_place_of_the_directory_is_refused() {
    let base = state();
    let file = base.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).contains("is not a directory"));
    assert!(refusal(&file.join("below")).contains("cannot create"));
    assert!(refusal(Path::new("")).contains("empty path"));
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        let dir = state();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(refusal(dir.path()).contains(&format!("run `chmod 700 {}` first", dir.path().display())), "{mode:o}");
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is written");
    }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let foreign = state();
    // Root can give a directory away; everybody else finds root's.
    let dir = if root() {
        chown(foreign.path(), Some(65_534), None).unwrap();
        foreign.path()
    } else {
        Path::new("/")
    };
    assert!(refusal(dir).contains("belongs to user"));
}

/// Root may write anywhere, so the program runs as somebody else.
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let (dir, programs) = (state(), state());
    let path = dir.path();
    // Something to judge: an empty directory has no journal, and `status` would make none.
    fs::write(path.join("journal.db"), "SQLite format 3\0").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o500)).unwrap();
    let mut command = firedrill(path);
    if root() {
        chown(path, Some(65_534), Some(65_534)).unwrap();
        // Its own copy of the program: somebody else may not be able to reach the build directory.
        fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = programs.path().join("firedrill");
        fs::copy(env!("CARGO_BIN_EXE_firedrill"), &copy).unwrap();
        command = Command::new(copy);
        command.arg("--state-dir").arg(path).uid(65_534).gid(65_534).current_dir("/");
    }
    let output = command.arg("status").output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("cannot write in state directory {}: Permission denied", path.display())), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_in_memory_is_refused_unless_meant() {
    let Ok(dir) = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir_in("/dev/shm") else { return };
    let status = |allowed: &str| firedrill(&dir.path().join("state")).arg("status").env("FIREDRILL_ALLOW_TMPFS_STATE", allowed).output().unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    fs::set_permissions(dir.path().join("state"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(dir.path().join("state/journal.db"), "").unwrap();
    let refused = status("0");
    assert_eq!(refused.status.code(), Some(5));
    assert!(stderr(&refused).contains("is on tmpfs, which does not survive a restart"), "{}", stderr(&refused));
    assert!(stderr(&status("1")).contains("truncated"), "allowed, the place is accepted and the file is judged");
}

#[test]
fn a_link_to_a_good_directory_is_followed_once() {
    let (base, dir) = (state(), state());
    let link = base.path().join("link");
    symlink(dir.path(), &link).unwrap();
    let journal = Sqlite::open(&link).unwrap();
    assert_eq!(journal.dir(), dir.path().canonicalize().unwrap());
}

#[test]
fn a_journal_that_is_a_link_or_a_foreign_database_is_refused() {
    let (dir, other) = (state(), state());
    with_intents(other.path(), 1);
    symlink(other.path().join("journal.db"), dir.path().join("journal.db")).unwrap();
    assert!(matches!(Sqlite::open(dir.path()), Err(JournalError::Unreadable(why)) if why.contains("not a plain file")));
    let foreign = state();
    rusqlite::Connection::open(foreign.path().join("journal.db")).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    assert!(matches!(Sqlite::open(foreign.path()), Err(JournalError::Unreadable(why)) if why.contains("not a journal of firedrill")));
}

/// A file-size limit stands in for a full disk: the write fails in the same call, and no privileges are needed.
#[test]
fn a_disk_that_is_full_refuses_the_write_keeps_the_journal_and_loses_nothing_acknowledged() {
    let dir = state();
    with_intents(dir.path(), 1);
    let part = part("fill", dir.path());
    let mut limited = Command::new("sh");
    // 1,024 blocks of 512 bytes. The signal of the limit must be off, as for every process that prefers an error.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""]).arg(part.get_program()).args(part.get_args());
    limited.envs(part.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let output = limited.output().unwrap();
    let said = said(&output);
    let refused = said.iter().find(|line| line.starts_with("refused")).unwrap_or_else(|| panic!("never full: {said:?} {}", stderr(&output)));
    assert!(refused.contains("cannot write the journal: ") && refused.contains("journal.db"), "{refused}");
    let acknowledged = said.iter().filter(|line| *line == "wrote").count();
    assert!(acknowledged > 0);
    let expected = 1 + acknowledged * 100;
    assert!(said.contains(&format!("reads {expected}")), "{said:?}");
    assert_eq!(now(Sqlite::open(dir.path()).unwrap().records(RUN)).unwrap().len(), expected);
}

#[test]
fn first_runs_at_once_make_one_journal() {
    let base = state();
    let dir = base.path().join("firedrill");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let dir = &dir;
            scope.spawn(move || now(Sqlite::open(dir).unwrap().open_run(&header(&format!("{RUN}-{number}")))).unwrap());
        }
    });
    assert_eq!(now(Sqlite::open(&dir).unwrap().runs()).unwrap().len(), 6);
}

#[test]
fn looking_makes_nothing() {
    let base = state();
    let error = Sqlite::open_existing(Some(&base.path().join("missing"))).unwrap_err();
    assert!(matches!(error, JournalError::Unusable(why) if why.contains("is --state-dir right?")));
    assert!(Sqlite::open_existing(Some(base.path())).unwrap().is_none());
    assert!(fs::read_dir(base.path()).unwrap().next().is_none());
}
