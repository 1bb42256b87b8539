//! Telling a supervisor where the server is: systemd, or podman with `--sdnotify=container`, names
//! a socket in `NOTIFY_SOCKET` and waits for `READY=1` on it.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The environment variable that names the socket; `@` stands for the abstract name space.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// The server answers.
pub const READY: &str = "READY=1";

/// The server is ending.
pub const STOPPING: &str = "STOPPING=1";

/// Sends `state` to the supervisor that listens at `socket`.
pub fn notify(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisor_hears_it_at_a_path_and_at_an_abstract_name() {
        let name = format!("server-ready-test-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let at_path = UnixDatagram::bind(&path).unwrap();
        let at_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        notify(path.as_os_str(), READY).unwrap();
        notify(OsStr::new(&format!("@{name}")), STOPPING).unwrap();
        std::fs::remove_file(path).unwrap();
        for (socket, state) in [(at_path, READY), (at_name, STOPPING)] {
            let mut heard = [0; 32];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], state.as_bytes());
        }
    }
}
