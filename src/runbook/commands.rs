//! Many targets' commands as few lines: what they share once, and a loop over those that differ in a name only.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::fold;

/// Targets from which a loop is read more easily than a list, however long it is.
const LOOP: usize = 3;
/// Columns of the names of a loop: with what stands behind them they fit a line of paper.
const COLUMNS: usize = super::fold::COLUMNS - 6;
/// What a loop calls a target.
const NAME: &str = "target";

/// A target's identity, and its commands.
pub type Own<'a> = (&'a str, &'a [String]);

/// The commands of all targets in an order that is good for each of them: what several share is done once, before their own when it came before them.
#[must_use]
pub fn lines(targets: &[Own<'_>]) -> Vec<String> {
    // What uses a variable means another thing for each target, however alike it looks.
    let shared = |command: &String| !uses_variable(command) && targets.iter().filter(|(_, commands)| commands.contains(command)).count() > 1;
    let (mut first, mut last, mut own) = (Vec::<String>::new(), Vec::<String>::new(), Vec::new());
    for (identity, commands) in targets {
        let mut mine = Vec::new();
        let begin = commands.iter().position(|command| !shared(command)).unwrap_or(0);
        for (index, command) in commands.iter().enumerate() {
            let into = match shared(command) {
                false => {
                    mine.push(command.as_str());
                    continue;
                }
                true if index < begin => &mut first,
                true => &mut last,
            };
            if !into.contains(command) {
                into.push(command.clone());
            }
        }
        own.push((*identity, mine));
    }
    let mut lines = first;
    lines.extend(looped(&own));
    lines.extend(last);
    lines
}

/// Lines that commands take on paper.
#[must_use]
pub fn on_paper(commands: &[String]) -> usize {
    commands.iter().map(|command| fold(command).len()).sum()
}

/// Puts a function in the place of `aws --endpoint-url URL --region REGION`, one for each region, and gives the lines that define them.
pub fn shorten(blocks: &mut [Vec<String>]) -> Vec<String> {
    // `word` quotes what is not plain; such a call stays as it is.
    let Ok(call) = regex::Regex::new(r"\baws(?: --endpoint-url [\w.:/-]+)? --region ([a-z0-9-]+)\b") else { return Vec::new() };
    let mut called = BTreeMap::<String, BTreeSet<String>>::new();
    for line in blocks.iter().flatten().filter(|line| may_call(line)) {
        for found in call.captures_iter(line) {
            called.entry(function(&found[1])).or_default().insert(found[0].to_owned());
        }
    }
    // Two accounts behind two addresses have no name in common.
    let known: BTreeMap<String, String> =
        called.into_iter().filter_map(|(name, calls)| calls.first().cloned().filter(|_| calls.len() == 1).map(|call| (name, call))).collect();
    for line in blocks.iter_mut().flatten().filter(|line| may_call(line)) {
        let short = call.replace_all(line, |found: &regex::Captures<'_>| {
            let name = function(&found[1]);
            if known.contains_key(&name) { name } else { found[0].to_owned() }
        });
        *line = short.into_owned();
    }
    known.into_iter().map(|(name, call)| format!("{name}() {{ {call} \"$@\"; }}")).collect()
}

/// A function is known to its shell alone, and not to a program that runs commands.
fn may_call(line: &str) -> bool {
    !line.contains("xargs")
}

/// `in_us_east_1`
fn function(region: &str) -> String {
    format!("in_{}", region.replace('-', "_"))
}

/// `$name`; not `$(…)`.
fn uses_variable(command: &str) -> bool {
    command.match_indices('$').any(|(at, _)| command[at + 1..].starts_with(|next: char| next.is_ascii_alphabetic() || next == '_' || next == '{'))
}

/// Own commands, in order of the first of each group.
fn looped(own: &[(&str, Vec<&str>)]) -> Vec<String> {
    let named: Vec<Option<(&str, Vec<String>)>> = own.iter().map(|(identity, commands)| pattern(identity, commands, own)).collect();
    let mut lines = Vec::new();
    let mut told = vec![false; own.len()];
    for (index, (_, commands)) in own.iter().enumerate() {
        if told[index] {
            continue;
        }
        let same: Vec<usize> = match &named[index] {
            Some((_, pattern)) => (index..own.len()).filter(|other| named[*other].as_ref().is_some_and(|(_, it)| it == pattern)).collect(),
            None => Vec::new(),
        };
        match &named[index] {
            Some((_, pattern)) if same.len() > 1 => {
                let names: Vec<&str> = same.iter().filter_map(|at| named[*at].as_ref()).map(|(name, _)| *name).collect();
                let mut looped = over(&names);
                looped.extend(chained(pattern, &format!(" || echo FAILED ${NAME}")).into_iter().map(|line| format!("  {line}")));
                looped.push("done".to_owned());
                let listed: Vec<String> = same.iter().flat_map(|at| chained(&own[*at].1, "")).collect();
                lines.extend(if same.len() >= LOOP || on_paper(&looped) < on_paper(&listed) { looped } else { listed });
                same.iter().for_each(|at| told[*at] = true);
            }
            _ => {
                lines.extend(chained(commands, ""));
                told[index] = true;
            }
        }
    }
    lines
}

