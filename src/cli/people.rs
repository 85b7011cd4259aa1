//! Who does the manual steps on a command line: a person at the terminal, confirmations given in advance, or a policy.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};

use async_trait::async_trait;
use clap::ValueEnum;

use crate::clock::Timestamp;
use crate::drill::spec::DrillSpec;
use crate::engine::{Answer, People};

/// What happens to manual steps when nobody is at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unattended {
    /// The step fails: the run turns round, exit 9.
    Fail,
    /// The step is skipped; the steps after it go on.
    Skip,
}

/// The command line's answer to manual steps.
#[derive(Debug)]
pub struct Terminal {
    confirmed: BTreeSet<String>,
    unattended: Option<Unattended>,
}

impl Terminal {
    /// Confirmations given in advance, and the policy for the other steps.
    ///
    /// # Errors
    /// A sentence when a step would wait for a person and none is there, or when a confirmation names no manual step.
    pub fn new(drill: &DrillSpec, confirm: &[String], unattended: Option<Unattended>) -> Result<Self, String> {
        let manual: BTreeSet<&str> = drill.steps.iter().filter(|step| step.manual.is_some()).map(|step| step.id.as_str()).collect();
        let confirmed: BTreeSet<String> = confirm.iter().cloned().collect();
        if let Some(unknown) = confirmed.iter().find(|id| !manual.contains(id.as_str())) {
            return Err(format!("--confirm {unknown}: the drill has no manual step '{unknown}'"));
        }
        let open: Vec<&str> = manual.into_iter().filter(|id| !confirmed.contains(*id)).collect();
        if !open.is_empty() && unattended.is_none() && !std::io::stdin().is_terminal() {
            let steps = open.join("', '");
            return Err(format!("manual step '{steps}' needs a person, and no terminal is attached; add --confirm STEP, or --unattended=fail|skip"));
        }
        Ok(Self { confirmed, unattended })
    }
}

#[async_trait]
impl People for Terminal {
    async fn ask(&self, step: &str, role: &str, instruction: &str, _limit: Timestamp) -> Answer {
        if self.confirmed.contains(step) {
            return Answer::Done;
        }
        match self.unattended {
            Some(Unattended::Skip) => return Answer::Skip("--unattended=skip".to_owned()),
            Some(Unattended::Fail) => return Answer::Failed("--unattended=fail".to_owned()),
            None => {}
        }
        let question = format!("\n{role}: {instruction}\nstep '{step}': type 'done' when it is done, or 'fail' and why: ");
        let (send, answer) = tokio::sync::oneshot::channel();
        // A thread of its own: a blocked read of the terminal must not hold up the end of the run.
        let spawned = std::thread::Builder::new().name("manual step".to_owned()).spawn(move || {
            let _ = send.send(ask_until_answered(&question));
        });
        match spawned {
            Ok(_) => answer.await.unwrap_or_else(|_| Answer::Failed("the terminal was closed".to_owned())),
            Err(error) => Answer::Failed(format!("cannot ask: {error}")),
        }
    }
}

fn ask_until_answered(question: &str) -> Answer {
    let stdin = std::io::stdin();
    loop {
        let mut stderr = std::io::stderr();
        let _ = stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush());
        let mut line = String::new();
        match stdin.lock().read_line(&mut line) {
            Ok(0) | Err(_) => return Answer::Failed("the terminal was closed".to_owned()),
            Ok(_) => match line.trim() {
                "done" => return Answer::Done,
                other if other.starts_with("fail") => return Answer::Failed(format!("not confirmed: {}", other.trim_start_matches("fail").trim())),
                _ => {}
            },
        }
    }
}
