//! A tree of many files: the time of the processor and the memory that packing it takes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::client::{Podman, find};
use tests::figures::Figures;
use tests::figures::Goal::{AtLeast, AtMost};
use tests::{Missing, Mode, Run, World, peak};

use super::program::make_program;

const FILES: u32 = 35_000;
/// The bytes of a file: 516 MB in all.
const SIZE: usize = 14_743;

/// Bytes that packing may have at most: 16 MB, 3 MB for each of two threads, 200 bytes a file.
const MEMORY: f64 = 16e6 + 2.0 * 3e6 + 200.0 * FILES as f64;

const DEFINITION: &str = "name = \"tree\"\nprogram = \"program\"\n\
                          files = [{ source = \"tree\", destination = \"/srv/tree\" }]\n";
const CONTAINERFILE: &str = "FROM scratch\nCOPY program /bin/tree\nCOPY tree /srv/tree\n\
                             ENTRYPOINT [\"/bin/tree\"]\n";

/// By hand: a tar, its digest, the layer, its digest.
const BY_HAND: &str = "tar -cf layer.tar tree && sha256sum layer.tar && gzip -6 -c layer.tar > layer.gz \
                       && sha256sum layer.gz && rm layer.tar layer.gz";
const BUILDAH: &str = "buildah build -q --layers=false -t localhost/peer . && \
                       buildah push -q localhost/peer oci-archive:peer.tar && rm peer.tar";

/// Longer than any of it takes.
const LIMIT: Duration = Duration::from_secs(900);

/// What a command took, in seconds.
struct Cost {
    /// Of the processor, its own and the system's.
    processor: f64,
    /// On the clock.
    clock: f64,
}

pub(crate) fn measure(figures: &mut Figures) -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    make_program(&world)?;
    make_tree(&world.home());
    world.write("home/packer.toml", DEFINITION);
    world.write("home/Containerfile", CONTAINERFILE);
    world.own_all(&world.home());
    // Once for the caches.
    cost(&packed(&world, "none", "0"), &world);
    let by_hand = cost(BY_HAND, &world);
    let buildah = match find("buildah") {
        Ok(_) => cost_of(Podman::new(&world)?.engine.beside("bash"), BUILDAH),
        Err(_) => Cost {
            processor: f64::NAN,
            clock: f64::NAN,
        },
    };
    let one = cost(&packed(&world, "gzip", "0"), &world);
    let two = cost(&packed(&world, "gzip", "0,1"), &world);
    let [none, zstd] = ["none", "zstd"].map(|kind| cost(&packed(&world, kind, "0"), &world));
    eprintln!("  by hand: {BY_HAND}\n  buildah: {BUILDAH}");
    let to = |ours: &Cost, peer: &Cost| ours.processor / peer.processor;
    let name = |what: &str| format!("516 MB in 35,000 files, {what}");
    let mut row = |what: &str, goal, value| figures.row(&name(what), goal, value, "");
    row(
        "gzip, CPU to tar, gzip, sha256sum",
        AtMost(0.6),
        to(&one, &by_hand),
    );
    row("gzip, CPU to buildah", AtMost(0.25), to(&one, &buildah));
    row(
        "gzip, time with one thread to two",
        AtLeast(1.7),
        one.clock / two.clock,
    );
    row(
        "uncompressed, CPU to buildah",
        AtMost(1.0 / 15.0),
        to(&none, &buildah),
    );
    row(
        "zstd, CPU to buildah",
        AtMost(1.0 / 8.0),
        to(&zstd, &buildah),
    );
    for (kind, figure) in [("gzip", "gzip"), ("zstd", "zstd"), ("none", "uncompressed")] {
        let most = peak(&world, kind) / 1e6;
        figures.row(
            &name(&format!("{figure}, memory with two threads")),
            AtMost(MEMORY / 1e6),
            most,
            " MB",
        );
    }
    Ok(())
}

/// The script that packs the tree on these processors.
fn packed(world: &World, kind: &str, processors: &str) -> String {
    let packer = world.packer().line();
    let packer = packer
        .split_whitespace()
        .last()
        .expect("the program")
        .to_owned();
    format!("taskset -c {processors} {packer} build --compress {kind} -o ours.tar && rm ours.tar")
}

fn cost(script: &str, world: &World) -> Cost {
    cost_of(world.run("bash"), script)
}

/// Runs a script in bash, which says what it took.
fn cost_of(bash: Run, script: &str) -> Cost {
    let timed = format!("TIMEFORMAT='%R %U %S'; time {{ {script}; }}");
    let outcome = bash.args(["-c", &timed]).limit(LIMIT).succeed();
    let line = outcome.stderr.lines().last().unwrap_or_default();
    let times: Vec<f64> = line
        .split(' ')
        .map(|time| time.parse().unwrap_or_else(|_| panic!("{outcome}")))
        .collect();
    let cost = Cost {
        processor: times[1] + times[2],
        clock: times[0],
    };
    eprintln!(
        "  CPU {:.2} s, clock {:.2} s: {script}",
        cost.processor, cost.clock
    );
    cost
}

/// The bytes of memory that packing has at most.
fn peak(world: &World, kind: &str) -> f64 {
    let words = ["build", "--compress", kind, "-o", "ours.tar"];
    peak::of(world.packer().args(words))
}

/// Two files of three are text that can be compressed by a half, the third is noise.
fn make_tree(home: &Path) {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for number in 0..FILES {
        let folder = home.join(format!("tree/d{:03}", number % 350));
        fs::create_dir_all(&folder).expect("the home");
        let mut content = Vec::with_capacity(SIZE + 8);
        while content.len() < SIZE {
            match number % 3 {
                0 => content.extend_from_slice(&next().to_le_bytes()),
                _ => content.extend_from_slice(format!("{:x} ", next() % 65_536).as_bytes()),
            }
        }
        content.truncate(SIZE);
        fs::write(folder.join(format!("f{number}")), content).expect("room for the tree");
    }
}
