//! The search of the loaders, on machines made by hand.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::elf::fixture::Dynamic;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// A machine with a loader of glibc, whose folders are `/lib` and `/usr/lib`.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let loader = Dynamic {
            soname: "ld-linux-x86-64.so.2",
            text: "/lib/\0/usr/lib/\0/etc/ld.so.cache",
            ..Dynamic::default()
        };
        machine.put(LOADER, loader.bytes());
        let musl = Dynamic {
            soname: "libc.so",
            ..Dynamic::default()
        };
        machine.put(MUSL, musl.bytes());
        machine
    }

    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.host().real(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn library(&self, path: &str, dynamic: Dynamic<'_>) {
        self.put(path, dynamic.bytes());
    }

    fn host(&self) -> Host {
        Host::below(self.0.path())
    }

    /// A program that lies in `/build` and goes to `/bin/program`.
    fn tree(&self, dynamic: Dynamic<'_>) -> Tree {
        let interpreter = match dynamic.interpreter {
            "" => LOADER,
            other => other,
        };
        let dynamic = Dynamic {
            interpreter,
            ..dynamic
        };
        self.put("/build/program", dynamic.bytes());
        let mut tree = Tree::default();
        tree.insert("bin/program", self.entry("/build/program"));
        tree
    }

    fn entry(&self, path: &str) -> Entry {
        let file = HostFile::at(&self.host().real(path)).unwrap();
        Entry::new(0o755, Content::File(file))
    }

    fn closure(&self, dynamic: Dynamic<'_>) -> Result<Closure, ClosureError> {
        self.closure_of(&self.tree(dynamic))
    }

    fn closure_of(&self, tree: &Tree) -> Result<Closure, ClosureError> {
        Closure::on(&self.host(), tree, &["/bin/program".to_owned()], true)
    }

    /// The paths of the libraries and links in the closure, without those of every closure.
    fn packed(&self, dynamic: Dynamic<'_>) -> Vec<String> {
        let closure = self.closure(dynamic).unwrap();
        let links = closure.links.iter();
        let links = links.map(|(link, target)| format!("{link} -> {target}"));
        let files = closure.entries.iter();
        let files = files.filter(|(_, entry)| !matches!(entry.content, Content::Directory));
        let files = files.map(|(path, _)| path.clone());
        let own = [LOADER, MUSL];
        links
            .chain(files.filter(|path| !own.contains(&path.as_str())))
            .collect()
    }
}

