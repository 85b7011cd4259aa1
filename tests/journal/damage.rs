//! I20: a torn, corrupt, lost or newer journal never says "nothing to undo".

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::*;

/// What is in place when the process dies: two runs, one checkpointed into the file and one still in the write-ahead log.
const EACH: usize = 40;

/// Every file of a journal whose process was killed, by path below the state directory.
static CRASHED: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let dir = state();
    with_intents(dir.path(), EACH);
    let journal = Sqlite::open(dir.path()).unwrap();
    now(async {
        journal.open_run(&header(OTHER)).await.unwrap();
        for number in EACH..2 * EACH {
            journal.commit_intents(&[intent(OTHER, number)]).await.unwrap();
            journal.set_phase(OTHER, STEP, &target(number), Phase::Injected, None).await.unwrap();
        }
    });
    // Copied while it is open: what SIGKILL would leave.
    let names = ["journal.db", "journal.db-wal", "journal.db-shm", &format!("runs/{RUN}.intents"), &format!("runs/{OTHER}.intents")];
    let files: BTreeMap<String, Vec<u8>> = names.iter().map(|name| ((*name).to_owned(), fs::read(dir.path().join(name)).unwrap())).collect();
    assert!(files["journal.db-wal"].len() > 40 * 4096, "the second run is to be in the log");
    files
});

