//! The variants: one change each.

use std::path::Path;

use serde_json::{Value, json};
use tests::World;

/// One change of the usual configuration.
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) change: Box<dyn Fn(&mut Value)>,
    /// What prints what the change is about; `None` if the change is about that itself.
    pub(super) script: Option<&'static str>,
    /// Why the answers differ, where they do on purpose.
    pub(super) differs: Option<&'static str>,
}

/// A list that grows.
struct List(Vec<Variant>);

impl List {
    fn add(
        &mut self,
        name: impl Into<String>,
        script: &'static str,
        change: impl Fn(&mut Value) + 'static,
    ) -> &mut Variant {
        self.0.push(Variant {
            name: name.into(),
            change: Box::new(change),
            script: Some(script),
            differs: None,
        });
        self.0.last_mut().expect("just added")
    }

    /// A change of one field.
    fn set(&mut self, script: &'static str, field: &'static str, value: Value) -> &mut Variant {
        self.add(format!("{field} = {value}"), script, move |config| {
            put(config, field, value.clone());
        })
    }

    /// A change of what is run.
    fn run(&mut self, words: &[&str]) -> &mut Variant {
        let words = json!(words);
        let variant = self.set("", "/process/args", words);
        variant.script = None;
        variant
    }
}

/// Puts a value at a path, whose last part may be new.
fn put(config: &mut Value, field: &str, value: Value) {
    let (parent, name) = field.rsplit_once('/').expect("a path");
    config.pointer_mut(parent).expect("a parent")[name] = value;
}

fn push(config: &mut Value, field: &str, value: Value) {
    let list = config.pointer_mut(field).expect("a list");
    list.as_array_mut().expect("a list").push(value);
}

/// Every variant.
pub(super) fn all(world: &World, bundle: &Path) -> Vec<Variant> {
    let mut list = List(Vec::new());
    capabilities(&mut list);
    users(&mut list);
    limits(&mut list);
    programs(&mut list);
    surroundings(&mut list);
    temporary_mounts(&mut list);
    bind_mounts(&mut list, bundle);
    paths(&mut list);
    namespaces(&mut list);
    kernel(&mut list);
    filters(&mut list);
    hooks(&mut list, world);
    versions(&mut list);
    list.0
}

const CAPS: &str = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status";

const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn capabilities(list: &mut List) {
    for name in CAPABILITIES {
        let one = json!([format!("CAP_{name}")]);
        let sets = json!({"bounding": one, "effective": one, "permitted": one});
        list.set(CAPS, "/process/capabilities", sets);
    }
    let two = json!(["CAP_KILL", "CAP_CHOWN"]);
    for sets in [
        json!({}),
        json!({"bounding": two}),
        json!({"bounding": two, "permitted": two}),
        json!({"bounding": two, "permitted": two, "inheritable": two}),
        json!({"bounding": two, "effective": two, "permitted": two, "inheritable": two, "ambient": two}),
    ] {
        list.set(CAPS, "/process/capabilities", sets.clone());
        list.add(format!("{sets} for user 7"), CAPS, move |config| {
            put(config, "/process/capabilities", sets.clone());
            put(config, "/process/user/uid", json!(7));
        });
    }
    for value in [true, false] {
        list.set(CAPS, "/process/noNewPrivileges", json!(value));
    }
}

fn users(list: &mut List) {
    let script =
        "id -u; id -g; id -G; umask; cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '";
    for user in [
        json!({"uid": 0, "gid": 0}),
        json!({"uid": 1000, "gid": 1000}),
        json!({"uid": 0, "gid": 5, "additionalGids": [7, 9]}),
        json!({"uid": 65535, "gid": 65535}),
        json!({"uid": 3, "gid": 3, "umask": 0}),
        json!({"uid": 0, "gid": 0, "umask": 63}),
        json!({"uid": 0, "gid": 0, "umask": 23}),
        json!({"uid": 700_000, "gid": 0}),
    ] {
        list.set(script, "/process/user", user);
    }
}

