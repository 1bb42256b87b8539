//! The last stretch of a process in a container: terminal, directory, user, capabilities, filter,
//! and then it becomes the program. The first process and every one that joins go the same way, so
//! `exec` has what `run` has.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, Gid, Mode, OFlags, ResolveFlags, Uid, mkdirat, openat2};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Signal, chdir, chroot, fchdir, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid, umask,
};
use rustix::thread::{CapabilitySets, set_capabilities};

use super::failure::{Context, Failure, describe};
use super::spec::{self, Begin, Carried, Join, Process, Rlimit, Spec, Told};
use super::wire::{self, Status};
use super::{gate, hook, landlock, mounts, seccomp, syscalls};

mod terminal;

/// What a shell would look through if `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a process has around it beside its own specification.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Where the caller hears from us.
    status: OwnedFd,
    /// Whether it ends with the caller.
    bound: bool,
    /// What the program finds open at 3, 4, …
    passed: Vec<OwnedFd>,
    /// Where the word to start comes from, and what is run before the program then.
    gate: Option<(OwnedFd, Box<Told>)>,
}

impl Surroundings {
    /// Those of a container's first process.
    pub(super) fn of_first(
        spec: &Spec,
        carried: Vec<OwnedFd>,
        status: BorrowedFd<'_>,
    ) -> Result<Self, Failure> {
        let mut carried: Vec<_> = carried.into_iter().map(Some).collect();
        let mut around = Self::new(&spec.carried, &mut carried, status)?;
        around.bound = true;
        if let Begin::WhenTold(told) = &spec.begin {
            let gate = carried.get_mut(told.gate).and_then(Option::take);
            let gate = gate.ok_or_else(|| Failure::engine("the gate is missing"))?;
            around.gate = Some((gate, told.clone()));
        }
        Ok(around)
    }

    /// Those of one that joins.
    pub(super) fn of_joining(
        join: &Join,
        carried: Vec<OwnedFd>,
        status: BorrowedFd<'_>,
    ) -> Result<Self, Failure> {
        let mut carried: Vec<_> = carried.into_iter().map(Some).collect();
        let mut around = Self::new(&join.carried, &mut carried, status)?;
        around.bound = join.bound;
        Ok(around)
    }

    fn new(
        places: &Carried,
        carried: &mut [Option<OwnedFd>],
        status: BorrowedFd<'_>,
    ) -> Result<Self, Failure> {
        let mut take = |at: &usize| carried.get_mut(*at).and_then(Option::take);
        let passed: Vec<_> = places.passed.iter().filter_map(&mut take).collect();
        // Out of the way of what the program finds open.
        let above = i32::try_from(passed.len()).unwrap_or(i32::MAX - 3) + 3;
        let status = rustix::io::fcntl_dupfd_cloexec(status, above)
            .context(|| "too many descriptors".to_owned())?;
        Ok(Self {
            status,
            bound: false,
            passed,
            gate: None,
        })
    }

    pub(super) fn status(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }
}

/// Becomes the program with `root` as its root directory. Returns only if that can not be entered.
pub(super) fn start_below(
    root: BorrowedFd<'_>,
    process: &Process,
    around: Surroundings,
) -> Failure {
    let mut process = process.clone();
    let enter = || -> Result<(), Failure> {
        let _ = setsid();
        if let Some(size) = process.terminal {
            // Of the host's terminals: there are no others.
            terminal::open(&process, size, &around)?;
        }
        fchdir(root)
            .and_then(|()| chroot("."))
            .and_then(|()| chdir("/"))
            .context(|| "cannot enter the root file system".to_owned())
    };
    if let Err(failure) = enter() {
        return failure;
    }
    process.terminal = None;
    start(&process, around)
}

/// Becomes the program. If that fails, the caller hears of it and the process ends.
pub(super) fn start(process: &Process, mut around: Surroundings) -> ! {
    let failure = match prepare(process, &mut around) {
        Err(failure) => failure,
        Ok(()) => execute(process),
    };
    // The code says the same to a caller that waits no more.
    let code = i32::from(failure.code);
    wire::send_status(around.status(), &Status::failed(failure), None);
    syscalls::end(code)
}

