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
        let mut line = (at, clip(line, LINE).into_owned());
        // Events of several tasks may reach the stream a moment out of order; those of the same time keep their order.
        if self.tail.is_empty() && self.head.last().is_none_or(|(last, _)| at < *last || self.head.len() < LINES) {
            self.head.insert(self.head.partition_point(|(other, _)| *other <= at), line);
            if self.head.len() <= LINES {
                return;
            }
            let Some(last) = self.head.pop() else { return };
            line = last;
        }
        if self.tail.len() == LINES {
            self.tail.pop_front();
            self.hidden += 1;
        }
        self.tail.insert(self.tail.partition_point(|(other, _)| *other <= line.0), line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_in_order_of_time_and_what_happened_at_once_keeps_its_order() {
        let mut log = Log::default();
        let count = 2 * LINES as i64 + 10;
        // Each pair comes the wrong way round, also where the beginning ends.
        for n in 0..count {
            log.line(Timestamp((n ^ 1) * 1000 + 1), &format!("{n}"));
            log.line(Timestamp((n ^ 1) * 1000 + 1), &format!("{n} too"));
        }
        let told: Vec<&(Timestamp, String)> = log.head.iter().chain(&log.tail).collect();
        assert!(told.windows(2).all(|two| two[0].0 <= two[1].0), "{told:?}");
        assert_eq!(told[..4].iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["1", "1 too", "0", "0 too"]);
        assert_eq!((log.head.len(), log.tail.len(), log.hidden), (LINES, LINES, 2 * count as usize - 2 * LINES));
    }
}
