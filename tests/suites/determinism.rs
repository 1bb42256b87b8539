//! The same input gives the same bytes, whoever packs it, wherever and however.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::client::find;
use tests::{Missing, Mode, Run, World, binaries, require, toolchain, world};

/// Longer than a build of the server from nothing takes on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// How one of two people has set up their machine.
struct Person {
    mode: Mode,
    checkout: &'static str,
    umask: &'static str,
    cargo_home: &'static str,
    time_zone: &'static str,
    language: &'static str,
    threads: &'static str,
}

const ONE: Person = Person {
    mode: Mode::Mapped,
    checkout: "one",
    umask: "022",
    cargo_home: "home/.cargo",
    time_zone: "UTC",
    language: "C",
    threads: "1",
};

const OTHER: Person = Person {
    mode: Mode::Single,
    checkout: "a rather/longer path",
    umask: "077",
    cargo_home: "another-cargo-home",
    time_zone: "Pacific/Auckland",
    language: "de_DE.UTF-8",
    threads: "7",
};

/// The archive that this person gets from `packer build` of the server, and its printed name.
fn packed_by(person: &Person) -> Result<(Vec<u8>, String), Missing> {
    let world = World::new(person.mode)?;
    let mut checkout = world.folder().to_owned();
    for part in Path::new(person.checkout) {
        checkout = world.make_dir(checkout.join(part), 0o755);
    }
    let checkout = checkout.join("workspace");
    world::copy_sources(binaries::workspace(), &checkout);
    world.own_all(&checkout);
    let run = with_umask(&world, person.umask, &["build"]).current_dir(&checkout);
    let run = toolchain::give_with_home(&world, run, &world.path(person.cargo_home))?;
    let packed = run
        .env("TZ", person.time_zone)
        .env("LANG", person.language)
        .env("LC_ALL", person.language)
        .env("RAYON_NUM_THREADS", person.threads)
        .limit(BUILD_LIMIT)
        .succeed();
    Ok(read_archive(&checkout, packed.text()))
}

