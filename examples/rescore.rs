//! Scores a run again from its events, to say it in your own words: `cargo run --example rescore -- events.jsonl`. Exits as the run did.

#![allow(clippy::print_stdout)] // it is what it is for

use std::io::{BufRead, BufReader, Error};
use std::process::ExitCode;

use firedrill::event::RunEvent;
use firedrill::score::evaluate;

fn main() -> Result<ExitCode, Error> {
    let path =
        std::env::args_os().nth(1).ok_or_else(|| Error::other("usage: rescore EVENTS.jsonl, which `firedrill run --report-dir DIR` writes"))?;
    let lines = BufReader::new(std::fs::File::open(path)?).lines();
    let events: Vec<RunEvent> = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_, Error>>()?;
    // A run is nothing but its events: the same ones always give the same card.
    let card = evaluate(&events);
    for objective in &card.objectives {
        println!("{}: {:?}: {}", objective.id, objective.verdict, objective.reason);
    }
    println!("score {:.1}, coverage {:.0} %: {}", card.score.unwrap_or_default(), card.coverage * 100.0, card.reason);
    Ok(ExitCode::from(card.exit().code()))
}
