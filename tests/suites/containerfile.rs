//! `packer build -f`: what a Containerfile without commands makes is what `podman build` makes of it,
//! file by file and field by field; and what is wrong in one is said with its place.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};
use tests::client::{Podman, Registry, find};
use tests::fixture::{Archive, Layer};
use tests::{Mode, Outcome, World, require};

/// Every instruction that needs no process, with most of what each can be given.
const EVERYTHING: &str = r#"# syntax=docker/dockerfile:1
ARG VERSION=1
ARG NOTHING
FROM scratch AS one
ARG VERSION
ARG own=${VERSION}.5
ENV A=1 B="two words" \
    # a comment between
    V=v$VERSION O=$own
ENV OLD the rest  of it
COPY a.txt b.txt /one/
COPY --chown=7:8 dir /two
COPY --chown=9:9 --chmod=600 dir/c /three/deep/c
COPY *.md /md/
COPY toplink /linked
COPY dlink /dlinked/
WORKDIR /work
WORKDIR sub
COPY dir/c rel
COPY ["dir/c", "with space/"]
ADD dir.tgz /added/
ADD --chown=3:4 plain.tar /owned
ADD a.txt /added/
COPY dir/* d?r/s[tu]b /star/
COPY . /everything
from one as two
COPY --from=one /two /again
COPY --from=0 /one/a.txt /one/b.txt /zero/
COPY --from=one /linked /two/
FROM two
USER 5:6
EXPOSE 80 53/udp $PORTS
ENTRYPOINT ["/x", "$A"]
CMD echo $A
SHELL ["/bin/other", "-x"]
LABEL a=b "c d"="e f" v=${V:-none} w=${W:+set} n=${NOTHING:-"x y"} \
      q='$A'
VOLUME /data
VOLUME ["/v1", "/v2"]
STOPSIGNAL 9
HEALTHCHECK --interval=5s --start-period=1m --retries=3 CMD /check it
MAINTAINER nobody in particular
"#;

/// Files with modes and links, and a file that leaves some of them out.
fn context(world: &World) {
    let folder = world.make_dir("home/context", 0o755);
    let write = |path: &str, mode: u32, content: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a new folder");
        std::fs::write(&path, content).expect("a new folder");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("our own file");
    };
    for (path, mode) in [
        ("a.txt", 0o644),
        ("b.txt", 0o640),
        ("dir/c", 0o755),
        ("dir/sub/d", 0o600),
        ("dir/x/z.md", 0o644),
        ("dir/out/secret", 0o644),
        ("dir/out/kept.c", 0o644),
        ("keep.md", 0o644),
        ("no.md", 0o644),
    ] {
        write(path, mode, path.as_bytes());
    }
    std::fs::set_permissions(folder.join("dir/sub"), PermissionsExt::from_mode(0o700))
        .expect("our own folder");
    symlink("c", folder.join("dir/link")).expect("a new folder");
    symlink("a.txt", folder.join("toplink")).expect("a new folder");
    symlink("dir", folder.join("dlink")).expect("a new folder");
    let archive = Layer::new()
        .dir("inside/", 0o750)
        .owned_by(5, 6)
        .file("inside/file", 0o4755, "packed")
        .owned_by(5, 6)
        .symlink("inside/link", "file")
        .file("inside/plain", 0o644, "twice")
        .hard_link("hard", "inside/plain");
    write(
        "dir.tgz",
        0o644,
        &tests::fixture::archive::gzip(&archive.tar()),
    );
    let archive = Layer::new().file("b", 0o600, "b");
    write("plain.tar", 0o644, &archive.tar());
    write(
        ".dockerignore",
        0o644,
        b"# a comment\n*.md\n!keep.md\n**/out\n!dir/out/*.c\n",
    );
    write("Containerfile", 0o644, EVERYTHING.as_bytes());
    world.own_all(&folder);
}

fn build(world: &World, words: &[&str]) -> Outcome {
    let words = [&["build"], words].concat();
    world
        .packer()
        .args(words)
        .current_dir(world.path("home/context"))
        .finish()
}

/// What an image is: its config without dates and other words of the builder's, and its files.
fn image(world: &World, archive: &Path) -> (Value, BTreeMap<String, Value>) {
    let run = world.packer().args(["inspect", "--json"]).args([archive]);
    let said: Value = serde_json::from_str(run.succeed().text()).expect("JSON");
    let mut config = said["config"]["config"].clone();
    let fields = config.as_object_mut().expect("a config");
    // What docker's own format has beside ours says nothing.
    let plain = [
        "AttachStderr",
        "AttachStdin",
        "AttachStdout",
        "Domainname",
        "Hostname",
        "Image",
        "OnBuild",
        "OpenStdin",
        "StdinOnce",
        "Tty",
    ];
    fields.retain(|key, value| {
        !plain.contains(&key.as_str())
            && ![json!({}), json!([])].contains(value)
            && !value.is_null()
    });
    // What is set again moves to the end with podman, and stays where it is with docker.
    if let Some(variables) = config["Env"].as_array_mut() {
        variables.sort_by_key(ToString::to_string);
    }
    if let Some(labels) = config["Labels"].as_object_mut() {
        labels.retain(|key, _| !key.starts_with("io.buildah"));
    }
    let all = said["files"].as_array().expect("files");
    let files = all.iter().map(|file| {
        // Of a file with two names we make two.
        let target = all.iter().find(|other| other["path"] == file["target"]);
        let mut seen = target
            .filter(|_| file["type"] == "hard link")
            .unwrap_or(file)
            .clone();
        seen["path"] = file["path"].clone();
        let mut file = seen;
        let fields = file.as_object_mut().expect("a file");
        fields.retain(|key, _| !["time", "layer"].contains(&key.as_str()));
        (file["path"].as_str().expect("a path").to_owned(), file)
    });
    (config, files.collect())
}

/// Builds the same with podman and with ours, and compares.
fn expect_the_same(world: &World, podman: &Podman<'_>, name: &str, words: &[&str]) {
    let theirs = world.path(format!("home/{name}-theirs.tar"));
    let ours = world.path(format!("home/{name}-ours.tar"));
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let context = path(&world.path("home/context"));
    let file = format!("{context}/Containerfile");
    let flags = [
        "build",
        "-q",
        "--format",
        "docker",
        "--tls-verify=false",
        "-t",
        "theirs",
        "-f",
        &file,
    ];
    podman.engine.to(&[&flags[..], words, &[&context]].concat());
    podman
        .engine
        .to(&["save", "-q", "-o", &path(&theirs), "theirs"]);
    let built = build(
        world,
        &[&["-f", "Containerfile", "-o", &path(&ours)], words].concat(),
    );
    assert_eq!(built.code, 0, "{built}");
    let (their_config, their_files) = image(world, &theirs);
    let (our_config, our_files) = image(world, &ours);
    assert_eq!(our_config, their_config, "the config of {name}");
    for (path, theirs) in &their_files {
        assert_eq!(our_files.get(path), Some(theirs), "/{path} of {name}");
    }
    let more: Vec<&String> = our_files
        .keys()
        .filter(|path| !their_files.contains_key(*path))
        .collect();
    assert!(more.is_empty(), "{more:?} of {name}");
}

#[test]
fn podman_build_makes_the_same_files_and_the_same_config() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    context(&world);
    expect_the_same(&world, &podman, "everything", &["--build-arg", "VERSION=2"]);
}

#[test]
fn podman_build_makes_the_same_of_a_base_with_links_and_users() {
    let busybox = require!(find("busybox"));
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let registry = require!(Registry::plain());
    context(&world);
    let layer = Layer::new()
        .dir("usr/", 0o755)
        .dir("usr/bin/", 0o751)
        .owned_by(0, 7)
        .host_file("usr/bin/busybox", &busybox)
        .symlink("bin", "usr/bin")
        .symlink("usr/bin/cat", "busybox")
        .dir("etc/", 0o755)
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0::/:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n",
        )
        .file("etc/group", 0o644, "root:x:0:\nstaff:x:50:\n")
        .hard_link("etc/hard", "etc/passwd")
        .dir("srv/", 0o700)
        .owned_by(33, 44);
    let base = Archive::new("example.com/base:1", &[&layer], &["/bin/cat"])
        .with("Env", json!(["PATH=/bin", "A=base"]))
        .with("WorkingDir", "/srv")
        .with("Labels", json!({"kept": "yes"}));
    world.write("home/base.tar", base.docker());
    let reference = registry.reference("containerfile/base:1");
    let _ = world
        .packer()
        .args(["push", "-q", "base.tar", &reference])
        .succeed();
    let text = format!(
        "ARG BASE\nFROM $BASE AS tools\nCOPY a.txt bin/a\nFROM ${{BASE}}\nCOPY --from=tools /srv/bin /bin/from-tools\n\
         COPY --chown=web a.txt b.txt ./\nCOPY --chown=web:staff dir/c /bin/c\nCOPY --chown=12 a.txt /new/dir/\n\
         COPY --from={reference} /usr/bin/cat /etc/hard copied/\nCOPY --from=tools /bin/busybox /opt/busybox\n\
         COPY dir /usr/\nWORKDIR more\nCOPY a.txt used\nENV B=$A A=own\nENTRYPOINT [\"/bin/cat\"]\nUSER web\n"
    );
    world.write("home/context/Containerfile", text);
    let argument = format!("BASE={reference}");
    expect_the_same(&world, &podman, "based", &["--build-arg", &argument]);
    // It runs, and its base is untouched.
    let runner = world.runner();
    runner.to(&["load", "-i", "based-ours.tar"]);
    let said = runner.to(&[
        "run",
        "--rm",
        "--network",
        "none",
        "localhost/context",
        "/srv/a.txt",
        "/bin/c",
    ]);
    assert_eq!(said, "a.txtdir/c");
}

#[test]
fn here_documents_are_files_and_platforms_are_arguments() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    context(&world);
    world.write(
        "home/context/Other",
        "FROM --platform=$TARGETPLATFORM scratch\nARG TARGETARCH\nENV name=\"x\"\n\
         SHELL [\"/x\", \"-y\"]\nCMD line $x\nCOPY <<one <<\"two\" a.txt /here/\n$name \"${TARGETARCH}\"\none\n$name\ntwo\nCOPY --chmod=0755 <<-end /run\n\t#!/x\n\tend\n",
    );
    let reference = registry.reference("containerfile/several:1");
    let words = [
        "-f",
        "Other",
        "--target",
        "amd64,arm64",
        "--push",
        &reference,
        "--json",
    ];
    let built = build(&world, &words).success();
    let said: Value = serde_json::from_str(built.text()).expect("JSON");
    assert_eq!(said["images"][0]["platforms"][1]["platform"], "linux/arm64");
    for (architecture, size) in [("amd64", 10), ("arm64", 10)] {
        let platform = format!("linux/{architecture}");
        let run = world
            .packer()
            .args(["inspect", "--json", "--platform", &platform, &reference]);
        let said: Value = serde_json::from_str(run.succeed().text()).expect("JSON");
        assert_eq!(said["config"]["architecture"], architecture);
        // podman gives the line to /bin/sh in any case, docker to the shell that was said.
        assert_eq!(
            said["config"]["config"]["Cmd"],
            json!(["/x", "-y", "line $x"])
        );
        let files: BTreeMap<&str, &Value> = said["files"]
            .as_array()
            .expect("files")
            .iter()
            .map(|file| (file["path"].as_str().expect("a path"), file))
            .collect();
        assert_eq!(files["here/one"]["size"], size, "x \"{architecture}\"");
        assert_eq!(files["here/two"]["size"], 6);
        assert_eq!(files["here/a.txt"]["size"], 5);
        assert_eq!(files["run"]["mode"], "0755");
    }
}

#[test]
fn the_same_context_gives_the_same_bytes_and_unneeded_stages_are_left_out() {
    let world = require!(World::of_a_user());
    context(&world);
    let bytes = |name: &str, words: &[&str]| {
        let words = [&["-f", "Containerfile", "-o", name], words].concat();
        let built = build(&world, &words);
        assert_eq!(built.code, 0, "{built}");
        std::fs::read(world.path("home/context").join(name)).expect("it was written")
    };
    assert_eq!(bytes("../one.tar", &[]), bytes("../two.tar", &[]));
    assert_ne!(
        bytes("../one.tar", &[]),
        bytes("../two.tar", &["--build-arg", "VERSION=3"])
    );
    world.write(
        "home/context/Containerfile",
        "FROM scratch AS wanted\nCOPY a.txt /\nFROM nowhere.example/x AS other\nRUN true\nFROM other\nCMD x\n",
    );
    bytes("../stage.tar", &["--stage", "wanted"]);
}

#[test]
fn what_is_wrong_is_said_with_file_line_and_column() {
    let world = require!(World::of_a_user());
    context(&world);
    for (text, said) in [
        (
            "FROM scratch\nCOPY a.txt /\n  RUN make",
            "Containerfile:3:3: RUN needs a process",
        ),
        (
            "FROM scratch\nADD https://x.example/a /",
            "Containerfile:2:1: ADD fetches nothing here",
        ),
        (
            "FROM scratch\nCOPY absent /",
            "Containerfile:2:1: \"absent\" is not in the context",
        ),
        ("FROM scratch\nCOPY no.md /", "an ignore file leaves it out"),
        (
            "FROM scratch\nCOPY a.txt b.txt /c",
            "Containerfile:2:1: several sources need a folder",
        ),
        (
            "FROM scratch\nCOPY dir /d\nCOPY a.txt /d/c/x",
            "/d/c cannot be both a directory",
        ),
        (
            "FROM scratch\nCOPY --chown=web a.txt /",
            "\"web\" is not in /etc/passwd",
        ),
        ("FROM scratch\nCOPY --chmod=rw a.txt /", "\"rw\" is no mode"),
        (
            "FROM scratch\nCOPY --from=scratched.example/x a /",
            "Containerfile:2:1: ",
        ),
        (
            "FROM scratch\nEXPOSE http",
            "Containerfile:2:1: \"http\" is no port",
        ),
        (
            "FROM scratch\nENV a=\"${b:?must be set}\"",
            "Containerfile:2:1: b: must be set",
        ),
        ("FROM scratch\nSTOPSIGNAL no", "is no signal"),
        (
            "FROM $NOTHING",
            "Containerfile:1:1: the image $NOTHING is not set",
        ),
        (
            "FROM ./absent.tar",
            "Containerfile:1:1: the base ./absent.tar: ",
        ),
        (
            "FROM scratch\nCOPY ../../../etc/passwd /",
            "is not in the context",
        ),
    ] {
        world.write("home/context/Containerfile", text);
        let outcome = build(&world, &["-f", "Containerfile", "--retry", "0"]).with_code(125);
        assert!(outcome.only_error().contains(said), "{said}: {outcome}");
    }
    let absent = build(&world, &["-f", "Absent"]).with_code(125);
    assert!(
        absent.only_error().contains("Absent cannot be read"),
        "{absent}"
    );
    world.write(
        "home/context/Containerfile",
        "FROM scratch AS a\nCOPY a.txt /",
    );
    let stage = build(&world, &["-f", "Containerfile", "--stage", "b"]).with_code(125);
    assert!(stage.only_error().contains("has no stage \"b\""), "{stage}");
    let unused = build(&world, &["-f", "Containerfile", "--build-arg", "x=1"]).success();
    assert!(
        unused.stderr.contains("no ARG takes the argument x"),
        "{unused}"
    );
    // A link of the context leads nowhere but into the context.
    symlink("/etc/passwd", world.path("home/context/outside")).expect("our own folder");
    world.write(
        "home/context/Containerfile",
        "FROM scratch\nCOPY outside /x",
    );
    let outside = build(&world, &["-f", "Containerfile"]).with_code(125);
    assert!(
        outside.only_error().contains("is not in the context"),
        "{outside}"
    );
}
