//! Finding a package by a word, as `guix` finds one through `GUIX_PACKAGE_PATH`.
//!
//! `PACKER_PACKAGE_PATH` is a list of folders and definition files, separated by colons. A package
//! `NAME` is found in a folder as `NAME.toml`, as `NAME/packer.toml` or `NAME/Cargo.toml`, or by the
//! name that the folder's own definition has.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::load::{FILE, Place, is_definition};
use super::{Choice, Package, PackageError, cargo, select};

/// The variable that is searched.
const VARIABLE: &str = "PACKER_PACKAGE_PATH";

/// The package that `word` means. One that is only shown need not have a binary.
pub(super) fn named(word: &str, choice: &Choice, shown: bool) -> Result<Package, PackageError> {
    let path = Path::new(word);
    let in_folder = |folder: &Path| match shown {
        true => Package::shown_in(folder),
        false => Package::in_folder(folder, choice),
    };
    if word.contains('/') || word.starts_with('.') || is_definition(path) {
        return match is_definition(path) && path.file_name() != Some(OsStr::new("Cargo.toml")) {
            true => Package::defined_in(path),
            false => in_folder(folder_of(path)),
        };
    }
    if let Some(package) = here(word, choice, shown)? {
        return Ok(package);
    }
    for place in places() {
        if let Some(package) = at(&place, word, choice, shown)? {
            return Ok(package);
        }
    }
    if path.is_dir() {
        return in_folder(path);
    }
    Err(not_found(word))
}

/// A `Cargo.toml` means its folder.
fn folder_of(path: &Path) -> &Path {
    match path.file_name() == Some(OsStr::new("Cargo.toml")) {
        true => path.parent().unwrap_or(path),
        false => path,
    }
}

/// The package of this name in the folder we are in, if there is one.
fn here(word: &str, choice: &Choice, shown: bool) -> Result<Option<Package>, PackageError> {
    match Place::of(Path::new(".")) {
        Ok(Place::File(file)) => named_in(&file, word),
        Ok(Place::Cargo) => member(Path::new("."), word, choice, shown),
        Err(_) => Ok(None),
    }
}

/// The member of this name of the workspace that `folder` belongs to.
fn member(
    folder: &Path,
    word: &str,
    choice: &Choice,
    shown: bool,
) -> Result<Option<Package>, PackageError> {
    let workspace = cargo::metadata(folder)?;
    let Ok(package) = select::named(&workspace, word) else {
        return Ok(None);
    };
    let binary = match shown {
        true => None,
        false => {
            let definition = package.definition()?;
            Some(select::binary(
                package,
                &definition,
                choice.binary.as_deref(),
            )?)
        }
    };
    Package::of_cargo(&workspace, package, binary).map(Some)
}

/// The definition in `file`, if its name is this one.
fn named_in(file: &Path, word: &str) -> Result<Option<Package>, PackageError> {
    let package = Package::defined_in(file)?;
    Ok((package.name == word).then_some(package))
}

/// What one place of the path has of this name.
fn at(
    place: &Path,
    word: &str,
    choice: &Choice,
    shown: bool,
) -> Result<Option<Package>, PackageError> {
    if is_definition(place) {
        return named_in(place, word);
    }
    let own = [
        place.join(format!("{word}.toml")),
        place.join(word).join(FILE),
    ];
    if let Some(file) = own.iter().find(|file| is_definition(file)) {
        return Package::defined_in(file).map(Some);
    }
    if is_definition(&place.join(FILE))
        && let Some(package) = named_in(&place.join(FILE), word)?
    {
        return Ok(Some(package));
    }
    for folder in [place.join(word), place.to_owned()] {
        if folder.join("Cargo.toml").is_file()
            && let Some(package) = member(&folder, word, choice, shown)?
        {
            return Ok(Some(package));
        }
    }
    Ok(None)
}

fn places() -> Vec<PathBuf> {
    let list = env::var_os(VARIABLE).unwrap_or_default();
    let places = env::split_paths(&list);
    places
        .filter(|place| !place.as_os_str().is_empty())
        .collect()
}

fn not_found(word: &str) -> PackageError {
    let places: Vec<String> = places()
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    let searched = match places.is_empty() {
        true => format!("{VARIABLE} is not set"),
        false => format!("{VARIABLE} leads to {}", places.join(", ")),
    };
    PackageError::NotFound {
        name: word.to_owned(),
        searched,
    }
}
