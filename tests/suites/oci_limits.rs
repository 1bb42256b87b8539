//! What a configuration may ask of the host when root runs it: limits in control groups, and no kernel
//! parameter that is everybody's.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::binaries::runc;
use tests::fixture::bundle::Bundle;
use tests::{Mode, World, disk, require};

/// Where control groups of the first version are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

#[test]
fn parameters_of_the_host_are_refused_however_they_are_written() {
    let world = require!(World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    bundle.script("true");
    let files = [
        "kernel/core_pattern",
        "vm/swappiness",
        "kernel/shmmni",
        "net/core/somaxconn",
    ];
    let read = |file: &str| fs::read_to_string(Path::new("/proc/sys").join(file)).unwrap();
    let before = files.map(read);
    for (name, value) in [
        ("kernel.core_pattern", "|/tmp/evil"),
        ("kernel/core_pattern", "|/tmp/evil"),
        ("net/../kernel/core_pattern", "|/tmp/evil"),
        ("net.//.kernel.core_pattern", "|/tmp/evil"),
        ("vm.swappiness", "99"),
        ("kernel.hostname", "evil"),
    ] {
        bundle.config["linux"]["sysctl"] = json!({name: value});
        let failed = bundle.runtime(&["run", "parameters"]).finish().with_code(1);
        assert!(failed.only_error().contains("linux.sysctl"), "{failed}");
    }
    // What a namespace has for itself is the host's without that namespace.
    let namespaces = bundle.config["linux"]["namespaces"].clone();
    for (kind, path, name) in [
        ("ipc", None, "kernel.shmmni"),
        ("network", None, "net.core.somaxconn"),
        ("network", Some("/proc/1/ns/net"), "net.core.somaxconn"),
    ] {
        let mut listed: Vec<Value> = namespaces.as_array().unwrap().clone();
        listed.retain(|namespace| namespace["type"] != kind);
        listed.extend(path.map(|path| json!({"type": kind, "path": path})));
        bundle.config["linux"]["namespaces"] = listed.into();
        bundle.config["linux"]["sysctl"] = json!({name: "77"});
        let failed = bundle.runtime(&["run", "parameters"]).finish().with_code(1);
        assert!(failed.only_error().contains(name), "{failed}");
    }
    assert_eq!(files.map(read), before, "the host's own");
}

#[test]
fn files_of_control_groups_are_named_and_not_walked_to() {
    let world = require!(World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    let victim = world.write("victim", "whole\n");
    bundle.script("true");
    for name in [
        victim.to_str().unwrap(),
        "../../../victim",
        "memory",
        "a./b",
    ] {
        bundle.config["linux"]["resources"]["unified"] = json!({name: "gone"});
        let failed = bundle.runtime(&["run", "files"]).finish().with_code(1);
        assert!(
            failed.only_error().contains("no file of a cgroup"),
            "{failed}"
        );
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "whole\n");
}

#[test]
fn limits_that_few_ask_for_are_set_or_refused() {
    let world = require!(World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    bundle.config["linux"]["cgroupsPath"] = "/runner-tests/special".into();
    let (major, minor, _) = disk::first();
    let resources = bundle.config["linux"]["resources"].clone();
    let is_first = Path::new(CGROUPS).join("blkio").exists();
    if is_first {
        let device = json!([{"major": major, "minor": minor, "rate": 12_345_678}]);
        let limits = json!({
            "blockIO": {"throttleReadBpsDevice": device, "throttleWriteIOPSDevice": device},
            "memory": {"swappiness": 7, "disableOOMKiller": true},
            "cpu": {"quota": 50_000, "burst": 10_000},
        });
        bundle.config["linux"]["resources"] = limits;
        bundle.leave(runc(), &["run", "--detach", "special"]);
        let read = |controller: &str, file: &str| {
            let folder = Path::new(CGROUPS)
                .join(controller)
                .join("runner-tests/special");
            fs::read_to_string(folder.join(file))
                .unwrap()
                .trim()
                .to_owned()
        };
        let throttled = format!("{major}:{minor} 12345678");
        assert_eq!(read("blkio", "blkio.throttle.read_bps_device"), throttled);
        assert_eq!(read("blkio", "blkio.throttle.write_iops_device"), throttled);
        assert_eq!(read("memory", "memory.swappiness"), "7");
        assert!(read("memory", "memory.oom_control").starts_with("oom_kill_disable 1"));
        assert_eq!(read("cpu", "cpu.cfs_burst_us"), "10000");
        bundle
            .runtime(&["update", "--cpu-burst", "20000", "special"])
            .succeed();
        assert_eq!(read("cpu", "cpu.cfs_burst_us"), "20000");
        bundle.runtime(&["delete", "--force", "special"]).succeed();
    }
    for (limits, word) in [
        (json!({"blockIO": {"leafWeight": 500}}), "blkio.leaf_weight"),
        (json!({"rdma": {"no_such": {"hcaHandles": 3}}}), "rdma"),
        (json!({"network": {"classID": 5}}), "net_cls"),
        (
            json!({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}),
            "no size of pages",
        ),
    ] {
        bundle.config["linux"]["resources"] = limits;
        let failed = bundle.runtime(&["run", "special"]).finish().with_code(1);
        assert!(failed.only_error().contains(word), "{failed}");
    }
    bundle.config["linux"]["resources"] = resources;
}

#[test]
fn what_a_container_used_is_counted_and_its_groups_can_be_entered() {
    let world = require!(World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    bundle.script(
        "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo >/tmp/done; exec sleep 100",
    );
    bundle.config["root"]["readonly"] = false.into();
    bundle.config["linux"]["cgroupsPath"] = "/runner-tests/counted".into();
    bundle.config["linux"]["resources"]["pids"] = json!({"limit": 50});
    bundle.leave(runc(), &["run", "--detach", "counted"]);
    tests::wait::until("work", std::time::Duration::from_secs(20), || {
        bundle.folder.join("rootfs/tmp/done").exists().then_some(())
    });
    let said = bundle.runtime(&["events", "--stats", "counted"]).succeed();
    let event: Value = serde_json::from_str(said.text()).unwrap();
    let data = &event["data"];
    assert!(
        data["cpu"]["usage"]["total"].as_u64().unwrap() > 1_000_000,
        "{event}"
    );
    assert_eq!(
        (&data["pids"]["current"], &data["pids"]["limit"]),
        (&json!(1), &json!(50))
    );
    let listed = bundle.runtime(&["list"]).succeed();
    assert!(listed.text().ends_with("   root"), "{listed}");
    bundle.runtime(&["kill", "counted", "0"]).succeed();
    let pids = ["pids", ""].map(|controller| Path::new(CGROUPS).join(controller));
    let below = pids.into_iter().find(|folder| folder.exists()).unwrap();
    let below = below.join("runner-tests/counted/below");
    fs::create_dir(&below).unwrap();
    let flag = if below.starts_with("/sys/fs/cgroup/pids") {
        "pids:below"
    } else {
        "below"
    };
    let words = [
        "exec",
        "--cgroup",
        flag,
        "counted",
        "cat",
        "/proc/self/cgroup",
    ];
    let said = bundle.runtime(&words).succeed();
    assert!(said.text().contains("/below"), "{said}");
    for wrong in ["pids:absent", "nothing:below", "../counted"] {
        let words = ["exec", "--cgroup", wrong, "counted", "true"];
        let failed = bundle.runtime(&words).finish().with_code(255);
        assert!(failed.only_error().contains("no such cgroup"), "{failed}");
    }
    fs::remove_dir(&below).unwrap();
    bundle.runtime(&["delete", "--force", "counted"]).succeed();
}

#[test]
fn files_of_a_mount_have_the_ids_that_its_option_says() {
    let world = require!(World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    world.make_dir("data", 0o755);
    let file = world.write("data/file", "x");
    std::os::unix::fs::chown(&file, Some(1234), Some(1235)).unwrap();
    let source = world.path("data");
    let mounts = bundle.config["mounts"].clone();
    let mut stat = |option: &str| {
        let mut listed = mounts.as_array().unwrap().clone();
        listed.push(json!({"destination": "/tmp", "type": "bind", "source": source, "options": ["bind", option]}));
        bundle.config["mounts"] = listed.into();
        bundle.script("stat -c %u:%g /tmp/file");
        bundle.runtime(&["run", "ids"]).finish()
    };
    assert_eq!(stat("rw").with_code(0).text(), "1234:1235");
    let said = stat("idmap=uids=1234-7-1;gids=1235-8-1").with_code(0);
    assert_eq!(said.text(), "7:8", "{said}");
    for wrong in ["idmap=uids=1", "idmap=users=1-2-3", "idmap=uids=1-2-3"] {
        let failed = stat(wrong).with_code(1);
        assert!(failed.only_error().contains("mounts: "), "{failed}");
    }
}

#[test]
fn mounts_travel_as_the_configuration_says_and_none_of_the_hosts_goes() {
    let world = require!(World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    bundle.script("awk '$5 == \"/tmp\" { print $7, $8 }' /proc/self/mountinfo");
    world.make_dir("data", 0o755);
    let source = world.path("data");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/tmp", "type": "bind", "source": source, "options": ["rbind", "rshared"]}));
    // As on a host with systemd, where everything is shared; the data is a mount of its own.
    let script = "mount --make-rshared / && mount --bind \"$1\" \"$1\" && shift \
        && wc -l < /proc/self/mountinfo && \"$@\" && wc -l < /proc/self/mountinfo";
    for (propagation, expected) in [
        ("rshared", ["shared", "-"]),
        ("rslave", ["shared", "master"]),
        ("rprivate", ["shared", "-"]),
    ] {
        bundle.config["linux"]["rootfsPropagation"] = propagation.into();
        bundle.write();
        let root = world.path("run/state-runc");
        let said = world
            .run("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .args([&source, runc()])
            .args(["--root", root.to_str().unwrap(), "run", "travel"])
            .current_dir(&bundle.folder)
            .succeed();
        let lines: Vec<_> = said.text().lines().collect();
        let [before, told, after] = lines[..] else {
            panic!("{said}");
        };
        assert_eq!(before, after, "mounts of the host, {propagation}: {said}");
        let kinds: Vec<_> = told
            .split(' ')
            .map(|word| word.split(':').next().unwrap())
            .collect();
        assert_eq!(kinds, expected, "{propagation}: {said}");
    }
}
