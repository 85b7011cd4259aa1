//! Figures as people read them in reasons and tables.

use std::time::Duration;

/// `0 s`, `420 ms`, `42.3 s`, `7m 12.3s`, `1h 2m 3s`. Rounded to what an SRE reads, never below a millisecond.
pub fn duration(length: Duration) -> String {
    let millis = length.as_micros().saturating_add(500) / 1000;
    if length.is_zero() {
        return "0 s".into();
    }
    if millis < 1000 {
        return format!("{} ms", millis.max(1));
    }
    let tenths = length.as_micros().saturating_add(50_000) / 100_000;
    let seconds = |tenths: u128| if tenths.is_multiple_of(10) { format!("{}", tenths / 10) } else { format!("{}.{}", tenths / 10, tenths % 10) };
    match (tenths / 36_000, tenths / 600 % 60, tenths % 600) {
        (0, 0, rest) => format!("{} s", seconds(rest)),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, rest) => format!("{minutes}m {}s", seconds(rest)),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, 0) => format!("{hours}h {minutes}m"),
        (hours, minutes, rest) => format!("{hours}h {minutes}m {}s", seconds(rest)),
    }
}

/// `99.5%`, with as many digits as it takes not to read as 100 % when it is less.
pub fn percent(value: f64) -> String {
    let plain = |digits: usize| {
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
        format!("{text}%")
    };
    let rounded = plain(2);
    if (rounded == "100%" && value < 100.0) || (rounded == "0%" && value > 0.0) { plain(6) } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_like_an_sre_says_them() {
        let cases = [(0, "0 s"), (1, "1 ms"), (420_000, "420 ms"), (999_700, "1 s"), (1_000_000, "1 s"), (42_340_000, "42.3 s"), (59_960_000, "1m")];
        for (micros, text) in cases {
            assert_eq!(duration(Duration::from_micros(micros)), text, "{micros} µs");
        }
        assert_eq!(duration(Duration::from_millis(432_300)), "7m 12.3s");
        assert_eq!(duration(Duration::from_secs(3723)), "1h 2m 3s");
        assert!(!duration(Duration::MAX).is_empty());
    }

    #[test]
    fn a_share_below_a_hundred_never_reads_as_a_hundred() {
        assert_eq!(percent(100.0), "100%");
        assert_eq!(percent(99.5), "99.5%");
        assert_eq!(percent(99.9999), "99.9999%");
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(50.0), "50%");
    }
}
