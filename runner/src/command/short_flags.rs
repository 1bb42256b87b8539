//! Short flags with their value in the same word, as podman and docker take them: `-p8080:80`, `-e=A=b`,
//! `-itw/tmp`.
//!
//! Before the words of a program, among which anything may stand, the parser takes such a word for the first
//! of these. Then it is read here, and everything once more.

use std::ffi::OsString;

use clap::Command;

/// The words that a word of short flags of `verb` stands for; `None` if it is none.
pub(super) fn spread(word: &str, verb: &Command) -> Option<Vec<OsString>> {
    let cluster = word
        .strip_prefix('-')
        .filter(|rest| rest.chars().count() > 1 && !rest.starts_with('-'))?;
    let mut words = Vec::new();
    for (place, letter) in cluster.char_indices() {
        let flag = verb
            .get_arguments()
            .find(|argument| argument.get_short() == Some(letter))?;
        words.push(format!("-{letter}").into());
        if flag.get_action().takes_values() {
            let value = &cluster[place + letter.len_utf8()..];
            if !value.is_empty() {
                words.push(value.strip_prefix('=').unwrap_or(value).into());
            }
            break;
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    #[test]
    fn a_value_may_follow_its_letter() {
        let flag = |name, letter| Arg::new(name).short(letter);
        let switch = |name, letter| flag(name, letter).action(ArgAction::SetTrue);
        let verb = Command::new("run").args([
            switch("interactive", 'i'),
            switch("tty", 't'),
            flag("env", 'e'),
            flag("workdir", 'w'),
        ]);
        let spread = |word| {
            let words = spread(word, &verb)?;
            Some(words.join(" ".as_ref()).into_string().unwrap())
        };
        for (word, expected) in [
            ("-eA=b", Some("-e A=b")),
            ("-e=A=b", Some("-e A=b")),
            ("-e=", Some("-e ")),
            ("-itw/tmp", Some("-i -t -w /tmp")),
            ("-ite", Some("-i -t -e")),
            ("-w/é", Some("-w /é")),
            ("-ix", None),
            ("-é", None),
            ("-e", None),
            ("-", None),
            ("--env=A", None),
            ("image", None),
        ] {
            assert_eq!(spread(word).as_deref(), expected, "{word}");
        }
    }
}
