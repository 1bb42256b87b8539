//! Which package of a workspace, and which binary of a package, is meant.

use std::path::Path;

use serde_json::Value;

use super::cargo::{Package, Workspace};
use super::definition::Definition;
use super::document::Document;
use super::{Choice, PackageError};

/// The package and the binary that are packed.
pub(super) fn program<'a>(
    workspace: &'a Workspace,
    folder: &Path,
    choice: &Choice,
) -> Result<(&'a Package, &'a str), PackageError> {
    let package = package(workspace, folder, choice)?;
    let binary = binary(package, &package.definition()?, choice.binary.as_deref())?;
    Ok((package, binary))
}

/// The package that is meant: what `choice` names, the member that `folder` lies in, the default of
/// the workspace, or the only one that has a program. A default that the workspace states goes
/// before the package in its root folder, in which every folder lies.
pub(super) fn package<'a>(
    workspace: &'a Workspace,
    folder: &Path,
    choice: &Choice,
) -> Result<&'a Package, PackageError> {
    if let Some(name) = &choice.package {
        return named(workspace, name);
    }
    let member = member(workspace, folder);
    let in_root = |package: &&Package| package.folder() == workspace.workspace_root;
    match (member, default(workspace)?) {
        (Some(member), None) => Ok(member),
        (Some(member), Some(_)) if !in_root(&member) => Ok(member),
        (_, Some(name)) => named(workspace, name),
        (None, None) => only_program(workspace, choice.binary.as_deref()),
    }
}

/// The member of this name.
pub(super) fn named<'a>(workspace: &'a Workspace, name: &str) -> Result<&'a Package, PackageError> {
    let found = workspace
        .packages
        .iter()
        .find(|package| package.name == name);
    found.ok_or_else(|| PackageError::NoSuchPackage {
        name: name.to_owned(),
        known: list(
            workspace
                .packages
                .iter()
                .map(|package| package.name.as_str()),
        ),
    })
}

/// The innermost member that `folder` lies in.
fn member<'a>(workspace: &'a Workspace, folder: &Path) -> Option<&'a Package> {
    let folder = folder.canonicalize().ok()?;
    let around = |package: &&Package| {
        let home = package.folder().canonicalize();
        home.is_ok_and(|home| folder.starts_with(home))
    };
    let depth = |package: &&Package| package.folder().components().count();
    workspace.packages.iter().filter(around).max_by_key(depth)
}

/// `[workspace.metadata.packer] default`, read from the file where there is anything to read,
/// because only the file has lines and columns.
fn default(workspace: &Workspace) -> Result<Option<&str>, PackageError> {
    let table = &workspace.metadata["packer"];
    let only_default = |table: &serde_json::Map<String, Value>| {
        let mut keys = table.keys();
        keys.all(|key| key == "default") && table.values().all(Value::is_string)
    };
    if table.is_null() || table.as_object().is_some_and(only_default) {
        return Ok(table["default"].as_str());
    }
    check_default(&workspace.workspace_root.join("Cargo.toml"))?;
    Ok(None)
}

/// Says what is wrong in `[workspace.metadata.packer]`.
fn check_default(manifest: &Path) -> Result<(), PackageError> {
    let text = super::load::read(manifest)?;
    let document = Document::parse(manifest, &text)?;
    let mut table = document.root();
    for key in ["workspace", "metadata", "packer"] {
        match table.table(key)? {
            Some(inner) => table = inner,
            None => return Ok(()),
        }
    }
    table.allow(&["default"])?;
    table.text("default")?;
    Ok(())
}

fn only_program<'a>(
    workspace: &'a Workspace,
    binary: Option<&str>,
) -> Result<&'a Package, PackageError> {
    let is_default = |package: &Package| {
        let members = &workspace.workspace_default_members;
        members.is_empty() || members.contains(&package.id)
    };
    let is_program = |package: &Package| match binary {
        Some(name) => package.binaries().any(|binary| binary == name),
        None => package.binaries().next().is_some(),
    };
    let candidates: Vec<&Package> = workspace
        .packages
        .iter()
        .filter(|package| is_default(package) && is_program(package))
        .collect();
    match candidates.as_slice() {
        [] => Err(PackageError::NoBinaryAnywhere(
            workspace.workspace_root.display().to_string(),
        )),
        [package] => Ok(package),
        several => Err(PackageError::SeveralPackages(list(
            several.iter().map(|package| package.name.as_str()),
        ))),
    }
}

