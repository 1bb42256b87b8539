//! The flags that make a compiled program static and the same everywhere, beside the user's own.
//!
//! Cargo takes flags from one of four places only and forgets the others
//! (<https://doc.rust-lang.org/cargo/reference/config.html#buildrustflags>), so ours have to be put
//! into the place that the user's are in. The flags hold paths of this host, and that does no harm:
//! since 1.85 cargo leaves them out of what the names of symbols are made of.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

use super::ProgramError;
use super::target::Target;

/// Where the user's own flags are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Home {
    /// In `CARGO_ENCODED_RUSTFLAGS` or `RUSTFLAGS`, which go before every file.
    Environment(Vec<String>),
    /// In `target.TRIPLE.rustflags` or `target.'cfg(…)'.rustflags` of a configuration file.
    Target,
    /// In `build.rustflags` of one, or nowhere.
    Build,
}

/// Gives `cargo` our flags without taking the user's away.
pub(super) fn apply(
    cargo: &mut Command,
    target: &Target,
    workspace: &Path,
    folder: &Path,
) -> Result<(), ProgramError> {
    let cargo_home = cargo_home();
    let user = UserFlags::find(target, folder, &cargo_home)?;
    let ours = flags(target, workspace, &cargo_home, user.linker_is_chosen);
    match user.home {
        Home::Environment(mut flags) => {
            flags.extend(ours);
            cargo.env_remove("RUSTFLAGS");
            cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        }
        Home::Target => {
            cargo.arg("--config");
            cargo.arg(setting(
                &format!("target.{}.rustflags", target.triple),
                &ours,
            ));
        }
        Home::Build => {
            cargo.arg("--config");
            cargo.arg(setting("build.rustflags", &ours));
        }
    }
    Ok(())
}

/// Our own flags.
fn flags(
    target: &Target,
    workspace: &Path,
    cargo_home: &Path,
    linker_is_chosen: bool,
) -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    // The toolchain's own linker, so that no C compiler is needed and none can be seen in the bytes.
    if target.is_musl && target.has_rust_lld && !linker_is_chosen {
        flags.push("-Clinker=rust-lld".to_owned());
    }
    flags.push("-Cstrip=symbols".to_owned());
    let mut remap = |from: &Path, to: &str| {
        let real = from.canonicalize().unwrap_or_else(|_| from.to_owned());
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        if real != from {
            flags.push(format!("--remap-path-prefix={}={to}", real.display()));
        }
    };
    remap(cargo_home, "/cargo");
    remap(workspace, "/src");
    // With the rust-src component installed, this is where paths of the standard library point.
    if let Some(commit) = &target.commit {
        let source = target.sysroot.join("lib/rustlib/src/rust");
        remap(&source, &format!("/rustc/{commit}"));
    }
    flags
}

/// A setting for `--config`: a list of strings in TOML.
fn setting(key: &str, flags: &[String]) -> String {
    let list: Vec<Value> = flags
        .iter()
        .map(|flag| Value::String(flag.clone()))
        .collect();
    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
    format!("{key}=[{}]", list.join(", "))
}

fn cargo_home() -> PathBuf {
    let home = env::var_os("CARGO_HOME").filter(|home| !home.is_empty());
    let home = home.map_or_else(
        || env::home_dir().unwrap_or_default().join(".cargo"),
        PathBuf::from,
    );
    std::path::absolute(&home).unwrap_or(home)
}

/// What the user has said about flags and linkers.
#[derive(Debug, PartialEq, Eq)]
struct UserFlags {
    home: Home,
    /// A linker, or flags for one: they would not suit another linker.
    linker_is_chosen: bool,
}

impl UserFlags {
    fn find(target: &Target, folder: &Path, cargo_home: &Path) -> Result<Self, ProgramError> {
        let files = configuration(folder, cargo_home)?;
        let mut found = Self::in_files(&files, &target.triple);
        let triple = target.triple.to_uppercase().replace('-', "_");
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        found.linker_is_chosen |= set(&format!("CARGO_TARGET_{triple}_LINKER")).is_some();
        let words = |text: String| text.split_whitespace().map(ToOwned::to_owned).collect();
        let build = set("CARGO_BUILD_RUSTFLAGS");
        found.linker_is_chosen |= build.is_some_and(|flags| mentions_linker(&flags));
        if let Some(flags) = set(&format!("CARGO_TARGET_{triple}_RUSTFLAGS")) {
            found.linker_is_chosen |= mentions_linker(&flags);
            found.home = Home::Target;
        }
        let environment = match (set("CARGO_ENCODED_RUSTFLAGS"), set("RUSTFLAGS")) {
            (Some(encoded), _) => Some(encoded.split('\x1f').map(ToOwned::to_owned).collect()),
            (None, plain) => plain.map(words),
        };
        if let Some(flags) = environment {
            let flags: Vec<String> = flags;
            found.linker_is_chosen |= mentions_linker(&flags.join(" "));
            found.home = Home::Environment(flags);
        }
        Ok(found)
    }

