//! What happens to each system call: the same as under podman's default profile
//! (containers/common, `seccomp.json`), but closed where a container has no business: name spaces,
//! mounts, the kernel's key ring, io_uring, userfaultfd.

use super::super::capability::CapabilitySet;
use super::compile::{Check, Fate, NUMBERS, Table};

/// The capabilities that open more of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    audit_write: bool,
    dac_read_search: bool,
    net_raw: bool,
    sys_admin: bool,
    sys_boot: bool,
    sys_chroot: bool,
    sys_module: bool,
    sys_pacct: bool,
    sys_ptrace: bool,
    sys_rawio: bool,
    sys_time: bool,
    sys_tty_config: bool,
}

impl Granted {
    /// With podman's default capabilities.
    pub(super) const DEFAULT: Self = Self {
        audit_write: false,
        dac_read_search: false,
        net_raw: false,
        sys_admin: false,
        sys_boot: false,
        sys_chroot: true,
        sys_module: false,
        sys_pacct: false,
        sys_ptrace: false,
        sys_rawio: false,
        sys_time: false,
        sys_tty_config: false,
    };

    /// With the capabilities in `set`.
    pub(super) fn of(set: CapabilitySet) -> Self {
        let has = |name| CapabilitySet::parse(name).is_some_and(|one| set.contains(one));
        Self {
            audit_write: has("AUDIT_WRITE"),
            dac_read_search: has("DAC_READ_SEARCH"),
            net_raw: has("NET_RAW"),
            sys_admin: has("SYS_ADMIN"),
            sys_boot: has("SYS_BOOT"),
            sys_chroot: has("SYS_CHROOT"),
            sys_module: has("SYS_MODULE"),
            sys_pacct: has("SYS_PACCT"),
            sys_ptrace: has("SYS_PTRACE"),
            sys_rawio: has("SYS_RAWIO"),
            sys_time: has("SYS_TIME"),
            sys_tty_config: has("SYS_TTY_CONFIG"),
        }
    }
}

/// The fate of every system call, by number. What is not named answers ENOSYS, so that a program
/// falls back to an older call as it would on an older kernel.
pub(super) const fn table(granted: Granted) -> Table {
    let mut table = [Fate::Refuse(errno(libc::ENOSYS)); NUMBERS];
    set(&mut table, ALLOWED, Fate::Allow);
    set(&mut table, ALLOWED_HERE, Fate::Allow);
    set(&mut table, REFUSED, Fate::Refuse(errno(libc::EPERM)));
    set(
        &mut table,
        &[libc::SYS_personality],
        Fate::Examine(Check::Personality),
    );
    set(
        &mut table,
        &[libc::SYS_ioctl],
        Fate::Examine(Check::Terminal),
    );
    let socket = Check::Socket {
        packet: granted.net_raw,
        audit: granted.audit_write,
    };
    set(&mut table, &[libc::SYS_socket], Fate::Examine(socket));
    if granted.sys_admin {
        set(&mut table, FOR_SYS_ADMIN, Fate::Allow);
    } else {
        set(&mut table, FOR_SYS_ADMIN, Fate::Refuse(errno(libc::EPERM)));
        set(
            &mut table,
            &[libc::SYS_clone],
            Fate::Examine(Check::NoBits(NAMESPACES)),
        );
        set(
            &mut table,
            &[libc::SYS_unshare],
            Fate::Examine(Check::NoBits(NAMESPACES | NEW_TIME)),
        );
        // Its flags lie in memory, where a filter can not see them. ENOSYS sends the C library
        // back to clone.
        set(
            &mut table,
            &[libc::SYS_clone3],
            Fate::Refuse(errno(libc::ENOSYS)),
        );
    }
    open(&mut table, FOR_DAC_READ_SEARCH, granted.dac_read_search);
    open(&mut table, FOR_SYS_BOOT, granted.sys_boot);
    open(&mut table, FOR_SYS_CHROOT, granted.sys_chroot);
    open(&mut table, FOR_SYS_MODULE, granted.sys_module);
    open(&mut table, FOR_SYS_PACCT, granted.sys_pacct);
    open(&mut table, FOR_SYS_PTRACE, granted.sys_ptrace);
    open(&mut table, FOR_SYS_RAWIO, granted.sys_rawio);
    open(&mut table, FOR_SYS_TIME, granted.sys_time);
    open(&mut table, FOR_SYS_TTY_CONFIG, granted.sys_tty_config);
    table
}

