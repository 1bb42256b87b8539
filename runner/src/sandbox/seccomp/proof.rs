//! Proof that the filter that was compiled with this program says what its profile says: for every
//! number of a system call and every value that it compares an argument with, and those beside it.

use super::super::capability::CapabilitySet;
use super::compile::{ARCHITECTURE, Check, Fate, Program, compile};
use super::custom::Instruction;
use super::interpret::interpret;
use super::profile::{Granted, table};
use super::{DEFAULT, names};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

fn refusal(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | error.cast_unsigned()
}

/// What the profile says, in words of its own.
fn said(fate: Fate, [first, second, third, ..]: [u64; 6]) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel takes 32 bits of each"
    )]
    let (first, second, third) = (first as u32, second as u32, third as u32);
    let allow_if = |holds| if holds { ALLOW } else { refusal(libc::EPERM) };
    match fate {
        Fate::Allow => ALLOW,
        Fate::Refuse(error) => refusal(error.into()),
        Fate::Examine(Check::NoBits(bits)) => allow_if(first & bits == 0),
        Fate::Examine(Check::Personality) => {
            allow_if([0, 8, 0x2_0000, 0x2_0008, u32::MAX].contains(&first))
        }
        Fate::Examine(Check::Terminal) => allow_if(![0x5412, 0x541c].contains(&second)),
        Fate::Examine(Check::Socket { packet, audit }) => match (first, third) {
            (38 | 40, _) => refusal(libc::EPERM),
            (17, _) => allow_if(packet),
            (16, 9) if !audit => refusal(libc::EINVAL),
            _ => ALLOW,
        },
    }
}

/// Every value that a filter of ours compares an argument with.
const COMPARED: [u64; 14] = [
    0,
    8,
    9,
    16,
    17,
    38,
    40,
    0x80,
    0x5412,
    0x541c,
    0x2_0000,
    0x2_0008,
    0x7e02_0000,
    0xffff_ffff,
];

/// Those, their neighbours, and every bit alone.
fn values() -> Vec<u64> {
    let beside = COMPARED
        .iter()
        .flat_map(|value: &u64| [value.wrapping_sub(1), *value, value + 1]);
    beside.chain((0..64).map(|bit| 1 << bit)).collect()
}

fn prove(program: &Program, granted: Granted) {
    let code: Vec<Instruction> = program
        .instructions()
        .iter()
        .map(|one| Instruction(one.code, one.jt, one.jf, one.k))
        .collect();
    let values = values();
    for (number, fate) in (0..).zip(table(granted)) {
        // Which argument is looked at depends on the call: each value stands at each of the three.
        let samples: Vec<[u64; 6]> = match fate {
            Fate::Examine(_) => values
                .iter()
                .flat_map(|one| {
                    COMPARED.map(|two| [[*one, *one, two, 0, 0, 0], [two, two, *one, 0, 0, 0]])
                })
                .flatten()
                .collect(),
            _ => vec![[0; 6], [u64::MAX; 6]],
        };
        for arguments in samples {
            let found = interpret(&code, ARCHITECTURE, number, arguments);
            assert_eq!(
                found,
                said(fate, arguments),
                "system call {number} {arguments:x?}"
            );
        }
    }
    for number in [512, 1000, 0x4000_0000, 0x4000_0001, u32::MAX] {
        assert_eq!(
            interpret(&code, ARCHITECTURE, number, [0; 6]),
            refusal(libc::ENOSYS)
        );
    }
    // 32-bit programs of amd64 and arm64, and the other one of the two.
    for arch in [0x4000_0003, 0x4000_0028, ARCHITECTURE ^ 0x89, 0] {
        for number in 0..512 {
            assert_eq!(
                interpret(&code, arch, number, [0; 6]),
                refusal(libc::ENOSYS)
            );
        }
    }
}

#[test]
fn the_filter_that_was_compiled_with_this_program_says_what_its_profile_says() {
    prove(&DEFAULT, Granted::DEFAULT);
}

#[test]
fn so_does_the_filter_for_each_capability_and_for_all_of_them() {
    let default = CapabilitySet::container_default();
    let names = CapabilitySet::all().names();
    let each = names.iter().filter_map(|name| CapabilitySet::parse(name));
    let each = each.map(|one| default.union(one));
    for set in each.chain([CapabilitySet::all(), CapabilitySet::EMPTY]) {
        let granted = Granted::of(set);
        prove(&compile(&table(granted)), granted);
    }
}

#[test]
fn no_call_that_reaches_beyond_the_container_is_open_whatever_it_may_do() {
    let all = table(Granted::of(CapabilitySet::all()));
    for name in [
        "add_key",
        "keyctl",
        "request_key",
        "kexec_load",
        "kexec_file_load",
        "swapon",
        "swapoff",
        "userfaultfd",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
    ] {
        let number = names::number(name).unwrap();
        assert!(matches!(all[number as usize], Fate::Refuse(_)), "{name}");
    }
}
