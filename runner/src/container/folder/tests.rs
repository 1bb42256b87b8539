use std::thread;
use std::time::Duration;

use super::*;
use crate::container::create::{Options, Source, create};
use crate::container::state::{Exit, State, Status, UNSEEN};
use crate::monitor::own_id;

fn open() -> (tempfile::TempDir, Containers) {
    let folder = tempfile::tempdir().unwrap();
    let containers = Containers::open(folder.path(), folder.path());
    (folder, containers)
}

fn record(name: Option<&str>) -> Record {
    let config = packer::image::from_json("the config", br#"{"config":{"Cmd":["x"]}}"#).unwrap();
    let source = Source {
        name: "localhost/x:latest".to_owned(),
        id: packer::Digest::of(b""),
        config: &config,
        tree: Path::new("/nonexistent"),
    };
    let options = Options {
        name: name.map(|name| name.parse().unwrap()),
        ..Options::default()
    };
    create(
        crate::container::ContainerId::random().unwrap(),
        &source,
        &options,
    )
    .unwrap()
}

/// A process that has ended.
fn dead() -> crate::sandbox::handle::ProcessId {
    crate::sandbox::handle::ProcessId {
        start_time: 1,
        ..own_id().unwrap()
    }
}

fn running_until_now() -> State {
    State {
        process: dead(),
        monitor: own_id().unwrap(),
        started: 1,
        ports: Vec::new(),
        cgroup: None,
        root: None,
        exit: None,
    }
}

#[test]
fn of_many_that_want_a_name_at_once_one_gets_it_even_over_a_dead_claim() {
    let (folder, containers) = open();
    let names = folder.path().join("container-names");
    fs::create_dir(&names).unwrap();
    for round in 0..20 {
        let name = format!("same{round}");
        symlink("0123", names.join(&name)).unwrap();
        let winners = thread::scope(|scope| {
            let add = || containers.add(record(Some(&name)), true).is_ok();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(add)).collect();
            all.into_iter()
                .map(|one| one.join().unwrap())
                .filter(|won| *won)
                .count()
        });
        assert_eq!(winners, 1);
    }
    let left = fs::read_dir(folder.path().join("container-trash")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_container_whose_end_is_being_written_down_has_its_real_exit_code() {
    let (_folder, containers) = open();
    let container = containers.add(record(None), false).unwrap();
    let lock = container.lock(FlockOperation::LockExclusive).unwrap();
    let mut state = running_until_now();
    container.write_state(&state).unwrap();
    state.exit = Some(Exit {
        code: 7,
        finished: 2,
    });
    let watched = container.watch().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            container.write_end(&lock, &state).unwrap();
            // As a container that is removed at its end.
            containers.remove(&container).unwrap();
            drop(lock);
        });
        assert!(matches!(container.status(), Status::Exited(exit) if exit.code == 7));
    });
    assert_eq!(Container::settle(&watched).unwrap(), state.exit);
}

#[test]
fn a_container_whose_monitor_was_killed_was_killed_too() {
    let (_folder, containers) = open();
    let container = containers.add(record(None), false).unwrap();
    drop(container.lock(FlockOperation::LockExclusive).unwrap());
    container.write_state(&running_until_now()).unwrap();
    assert!(matches!(container.status(), Status::Exited(exit) if exit == UNSEEN));
}

#[test]
fn a_monitor_that_does_not_go_on_hangs_nobody() {
    let (_folder, containers) = open();
    let container = containers.add(record(None), false).unwrap();
    let _lock = container.lock(FlockOperation::LockExclusive).unwrap();
    container.write_state(&running_until_now()).unwrap();
    assert!(matches!(container.status(), Status::Exited(_)));
    let error = container.lock_soon().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn what_a_killed_run_left_is_swept_away_and_what_was_only_created_stays() {
    let (folder, containers) = open();
    let add = |remove, creator| {
        let mut record = record(None);
        record.remove = remove;
        record.creator = creator;
        containers.add(record, false).unwrap().record.id
    };
    add(true, Some(dead()));
    let kept = [
        add(true, own_id().ok()),
        add(true, None),
        add(false, Some(dead())),
    ];
    let names = folder.path().join("container-names");
    symlink("0123", names.join("of_nobody")).unwrap();
    containers.sweep();
    let left = containers.all().unwrap();
    assert_eq!(left.len(), kept.len());
    assert_eq!(fs::read_dir(names).unwrap().count(), kept.len());
    assert!(left.iter().all(|one| kept.contains(&one.record.id)));
}
