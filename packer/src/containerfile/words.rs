//! From a logical line to its words, which keep their quotes until variables are replaced.

/// The first word and what is behind it.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.find(char::is_whitespace) {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

/// The words between white space, quotes or not.
pub(super) fn split_plain(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The words of a text. White space in quotes or behind the escape character parts none.
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), text);
    loop {
        let (word, behind) = next(rest, escape);
        if word.is_empty() {
            return words;
        }
        words.push(word.to_owned());
        rest = behind;
    }
}

/// The next word with its quotes, and what is behind it.
pub(super) fn next(text: &str, escape: char) -> (&str, &str) {
    let text = text.trim_start();
    let mut letters = text.char_indices();
    let mut quote = None;
    while let Some((place, letter)) = letters.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => return text.split_at(place),
            // In single quotes nothing has a meaning but their end.
            (open, letter) if letter == escape && open != Some('\'') => drop(letters.next()),
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
    }
    (text, "")
}

/// The list of strings that a text is in JSON, if it is one.
pub(super) fn json(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())?
}
