//! A set of inode numbers that stays small.
//!
//! A file system numbers what is made together with numbers that lie together, so a set of them is
//! kept as bits, 256 to a group: a million files take some 200 kB.

use std::collections::HashMap;

/// A set of inode numbers.
#[derive(Debug, Default)]
pub(super) struct Inodes(HashMap<u64, [u64; 4]>);

impl Inodes {
    pub(super) fn insert(&mut self, inode: u64) {
        let (group, word, bit) = Self::place(inode);
        self.0.entry(group).or_default()[word] |= bit;
    }

    pub(super) fn contains(&self, inode: u64) -> bool {
        let (group, word, bit) = Self::place(inode);
        self.0
            .get(&group)
            .is_some_and(|words| words[word] & bit != 0)
    }

    pub(super) fn clear(&mut self) {
        self.0 = HashMap::new();
    }

    fn place(inode: u64) -> (u64, usize, u64) {
        let word = usize::from((inode >> 6 & 3) as u8);
        (inode >> 8, word, 1 << (inode & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_put_in_is_there() {
        let mut set = Inodes::default();
        let members = [0, 63, 64, 255, 256, u64::MAX];
        for inode in members {
            set.insert(inode);
        }
        for inode in members {
            assert!(set.contains(inode), "{inode}");
        }
        for inode in [1, 62, 65, 254, 257, u64::MAX - 1] {
            assert!(!set.contains(inode), "{inode}");
        }
    }
}
