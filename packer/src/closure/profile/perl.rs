//! Perl: the modules of its own, and the libraries that they load.

use super::{Needs, Profile, compiled_paths};
use crate::closure::process::{Process, file_name};

/// What other programs are compiled with.
const WITHOUT: [&str; 1] = ["CORE"];

/// Perl 5 and its own modules; those of other packages (`perl5`, `site_perl`) are not its own.
pub(super) const PERL: Profile = Profile {
    name: "perl",
    applies: |process| is_perl(process),
    needs: |host, process| {
        // Where it looks (@INC) stands in the library, or in the program where that holds everything.
        let library = process.named("libperl.so").unwrap_or(&process.objects[0]);
        let mut data = compiled_paths(host, library)?;
        data.retain(|path| is_own(path));
        Ok(Needs {
            data,
            without: WITHOUT.to_vec(),
            ..Needs::default()
        })
    },
};

/// `perl`, `perl5.36.0`, or whatever has the interpreter in it.
fn is_perl(process: &Process) -> bool {
    let name = file_name(&process.objects[0].host);
    let version = name.strip_prefix("perl");
    let is_version = |rest: &str| {
        rest.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    version.is_some_and(is_version) || process.named("libperl.so").is_some()
}

/// Whether a path is one of the folders for this version: `share/perl/5.36`, `lib/…/perl/5.36`,
/// `lib/…/perl-base`.
fn is_own(path: &str) -> bool {
    let mut steps = path.rsplit('/');
    let (last, above) = (
        steps.next().unwrap_or_default(),
        steps.next().unwrap_or_default(),
    );
    let is_version = last.starts_with(|letter: char| letter.is_ascii_digit());
    // What the administrator has installed is not perl's.
    !path.starts_with("/usr/local/") && (last == "perl-base" || is_version && above == "perl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_perl_itself_are_told_from_others() {
        for own in [
            "/usr/share/perl/5.36",
            "/usr/lib/x86_64-linux-gnu/perl/5.36",
            "/usr/lib/x86_64-linux-gnu/perl-base",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "/etc/perl",
            "/usr/share/perl5",
            "/usr/local/share/perl/5.36.0",
            "/usr/lib/x86_64-linux-gnu/perl5/5.36",
            "/usr/lib/debug/.dwz/x86_64-linux-gnu/perl-base.debug",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