fn prepare(process: &Process, around: &mut Surroundings) -> Result<(), Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())?;
    let _ = setsid();
    if let Some(size) = process.terminal {
        terminal::open(process, size, around)?;
    }
    umask(Mode::from_raw_mode(process.traits.umask.unwrap_or(0o022)));
    if process.most_descriptors {
        raise_descriptor_limit();
    }
    limit_resources(&process.rlimits)?;
    enter_directory(process)?;
    choose_profile(process)?;
    schedule(process)?;
    confine(process, around.status())?;
    pass_descriptors(around)?;
    syscalls::reset_signals();
    if around.bound {
        bind_to_caller(around.status())?;
    }
    if let Some((gate, told)) = around.gate.take() {
        locate(process)?;
        if told.new_keyring {
            // A kernel may have been built without key rings.
            let _ = syscalls::leave_keyring();
        }
        around.status = gate::wait(&gate, around.status())?;
        hook::run_all("startContainer", &told.start_hooks, &told.state())?;
    }
    if let Some(domain) = process.traits.personality {
        syscalls::set_personality(domain).context(|| "cannot set the personality".to_owned())?;
    }
    filter(process, around.status())
}

/// Nothing but standard input, output and error and what is meant for it reaches the program,
/// whatever the caller was started with.
fn pass_descriptors(around: &Surroundings) -> Result<(), Failure> {
    let placed = if around.passed.is_empty() {
        syscalls::close_on_exec_from(3)
    } else {
        let standard = [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ];
        let passed = around.passed.iter().map(AsFd::as_fd);
        let all: Vec<_> = standard.into_iter().chain(passed).collect();
        syscalls::place_descriptors(&all)
    };
    placed.context(|| "cannot place the descriptors".to_owned())
}

/// Should the caller and the guard both be killed, the kernel ends this process.
pub(super) fn bind_to_caller(status: BorrowedFd<'_>) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).context(|| "prctl".to_owned())?;
    // The kernel tells of no death that was before.
    if wire::is_closed(status) {
        std::process::exit(125);
    }
    Ok(())
}

/// Takes the way to more privileges and most system calls away, for good. Without
/// no-new-privileges that was done while there still was the capability for it. The descriptor by which
/// another process decides about system calls, if one does, is sent to `status`.
pub(super) fn filter(process: &Process, status: BorrowedFd<'_>) -> Result<(), Failure> {
    if !process.no_new_privileges {
        return Ok(());
    }
    rustix::thread::set_no_new_privs(true).context(|| "prctl".to_owned())?;
    install_filter(process, status)
}

fn install_filter(process: &Process, status: BorrowedFd<'_>) -> Result<(), Failure> {
    // Before the filter, which may know nothing of Landlock.
    landlock::restrict(process.scopes)
        .context(|| "cannot install the Landlock rules".to_owned())?;
    if process.beside_host {
        landlock::restrict_to_root().context(|| "cannot install the Landlock rules".to_owned())?;
        seccomp::install_beside_host().context(|| "cannot install a seccomp filter".to_owned())?;
    }
    let send = |listener: BorrowedFd<'_>| {
        wire::send_status(status, &Status::Listener, Some(listener));
        // Nothing of the program is done while nobody answers.
        let _ = wire::wait_for_go(status);
    };
    seccomp::install(&process.filter, process.capabilities.bounding, &send)
        .context(|| "cannot install the seccomp filter".to_owned())
}

/// Has the kernel change to this AppArmor profile when the program is executed.
fn choose_profile(process: &Process) -> Result<(), Failure> {
    let Some(profile) = &process.apparmor else {
        return Ok(());
    };
    let word = format!("exec {profile}");
    std::fs::write("/proc/self/attr/apparmor/exec", &word)
        .or_else(|_| std::fs::write("/proc/self/attr/exec", &word))
        .context(|| format!("cannot use the AppArmor profile {profile}"))
}

/// Takes its place among the other processes of the machine, as far as that was asked for.
fn schedule(process: &Process) -> Result<(), Failure> {
    if let Some(priority) = process.traits.io_priority {
        syscalls::set_io_priority(priority)
            .context(|| "cannot set the priority for input and output".to_owned())?;
    }
    if let Some(scheduler) = &process.traits.scheduler {
        syscalls::set_scheduler(scheduler).context(|| "cannot set the scheduler".to_owned())?;
    }
    if let Some(label) = &process.traits.selinux {
        std::fs::write("/proc/self/attr/exec", label)
            .context(|| format!("cannot use the SELinux label {label}"))?;
    }
    Ok(())
}

