//! Entries of `/etc/passwd` and `/etc/group` for numbers that the image has no names for: programs that
//! ask who they are expect an answer. An image without these files gets none.

use std::path::Path;

use super::user::{self, User};
use crate::sandbox::spec::ConfigFile;

/// The files of the image below `root` with an entry more, where `user` has none; `text` is how the user
/// was named.
pub(super) fn files(root: &Path, user: &User, text: &str) -> Vec<ConfigFile> {
    // Whom everybody knows; nothing is read for it.
    if (user.uid, user.gid) == (0, 0) {
        return Vec::new();
    }
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    let passwd = format!("{uid}:*:{uid}:{gid}:container user:{}:/bin/sh", user.home);
    let name = text.split(':').next().filter(|name| !name.is_empty());
    let group = format!("{gid}:x:{gid}:{}", name.unwrap_or("root"));
    let files = [("etc/passwd", &uid, passwd), ("etc/group", &gid, group)];
    let files = files.into_iter().filter_map(|(path, id, entry)| {
        let content = with_entry(&user::read(root, path), id, &entry)?;
        Some(ConfigFile {
            path: path.to_owned(),
            mode: 0o644,
            content,
        })
    });
    files.collect()
}

/// The file with `entry`, unless it is empty or knows the number `id`, its third field.
fn with_entry(file: &str, id: &str, entry: &str) -> Option<String> {
    let is_known = file.lines().any(|line| line.split(':').nth(2) == Some(id));
    (!file.is_empty() && !is_known).then(|| format!("{}\n{entry}\n", file.trim_end_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_without_a_name_gets_an_entry() {
        let passwd = "root:x:0:0:root:/root:/bin/sh";
        let entry = "7:*:7:0:container user:/:/bin/sh";
        let expected = format!("{passwd}\n{entry}\n");
        assert_eq!(with_entry(passwd, "7", entry), Some(expected));
        assert_eq!(with_entry(passwd, "0", entry), None);
        assert_eq!(with_entry("", "7", entry), None);
    }
}