fn limits(list: &mut List) {
    let script = "cat /proc/self/limits | tr -s ' '";
    for name in [
        "CPU",
        "FSIZE",
        "DATA",
        "STACK",
        "CORE",
        "RSS",
        "NPROC",
        "NOFILE",
        "MEMLOCK",
        "AS",
        "LOCKS",
        "SIGPENDING",
        "MSGQUEUE",
        "NICE",
        "RTPRIO",
        "RTTIME",
    ] {
        let number = match name {
            "DATA" | "AS" | "STACK" | "RSS" | "FSIZE" => 1 << 28,
            "NICE" | "RTPRIO" | "CORE" => 0,
            "NPROC" => 200,
            _ => 100,
        };
        let one = json!([{"type": format!("RLIMIT_{name}"), "soft": number, "hard": number}]);
        list.set(script, "/process/rlimits", one);
    }
    list.set(
        script,
        "/process/rlimits",
        json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
    );
    list.set(
        script,
        "/process/rlimits",
        json!([{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 8}]),
    );
}

fn programs(list: &mut List) {
    for words in [
        &["true"][..],
        &["false"],
        &["sh", "-c", "exit 7"],
        &["sh", "-c", "exit 255"],
        &["sh", "-c", "echo out; exit 3"],
        &["/bin/sh", "-c", "echo $0 $#", "zero", "one", "two"],
        &["no-such-program"],
        &["/no/such/program"],
        &["/etc/plain"],
        &["/etc"],
        &["sh", "-c", "echo \"$0\"", "a b  c"],
        &[],
    ] {
        list.run(words);
    }
    for cwd in [
        "/",
        "/tmp",
        "/bin/../etc",
        "/proc/self",
        "/etc/plain",
        "relative",
        "",
    ] {
        list.set("pwd", "/process/cwd", json!(cwd)).differs =
            (cwd == "relative").then_some("the specification asks for an absolute path");
    }
    for environment in [
        json!([]),
        json!(["PATH=/bin"]),
        json!(["PATH=/bin", "A=1", "A=2"]),
        json!(["PATH=/bin", "EMPTY="]),
        json!(["PATH=/bin", "NAKED"]),
        json!(["PATH=/bin", "HOME=/somewhere"]),
    ] {
        let script = "/bin/env | /bin/grep -v -E '^(PWD|SHLVL|_)=' | /bin/sort";
        let is_empty = environment == json!([]);
        list.set(script, "/process/env", environment).differs =
            is_empty.then_some("without PATH a program is looked for in the usual folders");
    }
}

fn surroundings(list: &mut List) {
    for name in ["a", "a.b-c", "x123456789"] {
        list.set("hostname", "/hostname", json!(name));
    }
    list.set(
        "cat /proc/sys/kernel/domainname",
        "/domainname",
        json!("nis"),
    );
    for value in [true, false] {
        let script = "touch /tmp/made 2>/dev/null && echo written || echo refused";
        list.set(script, "/root/readonly", json!(value));
    }
    list.set("ls /", "/root/path", json!("nowhere"));
    for adjustment in [0, 100, 1000] {
        list.set(
            "cat /proc/self/oom_score_adj",
            "/process/oomScoreAdj",
            json!(adjustment),
        );
    }
    let devices =
        "cd /dev; for f in *; do stat -c '%F %a %t %T %N' $f; done | grep -v -E '/kcore|console'";
    list.add("the usual devices", devices, |_| {});
    list.add("a named pipe", "ls -l /dev/pipe | cut -c1-10", |config| {
        let pipe = json!([{"path": "/dev/pipe", "type": "p", "fileMode": 384, "uid": 0, "gid": 0}]);
        put(config, "/linux/devices", pipe);
    })
    .differs = Some("crun binds every device of a user's from the host, which has no such pipe");
    list.add("a device again", "ls -l /dev/null | tr -s ' ' | cut -d' ' -f5,6", |config| {
        let null = json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]);
        put(config, "/linux/devices", null);
    })
    .differs = Some("crun makes it twice, and fails");
}

const AT_MNT: &str = "grep ' /mnt' /proc/self/mountinfo | cut -d' ' -f5-7,9- | sed 's/,uid=[0-9]*//; s/,gid=[0-9]*//'";

fn temporary_mounts(list: &mut List) {
    for options in [
        &[][..],
        &["ro"],
        &["rw"],
        &["nosuid"],
        &["nodev"],
        &["noexec"],
        &["nosuid", "nodev", "noexec", "ro"],
        &["ro", "rw"],
        &["noexec", "exec"],
        &["noatime"],
        &["relatime"],
        &["strictatime"],
        &["nodiratime"],
        &["size=1m"],
        &["mode=700"],
        &["size=64k", "mode=1777"],
        &["nr_inodes=100"],
        &["nonsense"],
    ] {
        let mount =
            json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": options});
        let undone = [&["ro", "rw"][..], &["noexec", "exec"]].contains(&options);
        list.add(format!("tmpfs {options:?}"), AT_MNT, move |config| {
            push(config, "/mounts", mount.clone());
        })
        .differs = undone.then_some("the last option counts, as with mount(8)");
    }
    list.add("a type that no kernel has", AT_MNT, |config| {
        push(
            config,
            "/mounts",
            json!({"destination": "/mnt", "type": "nonsense", "source": "x"}),
        );
    });
}