/// How readily the kernel ends this process when memory runs out. To be spared takes privilege, and
/// who has none goes without.
pub(super) fn adjust_oom_score(process: &Process) -> Result<(), Failure> {
    let Some(adjustment) = process.traits.oom_score_adjustment else {
        return Ok(());
    };
    match std::fs::write("/proc/self/oom_score_adj", adjustment.to_string()) {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied
                && !rustix::process::geteuid().is_root() =>
        {
            Ok(())
        }
        written => written.context(|| format!("cannot set oomScoreAdj to {adjustment}")),
    }
}

/// As many open files as may be had without privilege, as podman sets it.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Sets the limits that were asked for. The kernel lets nobody raise a hard one here.
pub(super) fn limit_resources(limits: &[Rlimit]) -> Result<(), Failure> {
    for limit in limits {
        let (soft, hard) = (limit.soft, limit.hard);
        let wanted = rustix::process::Rlimit {
            current: soft,
            maximum: hard,
        };
        setrlimit(number_of(limit.resource), wanted).context(|| {
            let text =
                |limit: Option<u64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
            let name = limit.resource.name();
            let most = getrlimit(number_of(limit.resource)).maximum;
            format!(
                "cannot set the limit {name}={}:{} (the most that can be had here is {})",
                text(soft),
                text(hard),
                text(most)
            )
        })?;
    }
    Ok(())
}

fn number_of(resource: spec::Resource) -> Resource {
    match resource {
        spec::Resource::As => Resource::As,
        spec::Resource::Core => Resource::Core,
        spec::Resource::Cpu => Resource::Cpu,
        spec::Resource::Data => Resource::Data,
        spec::Resource::Fsize => Resource::Fsize,
        spec::Resource::Locks => Resource::Locks,
        spec::Resource::Memlock => Resource::Memlock,
        spec::Resource::Msgqueue => Resource::Msgqueue,
        spec::Resource::Nice => Resource::Nice,
        spec::Resource::Nofile => Resource::Nofile,
        spec::Resource::Nproc => Resource::Nproc,
        spec::Resource::Rss => Resource::Rss,
        spec::Resource::Rtprio => Resource::Rtprio,
        spec::Resource::Rttime => Resource::Rttime,
        spec::Resource::Sigpending => Resource::Sigpending,
        spec::Resource::Stack => Resource::Stack,
    }
}

/// Takes the program's user, groups and capabilities, for good. `status` is that of [`filter`].
pub(super) fn confine(process: &Process, status: BorrowedFd<'_>) -> Result<(), Failure> {
    if !process.no_new_privileges {
        install_filter(process, status)?;
    }
    // All that the kernel has, also those that have no name here yet.
    for one in (0..64).map(|number| rustix::thread::CapabilitySet::from_bits_retain(1 << number)) {
        if process.capabilities.bounding.bits().contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel has no more.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error).context(|| "cannot drop a capability".to_owned()),
        }
    }
    set_groups(&process.groups)?;
    // So that the ambient ones outlive the change of user.
    rustix::thread::set_keep_capabilities(true).context(|| "prctl".to_owned())?;
    set_user(process.uid, process.gid)?;
    let capabilities = &process.capabilities;
    let sets = CapabilitySets {
        effective: capabilities.effective.bits(),
        permitted: capabilities.permitted.bits(),
        inheritable: capabilities.inheritable.bits(),
    };
    set_capabilities(None, sets).context(|| "cannot set the capabilities".to_owned())?;
    for one in capabilities.ambient.each() {
        rustix::thread::configure_capability_in_ambient_set(one, true)
            .context(|| "cannot set the ambient capabilities".to_owned())?;
    }
    // Changing the user made the process readable to others of that user again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())
}

fn set_groups(groups: &[u32]) -> Result<(), Failure> {
    let groups: Vec<_> = groups.iter().map(|&group| Gid::from_raw(group)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        // A user without subordinate ids keeps its groups: the kernel wants it so
        // (user_namespaces(7), "setgroups").
        Err(Errno::PERM) if groups_are_fixed() => Ok(()),
        other => other.context(|| "cannot set the supplementary groups".to_owned()),
    }
}

fn groups_are_fixed() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Takes a user and a group as real, effective and saved ids.
pub(super) fn set_user(uid: u32, gid: u32) -> Result<(), Failure> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(group, group, group)
        .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
        .context(|| format!("cannot become user {uid}:{gid} (is it within the mapped ids?)"))
}

