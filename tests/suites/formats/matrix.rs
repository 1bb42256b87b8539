//! Every format in every compression with one name and with two, read by those who read that format.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::Value;
use tests::client::{Containerd, Docker, Podman, find};
use tests::{World, require};

use super::{boxed, inspected, pack};

const FORMATS: [&str; 3] = ["docker-archive", "oci-archive", ""];
const COMPRESSIONS: [&str; 3] = ["gzip:1", "zstd", "none"];
const NAMES: [&[&str]; 2] = [
    &["localhost/one:1"],
    &["localhost/one:1", "example.org/team/two:2"],
];

/// One archive, and how it was packed.
struct Packed {
    format: &'static str,
    compression: &'static str,
    names: &'static [&'static str],
    archive: PathBuf,
}

/// Packs every combination, each into the same file, and shows it to `look`.
fn for_each(world: &World, mut look: impl FnMut(&Packed)) {
    for format in FORMATS {
        for compression in COMPRESSIONS {
            for names in NAMES {
                let mut words = vec!["-o", "a.tar", "--compress", compression];
                if !format.is_empty() {
                    words.extend(["--format", format]);
                }
                words.extend(names.iter().flat_map(|name| ["-t", name]));
                pack(world, &words);
                look(&Packed {
                    format,
                    compression,
                    names,
                    archive: world.path("home/box/a.tar"),
                });
            }
        }
    }
}

impl Packed {
    fn load(&self) -> [&OsStr; 3] {
        [
            OsStr::new("load"),
            OsStr::new("-i"),
            self.archive.as_os_str(),
        ]
    }

    fn is_docker(&self) -> bool {
        self.format != "oci-archive"
    }

    /// Runs the image under each of its names and removes it.
    fn expect_runs(&self, to: impl Fn(&[&str]) -> String) {
        for name in self.names {
            let said = to(&["run", "--rm", "--network", "none", name]);
            assert_eq!(said, "hello", "{} {}", self.format, self.compression);
        }
        to(&[&["rmi"], self.names].concat());
    }
}

#[test]
fn podman_and_the_runner_run_every_archive_under_every_name() {
    let (world, _) = require!(boxed());
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    for_each(&world, |packed| {
        runner.to(&packed.load());
        packed.expect_runs(|words| runner.to(words));
        // "more than one image in oci, choose an image", says podman of an index with two names; in
        // an archive that is both it takes the other part.
        if packed.is_docker() || packed.names.len() == 1 {
            podman.engine.to(&packed.load());
            packed.expect_runs(|words| podman.engine.to(words));
        }
    });
}

#[test]
fn docker_runs_every_archive_that_it_reads_under_every_name() {
    let (world, _) = require!(boxed());
    let docker = require!(Docker::start());
    for_each(&world, |packed| {
        // As the packer's own warning says, docker 20.10 knows no zstd; nor has it the other format.
        if packed.is_docker() && packed.compression != "zstd" {
            docker.to(&packed.load());
            packed.expect_runs(|words| docker.to(words));
        }
    });
}

#[test]
fn ctr_has_every_archive_under_every_name() {
    let (world, _) = require!(boxed());
    let containerd = require!(Containerd::start());
    for_each(&world, |packed| {
        let import = ["images", "import", "--snapshotter", "native"].map(OsStr::new);
        containerd.to(&[&import[..], &[packed.archive.as_os_str()]].concat());
        let list = containerd.to(&["images", "ls", "-q"]);
        for name in packed.names {
            assert!(list.lines().any(|line| line == *name), "{name}: {list}");
            containerd.to(&["images", "rm", "--sync", name]);
        }
    });
}

#[test]
fn skopeo_reads_the_same_image_through_every_transport_and_name() {
    require!(find("skopeo"));
    let (world, _) = require!(boxed());
    for_each(&world, |packed| {
        let archive = packed.archive.display();
        let is = |format: &str| packed.format.is_empty() || packed.format == format;
        let config = |source: &str| -> Value { inspected(&world, source, &["--config"]) };
        let mut found = Vec::new();
        for name in packed.names {
            if is("docker-archive") {
                found.push(config(&format!("docker-archive:{archive}:{name}")));
            }
            if is("oci-archive") {
                let tag = name.rsplit(':').next().expect("it has a tag");
                found.push(config(&format!("oci-archive:{archive}:{tag}")));
            }
        }
        assert!(found.iter().all(|other| *other == found[0]), "{found:?}");
        assert_eq!(found[0]["config"]["Cmd"][1], "hello");
    });
}
