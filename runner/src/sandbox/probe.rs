//! Trying out what this kernel and this file system can do.

use std::fs;
use std::path::Path;

use rustix::mount::MountAttrFlags;
use rustix::thread::UnshareFlags;

use super::failure::{Failure, describe};
use super::userns::UserNamespace;
use super::{mounts, syscalls};

/// Whether a container's root file system can be an overlay mount with its upper directory below
/// `folder`.
///
/// # Errors
/// A [`Failure`] that says why not.
pub fn overlay_works(namespace: &UserNamespace, folder: &Path) -> Result<(), Failure> {
    let place = folder.join(format!("tmp/overlay-probe-{}", std::process::id()));
    let result = namespace.run_inside(|| {
        let attempt = || -> std::io::Result<()> {
            syscalls::unshare(UnshareFlags::NEWNS)?;
            for name in ["lower", "upper", "work"] {
                fs::create_dir_all(place.join(name))?;
            }
            let path = |name: &str| place.join(name).to_string_lossy().into_owned();
            let (lower, upper, work) = (path("lower"), path("upper"), path("work"));
            let options = [
                ("lowerdir", Some(lower.as_str())),
                ("upperdir", Some(&upper)),
                ("workdir", Some(&work)),
                ("userxattr", None),
            ];
            mounts::new_mount("overlay", &options, MountAttrFlags::empty()).map(drop)
        };
        let result = attempt().map_err(|error| describe(&error));
        let _ = fs::remove_dir(place.join("work/work"));
        let _ = fs::remove_dir_all(&place);
        result
    })?;
    result.map_err(|error| Failure::engine(format!("the kernel refuses an overlay mount: {error}")))
}
