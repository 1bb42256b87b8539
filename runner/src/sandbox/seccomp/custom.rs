//! Profiles that a user brings: the JSON of podman and docker, and of the runtime specification
//! (config-linux.md, "Seccomp"), compiled to a program of the kernel's.
//!
//! What is compiled is kept in the container's record, so the file is read once and may change.

use std::collections::BTreeMap;

use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD};
use libc::{BPF_RET, BPF_W};
use serde::{Deserialize, Serialize};

use super::super::capability::CapabilitySet;
use super::super::spec::{Filter, SpecialFilter};
use super::compile::{ARCH, ARCHITECTURE, NUMBER};
use super::listener::Listener;
use super::names;

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

/// The offset of the first argument in `struct seccomp_data`; each has eight bytes, the low half first.
const ARGUMENTS: u32 = 16;

/// One instruction: code, jump if true, jump if false, value (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction(pub u16, pub u8, pub u8, pub u32);

/// A profile as it is written. Unknown fields are refused: a filter that is misread is a hole.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    default_action: Action,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    #[allow(dead_code, reason = "the number stands in defaultErrnoRet")]
    default_errno: Option<String>,
    /// Only system calls of this machine's own architecture are ever let through.
    #[serde(default)]
    #[allow(dead_code, reason = "read so that it is no unknown field")]
    arch_map: Vec<serde_json::Value>,
    #[serde(default)]
    #[allow(dead_code, reason = "read so that it is no unknown field")]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    /// An older form of `names`.
    #[serde(default)]
    name: Option<String>,
    action: Action,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    #[allow(dead_code, reason = "the number stands in errnoRet")]
    errno: Option<String>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    #[allow(dead_code, reason = "for people")]
    comment: Option<String>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

/// When a rule counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Condition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_NE")]
    Differs,
    #[serde(rename = "SCMP_CMP_LT")]
    Below,
    #[serde(rename = "SCMP_CMP_LE")]
    AtMost,
    #[serde(rename = "SCMP_CMP_GE")]
    AtLeast,
    #[serde(rename = "SCMP_CMP_GT")]
    Above,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// Why a profile can not be used.
#[derive(Debug, thiserror::Error)]
pub enum BadProfile {
    /// It is no JSON of this form.
    #[error("it is no seccomp profile: {0}")]
    Json(#[from] serde_json::Error),
    /// An argument that no system call has.
    #[error("argument {0} of a system call: they are numbered from 0 to 5")]
    Argument(u32),
    /// A way to install it that there is not.
    #[error("its flag \"{}\" is unknown", .0.escape_debug())]
    Flag(String),
    /// Nobody is named who would be asked.
    #[error(
        "it has SCMP_ACT_NOTIFY and no listenerPath: add \"listenerPath\", the socket of the process that decides"
    )]
    NoListener,
    /// More than the kernel takes.
    #[error("it becomes too long for the kernel, which takes {LONGEST} instructions")]
    TooLong,
}

/// What happens to a system call: the first of the rules whose arguments fit, or else the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fate {
    rules: Vec<(Vec<Comparison>, u32)>,
    otherwise: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Comparison {
    index: u32,
    operator: Operator,
    value: u64,
    mask: u64,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`BadProfile::Json`].
    pub fn parse(text: &[u8]) -> Result<Self, BadProfile> {
        Ok(serde_json::from_slice(text)?)
    }

    /// The filter of a process with these capabilities.
    ///
    /// # Errors
    /// [`BadProfile`].
    pub fn filter(&self, bounding: CapabilitySet) -> Result<Filter, BadProfile> {
        let program = self.compile(bounding)?;
        let flags = self.flags()?;
        // Only the rules that count for these capabilities are in the program.
        let asks = program.contains(&give(libc::SECCOMP_RET_USER_NOTIF));
        let listener = asks.then(|| self.listener()).transpose()?;
        if flags == 0 && listener.is_none() {
            return Ok(Filter::Program(program));
        }
        Ok(Filter::Special(Box::new(SpecialFilter {
            program,
            flags,
            listener,
        })))
    }

    /// Who is asked about the calls that it hands over.
    fn listener(&self) -> Result<Listener, BadProfile> {
        let path = self.listener_path.clone().unwrap_or_default();
        match path.as_str() {
            "" => Err(BadProfile::NoListener),
            _ => Ok(Listener {
                path: path.into(),
                metadata: self.listener_metadata.clone().unwrap_or_default(),
            }),
        }
    }

    /// How it is installed (seccomp(2)).
    fn flags(&self) -> Result<u64, BadProfile> {
        let mut flags = 0;
        for name in self.flags.iter().flatten() {
            flags |= match name.as_str() {
                // One thread installs it, before there is another that runs a program.
                "SECCOMP_FILTER_FLAG_TSYNC" => 0,
                "SECCOMP_FILTER_FLAG_LOG" => libc::SECCOMP_FILTER_FLAG_LOG,
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => {
                    libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
                }
                _ => return Err(BadProfile::Flag(name.clone())),
            };
        }
        Ok(flags)
    }

    /// Compiles it for a process with these capabilities.
    ///
    /// # Errors
    /// [`BadProfile`].
    pub fn compile(&self, bounding: CapabilitySet) -> Result<Vec<Instruction>, BadProfile> {
        let default = returned(self.default_action, self.default_errno_ret);
        let mut fates: BTreeMap<u32, Fate> = BTreeMap::new();
        for rule in self.syscalls.iter().flatten() {
            if !rule.counts(bounding) {
                continue;
            }
            let action = returned(rule.action, rule.errno_ret);
            let variants = rule.variants()?;
            for name in rule.names.iter().chain(&rule.name) {
                // What this kernel's architecture does not have can not be called.
                let Some(number) = names::number(name) else {
                    continue;
                };
                let fate = fates.entry(number).or_insert(Fate {
                    rules: Vec::new(),
                    otherwise: default,
                });
                match variants.as_slice() {
                    [] => fate.otherwise = action,
                    some => fate
                        .rules
                        .extend(some.iter().map(|list| (list.clone(), action))),
                }
            }
        }
        assemble(&runs(&fates, default))
    }
}

