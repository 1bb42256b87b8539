//! Images on their way into the store, against their goals and podman: `cargo bench -p tests --bench
//! load [-- PART…]`, where the parts are `small`, `large`, `pull`, `many` and `layers`.
//!
//! Commands take turns with their peer, and what counts is the median of the ratios.

#[path = "load/large.rs"]
mod large;
#[path = "load/many.rs"]
mod many;
#[path = "load/pull.rs"]
mod pull;

use tests::client::Podman;
use tests::figures::Goal::AtMost;
use tests::figures::{Figures, Part};
use tests::ratio::{Side, print_commands, take_turns};
use tests::{Engine, Missing, Mode, Run, World, binaries};

const PARTS: [(&str, Part); 5] = [
    ("small", small),
    ("large", large::measure),
    ("pull", pull::measure),
    ("many", many::images),
    ("layers", many::layers),
];

fn main() {
    binaries::as_installed();
    tests::figures::measure(&PARTS);
}

/// The hello image, file syncs included: both engines write to a disk.
fn small(figures: &mut Figures) -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let podman = Podman::new(&world)?;
    let runner = world.runner();
    let path = binaries::server_archive().to_str().expect("a plain path");
    let ours = loads("runner load", &runner, path, "localhost/server");
    let peer = loads("podman load", &podman.engine, path, "localhost/server");
    row(
        figures,
        "load of the hello image, time to podman",
        0.05,
        &ours,
        &peer,
    );
    Ok(())
}

/// A load that is undone after each run.
fn loads<'a>(
    name: &'static str,
    engine: &'a Engine<'a>,
    path: &'a str,
    image: &'a str,
) -> Side<'a> {
    let load = move || -> Run { engine.command(&["load", "-q", "-i", path]) };
    Side::new(name, load).undone_by(move || drop(engine.to(&["rmi", "-f", image])))
}

/// Lets the two take turns and prints the ratio.
fn row(figures: &mut Figures, figure: &str, most: f64, ours: &Side<'_>, peer: &Side<'_>) {
    let found = take_turns(ours, peer);
    figures.row(figure, AtMost(most), found.ratio, "");
    eprintln!(
        "  A: {:.1} ms, B: {:.1} ms, {} pairs",
        found.ours, found.peer, found.pairs
    );
    print_commands(ours, peer);
}
