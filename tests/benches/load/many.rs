//! A store of many images, and an image of many layers.

use tests::client::Podman;
use tests::figures::Figures;
use tests::fixture::{Archive, Layer, busybox};
use tests::ratio::Side;
use tests::{Engine, Missing, Mode, World};

use super::row;

const OURS: u32 = 1000;
const THEIRS: u32 = 10;

/// As many as docker takes.
const LAYERS: u32 = 127;

/// Lists a thousand images against podman's list of ten.
pub(crate) fn images(figures: &mut Figures) -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let podman = Podman::new(&world)?;
    let runner = world.runner();
    fill(&runner, OURS);
    fill(&podman.engine, THEIRS);
    let ours = Side::new("images, of 1,000", || runner.command(&["images"]));
    let peer = Side::new("podman images, of 10", || {
        podman.engine.command(&["images"])
    });
    let figure = "images with 1,000 images, time to podman with ten";
    row(figures, figure, 0.2, &ours, &peer);
    Ok(())
}

fn fill(engine: &Engine, count: u32) {
    for number in 0..count {
        let layer = Layer::new().file("number", 0o644, number.to_string());
        let name = format!("localhost/number-{number}:latest");
        engine.load(&Archive::new(&name, &[&layer], &["/x"]).docker());
    }
}

/// The start of a container, and 20,000 looks for files that are not there.
pub(crate) fn layers(figures: &mut Figures) -> Result<(), Missing> {
    const SCRIPT: &str = "for i in $(seq 20000); do test -e /absent-$i && exit 1; done; true";
    let world = World::new(Mode::Mapped)?;
    let runner = world.runner();
    let busybox = busybox::layer()?;
    let more: Vec<Layer> = (1..LAYERS)
        .map(|number| Layer::new().file(&format!("layer/{number}"), 0o644, "x"))
        .collect();
    let all: Vec<&Layer> = std::iter::once(&busybox).chain(&more).collect();
    for (name, layers) in [("one", &all[..1]), ("most", &all[..])] {
        runner.load(&Archive::new(&format!("localhost/{name}:latest"), layers, &["sh"]).docker());
    }
    for (what, words) in [
        ("start", vec!["true"]),
        ("start and 20,000 looks", vec!["sh", "-c", SCRIPT]),
    ] {
        let run = |name: &'static str| {
            let line = ["run", "--rm", "--network", "none", name];
            runner.command(&[&line[..], &words].concat())
        };
        let ours = Side::new("127 layers", || run("localhost/most"));
        let peer = Side::new("one layer", || run("localhost/one"));
        let figure = format!("a container of 127 layers, {what}, time to one layer");
        row(figures, &figure, 1.1, &ours, &peer);
    }
    Ok(())
}