fn bind_mounts(list: &mut List, bundle: &Path) {
    let look = "grep ' /mnt' /proc/self/mountinfo | cut -d' ' -f5-7; ls /mnt";
    for options in [
        &["bind"][..],
        &["rbind"],
        &["bind", "ro"],
        &["rbind", "ro", "nosuid"],
        &["bind", "noexec", "nodev"],
        &["rbind", "private"],
        &["rbind", "rprivate"],
        &["rbind", "slave"],
        &["rbind", "rslave"],
        &["rbind", "shared"],
        &["rbind", "rshared"],
        &["bind", "noatime"],
    ] {
        let mount =
            json!({"destination": "/mnt", "source": bundle.join("data"), "options": options});
        let travels = options.iter().any(|option| option.ends_with("shared"));
        list.add(format!("bind {options:?}"), look, move |config| {
            push(config, "/mounts", mount.clone());
        })
        .differs = travels
            .then_some("crun cuts it off again together with the host's root; runc does not");
    }
    for (name, source, target) in [
        ("a relative source", "data", "/mnt"),
        ("a source that is not there", "nowhere", "/mnt"),
        ("a file over a new file", "config.json", "/tmp/made"),
        ("a new folder below a folder", "data", "/dev/new/deep"),
    ] {
        let mount =
            json!({"destination": target, "type": "bind", "source": source, "options": ["bind"]});
        list.add(name, "ls -d /mnt/below /dev/new/deep/below 2>/dev/null; test -s /tmp/made && echo file; true", move |config| {
            put(config, "/root/readonly", json!(false));
            push(config, "/mounts", mount.clone());
        });
    }
}

fn paths(list: &mut List) {
    let look = "wc -c < /proc/version; ls /proc/driver 2>/dev/null | wc -l; echo 1 > /proc/sys/kernel/domainname; echo $?";
    for paths in [
        json!([]),
        json!(["/proc/version"]),
        json!(["/proc/driver"]),
        json!(["/no/such"]),
    ] {
        list.set(look, "/linux/maskedPaths", paths);
    }
    for paths in [
        json!([]),
        json!(["/proc/sys"]),
        json!(["/proc/version"]),
        json!(["/no/such"]),
    ] {
        list.set(look, "/linux/readonlyPaths", paths);
    }
}

fn namespaces(list: &mut List) {
    let look = "ls /proc/self/ns; ls /sys/class/net | tr '\\n' ' '; test $$ = 1 && echo first";
    for kind in ["ipc", "cgroup"] {
        list.add(format!("the host's {kind}"), look, move |config| {
            let namespaces = config["linux"]["namespaces"]
                .as_array_mut()
                .expect("a list");
            namespaces.retain(|namespace| namespace["type"] != kind);
        });
    }
    list.add("a namespace of no kind", look, |config| {
        push(config, "/linux/namespaces", json!({"type": "nonsense"}));
    });
    list.add("a namespace that is not there", look, |config| {
        push(
            config,
            "/linux/namespaces",
            json!({"type": "time", "path": "/no/such"}),
        );
    });
    list.add(
        "the interfaces of a new network",
        "cat /sys/class/net/lo/operstate; grep -c . /proc/net/dev",
        |_| {},
    );
    list.add(
        "a host name without a namespace for it",
        "hostname",
        |config| {
            let namespaces = config["linux"]["namespaces"]
                .as_array_mut()
                .expect("a list");
            namespaces.retain(|namespace| namespace["type"] != "uts");
        },
    );
}

