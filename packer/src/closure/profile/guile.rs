//! Guile: its modules as source and compiled, and the libraries that they load.

use std::collections::BTreeMap;

use super::{Needs, Profile, compiled_paths};

/// Guile itself, with the modules of its own; modules of other packages (`site`) are not its own.
pub(super) const GUILE: Profile = Profile {
    name: "guile",
    applies: |process| process.named("libguile-").is_some(),
    needs: |host, process| {
        let mut data = Vec::new();
        if let Some(library) = process.named("libguile-") {
            data = compiled_paths(host, library)?;
            data.retain(|path| is_own(path));
        }
        // What is compiled is there already, and the user of an image could write it nowhere.
        let variables = [("GUILE_AUTO_COMPILE".to_owned(), "0".to_owned())];
        Ok(Needs {
            data,
            environment: BTreeMap::from(variables),
            ..Needs::default()
        })
    },
};

/// Whether a path is one of the folders for this version: `share/guile/3.0`,
/// `lib/…/guile/3.0/ccache`, `lib/…/guile/3.0/extensions`.
fn is_own(path: &str) -> bool {
    let is_version = |step: &str| step.starts_with(|letter: char| letter.is_ascii_digit());
    let mut steps = path.rsplit('/');
    let (last, above) = (
        steps.next().unwrap_or_default(),
        steps.next().unwrap_or_default(),
    );
    match last {
        "ccache" | "extensions" => is_version(above),
        version => is_version(version) && above == "guile",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_guile_itself_are_told_from_others() {
        for own in [
            "/usr/share/guile/3.0",
            "/usr/lib/x86_64-linux-gnu/guile/3.0/ccache",
            "/gnu/store/abc-guile-3.0.9/lib/guile/3.0/extensions",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "/usr/share/guile",
            "/usr/share/guile/site/3.0",
            "/usr/lib/x86_64-linux-gnu/guile/3.0/site-ccache",
            "/build/guile-3.0-x/guile-3.0-3.0.8",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