fn restore(dir: &Path) {
    fs::create_dir(dir.join("runs")).unwrap();
    for (name, bytes) in CRASHED.iter() {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Everything that was in place is seen to be in place, unchanged; or the journal says that it cannot be read.
fn believed_or_refused(dir: &Path) -> Result<(), String> {
    let read = || -> Result<(), JournalError> {
        let journal = Sqlite::open(dir)?;
        let runs = now(journal.runs())?;
        assert_eq!(runs.len(), 2, "a run is forgotten");
        for (run, first) in [(RUN, 0), (OTHER, EACH)] {
            let records = now(journal.records(run))?;
            assert_eq!(records.len(), EACH, "a record is forgotten");
            for (number, record) in (first..).zip(records) {
                assert!(!record.phase.is_closed(), "{:?} is not in place any more?", record.phase);
                assert_eq!(record, Record { phase: record.phase, ..intent(run, number) }, "a record has changed");
            }
        }
        assert!(runs.iter().all(|run| run.open_records == EACH));
        Ok(())
    };
    match read() {
        Ok(()) | Err(JournalError::Unreadable(_)) => Ok(()),
        Err(other) => Err(format!("damage is told as {other:?}")),
    }
}

#[derive(Debug, Clone)]
enum Harm {
    Flip { at: usize, bit: u8 },
    Truncate { to: usize },
    Garbage { at: usize, bytes: Vec<u8> },
    Zeros { at: usize, length: usize },
    Delete,
}

impl Harm {
    fn to(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut harmed = bytes.to_vec();
        let length = harmed.len().max(1);
        match self {
            Self::Flip { at, bit } => {
                if let Some(byte) = harmed.get_mut(at % length) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Truncate { to } => harmed.truncate(to % length),
            Self::Garbage { at, bytes } => harmed.iter_mut().skip(at % length).zip(bytes).for_each(|(old, new)| *old = *new),
            Self::Zeros { at, length: count } => harmed.iter_mut().skip(at % length).take(*count).for_each(|byte| *byte = 0),
            Self::Delete => return None,
        }
        Some(harmed)
    }
}

fn any_harm() -> impl Strategy<Value = Harm> {
    let at = any::<usize>;
    prop_oneof![
        6 => (at(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        2 => at().prop_map(|to| Harm::Truncate { to }),
        3 => (at(), proptest::collection::vec(any::<u8>(), 1..256)).prop_map(|(at, bytes)| Harm::Garbage { at, bytes }),
        2 => (at(), 1..8192_usize).prop_map(|(at, length)| Harm::Zeros { at, length }),
        1 => Just(Harm::Delete),
    ]
}

fn harmed(name: &str, harm: &Harm) -> TempDir {
    let dir = state();
    restore(dir.path());
    let path = dir.path().join(name);
    match harm.to(&CRASHED[name]) {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
    dir
}

#[test]
fn an_undamaged_crash_is_read_in_full() {
    let dir = state();
    restore(dir.path());
    let journal = Sqlite::open(dir.path()).unwrap();
    let other = now(journal.records(OTHER)).unwrap();
    assert!(other.iter().all(|record| record.phase == Phase::Injected));
    assert_eq!(now(journal.records(RUN)).unwrap(), intents(RUN, 0..EACH));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, max_shrink_iters: 32, ..ProptestConfig::default() })]

    #[test]
    fn i20_any_damage_to_any_file_is_noticed_or_harmless(
        name in proptest::sample::select(vec!["journal.db", "journal.db", "journal.db-wal", "journal.db-wal", "journal.db-shm", "intents"]),
        harm in any_harm(),
    ) {
        let name = if name == "intents" { format!("runs/{OTHER}.intents") } else { name.to_owned() };
        let dir = harmed(&name, &harm);
        if let Err(problem) = believed_or_refused(dir.path()) {
            return Err(TestCaseError::fail(problem));
        }
    }
}

/// SQLite reads a log up to its first wrong checksum and says nothing: every later commit would be forgotten.
#[test]
fn i20_a_flipped_bit_in_the_log_does_not_forget_what_came_after_it() {
    for part in 1..8 {
        let at = CRASHED["journal.db-wal"].len() * part / 8;
        let dir = harmed("journal.db-wal", &Harm::Flip { at, bit: 3 });
        let error = Sqlite::open(dir.path()).unwrap_err();
        assert!(matches!(&error, JournalError::Unreadable(why) if why.contains(OTHER)), "{error}");
    }
}

#[test]
fn i20_a_journal_that_is_gone_or_empty_is_not_a_new_one() {
    for harm in [Harm::Delete, Harm::Truncate { to: 0 }] {
        let dir = harmed("journal.db", &harm);
        let error = Sqlite::open(dir.path()).unwrap_err();
        assert!(matches!(&error, JournalError::Unreadable(why) if why.contains("firedrill sweep --env FILE")), "{error}");
        let output = firedrill(dir.path()).arg("status").output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
        assert!(stderr(&output).contains("nobody can say what is in place"));
    }
}

/// A value can be damaged without the page looking wrong to SQLite.
#[test]
fn i20_a_prior_state_with_one_wrong_digit_is_not_believed() {
    let needle = b"\"number\":17}";
    let file = &CRASHED["journal.db"];
    let at = file.windows(needle.len()).position(|window| window == needle).unwrap() + needle.len() - 2;
    let dir = harmed("journal.db", &Harm::Garbage { at, bytes: b"8".to_vec() });
    let journal = Sqlite::open(dir.path()).unwrap();
    assert!(matches!(now(journal.records(RUN)), Err(JournalError::Unreadable(why)) if why.contains(RUN)));
    assert!(matches!(now(journal.runs()), Err(JournalError::Unreadable(_))));
}

fn sql(dir: &Path, statement: &str) {
    rusqlite::Connection::open(dir.join("journal.db")).unwrap().execute_batch(statement).unwrap();
}

#[test]
fn i20_a_newer_journal_is_not_read() {
    let dir = state();
    with_intents(dir.path(), 1);
    sql(dir.path(), "PRAGMA user_version = 2");
    let error = Sqlite::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, JournalError::Unreadable(why) if why.contains("newer firedrill (format 2; this build knows 1); use that build")),
        "{error}"
    );
}

#[test]
fn i20_rows_that_someone_removed_are_missed() {
    for (statement, missed) in [
        ("DELETE FROM events WHERE seq = 1", "event 1"),
        ("DELETE FROM phases; DELETE FROM records WHERE id = 'rule-1'", "records"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM phases; DELETE FROM records; DELETE FROM events; DELETE FROM runs", "records"),
        ("UPDATE records SET phase = 'reverted' WHERE id = 'rule-1'", "a record of run"),
        ("UPDATE runs SET ended = NULL, records = 0", "is damaged"),
        ("UPDATE events SET body = replace(body, 'note 1', 'note 9')", "event 1"),
        ("DROP INDEX open_targets", "tables"),
    ] {
        let dir = state();
        with_intents(dir.path(), 3);
        {
            let journal = Sqlite::open(dir.path()).unwrap();
            now(journal.append(RUN, &[note(0), note(1), note(2)])).unwrap();
        }
        sql(dir.path(), statement);
        let read = || -> Result<(), JournalError> {
            let journal = Sqlite::open(dir.path())?;
            now(journal.runs())?;
            now(journal.records(RUN))?;
            now(journal.events(RUN)).map(drop)
        };
        let error = read().expect_err(statement);
        assert!(matches!(&error, JournalError::Unreadable(why) if why.contains(missed)), "{statement}: {error}");
    }
}

#[test]
fn an_event_of_a_newer_build_is_not_skipped() {
    let dir = state();
    let journal = Sqlite::open(dir.path()).unwrap();
    now(journal.open_run(&header(RUN))).unwrap();
    now(journal.append(RUN, &[RunEvent { v: 2, ..note(0) }])).unwrap();
    assert!(matches!(now(journal.events(RUN)), Err(JournalError::Unreadable(why)) if why.contains("newer firedrill")));
}
