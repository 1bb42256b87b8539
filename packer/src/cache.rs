//! The folder of what can be made or fetched again: `packer` among the user's caches.
//!
//! Source: the XDG base directory specification.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// There is no place for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no home directory: set XDG_CACHE_HOME")]
pub struct NoHome;

/// The folder, which need not be there yet.
///
/// # Errors
/// [`NoHome`] when the user has no home directory.
pub fn folder() -> Result<PathBuf, NoHome> {
    let set = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = set
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(caches.ok_or(NoHome)?.join("packer"))
}

/// Writes a file of a cache, whole or not at all, and makes its folder. It is not brought to disk:
/// what a power cut takes is made again.
///
/// # Errors
/// Whatever making, writing or renaming gives.
pub fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut temporary = NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.persist(path)?;
    Ok(())
}
