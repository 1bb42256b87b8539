//! Which devices the processes of a group may open or make (config-linux.md, "Allowed Device list").
//!
//! The first version of cgroups is told in lines. In the second a program at the group decides
//! (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`), which is put together here.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::failure::{Context, Failure};
use super::super::syscalls;

/// A rule about devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Whether it opens or closes.
    pub allow: bool,
    /// For which kind.
    pub kind: DeviceKind,
    /// For which number; `None` is any.
    pub major: Option<u32>,
    /// For which number; `None` is any.
    pub minor: Option<u32>,
    /// For what: some of `r`, `w` and `m` (make).
    pub access: String,
}

/// The kind of device that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Both.
    All,
    /// Character devices.
    Character,
    /// Block devices.
    Block,
}

/// The files of the first version, and what is written to each.
pub(super) fn lines(rules: &[DeviceRule]) -> Vec<(&'static str, String)> {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let line = |rule: &DeviceRule| {
        let file = if rule.allow {
            "devices.allow"
        } else {
            "devices.deny"
        };
        let kind = match rule.kind {
            // For everything there is a word of its own, and it closes and opens all at once.
            DeviceKind::All if is_everything(rule) => return (file, "a".to_owned()),
            DeviceKind::All => "a",
            DeviceKind::Character => "c",
            DeviceKind::Block => "b",
        };
        let (major, minor) = (number(rule.major), number(rule.minor));
        (file, format!("{kind} {major}:{minor} {}", rule.access))
    };
    rules.iter().map(line).collect()
}

fn is_everything(rule: &DeviceRule) -> bool {
    rule.major.is_none() && rule.minor.is_none() && access_bits(rule) == ALL_ACCESS
}

/// Puts a program that knows `rules` at the group `folder` of the second version.
pub(super) fn attach(folder: &Path, rules: &[DeviceRule]) -> Result<(), Failure> {
    let what = || format!("cannot close devices for the cgroup {}", folder.display());
    let group = File::open(folder).context(what)?;
    syscalls::attach_device_filter(group.as_fd(), &program(rules)).context(what)
}

// linux/bpf.h: bits of the access in the upper half of the first word, the kind in the lower.
const MAKE: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL_ACCESS: u32 = MAKE | READ | WRITE;
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

fn access_bits(rule: &DeviceRule) -> u32 {
    let bit = |letter, bit| if rule.access.contains(letter) { bit } else { 0 };
    bit('m', MAKE) | bit('r', READ) | bit('w', WRITE)
}

/// An instruction: code, registers, offset and number (Documentation/bpf/standardization).
const fn instruction(code: u8, registers: u8, offset: i16, number: u32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = number.to_le_bytes();
    u64::from_le_bytes([code, registers, low, high, a, b, c, d])
}

const LOAD: u8 = 0x61; // dst = *(u32 *)(src + offset)
const COPY: u8 = 0xbc; // 32-bit dst = src
const SET: u8 = 0xb7; // dst = number
const AND: u8 = 0x54; // 32-bit dst &= number
const SHIFT: u8 = 0x74; // 32-bit dst >>= number
const SKIP_UNLESS: u8 = 0x55; // if dst != number, jump
const SKIP_IF: u8 = 0x15; // if dst == number, jump
const END: u8 = 0x95;

/// The registers: 1 is what is asked about; then what is read of that.
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 0;

/// The program: the last rule that fits decides, so it is asked first.
fn program(rules: &[DeviceRule]) -> Vec<u64> {
    let from = |register: u8| 0x10 | register;
    let mut code = vec![
        instruction(LOAD, from(KIND), 0, 0),
        instruction(COPY, KIND << 4 | ACCESS, 0, 0),
        instruction(AND, KIND, 0, 0xffff),
        instruction(SHIFT, ACCESS, 0, 16),
        instruction(LOAD, from(MAJOR), 4, 0),
        instruction(LOAD, from(MINOR), 8, 0),
    ];
    for rule in rules.iter().rev() {
        code.extend(one_rule(rule));
    }
    code.push(instruction(SET, 0, 0, 0));
    code.push(instruction(END, 0, 0, 0));
    code
}

