//! containerd's own client, and every archive that it can import.

use std::ffi::OsStr;

use tests::client::Containerd;
use tests::require;

use super::{NAME, boxed, pack};

#[test]
fn ctr_runs_every_archive_in_every_compression() {
    let (world, _) = require!(boxed());
    let containerd = require!(Containerd::start());
    let archive = world.path("home/box/a.tar");
    for (at, format) in ["docker-archive", "oci-archive", ""]
        .into_iter()
        .enumerate()
    {
        for compression in ["gzip:1", "zstd", "none"] {
            let format = ["--format", format];
            let format = if format[1].is_empty() {
                &[][..]
            } else {
                &format
            };
            pack(
                &world,
                &[format, &["--compress", compression, "-o", "a.tar"]].concat(),
            );
            let import = ["images", "import", "--snapshotter", "native"].map(OsStr::new);
            containerd.to(&[&import[..], &[archive.as_os_str()]].concat());
            let container = format!("c{at}-{}", &compression[..4]);
            let said = containerd
                .run(&["--rm", "--snapshotter", "native", NAME, &container])
                .succeed();
            assert_eq!(said.text(), "hello", "{format:?} {compression}");
            containerd.to(&["images", "rm", "--sync", NAME]);
        }
    }
}
