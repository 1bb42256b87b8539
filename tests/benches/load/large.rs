//! An image of 570 MB in 15,000 files: the time to load it into memory and onto a disk, the memory
//! that it takes, and what happens when it comes a second time.

use std::fs;
use std::path::{Path, PathBuf};

use tests::client::Podman;
use tests::figures::Figures;
use tests::figures::Goal::AtMost;
use tests::fixture::{Archive, Layer};
use tests::ratio::Side;
use tests::{Missing, Mode, World, peak};

use super::{loads, row};

const FILES: u32 = 15_000;
/// The bytes of a file: 570 MB in all.
const SIZE: usize = 38_000;
const NAME: &str = "localhost/large:latest";

pub(crate) fn measure(figures: &mut Figures) -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let podman = Podman::new(&world)?;
    let layer = layer();
    let archive = world.write(
        "large.tar",
        Archive::new(NAME, &[&layer], &["/bin/true"]).docker(),
    );
    world.write("layer.tar", layer.tar());
    drop(layer);
    let path = archive.to_str().expect("a plain path");

    let memory = InMemory::new(&world)?;
    let memory = &memory.0;
    let [store, peer_store] = ["store", "podman"].map(|name| memory.join(name));
    let ours = world.runner().with_global(&[Path::new("--root"), &store]);
    let peer = podman.engine.clone();
    let peer = peer.with_global(&[Path::new("--root"), &peer_store]);
    let name = |what: &str| format!("570 MB in 15,000 files, {what}");
    let side = loads("runner load", &ours, path, NAME);
    row(
        figures,
        &name("into memory, time to tar and cp"),
        1.0,
        &side,
        &by_hand(&world, memory, ""),
    );
    row(
        figures,
        &name("into memory, time to podman"),
        1.0 / 8.0,
        &side,
        &loads("podman load", &peer, path, NAME),
    );
    let disk = world.make_dir("disk", 0o755);
    let ours = world.runner();
    let side = loads("runner load", &ours, path, NAME);
    row(
        figures,
        &name("onto a disk, time to tar, cp and sync"),
        1.1,
        &side,
        &by_hand(&world, &disk, "&& sync -f ."),
    );
    row(
        figures,
        &name("onto a disk, time to podman"),
        1.0 / 3.0,
        &side,
        &loads("podman load", &podman.engine, path, NAME),
    );

    let load = || ours.command(&["load", "-q", "-i", path]);
    figures.row(&name("memory"), AtMost(32.0), peak::of(load()) / 1e6, " MB");
    let size = fs::metadata(&archive).expect("the archive").len() as f64;
    let (read, written) = traffic(&world, &load().line());
    figures.row(
        &name("again, bytes read to its size"),
        AtMost(0.01),
        read / size,
        "",
    );
    figures.row(
        &name("again, bytes written to its size"),
        AtMost(0.01),
        written / size,
        "",
    );
    Ok(())
}

/// A folder of the user's in a file system in memory, removed with everything in it.
struct InMemory(PathBuf);

impl InMemory {
    fn new(world: &World) -> Result<Self, Missing> {
        let folder = PathBuf::from(format!("/dev/shm/tests-load-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| Missing::because(format!("/dev/shm: {error}")))?;
        world.own_all(&folder);
        Ok(Self(folder))
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        tests::world::remove(&self.0);
    }
}

/// What is left if nothing is checked: the files unpacked, and the archive kept.
fn by_hand<'a>(world: &'a World, folder: &Path, end: &str) -> Side<'a> {
    let at = folder.display().to_string();
    let script = format!(
        "mkdir {at}/tree && tar xf layer.tar -C {at}/tree && cp large.tar {at}/kept && cd {at} {end}"
    );
    let clear = format!("rm -rf {at}/tree {at}/kept");
    let shell = |script: String| {
        let run = world.run("sh").args(["-c", &script]);
        run.current_dir(world.folder())
    };
    Side::new("tar xf, cp", move || shell(script.clone()))
        .undone_by(move || drop(shell(clear.clone()).succeed()))
}

/// The bytes that a command reads and writes through system calls (proc_pid_io(5): they count for
/// the parent once it has waited).
fn traffic(world: &World, line: &str) -> (f64, f64) {
    let script = format!("cat /proc/$$/io && {line} && cat /proc/$$/io");
    let said = world.run("sh").args(["-c", &script]).succeed().stdout;
    let sum = |key: &str| -> Vec<f64> {
        said.lines()
            .filter_map(|line| line.strip_prefix(key))
            .map(|number| number.trim().parse().expect("a number"))
            .collect()
    };
    let [read, written] = ["rchar:", "wchar:"].map(|key| {
        let marks = sum(key);
        marks[1] - marks[0]
    });
    (read, written)
}

/// Files of text that repeats, none like the other.
fn layer() -> Layer {
    (0..FILES).fold(Layer::new(), |layer, number| {
        let line = format!("line of file {number}, which is like no other file\n");
        let mut content = line.repeat(SIZE / line.len() + 1).into_bytes();
        content.truncate(SIZE);
        layer.file(
            &format!("usr/d{:03}/file-{number}", number % 150),
            0o644,
            content,
        )
    })
}
