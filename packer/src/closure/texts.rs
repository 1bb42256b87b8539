//! The texts inside a compiled file: what a library was told when it was compiled, such as the
//! folder of its modules, is a constant in it and nowhere else.

use std::io::{self, Read};

/// A text that is longer is no path.
const LONGEST: usize = 4096;

/// Calls `found` with each run of bytes between two zero bytes that is printable UTF-8 and not
/// longer than a path may be. Needs 64 KiB and a little more, however long the file is.
pub(super) fn each(mut file: impl Read, mut found: impl FnMut(&str)) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut run = Vec::new();
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut pieces = buffer[..count].split(|&byte| byte == 0).peekable();
        while let Some(piece) = pieces.next() {
            let room = (LONGEST + 1).saturating_sub(run.len());
            run.extend_from_slice(&piece[..piece.len().min(room)]);
            // What follows the last zero byte goes on in the next buffer.
            if pieces.peek().is_some() {
                report(&run, &mut found);
                run.clear();
            }
        }
    }
}

fn report(run: &[u8], found: &mut impl FnMut(&str)) {
    if run.is_empty() || run.len() > LONGEST {
        return;
    }
    if let Ok(text) = std::str::from_utf8(run)
        && !text.chars().any(char::is_control)
    {
        found(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_between_zero_bytes() {
        let long = "x".repeat(LONGEST + 1);
        let file = format!("\x7fELF\x01\0/usr/lib/\0\0{long}\0/b\0not ended");
        let mut texts = Vec::new();
        each(file.as_bytes(), |text| texts.push(text.to_owned())).unwrap();
        assert_eq!(texts, ["/usr/lib/", "/b"]);
    }

    #[test]
    fn a_text_may_lie_across_two_reads() {
        let file = [&[b'a'; 65_530][..], b"\0/a/long/path\0"].concat();
        let mut texts = Vec::new();
        each(file.as_slice(), |text| texts.push(text.to_owned())).unwrap();
        assert_eq!(texts, ["/a/long/path"]);
    }
}
