//! A run as its files tell it: one pass over the events, in bounded room however many samples there are.

use std::collections::VecDeque;

use super::inert::clip;
use super::story::{Reader, Story};
use super::tell::Teller;
use crate::clock::Timestamp;
use crate::event::RunEvent;

/// Lines of the log kept from the beginning, and from the end.
const LINES: usize = 150;
/// Longest line of the log, in columns.
const LINE: usize = 400;

/// What every file but the stream itself is made from.
#[derive(Debug, Default)]
pub struct Account {
    teller: Teller,
    log: Log,
}

/// What was told while the run was on, the middle left out when it is long.
#[derive(Debug, Default)]
pub struct Log {
    /// The first lines.
    pub head: Vec<(Timestamp, String)>,
    /// Lines between them and the last ones.
    pub hidden: usize,
    /// The last lines.
    pub tail: VecDeque<(Timestamp, String)>,
    /// Events of the stream.
    pub events: u64,
}

impl Account {
    /// The account of these events.
    #[must_use]
    pub fn of(events: &[RunEvent]) -> Self {
        let mut account = Self::default();
        events.iter().for_each(|event| account.take(event));
        account
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &RunEvent) {
        self.log.events += 1;
        for line in self.teller.changes(event) {
            self.log.line(event.at, &line);
        }
    }

    /// The run.
    #[must_use]
    pub fn story(&self) -> &Story {
        &self.teller.story
    }

    /// Says who reads it.
    pub fn read_by(&mut self, reader: Reader) {
        self.teller.story.reader = reader;
    }

    /// What was told.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Log {
    fn line(&mut self, at: Timestamp, line: &str) {
        let line = (at, clip(line, LINE).into_owned());
        if self.head.len() < LINES {
            self.head.push(line);
            return;
        }
        if self.tail.len() == LINES {
            self.tail.pop_front();
            self.hidden += 1;
        }
        self.tail.push_back(line);
    }
}
