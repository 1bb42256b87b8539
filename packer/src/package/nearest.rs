//! The known word that a misspelt one was probably meant to be.

/// The word of `known` that looks most like `word`.
///
/// # Panics
/// When nothing is known.
pub(crate) fn nearest(word: &str, known: &[&'static str]) -> &'static str {
    // Whoever wrote only the beginning of a word means it.
    let nearest = known
        .iter()
        .min_by_key(|known| (!known.starts_with(word), distance(word, known)));
    nearest.expect("something is known")
}

/// How many letters have to be put in, taken out or changed to turn `from` into `to` (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..to.len() {
            let change = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_recognised() {
        let known = ["env", "labels", "ports", "working-dir"];
        for (typed, meant) in [
            ("port", "ports"),
            ("Env", "env"),
            ("label", "labels"),
            ("workdir", "working-dir"),
            ("work", "working-dir"),
        ] {
            assert_eq!(nearest(typed, &known), meant);
        }
    }
}
