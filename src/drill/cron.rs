//! Cron expressions: five fields, plus `#` and `L`, with the place of the first mistake in each field.
//!
//! croner knows when an expression fires; its messages do not say where one is wrong, and it takes six and seven fields.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::suggest::{closest, short};

/// A mistake in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Characters before it.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: MONTHS },
    Field { name: "day of week", first: 0, last: 7, names: DAYS },
];
const NICKNAMES: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Reads an expression. Every mistake is reported, one a field.
pub fn parse(text: &str) -> Result<Cron, Vec<Mistake>> {
    let at = |offset, message: String| Mistake { offset, message };
    if text.trim_start().starts_with('@') {
        let nickname = text.split_whitespace().next().unwrap_or_default();
        let known = NICKNAMES.iter().map(|(name, _)| *name).chain(["@every"]);
        let hint = match closest(nickname, known).and_then(|near| NICKNAMES.iter().find(|(name, _)| *name == near)) {
            Some((_, fields)) => format!("write five fields: '{fields}'"),
            None => "write five fields, such as '0 10 * * TUE#2'".to_owned(),
        };
        return Err(vec![at(0, format!("'{}' is not a cron expression; {hint}", short(nickname)))]);
    }
    let words = words(text);
    if words.len() != 5 {
        let offset = words.get(5).map_or_else(|| text.chars().count(), |(offset, _)| *offset);
        let message = format!("expected five fields (minute, hour, day of month, month, day of week), found {}", words.len());
        return Err(vec![at(offset, message)]);
    }
    let mistakes: Vec<Mistake> = words
        .iter()
        .zip(&FIELDS)
        .filter_map(|((offset, word), field)| {
            field.check(word).err().map(|(inner, message)| at(offset + inner, format!("{}: {message}", field.name)))
        })
        .collect();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if never_fires(words[2].1, words[3].1, words[4].1) {
        return Err(vec![at(words[2].0, "never fires: no month given has that day".to_owned())]);
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| vec![at(0, format!("not a cron expression: {}", error.to_string().trim_end_matches('.')))])
}

/// The words of a text, each with the characters before it.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut characters = 0;
    for (word_end, piece) in text.split_inclusive(char::is_whitespace).map(|piece| (piece.trim_end_matches(char::is_whitespace), piece)) {
        if !word_end.is_empty() {
            words.push((characters, word_end));
        }
        characters += piece.chars().count();
    }
    words
}

impl Field {
    /// The first mistake: characters before it, and what is wrong.
    fn check(&self, word: &str) -> Result<(), (usize, String)> {
        let mut offset = 0;
        for part in word.split(',') {
            self.part(part).map_err(|message| (offset, message))?;
            offset += part.chars().count() + 1;
        }
        Ok(())
    }

    fn part(&self, part: &str) -> Result<(), String> {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        if let Some(step) = step {
            let number = step.parse::<u32>().ok().filter(|number| (1..=self.last).contains(number));
            number.ok_or_else(|| format!("step '{}' is not a number from 1 to {}", short(step), self.last))?;
        }
        if range == "*" {
            return Ok(());
        }
        if let Some((from, to)) = range.split_once('-') {
            let (from_value, to_value) = (self.value(from)?, self.value(to)?);
            // A week may end on Sunday as 7 or begin on it as 0: FRI-SUN is a range.
            let sunday = self.last == 7 && to_value == 0;
            return if from_value <= to_value || sunday { Ok(()) } else { Err(format!("range '{range}' ends before it begins")) };
        }
        if step.is_some() {
            return Err(format!("'{}': a step needs a range; write '*/{}'", short(part), step.unwrap_or_default()));
        }
        if self.name == "day of month" && range == "L" {
            return Ok(());
        }
        if self.name == "day of week" {
            if let Some((day, nth)) = range.split_once('#') {
                self.value(day)?;
                let good = matches!(nth, "1" | "2" | "3" | "4" | "5" | "L");
                return if good { Ok(()) } else { Err(format!("'{}': after '#' comes 1 to 5, or L for the last", short(range))) };
            }
            if let Some(day) = range.strip_suffix('L').filter(|day| !day.is_empty()) {
                return self.value(day).map(drop);
            }
        }
        self.value(range).map(drop)
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let upper = text.to_ascii_uppercase();
        if let Some(index) = self.names.iter().position(|name| *name == upper) {
            return Ok(index as u32 + self.first);
        }
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        match number {
            Some(number) if (self.first..=self.last).contains(&number) => Ok(number),
            _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(format!("'{}' is out of range {}-{}", short(text), self.first, self.last))
            }
            _ => {
                let names = closest(&upper, self.names.iter().copied()).map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
                Err(format!("'{}' is not a number from {} to {}{names}", short(text), self.first, self.last))
            }
        }
    }
}

