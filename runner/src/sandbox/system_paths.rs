//! What of the kernel's files a container must not see, and what it must not change, unless it was
//! asked for otherwise.

/// What a container must not see: podman's list (containers/common, `DefaultMaskedPaths`), and
/// what newer kernels and engines added to it (CVE-2025-31133 made runc add the last two of /proc).
pub const MASKED: [&str; 14] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// What a container may read and must not change.
pub const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
