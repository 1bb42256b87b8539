//! Replacing variables and taking quotes away, as docker's own small shell does.

/// Nested alternatives, as in `${a:-${b:-c}}`.
const DEEPEST: usize = 20;

/// The longest text that variables may make of a word, in bytes.
const LONGEST: usize = 1 << 20;

/// Replaces `$name`, `${name}`, `${name:-word}`, `${name:+word}`, `${name:?message}` and the same
/// without the colon, and takes away quotes and escapes. What is not set is empty.
///
/// # Errors
/// A sentence about what is wrong.
pub fn expand(
    word: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expansion = Expansion {
        letters: word.chars().collect(),
        place: 0,
        escape,
        lookup,
        depth: 0,
        with_quotes: true,
    };
    expansion.until(None)
}

/// The same for a whole here-document, in which quotes are letters like others.
///
/// # Errors
/// A sentence about what is wrong.
pub fn expand_raw(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expansion = Expansion {
        letters: text.chars().collect(),
        place: 0,
        escape: '\\',
        lookup,
        depth: 0,
        with_quotes: false,
    };
    expansion.until(None)
}

struct Expansion<'a> {
    letters: Vec<char>,
    place: usize,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
    /// Whether quotes are taken away.
    with_quotes: bool,
}

impl Expansion<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.letters.get(self.place).copied();
        self.place += usize::from(letter.is_some());
        letter
    }

    fn peek(&self) -> Option<char> {
        self.letters.get(self.place).copied()
    }

    /// The text up to `end`, or to the end of the word.
    fn until(&mut self, end: Option<char>) -> Result<String, String> {
        let mut text = String::new();
        while let Some(letter) = self.next() {
            match letter {
                letter if Some(letter) == end => return Ok(text),
                '\'' if self.with_quotes => self.single_quoted(&mut text)?,
                '"' if self.with_quotes => self.double_quoted(&mut text)?,
                '$' => self.variable(&mut text)?,
                letter if letter == self.escape => text.extend(self.next()),
                letter => text.push(letter),
            }
            check(&text)?;
        }
        match end {
            None => Ok(text),
            Some(end) => Err(format!("\"{end}\" is missing")),
        }
    }

    fn single_quoted(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                None => return Err("a single quote is not closed".to_owned()),
                Some('\'') => return Ok(()),
                Some(letter) => text.push(letter),
            }
        }
    }

    fn double_quoted(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                None => return Err("a double quote is not closed".to_owned()),
                Some('"') => return Ok(()),
                Some('$') => self.variable(text)?,
                Some(letter) if letter == self.escape => match self.next() {
                    None => return Err("a double quote is not closed".to_owned()),
                    Some(next) if next == '"' || next == '$' || next == self.escape => {
                        text.push(next)
                    }
                    Some(next) => text.extend([letter, next]),
                },
                Some(letter) => text.push(letter),
            }
            check(text)?;
        }
    }

    /// What is behind a `$`.
    fn variable(&mut self, text: &mut String) -> Result<(), String> {
        match self.peek() {
            Some('{') => {
                self.place += 1;
                self.in_braces(text)
            }
            Some(letter) if is_name(letter) => {
                let name = self.name();
                text.push_str(&(self.lookup)(&name).unwrap_or_default());
                Ok(())
            }
            _ => {
                text.push('$');
                Ok(())
            }
        }
    }

    fn name(&mut self) -> String {
        let start = self.place;
        // As in a shell, $10 is $1 and a 0.
        if self.peek().is_some_and(|letter| letter.is_ascii_digit()) {
            self.place += 1;
        } else {
            while self.peek().is_some_and(is_name) {
                self.place += 1;
            }
        }
        self.letters[start..self.place].iter().collect()
    }

    fn in_braces(&mut self, text: &mut String) -> Result<(), String> {
        let start = self.place;
        while self.peek().is_some_and(is_name) {
            self.place += 1;
        }
        let name: String = self.letters[start..self.place].iter().collect();
        if name.is_empty() {
            return Err("\"${\" without the name of a variable".to_owned());
        }
        let value = (self.lookup)(&name);
        let (value, modifier) = match self.next() {
            Some('}') => {
                text.push_str(&value.unwrap_or_default());
                return Ok(());
            }
            // With a colon, empty counts as not set.
            Some(':') => (value.filter(|value| !value.is_empty()), self.next()),
            other => (value, other),
        };
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("more than {DEEPEST} variables in one another"));
        }
        let word = match modifier {
            Some('-' | '+' | '?') => self.until(Some('}'))?,
            Some(other) => {
                return Err(format!(
                    "\"{}\" behind the variable {name} is not known: :-, :+ and :? are",
                    other.escape_debug()
                ));
            }
            None => return Err("\"}\" is missing".to_owned()),
        };
        self.depth -= 1;
        match (modifier, value) {
            (Some('+'), Some(_)) => text.push_str(&word),
            (Some('+'), None) => {}
            (_, Some(value)) => text.push_str(&value),
            (Some('?'), None) if word.is_empty() => return Err(format!("{name} is not set")),
            (Some('?'), None) => return Err(format!("{name}: {word}")),
            (_, None) => text.push_str(&word),
        }
        Ok(())
    }
}

fn check(text: &str) -> Result<(), String> {
    match text.len() > LONGEST {
        true => Err(format!(
            "variables make a word of more than {LONGEST} bytes"
        )),
        false => Ok(()),
    }
}

fn is_name(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(word: &str) -> Result<String, String> {
        expand(word, '\\', &|name| match name {
            "x" => Some("X".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_replaced_and_quotes_are_gone() {
        for (word, text) in [
            ("a$x.b", "aX.b"),
            ("${x}y${none}", "Xy"),
            ("${none:-d}${empty:-e}${empty-f}", "de"),
            ("${x:+p}${none:+q}${empty+r}", "pr"),
            ("${none:-${x:-y}}", "X"),
            ("${none:-a b}", "a b"),
            ("'$x'\"$x\"", "$xX"),
            (r#""a\"b\$x\\c\n""#, r#"a"b$x\c\n"#),
            (r"\$x\ y\\", r"$x y\"),
            ("$", "$"),
            ("a$.b", "a$.b"),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(text), "{word}");
        }
    }

    #[test]
    fn what_is_no_word_is_said() {
        for (word, said) in [
            ("'a", "single quote"),
            ("\"a", "double quote"),
            ("${x", "}"),
            ("${", "name of a variable"),
            ("${none:?is needed}", "none: is needed"),
            ("${x#y}", "is not known"),
        ] {
            assert!(expanded(word).unwrap_err().contains(said), "{word}");
        }
        assert!(
            expanded(&"${a:-".repeat(1000))
                .unwrap_err()
                .contains("in one another")
        );
    }
}
