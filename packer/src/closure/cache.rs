//! Writes an `/etc/ld.so.cache` for the image.
//!
//! A library in a folder that only `ld.so.conf` names is found through the cache and in no other
//! way. Moving it would change its `$ORIGIN`, so the image gets a cache with exactly these.
//!
//! Source: glibc's `sysdeps/generic/dl-cache.h` (`struct cache_file_new`), `elf/dl-cache.c` for the
//! order, `sysdeps/**/ldconfig.h` for the flags.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use crate::elf::Machine;

/// `CACHEMAGIC_NEW` and `CACHE_VERSION`.
const MAGIC: &[u8; 20] = b"glibc-ld.so.cache1.1";
/// The bytes of a header and of an entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// `FLAG_ELF_LIBC6`.
const LIBC6: u32 = 3;
/// `cache_file_new_flags_endian_little`.
const LITTLE_ENDIAN: u8 = 2;

/// The cache of these libraries; `None` when there are none, or for a processor whose flag is not
/// known.
pub(super) fn write(machine: Machine, libraries: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    let flags = flag(machine)? | LIBC6;
    if libraries.is_empty() {
        return None;
    }
    // The loader searches by halving, from the greatest name down.
    let mut sorted: Vec<(&String, &String)> = libraries.iter().collect();
    sorted.sort_by_key(|(name, _)| Reverse(Name(name)));
    let mut texts = Vec::new();
    let mut entries = Vec::new();
    let before = HEADER + ENTRY * sorted.len();
    let mut text = |content: &str| {
        let at = before + texts.len();
        texts.extend_from_slice(content.as_bytes());
        texts.push(0);
        u32::try_from(at).ok()
    };
    for (name, path) in sorted {
        entries.extend(flags.to_le_bytes());
        entries.extend(text(name)?.to_le_bytes());
        entries.extend(text(path)?.to_le_bytes());
        entries.extend([0; 12]); // osversion, hwcap
    }
    let mut cache = MAGIC.to_vec();
    cache.extend(u32::try_from(libraries.len()).ok()?.to_le_bytes());
    cache.extend(u32::try_from(texts.len()).ok()?.to_le_bytes());
    cache.push(LITTLE_ENDIAN);
    cache.resize(HEADER, 0);
    cache.extend(entries);
    cache.extend(texts);
    Some(cache)
}

/// What tells the libraries of one processor from those of another.
fn flag(machine: Machine) -> Option<u32> {
    match machine.platform().ok()?.architecture.as_str() {
        "amd64" => Some(0x0300),
        "386" => Some(0),
        "arm64" => Some(0x0a00),
        "arm" => Some(0x0900),
        "ppc64le" => Some(0x0500),
        "riscv64" => Some(0x1000),
        "loong64" => Some(0x1200),
        _ => None,
    }
}

/// A name in the order of `_dl_cache_libcmp`: digits compare as numbers, and come after letters.
#[derive(PartialEq, Eq)]
struct Name<'a>(&'a str);

impl Ord for Name<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut one, mut two) = (self.0.as_bytes(), other.0.as_bytes());
        while let (Some(&first), Some(&second)) = (one.first(), two.first()) {
            let order = match (first.is_ascii_digit(), second.is_ascii_digit()) {
                (true, true) => number(&mut one).cmp(&number(&mut two)),
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => {
                    (one, two) = (&one[1..], &two[1..]);
                    first.cmp(&second)
                }
            };
            if order.is_ne() {
                return order;
            }
        }
        one.len().cmp(&two.len())
    }
}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Takes the number that `text` begins with.
fn number(text: &mut &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    number.iter().fold(0, |value, digit| {
        value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        let mut names = ["libb.so.10", "libb.so.9", "liba.so", "libb.so", "lib1.so"];
        names.sort_by_key(|name| Name(name));
        assert_eq!(
            names,
            ["liba.so", "libb.so", "libb.so.9", "libb.so.10", "lib1.so"]
        );
    }
}
