//! What is put on a base image: it has to find there what it needs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use super::Error;
use crate::base::Base;
use crate::closure::HashBang;
use crate::elf::Object;
use crate::image::annotation;
use crate::package::Package;
use crate::rootfs::{Content, Tree};

/// What an image says about its base (image specification 1.1, `annotations.md`).
pub(super) fn annotations(base: &Base) -> Vec<(String, String)> {
    let digest = (annotation("base.digest"), base.image().digest().to_string());
    let name = base.name().map(|name| (annotation("base.name"), name));
    name.into_iter().chain([digest]).collect()
}

/// Libraries of this machine would replace those of the base, so none are packed: loader, libraries
/// and interpreter of a program that is packed have to be there.
pub(super) fn check(tree: &Tree, package: &Package) -> Result<(), Error> {
    let command = package.command().swap_remove(0);
    let program = tree.get(tree.through_all_links(Path::new(&command)));
    let Some(Content::File(file)) = program.map(|entry| &entry.content) else {
        return Ok(());
    };
    let Ok(file) = File::open(file.path()) else {
        return Ok(());
    };
    let lacks = |needed: &str| Error::NotOnBase {
        program: command.clone(),
        needed: needed.to_owned(),
    };
    if let Ok(Some(script)) = HashBang::read(&file) {
        return match tree.has(&script.interpreter) {
            true => Ok(()),
            false => Err(lacks(&script.interpreter)),
        };
    }
    let Ok(object) = Object::read(&file) else {
        return Ok(());
    };
    if let Some(loader) = object
        .interpreter
        .as_ref()
        .filter(|loader| !tree.has(loader))
    {
        return Err(lacks(loader));
    }
    let names = names(tree);
    match object
        .needed
        .iter()
        .find(|name| !names.contains(OsStr::new(name)))
    {
        None => Ok(()),
        Some(library) => Err(lacks(library)),
    }
}

/// The names of all files of the image. In which folder a library lies is a matter of the base's
/// own loader.
fn names(tree: &Tree) -> BTreeSet<&OsStr> {
    let own = tree.entries().filter_map(|(path, _)| path.file_name());
    let below = tree.paths_below().filter_map(Path::file_name);
    own.chain(below).collect()
}
