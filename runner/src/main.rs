//! spike
use runner::sandbox::{capability::CapabilitySet, spec::*, *};
use std::os::fd::AsFd;
fn main() {
    dispatch(|c| {
        let mut set = [
            rustix::event::PollFd::new(&c.caller, rustix::event::PollFlags::IN),
            rustix::event::PollFd::new(&c.container, rustix::event::PollFlags::IN),
        ];
        let _ = rustix::event::poll(&mut set, None);
    });
    let a: Vec<String> = std::env::args().collect();
    let runroot = std::path::PathBuf::from(std::env::var("RUNROOT").unwrap());
    let folder = std::path::PathBuf::from(&a[1]);
    std::fs::create_dir_all(&folder).unwrap();
    let uid: u32 = std::env::var("CUID").map_or(0, |u| u.parse().unwrap());
    let t = std::time::Instant::now();
    let ns = match userns::UserNamespace::acquire(&runroot) {
        Ok(n) => n,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(125)
        }
    };
    let (users, groups) = ns.ids().nested(uid, uid);
    let spec = Spec {
        hostname: Some("abc".into()),
        users,
        groups,
        rootfs: Rootfs {
            tree: a[2].clone().into(),
            folder,
            driver: Driver::Overlay,
        },
        files: vec![
            ConfigFile {
                path: "etc/hosts".into(),
                mode: 0o644,
                content: "127.0.0.1 localhost\n".into(),
            },
            ConfigFile {
                path: "run/.containerenv".into(),
                mode: 0o644,
                content: String::new(),
            },
        ],
        mounts: vec![],
        read_only: false,
        network: Network::Private,
        process: Process {
            arguments: a[3..].to_vec(),
            environment: vec!["PATH=/bin".into()],
            directory: "/".into(),
            uid,
            gid: uid,
            groups: vec![],
            bounding: CapabilitySet::container_default(),
            ambient: CapabilitySet::EMPTY,
            terminal: None,
        },
        init: std::env::var("INIT").is_ok(),
    };
    let (i, o, e) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    match launch(
        &ns,
        &spec,
        &Launch {
            stdio: [i.as_fd(), o.as_fd(), e.as_fd()],
            mounts: vec![],
            sockets: vec![],
            guard: String::new(),
        },
    ) {
        Ok(r) => {
            eprintln!("{:?} started {:?}", t.elapsed(), r.process);
            let s = rustix::process::waitpid(
                rustix::process::Pid::from_raw(r.process.pid),
                rustix::process::WaitOptions::empty(),
            );
            eprintln!("{:?} {:?}", t.elapsed(), s);
        }
        Err(f) => {
            eprintln!("{f:?}");
            std::process::exit(f.code.into())
        }
    }
}
