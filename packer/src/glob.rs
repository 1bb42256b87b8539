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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Letter(char),
    AnyLetter,
    AnyText,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern for one step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn new(text: &str) -> Result<Self, InvalidPattern> {
        let refuse = |reason| InvalidPattern {
            pattern: text.to_owned(),
            reason,
        };
        let mut parts = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            parts.push(match letter {
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
            });
        }
        Ok(Self(parts))
    }

    /// Whether it fits `name`, from beginning to end. Takes at most `name` times `pattern` steps.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let letters: Vec<char> = name.chars().collect();
        let (mut part, mut letter) = (0, 0);
        // Where to go on when what follows the last `*` does not fit.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(part), letters.get(letter)) {
                (None, None) => return true,
                (Some(Part::AnyText), _) => {
                    retry = Some((part, letter));
                    part += 1;
                    continue;
                }
                (Some(one), Some(&found)) if one.fits(found) => {
                    part += 1;
                    letter += 1;
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((star, from)) if from < letters.len() => {
                    retry = Some((star, from + 1));
                    (part, letter) = (star + 1, from + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn fits(&self, found: char) -> bool {
        match self {
            Self::Letter(letter) => *letter == found,
            Self::AnyLetter => true,
            Self::AnyText => false,
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
