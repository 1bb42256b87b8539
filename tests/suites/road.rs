//! The road from end to end, each step as a user types it, in a fresh clone and with a new home.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tests::clone::Clone;
use tests::{
    Mode, Running, World, binaries, browser, client, leaks, require, toolchain, wait, world,
};

const LOOPBACKS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// The port of the address that `running` prints.
fn printed_port(running: &mut Running) -> u16 {
    running.wait_for("http://localhost:");
    let said = running.stdout() + &running.stderr();
    let port = said.split("http://localhost:").nth(1).map(|rest| {
        rest.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    });
    port.and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("no address in {said}"))
}

/// Reads the page as a browser does, at every address that "localhost" may be.
fn expect_page(running: &mut Running) -> u16 {
    let port = printed_port(running);
    for address in LOOPBACKS {
        browser::expect_hello(address, port);
    }
    port
}

/// Ctrl-C: the program ends with its code, and nothing of it is left.
fn interrupt(world: &World, running: Running, port: u16) {
    running.signal_group(Signal::INT);
    let outcome = running.finish();
    assert!([0, 130].contains(&outcome.code), "{outcome}");
    for address in LOOPBACKS {
        assert!(
            TcpStream::connect((address, port)).is_err(),
            "{address}:{port} is still open"
        );
    }
    wait::until("the end of everything", Duration::from_secs(3), || {
        leaks::of_world(world)
            .iter()
            .all(leaks::is_holder)
            .then_some(())
    });
}

#[test]
fn one_command_in_a_clean_clone_serves_the_page_until_ctrl_c() {
    let clone = require!(Clone::new());
    let run = require!(clone.shell("exec cargo run --release -p runner -- run"));
    let mut running = run.spawn();
    let port = expect_page(&mut running);
    interrupt(&clone.world, running, port);
    let list = require!(clone.shell("cargo run --release -p runner -- ps -a -q")).succeed();
    assert_eq!(list.text(), "");
}

#[test]
fn a_source_file_that_was_touched_changes_the_page() {
    let clone = require!(Clone::new());
    let page = "Hello World!";
    let source = file_with(&clone.folder().join("server/src"), &format!("\"{page}\""));
    let original = std::fs::read_to_string(&source).expect("a source file");
    std::fs::write(&source, original.replace(page, "Hello Earth!")).expect("a source file");
    let mut running = require!(clone.shell("exec cargo run --release -p runner -- run")).spawn();
    let port = printed_port(&mut running);
    let answer = browser::first_page(LOOPBACKS[0], port);
    std::fs::write(&source, original).expect("a source file");
    assert_eq!(String::from_utf8_lossy(&answer.body), "Hello Earth!");
    interrupt(&clone.world, running, port);
}

/// The source file in `folder` that has `text` in it outside of its tests.
fn file_with(folder: &Path, text: &str) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder)
        .expect("the sources")
        .flatten()
        .map(|entry| entry.path());
    let has = |path: &std::path::PathBuf| {
        let source = std::fs::read_to_string(path).unwrap_or_default();
        source
            .split("#[cfg(test)]")
            .next()
            .is_some_and(|code| code.contains(text))
    };
    files
        .into_iter()
        .find(has)
        .unwrap_or_else(|| panic!("{text} is nowhere in {}", folder.display()))
}

#[test]
fn the_server_runs_alone() {
    let clone = require!(Clone::new());
    let port = wait::free_port();
    let run = require!(clone.shell("exec cargo run --release -p server"));
    let running = run.env("PORT", port.to_string()).spawn();
    wait::until("the server", Duration::from_secs(300), || {
        TcpStream::connect((LOOPBACKS[0], port)).ok()
    });
    for address in LOOPBACKS {
        browser::expect_hello(address, port);
    }
    interrupt(&clone.world, running, port);
}

/// Installs both programs for the user of the clone.
fn install(clone: &Clone) -> Result<(), tests::Missing> {
    let install = "for crate in packer runner; do
        CARGO_TARGET_DIR=$PWD/target cargo install --locked --path $crate; done";
    clone.shell(install)?.succeed();
    Ok(())
}

