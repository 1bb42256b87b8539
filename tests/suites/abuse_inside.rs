//! Attacks from inside a running container.

use std::fs::Permissions;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use tests::attack::inside::{self, DEFAULT_CAPABILITIES, HostSockets, in_a_container, status};
use tests::fixture::{Archive, busybox, probe};
use tests::{Engine, Missing, for_each_account, require};

/// What is open that should be shut.
const NOTHING: [&str; 0] = [];

for_each_account! {
    fn no_descriptor_but_the_three_reaches_the_program(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        // The fourth is the folder that ls reads.
        assert_eq!(in_a_container(&runner, "ls /proc/self/fd"), "0\n1\n2\n3");
        let run = runner.command(&["run", "--rm", busybox::NAME, "ls", "/proc/self/fd"]).line();
        let open = "for i in $(seq 3 50); do eval \"exec $i</etc\"; done; exec";
        let outcome = world.run("bash").args(["-c", &format!("{open} {run}")]).succeed();
        assert_eq!(outcome.text(), "0\n1\n2\n3");
        runner.to(&["run", "-d", "--name", "idle", busybox::NAME, "sleep", "1000"]);
        let exec = runner.command(&["exec", "idle", "ls", "/proc/self/fd"]).line();
        let outcome = world.run("bash").args(["-c", &format!("{open} {exec}")]).succeed();
        assert_eq!(outcome.text(), "0\n1\n2\n3");
        runner.to(&["rm", "-f", "-t", "0", "idle"]);
    }
}

for_each_account! {
    fn closed_standard_descriptors_are_no_way_to_another_file(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let witness = world.make_dir("witness", 0o777);
        let volume = format!("{}:/witness", witness.display());
        let script = "for i in 0 1 2; do readlink /proc/$$/fd/$i; done > /witness/links";
        let run = runner.command(&["run", "--rm", "-v", &volume, busybox::NAME, "sh", "-c", script]).line();
        world.run("bash").args(["-c", &format!("exec {run} <&- >&- 2>&-")]).succeed();
        let links = std::fs::read_to_string(witness.join("links")).expect("the container wrote it");
        let harmless = |link: &str| link == "/dev/null" || link.starts_with("pipe:") || link == "/witness/links";
        assert!(links.lines().all(harmless), "{links}");
    }
}

for_each_account! {
    fn masked_and_read_only_paths_hold(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        assert_eq!(require!(inside::paths(&runner)), NOTHING);
    }
}

for_each_account! {
    fn capabilities_are_podmans_defaults_at_most_and_none_is_inherited(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let mask = u64::from_str_radix(&status(&runner, &[], set), 16).expect("a mask");
            assert_eq!(mask & !DEFAULT_CAPABILITIES, 0, "{set} {mask:x}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(status(&runner, &[], set), "0000000000000000", "{set}");
            assert_eq!(status(&runner, &["-u", "1000"], set), "0000000000000000", "{set}");
        }
        assert_eq!(status(&runner, &["-u", "1000"], "CapEff"), "0000000000000000");
        assert_eq!(status(&runner, &["--cap-drop", "all"], "CapBnd"), "0000000000000000");
        assert_eq!(status(&runner, &[], "NoNewPrivs"), "1");
        assert_eq!(status(&runner, &[], "Seccomp:"), "2");
    }
}

for_each_account! {
    fn no_user_namespace_can_be_nested(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        assert_eq!(require!(inside::nested_namespaces(&runner)), NOTHING);
    }
}

for_each_account! {
    fn dangerous_system_calls_are_closed(world) {
        assert_eq!(require!(inside::system_calls(&world.runner())), NOTHING);
    }
}

