//! The options of mounts (config.md, "Linux mount options"; mount(8)).

use std::path::Path;

use super::config::{self, Linux};
use super::translate::extents;
use crate::sandbox::spec::{Attributes, Extent, ListedMount, Mount, Mounted, Propagation};

// The attributes of mount_setattr(2).
const READ_ONLY: u64 = 0x1;
const NO_SUID: u64 = 0x2;
const NO_DEV: u64 = 0x4;
const NO_EXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NO_ATIME: u64 = 0x10;
const STRICT_ATIME: u64 = 0x20;
const RELATIVE_ATIME: u64 = 0;
const NO_DIR_ATIME: u64 = 0x80;
const NO_SYMLINK_FOLLOW: u64 = 0x20_0000;

/// What an option does to the attributes: the bits that it sets and clears.
const ATTRIBUTES: [(&str, u64, u64); 17] = [
    ("ro", READ_ONLY, 0),
    ("rw", 0, READ_ONLY),
    ("nosuid", NO_SUID, 0),
    ("suid", 0, NO_SUID),
    ("nodev", NO_DEV, 0),
    ("dev", 0, NO_DEV),
    ("noexec", NO_EXEC, 0),
    ("exec", 0, NO_EXEC),
    ("noatime", NO_ATIME, ATIME),
    ("atime", RELATIVE_ATIME, ATIME),
    ("relatime", RELATIVE_ATIME, ATIME),
    ("norelatime", RELATIVE_ATIME, ATIME),
    ("strictatime", STRICT_ATIME, ATIME),
    ("nostrictatime", RELATIVE_ATIME, ATIME),
    ("nodiratime", NO_DIR_ATIME, 0),
    ("diratime", 0, NO_DIR_ATIME),
    ("nosymfollow", NO_SYMLINK_FOLLOW, 0),
];

/// Words of fstab(5) that say nothing here, and what is so anyway.
const NOTHING: [&str; 8] = [
    "defaults",
    "remount",
    "silent",
    "loud",
    "async",
    "nomand",
    "noiversion",
    "nolazytime",
];

/// Every option that is understood beside those of the file systems.
pub(super) fn known() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|(name, ..)| *name);
    let travelling = Propagation::WORDS.iter().map(|(name, _)| *name);
    let mut known: Vec<String> = attributes
        .chain(travelling)
        .flat_map(|name| [name.to_owned(), format!("r{name}")])
        .chain(NOTHING.map(str::to_owned))
        .chain(["bind", "idmap", "rbind", "ridmap", "tmpcopyup"].map(str::to_owned))
        .collect();
    known.sort();
    known
}

/// A mount as the sandbox makes it.
///
/// # Errors
/// One line that names the mount.
pub(super) fn mount(
    mount: &config::Mount,
    bundle: &Path,
    label: Option<&str>,
) -> anyhow::Result<Mount> {
    let target = target(&mount.destination)?;
    let mut found = Options::default();
    for option in mount.options.iter().flatten() {
        found.read(option);
    }
    let kind = mount.kind.as_deref().unwrap_or("");
    let is_bind = found.bind.is_some() || kind == "bind" || kind == "rbind";
    let source = mount.source.as_deref().unwrap_or("");
    let what = if is_bind {
        anyhow::ensure!(!source.is_empty(), "mounts: {target} has no source");
        Mounted::Path {
            source: bundle.join(source),
            recursive: found.bind.unwrap_or(kind == "rbind"),
        }
    } else if kind == "cgroup" || kind == "cgroup2" {
        Mounted::Cgroups
    } else {
        anyhow::ensure!(!kind.is_empty(), "mounts: {target} has no type");
        if let Some(label) = label.filter(|label| !label.is_empty() && takes_label(kind)) {
            let option = ("context".to_owned(), Some(label.to_owned()));
            found.own.push(option);
        }
        Mounted::FileSystem {
            kind: kind.to_owned(),
            source: if source.is_empty() { kind } else { source }.to_owned(),
            options: found.own,
        }
    };
    Ok(Mount::Listed(Box::new(ListedMount {
        target,
        what,
        attributes: found.attributes,
        recursive: found.recursive,
        propagation: found.propagation,
        prepared: None,
        copy_up: found.copy_up,
    })))
}

/// Whether the files of a file system of this kind get the SELinux label of the container's mounts: those
/// of the kernel's own have labels of the kernel's.
fn takes_label(kind: &str) -> bool {
    !matches!(kind, "proc" | "sysfs" | "mqueue")
}

/// Other ids that the files of a mount have.
#[derive(Debug)]
pub(super) struct IdMap {
    pub(super) users: Vec<Extent>,
    pub(super) groups: Vec<Extent>,
    /// Whether the files of the mounts below have them too.
    pub(super) recursive: bool,
}