const fn open(table: &mut Table, calls: &[libc::c_long], granted: bool) {
    let refused = Fate::Refuse(errno(libc::EPERM));
    set(table, calls, if granted { Fate::Allow } else { refused });
}

const fn set(table: &mut Table, calls: &[libc::c_long], fate: Fate) {
    let mut at = 0;
    while at < calls.len() {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below 512"
        )]
        let number = calls[at] as usize;
        table[number] = fate;
        at += 1;
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "below 134"
)]
const fn errno(number: i32) -> u16 {
    number as u16
}

/// Flags of clone(2) and unshare(2) that make a namespace.
const NAMESPACES: u32 = 0x7e02_0000;
/// The one that clone(2) has no room for.
const NEW_TIME: u32 = 0x80;

/// What every container may do.
#[rustfmt::skip]
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_accept, libc::SYS_accept4, libc::SYS_adjtimex, libc::SYS_bind, libc::SYS_brk,
    libc::SYS_capget, libc::SYS_capset, libc::SYS_chdir, libc::SYS_clock_adjtime,
    libc::SYS_clock_getres, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_close,
    libc::SYS_close_range, libc::SYS_connect, libc::SYS_copy_file_range, libc::SYS_dup,
    libc::SYS_dup3, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_execve, libc::SYS_execveat,
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_faccessat, libc::SYS_faccessat2,
    libc::SYS_fadvise64, libc::SYS_fallocate, libc::SYS_fanotify_mark, libc::SYS_fchdir,
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchmodat2, libc::SYS_fchown,
    libc::SYS_fchownat, libc::SYS_fcntl, libc::SYS_fdatasync, libc::SYS_fgetxattr,
    libc::SYS_flistxattr, libc::SYS_flock, libc::SYS_fremovexattr, libc::SYS_fsetxattr,
    libc::SYS_fstat, libc::SYS_fstatfs, libc::SYS_fsync, libc::SYS_ftruncate, libc::SYS_futex,
    libc::SYS_futex_waitv, libc::SYS_get_mempolicy, libc::SYS_get_robust_list, libc::SYS_getcpu,
    libc::SYS_getcwd, libc::SYS_getdents64, libc::SYS_getegid, libc::SYS_geteuid,
    libc::SYS_getgid, libc::SYS_getgroups, libc::SYS_getitimer, libc::SYS_getpeername,
    libc::SYS_getpgid, libc::SYS_getpid, libc::SYS_getppid, libc::SYS_getpriority,
    libc::SYS_getrandom, libc::SYS_getresgid, libc::SYS_getresuid, libc::SYS_getrusage,
    libc::SYS_getsid, libc::SYS_getsockname, libc::SYS_getsockopt, libc::SYS_gettid,
    libc::SYS_gettimeofday, libc::SYS_getuid, libc::SYS_getxattr, libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1, libc::SYS_inotify_rm_watch, libc::SYS_io_cancel,
    libc::SYS_io_destroy, libc::SYS_io_getevents, libc::SYS_io_setup, libc::SYS_io_submit,
    libc::SYS_ioprio_get, libc::SYS_ioprio_set, libc::SYS_kill, libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self, libc::SYS_lgetxattr,
    libc::SYS_linkat, libc::SYS_listen, libc::SYS_listxattr, libc::SYS_llistxattr,
    libc::SYS_lremovexattr, libc::SYS_lseek, libc::SYS_lsetxattr, libc::SYS_madvise,
    libc::SYS_mbind, libc::SYS_membarrier, libc::SYS_memfd_create, libc::SYS_memfd_secret,
    libc::SYS_mincore, libc::SYS_mkdirat, libc::SYS_mknodat, libc::SYS_mlock, libc::SYS_mlock2,
    libc::SYS_mlockall, libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_mq_getsetattr,
    libc::SYS_mq_notify, libc::SYS_mq_open, libc::SYS_mq_timedreceive, libc::SYS_mq_timedsend,
    libc::SYS_mq_unlink, libc::SYS_mremap, libc::SYS_mseal, libc::SYS_msgctl, libc::SYS_msgget,
    libc::SYS_msgrcv, libc::SYS_msgsnd, libc::SYS_msync, libc::SYS_munlock, libc::SYS_munlockall,
    libc::SYS_munmap, libc::SYS_name_to_handle_at, libc::SYS_nanosleep, libc::SYS_newfstatat,
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_pidfd_getfd, libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal, libc::SYS_pipe2, libc::SYS_pkey_alloc, libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect, libc::SYS_ppoll, libc::SYS_prctl, libc::SYS_pread64,
    libc::SYS_preadv, libc::SYS_preadv2, libc::SYS_prlimit64, libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_pselect6, libc::SYS_ptrace,
    libc::SYS_pwrite64, libc::SYS_pwritev, libc::SYS_pwritev2, libc::SYS_read,
    libc::SYS_readahead, libc::SYS_readlinkat, libc::SYS_readv, libc::SYS_recvfrom,
    libc::SYS_recvmmsg, libc::SYS_recvmsg, libc::SYS_remap_file_pages, libc::SYS_removexattr,
    libc::SYS_renameat2, libc::SYS_restart_syscall, libc::SYS_rseq, libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn, libc::SYS_rt_sigsuspend, libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_tgsigqueueinfo, libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min, libc::SYS_sched_getaffinity, libc::SYS_sched_getattr,
    libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_sched_rr_get_interval,
    libc::SYS_sched_setaffinity, libc::SYS_sched_setattr, libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler, libc::SYS_sched_yield, libc::SYS_seccomp, libc::SYS_semctl,
    libc::SYS_semget, libc::SYS_semop, libc::SYS_semtimedop, libc::SYS_sendfile,
    libc::SYS_sendmmsg, libc::SYS_sendmsg, libc::SYS_sendto, libc::SYS_set_mempolicy,
    libc::SYS_set_robust_list, libc::SYS_set_tid_address, libc::SYS_setfsgid, libc::SYS_setfsuid,
    libc::SYS_setgid, libc::SYS_setgroups, libc::SYS_setitimer, libc::SYS_setpgid,
    libc::SYS_setpriority, libc::SYS_setregid, libc::SYS_setresgid, libc::SYS_setresuid,
    libc::SYS_setreuid, libc::SYS_setsid, libc::SYS_setsockopt, libc::SYS_setuid,
    libc::SYS_setxattr, libc::SYS_shmat, libc::SYS_shmctl, libc::SYS_shmdt, libc::SYS_shmget,
    libc::SYS_shutdown, libc::SYS_sigaltstack, libc::SYS_signalfd4, libc::SYS_socketpair,
    libc::SYS_splice, libc::SYS_statfs, libc::SYS_statx, libc::SYS_symlinkat, libc::SYS_sync,
    libc::SYS_syncfs, libc::SYS_sysinfo, libc::SYS_syslog, libc::SYS_tee, libc::SYS_tgkill,
    libc::SYS_timer_create, libc::SYS_timer_delete, libc::SYS_timer_getoverrun,
    libc::SYS_timer_gettime, libc::SYS_timer_settime, libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime, libc::SYS_timerfd_settime, libc::SYS_times, libc::SYS_tkill,
    libc::SYS_truncate, libc::SYS_umask, libc::SYS_uname, libc::SYS_unlinkat, libc::SYS_utimensat,
    libc::SYS_wait4, libc::SYS_waitid, libc::SYS_write, libc::SYS_writev,
];

