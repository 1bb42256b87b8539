//! Links the program statically also for glibc, where the machine has its static libraries: the
//! program is started twice for each container, and the loader of shared libraries would take longer
//! each time than the kernel takes for the namespaces.
//!
//! It is not position independent either, for glibc and for musl: to be moved, it would have to change
//! every page with an address in it, which is a hundred page faults more for each of the two. The
//! stack, the heap and every mapping still lie somewhere else each time, and nobody else can look into
//! these processes.
//!
//! For glibc, rustc names the libraries of a dynamic program and asks for shared ones, whatever is said
//! at the end. So they are looked for in a folder of ours first, where linker scripts lead to the
//! static ones. Where anything is missing, the program is linked dynamically, as ever.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The libraries that rustc names, and what each is in a static program. `libgcc_s` has no static
/// form: `libgcc_eh` holds the same functions. The last four are part of `libc` since glibc 2.34,
/// and still there.
const LIBRARIES: [(&str, &str); 7] = [
    ("gcc_s", "gcc_eh"),
    ("c", "c"),
    ("m", "m"),
    ("util", "util"),
    ("rt", "rt"),
    ("pthread", "pthread"),
    ("dl", "dl"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Not in `CARGO_CFG_TARGET_FEATURE` when the target has it by itself, as those with musl.
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    match variable("CARGO_CFG_TARGET_ENV").as_str() {
        "gnu" if !flags.contains("+crt-static") && variable("HOST") == variable("TARGET") => {
            link_glibc_statically();
        }
        "musl" if !flags.contains("-crt-static") => fix_in_place(),
        _ => {}
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// For musl, rustc links a program statically and position independent. Its first lines, which are
/// rustc's to choose, read from `_DYNAMIC` what is to be moved. A program that stays in place has no
/// such list; it finds an empty one where its zeros begin.
fn fix_in_place() {
    // A linker that is not called through a C compiler knows no `-Wl`.
    if env::var("RUSTC_LINKER").is_ok_and(|linker| linker.contains("ld")) {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--no-pie,--defsym=_DYNAMIC=__bss_start");
}

fn link_glibc_statically() {
    if find("rcrt1.o").is_none() {
        return;
    }
    let folder = PathBuf::from(variable("OUT_DIR"));
    if write_scripts(&folder).is_ok() {
        println!("cargo::rustc-link-arg-bins=-L{}", folder.display());
        println!("cargo::rustc-link-arg-bins=-static");
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}

fn write_scripts(folder: &Path) -> io::Result<()> {
    for (shared, fixed) in LIBRARIES {
        let library = find(&format!("lib{fixed}.a")).ok_or(io::ErrorKind::NotFound)?;
        let script = format!("INPUT({})\n", library.display());
        fs::write(folder.join(format!("lib{shared}.a")), script)?;
    }
    Ok(())
}

/// Where the C compiler that links finds `name`.
fn find(name: &str) -> Option<PathBuf> {
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(linker)
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // The bare name comes back for what is not there.
    path.is_absolute().then_some(path)
}
