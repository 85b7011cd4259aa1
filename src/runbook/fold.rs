//! A long command as lines that a person can type from paper: broken where a shell puts it together again, each line but the last ending with `\`.

/// Columns of a line: what a page of A4 holds at 8.5 points.
pub const COLUMNS: usize = 98;
/// What a broken word leaves free behind it: the end of a quote, and the backslash.
const END: usize = 2;
/// A word that is longer than a line begins where at least so many columns are left.
const BEGIN: usize = 60;
/// How far back a better place is looked for, after a comma or a space.
const BACK: usize = 28;

/// How a word may be broken before a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Not there.
    No,
    /// With a backslash.
    Bare,
    /// With the end of a single quote, a backslash, and a new quote: in single quotes a backslash is a sign like any other.
    Quoted,
}

/// A word with the blanks before it.
#[derive(Debug, Default)]
struct Word {
    gap: usize,
    signs: Vec<(char, Cut)>,
}

/// The lines of a command. What a shell makes of them is what it makes of the command.
#[must_use]
pub fn fold(command: &str) -> Vec<String> {
    // A line break in quotes is part of a word: such a command stays as it is.
    if command.chars().count() <= COLUMNS || command.contains('\n') {
        return vec![command.to_owned()];
    }
    let text = command.trim_start_matches(' ');
    let indent = " ".repeat(command.len() - text.len());
    let (words, comment) = words(text);
    let mut lines = Vec::new();
    // Behind a backslash nothing may stand, so a remark comes first.
    lines.extend(comment.map(|comment| format!("{indent}{comment}")));
    let (deep, mut line, mut begun) = (format!("{indent}    "), indent, false);
    for (index, word) in words.iter().enumerate() {
        let gap = if begun { word.gap } else { 0 };
        let left = COLUMNS.saturating_sub(columns(&line) + gap);
        let fits = |length: usize, room: usize| length + END <= room;
        let fresh = COLUMNS - deep.len();
        let length = word.signs.len();
        // An option stays with its value where a line holds both.
        let both = words.get(index + 1).filter(|next| word.is_option() && !next.is_option()).map(|next| length + next.gap + next.signs.len());
        let breaks = match both.filter(|both| fits(*both, fresh)) {
            Some(both) => !fits(both, left),
            None if fits(length, fresh) => !fits(length, left),
            None => left < BEGIN,
        };
        if begun && breaks {
            lines.push(format!("{line} \\"));
            line.clone_from(&deep);
        } else {
            line.push_str(&" ".repeat(gap));
        }
        place(&word.signs, &mut line, &mut lines);
        begun = true;
    }
    lines.push(line);
    lines
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Adds a word to a line, broken where it must be. What comes after a break in a word stands at the very left: blanks there would end the word.
fn place(mut rest: &[(char, Cut)], line: &mut String, lines: &mut Vec<String>) {
    loop {
        let room = COLUMNS.saturating_sub(columns(line) + END);
        let at = if rest.len() <= room { None } else { broken(rest, room) };
        line.extend(rest[..at.unwrap_or(rest.len())].iter().map(|(sign, _)| *sign));
        let Some(at) = at else { return };
        let (end, begin) = if rest[at].1 == Cut::Quoted { ("'\\", "'") } else { ("\\", "") };
        lines.push(format!("{line}{end}"));
        begin.clone_into(line);
        rest = &rest[at..];
    }
}

/// Where to break a word of which so many signs fit.
fn broken(signs: &[(char, Cut)], room: usize) -> Option<usize> {
    let may = |at: &usize| signs[*at].1 != Cut::No;
    let behind = |good: &'static [char]| move |at: &usize| good.contains(&signs[*at - 1].0) && may(at);
    let from = room.saturating_sub(BACK).max(1);
    // Ids, which people compare sign by sign, stay whole where they can.
    let (best, fair) = (behind(&[',', ' ', ';']), behind(&['-', '.', '/', ':', '=', '"']));
    (from..=room).rev().find(best).or_else(|| (from..=room).rev().find(fair)).or_else(|| (1..=room).rev().find(may))
}

/// The words of a command as a shell reads them, and the remark at its end.
fn words(text: &str) -> (Vec<Word>, Option<&str>) {
    let mut reader = Reader { words: vec![Word::default()], blank: false, inside_double: vec![false] };
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        let double = reader.inside_double.last().copied().unwrap_or(false);
        match sign {
            ' ' if !double => reader.gap(),
            '#' if !double && reader.inside_double.len() == 1 && reader.between() => {
                reader.words.pop_if(|word| word.signs.is_empty());
                return (reader.words, Some(&text[at..]));
            }
            '\\' => {
                reader.sign(sign, Cut::Bare);
                signs.next().into_iter().for_each(|(_, next)| reader.sign(next, Cut::No));
            }
            '$' => {
                reader.sign(sign, Cut::Bare);
                if signs.next_if(|(_, next)| *next == '(').is_some() {
                    reader.sign('(', Cut::No);
                    reader.inside_double.push(false);
                }
                while let Some((_, next)) = signs.next_if(|(_, next)| next.is_ascii_alphanumeric() || matches!(next, '_' | '{' | '}')) {
                    reader.sign(next, Cut::No);
                }
            }
            '"' => {
                reader.sign(sign, if double { Cut::No } else { Cut::Bare });
                if double { _ = reader.inside_double.pop() } else { reader.inside_double.push(true) }
            }
            ')' if !double && reader.inside_double.len() > 1 => {
                reader.sign(sign, Cut::No);
                reader.inside_double.pop();
            }
            '\'' if !double => {
                reader.sign(sign, Cut::Bare);
                let end = text[at + 1..].find('\'').map_or(text.len(), |length| at + 1 + length);
                reader.quoted(&text[at + 1..end]);
                while signs.next_if(|(next, _)| *next < end).is_some() {}
                signs.next().into_iter().for_each(|(_, quote)| reader.sign(quote, Cut::No));
            }
            _ => {
                let cut = reader.cut(&text[at..], Cut::Bare);
                reader.sign(sign, cut);
            }
        }
    }
    reader.words.pop_if(|word| word.signs.is_empty());
    (reader.words, None)
}

