//! What of a folder is no part of the context: `.containerignore`, else `.dockerignore`.
//!
//! The last pattern that fits a path, or a folder that it lies in, decides; one behind `!` takes back
//! what others left out.
//!
//! Source: docker's "Build context", `.dockerignore`; containerignore(5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::glob::{InvalidPattern, Pattern};
use crate::rootfs::plain;

/// The patterns, in their order.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    /// `!`: what fits is part of the context after all.
    keeps: bool,
}

/// Why there are no patterns.
#[derive(Debug, thiserror::Error)]
pub enum IgnoreError {
    /// The file cannot be read.
    #[error("{} cannot be read: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A line is no pattern.
    #[error("{}:{line}:1: {reason}", .path.display())]
    Pattern {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Ignore {
    /// The patterns for the file `containerfile` and the folder `context`: those beside the former go
    /// first.
    pub(super) fn find(containerfile: &Path, context: &Path) -> Result<Self, IgnoreError> {
        let mut beside = containerfile.as_os_str().to_owned();
        beside.push(".dockerignore");
        let places = [
            PathBuf::from(beside),
            context.join(".containerignore"),
            context.join(".dockerignore"),
        ];
        for path in places {
            match fs::read_to_string(&path) {
                Ok(text) => return Self::parse(&text, &path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(IgnoreError::Unreadable { path, cause }),
            }
        }
        Ok(Self::default())
    }

    fn parse(text: &str, path: &Path) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let invalid = |error: InvalidPattern| IgnoreError::Pattern {
                path: path.to_owned(),
                line: number + 1,
                reason: error.to_string(),
            };
            rules.extend(Rule::parse(line.trim()).map_err(invalid)?);
        }
        Ok(Self { rules })
    }

    /// Whether a path, seen from the folder, is left out.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let mut left_out = false;
        for rule in &self.rules {
            if rule.keeps == left_out && rule.fits(&path) {
                left_out = !rule.keeps;
            }
        }
        left_out
    }

    /// Whether anything that is left out may be taken back, so that folders have to be looked into.
    pub(super) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.keeps)
    }
}

impl Rule {
    /// A line that names the folder itself says nothing.
    fn parse(line: &str) -> Result<Option<Self>, InvalidPattern> {
        let (keeps, text) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let text = plain(Path::new(text));
        if text.as_os_str().is_empty() {
            return Ok(None);
        }
        let pattern = Pattern::of_path(&text.to_string_lossy())?;
        Ok(Some(Self { pattern, keeps }))
    }

    fn fits(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        folders.chain([path]).any(|path| self.pattern.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(text: &str, path: &str) -> bool {
        let ignore = Ignore::parse(text, Path::new(".dockerignore")).unwrap();
        ignore.leaves_out(Path::new(path))
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        for (text, path, expected) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a/", "a/b", true),
            ("*/temp*", "x/temporary/y", true),
            ("*/temp*", "x/y/temp", false),
            ("**/temp", "x/y/temp", true),
            ("**/temp", "temp", true),
            ("x/**", "x/y/z", true),
            ("x/**/z", "x/z", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "other.md", true),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            ("*\n!src/**/*.c", "src/a/b.c", false),
            ("*\n!src/**/*.c", "src/a/b.h", true),
            ("# a\n\n.\n", "# a", false),
            ("a?c", "abc", true),
        ] {
            assert_eq!(left_out(text, path), expected, "{text:?} {path}");
        }
        let error = Ignore::parse("a\n[b", Path::new("x/.dockerignore")).unwrap_err();
        assert!(
            error.to_string().starts_with("x/.dockerignore:2:1: "),
            "{error}"
        );
    }
}