    fn in_files(files: &[Table], triple: &str) -> Self {
        let mut found = Self {
            home: Home::Build,
            linker_is_chosen: false,
        };
        for file in files {
            let build = file.get("build").and_then(|build| build.get("rustflags"));
            found.linker_is_chosen |=
                build.is_some_and(|flags| mentions_linker(&flags.to_string()));
            let targets = file
                .get("target")
                .and_then(Value::as_table)
                .into_iter()
                .flatten();
            for (_, settings) in
                targets.filter(|(name, _)| *name == triple || name.starts_with("cfg("))
            {
                found.linker_is_chosen |= settings.get("linker").is_some();
                if let Some(flags) = settings.get("rustflags") {
                    found.linker_is_chosen |= mentions_linker(&flags.to_string());
                    found.home = Home::Target;
                }
            }
        }
        found
    }
}

fn mentions_linker(flags: &str) -> bool {
    flags.contains("linker") || flags.contains("link-arg")
}

/// Cargo's configuration files for `folder`: `.cargo/config.toml` there and above, then its home.
fn configuration(folder: &Path, cargo_home: &Path) -> Result<Vec<Table>, ProgramError> {
    let folders = folder.ancestors().map(|above| above.join(".cargo"));
    let mut files = Vec::new();
    for folder in folders.chain([cargo_home.to_owned()]) {
        let candidates = [folder.join("config"), folder.join("config.toml")];
        let Some(path) = candidates.into_iter().find(|path| path.is_file()) else {
            continue;
        };
        let refuse = |reason: String| ProgramError::Configuration {
            path: path.clone(),
            reason,
        };
        let text = std::fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
        files.push(
            text.parse()
                .map_err(|error: toml::de::Error| refuse(error.message().to_owned()))?,
        );
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            triple: "x86_64-unknown-linux-musl".to_owned(),
            is_musl: true,
            has_rust_lld: true,
            sysroot: PathBuf::from("/toolchain"),
            commit: Some("c0ffee".to_owned()),
        }
    }

    fn in_files(text: &str) -> UserFlags {
        UserFlags::in_files(&[text.parse().unwrap()], &target().triple)
    }

    #[test]
    fn the_folders_of_this_host_are_mapped_away() {
        let flags = flags(
            &target(),
            Path::new("/home/me/my work"),
            Path::new("/home/c"),
            false,
        );
        assert!(flags.contains(&"-Clinker=rust-lld".to_owned()));
        assert!(flags.contains(&"--remap-path-prefix=/home/me/my work=/src".to_owned()));
        assert!(flags.contains(&"--remap-path-prefix=/home/c=/cargo".to_owned()));
        let std = "--remap-path-prefix=/toolchain/lib/rustlib/src/rust=/rustc/c0ffee";
        assert!(flags.contains(&std.to_owned()));
    }

    #[test]
    fn flags_go_where_the_users_are() {
        let triple = "x86_64-unknown-linux-musl";
        let target = format!("[target.{triple}]\nrustflags = [\"-Copt-level=1\"]");
        assert_eq!(in_files(&target).home, Home::Target);
        let cfg = "[target.'cfg(all())']\nrustflags = \"-Copt-level=1\"";
        assert_eq!(in_files(cfg).home, Home::Target);
        let other = "[target.wasm32-unknown-unknown]\nrustflags = [\"-Copt-level=1\"]";
        assert_eq!(in_files(other).home, Home::Build);
        assert_eq!(
            in_files("[build]\nrustflags = [\"-Copt-level=1\"]").home,
            Home::Build
        );
        assert_eq!(in_files("").home, Home::Build);
    }

    #[test]
    fn a_linker_that_the_user_chose_stays() {
        let triple = "x86_64-unknown-linux-musl";
        for text in [
            format!("[target.{triple}]\nlinker = \"musl-gcc\""),
            format!("[target.{triple}]\nrustflags = [\"-Clink-arg=-Wl,-z,now\"]"),
            "[build]\nrustflags = \"-C link-args=-s\"".to_owned(),
        ] {
            assert!(in_files(&text).linker_is_chosen, "{text}");
        }
        assert!(!in_files("[build]\nrustflags = \"-Copt-level=1\"").linker_is_chosen);
        let flags = flags(&target(), Path::new("/w"), Path::new("/c"), true);
        assert!(!flags.iter().any(|flag| flag.contains("linker")));
    }

    #[test]
    fn a_setting_is_toml_whatever_the_paths_are() {
        let flags = ["a=\"b\"".to_owned(), "c\\d e'".to_owned()];
        let table: Table = setting("build.rustflags", &flags).parse().unwrap();
        let read: Vec<&str> = table["build"]["rustflags"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(read, flags);
    }

    #[test]
    fn configuration_files_are_found_upwards_and_in_cargos_home() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("home/config.toml", "a = 1");
        put("w/.cargo/config.toml", "b = 1");
        put("w/x/.cargo/config", "c = 1");
        let (inner, home) = (folder.path().join("w/x"), folder.path().join("home"));
        let files = configuration(&inner, &home).unwrap();
        let keys: Vec<_> = files.iter().flat_map(Table::keys).collect();
        assert!(
            keys.ends_with(&[&"a".to_owned()]) && keys.len() >= 3,
            "{keys:?}"
        );
        put("home/config.toml", "= 1");
        assert!(configuration(&inner, &home).is_err());
    }
}
