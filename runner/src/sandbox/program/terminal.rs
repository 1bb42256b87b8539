//! A terminal for a process in a container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, Uid, fchown, fstatfs, openat2};
use rustix::io::Errno;
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};

use super::super::failure::{Context, Failure};
use super::super::mounts;
use super::super::spec::Process;
use super::super::wire::{self, Status};
use super::Surroundings;

/// The type of a terminal file system (`DEVPTS_SUPER_MAGIC`, linux/magic.h).
const DEVPTS: i64 = 0x1cd1;

/// Gives the process a terminal of the container's own devpts, and the caller its other end.
pub(super) fn open(
    process: &Process,
    size: (u16, u16),
    around: &Surroundings,
) -> Result<(), Failure> {
    let make = || -> io::Result<(OwnedFd, OwnedFd)> {
        let master = open_terminal()?;
        unlockpt(&master)?;
        let window = rustix::termios::Winsize {
            ws_row: size.0,
            ws_col: size.1,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master, window)?;
        // By ioctl and not by path: what lies at /dev/pts/0 may be somebody else's by now
        // (CVE-2025-52565).
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = ioctl_tiocgptpeer(&master, flags)?;
        let _ = fchown(&terminal, Some(Uid::from_raw(process.uid)), None);
        ioctl_tiocsctty(&terminal)?;
        rustix::stdio::dup2_stdin(&terminal)?;
        rustix::stdio::dup2_stdout(&terminal)?;
        rustix::stdio::dup2_stderr(&terminal)?;
        if around.gate.is_some() {
            bind_console(&terminal)?;
        }
        Ok((master, terminal))
    };
    let (master, _) = make().context(|| "cannot open a terminal in the container".to_owned())?;
    wire::send_status(around.status(), &Status::Terminal, Some(master.as_fd()));
    Ok(())
}

/// Puts the terminal at `/dev/console`, as the runtime specification has it.
fn bind_console(terminal: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    let dev = openat2(rustix::fs::CWD, "/dev", flags, Mode::empty(), resolve)?;
    match mounts::make_file(&dev, "console", 0o666) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let console = rustix::fs::openat(&dev, "console", flags, Mode::empty())?;
    mounts::attach(mounts::clone_mount(terminal, false)?, console)
}

fn open_terminal() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    let master = openat2(
        rustix::fs::CWD,
        "/dev/pts/ptmx",
        flags,
        Mode::empty(),
        resolve,
    )?;
    if fstatfs(&master)?.f_type != DEVPTS {
        return Err(io::Error::other("/dev/pts is no terminal file system"));
    }
    Ok(master)
}
