//! Finding a definition in a folder or a file, and reading it.

use std::fs;
use std::path::{Path, PathBuf};

use super::definition::{Definition, Form};
use super::document::Document;
use super::invalid::Fault;
use super::{
    Choice, InvalidDefinition, Origin, Package, PackageError, System, cargo, legal_name, lock,
    search, select,
};

/// The definition of a program of any language.
pub(super) const FILE: &str = "packer.toml";

/// Where a folder's definition is.
pub(super) enum Place {
    /// In this file of its own.
    File(PathBuf),
    /// In the `Cargo.toml` that cargo finds.
    Cargo,
}

impl Place {
    /// The definition that counts in `folder`: the innermost one from there upwards.
    pub(super) fn of(folder: &Path) -> Result<Self, PackageError> {
        let absolute = folder
            .canonicalize()
            .map_err(|cause| PackageError::Folder {
                folder: folder.to_owned(),
                cause,
            })?;
        if !absolute.is_dir() {
            return Err(PackageError::NotAFolder(folder.display().to_string()));
        }
        for above in absolute.ancestors() {
            if above.join(FILE).is_file() {
                // As it was typed where that is possible: nobody knows the folder by another name.
                let is_here = above == absolute;
                let home = if is_here { folder } else { above };
                return Ok(Self::File(home.join(FILE)));
            }
            if above.join("Cargo.toml").exists() {
                return Ok(Self::Cargo);
            }
        }
        Err(PackageError::NoManifest(absolute.display().to_string()))
    }
}

impl Package {
    /// Finds the package that `folder` belongs to.
    ///
    /// In a workspace this is the member that `folder` lies in, else the one that
    /// `[workspace.metadata.packer] default` names, else the only default member with a binary.
    ///
    /// # Errors
    /// [`PackageError`] when there is none, or several and `choice` names none.
    pub fn in_folder(folder: &Path, choice: &Choice) -> Result<Self, PackageError> {
        match Place::of(folder)? {
            Place::File(file) => Self::defined_in(&file)?.chosen(choice),
            Place::Cargo => {
                let workspace = cargo::metadata(folder)?;
                let (package, binary) = select::program(&workspace, folder, choice)?;
                Self::of_cargo(&workspace, package, Some(binary))
            }
        }
    }

    /// Finds a package by a word: the path of a folder or of a definition, the name of a package of
    /// the workspace here, or a name that is found through `PACKER_PACKAGE_PATH`.
    ///
    /// # Errors
    /// [`PackageError`] when there is none.
    pub fn named(word: &str, choice: &Choice) -> Result<Self, PackageError> {
        search::named(word, choice, false)
    }

    /// Finds a package in order to show it: by a word as [`Package::named`], or the one here. It need
    /// not have a binary.
    ///
    /// # Errors
    /// [`PackageError`] when there is none.
    pub fn to_show(word: Option<&str>) -> Result<Self, PackageError> {
        let mut package = match word {
            Some(word) => search::named(word, &Choice::default(), true),
            None => Self::shown_in(Path::new(".")),
        }?;
        lock::add_versions(&mut package);
        Ok(package)
    }

    /// The package that `folder` belongs to, even if it has no binary.
    pub(super) fn shown_in(folder: &Path) -> Result<Self, PackageError> {
        match Place::of(folder)? {
            Place::File(file) => Self::defined_in(&file),
            Place::Cargo => {
                let workspace = cargo::metadata(folder)?;
                let package = select::package(&workspace, folder, &Choice::default())?;
                Self::of_cargo(&workspace, package, None)
            }
        }
    }

