//! The folder of what can be made or fetched again: `packer` among the user's caches.
//!
//! Source: the XDG base directory specification.

use std::env;
use std::path::PathBuf;

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