/// `packer` with these arguments, under a umask.
fn with_umask(world: &World, umask: &str, words: &[&str]) -> Run {
    world
        .run("sh")
        .args(["-c", r#"umask "$0"; exec "$@""#, umask])
        .args([binaries::path("packer")])
        .args(words)
}

/// The bytes and the name of the archive whose path `packer build` printed.
fn read_archive(folder: &Path, printed: &str) -> (Vec<u8>, String) {
    let path: PathBuf = folder.join(printed);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path
        .file_name()
        .expect("the name of the archive")
        .to_string_lossy()
        .into_owned();
    (bytes, name)
}

#[test]
fn two_people_get_the_same_archive_of_the_server() {
    let (one, one_name) = require!(packed_by(&ONE));
    let (other, other_name) = require!(packed_by(&OTHER));
    assert_eq!(one_name, other_name);
    assert!(
        one == other,
        "{one_name}: {}",
        first_difference(&one, &other)
    );
}

/// Where two archives differ, for the message of a test that fails.
fn first_difference(one: &[u8], other: &[u8]) -> String {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    let at = at.map_or_else(
        || "in their lengths".to_owned(),
        |at| format!("at byte {at}"),
    );
    format!("{} and {} bytes, which differ {at}", one.len(), other.len())
}

/// Packs a static program with `packer build --file` in a folder, under a umask.
fn pack_file(world: &World, folder: &str, umask: &str) -> (Vec<u8>, String) {
    let folder = world.make_dir(folder, 0o755);
    let program = folder.join("hello");
    std::fs::copy(find("busybox").expect("asked for before"), &program).expect("a new folder");
    world.own_all(&folder);
    let packed = with_umask(world, umask, &["build", "--file", "hello"])
        .current_dir(&folder)
        .succeed();
    read_archive(&folder, packed.text())
}

#[test]
fn a_file_packs_to_the_same_archive_in_another_folder_under_another_umask() {
    require!(find("busybox"));
    let world = require!(World::of_a_user());
    let one = pack_file(&world, "one", "000");
    let other = pack_file(&world, "other", "077");
    assert_eq!(one.1, other.1);
    assert!(one.0 == other.0, "{}", first_difference(&one.0, &other.0));
}

#[test]
fn packing_twice_in_one_place_gives_one_archive() {
    require!(find("busybox"));
    let world = require!(World::of_a_user());
    let one = pack_file(&world, "one", "022");
    let again = with_umask(&world, "022", &["build", "--file", "hello"])
        .current_dir(world.path("one"))
        .succeed();
    assert!(one == read_archive(&world.path("one"), again.text()));
}

/// A folder with a definition, a static program, and files beside it in two folders.
fn with_files(world: &World) -> PathBuf {
    let folder = world.make_dir("home/files", 0o755);
    let program = folder.join("prog");
    std::fs::copy(find("busybox").expect("asked for before"), program).expect("a new folder");
    world.make_dir(folder.join("data"), 0o755);
    for inner in 0..7 {
        let inner = world.make_dir(folder.join(format!("data/d{inner}")), 0o755);
        for number in 0..9 {
            let text = format!("{number}\n").repeat(20_000);
            world.write(inner.join(format!("f{number}")), text);
        }
    }
    let definition = "name = \"files\"\nprogram = \"prog\"\ntime-zones = false\n\
                      files = [{ source = \"data\", destination = \"/srv\" }]\n";
    world.write(folder.join("packer.toml"), definition);
    world.own_all(&folder);
    folder
}

/// Packs the definition of `folder`, started by `around`.
fn pack_around(world: &World, folder: &Path, around: &[&str], compression: &str) -> Vec<u8> {
    let packer = binaries::path("packer");
    let words = ["build", "--compress", compression, "-o"];
    let run = match around.split_first() {
        None => world.run(&packer),
        Some((first, rest)) => world.run(first).args(rest).args([&packer]),
    };
    let archive = world.path(format!("{compression}.tar"));
    let command = run.args(words).args([&archive]);
    drop(command.current_dir(folder).succeed());
    std::fs::read(&archive).expect("it was written")
}

#[test]
fn threads_locale_and_time_zone_do_not_show() {
    require!(find("busybox"));
    require!(find("taskset"));
    let world = require!(World::of_a_user());
    let folder = with_files(&world);
    let arounds: [&[&str]; 4] = [
        &["taskset", "-c", "0"],
        &["env", "LC_ALL=tr_TR.UTF-8", "TZ=Asia/Kathmandu"],
        &["env", "-i", "PATH=/usr/bin:/bin"],
        &["sh", "-c", r#"umask 077; exec "$0" "$@""#],
    ];
    for compression in ["gzip", "zstd", "none"] {
        let plain = pack_around(&world, &folder, &[], compression);
        for around in arounds {
            let other = pack_around(&world, &folder, around, compression);
            assert!(
                plain == other,
                "{around:?}: {}",
                first_difference(&plain, &other)
            );
        }
    }
}

#[test]
fn the_order_of_a_directory_does_not_show() {
    require!(find("busybox"));
    require!(find("disorderfs"));
    let world = require!(World::of_a_user());
    if !tests::account::we_are_root() {
        let why = Missing::because("only root can show a file system to another user");
        return tests::missing::did_not_run("determinism::the_order_of_a_directory", &why);
    }
    let folder = with_files(&world);
    let plain = pack_around(&world, &folder, &[], "gzip");
    let shuffled = world.make_dir("home/shuffled", 0o755);
    let mounted = Run::new("disorderfs")
        .args(["-q", "--multi-user=yes", "--shuffle-dirents=yes"])
        .args([&folder, &shuffled])
        .finish();
    if mounted.code != 0 {
        let why = Missing::because("disorderfs cannot be mounted here");
        return tests::missing::did_not_run("determinism::the_order_of_a_directory", &why);
    }
    let other = std::panic::catch_unwind(|| pack_around(&world, &shuffled, &[], "gzip"));
    drop(Run::new("umount").args(["-l"]).args([&shuffled]).finish());
    let other = other.expect("packing a shuffled folder");
    assert!(plain == other, "{}", first_difference(&plain, &other));
}

/// The packer, compiled for another processor.
fn foreign_packer() -> Result<PathBuf, Missing> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let compiler = find("aarch64-linux-gnu-gcc")?;
    let rustc = binaries::with_our_environment(Run::new("rustc"));
    let sysroot = rustc.args(["--print", "sysroot"]).succeed();
    let target = Path::new(sysroot.text()).join("lib/rustlib").join(TARGET);
    if !target.is_dir() {
        return Err(Missing::because(format!(
            "the target {TARGET} is not installed"
        )));
    }
    let folder = binaries::target_folder();
    binaries::with_our_environment(Run::new("cargo"))
        .args(["build", "--quiet", "-p", "packer", "--target", TARGET])
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", compiler)
        .env("CARGO_TARGET_DIR", &folder)
        .current_dir(binaries::workspace())
        .limit(BUILD_LIMIT)
        .succeed();
    Ok(folder.join(TARGET).join("debug/packer"))
}

/// Compression and digests have code of their own for each processor.
#[test]
fn another_processor_packs_the_same_archive() {
    let emulator = require!(find("qemu-aarch64-static"));
    let busybox = require!(find("busybox"));
    let foreign = require!(foreign_packer());
    let world = require!(World::of_a_user());
    let folder = world.make_dir("box", 0o755);
    std::fs::copy(busybox, folder.join("hello")).expect("a new folder");
    std::fs::copy(foreign, folder.join("packer")).expect("a new folder");
    world.own_all(&folder);
    for compression in ["gzip", "zstd", "none"] {
        let words = ["build", "--file", "hello", "--compress", compression, "-o"];
        let native = world.packer().args(words).args(["native.tar"]);
        let emulated = world
            .run(&emulator)
            .args(["-L", "/usr/aarch64-linux-gnu", "./packer"])
            .args(words)
            .args(["emulated.tar"])
            .limit(BUILD_LIMIT);
        let archives = [(native, "native.tar"), (emulated, "emulated.tar")].map(|(run, name)| {
            run.current_dir(&folder).succeed();
            std::fs::read(folder.join(name)).expect("what was packed")
        });
        let [one, other] = archives;
        assert!(
            one == other,
            "{compression}: {}",
            first_difference(&one, &other)
        );
    }
}
