//! Runs a filter as the kernel would, to tell what it lets through.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET,
    BPF_W,
};

use super::compile::{ARCH, NUMBER};
use super::custom::Instruction;

/// What the filter returns for this system call (seccomp(2), "SECCOMP_RET_…"). An instruction that our
/// filters do not have ends the process, as the kernel's answer to a broken filter would.
#[must_use]
pub(super) fn interpret(code: &[Instruction], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let (mut at, mut register) = (0, 0_u32);
    while let Some(Instruction(kind, yes, no, value)) = code.get(at) {
        at += 1;
        let branch = |holds: bool| usize::from(if holds { *yes } else { *no });
        match u32::from(*kind) {
            kind if kind == BPF_LD | BPF_W | BPF_ABS => {
                register = match *value {
                    NUMBER => number,
                    ARCH => arch,
                    offset => half(arguments, offset),
                }
            }
            kind if kind == BPF_ALU | BPF_AND | BPF_K => register &= value,
            kind if kind == BPF_JMP | BPF_JA => at += *value as usize,
            kind if kind == BPF_JMP | BPF_JEQ | BPF_K => at += branch(register == *value),
            kind if kind == BPF_JMP | BPF_JGE | BPF_K => at += branch(register >= *value),
            kind if kind == BPF_JMP | BPF_JGT | BPF_K => at += branch(register > *value),
            kind if kind == BPF_RET | BPF_K => return *value,
            _ => break,
        }
    }
    libc::SECCOMP_RET_KILL_PROCESS
}

/// Half an argument at an offset of `struct seccomp_data`.
fn half(arguments: [u64; 6], offset: u32) -> u32 {
    let at = offset.saturating_sub(16);
    let argument = arguments.get(at as usize / 8).copied().unwrap_or(0);
    let shift = if at % 8 == 4 { 32 } else { 0 };
    #[allow(clippy::cast_possible_truncation, reason = "the half that is wanted")]
    let found = (argument >> shift) as u32;
    found
}
