//! The time that an image carries, if it carries one.
//!
//! By default an image has no date, so that the same input gives the same bytes. Who wants one sets
//! `SOURCE_DATE_EPOCH`, as every reproducible builder understands it
//! (<https://reproducible-builds.org/specs/source-date-epoch/>).

use std::fmt;
use std::str::FromStr;

/// Seconds since the beginning of 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

/// The last second of the year 9999; RFC 3339 has four digits for a year.
const LAST: u64 = 253_402_300_799;

/// A text that is no `SOURCE_DATE_EPOCH`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "SOURCE_DATE_EPOCH is \"{}\": expected are the seconds since 1970, at most {LAST}",
    .0.escape_debug()
)]
pub struct InvalidEpoch(String);

impl Epoch {
    /// What `SOURCE_DATE_EPOCH` says; nothing when it is not set or empty.
    ///
    /// # Errors
    /// [`InvalidEpoch`] when it is set to something else than a number of seconds.
    pub fn from_environment() -> Result<Option<Self>, InvalidEpoch> {
        match std::env::var_os("SOURCE_DATE_EPOCH") {
            Some(text) if !text.is_empty() => text.to_string_lossy().parse().map(Some),
            _ => Ok(None),
        }
    }

    /// The seconds since the beginning of 1970.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Epoch {
    type Err = InvalidEpoch;

    fn from_str(text: &str) -> Result<Self, InvalidEpoch> {
        text.parse()
            .ok()
            .filter(|&seconds| seconds <= LAST)
            .map(Self)
            .ok_or_else(|| InvalidEpoch(text.to_owned()))
    }
}

impl fmt::Display for Epoch {
    /// RFC 3339 in UTC: `2026-11-23T16:20:00Z`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// The Gregorian date of a day that is counted from 1970-01-01. Years are counted from March, so
/// that the leap day is the last day of a year, in cycles of 400 years (146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_a_date() {
        for (seconds, date) in [
            ("0", "1970-01-01T00:00:00Z"),
            ("951782399", "2000-02-28T23:59:59Z"),
            ("951782400", "2000-02-29T00:00:00Z"),
            ("1735689599", "2024-12-31T23:59:59Z"),
            ("4107542400", "2100-03-01T00:00:00Z"),
            ("253402300799", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(seconds.parse::<Epoch>().unwrap().to_string(), date);
        }
    }

    #[test]
    fn what_is_no_number_of_seconds_is_refused() {
        for text in [
            "",
            "-1",
            "now",
            "1.5",
            "253402300800",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Epoch>().is_err(), "{text}");
        }
    }
}