fn one_rule(rule: &DeviceRule) -> Vec<u64> {
    /// A comparison that leaves the rule if it fails: code, register, number.
    type Test = (u8, u8, u32);
    let mut tests: Vec<Test> = Vec::new();
    match rule.kind {
        DeviceKind::All => {}
        DeviceKind::Character => tests.push((SKIP_UNLESS, KIND, CHARACTER)),
        DeviceKind::Block => tests.push((SKIP_UNLESS, KIND, BLOCK)),
    }
    let numbers = [(MAJOR, rule.major), (MINOR, rule.minor)];
    tests.extend(
        numbers
            .iter()
            .filter_map(|(register, number)| Some((SKIP_UNLESS, *register, (*number)?))),
    );
    // An opening rule has to cover all that is asked for, a closing one any of it.
    let bits = access_bits(rule);
    let (mask, test) = if rule.allow {
        (!bits & ALL_ACCESS, SKIP_UNLESS)
    } else {
        (bits, SKIP_IF)
    };
    let masked = [
        instruction(COPY, ACCESS << 4 | SCRATCH, 0, 0),
        instruction(AND, SCRATCH, 0, mask),
    ];
    let length = tests.len() + masked.len() + 3;
    let mut code = Vec::new();
    let leave = |at: usize| i16::try_from(length - at - 1).unwrap_or(0);
    for (kind, register, number) in tests {
        code.push(instruction(kind, register, leave(code.len()), number));
    }
    code.extend(masked);
    code.push(instruction(test, SCRATCH, leave(code.len()), 0));
    code.push(instruction(SET, 0, 0, u32::from(rule.allow)));
    code.push(instruction(END, 0, 0, 0));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: DeviceKind, numbers: (u32, u32), access: &str) -> DeviceRule {
        DeviceRule {
            allow,
            kind,
            major: Some(numbers.0),
            minor: Some(numbers.1),
            access: access.to_owned(),
        }
    }

    /// Runs a program as the kernel would.
    fn run(program: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
        let (mut registers, mut at) = ([0_u64; 11], 0);
        loop {
            let [code, pair, low, high, a, b, c, d] = program[at].to_le_bytes();
            let number = u64::from(u32::from_le_bytes([a, b, c, d]));
            let offset = i16::from_le_bytes([low, high]);
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            at += 1;
            let mut jump =
                |taken: bool| at += usize::from(taken) * usize::try_from(offset).unwrap();
            match code {
                LOAD => {
                    registers[to] = u64::from(
                        [access << 16 | kind, major, minor][usize::try_from(offset / 4).unwrap()],
                    )
                }
                COPY => registers[to] = registers[from],
                SET => registers[to] = number,
                AND => registers[to] &= number,
                SHIFT => registers[to] >>= number,
                SKIP_UNLESS => jump(registers[to] != number),
                SKIP_IF => jump(registers[to] == number),
                END => return registers[0],
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let everything = DeviceRule {
            allow: false,
            kind: DeviceKind::All,
            major: None,
            minor: None,
            access: "rwm".to_owned(),
        };
        let rules = [
            everything,
            rule(true, DeviceKind::Character, (1, 3), "rw"),
            rule(true, DeviceKind::Block, (8, 0), "rwm"),
            rule(false, DeviceKind::Block, (8, 0), "w"),
        ];
        let code = program(&rules);
        for (kind, access, major, minor, expected) in [
            (CHARACTER, READ, 1, 3, 1),
            (CHARACTER, READ | WRITE, 1, 3, 1),
            (CHARACTER, MAKE, 1, 3, 0),
            (CHARACTER, READ, 1, 5, 0),
            (BLOCK, READ, 1, 3, 0),
            (BLOCK, READ, 8, 0, 1),
            (BLOCK, READ | WRITE, 8, 0, 0),
        ] {
            assert_eq!(
                run(&code, kind, access, major, minor),
                expected,
                "{kind} {access} {major}:{minor}"
            );
        }
        let text: Vec<_> = lines(&rules).into_iter().map(|(_, line)| line).collect();
        assert_eq!(text, ["a", "c 1:3 rw", "b 8:0 rwm", "b 8:0 w"]);
    }
}