/// What every container may do on this architecture.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_access, libc::SYS_alarm, libc::SYS_arch_prctl, libc::SYS_chmod, libc::SYS_chown,
    libc::SYS_creat, libc::SYS_dup2, libc::SYS_epoll_create, libc::SYS_epoll_wait,
    libc::SYS_eventfd, libc::SYS_fork, libc::SYS_futimesat, libc::SYS_get_thread_area,
    libc::SYS_getdents, libc::SYS_getpgrp, libc::SYS_getrlimit, libc::SYS_inotify_init,
    libc::SYS_lchown, libc::SYS_link, libc::SYS_lstat, libc::SYS_mkdir, libc::SYS_mknod,
    libc::SYS_open, libc::SYS_pause, libc::SYS_pipe, libc::SYS_poll, libc::SYS_readlink,
    libc::SYS_rename, libc::SYS_renameat, libc::SYS_rmdir, libc::SYS_select,
    libc::SYS_set_thread_area, libc::SYS_setrlimit, libc::SYS_signalfd, libc::SYS_stat,
    libc::SYS_symlink, libc::SYS_sync_file_range, libc::SYS_time, libc::SYS_unlink,
    libc::SYS_utime, libc::SYS_utimes, libc::SYS_vfork,
];
/// What every container may do on this architecture.
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[libc::c_long] = &[libc::SYS_sync_file_range, libc::SYS_renameat];

