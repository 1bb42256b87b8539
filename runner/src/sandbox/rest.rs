//! Waiting for long, in little memory.
//!
//! The processes that stay beside a container do nothing for most of their life, and there may be
//! many. When nothing has happened for a second, such a process lets go of the memory of its own
//! program; what it needs again comes back from the page cache, piece by piece. The kernel brings sixteen
//! pages for each that is touched, so between that and the end of the wait nothing else is done.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::event::{PollFd, Timespec, poll};

use super::syscalls;

/// How long a process stays awake.
pub(crate) const AWAKE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Waits as poll(2) does, awake first.
pub(crate) fn wait(set: &mut [PollFd<'_>], limit: Option<&Timespec>) -> rustix::io::Result<usize> {
    let Some(later) = limit.map_or(Some(None), |limit| later(limit).map(Some)) else {
        return poll(set, limit);
    };
    match poll(set, Some(&AWAKE)) {
        Ok(0) => sleep(set, later.as_ref()),
        ready => ready,
    }
}

/// What is left of `limit` after being awake, if there is anything.
fn later(limit: &Timespec) -> Option<Timespec> {
    let tv_sec = limit.tv_sec - AWAKE.tv_sec;
    let later = Timespec { tv_sec, ..*limit };
    (tv_sec >= 0).then_some(later)
}

/// Waits as poll(2) does, at rest.
pub(crate) fn sleep(set: &mut [PollFd<'_>], limit: Option<&Timespec>) -> rustix::io::Result<usize> {
    static OWN_PROGRAM: OnceLock<Vec<Range<usize>>> = OnceLock::new();
    if let Some((code, others)) = OWN_PROGRAM.get_or_init(own_program).split_first() {
        others.iter().for_each(syscalls::let_go);
        // Last: from here on nothing is called that lies elsewhere.
        syscalls::let_go(code);
    }
    poll(set, limit)
}

/// Where this process has its program, as far as it is what the file holds and will always be; this very
/// code is in the first part.
fn own_program() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let pages = File::open("/proc/self/pagemap").ok();
    let (mut code, mut constants) = (Vec::new(), Vec::new());
    for line in maps.lines() {
        match (part(line), &pages) {
            (Some((Part::Code, range)), _) => code.push(range),
            (Some((Part::Constants, range)), Some(pages)) => {
                constants.extend(unchanged(pages, range));
            }
            _ => {}
        }
    }
    code.extend(constants);
    code
}

/// What a mapping of a program holds.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Never written to.
    Code,
    /// Perhaps written to by relocations, before it became read-only.
    Constants,
}

/// What a line of `/proc/self/maps` tells of.
fn part(line: &str) -> Option<(Part, Range<usize>)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let part = match fields.next()? {
        "r-xp" => Part::Code,
        "r--p" => Part::Constants,
        _ => return None,
    };
    let parse = |text| usize::from_str_radix(text, 16).ok();
    let is_of_file = fields.nth(2)? != "0";
    is_of_file.then_some((part, parse(start)?..parse(end)?))
}

/// The pages of `range` that no write has replaced (proc_pid_pagemap(5)).
fn unchanged(pages: &File, range: Range<usize>) -> Vec<Range<usize>> {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const OF_FILE: u64 = 1 << 61;
    let size = rustix::param::page_size();
    let mut entries = vec![0; range.len() / size * 8];
    let place = range.start / size * 8;
    if pages.read_exact_at(&mut entries, place as u64).is_err() {
        return Vec::new();
    }
    let is_unchanged = |entry: &[u8; 8]| {
        let entry = u64::from_ne_bytes(*entry);
        entry & SWAPPED == 0 && entry & (PRESENT | OF_FILE) != PRESENT
    };
    let (entries, _) = entries.as_chunks();
    let mut found: Vec<Range<usize>> = Vec::new();
    for (start, _) in range
        .step_by(size)
        .zip(entries)
        .filter(|page| is_unchanged(page.1))
    {
        match found.last_mut().filter(|last| last.end == start) {
            Some(last) => last.end += size,
            None => found.push(start..start + size),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_constants_of_files_are_found() {
        let path = "/usr/bin/runner";
        for (line, expected) in [
            (
                "1000-3000 r--p 00000000 fe:00 326426",
                Some((Part::Constants, 0x1000..0x3000)),
            ),
            (
                "3000-5000 r-xp 00002000 fe:00 326426",
                Some((Part::Code, 0x3000..0x5000)),
            ),
            ("6000-7000 rw-p 00005000 fe:00 326426", None),
            ("7000-8000 r-xp 00000000 00:00 0 [vdso]", None),
            ("8000-9000 r--s 00000000 fe:00 326426", None),
        ] {
            assert_eq!(part(&format!("{line} {path}")), expected, "{line}");
        }
    }

    #[test]
    fn a_page_that_was_written_to_is_kept_and_its_neighbours_are_not() {
        let size = rustix::param::page_size();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![b'f'; 4 * size]).unwrap();
        let start = syscalls::map_privately(&file, 4 * size).unwrap();
        syscalls::write_byte(start + size, b'w');
        let pages = File::open("/proc/self/pagemap").unwrap();
        let all = start..start + 4 * size;
        let found = unchanged(&pages, all.clone());
        assert_eq!(found, [start..start + size, start + 2 * size..all.end]);
        found.iter().for_each(syscalls::let_go);
        assert_eq!(syscalls::read_byte(start + size), b'w');
        assert_eq!(syscalls::read_byte(start), b'f');
    }

    #[test]
    fn a_wait_ends_in_time_whether_awake_or_at_rest() {
        for limit in [0, 300_000_000, 1_200_000_000_i64] {
            let limit = Timespec {
                tv_sec: limit / 1_000_000_000,
                tv_nsec: limit % 1_000_000_000,
            };
            let begin = std::time::Instant::now();
            assert_eq!(wait(&mut [], Some(&limit)), Ok(0));
            let wanted = std::time::Duration::try_from(limit).unwrap();
            assert!(begin.elapsed() >= wanted, "{limit:?}");
        }
        let pipe = std::io::pipe().unwrap();
        drop(pipe.1);
        let mut set = [PollFd::new(&pipe.0, rustix::event::PollFlags::IN)];
        assert_eq!(sleep(&mut set, None), Ok(1));
    }
}