for_each_account! {
    fn the_terminal_of_the_user_cannot_be_typed_into(world) {
        require!(tests::client::find("script"));
        // ioctl(0, TIOCSTI, address of the program itself) and TIOCLINUX.
        let layer = require!(busybox::layer())
            .file(
                "bin/type",
                0o755,
                require!(probe::system_call(16, &[0, 0x5412, 0x40_0000])),
            )
            .file(
                "bin/paste",
                0o755,
                require!(probe::system_call(16, &[0, 0x541c, 0x40_0000])),
            );
        let name = "localhost/typist:latest";
        let runner = world.runner();
        runner.load(&tests::fixture::Archive::new(name, &[&layer], &["/bin/sh"]).docker());
        let inner = "tty; /bin/type; echo type $?; /bin/paste; echo paste $?";
        let run = runner
            .command(&["run", "--rm", "-i", "-t", name, "sh", "-c", inner])
            .line();
        let outcome = world
            .run("script")
            .args(["-qec", &run, "/dev/null"])
            .succeed();
        let said: Vec<&str> = outcome.stdout.lines().map(str::trim_end).collect();
        assert!(
            said.iter().any(|line| line.ends_with("/dev/pts/0")),
            "{outcome}"
        );
        // EPERM from a filter, EIO from a kernel that has it switched off, ENOTTY or EINVAL: not on this terminal.
        let refused = |what: &str| {
            ["1", "5", "22", "25"].iter().any(|code| {
                said.iter()
                    .any(|line| line.ends_with(&format!("{what} {code}")))
            })
        };
        assert!(refused("type") && refused("paste"), "{outcome}");
    }
}

for_each_account! {
    fn abstract_sockets_of_the_host_are_out_of_reach(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        assert_eq!(require!(inside::abstract_sockets(&runner)), NOTHING);
    }
}

for_each_account! {
    fn neither_are_they_in_the_network_of_the_host_cve_2020_15257(world) {
        let runner = world.runner();
        let name = "localhost/caller:latest";
        let sockets = require!(HostSockets::new(&runner, name));
        require!(with_scopes(&runner));
        let run = ["run", "--rm", "--network", "host"];
        let both = ["to-stream", "to-datagrams"];
        for options in [&[][..], &["--init"], &["-u", "7"], &["--security-opt", "seccomp=unconfined"],
            &["--security-opt", "no-new-privileges=false"]] {
            let command = [&run[..], options, &[name]].concat();
            assert_eq!(sockets.reached_by(&runner, &command), NOTHING, "{options:?}");
        }
        let open = [&run[..], &["--security-opt", "landlock=unconfined", name]].concat();
        assert_eq!(sockets.reached_by(&runner, &open), both);
        // What joins the container gets as far.
        for (container, options, reached) in [("shut", &[][..], &NOTHING[..]), ("open", &["--security-opt", "landlock=unconfined"], &both)] {
            let start = [&["run", "-d", "--name", container, "--network", "host"], options, &[name, "sleep", "1000"]];
            runner.to(&start.concat());
            assert_eq!(sockets.reached_by(&runner, &["exec", container]), reached);
            runner.to(&["stop", "-t", "0", container]);
            runner.to(&["start", container]);
            assert_eq!(sockets.reached_by(&runner, &["exec", container]), reached);
            let report = runner.to(&["security", "report", container]);
            let said = if reached.is_empty() { "host's abstract sockets shut by Landlock" } else { "host's abstract sockets open" };
            assert!(report.lines().any(|line| line.trim() == said), "{report}");
            runner.to(&["rm", "-f", "-t", "0", container]);
        }
    }
}

for_each_account! {
    fn the_network_of_the_host_is_of_use_all_the_same(world) {
        let runner = world.runner();
        let folder = world.make_dir("sockets", 0o755);
        let path = folder.join("socket");
        let _files = UnixListener::bind(&path).expect("a new file");
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("our own file");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let number = port.local_addr().expect("it is bound").port().to_string();
        std::thread::spawn(move || port.incoming().flatten().for_each(|mut stream| {
            let _ = stream.write_all(b"connected\n");
        }));
        let client = require!(probe::connect(1, b"/sockets/socket\0"));
        let layer = require!(busybox::layer()).file("bin/to-file", 0o755, client);
        let name = "localhost/caller:latest";
        runner.load(&Archive::new(name, &[&layer], &["/bin/sh"]).docker());
        let volume = format!("{}:/sockets", folder.display());
        // A signal and a look at another process of the container, too.
        let script = format!("to-file && nc 127.0.0.1 {number} </dev/null
            sleep 100 & readlink /proc/$!/exe; kill $!; wait $!; echo $?");
        let said = runner.to(&["run", "--rm", "--network", "host", "-v", &volume, name, "sh", "-c", &script]);
        assert_eq!(said, "connected\n/bin/busybox\n143");
    }
}

/// A kernel on which Landlock has scopes.
fn with_scopes(runner: &Engine) -> Result<(), Missing> {
    let version = runner.to(&["info", "--format", "{{.Host.Security.LandlockVersion}}"]);
    match version.parse::<u32>() {
        Ok(6..) => Ok(()),
        _ => Err(Missing::because("scopes of Landlock (Linux 6.12)")),
    }
}
