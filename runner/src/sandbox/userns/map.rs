//! Id maps of user namespaces (user_namespaces(7)).

use std::{fs, io};

use super::super::spec::Extent;

/// How many ids a container gets where the user has that many: as many as 16 bits can name.
const CONTAINER_IDS: u32 = 65_536;

/// Where root's subordinate ids begin when `/etc/subuid` names none: above the range that
/// systemd-nspawn takes its private ids from (0x80000 to 0x6fff_ffff).
const ROOT_BASE: u32 = 0x7000_0000;

/// The id inside that stands for the real root, far from what a container may have. Only our own
/// set-up processes see it: no container's map includes it.
const REAL_ROOT: u32 = 0xf000_0000;

/// The ids of a user namespace, as users and as groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// By user id.
    pub users: Vec<Extent>,
    /// By group id.
    pub groups: Vec<Extent>,
}

impl IdMap {
    pub(super) fn of_process(pid: i32) -> io::Result<Self> {
        Ok(Self {
            users: parse(&fs::read_to_string(format!("/proc/{pid}/uid_map"))?),
            groups: parse(&fs::read_to_string(format!("/proc/{pid}/gid_map"))?),
        })
    }

    /// Whether just one id is mapped: the user has no subordinate ids, or no `newuidmap`.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(self.users.as_slice(), [Extent { count: 1, .. }])
    }

    /// Whether these are root's: a container's are others than those of the process that makes it.
    pub(super) fn is_of_root(&self) -> bool {
        self.users.iter().any(|extent| extent.inside == REAL_ROOT)
    }

    /// The map as a user may see it: without the entry that only our own processes use.
    #[must_use]
    pub fn shown(&self) -> Self {
        Self {
            users: without_real_root(self.users.clone()),
            groups: without_real_root(self.groups.clone()),
        }
    }

    /// How many user ids a container gets.
    #[must_use]
    pub fn container_ids(&self) -> u64 {
        container(&self.users, 0)
            .iter()
            .map(|extent| u64::from(extent.count))
            .sum()
    }

    /// The maps of a container's own namespace nested in this one. A single id is given to
    /// `uid` and `gid`, so that an image whose user is not root works too.
    #[must_use]
    pub fn nested(&self, uid: u32, gid: u32) -> (Vec<Extent>, Vec<Extent>) {
        (container(&self.users, uid), container(&self.groups, gid))
    }
}

fn container(extents: &[Extent], single: u32) -> Vec<Extent> {
    if let [
        Extent {
            inside, count: 1, ..
        },
    ] = *extents
    {
        return vec![Extent {
            inside: single,
            outside: inside,
            count: 1,
        }];
    }
    // Extent by extent: one that spans two of the parent's is refused by the kernel.
    extents
        .iter()
        .filter(|extent| extent.inside != REAL_ROOT)
        .map(|extent| Extent {
            outside: extent.inside,
            ..*extent
        })
        .collect()
}

/// The map of a user without subordinate ids: root inside is the user.
pub(super) fn of_one(id: u32) -> Vec<Extent> {
    vec![Extent {
        inside: 0,
        outside: id,
        count: 1,
    }]
}

/// The map of a user with subordinate ids: root inside is the user, 1 and up are the others.
pub(super) fn of_user(id: u32, ranges: &[(u32, u32)]) -> Vec<Extent> {
    let mut extents = of_one(id);
    append(&mut extents, 1, ranges, CONTAINER_IDS);
    extents
}

/// The map without the entry that only our own processes use.
pub(super) fn without_real_root(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.retain(|extent| extent.inside != REAL_ROOT);
    extents
}

/// The map of root: no id of a container is an id of the host, not even root's.
pub(super) fn of_root(ranges: &[(u32, u32)]) -> Vec<Extent> {
    let own = [(ROOT_BASE, CONTAINER_IDS)];
    // A range of /etc/subuid that begins at 0 would be the host's own ids.
    let usable = ranges.iter().all(|&(start, _)| start >= CONTAINER_IDS) && !ranges.is_empty();
    let mut extents = Vec::new();
    append(
        &mut extents,
        0,
        if usable { ranges } else { &own },
        CONTAINER_IDS,
    );
    extents.push(Extent {
        inside: REAL_ROOT,
        outside: 0,
        count: 1,
    });
    extents
}

fn append(extents: &mut Vec<Extent>, mut inside: u32, ranges: &[(u32, u32)], mut wanted: u32) {
    for &(outside, count) in ranges {
        let count = count.min(wanted);
        if count == 0 {
            break;
        }
        extents.push(Extent {
            inside,
            outside,
            count,
        });
        inside += count;
        wanted -= count;
    }
}

/// The text of a map file: one line an extent.
pub(in crate::sandbox) fn to_text(extents: &[Extent]) -> String {
    extents
        .iter()
        .map(|extent| format!("{} {} {}\n", extent.inside, extent.outside, extent.count))
        .collect()
}

fn parse(text: &str) -> Vec<Extent> {
    text.lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(Extent {
                inside: next()?,
                outside: next()?,
                count: next()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(inside: u32, outside: u32, count: u32) -> Extent {
        Extent {
            inside,
            outside,
            count,
        }
    }

    #[test]
    fn a_container_of_a_user_with_subordinate_ids_has_them_extent_by_extent() {
        let users = of_user(1000, &[(100_000, 65_536)]);
        assert_eq!(users, [extent(0, 1000, 1), extent(1, 100_000, 65_536)]);
        let ids = IdMap {
            groups: users.clone(),
            users,
        };
        let (users, _) = ids.nested(5, 5);
        assert_eq!(users, [extent(0, 0, 1), extent(1, 1, 65_536)]);
        assert!(!ids.is_single());
    }

    #[test]
    fn a_single_id_is_the_images_user_inside() {
        let ids = IdMap {
            users: of_one(1000),
            groups: of_one(100),
        };
        let nested = ids.nested(65_532, 65_533);
        assert_eq!(
            nested,
            (vec![extent(65_532, 0, 1)], vec![extent(65_533, 0, 1)])
        );
        assert!(ids.is_single());
    }

    #[test]
    fn no_container_of_root_has_an_id_of_the_host() {
        for ranges in [&[][..], &[(0, 65_536)], &[(200_000, 65_536)]] {
            let users = of_root(ranges);
            for inner in container(&users, 0) {
                let outer = users.iter().find(|outer| outer.inside == inner.outside);
                assert!(outer.unwrap().outside >= 65_536, "{ranges:?}");
            }
        }
    }

    #[test]
    fn several_ranges_are_used_until_there_are_enough_ids() {
        let users = of_user(1, &[(1000, 60_000), (90_000, 60_000)]);
        let expected = [
            extent(0, 1, 1),
            extent(1, 1000, 60_000),
            extent(60_001, 90_000, 5_536),
        ];
        assert_eq!(users, expected);
    }

    #[test]
    fn a_map_file_is_read_as_the_kernel_pads_it() {
        let text = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(parse(text), of_user(1000, &[(100_000, 65_536)]));
    }
}