/// The commands of one target: after one that fails no other, for what they take away would hide that it is in place. `end` stands behind the last.
fn chained(commands: &[impl AsRef<str>], end: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        let command = command.as_ref();
        let (command, remark) = command.split_once("   # ").map_or((command, None), |(command, remark)| (command, Some(remark)));
        lines.extend(remark.map(|remark| format!("# {remark}")));
        lines.push(match (command.starts_with('#'), index + 1 == commands.len()) {
            (true, _) => command.to_owned(),
            (false, false) => format!("{command} &&"),
            (false, true) => format!("{command}{end}"),
        });
    }
    lines
}

/// `for target in a b c; do`, folded.
fn over(names: &[&str]) -> Vec<String> {
    let mut lines = vec![format!("for {NAME} in")];
    for name in names {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() < COLUMNS => *line = format!("{line} {name}"),
            Some(line) => {
                line.push_str(" \\");
                lines.push(format!("    {name}"));
            }
            None => {}
        }
    }
    if let Some(line) = lines.last_mut() {
        line.push_str("; do");
    }
    lines
}

/// A target's own name, and its commands with a variable in its place. None: it has no name of its own in them, or one stands where no variable can.
fn pattern<'a>(identity: &'a str, commands: &[&str], all: &[(&str, Vec<&str>)]) -> Option<(&'a str, Vec<String>)> {
    let foreign = |name: &str| all.iter().any(|(other, _)| *other != identity && tokens(other).any(|(_, token)| token == name));
    let used = |name: &str| commands.iter().any(|command| tokens(command).any(|(_, token)| token == name));
    let name = tokens(identity).map(|(_, token)| token).find(|name| used(name) && !foreign(name))?;
    let patterns: Option<Vec<String>> = commands.iter().map(|command| replaced(command, name)).collect();
    Some((name, patterns?))
}

/// Runs of letters, digits, `.`, `_` and `-`, with where they begin: what a shell takes as it stands.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at + text[at..].find(part)?;
        let end = text[begin..].find(|c: char| !part(c)).map_or(text.len(), |length| begin + length);
        at = end;
        Some((begin, &text[begin..end]))
    })
}

/// A command with `$target` for a name. None: the name stands in single quotes, where a shell would not read it.
fn replaced(command: &str, name: &str) -> Option<String> {
    let quoted = single_quoted(command);
    let (mut out, mut done) = (String::new(), 0);
    for (begin, _) in tokens(command).filter(|(_, token)| *token == name) {
        if quoted.iter().any(|(from, to)| (*from..*to).contains(&begin)) {
            return None;
        }
        out.push_str(&command[done..begin]);
        out.push('$');
        out.push_str(NAME);
        done = begin + name.len();
    }
    out.push_str(&command[done..]);
    Some(out)
}