impl Word {
    fn is_option(&self) -> bool {
        self.signs.first().is_some_and(|(sign, _)| *sign == '-')
    }
}

struct Reader {
    words: Vec<Word>,
    /// Whether this is a part of a named blank, which stays whole.
    blank: bool,
    /// Whether double quotes hold, here and around each `$(`.
    inside_double: Vec<bool>,
}

impl Reader {
    fn between(&self) -> bool {
        self.words.last().is_none_or(|word| word.signs.is_empty())
    }

    fn gap(&mut self) {
        if !self.between() {
            self.words.push(Word::default());
        }
        self.words.iter_mut().last().into_iter().for_each(|word| word.gap += 1);
    }

    fn sign(&mut self, sign: char, cut: Cut) {
        self.words.iter_mut().last().into_iter().for_each(|word| word.signs.push((sign, cut)));
    }

    /// How a text may be broken before its first sign.
    fn cut(&mut self, text: &str, cut: Cut) -> Cut {
        let whole = self.blank;
        match text.chars().next() {
            Some('<') => self.blank = text.find('>').is_some_and(|length| length < COLUMNS / 2),
            Some('>') => self.blank = false,
            _ => {}
        }
        if whole { Cut::No } else { cut }
    }

    /// Signs in single quotes. Before the first of them an empty quote would say nothing.
    fn quoted(&mut self, text: &str) {
        for (at, sign) in text.char_indices() {
            let cut = self.cut(&text[at..], Cut::Quoted);
            self.sign(sign, if at == 0 { Cut::No } else { cut });
        }
        self.blank = false;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::fault::shell::word;

    /// What a shell makes of a command: its words, one a line.
    fn read_by_a_shell(command: &str) -> String {
        let script = format!("aws() {{ printf '[%s]\\n' \"$@\"; }}\nid=acl-1\n{command}");
        let done = Command::new("/bin/sh").args(["-e", "-u", "-c", &script]).output().unwrap();
        assert!(done.status.success(), "{command}\n{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn same(command: &str) -> Vec<String> {
        let lines = fold(command);
        assert_eq!(read_by_a_shell(&lines.join("\n")), read_by_a_shell(command), "{}", lines.join("\n"));
        assert!(lines.iter().all(|line| columns(line) <= COLUMNS), "{lines:#?}");
        lines
    }

    #[test]
    fn a_short_command_stays_and_a_long_one_is_broken_between_words_with_a_backslash() {
        assert_eq!(fold("kubectl uncordon a"), ["kubectl uncordon a"]);
        let long =
            "aws --region us-east-1 autoscaling resume-processes --auto-scaling-group-name web-of-the-shop --scaling-processes Launch Terminate";
        let lines = same(long);
        assert_eq!(
            lines,
            [
                "aws --region us-east-1 autoscaling resume-processes --auto-scaling-group-name web-of-the-shop \\",
                "    --scaling-processes Launch Terminate"
            ]
        );
    }

    #[test]
    fn an_option_stays_with_its_value() {
        let long = "aws --region us-east-1 ec2 describe-network-acls --filters Name=tag:firedrill.dev/clone,Values=some-name --query 'NetworkAcls[0].NetworkAclId'";
        assert!(same(long).iter().all(|line| !line.ends_with("--filters \\") && !line.ends_with("--query \\")), "{:#?}", fold(long));
    }

    #[test]
    fn a_quote_that_is_longer_than_a_line_is_ended_and_begun_anew() {
        let policy = word(&format!(r#"{{"Statement":[{}]}}"#, r#"{"Effect":"Deny","Action":["iam:*"]},"#.repeat(9)));
        let lines = same(&format!("aws iam put-role-policy --role-name app --policy-document {policy}"));
        assert!(lines.len() > 3 && lines[1].ends_with("'\\") && lines[2].starts_with('\''), "{lines:#?}");
    }

    #[test]
    fn what_stands_in_double_quotes_and_in_commands_within_them_is_read_as_before() {
        let inner = r#""$(aws --region us-east-1 ec2 describe-network-acls --filters 'Name=tag:firedrill.dev/clone,Values=a b' --query "A[?b=='c d'].{e:f}" --output text)""#;
        same(&format!("aws ec2 delete-network-acl --network-acl-id {inner} --and \"${{id}}\" \"$id\" 'it'\\''s a long way to the end of the line'"));
        same(&format!("aws --query \"{}\"", "NetworkAcls[0].Associations[?SubnetId=='subnet-1'].NetworkAclAssociationId ".repeat(3)));
        same(&format!("aws {}", "arn:aws:iam::123456789012:role/".repeat(8)));
    }

    #[test]
    fn a_remark_comes_first_where_it_does_not_fit_behind() {
        let lines = same(&format!("  aws ec2 delete-network-acl --network-acl-id {}   # after the last subnet", "acl-0123456789".repeat(4)));
        assert_eq!(lines[0], "  # after the last subnet");
        assert_eq!(fold("aws x   # short"), ["aws x   # short"]);
    }

    #[test]
    fn a_named_blank_stays_whole() {
        let blank = "<each instance id of step instances-stopped>";
        let lines = same(&format!("aws tag {}", word(&format!("ResourceId={blank},Type=group,Key=firedrill.dev/expires,And={blank},More={blank}"))));
        assert_eq!(lines.iter().map(|line| line.matches(blank).count()).sum::<usize>(), 3, "{lines:#?}");
        let lines = same(&format!("aws --query \"NetworkAcls[0].Associations[?SubnetId=='{blank}'].NetworkAclAssociationId\" --output text"));
        assert!(lines.len() > 1 && lines.iter().any(|line| line.contains(blank)), "{lines:#?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn whatever_the_words_are_a_shell_reads_the_same(all in proptest::collection::vec("[ -~]{0,150}", 1..8)) {
            same(&format!("aws {}", all.iter().map(|one| word(one)).collect::<Vec<_>>().join(" ")));
        }
    }
}