fn kernel(list: &mut List) {
    for (name, value) in [
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.ip_unprivileged_port_start", "80"),
        ("net/ipv4/tcp_syncookies", "0"),
        ("kernel.msgmax", "9000"),
        ("kernel.shmmni", "99"),
        ("no.such.parameter", "1"),
        ("kernel.core_pattern", "x"),
        ("kernel.hostname", "x"),
        ("kernel.domainname", "domain"),
        ("vm.swappiness", "1"),
        ("net/../kernel/msgmax", "9000"),
    ] {
        let look = "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/ip_unprivileged_port_start net/ipv4/tcp_syncookies kernel/msgmax kernel/shmmni";
        list.set(look, "/linux/sysctl", json!({name: value}));
    }
    for (propagation, differs) in [
        ("private", None),
        ("rprivate", None),
        ("slave", Some("crun cuts its root off from the host first")),
        ("rslave", Some("crun cuts its root off from the host first")),
        ("shared", None),
        ("rshared", None),
        ("unbindable", None),
        ("runbindable", Some("crun can not bind what it has made so")),
        (
            "nonsense",
            Some("crun passes over a word that it does not know"),
        ),
    ] {
        let look = "awk '$5 == \"/\" { print $7, $8 }' /proc/self/mountinfo";
        list.set(look, "/linux/rootfsPropagation", json!(propagation))
            .differs = differs;
    }
    for domain in ["LINUX", "LINUX32", "NONSENSE"] {
        list.set("uname -m", "/linux/personality", json!({"domain": domain}));
    }
}

fn filters(list: &mut List) {
    let look = "mkdir /tmp/x 2>&1; rmdir /tmp/x 2>/dev/null; chmod 600 /tmp/y 2>&1; grep Seccomp: /proc/self/status";
    let rule = |action: &str, more: Value| {
        let mut rule = json!({"names": ["mkdir", "mkdirat"], "action": action});
        for (name, value) in more.as_object().expect("an object") {
            rule[name] = value.clone();
        }
        rule
    };
    for (action, more) in [
        ("SCMP_ACT_ERRNO", json!({})),
        ("SCMP_ACT_ERRNO", json!({"errnoRet": 17})),
        ("SCMP_ACT_ALLOW", json!({})),
        ("SCMP_ACT_LOG", json!({})),
        ("SCMP_ACT_KILL", json!({})),
        ("SCMP_ACT_KILL_PROCESS", json!({})),
        ("SCMP_ACT_TRAP", json!({})),
        ("SCMP_ACT_NONSENSE", json!({})),
        (
            "SCMP_ACT_ERRNO",
            json!({"errnoRet": 17, "args": [{"index": 1, "value": 511, "op": "SCMP_CMP_EQ"}]}),
        ),
        (
            "SCMP_ACT_ERRNO",
            json!({"errnoRet": 17, "args": [{"index": 1, "value": 511, "op": "SCMP_CMP_NE"}]}),
        ),
        (
            "SCMP_ACT_ERRNO",
            json!({"errnoRet": 17, "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_GT"}]}),
        ),
    ] {
        let default = if action == "SCMP_ACT_ALLOW" {
            "SCMP_ACT_LOG"
        } else {
            "SCMP_ACT_ALLOW"
        };
        let profile = json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule(action, more)]});
        list.add(format!("seccomp {profile}"), look, move |config| {
            put(config, "/root/readonly", json!(false));
            put(config, "/linux/seccomp", profile.clone());
        });
    }
}

fn hooks(list: &mut List, world: &World) {
    let log = world.path("run/hooks");
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ] {
        // One that does not read may end before crun has written.
        for (name, script) in [
            ("works", "cat >/dev/null"),
            ("fails", "cat >/dev/null; exit 1"),
        ] {
            let hook =
                json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]});
            let hooks = json!({kind: [hook]});
            list.add(
                format!("a {kind} hook that {name}"),
                "echo ran",
                move |config| {
                    put(config, "/hooks", hooks.clone());
                },
            );
        }
        let absent = json!({kind: [{"path": "/no/such"}]});
        list.add(
            format!("a {kind} hook that is not there"),
            "echo ran",
            move |config| put(config, "/hooks", absent.clone()),
        );
    }
    let script = format!("cat > {}", log.display());
    list.add("a hook that reads", "echo ran", move |config| {
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]});
        put(config, "/hooks", json!({"prestart": [hook]}));
    });
}

fn versions(list: &mut List) {
    for version in ["1.0.0", "1.0.2-dev"] {
        list.set("echo ran", "/ociVersion", json!(version));
    }
    list.set("echo ran", "/annotations", json!({"a": "b"}));
    list.set("echo ran", "/future", json!({"field": [1, 2]}));
    list.set("echo ran", "/process", json!(7));
    list.set("echo ran", "/mounts", json!("text"));
}
