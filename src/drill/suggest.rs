//! `did you mean …?`: the closest of the names that are known.

/// The known name that was probably meant.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; a long text was not meant to be one.
    if wrong.chars().count() > 100 {
        return None;
    }
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let wrong_plain = plain(wrong);
    known
        .into_iter()
        .filter_map(|name| {
            // Other case and other separators are the same word: `ec2-stop`, `EC2Stop`.
            let distance = if plain(name) == wrong_plain { 0 } else { strsim::osa_distance(&wrong.to_lowercase(), &name.to_lowercase()) };
            (distance <= name.chars().count().max(3) / 3).then_some((distance, name))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `; did you mean 'x'?`, or nothing.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(wrong, known).map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}

/// A text as messages quote it: short.
pub fn short(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST { text.to_owned() } else { format!("{}…", text.chars().take(MOST).collect::<String>()) }
}

/// `a, b and c`.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [most @ .., last] => format!("{} and {}", most.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "), last.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_case_and_separators_are_the_same_word() {
        for wrong in ["ec2Stp", "ec2-stop", "EC2Stop", "ec2_stop", "Ec2stop"] {
            assert_eq!(closest(wrong, ["nodeDrain", "ec2Stop", "podKill"]), Some("ec2Stop"), "{wrong}");
        }
    }

    #[test]
    fn nothing_close_is_nothing_suggested() {
        assert_eq!(closest("banana", ["nodeDrain", "ec2Stop"]), None);
        assert_eq!(closest(&"x".repeat(100_000), ["nodeDrain"]), None);
    }
}
