//! Who is logged in, wherever the credentials are: podman says the same.

use tests::client::{Podman, Registry};
use tests::{Engine, Mode, World, require};

fn expect_same(runner: &Engine, podman: &Engine, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let [ours, theirs] = [runner, podman].map(|engine| engine.command(&words).input("").finish());
    let errors = format!("{line}\n{}\n{}", ours.stderr, theirs.stderr);
    assert_eq!(ours.stdout, theirs.stdout, "{errors}");
    assert_eq!(ours.code, theirs.code, "{errors}");
}

#[test]
fn credentials_are_found_where_podman_finds_them() {
    let registry = require!(Registry::secure());
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let (runner, podman) = (&world.runner(), &podman.engine);
    let address = &registry.address;
    let with = format!("--cert-dir {}", registry.certificates().display());
    let settings = format!("unqualified-search-registries = ['{address}']\n");
    let docker = format!("{{\"auths\":{{\"{address}\":{{\"auth\":\"dXNlcjpzZWNyZXQ=\"}}}}}}");
    for home in ["home", "podman"].map(|home| world.path(home)) {
        for (folder, file, content) in [
            (".config/containers", "registries.conf", &settings),
            (".docker", "config.json", &docker),
        ] {
            std::fs::create_dir_all(home.join(folder)).expect("a home");
            std::fs::write(home.join(folder).join(file), content).expect("a home");
        }
        world.own_all(&home);
    }
    for line in [
        // Those of docker.
        format!("login --get-login {address}"),
        format!("login {with} {address}"),
        format!("logout {address}"),
        // Its own ones, for a registry and for a part of one.
        format!("login {with} -u user -p secret {address}/team/x"),
        format!("login --get-login {address}/team/x"),
        format!("login --get-login {address}/team/x/y"),
        format!("login --get-login {address}/other"),
        format!("login {with} -u user -p wrong {address}"),
        format!("login {with} {address}/team/x"),
        format!("logout {address}/team/x"),
        // Without a registry it is the first one that is searched.
        format!("login {with} -u user -p secret"),
        "login --get-login".to_owned(),
        "logout".to_owned(),
        "logout".to_owned(),
        // A file that was named has to be there, but for who writes it.
        format!("pull --authfile absent {with} {address}/x"),
        format!("logout --authfile absent {address}"),
        format!("login --authfile made.json {with} -u user -p secret {address}"),
        "login --get-login nothing.example".to_owned(),
    ] {
        expect_same(runner, podman, &line);
    }
    // What is kept and no longer right is said, and then nobody is there to be asked.
    let wrong = docker.replace("dXNlcjpzZWNyZXQ=", "dXNlcjp3cm9uZw==");
    let wrong = world.write("home/wrong.json", wrong);
    let line = format!("login --authfile {} {with} {address}", wrong.display());
    for engine in [runner, podman] {
        let words: Vec<&str> = line.split(' ').collect();
        let outcome = engine.command(&words).input("").finish().with_code(125);
        let said = "Existing credentials are invalid, please enter valid username and password";
        assert!(outcome.stdout.contains(said), "{outcome}");
    }
}
