//! Who a container's program runs as: `user[:group]`, looked up in the image's own `/etc/passwd` and
//! `/etc/group`.
//!
//! The two files come from the image and are not to be trusted: they are opened inside the
//! image's root only, must be regular files, and no more than a bounded part of them is read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

/// The most that is read of a file: a system with 10,000 users has 700 kB.
const LONGEST: u64 = 1 << 20;

/// A user as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The supplementary group ids.
    pub groups: Vec<u32>,
    /// The home directory, `/` if the image does not know the user.
    pub home: String,
}

/// A user that can not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to find {what} \"{}\": no matching entry in the image's {file}", .name.escape_debug())]
pub struct UnknownUser {
    what: &'static str,
    name: String,
    file: &'static str,
}

/// Looks `text` up in the files below `root`. Empty means root. Numbers need no entry.
///
/// # Errors
/// [`UnknownUser`] for a name that the image does not have.
pub fn find(root: &Path, text: &str) -> Result<User, UnknownUser> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let passwd = read(root, "etc/passwd");
    let groups = read(root, "etc/group");
    look_up(
        &passwd,
        &groups,
        if user.is_empty() { "0" } else { user },
        group,
    )
}

/// The numbers of groups, names of the files below `root` or numbers.
///
/// # Errors
/// [`UnknownUser`] for a name that is in none of them.
pub fn groups(root: &Path, names: &[String]) -> Result<Vec<u32>, UnknownUser> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let file = read(root, "etc/group");
    names.iter().map(|name| find_group(&file, name)).collect()
}

/// The name of the user `uid` in the files below `root`.
#[must_use]
pub fn name(root: &Path, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    read(root, "etc/passwd").lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

fn look_up(
    passwd: &str,
    groups: &str,
    user: &str,
    group: Option<&str>,
) -> Result<User, UnknownUser> {
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else {
            return None;
        };
        let found = name == user || uid == user;
        found.then(|| Some((name, uid.parse().ok()?, gid.parse().ok()?, home)))?
    });
    let (name, uid, gid, home) = match (entry, user.parse::<u32>()) {
        (Some(entry), _) => entry,
        (None, Ok(uid)) => ("", uid, 0, "/"),
        (None, Err(_)) => {
            return Err(UnknownUser {
                what: "user",
                name: user.to_owned(),
                file: "/etc/passwd",
            });
        }
    };
    let gid = match group.filter(|group| !group.is_empty()) {
        None => gid,
        Some(group) => find_group(groups, group)?,
    };
    // A group that was named replaces those that the user is a member of, as with docker.
    let supplementary = match group {
        None if !name.is_empty() => memberships(groups, name),
        _ => Vec::new(),
    };
    Ok(User {
        uid,
        gid,
        groups: supplementary,
        home: if home.is_empty() { "/" } else { home }.to_owned(),
    })
}

fn find_group(groups: &str, group: &str) -> Result<u32, UnknownUser> {
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == group).then(|| fields.nth(1)?.parse().ok())?
    });
    named
        .or_else(|| group.parse().ok())
        .ok_or_else(|| UnknownUser {
            what: "group",
            name: group.to_owned(),
            file: "/etc/group",
        })
}

fn memberships(groups: &str, user: &str) -> Vec<u32> {
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let gid = fields.nth(2)?.parse().ok()?;
            let is_member = fields.next()?.split(',').any(|member| member == user);
            is_member.then_some(gid)
        })
        .collect()
}

/// The beginning of a regular file below `root`; nothing if there is none.
pub(super) fn read(root: &Path, path: &str) -> String {
    let open = || -> rustix::io::Result<File> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, root, flags, Mode::empty())?;
        // Not blocking: it may be a FIFO that nobody ever writes to.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(root, path, flags, Mode::empty(), resolve)?.into())
    };
    let mut text = Vec::new();
    if let Ok(file) = open() {
        let is_file = fstat(&file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if is_file {
            let _ = file.take(LONGEST).read_to_end(&mut text);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Random;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:100:Ann:/home/ann:/bin/sh\n";
    const GROUPS: &str = "root:x:0:\nusers:x:100:\nadm:x:4:bob,ann\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
        }
    }

    #[test]
    fn names_and_numbers_are_found() {
        for (name, group, expected) in [
            ("ann", None, user(1000, 100, &[4], "/home/ann")),
            ("1000", None, user(1000, 100, &[4], "/home/ann")),
            ("ann", Some("adm"), user(1000, 4, &[], "/home/ann")),
            ("ann", Some("77"), user(1000, 77, &[], "/home/ann")),
            ("4242", None, user(4242, 0, &[], "/")),
            ("0", None, user(0, 0, &[], "/root")),
        ] {
            assert_eq!(look_up(PASSWD, GROUPS, name, group), Ok(expected), "{name}");
        }
    }

    #[test]
    fn unknown_names_and_names_with_separators_are_refused() {
        for name in ["bob", "ann\nroot", "-1", "4294967296"] {
            assert!(look_up(PASSWD, GROUPS, name, None).is_err(), "{name}");
        }
        assert!(look_up(PASSWD, GROUPS, "ann", Some("nobody")).is_err());
    }

    #[test]
    fn noise_has_the_ids_that_stand_in_it_and_no_others() {
        const PIECES: [&str; 14] = [
            "ann",
            "root",
            ":",
            ":x:",
            "\n",
            "0",
            "7:8",
            "1000",
            "-1",
            "4294967295",
            "4294967296",
            ",",
            "\u{0}",
            "ü",
        ];
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let mut found = 0;
        for _ in 0..20_000 {
            let [passwd, groups] = [(), ()].map(|()| random.text(&PIECES, 40));
            for (user, group) in [
                ("ann", None),
                ("1000", None),
                ("ann", Some("root")),
                ("", Some("")),
            ] {
                let Ok(user) = look_up(&passwd, &groups, user, group) else {
                    continue;
                };
                let ids = [user.uid, user.gid].into_iter().chain(user.groups);
                let mut named = ids
                    .filter(|id| ![0, 1000].contains(id))
                    .map(|id| id.to_string());
                assert!(
                    named.all(|id| passwd.contains(&id) || groups.contains(&id)),
                    "{passwd:?} {groups:?}"
                );
                assert!(!user.home.is_empty(), "{passwd:?}");
                found += 1;
            }
        }
        assert!(found > 20_000, "the noise is too wild: {found}");
    }

    #[test]
    fn a_fifo_or_a_link_out_of_the_image_is_no_user_file() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("etc/passwd")).unwrap();
        let fifo = root.path().join("etc/group");
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        assert_eq!(find(root.path(), "root").map(|user| user.uid).ok(), None);
        assert_eq!(find(root.path(), "5").map(|user| user.uid), Ok(5));
    }
}
