//! Paths inside an archive: relative, clean, and never leading out of it.

use super::Problem;

/// A path without `.` and empty parts. One that is absolute or has `..` in it is refused.
pub(super) fn clean(path: &str) -> Result<String, Problem> {
    if path.starts_with('/') || path.contains('\0') {
        return Err(Problem::Outside(path.to_owned()));
    }
    resolve("", path)
}

/// Where a symbolic link at `path` leads, from the root of the archive: `..` is allowed as long as
/// it stays inside.
pub(super) fn resolve(path: &str, target: &str) -> Result<String, Problem> {
    let outside = || Problem::Outside(target.chars().take(200).collect());
    if target.starts_with('/') {
        return Err(outside());
    }
    let is_link = !path.is_empty();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if is_link => {
                parts.pop().ok_or_else(outside)?;
            }
            ".." => return Err(outside()),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_path_has_only_names() {
        assert_eq!(clean("./a//b/./c/").unwrap(), "a/b/c");
        assert_eq!(clean("").unwrap(), "");
        for path in ["/a", "..", "a/../b", "a\0b"] {
            assert!(clean(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_link_is_followed_from_its_own_folder_and_stays_inside() {
        assert_eq!(resolve("a/b", "c").unwrap(), "a/c");
        assert_eq!(resolve("a/b", "../c/./d").unwrap(), "c/d");
        assert_eq!(resolve("a/b/c", "../../d").unwrap(), "d");
        for target in ["/etc", "../../c", "../a/../../c"] {
            assert!(resolve("a/b", target).is_err(), "{target}");
        }
    }
}
