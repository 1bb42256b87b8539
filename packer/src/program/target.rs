//! What a package is compiled for: musl when the toolchain has it, else the host's glibc.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ProgramError;

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

impl Target {
    /// Asks the rustc that cargo will use in `folder`.
    pub(super) fn of_host(folder: &Path) -> Result<Self, ProgramError> {
        // Both at once: rustup makes each of them cost some 20 ms.
        let version = start(folder, "-vV")?;
        let sysroot = start(folder, "--print=sysroot")?;
        let (version, sysroot) = (answer(version)?, answer(sysroot)?);
        let field = |name: &str| {
            let line = version.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let host = field("host:").ok_or_else(|| {
            ProgramError::Rustc("`rustc -vV` does not say which host it runs on".to_owned())
        })?;
        let commit = field("commit-hash:").filter(|commit| commit != "unknown");
        Ok(Self::in_sysroot(
            Path::new(sysroot.trim_end()),
            &host,
            commit,
        ))
    }

    fn in_sysroot(sysroot: &Path, host: &str, commit: Option<String>) -> Self {
        let libraries = sysroot.join("lib/rustlib");
        let musl = host.replace("-linux-gnu", "-linux-musl");
        let is_musl = holds_std(&libraries.join(&musl).join("lib"));
        Self {
            triple: if is_musl { musl } else { host.to_owned() },
            is_musl,
            has_rust_lld: libraries.join(host).join("bin/rust-lld").exists(),
            sysroot: sysroot.to_owned(),
            commit,
        }
    }
}

fn holds_std(folder: &Path) -> bool {
    let is_std = |name: &OsStr| name.to_string_lossy().starts_with("libstd-");
    folder
        .read_dir()
        .is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| is_std(&file.file_name()))))
}

fn start(folder: &Path, question: &str) -> Result<std::process::Child, ProgramError> {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
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

    #[test]
    fn musl_is_taken_where_its_standard_library_is_installed() {
        let sysroot = tempfile::tempdir().unwrap();
        let musl = sysroot
            .path()
            .join("lib/rustlib/x86_64-unknown-linux-musl/lib");
        fs::create_dir_all(&musl).unwrap();
        let target = Target::in_sysroot(sysroot.path(), GNU, None);
        assert_eq!((target.triple.as_str(), target.is_musl), (GNU, false));
        fs::write(musl.join("libstd-0123.rlib"), "").unwrap();
        let target = Target::in_sysroot(sysroot.path(), GNU, None);
        assert_eq!(target.triple, "x86_64-unknown-linux-musl");
        assert!(target.is_musl && !target.has_rust_lld);
    }

    #[test]
    fn the_linker_of_the_toolchain_is_found() {
        let sysroot = tempfile::tempdir().unwrap();
        let tools = sysroot.path().join("lib/rustlib").join(GNU).join("bin");
        fs::create_dir_all(&tools).unwrap();
        fs::write(tools.join("rust-lld"), "").unwrap();
        assert!(Target::in_sysroot(sysroot.path(), GNU, None).has_rust_lld);
    }
}