impl Rule {
    /// Whether it is meant for a process with these capabilities on this machine.
    fn counts(&self, bounding: CapabilitySet) -> bool {
        let has =
            |name: &String| CapabilitySet::parse(name).is_some_and(|one| bounding.contains(one));
        let here = |name: &String| {
            ["SCMP_ARCH_", ""].iter().any(|prefix| {
                let known = if cfg!(target_arch = "x86_64") {
                    ["amd64", "X86_64"]
                } else {
                    ["arm64", "AARCH64"]
                };
                name.strip_prefix(prefix)
                    .is_some_and(|name| known.contains(&name))
            })
        };
        let included = self.includes.as_ref().is_none_or(|condition| {
            condition
                .caps
                .as_ref()
                .is_none_or(|caps| caps.iter().all(has))
                && condition
                    .arches
                    .as_ref()
                    .is_none_or(|arches| arches.is_empty() || arches.iter().any(here))
                && condition.min_kernel.as_deref().is_none_or(kernel_is)
        });
        let excluded = self.excludes.as_ref().is_some_and(|condition| {
            condition.caps.iter().flatten().any(has)
                || condition.arches.iter().flatten().any(here)
                || condition.min_kernel.as_deref().is_some_and(kernel_is)
        });
        included && !excluded
    }

    /// The conditions under which it holds; none for a rule that always does. An argument that is
    /// named twice makes two rules of one, as the other runtimes have it.
    fn variants(&self) -> Result<Vec<Vec<Comparison>>, BadProfile> {
        let mut all = Vec::new();
        for argument in self.args.iter().flatten() {
            if argument.index > 5 {
                return Err(BadProfile::Argument(argument.index));
            }
            let (value, mask) = match argument.op {
                Operator::MaskedEqual => (argument.value_two, argument.value),
                _ => (argument.value, u64::MAX),
            };
            all.push(Comparison {
                index: argument.index,
                operator: argument.op,
                value,
                mask,
            });
        }
        let repeats =
            |one: &Comparison| all.iter().filter(|two| two.index == one.index).count() > 1;
        Ok(match all.iter().any(repeats) {
            true => all.into_iter().map(|one| vec![one]).collect(),
            false if all.is_empty() => Vec::new(),
            false => vec![all],
        })
    }
}

/// Whether this kernel is at least `version`.
fn kernel_is(version: &str) -> bool {
    let numbers = |text: &str| -> (u32, u32) {
        let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    numbers(&rustix::system::uname().release().to_string_lossy()) >= numbers(version)
}

/// What the program returns for an action (seccomp(2)). EPERM is the number that the runtimes use when
/// a profile names none.
fn returned(action: Action, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(1) & 0xffff;
    match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno => libc::SECCOMP_RET_ERRNO | data,
        Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Trace => libc::SECCOMP_RET_TRACE | data,
        Action::Log => libc::SECCOMP_RET_LOG,
        Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
    }
}

/// Runs of neighbouring numbers with the same fate; the last one goes on for ever.
fn runs(fates: &BTreeMap<u32, Fate>, default: u32) -> Vec<(u32, Fate)> {
    let plain = Fate {
        rules: Vec::new(),
        otherwise: default,
    };
    let mut runs: Vec<(u32, Fate)> = vec![(0, plain.clone())];
    let mut begin = |number: u32, fate: &Fate| match runs.last_mut() {
        Some((_, last)) if last == fate => {}
        Some((first, last)) if *first == number => *last = fate.clone(),
        _ => runs.push((number, fate.clone())),
    };
    for (number, fate) in fates {
        begin(*number, fate);
        if !fates.contains_key(&(number + 1)) {
            begin(number + 1, &plain);
        }
    }
    runs
}

