//! Asking cargo: which packages there are, and how it is started at all.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use super::PackageError;
use crate::answers::Question;

/// What `cargo metadata --no-deps` says about a workspace, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Workspace {
    pub(super) packages: Vec<Package>,
    #[serde(default)]
    pub(super) workspace_default_members: Vec<String>,
    pub(super) workspace_root: PathBuf,
    #[serde(default)]
    pub(super) metadata: Value,
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: Option<String>,
    pub(super) license: Option<String>,
    pub(super) homepage: Option<String>,
    pub(super) repository: Option<String>,
    pub(super) default_run: Option<String>,
    pub(super) manifest_path: PathBuf,
    pub(super) dependencies: Vec<Dependency>,
    targets: Vec<Target>,
    #[serde(default)]
    pub(super) metadata: Value,
}

/// What a package says that it needs.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `dev` or `build`; nothing for what becomes part of the program.
    pub(super) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Package {
    /// The names of the binary targets.
    pub(super) fn binaries(&self) -> impl Iterator<Item = &str> {
        self.targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .map(|target| target.name.as_str())
    }

    /// The folder that the package lies in.
    pub(super) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("/"))
    }

    /// Where `[package]` stands, relative to the workspace.
    pub(super) fn location(&self, workspace: &Workspace) -> String {
        let manifest = &self.manifest_path;
        let line = std::fs::read_to_string(manifest)
            .ok()
            .and_then(|text| text.lines().position(|line| line.trim() == "[package]"))
            .map_or(1, |index| index + 1);
        let shown = manifest
            .strip_prefix(&workspace.workspace_root)
            .unwrap_or(manifest);
        format!("{}:{line}:0", shown.display())
    }
}

/// Asks cargo about the workspace that `folder` belongs to.
pub(super) fn metadata(folder: &Path) -> Result<Workspace, PackageError> {
    let absolute = folder
        .canonicalize()
        .map_err(|cause| PackageError::Folder {
            folder: folder.to_owned(),
            cause,
        })?;
    let question = Question::new(
        &[Path::new("metadata"), &absolute],
        &["CARGO", "PATH", "RUSTUP_TOOLCHAIN"],
    );
    if let Some(workspace) = question
        .known()
        .and_then(|text| serde_json::from_str(&text).ok())
    {
        return Ok(workspace);
    }
    let output = command(&absolute)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stdin(Stdio::null())
        .output()
        .map_err(PackageError::NoCargo)?;
    if !output.status.success() {
        // Its own words say more than we could; when it succeeds, `cargo build` repeats them.
        let _ = io::stderr().write_all(&output.stderr);
        return Err(PackageError::Cargo(folder.display().to_string()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let workspace: Workspace = serde_json::from_str(&text).map_err(PackageError::Answer)?;
    if let Some(sources) = sources(&absolute, &workspace) {
        question.keep(&text, sources);
    }
    Ok(workspace)
}

/// What cargo looked at to describe a workspace: every place where a manifest is looked for, and where
/// binaries are found that no manifest names. Nothing where members are found by a pattern, because
/// then any folder could become one.
fn sources(folder: &Path, workspace: &Workspace) -> Option<BTreeSet<PathBuf>> {
    let manifest = workspace.workspace_root.join("Cargo.toml");
    let root: toml::Table = toml::from_str(&fs::read_to_string(manifest).ok()?).ok()?;
    let members = root.get("workspace").and_then(|table| table.get("members"));
    let is_pattern = |member: &toml::Value| member.to_string().contains(['*', '?', '[']);
    if members
        .and_then(toml::Value::as_array)
        .is_some_and(|list| list.iter().any(is_pattern))
    {
        return None;
    }
    let folders = workspace.packages.iter().map(Package::folder);
    let mut sources: BTreeSet<PathBuf> = folders
        .clone()
        .chain([folder])
        .flat_map(Path::ancestors)
        .map(|above| above.join("Cargo.toml"))
        .collect();
    for folder in folders {
        let binaries = folder.join("src/bin");
        let inner = fs::read_dir(&binaries).into_iter().flatten().flatten();
        sources.extend(inner.map(|entry| entry.path()).filter(|path| path.is_dir()));
        sources.extend([folder.join("src"), binaries]);
    }
    Some(sources)
}

/// Cargo, to be started in `folder`, where its configuration and a `rust-toolchain.toml` are looked
/// for: the cargo that runs us, if one does, else the one on `PATH`.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).env("PWD", folder);
    for (name, _) in env::vars_os().filter(|(name, _)| describes_another_package(name)) {
        command.env_remove(name);
    }
    command
}

/// Whether `cargo run` set this variable for us: it is about our own package, and a build script of
/// another package could look at it.
fn describes_another_package(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let names = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || names.contains(&&*name)
}
