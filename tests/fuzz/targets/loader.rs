//! The loader: a file's bytes to drills, environments, schedules and runs, or to the mistakes in them.

use firedrill::clock::Clock;
use firedrill::drill::load::{Options, load_text};
use firedrill::drill::source::Source;
use firedrill::drill::spec::{Drill, Environment};
use firedrill::drill::{bind, diagnostic};
use firedrill::probe::ProbeSource;
use firedrill::probe::open::Opener;

/// A file is accepted or told what is wrong, where it is wrong; what was accepted can be written, read again, and bound.
pub fn run(data: &[u8]) {
    let source = match Source::decode("fuzz.yaml".to_owned(), data.to_vec()) {
        Ok(source) => source,
        Err(mistake) => return told(&mistake, data.len()),
    };
    let loaded = load_text("fuzz.yaml", &source.text, &Options::default());
    loaded.diagnostics.iter().for_each(|mistake| told(mistake, data.len()));
    let documents = loaded.drills.len() + loaded.environments.len() + loaded.schedules.len() + loaded.runs.len();
    assert!(documents > 0 || loaded.has_errors(), "nothing was read, and nothing said");
    for drill in &loaded.drills {
        assert_eq!(&again::<Drill>(&drill.value), &drill.value, "a drill that the journal cannot keep");
        for environment in &loaded.environments {
            match bind(drill, environment) {
                Ok(bound) => open(&bound, environment),
                Err(mistakes) => mistakes.iter().for_each(|mistake| told(mistake, data.len())),
            }
        }
    }
    for environment in &loaded.environments {
        assert_eq!(&again::<Environment>(&environment.value), &environment.value, "an environment that the journal cannot keep");
    }
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).expect("written")).expect("read again")
}

/// A mistake has a place in the file, and cannot steer the terminal that it is shown on.
fn told(mistake: &diagnostic::Diagnostic, bytes: usize) {
    assert!(mistake.line as usize <= bytes + 1 && mistake.column as usize <= bytes + 2, "beyond the end: {mistake:?}");
    let shown = mistake.to_string();
    assert!(shown.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
}

/// Opening a probe asks nobody; it may refuse.
fn open(drill: &Drill, environment: &Environment) {
    let opener = Opener::new(&environment.spec, Clock::system());
    for objective in &drill.spec.objectives {
        if let Ok(probe) = opener.open(&objective.probe, "run") {
            probe.describe();
        }
    }
}