/// Where single quotes hold. Between double quotes they are signs like any other, but not in a `$(…)` there.
fn single_quoted(command: &str) -> Vec<(usize, usize)> {
    let (mut found, mut inside_double) = (Vec::new(), vec![false]);
    let mut signs = command.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        let double = inside_double.last().copied().unwrap_or(false);
        match sign {
            '\\' => _ = signs.next(),
            '"' if double => _ = inside_double.pop(),
            '"' => inside_double.push(true),
            '$' if signs.next_if(|(_, next)| *next == '(').is_some() => inside_double.push(false),
            ')' if !double && inside_double.len() > 1 => _ = inside_double.pop(),
            '\'' if !double => {
                let end = command[at + 1..].find('\'').map_or(command.len(), |length| at + 1 + length);
                found.push((at, end));
                while signs.next_if(|(next, _)| *next <= end).is_some() {}
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(targets: &[(&str, &[&str])]) -> Vec<String> {
        let owned: Vec<(&str, Vec<String>)> =
            targets.iter().map(|(name, lines)| (*name, lines.iter().map(|line| (*line).to_owned()).collect())).collect();
        lines(&owned.iter().map(|(name, lines)| (*name, lines.as_slice())).collect::<Vec<_>>())
    }

    #[test]
    fn targets_that_differ_in_their_name_are_a_loop() {
        let told = all(&[
            ("nodes/a-1/u1", &["kubectl uncordon a-1", "kubectl annotate node a-1 x-"]),
            ("nodes/a-2/u2", &["kubectl uncordon a-2", "kubectl annotate node a-2 x-"]),
            ("nodes/a-3/u3", &["kubectl uncordon a-3", "kubectl annotate node a-3 x-"]),
        ]);
        assert_eq!(
            told,
            ["for target in a-1 a-2 a-3; do", "  kubectl uncordon $target &&", "  kubectl annotate node $target x- || echo FAILED $target", "done"]
        );
    }

    #[test]
    fn two_targets_are_a_loop_where_that_is_shorter() {
        let two = |lines: &[&str]| -> Vec<String> {
            let of = |name: &str| lines.iter().map(|line| line.replace('*', name)).collect::<Vec<_>>();
            let [one, other] = [of("s1"), of("s2")];
            super::lines(&[("x/s1", one.as_slice()), ("x/s2", other.as_slice())])
        };
        assert_eq!(two(&["start *", "wait *"]), ["start s1 &&", "wait s1", "start s2 &&", "wait s2"]);
        let told = two(&["start *", "wait *", "tag *"]);
        assert_eq!(told, ["for target in s1 s2; do", "  start $target &&", "  wait $target &&", "  tag $target || echo FAILED $target", "done"]);
    }

    #[test]
    fn a_call_of_a_region_is_a_function_and_two_addresses_of_one_region_are_not() {
        let block = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let mut blocks = [
            block(&["at=$(aws --endpoint-url http://127.0.0.1:1 --region us-east-1 ec2 x)", "aws --region us-west-2 ec2 y"]),
            block(&["until aws --endpoint-url http://127.0.0.1:1 --region us-east-1 ec2 z; do sleep 5; done", "aws --region '<region>' ec2 w"]),
        ];
        let functions = shorten(&mut blocks);
        let defined = [
            "in_us_east_1() { aws --endpoint-url http://127.0.0.1:1 --region us-east-1 \"$@\"; }",
            "in_us_west_2() { aws --region us-west-2 \"$@\"; }",
        ];
        assert_eq!(functions, defined);
        assert_eq!(blocks[0], ["at=$(in_us_east_1 ec2 x)", "in_us_west_2 ec2 y"]);
        assert_eq!(blocks[1], ["until in_us_east_1 ec2 z; do sleep 5; done", "aws --region '<region>' ec2 w"]);
        let mut two = [block(&["aws --endpoint-url http://a --region us-east-1 x", "aws --endpoint-url http://b --region us-east-1 x"])];
        let before = two.clone();
        assert_eq!((shorten(&mut two), two), (Vec::new(), before));
    }

    #[test]
    fn targets_that_differ_in_more_are_a_list() {
        let told = all(&[("group/a:1", &["scale a 1"]), ("group/b:2", &["scale b 2"]), ("group/c:3", &["scale c 3"])]);
        assert_eq!(told, ["scale a 1", "scale b 2", "scale c 3"]);
    }

    #[test]
    fn what_is_shared_is_done_once_before_or_after() {
        let told = all(&[("subnet/s1", &["make", "put s1", "drop"]), ("subnet/s2", &["make", "put s2", "drop"])]);
        assert_eq!(told, ["make", "put s1", "put s2", "drop"]);
    }

    #[test]
    fn what_uses_a_variable_stays_with_the_target_that_set_it() {
        let told =
            all(&[("subnet/s1", &["at=$(find s1)", "put \"$at\" back", "drop"]), ("subnet/s2", &["at=$(find s2)", "put \"$at\" back", "drop"])]);
        assert_eq!(told, ["at=$(find s1) &&", "put \"$at\" back", "at=$(find s2) &&", "put \"$at\" back", "drop"]);
    }

    #[test]
    fn a_name_in_single_quotes_stays_and_one_in_double_quotes_does_not() {
        let quoted = |n: u8| format!("say '{{\"x\": \"r{n}\"}}'");
        let [one, two, three] = [1, 2, 3].map(quoted);
        assert_eq!(all(&[("r/r1", &[&one]), ("r/r2", &[&two]), ("r/r3", &[&three])]), [one, two, three]);
        let double = |n: u8| format!("go \"$(find 'all' --query \"A[?b=='s{n}'].c\")\" s{n}");
        let [one, two, three] = [1, 2, 3].map(double);
        let told = all(&[("r/s1", &[&one]), ("r/s2", &[&two]), ("r/s3", &[&three])]);
        assert_eq!(
            told,
            ["for target in s1 s2 s3; do", "  go \"$(find 'all' --query \"A[?b=='$target'].c\")\" $target || echo FAILED $target", "done"]
        );
    }

    #[test]
    fn many_names_are_folded() {
        let names: Vec<String> = (0..30).map(|n| format!("east-a-{n:02}")).collect();
        let folded = over(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(folded.len() > 2 && folded.iter().all(|line| line.len() < 110), "{folded:?}");
        assert!(folded[0].ends_with(" \\") && folded.last().unwrap().ends_with("; do"));
    }
}
