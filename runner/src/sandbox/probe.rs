//! Trying out what this kernel and this file system can do.

use std::fs;
use std::path::Path;

use rustix::mount::MountAttrFlags;
use rustix::thread::UnshareFlags;

use super::failure::{Failure, describe};
use super::userns::{UserNamespace, run_apart};
use super::{mounts, syscalls};

/// Whether this process may make the namespaces of a container but for a user namespace, and mount
/// there.
#[must_use]
pub fn namespaces_work() -> bool {
    let namespaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    let text = |error: std::io::Error| describe(&error);
    let mount = || {
        mounts::new_mount("proc", &[], mounts::PLAIN)
            .map(drop)
            .map_err(text)
    };
    let tried = run_apart(|| {
        syscalls::unshare(namespaces).map_err(text)?;
        // Only a child is in the new pid namespace.
        run_apart(mount).map_err(|failure| failure.message)?
    });
    matches!(tried, Ok(Ok(())))
}

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
