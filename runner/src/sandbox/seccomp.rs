//! The filter of system calls that every process in a container runs under (seccomp(2)).
//!
//! The profile ([`profile`]) says what happens to each system call; [`compile`] makes a program for the
//! kernel of it, at build time for the default set of capabilities. The program looks the number
//! up by binary search over runs of numbers with the same fate, which takes about a dozen
//! instructions where the usual list takes hundreds. A profile that a user brings is compiled the
//! same way ([`custom`]).

use std::io;
use std::os::fd::BorrowedFd;

use super::capability::CapabilitySet;
use super::spec::Filter;
use super::syscalls;

mod compile;
pub mod custom;
mod interpret;
pub mod listener;
mod names;
mod profile;
#[cfg(test)]
mod proof;

use compile::{ARCHITECTURE, Program, compile};
use custom::Instruction;

/// The filter of a container with podman's default capabilities, made by the compiler.
static DEFAULT: Program = compile(&profile::table(profile::Granted::DEFAULT));

/// Filters the system calls of this process and its children for good. What a capability of
/// `bounding` is for is let through by our own filter. A profile that hands system calls to another
/// process has `send` send it the descriptor for that.
pub(super) fn install(
    filter: &Filter,
    bounding: CapabilitySet,
    send: &(dyn Fn(BorrowedFd<'_>) + Sync),
) -> io::Result<()> {
    let granted = profile::Granted::of(bounding);
    match filter {
        Filter::Open => return Ok(()),
        Filter::Program(program) => syscalls::install_filter(&for_kernel(program), 0),
        Filter::Special(special) => {
            let program = for_kernel(&special.program);
            if special.listener.is_some() {
                return listener::install(&program, special.flags, send);
            }
            syscalls::install_filter(&program, special.flags)
        }
        Filter::Baked if granted == profile::Granted::DEFAULT => {
            syscalls::install_filter(DEFAULT.instructions(), 0)
        }
        Filter::Baked => {
            syscalls::install_filter(compile(&profile::table(granted)).instructions(), 0)
        }
    }
    .map(drop)
}

/// What reaches processes and memory of the host where no namespace is in between, whatever else a
/// profile says: key rings, looking into processes, signals to all of them at once, limits of others, and what
/// System V and POSIX have for exchange between processes.
const BESIDE_HOST: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"action": "SCMP_ACT_ERRNO", "errnoRet": 1, "names": [
        "add_key", "keyctl", "request_key", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise",
        "process_mrelease", "perf_event_open", "mq_open", "mq_unlink", "msgctl", "msgget", "msgrcv",
        "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmget"]},
    {"action": "SCMP_ACT_ERRNO", "errnoRet": 1, "names": ["kill"], "args": [
        {"index": 0, "value": 4294967295, "valueTwo": 4294967295, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"action": "SCMP_ACT_ERRNO", "errnoRet": 1, "names": ["prlimit64"], "args": [
        {"index": 0, "value": 0, "op": "SCMP_CMP_NE"}]}]}"#;

/// Takes from this process and its children for good what [`BESIDE_HOST`] says.
pub(super) fn install_beside_host() -> io::Result<()> {
    let program = custom::Profile::parse(BESIDE_HOST.as_bytes())
        .and_then(|profile| profile.compile(CapabilitySet::EMPTY))
        .map_err(io::Error::other)?;
    syscalls::install_filter(&for_kernel(&program), 0).map(drop)
}

fn for_kernel(program: &[Instruction]) -> Vec<libc::sock_filter> {
    program.iter().map(|one| one.for_kernel()).collect()
}

impl Instruction {
    fn for_kernel(self) -> libc::sock_filter {
        libc::sock_filter {
            code: self.0,
            jt: self.1,
            jf: self.2,
            k: self.3,
        }
    }
}

/// What a filter does to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is let through.
    Open,
    /// That depends on its arguments, or on another process that is asked.
    Examined,
    /// It fails, or ends the program.
    Shut,
}

/// What `filter` does to every system call of this architecture, by name.
#[must_use]
pub fn verdicts(filter: &Filter, bounding: CapabilitySet) -> Vec<(&'static str, Verdict)> {
    let granted = profile::Granted::of(bounding);
    let table = profile::table(granted);
    let judge = |number: u32| match filter {
        Filter::Open => Verdict::Open,
        Filter::Baked => match table.get(number as usize) {
            Some(compile::Fate::Allow) => Verdict::Open,
            Some(compile::Fate::Examine(_)) => Verdict::Examined,
            _ => Verdict::Shut,
        },
        Filter::Program(program) => judge_program(program, number),
        Filter::Special(special) => judge_program(&special.program, number),
    };
    names::all()
        .map(|(name, number)| (name, judge(number)))
        .collect()
}

/// Whether the answer is the same for arguments that could hardly be more different.
fn judge_program(program: &[Instruction], number: u32) -> Verdict {
    let samples = [[0; 6], [u64::MAX; 6], [1; 6], [0x1000_0000; 6]];
    let answers =
        samples.map(|arguments| interpret::interpret(program, ARCHITECTURE, number, arguments));
    let is_open = |answer: &u32| [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG].contains(answer);
    if answers.contains(&libc::SECCOMP_RET_USER_NOTIF) {
        return Verdict::Examined;
    }
    match answers.iter().filter(|answer| is_open(answer)).count() {
        0 => Verdict::Shut,
        count if count == answers.len() => Verdict::Open,
        _ => Verdict::Examined,
    }
}