/// The binary that is meant: what the caller names, `bin` of the definition, the only one, or
/// `default-run`.
pub(super) fn binary<'a>(
    package: &'a Package,
    definition: &Definition,
    chosen: Option<&str>,
) -> Result<&'a str, PackageError> {
    let binaries: Vec<&str> = package.binaries().collect();
    let wanted = chosen.or(definition.bin.as_deref());
    match (binaries.as_slice(), wanted) {
        ([], _) => Err(PackageError::NoBinary(package.name.clone())),
        (known, Some(name)) => {
            let found = known.iter().find(|binary| **binary == name);
            found.copied().ok_or_else(|| PackageError::NoSuchBinary {
                package: package.name.clone(),
                name: name.to_owned(),
                known: list(known.iter().copied()),
            })
        }
        ([only], None) => Ok(only),
        (several, None) => {
            let default = package.default_run.as_deref();
            let found = several.iter().find(|binary| Some(**binary) == default);
            found.copied().ok_or_else(|| PackageError::SeveralBinaries {
                package: package.name.clone(),
                known: list(several.iter().copied()),
            })
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Members are (name, folder, binaries); the folders need not exist.
    fn workspace(members: &[(&str, &str, &[&str])], metadata: Value) -> Workspace {
        let packages: Vec<Value> = members
            .iter()
            .map(|(name, folder, binaries)| {
                let targets: Vec<Value> = binaries
                    .iter()
                    .map(|binary| json!({"name": binary, "kind": ["bin"]}))
                    .collect();
                json!({"id": name, "name": name, "version": "1.0.0", "dependencies": [],
                       "manifest_path": format!("/{folder}/Cargo.toml"), "targets": targets})
            })
            .collect();
        let value = json!({"packages": packages, "workspace_root": "/w", "metadata": metadata});
        serde_json::from_value(value).unwrap()
    }

    fn chosen(workspace: &Workspace, choice: &Choice) -> Result<(String, String), String> {
        program(workspace, Path::new("/"), choice)
            .map(|(package, binary)| (package.name.clone(), binary.to_owned()))
            .map_err(|error| error.to_string())
    }

    fn choice(package: Option<&str>, binary: Option<&str>) -> Choice {
        Choice {
            package: package.map(ToOwned::to_owned),
            binary: binary.map(ToOwned::to_owned),
        }
    }

    fn pair(package: &str, binary: &str) -> Result<(String, String), String> {
        Ok((package.to_owned(), binary.to_owned()))
    }

    #[test]
    fn the_only_program_of_a_workspace_is_meant() {
        let workspace = workspace(&[("a", "w/a", &["x"]), ("b", "w/b", &[])], Value::Null);
        assert_eq!(chosen(&workspace, &choice(None, None)), pair("a", "x"));
    }

    #[test]
    fn the_default_of_the_workspace_is_meant() {
        let members: &[(&str, &str, &[&str])] = &[("a", "w/a", &["x"]), ("b", "w/b", &["y"])];
        let workspace = workspace(members, json!({"packer": {"default": "b"}}));
        assert_eq!(chosen(&workspace, &choice(None, None)), pair("b", "y"));
        assert_eq!(chosen(&workspace, &choice(Some("a"), None)), pair("a", "x"));
    }

    #[test]
    fn several_programs_are_listed_with_the_way_to_choose() {
        let members: &[(&str, &str, &[&str])] = &[("a", "w/a", &["x"]), ("b", "w/b", &["y", "z"])];
        let workspace = workspace(members, Value::Null);
        let error = chosen(&workspace, &choice(None, None)).unwrap_err();
        assert!(error.contains("-p") && error.ends_with("a, b"), "{error}");
        let error = chosen(&workspace, &choice(Some("b"), None)).unwrap_err();
        assert!(
            error.contains("--bin") && error.ends_with("y, z"),
            "{error}"
        );
        assert_eq!(chosen(&workspace, &choice(None, Some("z"))), pair("b", "z"));
    }

    #[test]
    fn the_member_around_the_folder_goes_before_the_default_but_not_when_it_is_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/src")).unwrap();
        let relative = |path: &Path| path.strip_prefix("/").unwrap().display().to_string();
        let (root_path, a_path) = (relative(&root), relative(&root.join("a")));
        let members: &[(&str, &str, &[&str])] = &[
            ("root", &root_path, &["r"]),
            ("a", &a_path, &["x"]),
            ("b", "b", &["y"]),
        ];
        let mut workspace = workspace(members, json!({"packer": {"default": "b"}}));
        workspace.workspace_root = root.clone();
        let meant = |folder: &Path| {
            let package = package(&workspace, folder, &Choice::default()).unwrap();
            package.name.clone()
        };
        assert_eq!(meant(&root.join("a/src")), "a");
        assert_eq!(meant(&root), "b");
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let workspace = workspace(&[("a", "w/a", &["x"]), ("l", "w/l", &[])], Value::Null);
        let error = |package, binary| chosen(&workspace, &choice(package, binary)).unwrap_err();
        assert!(error(Some("z"), None).ends_with("a, l"));
        assert!(error(Some("a"), Some("z")).ends_with("choose one of x"));
        assert!(error(Some("l"), None).contains("no binary"));
    }
}
