//! From a static executable to an archive: `packer build --file` against buildah and podman.

use tests::client::{Podman, find};
use tests::ratio::{Side, compare, print_head};
use tests::{Missing, Mode, World, binaries};

const CONTAINERFILE: &str =
    "FROM scratch\nCOPY program /bin/program\nENTRYPOINT [\"/bin/program\"]\n";

/// The peers need two commands each, so a shell runs them; its own start is a thousandth of their time.
const PEERS: [(&str, &str, &str); 2] = [
    (
        "buildah",
        "buildah build and push",
        "buildah build -q --layers=false -t localhost/peer . && \
         buildah push -q localhost/peer oci-archive:ARCHIVE",
    ),
    (
        "podman",
        "podman build and save",
        "podman build -q --layers=false -t localhost/peer . && podman save -q -o ARCHIVE localhost/peer",
    ),
];

fn main() {
    if let Err(missing) = benchmark() {
        println!("did not run, because {missing}");
    }
}

fn benchmark() -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let program = world.path("home/program");
    // The hello server itself is what most people pack; any static file of its size would do.
    std::fs::copy(
        find("busybox").unwrap_or_else(|_| binaries::path("server")),
        &program,
    )
    .expect("the home");
    world.own_all(&program);
    world.write("home/Containerfile", CONTAINERFILE);
    let archive = world.path("archive.tar");
    let remove = || {
        let _ = std::fs::remove_file(&archive);
    };
    let build = || {
        world
            .packer()
            .args(["build", "--file", "program", "-o"])
            .args([&archive])
    };
    let ours = Side::new("packer build --file", build).undone_by(remove);
    print_head();
    let podman = Podman::new(&world)?;
    for (program, name, script) in PEERS {
        if let Err(missing) = find(program) {
            eprintln!("  did not run, because {missing}");
            continue;
        }
        let script = script.replace("ARCHIVE", archive.to_str().expect("a plain path"));
        let run = || podman.engine.beside("sh").args(["-c", &script]);
        compare(&ours, &Side::new(name, run).undone_by(remove));
    }
    Ok(())
}
