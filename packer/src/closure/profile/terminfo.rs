//! Programs for terminals: what curses reads about the terminal that `TERM` names.
//!
//! Source: terminfo(5), "Fetching Compiled Descriptions".

use super::{Needs, Profile, compiled_texts};
use crate::closure::process::Process;
use crate::closure::{ClosureError, Loaded};

/// What the part of ncurses that reads them is called: on its own, or with the rest of it.
const LIBRARIES: [&str; 3] = ["libtinfo", "libncursesw.so", "libncurses.so"];

/// ncurses, which has a list of its folders in it.
pub(super) const TERMINFO: Profile = Profile {
    name: "terminfo",
    applies: |process| library(process).is_some(),
    needs: |host, process| {
        let mut needs = Needs::default();
        if let Some(library) = library(process) {
            let lists: Result<Vec<Vec<String>>, ClosureError> =
                compiled_texts(host, library, folders);
            needs.data = lists?.concat();
            needs.data.sort_unstable();
            needs.data.dedup();
        }
        Ok(needs)
    },
};

fn library<'a>(process: &'a Process<'_>) -> Option<&'a Loaded> {
    LIBRARIES.into_iter().find_map(|name| process.named(name))
}

/// `/etc/terminfo:/lib/terminfo:/usr/share/terminfo`
fn folders(text: &str) -> Option<Vec<String>> {
    let folders: Vec<&str> = text.split(':').collect();
    let is_one = |folder: &&str| folder.starts_with('/') && folder.ends_with("/terminfo");
    let all = folders.iter().all(is_one);
    all.then(|| folders.into_iter().map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_folders_is_told_from_other_texts() {
        let list = folders("/etc/terminfo:/usr/share/terminfo").unwrap();
        assert_eq!(list, ["/etc/terminfo", "/usr/share/terminfo"]);
        for text in ["%s/.terminfo", "TERMINFO", "/etc/terminfo:", ""] {
            assert_eq!(folders(text), None, "{text}");
        }
    }
}
