//! A disk of this machine.

/// Its numbers, major and minor, and its path.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn first() -> (u32, u32, String) {
    // A line of headings and an empty one come first (proc(5)).
    let table = std::fs::read_to_string("/proc/partitions").expect("/proc");
    let line = table.lines().nth(2).expect("a disk");
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |at: usize| words[at].parse().expect("a number");
    (number(0), number(1), format!("/dev/{}", words[3]))
}
