//! Times in a template, which are structures with methods in Go and texts in JSON.
//!
//! Source: Go's package `time`, "Constants" for layouts and `Time.String`.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::human::parse_time;

/// The key of a value that is a time. No field is called so.
const MARK: &str = "\0time";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The first of January 1970 was the first of these.
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// A time in UTC.
#[derive(Debug, Clone)]
pub(super) struct Time {
    /// As JSON has it.
    json: String,
    /// `2026-12-01T11:15:46`.
    seconds: String,
    nanoseconds: u32,
    /// Since 1970.
    unix: u64,
}

/// The text as a time, if it is one.
pub(super) fn marked(text: &Value) -> Option<Value> {
    parse_time(text.as_str()?)?;
    Some(json!({ MARK: text }))
}

impl Time {
    /// The time that a value is, if it is one.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let json = value.as_object()?.get(MARK)?.as_str()?;
        let time = parse_time(json)?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let text = humantime::format_rfc3339_seconds(time).to_string();
        Some(Self {
            json: json.to_owned(),
            seconds: text.trim_end_matches('Z').to_owned(),
            nanoseconds: since.subsec_nanos(),
            unix: since.as_secs(),
        })
    }

    /// As it is in JSON.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// As Go prints it: `2026-12-01 11:15:46.5 +0000 UTC`.
    pub(super) fn text(&self) -> String {
        let fraction = format!(".{:09}", self.nanoseconds);
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        let seconds = self.seconds.replace('T', " ");
        format!("{seconds}{fraction} +0000 UTC")
    }

    /// What a method without arguments gives.
    pub(super) fn method(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Unix" => self.unix.into(),
            "UnixNano" => (self.unix * 1_000_000_000 + u64::from(self.nanoseconds)).into(),
            "Year" => self.number(0..4).into(),
            "Month" => self.month().into(),
            "Day" => self.number(8..10).into(),
            "Hour" => self.number(11..13).into(),
            "Minute" => self.number(14..16).into(),
            "Second" => self.number(17..19).into(),
            "Nanosecond" => self.nanoseconds.into(),
            "Weekday" => self.weekday().into(),
            "String" => self.text().into(),
            "UTC" | "Local" => json!({ MARK: self.json }),
            _ => return None,
        })
    }

    /// As a layout has it, which is the way in which the second of January 2006 would be written.
    pub(super) fn format(&self, layout: &str) -> String {
        let (mut out, mut rest) = (String::new(), layout);
        while let Some(letter) = rest.chars().next() {
            let known = self
                .parts()
                .into_iter()
                .find(|(part, _)| rest.starts_with(part));
            match known {
                Some((part, text)) => {
                    out += &text;
                    rest = &rest[part.len()..];
                }
                None => {
                    out.push(letter);
                    rest = &rest[letter.len_utf8()..];
                }
            }
        }
        out
    }

    /// What stands for what in a layout; of two with the same beginning the longer one first.
    fn parts(&self) -> [(&'static str, String); 29] {
        let (month, day, hour) = (self.number(5..7), self.number(8..10), self.number(11..13));
        let (minute, second) = (self.number(14..16), self.number(17..19));
        let half = if hour % 12 == 0 { 12 } else { hour % 12 };
        let noon = if hour < 12 { "AM" } else { "PM" };
        let two = |number: u64| format!("{number:02}");
        let fraction = format!("{:09}", self.nanoseconds);
        [
            ("2006", self.seconds[..4].to_owned()),
            ("January", self.month().to_owned()),
            ("Jan", self.month()[..3].to_owned()),
            ("Monday", self.weekday().to_owned()),
            ("Mon", self.weekday()[..3].to_owned()),
            ("MST", "UTC".to_owned()),
            ("Z07:00", "Z".to_owned()),
            ("-07:00", "+00:00".to_owned()),
            ("-0700", "+0000".to_owned()),
            (".000000000", format!(".{fraction}")),
            (".000000", format!(".{}", &fraction[..6])),
            (".000", format!(".{}", &fraction[..3])),
            ("01", two(month)),
            ("02", two(day)),
            ("03", two(half)),
            ("04", two(minute)),
            ("05", two(second)),
            ("06", self.seconds[2..4].to_owned()),
            ("15", two(hour)),
            ("_2", format!("{day:2}")),
            ("PM", noon.to_owned()),
            ("pm", noon.to_lowercase()),
            ("1", month.to_string()),
            ("2", day.to_string()),
            ("3", half.to_string()),
            ("4", minute.to_string()),
            ("5", second.to_string()),
            ("-07", "+00".to_owned()),
            ("Z0700", "Z".to_owned()),
        ]
    }

    fn number(&self, digits: std::ops::Range<usize>) -> u64 {
        self.seconds[digits].parse().unwrap_or(0)
    }

    fn month(&self) -> &'static str {
        let month = usize::try_from(self.number(5..7)).unwrap_or(1);
        MONTHS[(month.max(1) - 1) % MONTHS.len()]
    }

    fn weekday(&self) -> &'static str {
        let days = usize::try_from(self.unix / 86_400).unwrap_or(0);
        DAYS[days % DAYS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_printed_as_go_prints_it() {
        let time = Time::of(&marked(&json!("2026-12-01T11:05:46.5Z")).unwrap()).unwrap();
        assert_eq!(time.text(), "2026-12-01 11:05:46.5 +0000 UTC");
        for (layout, text) in [
            ("2006-01-02", "2026-12-01"),
            (
                "Mon, 02 Jan 2006 15:04:05 MST",
                "Tue, 01 Dec 2026 11:05:46 UTC",
            ),
            ("2006-01-02T15:04:05Z07:00", "2026-12-01T11:05:46Z"),
            ("Monday _2 January 3:04 PM", "Tuesday  1 December 11:05 AM"),
            ("15:04:05.000 -0700", "11:05:46.500 +0000"),
        ] {
            assert_eq!(time.format(layout), text);
        }
        assert_eq!(time.method("Unix"), Some(json!(1_796_123_146)));
        assert_eq!(time.method("Month"), Some(json!("December")));
        assert_eq!(time.method("Nothing"), None);
        let whole = Time::of(&marked(&json!("1970-01-01T02:00:00+02:00")).unwrap()).unwrap();
        assert_eq!(whole.text(), "1970-01-01 00:00:00 +0000 UTC");
        assert!(marked(&json!("2 hours ago")).is_none());
    }
}
