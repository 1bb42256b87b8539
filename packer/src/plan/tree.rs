//! From a package and its program to the tree of its image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use crate::base::Base;
use crate::closure::Closure;
use crate::image::Platform;
use crate::package::{Package, User};
use crate::program::Program;
use crate::progress::Progress;
use crate::rootfs::{Content, Tree};

/// The tree of an image: the program, what lies beside it, and what it needs.
pub(super) fn tree(
    package: &Package,
    program: Option<&Program>,
    base: Option<&Base>,
    progress: &dyn Progress,
) -> Result<Tree, Error> {
    let user = package.user.unwrap_or_default();
    let mut tree = match base {
        // Who its users are is a matter of the base.
        Some(base) => Tree::on(Arc::clone(base.contents())),
        None => Tree::of_users(user),
    };
    add(&mut tree, package, program, progress)?;
    let in_tree = |path: &str| PathBuf::from(path.trim_start_matches('/'));
    if let Some(path) = &package.working_dir {
        tree.ensure_directory(&in_tree(path), 0, 0)?;
    }
    let User { uid, gid } = user;
    for path in &package.volumes {
        // The user's own, because a new volume takes its owner from the image.
        tree.ensure_directory(&in_tree(path), uid, gid)?;
    }
    Ok(tree)
}

/// Adds what the programs in a tree need from this host, and gives the environment that this wants.
pub(super) fn complete(
    tree: &mut Tree,
    main: &Package,
    also: &[Package],
    platform: &Platform,
) -> Result<BTreeMap<String, String>, Error> {
    let packages = std::iter::once(main).chain(also);
    let mut starts: Vec<String> = packages
        .map(|package| package.command().swap_remove(0))
        .collect();
    // A program of this host is of no use on another processor.
    if *platform != Platform::host() {
        starts.retain(|path| tree.get(path.trim_start_matches('/')).is_some());
    }
    let closure = Closure::of(tree, &starts, main.certificates.unwrap_or(true))?;
    closure.add_to(tree);
    Ok(closure.environment().clone())
}

/// Adds a program under its name, what lies beside it, and what it needs.
pub(super) fn add(
    tree: &mut Tree,
    package: &Package,
    program: Option<&Program>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    if let Some(program) = program {
        let path = Path::new("bin").join(package.program_name());
        if tree
            .get(&path)
            .is_some_and(|there| *there != program.entry())
        {
            return Err(Error::SameName(package.program_name().to_owned()));
        }
        tree.place(&path, program.entry())?;
    }
    for files in &package.files {
        tree.add(files)
            .map_err(|cause| Error::at(files.location.as_ref(), cause))?;
    }
    let needs = program.map(|program| program.needs).unwrap_or_default();
    Ok(tree.add_from_host(package, needs, progress)?)
}

/// An entry point that nobody can start is better known before the image runs.
pub(super) fn check_entrypoint(package: &Package, tree: &Tree) -> Result<(), Error> {
    let path = package.command().swap_remove(0);
    let Some(path) = path.strip_prefix('/') else {
        return Ok(());
    };
    // Behind a link it could be anywhere.
    let links = |path: &Path| {
        let entry = tree.get(path);
        entry.is_some_and(|entry| matches!(entry.content, Content::Symlink(_)))
    };
    if tree.has(path) || Path::new(path).ancestors().any(links) {
        return Ok(());
    }
    let cause = Error::NoEntrypoint {
        name: package.name.clone(),
        path: path.to_owned(),
    };
    Err(Error::of_key(package, "entrypoint")(cause))
}