fn needs<'a>(needed: &'a [&'a str]) -> Dynamic<'a> {
    Dynamic {
        needed,
        ..Dynamic::default()
    }
}

#[test]
fn the_folders_of_the_loader_are_searched_in_its_order() {
    let machine = Machine::new();
    machine.library("/usr/lib/liba.so", needs(&["libb.so"]));
    machine.library("/usr/lib/libb.so", needs(&[]));
    machine.library("/lib/libb.so", needs(&[]));
    assert_eq!(
        machine.packed(needs(&["liba.so"])),
        ["/lib/libb.so", "/usr/lib/liba.so"]
    );
}

#[test]
fn an_rpath_serves_what_is_loaded_below_its_owner() {
    let machine = Machine::new();
    machine.library("/opt/liba.so", needs(&["libb.so"]));
    machine.library("/opt/libb.so", needs(&[]));
    let program = Dynamic {
        rpath: "/opt",
        ..needs(&["liba.so"])
    };
    assert_eq!(machine.packed(program), ["/opt/liba.so", "/opt/libb.so"]);
}

#[test]
fn a_runpath_serves_its_owner_alone() {
    let machine = Machine::new();
    machine.library("/opt/liba.so", needs(&["libb.so"]));
    machine.library("/opt/libb.so", needs(&[]));
    let program = Dynamic {
        runpath: "/opt",
        ..needs(&["liba.so"])
    };
    let error = machine.closure(program).unwrap_err().to_string();
    let expected =
        "libb.so was not found, which /opt/liba.so needs; it was looked for in /lib, /usr/lib: ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_runpath_hides_every_rpath() {
    let machine = Machine::new();
    let hidden = Dynamic {
        runpath: "/nowhere",
        ..needs(&["libb.so"])
    };
    machine.library("/opt/liba.so", hidden);
    machine.library("/opt/libb.so", needs(&[]));
    machine.library("/lib/libb.so", needs(&[]));
    let program = Dynamic {
        rpath: "/opt",
        ..needs(&["liba.so"])
    };
    assert_eq!(machine.packed(program), ["/lib/libb.so", "/opt/liba.so"]);
}

#[test]
fn the_first_library_of_a_name_serves_everybody() {
    let machine = Machine::new();
    let own = Dynamic {
        rpath: "/own",
        ..needs(&["libb.so"])
    };
    machine.library("/lib/liba.so", own);
    machine.library("/own/libb.so", needs(&[]));
    machine.library("/lib/libb.so", needs(&[]));
    assert_eq!(
        machine.packed(needs(&["liba.so", "libb.so"])),
        ["/lib/liba.so", "/lib/libb.so"]
    );
}

#[test]
fn a_library_for_another_processor_is_passed_over() {
    let machine = Machine::new();
    let foreign = Dynamic {
        machine: 183,
        ..needs(&[])
    };
    machine.library("/lib/liba.so", foreign);
    machine.put("/lib/libb.so", "INPUT(libb.so.1)");
    machine.library("/usr/lib/liba.so", needs(&[]));
    assert_eq!(machine.packed(needs(&["liba.so"])), ["/usr/lib/liba.so"]);
    assert!(machine.closure(needs(&["libb.so"])).is_err());
}

#[test]
fn what_lies_beside_the_program_moves_with_it() {
    let machine = Machine::new();
    let own = Dynamic {
        runpath: "$ORIGIN/deep",
        ..needs(&["libb.so"])
    };
    machine.library("/build/lib/liba.so", own);
    machine.library("/build/lib/deep/libb.so", needs(&[]));
    let program = Dynamic {
        runpath: "${ORIGIN}/../build/lib/",
        ..needs(&["liba.so"])
    };
    // Seen from /bin/program.
    assert_eq!(
        machine.packed(program),
        ["/build/lib/deep/libb.so", "/build/lib/liba.so"]
    );
    let beside = Dynamic {
        rpath: "$ORIGIN/lib",
        ..needs(&["liba.so"])
    };
    assert_eq!(
        machine.packed(beside),
        ["/bin/lib/deep/libb.so", "/bin/lib/liba.so"]
    );
}

#[test]
fn links_are_packed_with_what_they_lead_to() {
    let machine = Machine::new();
    machine.library("/usr/more/liba.so.1.2", needs(&[]));
    symlink("../more/liba.so.1.2", {
        fs::create_dir_all(machine.host().real("/usr/lib")).unwrap();
        machine.host().real("/usr/lib/liba.so.1")
    })
    .unwrap();
    fs::create_dir_all(machine.host().real("/usr/bin")).unwrap();
    symlink("usr/bin", machine.host().real("/bin")).unwrap();
    let packed = machine.packed(needs(&["liba.so.1"]));
    let expected = [
        "/bin -> usr/bin",
        "/usr/lib/liba.so.1 -> ../more/liba.so.1.2",
        "/usr/more/liba.so.1.2",
    ];
    assert_eq!(packed, expected);
    let mut tree = machine.tree(needs(&["liba.so.1"]));
    machine.closure_of(&tree).unwrap().add_to(&mut tree);
    assert!(tree.get("usr/bin/program").is_some());
    let link = Content::Symlink("usr/bin".into());
    assert_eq!(tree.get("bin").map(|entry| &entry.content), Some(&link));
}

#[test]
fn a_library_that_only_the_cache_knows_brings_a_cache() {
    let machine = Machine::new();
    machine.put("/etc/ld.so.conf", "/opt/lib\n");
    machine.library("/opt/lib/liba.so.1", needs(&[]));
    assert_eq!(
        machine.packed(needs(&["liba.so.1"])),
        ["/etc/ld.so.cache", "/opt/lib/liba.so.1"]
    );
}

#[test]
fn musl_inherits_every_path_and_reads_its_path_file() {
    let machine = Machine::new();
    machine.put("/etc/ld-musl-x86_64.path", "/lib/musl\n/opt/musl");
    machine.library(
        "/opt/liba.so",
        needs(&["libb.so", "libc.so", "libpthread.so.0"]),
    );
    machine.library("/opt/libb.so", needs(&["libd.so"]));
    machine.library("/opt/musl/libd.so", needs(&[]));
    let program = Dynamic {
        interpreter: MUSL,
        runpath: "/opt",
        ..needs(&["liba.so"])
    };
    let expected = [
        "/etc/ld-musl-x86_64.path",
        "/opt/liba.so",
        "/opt/libb.so",
        "/opt/musl/libd.so",
    ];
    assert_eq!(machine.packed(program), expected);
}

#[test]
fn a_plugin_that_the_program_names_and_finds_goes_along() {
    let machine = Machine::new();
    machine.library("/build/plugins/plug.so", needs(&["liba.so"]));
    machine.library("/lib/liba.so", needs(&[]));
    let program = Dynamic {
        runpath: "$ORIGIN/plugins",
        text: "plug.so\0absent.so",
        ..needs(&[])
    };
    assert_eq!(
        machine.packed(program),
        ["/bin/plugins/plug.so", "/lib/liba.so"]
    );
}

#[test]
fn a_program_without_its_loader_is_refused() {
    let machine = Machine::new();
    let program = Dynamic {
        interpreter: "/lib/ld-other.so.1",
        ..needs(&[])
    };
    let error = machine.closure(program).unwrap_err().to_string();
    assert!(
        error.contains("its loader /lib/ld-other.so.1 is not on this machine"),
        "{error}"
    );
}

#[test]
fn a_script_whose_interpreter_is_absent_is_refused() {
    let machine = Machine::new();
    machine.put("/build/script", "#!/no/such\r\n");
    let mut tree = Tree::default();
    tree.insert("bin/program", machine.entry("/build/script"));
    let error = machine.closure_of(&tree).unwrap_err().to_string();
    assert!(error.contains("a script for \"/no/such\\r\""), "{error}");
}

#[test]
fn libraries_that_the_package_brings_are_found_and_followed() {
    let machine = Machine::new();
    machine.library("/build/liba.so", needs(&["libb.so"]));
    machine.library("/lib/libb.so", needs(&[]));
    machine.library("/lib/liba.so", needs(&["libgone.so"]));
    let program = Dynamic {
        runpath: "/app",
        ..needs(&["liba.so"])
    };
    let mut tree = machine.tree(program);
    tree.insert("app/liba.so", machine.entry("/build/liba.so"));
    let closure = machine.closure_of(&tree).unwrap();
    let packed: Vec<&String> = closure.entries.keys().collect();
    assert!(packed.contains(&&"/lib/libb.so".to_owned()), "{packed:?}");
    assert!(!packed.contains(&&"/lib/liba.so".to_owned()), "{packed:?}");
}

#[test]
fn an_entry_point_of_this_machine_is_packed_where_it_is() {
    let machine = Machine::new();
    let interpreter = Dynamic {
        interpreter: LOADER,
        ..needs(&["liba.so"])
    };
    machine.library("/usr/bin/interpreter-3", interpreter);
    symlink("interpreter-3", machine.host().real("/usr/bin/interpreter")).unwrap();
    machine.library("/lib/liba.so", needs(&[]));
    for name in ["/usr/bin/interpreter", "interpreter"] {
        let closure =
            Closure::on(&machine.host(), &Tree::default(), &[name.to_owned()], true).unwrap();
        for path in ["/usr/bin/interpreter-3", "/lib/liba.so", LOADER] {
            assert!(closure.entries.contains_key(path), "{path}");
        }
        assert_eq!(closure.links["/usr/bin/interpreter"], "interpreter-3");
    }
}

#[test]
fn a_static_program_needs_nothing() {
    let machine = Machine::new();
    machine.put("/build/program", crate::elf::fixture::elf(2, 62, 1, &[]));
    let mut tree = Tree::default();
    tree.insert("bin/program", machine.entry("/build/program"));
    let closure = machine.closure_of(&tree).unwrap();
    assert!(closure.links.is_empty() && closure.entries.is_empty());
}
