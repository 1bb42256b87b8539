//! The entries of a tree by their paths. A tree may have hundreds of thousands of them, so they are
//! kept in little room: the nodes of a map that grows in order are half empty, so what is large lies
//! beside the map.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::{Content, Entry};

/// Entries, ordered by the bytes of their paths.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    /// Where the entry of a path is.
    places: BTreeMap<Box<OsStr>, u32>,
    entries: Vec<Entry>,
}

impl Entries {
    pub(super) fn get(&self, path: &Path) -> Option<&Entry> {
        self.places
            .get(path.as_os_str())
            .map(|&place| &self.entries[place as usize])
    }

    /// What had the path is replaced.
    pub(super) fn insert(&mut self, path: &Path, entry: Entry) {
        match self.places.get(path.as_os_str()) {
            Some(&place) => self.entries[place as usize] = entry,
            None => {
                let place = u32::try_from(self.entries.len()).expect("no disk has so many files");
                self.places.insert(path.as_os_str().into(), place);
                self.entries.push(entry);
            }
        }
    }

    /// Takes an entry away. Its room stays, because that is seldom.
    pub(super) fn remove(&mut self, path: &Path) -> Option<Entry> {
        let place = self.places.remove(path.as_os_str())?;
        let nothing = Entry::new(0, Content::Directory);
        Some(std::mem::replace(
            &mut self.entries[place as usize],
            nothing,
        ))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.places
            .iter()
            .map(|(path, &place)| (Path::new(path), &self.entries[place as usize]))
    }
}

/// The same entries at the same paths.
impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Entries {}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Entry {
        Entry::new(0o644, Content::Bytes(text.into()))
    }

    #[test]
    fn entries_are_in_the_order_of_their_paths_however_they_came() {
        let (mut one, mut other) = (Entries::default(), Entries::default());
        for path in ["b", "a/x", "a", "a-x"] {
            one.insert(Path::new(path), file(path));
        }
        for path in ["a", "c", "a-x", "a/x", "b"] {
            other.insert(Path::new(path), file("old"));
            other.insert(Path::new(path), file(path));
        }
        assert_ne!(one, other);
        assert_eq!(other.remove(Path::new("c")), Some(file("c")));
        assert_eq!(other.remove(Path::new("c")), None);
        assert_eq!(one, other);
        let paths: Vec<&Path> = one.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a-x", "a/x", "b"].map(Path::new));
        assert_eq!(one.get(Path::new("a/x")), Some(&file("a/x")));
    }

    /// With the path in the map, and 24 bytes for it, this is less than 200 bytes a file.
    #[test]
    fn an_entry_takes_little_room() {
        assert!(size_of::<Entry>() <= 120, "{}", size_of::<Entry>());
    }
}
