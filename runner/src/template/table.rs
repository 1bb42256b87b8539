//! Columns as podman prints them: at least twelve wide, two spaces apart.

/// The least width of a column, the space after it included.
const LEAST: usize = 12;
const SPACE: usize = 2;

/// Aligns the cells of all lines; a tab stands between two cells. The last cell of a line is as
/// wide as it is.
#[must_use]
pub fn align(lines: &str) -> String {
    let rows: Vec<Vec<&str>> = lines
        .split_inclusive('\n')
        .map(|line| line.split('\t').collect())
        .collect();
    let mut widths = Vec::new();
    for row in &rows {
        for (at, cell) in row[..row.len() - 1].iter().enumerate() {
            if widths.len() == at {
                widths.push(LEAST);
            }
            widths[at] = widths[at].max(cell.chars().count() + SPACE);
        }
    }
    let mut aligned = String::with_capacity(lines.len() * 2);
    for row in &rows {
        let (last, others) = row.split_last().unwrap_or((&"", &[]));
        for (cell, width) in others.iter().zip(&widths) {
            aligned.push_str(cell);
            let space = width - cell.chars().count();
            aligned.extend(std::iter::repeat_n(' ', space));
        }
        aligned.push_str(last);
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            align("a\tb\tc\nlonger than twelve\té\tc\nalone\n"),
            "a                   b           c\n\
             longer than twelve  é           c\n\
             alone\n"
        );
        assert_eq!(align(""), "");
    }
}
