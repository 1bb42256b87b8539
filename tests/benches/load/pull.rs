//! Pulling ten layers from a registry on this machine.

use tests::client::{Podman, Registry};
use tests::figures::Figures;
use tests::figures::Goal::AtMost;
use tests::fixture::{Archive, Layer};
use tests::ratio::Side;
use tests::{Engine, Missing, Mode, World, peak};

use super::row;

const LAYERS: u8 = 10;
/// Files of a layer, and the bytes of each: 40 MB in all.
const FILES: u32 = 100;
const SIZE: usize = 40_000;

pub(crate) fn measure(figures: &mut Figures) -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let podman = Podman::new(&world)?;
    let runner = world.runner();
    let there = Registry::plain()?.reference("bench/layers:1");
    let layers: Vec<Layer> = (0..LAYERS).map(layer).collect();
    let layers: Vec<&Layer> = layers.iter().collect();
    world.write(
        "home/layers.tar",
        Archive::new("localhost/layers:1", &layers, &["/x"]).oci(),
    );
    world
        .packer()
        .args(["push", "-q", "layers.tar", &there])
        .succeed();
    let pull = |engine: &Engine| engine.command(&["pull", "-q", "--tls-verify=false", &there]);
    let remove = |engine: &Engine| drop(engine.to(&["rmi", "-f", &there]));
    let ours = Side::new("runner pull", || pull(&runner)).undone_by(|| remove(&runner));
    let peer =
        Side::new("podman pull", || pull(&podman.engine)).undone_by(|| remove(&podman.engine));
    row(
        figures,
        "pull of 10 layers, time to podman",
        0.5,
        &ours,
        &peer,
    );
    let memory = peak::of(pull(&runner)) / 1e6;
    figures.row("pull of 10 layers, memory", AtMost(32.0), memory, " MB");
    Ok(())
}

fn layer(number: u8) -> Layer {
    (0..FILES).fold(Layer::new(), |layer, file| {
        let line = format!("layer {number}, file {file}\n");
        let mut content = line.repeat(SIZE / line.len() + 1).into_bytes();
        content.truncate(SIZE);
        layer.file(&format!("usr/{number}/{file}"), 0o644, content)
    })
}
