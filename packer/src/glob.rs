//! Patterns for one step of a path: `*`, `?`, `[a-z]`, `[^a-z]` and `\` before a letter that means
//! itself.
//!
//! Source: glob(7); Go's `path/filepath.Match`, which docker uses, is the same but for `[!a-z]`,
//! which both shells and we take too.

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no pattern: {reason}", .pattern.escape_debug())]
pub(crate) struct InvalidPattern {
    pattern: String,
    reason: &'static str,
}

/// One thing that a pattern asks for.
/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Letter(char),
    AnyLetter,
    AnyText,
    /// Any number of whole steps, each with its slash; behind it stands [`Part::InSteps`].
    AnySteps,
    /// In the middle of such a step.
    InSteps,
    /// Any text, with slashes.
    AnyPath,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern for one step of a path, or for a path of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
    /// Nothing but `**` and a slash fits a slash.
    of_path: bool,
}

impl Pattern {
    /// A pattern for one step.
    pub(crate) fn new(text: &str) -> Result<Self, InvalidPattern> {
        Self::read(text, false)
    }

    /// A pattern for a path, in which `**` stands for any number of steps.
    pub(crate) fn of_path(text: &str) -> Result<Self, InvalidPattern> {
        Self::read(text, true)
    }

    fn read(text: &str, of_path: bool) -> Result<Self, InvalidPattern> {
        let refuse = |reason| InvalidPattern {
            pattern: text.to_owned(),
            reason,
        };
        let mut parts = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '*' if of_path && letters.as_str().starts_with('*') => {
                    letters = letters.as_str().trim_start_matches('*').chars();
                    let at_start = matches!(parts.last(), None | Some(Part::Letter('/')));
                    match letters.as_str().strip_prefix('/') {
                        Some(rest) if at_start => {
                            letters = rest.chars();
                            parts.push(Part::AnySteps);
                            Part::InSteps
                        }
                        _ => Part::AnyPath,
                    }
                }
                '*' if parts.last() == Some(&Part::AnyText) => continue,
                '*' => Part::AnyText,
                '?' => Part::AnyLetter,
                '\\' => Part::Letter(
                    letters
                        .next()
                        .ok_or_else(|| refuse("it ends with \"\\\""))?,
                ),
                '[' => set(&mut letters).ok_or_else(|| refuse("a \"[\" is not closed"))?,
                other => Part::Letter(other),
            };
            parts.push(part);
        }
        Ok(Self { parts, of_path })
    }

    /// Whether the pattern fits the whole of `name`. Every place in the pattern at which the match
    /// may be is followed at once, so no pattern takes longer than its length times the name's.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut places = vec![false; self.parts.len() + 1];
        places[0] = true;
        self.skip(&mut places);
        for letter in name.chars() {
            let mut next = vec![false; self.parts.len() + 1];
            for (place, part) in self.parts.iter().enumerate() {
                if !places[place] {
                    continue;
                }
                let is_slash = self.of_path && letter == '/';
                match part {
                    Part::AnyText if !is_slash => next[place] = true,
                    Part::AnyPath => next[place] = true,
                    Part::AnySteps => next[place + 1] = true,
                    Part::InSteps => {
                        next[place] = true;
                        next[place + 1] |= letter == '/';
                    }
                    Part::Letter(own) if *own == letter => next[place + 1] = true,
                    one if !is_slash && one.fits(letter) => next[place + 1] = true,
                    _ => {}
                }
            }
            places = next;
            self.skip(&mut places);
        }
        places[self.parts.len()]
    }

    /// What may be nothing is passed.
    fn skip(&self, places: &mut [bool]) {
        for (place, part) in self.parts.iter().enumerate() {
            match part {
                Part::AnyText | Part::AnyPath if places[place] => places[place + 1] = true,
                Part::AnySteps if places[place] => places[place + 2] = true,
                _ => {}
            }
        }
    }
}

impl Part {
    fn fits(&self, found: char) -> bool {
        match self {
            Self::Letter(letter) => *letter == found,
            Self::AnyLetter => true,
            Self::AnyText | Self::AnySteps | Self::InSteps | Self::AnyPath => false,
            Self::Set { negated, ranges } => {
                let within = |&(first, last): &(char, char)| (first..=last).contains(&found);
                ranges.iter().any(within) != *negated
            }
        }
    }
}

/// Reads a set behind its `[`.
fn set(letters: &mut std::str::Chars<'_>) -> Option<Part> {
    let negated = letters.as_str().starts_with(['^', '!']);
    if negated {
        letters.next();
    }
    let mut ranges = Vec::new();
    loop {
        let mut one = || match letters.next() {
            Some('\\') => letters.next(),
            other => other,
        };
        let first = one()?;
        if first == ']' && !ranges.is_empty() {
            return Some(Part::Set { negated, ranges });
        }
        let last = match letters.as_str().strip_prefix('-') {
            Some(rest) if !rest.starts_with(']') => {
                letters.next();
                match letters.next()? {
                    '\\' => letters.next()?,
                    last => last,
                }
            }
            _ => first,
        };
        ranges.push((first, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, fits, misfits) in [
            (
                "*.conf",
                &["a.conf", ".conf"][..],
                &["a.conf.bak", "conf"][..],
            ),
            ("a?c", &["abc", "aüc"], &["ac", "abbc"]),
            ("[a-cx]1", &["a1", "x1"], &["d1", "-1"]),
            ("[^a-c]", &["d"], &["a", ""]),
            ("[!a]", &["b"], &["a"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("a*b*c", &["abc", "axxbyyc", "abbcc"], &["acb", "ab"]),
            ("\\*", &["*"], &["a"]),
            ("", &[""], &["a"]),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            for name in fits {
                assert!(pattern.matches(name), "{pattern:?} {name}");
            }
            for name in misfits {
                assert!(!pattern.matches(name), "{pattern:?} {name}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = Pattern::new(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(2000))));
    }

    #[test]
    fn an_open_set_is_no_pattern() {
        for text in ["[a", "[", "a\\", "[a-"] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }
}