#[test]
fn the_steps_of_the_tutorial_one_by_one() {
    let clone = require!(Clone::new());
    require!(install(&clone));
    let shell = |line: &str| clone.shell(line).map(tests::Run::succeed);

    let shown = require!(shell("packer show server"));
    let fields: Vec<&str> = shown
        .text()
        .lines()
        .filter(|line| !line.starts_with('+'))
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let order = [
        "name",
        "version",
        "outputs",
        "systems",
        "dependencies",
        "location",
        "homepage",
        "license",
        "synopsis",
        "description",
    ];
    let known: Vec<&str> = order
        .into_iter()
        .filter(|name| fields.contains(name))
        .collect();
    assert_eq!(fields, known, "{shown}");
    assert!(
        fields.starts_with(&["name", "version"]) && fields.ends_with(&["synopsis", "description"]),
        "{shown}"
    );

    let built = require!(shell("packer build"));
    let archive = clone.folder().join(built.text());
    assert!(
        built.stdout.lines().count() == 1 && archive.is_file(),
        "{built}"
    );

    let loaded = require!(shell(r#"runner load -i "$(packer build)""#));
    assert_eq!(loaded.text(), "Loaded image: localhost/server:latest");

    let mut running = require!(clone.shell("exec runner run localhost/server")).spawn();
    let port = expect_page(&mut running);
    interrupt(&clone.world, running, port);

    let info = require!(shell("runner info | grep graphDriverName"));
    assert_eq!(info.text().trim(), "graphDriverName: overlay");
    require!(shell("runner rm -a"));
}

#[test]
fn what_show_prints_is_read_by_recutils() {
    require!(client::find("recsel"));
    let clone = require!(Clone::new());
    require!(install(&clone));
    let read = require!(clone.shell("packer show server | recsel -p name,version")).succeed();
    assert_eq!(
        read.text(),
        format!("name: server\nversion: {}", env!("CARGO_PKG_VERSION"))
    );
}

/// The clone is a folder like any other: root and a user with subordinate ids run it too.
fn run_in_a_copy(mode: Mode) -> Result<(), tests::Missing> {
    let world = World::new(mode)?;
    let copy = world.path("copy");
    world::copy_sources(binaries::workspace(), &copy);
    world.own_all(&copy);
    let run = world
        .runner()
        .command(&["run"])
        .current_dir(&copy)
        .limit(Duration::from_secs(600));
    let mut running = toolchain::give(&world, run)?.spawn();
    let port = expect_page(&mut running);
    interrupt(&world, running, port);
    Ok(())
}

#[test]
fn root_runs_the_folder_too() {
    require!(run_in_a_copy(Mode::Root));
}

#[test]
fn a_user_with_subordinate_ids_runs_the_folder_too() {
    require!(run_in_a_copy(Mode::Mapped));
}

#[test]
fn any_package_with_a_binary_is_run() {
    let world = require!(World::of_a_user());
    let folder = world.make_dir("greeter", 0o755);
    world.make_dir("greeter/src", 0o755);
    world.write(
        "greeter/Cargo.toml",
        "[package]\nname = \"greeter\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    world.write(
        "greeter/src/main.rs",
        "fn main() { println!(\"hi {:?}\", std::env::args().nth(1)); }\n",
    );
    let run = world
        .runner()
        .command(&["run", "--rm"])
        .current_dir(&folder);
    let outcome = require!(toolchain::give(&world, run))
        .limit(Duration::from_secs(120))
        .succeed();
    assert_eq!(outcome.text(), "hi None");
}

#[test]
fn any_static_executable_is_packed_loaded_and_run() {
    let program = require!(client::find("busybox"));
    let world = require!(World::of_a_user());
    let file = world.path("home/busybox");
    std::fs::copy(program, &file).expect("the home");
    world.own_all(&file);
    let packed = world
        .packer()
        .args(["build", "--file", "./busybox"])
        .succeed();
    let archive = world.home().join(packed.text());
    let runner = world.runner();
    runner.to(&["load", "-i", archive.to_str().expect("a plain path")]);
    let said = runner.to(&["run", "--rm", "localhost/busybox", "echo", "packed"]);
    assert_eq!(said, "packed");
}