/// The ids that a mount asks for: its own, or with the option alone those of the container.
pub(super) fn id_map(mount: &config::Mount, linux: &Linux) -> anyhow::Result<Option<IdMap>> {
    let mut options = mount.options.iter().flatten();
    let asked = options.find_map(|option| id_map_option(option));
    let own = [&mount.uid_mappings, &mount.gid_mappings].map(extents);
    let has_own = own.iter().any(|map| !map.is_empty());
    let [users, groups] = match asked {
        Some((_, Some(text))) => id_map_in_words(text).map_err(|error| {
            let target = mount.destination.escape_debug();
            anyhow::anyhow!("mounts: {target}: idmap={}: {error}", text.escape_debug())
        })?,
        _ if has_own => own,
        Some(_) => [&linux.uid_mappings, &linux.gid_mappings].map(extents),
        None => return Ok(None),
    };
    anyhow::ensure!(
        !users.is_empty() && !groups.is_empty(),
        "mounts: {} needs uidMappings and gidMappings, its own or the container's",
        mount.destination.escape_debug()
    );
    Ok(Some(IdMap {
        users,
        groups,
        recursive: asked.is_some_and(|(recursive, _)| recursive),
    }))
}

/// Whether `option` gives files other ids: if those of the mounts below too, and which, if it says that.
fn id_map_option(option: &str) -> Option<(bool, Option<&str>)> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    match name {
        "idmap" => Some((false, value)),
        "ridmap" => Some((true, value)),
        _ => None,
    }
}

/// crun's way to write the ids into the option: `uids=0-1000-1#1-2000-5;gids=…`, each the id on disk, the
/// one that is seen and how many follow.
fn id_map_in_words(text: &str) -> anyhow::Result<[Vec<Extent>; 2]> {
    let mut maps = [Vec::new(), Vec::new()];
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (map, extents) = match part.split_once('=') {
            Some(("uids", extents)) => (&mut maps[0], extents),
            Some(("gids", extents)) => (&mut maps[1], extents),
            _ => anyhow::bail!("uids=… and gids=… are expected"),
        };
        for extent in extents.split('#') {
            let numbers: Vec<u32> = extent
                .split('-')
                .filter_map(|word| word.parse().ok())
                .collect();
            let [inside, outside, count] = numbers[..] else {
                anyhow::bail!("{} is no ID-ID-COUNT", extent.escape_debug());
            };
            map.push(Extent {
                inside,
                outside,
                count,
            });
        }
    }
    Ok(maps)
}

/// Where it goes. A relative path is an old way to say the same.
fn target(destination: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        !destination.is_empty() && !destination.split('/').any(|name| name == ".."),
        "mounts: the destination \"{}\" is no path inside",
        destination.escape_debug()
    );
    let names = destination
        .split('/')
        .filter(|name| !matches!(*name, "" | "."));
    Ok(names.fold(String::new(), |path, name| path + "/" + name))
}

/// What the options say together.
#[derive(Debug, Default)]
struct Options {
    attributes: Attributes,
    recursive: Attributes,
    propagation: Vec<(Propagation, bool)>,
    /// Whether it is a bind mount, and one with all below it.
    bind: Option<bool>,
    copy_up: bool,
    /// What the file system itself understands.
    own: Vec<(String, Option<String>)>,
}

impl Options {
    fn read(&mut self, option: &str) {
        if let Some(found) = Propagation::parse(option) {
            self.propagation.push(found);
        } else if let Some(change) = attribute(option) {
            apply(&mut self.attributes, change);
        } else if let Some(change) = option.strip_prefix('r').and_then(attribute) {
            apply(&mut self.recursive, change);
        } else {
            match option {
                "bind" => self.bind = Some(self.bind.unwrap_or(false)),
                "rbind" => self.bind = Some(true),
                "tmpcopyup" => self.copy_up = true,
                // Read by `id_map`.
                option if id_map_option(option).is_some() => {}
                word if word.is_empty() || NOTHING.contains(&word) => {}
                own => self.own.push(match own.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (own.to_owned(), None),
                }),
            }
        }
    }
}

fn attribute(option: &str) -> Option<(u64, u64)> {
    let found = ATTRIBUTES.iter().find(|(name, ..)| *name == option)?;
    Some((found.1, found.2))
}

/// The last one counts.
fn apply(attributes: &mut Attributes, (set, clear): (u64, u64)) {
    attributes.set = attributes.set & !clear | set;
    attributes.clear = attributes.clear & !(set & !ATIME) | clear;
}
