//! From text to logical lines: directives, comments, continuations and here-documents.

use super::words::first_word;
use super::{Fault, Position, words};

/// A file that is given in the Containerfile itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, and the name of the file.
    pub name: String,
    /// What is in it, with its last line break.
    pub content: String,
    /// Whether variables in it are replaced: the word was not in quotes.
    pub expands: bool,
}

/// An instruction in one line, with the here-documents behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) position: Position,
    pub(super) text: String,
    pub(super) heredocs: Vec<Heredoc>,
}

/// What begins a here-document.
#[derive(Debug)]
struct Beginning {
    name: String,
    expands: bool,
    /// `<<-`: tabs at the beginnings of lines are taken away.
    without_tabs: bool,
}

/// Instructions that may have here-documents.
const WITH_HEREDOCS: [&str; 3] = ["ADD", "COPY", "RUN"];

/// The escape character, and the logical lines.
pub(super) fn split(text: &str) -> Result<(char, Vec<Line>), Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let physical: Vec<&str> = text.lines().collect();
    let escape = escape(&physical)?;
    let (mut lines, mut next) = (Vec::new(), 0);
    while next < physical.len() {
        let first = physical[next];
        let trimmed = first.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            next += 1;
            continue;
        }
        let position = Position {
            line: next + 1,
            column: first[..first.len() - trimmed.len()].chars().count() + 1,
        };
        let (text, after) = joined(&physical, next, escape);
        next = after;
        let (heredocs, after) = heredocs(&physical, next, &text, position)?;
        next = after;
        lines.push(Line {
            position,
            text,
            heredocs,
        });
    }
    Ok((escape, lines))
}

/// Directives stand before everything else, also before other comments.
fn escape(physical: &[&str]) -> Result<char, Fault> {
    for (number, line) in physical.iter().enumerate() {
        let Some(directive) = line.trim_start().strip_prefix('#') else {
            break;
        };
        let Some((key, value)) = directive.split_once('=') else {
            break;
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        match (key.as_str(), value) {
            ("escape", "\\") => return Ok('\\'),
            ("escape", "`") => return Ok('`'),
            ("escape", _) => {
                let position = Position {
                    line: number + 1,
                    column: 1,
                };
                let message = "escape is \\ or `".to_owned();
                return Err(Fault { position, message });
            }
            // The grammar is one; a newer one than is known shows in what is not understood.
            ("syntax" | "check", _) => {}
            _ => break,
        }
    }
    Ok('\\')
}

/// The line at `start` with those that continue it, and the number of the one behind.
fn joined(physical: &[&str], start: usize, escape: char) -> (String, usize) {
    let mut text = String::new();
    let mut next = start;
    while next < physical.len() {
        let line = physical[next];
        next += 1;
        let is_first = next == start + 1;
        // Comments and empty lines between continued ones mean nothing.
        if !is_first && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        let line = if is_first { line.trim_start() } else { line };
        match continued(line, escape) {
            Some(part) => text.push_str(part),
            None => {
                text.push_str(line);
                break;
            }
        }
    }
    (text.trim_end().to_owned(), next)
}

/// The line without the escape at its end, if it goes on. Two of them are one that means itself.
fn continued(line: &str, escape: char) -> Option<&str> {
    let part = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!part.ends_with(escape)).then_some(part)
}

/// The here-documents that a line begins, and the number of the line behind them.
fn heredocs(
    physical: &[&str],
    mut next: usize,
    text: &str,
    position: Position,
) -> Result<(Vec<Heredoc>, usize), Fault> {
    let (keyword, rest) = first_word(text);
    let mut heredocs = Vec::new();
    if !WITH_HEREDOCS.contains(&keyword.to_ascii_uppercase().as_str()) {
        return Ok((heredocs, next));
    }
    for begin in words::split_plain(rest).into_iter().filter_map(beginning) {
        let mut content = String::new();
        loop {
            let Some(line) = physical.get(next) else {
                let message = format!(
                    "the here-document has no end: a line \"{}\"",
                    begin.name.escape_debug()
                );
                return Err(Fault { position, message });
            };
            next += 1;
            let line = match begin.without_tabs {
                true => line.trim_start_matches('\t'),
                false => line,
            };
            if line == begin.name {
                break;
            }
            content.push_str(line);
            content.push('\n');
        }
        heredocs.push(Heredoc {
            name: begin.name,
            content,
            expands: begin.expands,
        });
    }
    Ok((heredocs, next))
}

/// Whether a word begins a here-document: `<<EOF`, `<<-"EOF"`.
pub(super) fn is_heredoc(word: &str) -> bool {
    beginning(word).is_some()
}

fn beginning(word: &str) -> Option<Beginning> {
    let rest = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (without_tabs, name) = match rest.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, rest),
    };
    let quoted = |quote: char| name.strip_prefix(quote)?.strip_suffix(quote);
    let bare = quoted('"').or_else(|| quoted('\''));
    let name = bare.unwrap_or(name);
    let is_plain = !name.is_empty() && !name.contains(['<', '"', '\'', '/', '$']);
    is_plain.then(|| Beginning {
        name: name.to_owned(),
        expands: bare.is_none(),
        without_tabs,
    })
}
