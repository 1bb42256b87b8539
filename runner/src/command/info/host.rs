//! Facts about this machine that podman's `info` has too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// `MemFree`, `MemTotal`, `SwapFree` and `SwapTotal` of proc_meminfo(5), in bytes.
pub(super) fn memory() -> BTreeMap<&'static str, u64> {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let keys = [
        ("MemFree:", "memFree"),
        ("MemTotal:", "memTotal"),
        ("SwapFree:", "swapFree"),
        ("SwapTotal:", "swapTotal"),
    ];
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    keys.iter()
        .map(|(key, name)| (*name, value(key).unwrap_or(0) * 1024))
        .collect()
}

/// The distribution, as os-release(5) says it.
pub(super) fn distribution() -> Value {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or("unknown")
            .trim_matches(['"', '\''])
            .to_owned()
    };
    json!({
        "distribution": value("ID"),
        "version": value("VERSION_ID"),
        "codename": value("VERSION_CODENAME"),
    })
}

/// What the processors have done since the machine was started, in percent: `user`, `system` and
/// `idle` of proc_stat(5).
pub(super) fn cpu_utilization() -> Value {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let times = text.lines().next().unwrap_or_default().split_whitespace();
    let times: Vec<f64> = times.filter_map(|word| word.parse().ok()).collect();
    let all: f64 = times.iter().sum();
    let percent = |at: usize| {
        let part = times.get(at).copied().unwrap_or(0.0) / all.max(1.0);
        (part * 10_000.0).round() / 100.0
    };
    json!({"userPercent": percent(0), "systemPercent": percent(2), "idlePercent": percent(3)})
}

/// How long the machine runs: `7h 18m 7.00s`.
pub(super) fn uptime() -> String {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text
        .split('.')
        .next()
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0);
    format!(
        "{}h {}m {}.00s",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// `v2` where the unified hierarchy is the only one (cgroups(7)).
pub(super) fn cgroup_version() -> &'static str {
    match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        true => "v2",
        false => "v1",
    }
}

/// The names of Go's fields where they are more than the JSON key with a capital letter.
const GO_NAMES: [(&str, &str); 16] = [
    ("idMappings", "IDMappings"),
    ("uidmap", "UIDMap"),
    ("gidmap", "GIDMap"),
    ("container_id", "ContainerID"),
    ("host_id", "HostID"),
    ("cpus", "CPUs"),
    ("os", "OS"),
    ("ociRuntime", "OCIRuntime"),
    ("cgroupVersion", "CgroupsVersion"),
    ("cpuUtilization", "CPUUtilization"),
    ("slirp4netns", "Slirp4NetNS"),
    ("apparmorEnabled", "AppArmorEnabled"),
    ("capabilities", "DefaultCapabilities"),
    ("seccompEnabled", "SECCOMPEnabled"),
    ("seccompProfilePath", "SECCOMPProfilePath"),
    ("selinuxEnabled", "SELinuxEnabled"),
];

/// The same value, in which a template finds each key by the name of podman's Go field too, as in
/// `{{.Store.GraphDriverName}}`.
pub(super) fn with_go_names(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut named = serde_json::Map::new();
            for (key, value) in map {
                let value = with_go_names(value);
                let mut letters = key.chars();
                let first = letters.next().map(|letter| letter.to_ascii_uppercase());
                let plain: String = first.into_iter().chain(letters).collect();
                let special = GO_NAMES.iter().find(|(json, _)| json == key);
                if let Some((_, name)) = special {
                    named.insert((*name).to_owned(), value.clone());
                }
                named.insert(plain, value.clone());
                named.insert(key.clone(), value);
            }
            Value::Object(named)
        }
        Value::Array(items) => items.iter().map(with_go_names).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_its_go_name_too() {
        let named = with_go_names(
            &json!({"host": {"idMappings": {"uidmap": [{"host_id": 1}]}, "os": "linux"}}),
        );
        assert_eq!(named["Host"]["IDMappings"]["UIDMap"][0]["HostID"], 1);
        assert_eq!(named["Host"]["OS"], "linux");
        assert_eq!(named["Host"]["Os"], "linux");
        assert_eq!(named["host"]["os"], "linux");
    }

    #[test]
    fn memory_and_distribution_are_those_of_this_machine() {
        let memory = memory();
        assert!(memory["memTotal"] > memory["memFree"] && memory["memFree"] > 0);
        assert!(distribution()["distribution"].is_string());
        assert!(cpu_utilization()["idlePercent"].as_f64() <= Some(100.0));
        assert!(uptime().ends_with(".00s"));
    }
}
