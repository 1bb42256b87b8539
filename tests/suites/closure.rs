//! Programs that are not static, packed with what they need and run where nothing else is.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Component, Path, PathBuf};

use packer::closure::Closure;
use packer::package::User;
use packer::program::Program;
use packer::rootfs::{Content, Tree};
use tests::client::{Docker, Podman, find};
use tests::command::Run;
use tests::{Engine, Missing, Mode, World, browser, require, wait};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The tutorial's server, but for its port: two tests may run at once.
const HELLO: &str = r#"#!/usr/bin/guile -s
!#
;;; Hello HTTP server
(use-modules (web server))

(define (my-handler request request-body)
  (values '((content-type . (text/plain)))
          "Hello World!"))

(run-server my-handler 'http
            (list #:port (string->number (or (getenv "PORT") "8080"))))
"#;

/// Programs of a distribution, the commands that show that each works, and what they say.
const PROGRAMS: [(&str, &[&str], &str); 3] = [
    ("jq", &["-n", "-c", "[1, 2] | add"], "3"),
    ("sqlite3", &[":memory:", "select 6 * 7"], "42"),
    ("mawk", &["BEGIN { print 6 * 7 }"], "42"),
];

/// Packs `program` without compression and gives the path of the archive.
fn packed(world: &World, program: &Path, name: &str) -> PathBuf {
    let archive = world.path(format!("{name}.tar"));
    let words = ["build", "--compress", "none", "--name", name, "--file"].map(OsStr::new);
    world
        .packer()
        .args(words)
        .args([program.as_os_str(), OsStr::new("-o"), archive.as_os_str()])
        .succeed();
    archive
}

fn load(engine: &Engine, archive: &Path) {
    engine.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
}

/// Whether a path of a tree leads to a file.
fn leads_to_a_file(tree: &Tree, path: &str) -> bool {
    let mut path = PathBuf::from(path.trim_start_matches('/'));
    for _ in 0..40 {
        let step = path
            .ancestors()
            .find_map(|above| match tree.get(above)?.content {
                Content::Symlink(ref target) => Some((above.to_owned(), target.clone())),
                _ => None,
            });
        let Some((link, target)) = step else { break };
        let rest = path.strip_prefix(&link).expect("it is above").to_owned();
        let joined = Path::new("/")
            .join(link.parent().expect("a folder"))
            .join(target);
        let mut plain = PathBuf::new();
        for step in joined.join(rest).components() {
            match step {
                Component::Normal(name) => plain.push(name),
                Component::ParentDir => drop(plain.pop()),
                _ => {}
            }
        }
        path = plain;
    }
    tree.get(&path)
        .is_some_and(|entry| matches!(entry.content, Content::File { .. }))
}

#[test]
fn every_library_that_the_loader_lists_is_in_the_closure() {
    let loader = require!(
        ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or_else(|| Missing::because("there is no loader of glibc"))
    );
    let mut compared = 0;
    for name in ["git", "curl", "sqlite3", "gdb", "bash"] {
        let Ok(program) = find(name) else { continue };
        let listed = Run::new(loader).args(["--list"]).args([&program]).finish();
        if listed.code != 0 {
            continue;
        }
        let program = Program::from_file(&program).expect("a program");
        let mut tree = Tree::around(&program, name, User::default());
        let closure = Closure::of(&tree, &[format!("/bin/{name}")], true).expect("its closure");
        closure.add_to(&mut tree);
        for line in listed.stdout.lines() {
            let path = line
                .split("=>")
                .last()
                .and_then(|rest| rest.split_whitespace().next());
            let path = path
                .filter(|path| path.starts_with('/'))
                .filter(|_| line.contains("=>"));
            let Some(path) = path else { continue };
            assert!(
                leads_to_a_file(&tree, path),
                "{name}: {path} is not in its closure"
            );
            compared += 1;
        }
    }
    assert!(compared > 0, "no program was compared");
}

#[test]
fn three_programs_of_the_distribution_run_in_the_runner() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    for (name, words, expected) in PROGRAMS {
        load(&runner, &packed(&world, &require!(find(name)), name));
        let image = format!("localhost/{name}");
        let said = runner.to(&[&["run", "--rm", &image][..], words].concat());
        assert_eq!(said, expected, "{name}");
    }
}

#[test]
fn three_programs_of_the_distribution_run_in_podman() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    for (name, words, expected) in PROGRAMS {
        load(&podman.engine, &packed(&world, &require!(find(name)), name));
        let image = format!("localhost/{name}");
        let start = ["run", "--rm", "--network", "none", &image];
        let said = podman.engine.to(&[&start[..], words].concat());
        assert_eq!(said, expected, "{name}");
    }
}

