//! Signals by name and number (signal(7)).

/// Names without `SIG`, by number from 1 (the numbers of x86, ARM and RISC-V).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Reads `TERM`, `SIGTERM`, `sigterm` or `15`.
#[must_use]
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN+") {
        return offset
            .parse()
            .ok()
            .map(|offset: i32| 34 + offset)
            .filter(|number| *number <= 64);
    }
    let index = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(index + 1).ok()
}

/// The name of a signal with `SIG`, or its number where it has none.
#[must_use]
pub fn name(number: i32) -> String {
    let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
    match NAMES.get(index) {
        Some(name) => format!("SIG{name}"),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(parse(text), Some(libc::SIGTERM), "{text}");
        }
        assert_eq!(parse("USR2"), Some(libc::SIGUSR2));
        assert_eq!(parse("SYS"), Some(libc::SIGSYS));
        assert_eq!(parse("RTMIN+3"), Some(37));
        for text in ["", "0", "65", "-1", "NOPE"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(name(libc::SIGKILL), "SIGKILL");
    }
}
