//! The signal that asks a program to end.

use std::fmt;
use std::str::FromStr;

/// The signals that can end a program by their names (signal(7)).
const NAMES: [&str; 30] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "KILL", "PIPE",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
];

/// The signal that an engine sends first when a container is stopped: `SIGTERM`, `SIGRTMIN+3`, `15`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopSignal(String);

/// A text that is no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no signal: SIGTERM, SIGRTMIN+3 or a number from 1 to 64 is one", .0.escape_debug())]
pub struct InvalidSignal(String);

impl FromStr for StopSignal {
    type Err = InvalidSignal;

    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = |text: &str, range: std::ops::RangeInclusive<u8>| {
            text.bytes().all(|byte| byte.is_ascii_digit())
                && text.parse().is_ok_and(|number| range.contains(&number))
        };
        if number(text, 1..=64) {
            return Ok(Self(text.to_owned()));
        }
        let real_time = ["RTMIN+", "RTMAX-"]
            .iter()
            .find_map(|base| name.strip_prefix(base));
        let known = NAMES.contains(&name) || name == "RTMIN" || name == "RTMAX" || name == "XFSZ";
        match known || real_time.is_some_and(|offset| number(offset, 0..=30)) {
            true => Ok(Self(format!("SIG{name}"))),
            false => Err(InvalidSignal(text.to_owned())),
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_name_or_a_number() {
        for (text, signal) in [
            ("TERM", "SIGTERM"),
            ("sigquit", "SIGQUIT"),
            ("SIGRTMIN+3", "SIGRTMIN+3"),
            ("15", "15"),
        ] {
            assert_eq!(text.parse::<StopSignal>().unwrap().to_string(), signal);
        }
        for text in [
            "",
            "0",
            "65",
            "SIG",
            "SIGNAL",
            "+1",
            "SIGRTMIN+",
            "SIGRTMIN+31",
        ] {
            assert!(text.parse::<StopSignal>().is_err(), "{text}");
        }
    }
}