/// What no container may do, whatever its capabilities: it would reach the machine and not only the
/// container, or it has no name spaces of its own (the key ring).
#[rustfmt::skip]
const REFUSED: &[libc::c_long] = &[
    libc::SYS_add_key, libc::SYS_keyctl, libc::SYS_request_key, libc::SYS_kexec_file_load,
    libc::SYS_kexec_load, libc::SYS_migrate_pages, libc::SYS_move_pages, libc::SYS_swapoff,
    libc::SYS_swapon, libc::SYS_userfaultfd, libc::SYS_vmsplice,
];

#[rustfmt::skip]
const FOR_SYS_ADMIN: &[libc::c_long] = &[
    libc::SYS_bpf, libc::SYS_clone, libc::SYS_clone3, libc::SYS_fanotify_init, libc::SYS_fsconfig,
    libc::SYS_fsmount, libc::SYS_fsopen, libc::SYS_fspick, libc::SYS_mount,
    libc::SYS_mount_setattr, libc::SYS_move_mount, libc::SYS_open_tree, libc::SYS_perf_event_open,
    libc::SYS_pivot_root, libc::SYS_quotactl, libc::SYS_setdomainname, libc::SYS_sethostname,
    libc::SYS_setns, libc::SYS_umount2, libc::SYS_unshare,
];
const FOR_DAC_READ_SEARCH: &[libc::c_long] = &[libc::SYS_open_by_handle_at];
const FOR_SYS_BOOT: &[libc::c_long] = &[libc::SYS_reboot];
const FOR_SYS_CHROOT: &[libc::c_long] = &[libc::SYS_chroot];
const FOR_SYS_MODULE: &[libc::c_long] = &[
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
];
const FOR_SYS_PACCT: &[libc::c_long] = &[libc::SYS_acct];
const FOR_SYS_PTRACE: &[libc::c_long] = &[libc::SYS_kcmp, libc::SYS_process_madvise];
#[cfg(target_arch = "x86_64")]
const FOR_SYS_RAWIO: &[libc::c_long] = &[libc::SYS_ioperm, libc::SYS_iopl];
#[cfg(target_arch = "aarch64")]
const FOR_SYS_RAWIO: &[libc::c_long] = &[];
const FOR_SYS_TIME: &[libc::c_long] = &[libc::SYS_clock_settime, libc::SYS_settimeofday];
const FOR_SYS_TTY_CONFIG: &[libc::c_long] = &[libc::SYS_vhangup];
