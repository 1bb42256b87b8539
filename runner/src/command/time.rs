//! Times as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-01-02T03:04:05.000000006Z` of nanoseconds since 1970.
pub(super) fn rfc3339(nanoseconds: u64) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(nanoseconds)).to_string()
}

/// `5 minutes ago` of nanoseconds since 1970.
pub(super) fn ago(nanoseconds: u64) -> String {
    format!("{} ago", since(nanoseconds))
}

/// `5 minutes`: how long it is since then, in the largest unit that fits, as docker and podman
/// print it.
pub(super) fn since(nanoseconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    span(SystemTime::now().duration_since(then).unwrap_or_default())
}

fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let count = |number: u64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    match seconds {
        0 => "Less than a second".to_owned(),
        1..60 => count(seconds, "second"),
        60..120 => "About a minute".to_owned(),
        120..3_600 => count(seconds / 60, "minute"),
        3_600..7_200 => "About an hour".to_owned(),
        7_200..172_800 => count(seconds / 3_600, "hour"),
        172_800..1_209_600 => count(seconds / 86_400, "day"),
        1_209_600..5_184_000 => count(seconds / 604_800, "week"),
        5_184_000..63_072_000 => count(seconds / 2_592_000, "month"),
        _ => count(seconds / 31_536_000, "year"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_fits_is_used() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (180, "3 minutes"),
            (3_700, "About an hour"),
            (90_000, "25 hours"),
            (200_000, "2 days"),
            (99_999_999, "3 years"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_time_is_written_with_nanoseconds() {
        assert_eq!(rfc3339(1_000_000_006), "1970-01-01T00:00:01.000000006Z");
    }
}
