//! What did not run, because something is not on this machine.
//!
//! A machine without docker must still pass the tests, and a test that silently did nothing is
//! worse than none. So a test that cannot run says why: at once on standard error, past the test
//! harness that hides the output of tests that pass, and once more in the summary that the last
//! suite prints. In CI everything is installed, so there it is a failure.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Why something cannot run on this machine: "docker is not installed".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(String);

impl Missing {
    /// A reason, in words that fit behind "did not run, because".
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Says that `test` did not run, and remembers it for the summary.
///
/// # Panics
/// With `CI=true` in the environment, where everything has to run.
pub fn did_not_run(test: &str, missing: &Missing) {
    let line = format!("{test}: did not run, because {missing}");
    // A write to the handle, and not `eprintln!`: the harness captures only the latter.
    let _ = writeln!(std::io::stderr(), "{line}");
    assert!(
        std::env::var_os("CI").is_none_or(|value| value != "true"),
        "{line}"
    );
    let list = list();
    let opened = fs::create_dir_all(list.parent().expect("the list lies in a folder"))
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&list));
    opened
        .and_then(|mut file| writeln!(file, "{line}"))
        .unwrap_or_else(|error| panic!("{}: {error}", list.display()));
}

/// Takes the lines that the suites of this `cargo test` have left, and those that killed ones left.
#[must_use]
pub fn take_all() -> Vec<String> {
    let list = list();
    let lines = fs::read_to_string(&list).unwrap_or_default();
    let _ = fs::remove_file(&list);
    remove_orphans(&list);
    lines.lines().map(str::to_owned).collect()
}

/// The list of this `cargo test`: the suites are its children, so its process id names the list.
fn list() -> PathBuf {
    crate::binaries::target_folder()
        .join("did-not-run")
        .join(std::os::unix::process::parent_id().to_string())
}

fn remove_orphans(list: &std::path::Path) {
    let Some(entries) = list.parent().and_then(|folder| fs::read_dir(folder).ok()) else {
        return;
    };
    for entry in entries.flatten() {
        let owner = PathBuf::from("/proc").join(entry.file_name());
        if !owner.exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Takes the value out of a `Result<_, Missing>`, or says that the test did not run and leaves it.
#[macro_export]
macro_rules! require {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(missing) => {
                fn here() {}
                let name = std::any::type_name_of_val(&here);
                $crate::missing::did_not_run(name.trim_end_matches("::here"), &missing);
                return;
            }
        }
    };
}

/// Defines one test that runs as root, as a user with subordinate ids and as a user without.
#[macro_export]
macro_rules! for_each_account {
    ($(#[$meta:meta])* fn $name:ident($world:ident) $body:block) => {
        $(#[$meta])*
        mod $name {
            use super::*;

            fn check($world: &$crate::World) $body

            #[test]
            fn as_root() {
                check(&$crate::require!($crate::World::new($crate::Mode::Root)));
            }

            #[test]
            fn as_user_with_subordinate_ids() {
                check(&$crate::require!($crate::World::new($crate::Mode::Mapped)));
            }

            #[test]
            fn as_user_without_subordinate_ids() {
                check(&$crate::require!($crate::World::new($crate::Mode::Single)));
            }
        }
    };
}
