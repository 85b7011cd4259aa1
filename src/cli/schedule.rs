//! `firedrill schedule next`: when the runs of a schedule start, and what takes some of them away. Reads files only.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Offset, SecondsFormat};
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::environment::load_environment;
use super::listing::{columns, plain, print};
use super::{Context, Format, fail, fail_invalid};
use crate::clock::{Timestamp, seconds};
use crate::drill::diagnostic::Diagnostic;
use crate::drill::load::{self, Options};
use crate::drill::schedule::calendar::{Calendar, Closed, Coming, MOST_COUNTED, coming};
use crate::drill::schedule::rule::{Rule, Shift};
use crate::drill::spec::{DrillScheduleSpec, Freeze};
use crate::exit::Exit;

/// Look at schedules: when their runs start
#[derive(Debug, Args)]
pub struct Schedule {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Show the coming runs, and what a blackout or freeze takes away
    ///
    /// Each instant is shown in the schedule's zone and in UTC. What the schedule's blackouts and the environment's freezes take away is shown where it would
    /// have been, with the reason. A local time that daylight saving skips runs once, at the next valid instant; one that comes twice runs once, the first time.
    /// The environment is looked for in the same file, or given with --env. Reads files only: nothing is asked, nothing starts.
    #[command(after_help = "\
Examples:
  firedrill schedule next drill.yaml
  firedrill schedule next drill.yaml#monthly -n 3 --env staging.yaml
  firedrill schedule next drill.yaml --from 2026-11-01T00:00:00Z --format json")]
    Next(Next),
}

/// `schedule next`.
#[derive(Debug, Args)]
pub struct Next {
    /// File with schedules, or FILE#name for one of them; `-` is the standard input
    pub file: String,

    /// How many runs of each schedule
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,

    /// Show the runs after this instant instead of now, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    pub from: Option<Timestamp>,

    /// The environment, whose freezes count too: FILE, FILE#name, or sandbox[:variant]
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let wrong = "is no instant; write it with its offset, such as 2026-11-01T00:00:00Z or 2026-11-01T09:30:00-04:00";
    DateTime::parse_from_rfc3339(text).map(|at| at.to_utc().into()).map_err(|_| wrong.to_owned())
}

/// Runs the command.
pub async fn run(_context: &Context, args: Schedule) -> Exit {
    let What::Next(args) = args.what;
    match next(&args) {
        Ok(text) => {
            print(&text);
            Exit::Passed
        }
        Err(exit) => exit,
    }
}

/// A schedule, and what comes of it.
struct Shown<'a> {
    name: &'a str,
    spec: &'a DrillScheduleSpec,
    rule: Rule,
    coming: Vec<Coming>,
    /// Whether the freezes of its environment were known.
    freezes_known: bool,
}