#[test]
fn three_programs_of_the_distribution_run_in_docker() {
    let world = require!(World::of_a_user());
    let docker = require!(Docker::start());
    for (name, words, expected) in PROGRAMS {
        let archive = packed(&world, &require!(find(name)), name);
        docker.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
        let image = format!("localhost/{name}");
        let start = ["run", "--rm", "--network", "none", &image];
        assert_eq!(docker.to(&[&start[..], words].concat()), expected, "{name}");
    }
}

/// The Guile server of the tutorial, packed from a definition.
fn hello(world: &World) -> Result<PathBuf, Missing> {
    if !Path::new("/usr/bin/guile").exists() {
        return Err(Missing::because("guile is not installed"));
    }
    let folder = world.make_dir("hello", 0o755);
    world.write("hello/my-hello-http.scm", HELLO);
    let definition = "name = \"my-hello-http\"\nprogram = \"my-hello-http.scm\"\n\
                      version = \"0.1\"\nports = [8080]\ncompress = \"none\"\n";
    world.write("hello/packer.toml", definition);
    let archive = world.path("hello.tar");
    let words = [OsStr::new("build"), OsStr::new("-o"), archive.as_os_str()];
    world.packer().args(words).current_dir(folder).succeed();
    Ok(archive)
}

#[test]
fn the_guile_server_says_hello_in_the_runner() {
    let world = require!(World::of_a_user());
    let archive = require!(hello(&world));
    let runner = world.runner();
    load(&runner, &archive);
    let port = wait::free_port();
    // It listens on 127.0.0.1 alone, so that is where its port is published.
    let publish = format!("127.0.0.1:{port}:8080");
    runner.to(&[
        "run",
        "-d",
        "--name",
        "hello",
        "-p",
        &publish,
        "localhost/my-hello-http",
    ]);
    browser::expect_hello(LOCALHOST, port);
    runner.to(&["rm", "-f", "-t", "0", "hello"]);
}

#[test]
fn the_guile_server_says_hello_in_podman() {
    let world = require!(World::new(Mode::Mapped));
    let archive = require!(hello(&world));
    let podman = require!(Podman::new(&world));
    load(&podman.engine, &archive);
    let port = wait::free_port();
    // It listens on 127.0.0.1 alone, which podman's published ports do not reach.
    let variable = format!("PORT={port}");
    let words = [
        "run",
        "-d",
        "--network",
        "host",
        "-e",
        &variable,
        "localhost/my-hello-http",
    ];
    podman.engine.to(&words);
    browser::expect_hello(LOCALHOST, port);
}

#[test]
fn the_guile_server_says_hello_in_docker() {
    let world = require!(World::of_a_user());
    let archive = require!(hello(&world));
    let docker = require!(Docker::start());
    docker.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
    let port = wait::free_port();
    let variable = format!("PORT={port}");
    let words = [
        "run",
        "-d",
        "--network",
        "host",
        "-e",
        &variable,
        "localhost/my-hello-http",
    ];
    let id = docker.to(&words);
    browser::expect_hello(LOCALHOST, port);
    docker.to(&["rm", "-f", &id]);
}

