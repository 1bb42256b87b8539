//! Compiling a package of Cargo statically.
//!
//! Cargo decides whether there is anything to do; when nothing has changed, compiling costs what
//! cargo costs. Its words and its bar go straight to standard error.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use super::target::{Target, Toolchain};
use super::{ProgramError, flags};
use crate::package::{Origin, Package, PackageError, System, cargo};
use crate::progress::Progress;

/// One line of `cargo build --message-format=json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct MessageTarget {
    name: String,
    kind: Vec<String>,
}

/// What came of compiling.
pub(super) struct Compiled {
    /// The path of the executable.
    pub(super) executable: PathBuf,
    /// The target triple that it was compiled for.
    pub(super) target: String,
}

/// Compiles the package's binary.
///
/// # Panics
/// When the package's origin is not cargo.
pub(super) fn compile(
    package: &Package,
    system: Option<System>,
    progress: &dyn Progress,
) -> Result<Compiled, ProgramError> {
    let Origin::Cargo {
        manifest,
        workspace,
        package: name,
        binary,
    } = &package.origin
    else {
        panic!("only a package of cargo is compiled");
    };
    check_system(package, system)?;
    let folder = manifest.parent().unwrap_or(Path::new("/"));
    let toolchain = Toolchain::of(folder)?;
    let target = match system.filter(|system| Some(*system) != System::host()) {
        None => toolchain.for_host(),
        Some(system) => toolchain.for_other(system, &package.name)?,
    };
    progress.note(&announcement(name, &target));

    let mut command = cargo::command(folder);
    command
        .args([
            "build",
            "--release",
            "--message-format=json-render-diagnostics",
        ])
        .args([
            "--package",
            name,
            "--bin",
            binary,
            "--target",
            &target.triple,
        ])
        .arg("--manifest-path")
        .arg(manifest);
    flags::apply(&mut command, &target, workspace, folder)?;
    let mut cargo = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| ProgramError::Package(PackageError::NoCargo(error)))?;
    let stdout = cargo.stdout.take().expect("standard output is piped");
    let executable = executable(BufReader::new(stdout), binary);
    let status = cargo.wait().map_err(ProgramError::Output)?;
    if !status.success() {
        return Err(ProgramError::Compile {
            package: name.clone(),
            target: target.triple,
        });
    }
    let executable = executable?.ok_or_else(|| ProgramError::NoExecutable {
        package: name.clone(),
        binary: binary.clone(),
    })?;
    Ok(Compiled {
        executable,
        target: target.triple,
    })
}

fn announcement(name: &str, target: &Target) -> String {
    let triple = &target.triple;
    match (target.is_musl, target.has_rust_lld) {
        (true, true) => format!("compiling {name} for {triple}"),
        (true, false) => {
            format!(
                "compiling {name} for {triple} (with the system's linker: the toolchain has none)"
            )
        }
        (false, _) => format!(
            "compiling {name} for {triple} with a static C library (no musl target is installed)"
        ),
    }
}

/// The path of `binary`'s executable, from cargo's messages. All of them are read, or cargo would
/// wait for us.
fn executable(messages: impl BufRead, binary: &str) -> Result<Option<PathBuf>, ProgramError> {
    let mut found = None;
    for line in messages.lines() {
        let line = line.map_err(ProgramError::Output)?;
        // A build script's or a macro's own output may stand between the messages.
        let Ok(message) = serde_json::from_str::<Message>(&line) else {
            continue;
        };
        let is_binary = message.reason == "compiler-artifact"
            && message.target.is_some_and(|target| {
                target.name == binary && target.kind.iter().any(|kind| kind == "bin")
            });
        if is_binary && message.executable.is_some() {
            found = message.executable;
        }
    }
    Ok(found)
}

fn check_system(package: &Package, system: Option<System>) -> Result<(), ProgramError> {
    // A definition that names no system at all leaves none out.
    let wanted = system.or_else(System::host);
    let wanted = wanted.filter(|_| !package.systems.is_empty());
    let Some(system) = wanted.filter(|system| !package.systems.contains(system)) else {
        return Ok(());
    };
    let systems: Vec<String> = package.systems.iter().map(System::to_string).collect();
    Err(ProgramError::System {
        package: package.name.clone(),
        system,
        systems: systems.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"x","kind":["lib"]},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"x","kind":["bin"]},"executable":"/t/x"}
{"reason":"compiler-artifact","target":{"name":"y","kind":["bin"]},"executable":"/t/y"}
{"reason":"build-finished","success":true}
"#;
        let found = |binary| executable(messages.as_bytes(), binary).unwrap();
        assert_eq!(found("x"), Some(PathBuf::from("/t/x")));
        assert_eq!(found("z"), None);
    }
}
