//! What a package is compiled for: musl when the toolchain has it, else the host's glibc.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ProgramError;
use crate::answers::Question;
use crate::package::System;

/// A target that static programs can be compiled for, and what is known about the toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Such as `x86_64-unknown-linux-musl`.
    pub(super) triple: String,
    /// Whether its C library is musl.
    pub(super) is_musl: bool,
    /// Whether the toolchain has its own linker, `rust-lld`.
    pub(super) has_rust_lld: bool,
    /// The toolchain's folder.
    pub(super) sysroot: PathBuf,
    /// The commit of the compiler, as it stands in the paths of the standard library.
    pub(super) commit: Option<String>,
}

/// What is known about the toolchain of a folder.
#[derive(Debug)]
pub(super) struct Toolchain {
    host: String,
    sysroot: PathBuf,
    commit: Option<String>,
}

impl Toolchain {
    /// Asks the rustc that cargo will use in `folder`.
    pub(super) fn of(folder: &Path) -> Result<Self, ProgramError> {
        let question = Question::new(
            &[Path::new("rustc"), folder],
            &["RUSTC", "PATH", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME"],
        );
        if let Some(toolchain) = question.known().and_then(|text| Self::read(&text)) {
            return Ok(toolchain);
        }
        // Both at once: rustup makes each of them cost some 20 ms.
        let sysroot = start(folder, "--print=sysroot")?;
        let version = start(folder, "-vV")?;
        let text = answer(sysroot)? + &answer(version)?;
        let toolchain = Self::read(&text).ok_or_else(|| {
            ProgramError::Rustc("`rustc -vV` does not say which host it runs on".to_owned())
        })?;
        if let Some(sources) = sources(folder, &toolchain.sysroot) {
            question.keep(&text, sources);
        }
        Ok(toolchain)
    }

    /// Reads the folder of the toolchain in the first line, and behind it what `rustc -vV` says.
    fn read(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        Some(Self {
            host: field("host:")?,
            sysroot: PathBuf::from(text.lines().next()?),
            commit: field("commit-hash:").filter(|commit| commit != "unknown"),
        })
    }

    /// The target for this host: musl where its standard library is installed.
    pub(super) fn for_host(self) -> Target {
        let musl = self.host.replace("-linux-gnu", "-linux-musl");
        let is_musl = self.has_std(&musl);
        Target {
            triple: if is_musl { musl } else { self.host.clone() },
            is_musl,
            has_rust_lld: self.has_rust_lld(),
            sysroot: self.sysroot,
            commit: self.commit,
        }
    }

    /// The target for another processor, for which only rust's own linker can be counted on.
    pub(super) fn for_other(self, system: System, package: &str) -> Result<Target, ProgramError> {
        let (package, triple) = (package.to_owned(), system.musl_target());
        if !self.has_std(triple) {
            return Err(ProgramError::NoTarget {
                package,
                system,
                triple,
            });
        }
        if !self.has_rust_lld() {
            return Err(ProgramError::NoLinker { package, system });
        }
        Ok(Target {
            triple: triple.to_owned(),
            is_musl: true,
            has_rust_lld: true,
            sysroot: self.sysroot,
            commit: self.commit,
        })
    }

    fn libraries(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }

    fn has_std(&self, triple: &str) -> bool {
        holds_std(&self.libraries().join(triple).join("lib"))
    }

    fn has_rust_lld(&self) -> bool {
        let tools = self.libraries().join(&self.host).join("bin");
        tools.join("rust-lld").exists()
    }
}

/// What decides which compiler answers in `folder`, if that can be told from files: the compiler
/// itself, or rustup with its settings. Others that stand in its place may go by anything.
fn sources(folder: &Path, sysroot: &Path) -> Option<Vec<PathBuf>> {
    let program = rustc();
    let paths = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&paths).map(|place| place.join(&program));
    let found = places.find(|path| path.is_file())?;
    let (real, own) = (found.canonicalize().ok()?, sysroot.join("bin/rustc"));
    if real.file_name() == Some(OsStr::new("rustup")) {
        let home = env::var_os("RUSTUP_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(env::home_dir()?.join(".rustup")))?;
        let chosen = folder.ancestors().flat_map(|above| {
            ["rust-toolchain", "rust-toolchain.toml"].map(|name| above.join(name))
        });
        let sources = chosen.chain([found, own, home.join("settings.toml")]);
        return Some(sources.collect());
    }
    let is_own = own.canonicalize().is_ok_and(|own| own == real);
    is_own.then(|| vec![found, own])
}

fn holds_std(folder: &Path) -> bool {
    let is_std = |name: &OsStr| name.to_string_lossy().starts_with("libstd-");
    folder
        .read_dir()
        .is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| is_std(&file.file_name()))))
}

fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn start(folder: &Path, question: &str) -> Result<std::process::Child, ProgramError> {
    Command::new(rustc())
        .arg(question)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| ProgramError::Rustc(error.to_string()))
}

fn answer(rustc: std::process::Child) -> Result<String, ProgramError> {
    let output = rustc
        .wait_with_output()
        .map_err(|error| ProgramError::Rustc(error.to_string()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let line = words.lines().next().unwrap_or("it failed").to_owned();
        return Err(ProgramError::Rustc(line));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GNU: &str = "x86_64-unknown-linux-gnu";

    fn toolchain(sysroot: &Path) -> Toolchain {
        Toolchain {
            host: GNU.to_owned(),
            sysroot: sysroot.to_owned(),
            commit: None,
        }
    }

    fn install(sysroot: &Path, file: &str) {
        let path = sysroot.join("lib/rustlib").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn musl_is_taken_where_its_standard_library_is_installed() {
        let sysroot = tempfile::tempdir().unwrap();
        let target = toolchain(sysroot.path()).for_host();
        assert_eq!((target.triple.as_str(), target.is_musl), (GNU, false));
        install(
            sysroot.path(),
            "x86_64-unknown-linux-musl/lib/libstd-0123.rlib",
        );
        let target = toolchain(sysroot.path()).for_host();
        assert_eq!(target.triple, "x86_64-unknown-linux-musl");
        assert!(target.is_musl && !target.has_rust_lld);
    }

    #[test]
    fn the_linker_of_the_toolchain_is_found() {
        let sysroot = tempfile::tempdir().unwrap();
        install(sysroot.path(), &format!("{GNU}/bin/rust-lld"));
        assert!(toolchain(sysroot.path()).for_host().has_rust_lld);
    }

    #[test]
    fn another_processor_needs_its_target_and_the_toolchains_linker() {
        let sysroot = tempfile::tempdir().unwrap();
        let arm64: System = "arm64".parse().unwrap();
        let made = || toolchain(sysroot.path()).for_other(arm64, "hello");
        let words = made().unwrap_err().to_string();
        assert!(
            words.contains("rustup target add aarch64-unknown-linux-musl"),
            "{words}"
        );
        install(
            sysroot.path(),
            "aarch64-unknown-linux-musl/lib/libstd-0123.rlib",
        );
        assert!(made().unwrap_err().to_string().contains("rust-lld"));
        install(sysroot.path(), &format!("{GNU}/bin/rust-lld"));
        assert_eq!(made().unwrap().triple, "aarch64-unknown-linux-musl");
    }
}