fn next(args: &Next) -> Result<String, Exit> {
    let options = Options::default();
    let loaded = load::load_schedules(&args.file, &options).map_err(|found| fail_invalid(&found))?;
    let given = args.env.as_ref().map(|env| load_environment(env, &options)).transpose().map_err(|found| fail_invalid(&found))?;
    if let Some(given) = &given
        && !loaded.schedules.iter().any(|schedule| schedule.spec.environment == given.metadata.name)
    {
        let mut wanted: Vec<&str> = loaded.schedules.iter().map(|schedule| schedule.spec.environment.as_str()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let wanted = wanted.join(", ");
        return Err(fail(Exit::Usage, format!("--env is environment '{}'; what is scheduled here runs in: {wanted}", given.metadata.name)));
    }
    let freezes = |name: &str| -> Option<&[Freeze]> {
        let beside = loaded.environments.iter().map(|environment| &environment.value);
        given.iter().chain(beside).find(|environment| environment.metadata.name == name).map(|environment| environment.spec.freezes.as_slice())
    };
    let now = args.from.unwrap_or_else(|| SystemTime::now().into());
    let mut all = Vec::new();
    for schedule in &loaded.schedules {
        let spec = &schedule.spec;
        // The file was checked: an expression or a zone that cannot be read was told with its place.
        let rule = Rule::of(spec).map_err(|error| fail_invalid(&[Diagnostic::of_file(&schedule.source.file, error)]))?;
        let freezes = freezes(&spec.environment);
        let coming = coming(&rule, &Calendar::new(spec, freezes.unwrap_or_default()), now, usize::from(args.count));
        all.push(Shown { name: &schedule.metadata.name, spec, rule, coming, freezes_known: freezes.is_some() });
    }
    Ok(match args.format {
        Format::Text => all.iter().map(|shown| shown.text(now)).collect::<Vec<_>>().join("\n"),
        Format::Json => {
            let schedules: Vec<Json> = all.iter().map(|shown| shown.json(now)).collect();
            // Strings, numbers and lists only: it cannot fail.
            serde_json::to_string_pretty(&json!({"from": seconds(now), "schedules": schedules})).unwrap_or_default() + "\n"
        }
    })
}

impl Shown<'_> {
    fn text(&self, now: Timestamp) -> String {
        let Self { name, spec, .. } = self;
        let mut text = format!("{name}: drill {} in environment {}, {} {}\n", spec.drill, spec.environment, plain(&spec.cron), spec.time_zone);
        if spec.suspend {
            text.push_str("SUSPENDED: nothing starts until `suspend` is false. Without it:\n");
        }
        if !self.freezes_known {
            text.push_str(&format!("The freezes of environment {} are not counted: it is not in this file; give it with --env.\n", spec.environment));
        }
        let mut rows = vec![["LOCAL TIME", "UTC", "WHEN", "NOTE"].map(str::to_owned).to_vec()];
        rows.extend(self.coming.iter().map(|one| self.row(one, now)));
        text.push_str(&columns(&rows));
        text
    }

    fn row(&self, one: &Coming, now: Timestamp) -> Vec<String> {
        let (at, note) = match one {
            Coming::Start(at) => (*at, self.rule.shift(*at).map(|shift| self.shifted(*at, shift)).unwrap_or_default()),
            Coming::LeftOut { first, last, count, closed } => (*first, self.left_out(*first, *last, *count, closed)),
        };
        vec![local(&self.rule.local(at)), at.utc().format("%Y-%m-%dT%H:%MZ").to_string(), format!("in {}", ahead(at.since(now))), note]
    }

    fn shifted(&self, at: Timestamp, shift: Shift) -> String {
        match shift {
            Shift::Skipped { first, count } => {
                let and_more = if count > 1 { format!(" and {} more do", count - 1) } else { " does".to_owned() };
                format!("{}{and_more} not exist that day (clocks go forward): runs at {}", first.format("%H:%M"), self.rule.local(at).format("%H:%M"))
            }
            Shift::Repeated => format!("{} comes twice that day (clocks go back): runs the first time only", self.rule.local(at).format("%H:%M")),
        }
    }

    fn left_out(&self, first: Timestamp, last: Option<Timestamp>, count: usize, closed: &Closed) -> String {
        let why = format!("NO RUN: {} ({})", closed.whose.word(), plain(&closed.reason));
        let Some(last) = last else { return why };
        let also = match count {
            0..=1 => String::new(),
            MOST_COUNTED.. => format!("; nor the more than {} after it, the last {}", MOST_COUNTED - 1, local(&self.rule.local(last))),
            2 => format!("; nor {}", local(&self.rule.local(last))),
            _ => format!("; nor the {} after it, the last {}", count - 1, local(&self.rule.local(last))),
        };
        debug_assert!(first <= last);
        why + &also
    }

    fn json(&self, now: Timestamp) -> Json {
        let Self { name, spec, .. } = self;
        let coming: Vec<Json> = self.coming.iter().map(|one| self.one_json(one, now)).collect();
        json!({
            "schedule": name, "drill": spec.drill, "environment": spec.environment, "cron": spec.cron, "timeZone": spec.time_zone,
            "suspended": spec.suspend, "freezesKnown": self.freezes_known, "coming": coming,
        })
    }

    fn one_json(&self, one: &Coming, now: Timestamp) -> Json {
        let times = |at: Timestamp| {
            let local = self.rule.local(at);
            json!({
                "at": seconds(at), "local": local.to_rfc3339_opts(SecondsFormat::Secs, false), "zone": local.format("%Z").to_string(),
                "inSeconds": at.since(now).as_secs(),
            })
        };
        match one {
            Coming::Start(at) => {
                let mut told = times(*at);
                told["starts"] = json!(!self.spec.suspend);
                match self.rule.shift(*at) {
                    Some(Shift::Skipped { first, count }) => {
                        told["skippedLocalTimes"] = json!({"first": first.format("%Y-%m-%dT%H:%M:%S").to_string(), "count": count});
                    }
                    Some(Shift::Repeated) => told["localTimeComesTwice"] = json!(true),
                    None => {}
                }
                told
            }
            Coming::LeftOut { first, last, count, closed } => {
                let mut told = times(*first);
                told["starts"] = json!(false);
                told["leftOut"] = json!({
                    "by": closed.whose, "reason": closed.reason, "count": count, "countIsAtLeast": *count >= MOST_COUNTED,
                    "last": last.map(seconds), "until": closed.window.map(|window| seconds(window.to)),
                });
                told
            }
        }
    }
}

/// `Tue 2026-10-13 10:00 EDT -04:00`; a zone without letters has its offset only.
fn local(at: &DateTime<Tz>) -> String {
    let letters = at.format("%Z").to_string();
    let letters = if letters.starts_with(|first: char| first.is_ascii_alphabetic()) { format!("{letters} ") } else { String::new() };
    format!("{} {letters}{}", at.format("%a %Y-%m-%d %H:%M"), at.offset().fix())
}

/// A length of time in its two largest units, rounded down: `40s`, `5m 10s`, `3d 4h`.
fn ahead(length: Duration) -> String {
    let seconds = length.as_secs();
    let (large, small) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3_600 => ((seconds / 60, "m"), (seconds % 60, "s")),
        3_600..86_400 => ((seconds / 3_600, "h"), (seconds / 60 % 60, "m")),
        _ => ((seconds / 86_400, "d"), (seconds / 3_600 % 24, "h")),
    };
    let first = format!("{}{}", large.0, large.1);
    if small.0 == 0 { first } else { format!("{first} {}{}", small.0, small.1) }
}