/// Whether no month of the expression has any of its days. A day of the week always comes (cron joins the two by "or").
fn never_fires(days: &str, months: &str, weekdays: &str) -> bool {
    if weekdays != "*" || days.contains(['*', 'L']) {
        return false;
    }
    // February has 29 days often enough.
    const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let first = values(&FIELDS[2], days).into_iter().min().unwrap_or(1);
    !values(&FIELDS[3], months).into_iter().any(|month| LENGTHS.get(month as usize - 1).is_some_and(|length| first <= *length))
}

/// The values of a checked field.
fn values(field: &Field, word: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for part in word.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (field.first, field.last),
            Some((from, to)) => (field.value(from).unwrap_or(field.first), field.value(to).unwrap_or(field.last)),
            None => (field.value(range).unwrap_or(field.first), field.value(range).unwrap_or(field.first)),
        };
        all.extend((from..=to).step_by(step.parse().unwrap_or(1)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> (usize, String) {
        let mut mistakes = parse(text).unwrap_err();
        let first = mistakes.remove(0);
        (first.offset, first.message)
    }

    #[test]
    fn five_fields_with_nth_and_last_are_read() {
        for text in [
            "0 10 * * TUE#2",
            "*/15 9-17 * * MON-FRI",
            "0 0 L * *",
            "0 3 * * 5L",
            "0 0 29 2 *",
            "0 0 31 2,3 *",
            "30 2 1,15 JAN-MAR *",
            "0 0 31 2 MON",
            "0 4 * * FRI#L",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text).err());
        }
    }

    #[test]
    fn a_mistake_is_placed_at_its_field() {
        assert_eq!(mistake("61 * * * *"), (0, "minute: '61' is out of range 0-59".to_owned()));
        assert_eq!(mistake("0 5,24 * * *"), (4, "hour: '24' is out of range 0-23".to_owned()));
        assert_eq!(mistake("0 0 * * TEU").0, 8);
        assert!(mistake("0 0 * * TEU").1.contains("did you mean 'TUE'?"));
        assert_eq!(mistake("0 0 0 1 1 * 2026").0, 10);
        assert!(mistake("0 0 0 1 1 * 2026").1.contains("expected five fields"));
        assert!(mistake("@evry 1h").1.contains("write five fields"));
        assert!(mistake("@dayly").1.contains("'0 0 * * *'"));
        assert_eq!(mistake("0 0 31 2 *"), (4, "never fires: no month given has that day".to_owned()));
        assert!(mistake("0 0 30-31 2 *").1.contains("never fires"));
        assert!(mistake("0 0 31 4,6,9,11 *").1.contains("never fires"));
        assert!(mistake("").1.contains("found 0"));
        assert!(mistake("*/0 * * * *").1.contains("step '0'"));
        assert!(mistake("5/10 * * * *").1.contains("a step needs a range"));
        assert!(mistake("0 0 * * TUE#6").1.contains("after '#'"));
        assert!(mistake("? * * * *").1.contains("is not a number"));
        assert!(mistake("0 0 15W * *").1.contains("is not a number"));
        assert!(mistake("30-10 * * * *").1.contains("ends before it begins"));
    }

    #[test]
    fn every_field_reports_its_own_mistake() {
        assert_eq!(parse("61 25 32 13 9").unwrap_err().len(), 5);
    }
}
