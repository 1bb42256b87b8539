//! Sizes and times as people read them, in podman's words, and lines for their eyes.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime};

/// Tells the user something on standard error. That nobody listens there is no error (`eprintln!`
/// would end the program then). The line is written in one piece: what reads along never sees half
/// of it, and two programs that share a terminal do not mix theirs.
pub fn tell(line: impl fmt::Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The longest line that is printed, in characters.
const LONGEST_LINE: usize = 900;

/// `text` as one line of bounded length, for an error: names in it come from images and from the
/// command line and may hold anything.
#[must_use]
pub fn one_line(text: &str) -> String {
    let line = escaped(text.trim_end());
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line,
    }
}

/// `text` with its control characters, line feeds too, as escapes: it changes nothing in a terminal
/// and in a table.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}

/// A size in decimal units with three digits: `5.25 kB`, `123 MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    // Three digits are printed, so what a float cannot hold does not show.
    #[expect(clippy::cast_precision_loss)]
    let mut value = bytes as f64;
    let mut unit = 0;
    // What would be printed as 1000 is one of the next unit.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    let number = format!("{value:.digits$}");
    let number = match digits {
        0 => &number,
        _ => number.trim_end_matches('0').trim_end_matches('.'),
    };
    format!("{number} {}", units[unit])
}

/// Reads a size in bytes as podman and docker do: `1048576`, `512k`, `1.5g`, `64MiB`, with units of
/// 1,024.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let shift = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let value = number.parse::<f64>().ok()? * f64::from(2_u8).powi(shift);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (value < 1e18).then_some(value as u64)
}

/// A duration in its largest unit: `5 minutes`, `About an hour`, `2 weeks`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..=59, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..=59, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., 2..=47) => format!("{hours} hours"),
        (.., 48..=335) => format!("{} days", hours / 24),
        (.., 336..=1439) => format!("{} weeks", hours / 24 / 7),
        (.., 1440..=17519) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// How long ago `time` was: `5 minutes ago`.
#[must_use]
pub fn ago(time: SystemTime) -> String {
    let elapsed = SystemTime::now().duration_since(time).unwrap_or_default();
    format!("{} ago", duration(elapsed))
}

/// Reads a time in RFC 3339, as image configs have it; with any offset, any fraction.
#[must_use]
pub fn parse_time(text: &str) -> Option<SystemTime> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Some(time);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let minutes = hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?;
    let offset = Duration::from_secs(minutes * 60);
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    match sign {
        "+" => time.checked_sub(offset),
        "-" => time.checked_add(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_without_escape_sequences_and_of_bounded_length() {
        assert_eq!(one_line("a\u{1b}[1m\nb\u{9b}\n"), "a\\u{1b}[1m\\nb\\u{9b}");
        assert_eq!(one_line("caf\u{e9} \"x\""), "caf\u{e9} \"x\"");
        let long = one_line(&"x".repeat(100_000));
        assert_eq!(long.chars().count(), LONGEST_LINE + 1);
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (5249, "5.25 kB"),
            (12_345, "12.3 kB"),
            (999_499, "999 kB"),
            (999_500, "1 MB"),
            (1_500_000, "1.5 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn durations_are_told_in_their_largest_unit() {
        const HOUR: u64 = 3600;
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (300, "5 minutes"),
            (HOUR, "About an hour"),
            (5 * HOUR, "5 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (15 * 24 * HOUR, "2 weeks"),
            (70 * 24 * HOUR, "2 months"),
            (56 * 366 * 24 * HOUR, "56 years"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_read_with_fraction_and_offset() {
        let seconds = |text| {
            let time = parse_time(text)?.duration_since(SystemTime::UNIX_EPOCH);
            Some(time.unwrap().as_secs())
        };
        assert_eq!(seconds("1970-01-01T00:01:00Z"), Some(60));
        assert_eq!(
            seconds("2026-11-23T16:46:17.763758285Z"),
            Some(1_795_452_377)
        );
        assert_eq!(seconds("2026-11-23T18:46:17+02:00"), Some(1_795_452_377));
        assert_eq!(seconds("2026-11-23T11:16:17.5-05:30"), Some(1_795_452_377));
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T18:46:17*02:00",
            "é+02:00",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