#[test]
fn a_python_script_finds_its_library_its_certificates_and_its_user() {
    require!(find("python3"));
    let world = require!(World::of_a_user());
    let script = "#!/usr/bin/env python3\n\
                  import ctypes, json, pwd, sqlite3, ssl, sys\n\
                  ssl.create_default_context()\n\
                  print(json.dumps([pwd.getpwuid(0)[0], sys.getfilesystemencoding(), len(sys.argv)]))\n";
    let script = world.write("hello.py", script);
    let runner = world.runner();
    load(&runner, &packed(&world, &script, "hello"));
    let said = runner.to(&["run", "--rm", "localhost/hello", "one"]);
    assert_eq!(said, r#"["root", "utf-8", 2]"#);
}

#[test]
fn a_perl_script_finds_its_modules() {
    require!(find("perl"));
    let world = require!(World::of_a_user());
    let script = "#!/usr/bin/env perl\n\
                  use strict; use warnings; use utf8;\n\
                  use Data::Dumper; use List::Util qw(sum); use POSIX qw(floor); use Socket;\n\
                  use Encode; use Time::HiRes; use File::Temp; use IO::Socket::INET;\n\
                  printf \"%d %d %s\\n\", sum(1, 2), floor(2.5), lc(\"Ä\") =~ /\\w/ ? \"word\" : \"none\";\n";
    let script = world.write("hello.pl", script);
    let runner = world.runner();
    load(&runner, &packed(&world, &script, "hello"));
    assert_eq!(runner.to(&["run", "--rm", "localhost/hello"]), "3 2 word");
}

#[test]
fn a_program_for_terminals_knows_the_terminal() {
    let tput = require!(find("tput"));
    let world = require!(World::of_a_user());
    let runner = world.runner();
    load(&runner, &packed(&world, &tput, "tput"));
    let run = [
        "run",
        "--rm",
        "-e",
        "TERM=xterm-256color",
        "localhost/tput",
        "colors",
    ];
    assert_eq!(runner.to(&run), "256");
}

/// Compiles a C file of the world into `output`.
fn compile(world: &World, source: &str, output: &str, flags: &[&str]) -> PathBuf {
    let input = world.write(format!("{}.c", output.replace('/', "-")), source);
    let output = world.path(output);
    world
        .run("gcc")
        .args([OsStr::new("-o"), output.as_os_str(), input.as_os_str()])
        .args(flags)
        .current_dir(world.folder())
        .succeed();
    output
}

const PLUGGED: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int below(void);
int main(void) {
    void *plugin = dlopen("libplugin.so", RTLD_NOW);
    if (!plugin) { puts(dlerror()); return 1; }
    int (*answer)(void) = (int (*)(void))dlsym(plugin, "answer");
    printf("%d %d\n", below(), answer());
    return 0;
}
"#;

/// A program with a library and a plugin below its own folder, both found by an inherited
/// `DT_RPATH` with `$ORIGIN`.
fn plugged(world: &World) -> PathBuf {
    world.make_dir("app", 0o755);
    world.make_dir("app/lib", 0o755);
    compile(
        world,
        "int deep(void) { return 6; }",
        "app/lib/libdeep.so",
        &["-shared", "-fPIC"],
    );
    let below = "int deep(void); int below(void) { return deep(); }";
    let flags = ["-shared", "-fPIC", "-Lapp/lib", "-ldeep"];
    compile(world, below, "app/lib/libbelow.so", &flags);
    let answer = "int deep(void); int answer(void) { return 7 * deep(); }";
    compile(world, answer, "app/lib/libplugin.so", &flags);
    let flags = [
        "-Lapp/lib",
        "-lbelow",
        "-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib,-rpath-link,app/lib",
        "-ldl",
    ];
    compile(world, PLUGGED, "app/plugged", &flags)
}

#[test]
fn a_program_with_a_plugin_runs_wherever_it_was_built() {
    require!(find("gcc"));
    let world = require!(World::of_a_user());
    let program = plugged(&world);
    assert_eq!(world.run(&program).succeed().text(), "6 42");
    let archive = packed(&world, &program, "plugged");
    let runner = world.runner();
    load(&runner, &archive);
    assert_eq!(runner.to(&["run", "--rm", "localhost/plugged"]), "6 42");
    let elsewhere = world.path("elsewhere");
    std::fs::rename(world.path("app"), &elsewhere).expect("our own folder");
    let again = packed(&world, &elsewhere.join("plugged"), "plugged");
    let bytes = |path: &Path| std::fs::read(path).expect("our own archive");
    let first = bytes(&archive);
    assert_eq!(first, bytes(&again));
    let folder = world.folder().to_string_lossy().into_owned();
    let found = first
        .windows(folder.len())
        .any(|text| text == folder.as_bytes());
    assert!(!found, "the archive tells where it was built");
}

#[test]
fn a_library_that_only_ld_so_conf_names_is_found_in_the_image() {
    require!(find("gcc"));
    let world = require!(World::new(Mode::Root));
    world.make_dir("hidden", 0o755);
    compile(
        &world,
        "int hidden(void) { return 0; }",
        "hidden/libhidden.so.1",
        &["-shared", "-fPIC", "-Wl,-soname,libhidden.so.1"],
    );
    let main = "#include <stdio.h>\nint hidden(void); int main(void) { puts(\"found\"); return hidden(); }";
    let program = compile(&world, main, "program", &["hidden/libhidden.so.1"]);
    let conf = world.write("conf", format!("{}\n", world.path("hidden").display()));
    let script = "mount --bind \"$1\" /etc/ld.so.conf && shift && exec \"$@\"";
    let archive = world.path("program.tar");
    let packer = world.packer().line();
    let words = ["build", "--compress", "none", "--file"].map(OsStr::new);
    world
        .run("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .args([conf.as_os_str(), OsStr::new(packer.trim())])
        .args(words)
        .args([program.as_os_str(), OsStr::new("-o"), archive.as_os_str()])
        .succeed();
    let runner = world.runner();
    load(&runner, &archive);
    assert_eq!(runner.to(&["run", "--rm", "localhost/program"]), "found");
}

#[test]
fn a_program_for_musl_brings_musl() {
    require!(find("musl-gcc"));
    let world = require!(World::of_a_user());
    let main = world.write(
        "main.c",
        "#include <stdio.h>\nint main(void) { puts(\"musl\"); return 0; }",
    );
    let program = world.path("program");
    world
        .run("musl-gcc")
        .args([OsStr::new("-o"), program.as_os_str(), main.as_os_str()])
        .succeed();
    let runner = world.runner();
    load(&runner, &packed(&world, &program, "musl"));
    assert_eq!(runner.to(&["run", "--rm", "localhost/musl"]), "musl");
}

#[test]
fn a_library_that_is_not_found_is_named_with_who_needs_it_and_where_it_was_looked_for() {
    require!(find("gcc"));
    let world = require!(World::of_a_user());
    world.make_dir("app", 0o755);
    let flags = ["-shared", "-fPIC", "-Wl,-soname,libgone.so.1"];
    let library = compile(
        &world,
        "int gone(void) { return 0; }",
        "app/libgone.so.1",
        &flags,
    );
    let main = "int gone(void); int main(void) { return gone(); }";
    let flags = ["app/libgone.so.1", "-Wl,-rpath,/opt/gone"];
    let program = compile(&world, main, "app/program", &flags);
    std::fs::remove_file(library).expect("our own file");
    let words = [
        OsStr::new("build"),
        OsStr::new("--file"),
        program.as_os_str(),
    ];
    let refused = world.packer().args(words).finish().with_code(125);
    let error = refused.only_error();
    let start = format!(
        "packer: libgone.so.1 was not found, which {} needs; it was looked for in /opt/gone, ",
        program.display()
    );
    assert!(error.starts_with(&start), "{error}");
}
