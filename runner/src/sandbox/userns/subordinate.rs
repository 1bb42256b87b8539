//! `/etc/subuid` and `/etc/subgid`: the ids that the administrator gave to a user (subuid(5)).

use std::fs;

/// The ranges of `uid` in the file at `path`, as first id and count, in the file's order.
///
/// A line names the user by name or by number. A file that is not there means no ranges; a line
/// that makes no sense is passed over, as `newuidmap` does.
pub(super) fn ranges(path: &str, uid: u32) -> Vec<(u32, u32)> {
    let Ok(text) = fs::read_to_string(path) else {
        return Vec::new();
    };
    parse(&text, uid, user_name(uid).as_deref())
}

fn parse(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let mine = owner == number || Some(owner) == name;
            // A range that wraps around would map ids that nobody gave.
            let sane = count > 0 && u32::checked_add(start, count).is_some();
            (mine && sane && fields.next().is_none()).then_some((start, count))
        })
        .collect()
}

/// The name of the user in `/etc/passwd`.
fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let number = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Random;

    #[test]
    fn lines_by_name_and_by_number_count() {
        let text = "root:1:2\nann:100:10\n1000:200:20\nbob:300:30\n";
        assert_eq!(parse(text, 1000, Some("ann")), [(100, 10), (200, 20)]);
    }

    #[test]
    fn noise_gives_only_ranges_that_stand_in_it() {
        const PIECES: [&str; 12] = [
            "ann:",
            "1000:",
            "bob:",
            "ann:5:",
            "1000:7:65536\n",
            ":",
            "\n",
            "0",
            "65536",
            "4294967295",
            "-1",
            "ü",
        ];
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut found = 0;
        for _ in 0..50_000 {
            let text = random.text(&PIECES, 30);
            for (start, count) in parse(&text, 1000, Some("ann")) {
                assert!(count > 0 && start.checked_add(count).is_some(), "{text:?}");
                let line = |line: &str| {
                    let mut fields = line.trim().split(':');
                    fields
                        .next()
                        .is_some_and(|owner| ["ann", "1000"].contains(&owner))
                        && fields.map(str::parse).eq([Ok(start), Ok(count)])
                };
                assert!(text.lines().any(line), "{text:?}");
                found += 1;
            }
        }
        assert!(found > 500, "the noise is too wild: {found}");
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let text = "ann\nann:x:1\nann:1\nann:1:0\nann:4294967295:2\nann:1:2:3\n\nann:5:6\n";
        assert_eq!(parse(text, 1000, Some("ann")), [(5, 6)]);
    }
}