/// Goes to the working directory, all inside the container's root. One that only the image names
/// is made if it is missing.
fn enter_directory(process: &Process) -> Result<(), Failure> {
    let enter = || -> io::Result<()> {
        let directory = match open_directory(&process.directory) {
            Err(Errno::NOENT) if process.make_directory => make_directories(&process.directory)?,
            opened => opened?,
        };
        Ok(fchdir(&directory)?)
    };
    enter().map_err(|error| {
        let (path, reason) = (&process.directory, describe(&error));
        Failure::not_startable(format!(
            "cannot enter the working directory {path}: {reason}"
        ))
    })
}

fn open_directory(path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // A magic link would lead out: /proc/self/fd/N (CVE-2024-21626).
    let resolve = ResolveFlags::NO_MAGICLINKS;
    openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
}

fn make_directories(path: &str) -> Result<OwnedFd, Errno> {
    let mut directory = open_directory("/")?;
    let mut walked = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        walked.push('/');
        walked.push_str(name);
        directory = match open_directory(&walked) {
            Err(Errno::NOENT) => {
                mkdirat(&directory, name, Mode::from_raw_mode(0o755))?;
                open_directory(&walked)?
            }
            opened => opened?,
        };
    }
    Ok(directory)
}

/// Finds the program and replaces this process by it.
fn execute(process: &Process) -> Failure {
    let Some(name) = process.arguments.first() else {
        return Failure::engine("no command: the image names none; give one after its name");
    };
    let strings = |list: &[String]| {
        list.iter()
            .map(|text| CString::new(text.as_str()))
            .collect()
    };
    let arguments: Result<Vec<_>, _> = strings(&process.arguments);
    let environment: Result<Vec<_>, _> = strings(&process.environment);
    let (Ok(arguments), Ok(environment)) = (arguments, environment) else {
        return Failure::engine("an argument or a variable has a NUL byte in it");
    };
    let mut refused = None;
    for path in candidates(name, &process.environment) {
        if let Err(Errno::NOENT | Errno::NOTDIR) = rustix::fs::lstat(&path) {
            continue;
        }
        if is_not_of_the_image(&path) {
            return Failure::not_startable(format!("{name} is no program of the image"));
        }
        let Ok(file) = CString::new(path.as_str()) else {
            continue;
        };
        let error = syscalls::execute(&file, &arguments, &environment);
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                return Failure::not_found(format!(
                    "{path} can not be started: its interpreter or its loader is not in the image"
                ));
            }
            io::ErrorKind::PermissionDenied => refused = Some((path, error)),
            _ => return cannot_execute(&path, &error),
        }
    }
    match refused {
        Some((path, error)) => cannot_execute(&path, &error),
        None => no_such_command(name),
    }
}

/// Whether there is something to execute, as far as that can be told without doing it: who makes a
/// container wants to know before it is started.
fn locate(process: &Process) -> Result<(), Failure> {
    let Some(name) = process.arguments.first() else {
        return Err(Failure::engine("no command: the process has no arguments"));
    };
    let mut refused = None;
    for path in candidates(name, &process.environment) {
        let is_directory = std::fs::metadata(&path).is_ok_and(|file| file.is_dir());
        match rustix::fs::access(&path, Access::EXEC_OK) {
            Ok(()) if is_directory => refused = Some(Errno::ACCESS),
            Ok(()) => return Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(cannot_execute(name, &error.into())),
        None => Err(no_such_command(name)),
    }
}

fn no_such_command(name: &str) -> Failure {
    Failure::not_found(if name.contains('/') {
        format!("{name}: no such command in the image (no such file or directory)")
    } else {
        format!("{name}: no such command in the image (executable file not found in $PATH)")
    })
}

fn cannot_execute(path: &str, error: &io::Error) -> Failure {
    Failure::not_startable(format!("{path} can not be executed: {}", describe(error)))
}

/// Where the program may be: at its path, or by its name in the directories of `PATH`.
fn candidates(name: &str, environment: &[String]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let path = environment
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| format!("{directory}/{name}"))
        .collect()
}

/// Whether `path` is a magic link of /proc, such as `/proc/self/exe`, which is this program and not
/// one of the image (CVE-2019-5736).
fn is_not_of_the_image(path: &str) -> bool {
    let of = |path: &str| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    let open = |path: &str| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
    };
    let on_proc = open(path).is_ok_and(|fd| mounts::is_on_proc(fd).is_ok_and(|proc| proc));
    on_proc || of(path).is_ok_and(|found| of("/proc/self/exe") == Ok(found))
}