fn assemble(runs: &[(u32, Fate)]) -> Result<Vec<Instruction>, BadProfile> {
    let mut code = vec![
        load(ARCH),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        // Another architecture's numbers mean other calls: programs fall back, as on a kernel
        // without it.
        give(libc::SECCOMP_RET_ERRNO | 38),
        load(NUMBER),
    ];
    search(&mut code, runs);
    match code.len() {
        0..=LONGEST => Ok(code),
        _ => Err(BadProfile::TooLong),
    }
}

/// One comparison with the middle, the lower half, the upper half.
fn search(code: &mut Vec<Instruction>, runs: &[(u32, Fate)]) {
    let middle = runs.len() / 2;
    if middle == 0 {
        if let Some((_, fate)) = runs.first() {
            decide(code, fate);
        }
        return;
    }
    // A conditional jump reaches 255 instructions, and a half can be longer.
    code.push(jump(BPF_JGE, runs[middle].0, 0, 1));
    let at = code.len();
    code.push(go(0));
    search(code, &runs[..middle]);
    code[at] = go(code.len() - at - 1);
    search(code, &runs[middle..]);
}

fn decide(code: &mut Vec<Instruction>, fate: &Fate) {
    for (comparisons, action) in &fate.rules {
        // Each comparison falls through if it fits, and goes to the next rule if it does not.
        let mut misses = Vec::new();
        for comparison in comparisons {
            compare(code, *comparison, &mut misses);
        }
        code.push(give(*action));
        for miss in misses {
            code[miss] = go(code.len() - miss - 1);
        }
    }
    code.push(give(fate.otherwise));
}

/// Compares 64 bits by halves. Every way to a miss ends at an unconditional jump, whose position is noted.
fn compare(code: &mut Vec<Instruction>, what: Comparison, misses: &mut Vec<usize>) {
    let (low, high) = (ARGUMENTS + 8 * what.index, ARGUMENTS + 8 * what.index + 4);
    let half = |code: &mut Vec<Instruction>, offset, mask: u32| {
        code.push(load(offset));
        if mask != u32::MAX {
            code.push(instruction(BPF_ALU | BPF_AND | BPF_K, mask, 0, 0));
        }
    };
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = |number: u64| ((number >> 32) as u32, number as u32);
    let (value_high, value_low) = halves(what.value);
    let (mask_high, mask_low) = halves(what.mask);
    let mut miss = |code: &mut Vec<Instruction>| {
        misses.push(code.len());
        code.push(go(0));
    };
    half(code, high, mask_high);
    match what.operator {
        Operator::Equal | Operator::MaskedEqual => {
            code.push(jump(BPF_JEQ, value_high, 1, 0));
            miss(code);
            half(code, low, mask_low);
            code.push(jump(BPF_JEQ, value_low, 1, 0));
            miss(code);
        }
        Operator::Differs => {
            // Another high half is enough: over the three that look at the low one.
            code.push(jump(BPF_JEQ, value_high, 0, 3));
            half(code, low, mask_low);
            code.push(jump(BPF_JEQ, value_low, 0, 1));
            miss(code);
        }
        Operator::Above | Operator::AtLeast => {
            let at_low = match what.operator {
                Operator::Above => BPF_JGT,
                _ => BPF_JGE,
            };
            code.push(jump(BPF_JGT, value_high, 5, 0));
            code.push(jump(BPF_JEQ, value_high, 1, 0));
            miss(code);
            half(code, low, mask_low);
            code.push(jump(at_low, value_low, 1, 0));
            miss(code);
        }
        Operator::Below | Operator::AtMost => {
            let at_low = match what.operator {
                Operator::Below => BPF_JGE,
                _ => BPF_JGT,
            };
            // Below in the high half is enough, above in it is too much.
            code.push(jump(BPF_JGE, value_high, 0, 5));
            code.push(jump(BPF_JEQ, value_high, 1, 0));
            miss(code);
            half(code, low, mask_low);
            code.push(jump(at_low, value_low, 0, 1));
            miss(code);
        }
    }
}

fn load(offset: u32) -> Instruction {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn jump(kind: u32, value: u32, yes: u8, no: u8) -> Instruction {
    instruction(BPF_JMP | kind | BPF_K, value, yes, no)
}

fn go(distance: usize) -> Instruction {
    let distance = u32::try_from(distance).unwrap_or(u32::MAX);
    instruction(BPF_JMP | BPF_JA, distance, 0, 0)
}

fn give(action: u32) -> Instruction {
    instruction(BPF_RET | BPF_K, action, 0, 0)
}

fn instruction(code: u32, value: u32, yes: u8, no: u8) -> Instruction {
    Instruction(u16::try_from(code).unwrap_or(u16::MAX), yes, no, value)
}

#[cfg(test)]
mod tests;
