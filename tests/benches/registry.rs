//! Between an archive and a registry on this machine: `packer push` and `packer pull` against skopeo.

use packer::Digest;
use tests::client::{Registry, find};
use tests::fixture::{Archive, Layer};
use tests::ratio::{Side, compare, print_head};
use tests::{Missing, World, binaries};

/// Layers of the image that is pulled.
const LAYERS: u8 = 10;

/// The bytes of each; they cannot be compressed.
const LAYER: usize = 2 << 20;

fn main() {
    binaries::as_installed();
    if let Err(missing) = benchmark() {
        println!("did not run, because {missing}");
    }
}

fn benchmark() -> Result<(), Missing> {
    find("skopeo")?;
    let world = World::of_a_user()?;
    let registry = Registry::plain()?;
    let small = Layer::new().file("bin/program", 0o755, vec![7; 700_000]);
    let small = Archive::new("localhost/small:latest", &[&small], &["/bin/program"]);
    world.write("home/small.tar", small.oci());
    let layers: Vec<Layer> = (0..LAYERS).map(noise).collect();
    let big = Archive::new(
        "localhost/big:latest",
        &layers.iter().collect::<Vec<_>>(),
        &["/x"],
    );
    world.write("home/big.tar", big.oci());
    let (here, there) = (
        registry.reference("bench/small:1"),
        registry.reference("bench/big:1"),
    );
    let (docker_here, docker_there) = (format!("docker://{here}"), format!("docker://{there}"));
    world
        .packer()
        .args(["push", "-q", "big.tar", &there])
        .succeed();
    print_head();

    let ours = Side::new("packer push, blobs there", || {
        world.packer().args(["push", "-q", "small.tar", &here])
    });
    let peer = Side::new("skopeo copy", || {
        let words = [
            "copy",
            "-q",
            "--dest-tls-verify=false",
            "oci-archive:small.tar",
            &docker_here,
        ];
        world.run("skopeo").args(words)
    });
    compare(&ours, &peer);

    let remove = || drop(std::fs::remove_file(world.path("home/pulled.tar")));
    let ours = Side::new("packer pull, 10 layers of 2 MiB", || {
        world
            .packer()
            .args(["pull", "-q", "-o", "pulled.tar", &there])
    })
    .undone_by(remove);
    let peer = Side::new("skopeo copy", || {
        let words = [
            "copy",
            "-q",
            "--src-tls-verify=false",
            &docker_there,
            "oci-archive:pulled.tar",
        ];
        world.run("skopeo").args(words)
    })
    .undone_by(remove);
    compare(&ours, &peer);
    Ok(())
}

/// A layer of bytes that look like chance and are the same each time.
fn noise(seed: u8) -> Layer {
    let mut block = Digest::of(&[seed]).to_string().into_bytes();
    let mut content = Vec::with_capacity(LAYER);
    while content.len() < LAYER {
        let digest = Digest::of(&block).hex().into_bytes();
        let halves = digest
            .chunks(2)
            .map(|pair| pair[0].wrapping_mul(31) ^ pair[1].wrapping_mul(17));
        content.extend(halves);
        block = digest;
    }
    Layer::new().file(&format!("file-{seed}"), 0o644, content)
}
