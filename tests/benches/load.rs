//! From an archive to an image in the store: `runner load` against `podman load`.

use tests::client::Podman;
use tests::fixture::{Archive, Layer, busybox};
use tests::ratio::{Side, compare, print_head};
use tests::{Engine, Missing, Mode, Run, World};

/// As many files as a small distribution has, of a few kilobytes each.
const FILES: u32 = 4000;

const NAME: &str = "localhost/many:latest";

fn main() {
    if let Err(missing) = benchmark() {
        println!("did not run, because {missing}");
    }
}

fn benchmark() -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let podman = Podman::new(&world)?;
    let runner = world.runner();
    print_head();
    for (name, image) in [(busybox::NAME, busybox::image()?), (NAME, many_files())] {
        let archive = world.write("archive.tar", image.docker());
        let path = archive.to_str().expect("a plain path");
        let load = |engine: &Engine| -> Run { engine.command(&["load", "-q", "-i", path]) };
        let remove = |engine: &Engine| drop(engine.to(&["rmi", name]));
        let ours = Side::new("runner load", || load(&runner)).undone_by(|| remove(&runner));
        let peer =
            Side::new("podman load", || load(&podman.engine)).undone_by(|| remove(&podman.engine));
        eprintln!("  {} kB in {name}", image.docker().len() / 1024);
        compare(&ours, &peer);
    }
    Ok(())
}

/// An image of many small files, none like the other.
fn many_files() -> Archive {
    let layer = (0..FILES).fold(Layer::new().dir("usr/", 0o755), |layer, number| {
        let content: Vec<u8> = (0..1 + number % 16)
            .flat_map(|line| {
                format!("line {line} of file {number}\n")
                    .repeat(20)
                    .into_bytes()
            })
            .collect();
        layer.file(&format!("usr/file-{number}"), 0o644, content)
    });
    Archive::new(NAME, &[&layer], &["/bin/true"])
}