    /// Reads the definition in `file`.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn defined_in(file: &Path) -> Result<Self, PackageError> {
        let text = read(file)?;
        let document = Document::parse(file, &text)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let root = document.root();
        let definition = Definition::read(&root, Form::File, folder)?;
        let missing = |what| root.refuse(Fault::Missing(what));
        let origin = match (&definition.program, definition.entrypoint.is_empty()) {
            (Some(program), _) => Origin::File(program.clone()),
            (None, false) => Origin::Files,
            (None, true) => {
                let what = "a definition needs a program (the file that is packed), or an \
                            entrypoint that is among its files";
                return Err(missing(what).into());
            }
        };
        let name = match (&definition.name, &definition.program) {
            (Some(name), _) => name.clone(),
            (None, Some(program)) => {
                legal_name(&program.file_name().unwrap_or_default().to_string_lossy())?
            }
            (None, None) => {
                return Err(missing("a definition without a program needs a name").into());
            }
        };
        let location = format!("{}:1:0", file.display());
        Ok(Self::of_definition(definition, name, location, origin))
    }

    /// A definition of its own has one program, so only its own name can be chosen.
    fn chosen(self, choice: &Choice) -> Result<Self, PackageError> {
        let wanted = choice.package.as_ref().or(choice.binary.as_ref());
        match wanted.filter(|wanted| **wanted != self.name) {
            None => Ok(self),
            Some(name) => Err(PackageError::NoSuchPackage {
                name: name.clone(),
                known: self.name,
            }),
        }
    }

    pub(super) fn of_cargo(
        workspace: &cargo::Workspace,
        package: &cargo::Package,
        binary: Option<&str>,
    ) -> Result<Self, PackageError> {
        let mut definition = package.definition()?;
        let binary = match binary {
            Some(binary) => binary,
            None => select::binary(package, &definition, None).unwrap_or(&package.name),
        };
        let name = match package.binaries().count() {
            0 | 1 => &package.name,
            _ => binary,
        };
        let text = package.description.as_deref().map(str::trim);
        let text = text.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        // The first sentence that cargo knows goes before that of a longer description for us.
        let first = text.as_deref().map(super::first_sentence);
        definition.synopsis = definition.synopsis.or(first);
        definition.description = definition.description.or(text);
        definition.version = definition.version.or(Some(package.version.clone()));
        definition.license = definition.license.or(package.license.clone());
        definition.home_page = definition.home_page.or(package.homepage.clone());
        definition.source = definition.source.or(package.repository.clone());
        definition.systems = definition.systems.or_else(|| Some(System::usual()));
        let origin = Origin::Cargo {
            manifest: package.manifest_path.clone(),
            workspace: workspace.workspace_root.clone(),
            package: package.name.clone(),
            binary: binary.to_owned(),
        };
        let location = package.location(workspace);
        let name = legal_name(name)?;
        Ok(Self {
            dependencies: lock::dependencies(package),
            ..Self::of_definition(definition, name, location, origin)
        })
    }
}

impl cargo::Package {
    /// `[package.metadata.packer]`, read from the file and not from cargo's answer, because only the
    /// file has lines and columns.
    pub(super) fn definition(&self) -> Result<Definition, PackageError> {
        if self.metadata["packer"].is_null() {
            return Ok(Definition::default());
        }
        let text = read(&self.manifest_path)?;
        let shown = relative(&self.manifest_path);
        let document = Document::parse(&shown, &text)?;
        let read = || -> Result<Definition, InvalidDefinition> {
            let mut table = document.root();
            for key in ["package", "metadata", "packer"] {
                match table.table(key)? {
                    Some(inner) => table = inner,
                    None => return Ok(Definition::default()),
                }
            }
            Definition::read(&table, Form::Cargo, self.folder())
        };
        Ok(read()?)
    }
}

/// A path as somebody here would type it, where it lies below the current folder.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or_else(|| path.to_owned())
}

/// The text of a definition.
pub(super) fn read(file: &Path) -> Result<String, PackageError> {
    let unreadable = |cause| PackageError::Unreadable {
        file: file.to_owned(),
        cause,
    };
    let mut open = crate::program::open_regular(file).map_err(unreadable)?;
    let mut text = String::new();
    let bounded = std::io::Read::by_ref(&mut open);
    std::io::Read::read_to_string(&mut std::io::Read::take(bounded, MOST_TEXT), &mut text)
        .map_err(unreadable)?;
    Ok(text)
}

/// No definition that somebody wrote is longer, in bytes.
const MOST_TEXT: u64 = 4 << 20;

/// Whether there is a definition with this name at `path`: a file, or a folder's own.
pub(super) fn is_definition(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "toml")
        && fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}
