//! Pushing an image whose blobs are all there.

use tests::client::{Registry, find};
use tests::figures::Figures;
use tests::figures::Goal::AtMost;
use tests::fixture::{Archive, Layer};
use tests::ratio::{Side, print_commands, take_turns};
use tests::scripted::{Scripted, reply};
use tests::{Missing, World};

pub(crate) fn measure(figures: &mut Figures) -> Result<(), Missing> {
    let world = World::of_a_user()?;
    let layer = Layer::new().file("bin/program", 0o755, vec![7; 700_000]);
    let image = Archive::new("localhost/small:latest", &[&layer], &["/bin/program"]);
    world.write("home/small.tar", image.oci());
    count_requests(&world, figures);
    find("skopeo")?;
    let here = Registry::plain()?.reference("bench/small:1");
    let there = format!("docker://{here}");
    let ours = Side::new("packer push", || {
        world.packer().args(["push", "-q", "small.tar", &here])
    });
    let words = [
        "copy",
        "-q",
        "--dest-tls-verify=false",
        "oci-archive:small.tar",
        &there,
    ];
    let peer = Side::new("skopeo copy", || world.run("skopeo").args(words));
    let found = take_turns(&ours, &peer);
    figures.row(
        "push of an image whose blobs are there, time to skopeo",
        AtMost(0.5),
        found.ratio,
        "",
    );
    eprintln!("  A: {:.1} ms, B: {:.1} ms", found.ours, found.peer);
    print_commands(&ours, &peer);
    Ok(())
}

/// A registry that has every blob sees what is asked of it.
fn count_requests(world: &World, figures: &mut Figures) {
    let registry = Scripted::start(|request, stream| match request.method.as_str() {
        "PUT" => reply(stream, 201, &[], b""),
        _ => reply(stream, 200, &[], b""),
    });
    world
        .packer()
        .args([
            "push",
            "-q",
            "small.tar",
            &registry.reference("bench/small:1"),
        ])
        .succeed();
    let requests = registry.requests();
    let asked = |line: &str| {
        requests
            .iter()
            .filter(|request| request.line().starts_with(line))
            .count()
    };
    // The layer and the config.
    let heads = asked("HEAD /v2/bench/small/blobs/") as f64 / 2.0;
    figures.row("the same, HEAD a blob", AtMost(1.0), heads, "");
    let puts = asked("PUT /v2/bench/small/manifests/") as f64;
    figures.row("the same, PUT", AtMost(1.0), puts, "");
    let others = requests.len() - asked("HEAD ") - asked("PUT ");
    figures.row("the same, other requests", AtMost(1.0), others as f64, "");
}
