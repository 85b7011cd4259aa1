//! How text stands in Markdown: foreign text as text, code as code, commands in a fence that nothing in them closes.

pub use crate::report::markdown::escaped;
use crate::report::markdown::fenced;

/// Foreign text as code in a line.
#[must_use]
pub fn code(text: &str) -> String {
    fenced(&crate::report::inert::inert(text))
}

/// Text with code between backticks.
#[must_use]
pub fn prose(text: &str) -> String {
    crate::runbook::template::parts(text).map(|(part, is_code)| if is_code { code(part) } else { escaped(part) }).collect()
}

/// Commands, one a line or more, as a block.
#[must_use]
pub fn block(lines: &[String]) -> String {
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{}\n{fence}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_closes_a_block_but_its_own_end() {
        assert_eq!(block(&["echo hi".to_owned()]), "```sh\necho hi\n```");
        assert_eq!(block(&["echo '\n````\n# x'".to_owned()]), "`````sh\necho '\n````\n# x'\n`````");
    }

    #[test]
    fn prose_has_code_where_backticks_say_so_and_nowhere_else() {
        assert_eq!(prose("sets `spec.x` to *two*"), r"sets `spec.x` to \*two\*");
        assert_eq!(prose("a lone ` stays"), r"a lone \` stays");
    }
}
