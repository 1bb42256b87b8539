//! A small static program, from the file to an archive on disk.

use tests::client::{Podman, find};
use tests::figures::Figures;
use tests::figures::Goal::AtMost;
use tests::ratio::{Side, print_commands, take_turns};
use tests::{Missing, Mode, Run, World};

/// With the C library in it: 680 kB.
const PROGRAM: &str = "int main(void) { return 0; }\n";

const CONTAINERFILE: &str =
    "FROM scratch\nCOPY program /bin/program\nENTRYPOINT [\"/bin/program\"]\n";

/// The peers need several commands each, so a shell runs them; its own start is a thousandth of their time.
const PEERS: [(&str, &str, f64, &str); 3] = [
    (
        "buildah",
        "buildah build and push",
        1.0 / 20.0,
        "buildah build -q --layers=false -t localhost/peer . && \
         buildah push -q localhost/peer oci-archive:ARCHIVE",
    ),
    (
        "podman",
        "podman build and save",
        1.0 / 20.0,
        "podman build -q --layers=false -t localhost/peer . && podman save -q -o ARCHIVE localhost/peer",
    ),
    (
        "umoci",
        "umoci init, new, insert, config, and tar",
        1.0 / 4.0,
        "umoci init --layout layout && umoci new --image layout:peer && \
         umoci insert --rootless --image layout:peer program /bin/program && \
         umoci config --image layout:peer --config.entrypoint /bin/program && \
         tar -cf ARCHIVE -C layout . && rm -r layout",
    ),
];

/// Writes a static program into the home of `world`.
pub(crate) fn make_program(world: &World) -> Result<(), Missing> {
    world.write("home/program.c", PROGRAM);
    let compiler = find("cc")?;
    let words = ["-O2", "-static", "-s", "-o", "program", "program.c"];
    let compiled = Run::new(compiler)
        .args(words)
        .current_dir(world.home())
        .finish();
    if compiled.code != 0 {
        return Err(Missing::because("cc makes no static program here"));
    }
    world.own_all(&world.home());
    Ok(())
}

pub(crate) fn measure(figures: &mut Figures) -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    make_program(&world)?;
    world.write("home/Containerfile", CONTAINERFILE);
    let archive = world.path("archive.tar");
    let remove = || drop(std::fs::remove_file(&archive));
    let build = || {
        world
            .packer()
            .args(["build", "--file", "program", "-o"])
            .args([&archive])
    };
    let ours = Side::new("packer build --file", build).undone_by(remove);
    let podman = Podman::new(&world)?;
    for (program, name, goal, script) in PEERS {
        let figure = format!("a static program of 680 kB, time to {name}");
        if let Err(missing) = find(program) {
            eprintln!("  did not run, because {missing}");
            figures.row(&figure, AtMost(goal), f64::NAN, "");
            continue;
        }
        let script = script.replace("ARCHIVE", archive.to_str().expect("a plain path"));
        let run = || podman.engine.beside("sh").args(["-c", &script]);
        let peer = Side::new(name, run).undone_by(remove);
        let found = take_turns(&ours, &peer);
        figures.row(&figure, AtMost(goal), found.ratio, "");
        eprintln!("  A: {:.1} ms, B: {:.1} ms", found.ours, found.peer);
        print_commands(&ours, &peer);
    }
    Ok(())
}
