//! From the fate of each system call to a program of the kernel's packet filter machine
//! (seccomp(2), `linux/filter.h`).

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, sock_filter,
};

/// System calls are numbered below this; what is above does not exist yet.
pub(super) const NUMBERS: usize = 512;

/// The longest program that any profile compiles to, with room.
const LONGEST: usize = 1024;

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It does what it does.
    Allow,
    /// It fails with this error number.
    Refuse(u16),
    /// It depends on its arguments.
    Examine(Check),
}

/// Which arguments are examined, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// EPERM if the first argument has one of these bits.
    NoBits(u32),
    /// `socket(2)`: families and protocols that are closed, but for those named here.
    Socket {
        /// Whether raw packets are open (`CAP_NET_RAW`).
        packet: bool,
        /// Whether the audit system is open (`CAP_AUDIT_WRITE`).
        audit: bool,
    },
    /// `personality(2)`: only those that change no protection.
    Personality,
    /// `ioctl(2)`: no typing into terminals.
    Terminal,
}

/// The fate of every system call by its number.
pub(super) type Table = [Fate; NUMBERS];

/// A finished program.
#[derive(Debug)]
pub(super) struct Program {
    code: [sock_filter; LONGEST],
    length: usize,
}

/// How the kernel calls this architecture (`AUDIT_ARCH_…`, linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
/// How the kernel calls this architecture (`AUDIT_ARCH_…`, linux/audit.h).
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`; of an argument its low half (little-endian).
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCH: u32 = 4;
const ARGUMENT: [u32; 3] = [16, 24, 32];

impl Program {
    pub(super) fn instructions(&self) -> &[sock_filter] {
        &self.code[..self.length]
    }

    const fn new() -> Self {
        let nothing = sock_filter {
            code: 0,
            jt: 0,
            jf: 0,
            k: 0,
        };
        Self {
            code: [nothing; LONGEST],
            length: 0,
        }
    }

    const fn push(&mut self, code: u32, k: u32, jt: usize, jf: usize) {
        assert!(jt < 256 && jf < 256, "a jump is too long");
        #[allow(
            clippy::cast_possible_truncation,
            reason = "checked above; codes have 16 bits"
        )]
        let instruction = sock_filter {
            code: code as u16,
            jt: jt as u8,
            jf: jf as u8,
            k,
        };
        self.code[self.length] = instruction;
        self.length += 1;
    }

    const fn load(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
    }

    const fn jump_if_equal(&mut self, value: u32, yes: usize, no: usize) {
        self.push(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no);
    }

    const fn allow(&mut self) {
        self.push(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    }

    const fn refuse(&mut self, error: u16) {
        self.push(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error as u32, 0, 0);
    }
}

/// A run of neighbouring numbers with the same fate.
#[derive(Clone, Copy)]
struct Run {
    first: u32,
    fate: Fate,
}

/// Compiles `table`. Every number above it is refused with ENOSYS, and so is every system call of
/// another architecture: programs then fall back to what they know.
pub(super) const fn compile(table: &Table) -> Program {
    let mut program = Program::new();
    program.load(ARCH);
    program.jump_if_equal(ARCHITECTURE, 1, 0);
    program.refuse(no_such_call());
    program.load(NUMBER);
    let (runs, count) = runs(table);
    search(&mut program, &runs, 0, count);
    program
}

const fn no_such_call() -> u16 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is 38"
    )]
    let number = libc::ENOSYS as u16;
    number
}

const fn runs(table: &Table) -> ([Run; NUMBERS + 1], usize) {
    #[allow(clippy::cast_possible_truncation, reason = "it is 512")]
    let first = NUMBERS as u32;
    let end = Run {
        first,
        fate: Fate::Refuse(no_such_call()),
    };
    let mut runs = [end; NUMBERS + 1];
    let (mut count, mut number) = (0, 0);
    while number < NUMBERS {
        if number == 0 || !same(table[number], table[number - 1]) {
            #[allow(clippy::cast_possible_truncation, reason = "below 512")]
            let first = number as u32;
            runs[count] = Run {
                first,
                fate: table[number],
            };
            count += 1;
        }
        number += 1;
    }
    // The end is a run of its own unless the last one has its fate already.
    if same(runs[count - 1].fate, end.fate) {
        (runs, count)
    } else {
        runs[count] = end;
        (runs, count + 1)
    }
}

const fn same(one: Fate, other: Fate) -> bool {
    match (one, other) {
        (Fate::Allow, Fate::Allow) => true,
        (Fate::Refuse(one), Fate::Refuse(other)) => one == other,
        _ => false,
    }
}

/// Writes the search over `runs[from..to]`: one comparison with the middle, the lower half, the
/// upper half.
const fn search(program: &mut Program, runs: &[Run; NUMBERS + 1], from: usize, to: usize) {
    if to - from == 1 {
        decide(program, runs[from].fate);
        return;
    }
    let middle = usize::midpoint(from, to);
    // A conditional jump reaches 255 instructions, and a half can be longer: the way to the upper
    // half goes through an unconditional one.
    program.push(BPF_JMP | BPF_JGE | BPF_K, runs[middle].first, 0, 1);
    let jump = program.length;
    program.push(BPF_JMP | BPF_JA, 0, 0, 0);
    search(program, runs, from, middle);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a program has at most 1,024"
    )]
    let distance = (program.length - jump - 1) as u32;
    program.code[jump].k = distance;
    search(program, runs, middle, to);
}

const fn decide(program: &mut Program, fate: Fate) {
    match fate {
        Fate::Allow => program.allow(),
        Fate::Refuse(error) => program.refuse(error),
        Fate::Examine(Check::NoBits(bits)) => {
            program.load(ARGUMENT[0]);
            program.push(BPF_ALU | BPF_AND | BPF_K, bits, 0, 0);
            program.jump_if_equal(0, 0, 1);
            program.allow();
            program.refuse(not_permitted());
        }
        Fate::Examine(Check::Socket { packet, audit }) => socket(program, packet, audit),
        Fate::Examine(Check::Personality) => personality(program),
        Fate::Examine(Check::Terminal) => {
            program.load(ARGUMENT[1]);
            program.jump_if_equal(TIOCSTI, 2, 0);
            program.jump_if_equal(TIOCLINUX, 1, 0);
            program.allow();
            program.refuse(not_permitted());
        }
    }
}

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

const fn not_permitted() -> u16 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is 1"
    )]
    let number = libc::EPERM as u16;
    number
}

/// Kernel crypto, virtual machine and raw packet sockets are closed; the netlink protocol of the
/// audit system answers as if the kernel had none, which libaudit takes for "off".
const fn socket(program: &mut Program, packet: bool, audit: bool) {
    /// In place of an open family it is compared with once more, which changes nothing.
    const ALG: u32 = 38;
    const VSOCK: u32 = 40;
    const PACKET: u32 = 17;
    const NETLINK: u32 = 16;
    const AUDIT: u32 = 9;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is 22"
    )]
    let invalid = libc::EINVAL as u16;
    program.load(ARGUMENT[0]);
    program.jump_if_equal(ALG, 7, 0);
    program.jump_if_equal(VSOCK, 6, 0);
    program.jump_if_equal(if packet { ALG } else { PACKET }, 5, 0);
    program.jump_if_equal(if audit { ALG } else { NETLINK }, 0, 3);
    program.load(ARGUMENT[2]);
    program.jump_if_equal(AUDIT, 0, 1);
    program.refuse(invalid);
    program.allow();
    program.refuse(not_permitted());
}

/// The personalities that podman's profile lets through: Linux, 32-bit `uname`, BSD's and both,
/// and the question for the present one.
const fn personality(program: &mut Program) {
    program.load(ARGUMENT[0]);
    program.jump_if_equal(0, 5, 0);
    program.jump_if_equal(0x8, 4, 0);
    program.jump_if_equal(0x2_0000, 3, 0);
    program.jump_if_equal(0x2_0008, 2, 0);
    program.jump_if_equal(0xffff_ffff, 1, 0);
    program.refuse(not_permitted());
    program.allow();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would.
    fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u32; 3]) -> u32 {
        let (mut at, mut register) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    register = match step.k {
                        NUMBER => number,
                        ARCH => arch,
                        offset => arguments[ARGUMENT.iter().position(|&at| at == offset).unwrap()],
                    }
                }
                code if code == BPF_ALU | BPF_AND | BPF_K => register &= step.k,
                code if code == BPF_JMP | BPF_JA => at += step.k as usize,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => {
                    at += usize::from(if register == step.k { step.jt } else { step.jf });
                }
                code if code == BPF_JMP | BPF_JGE | BPF_K => {
                    at += usize::from(if register >= step.k { step.jt } else { step.jf });
                }
                code if code == BPF_RET | BPF_K => return step.k,
                code => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    fn refusal(error: i32) -> u32 {
        SECCOMP_RET_ERRNO | error.cast_unsigned()
    }

    fn expected(fate: Fate) -> Option<u32> {
        match fate {
            Fate::Allow => Some(SECCOMP_RET_ALLOW),
            Fate::Refuse(error) => Some(SECCOMP_RET_ERRNO | u32::from(error)),
            Fate::Examine(_) => None,
        }
    }

    #[test]
    fn the_program_does_what_the_table_says_for_every_number() {
        let table = super::super::profile::table(super::super::profile::Granted::DEFAULT);
        let program = compile(&table);
        for (number, &fate) in (0..).zip(&table) {
            if let Some(expected) = expected(fate) {
                let found = run(program.instructions(), ARCHITECTURE, number, [0; 3]);
                assert_eq!(found, expected, "system call {number}");
            }
        }
        for number in [512, 513, 0x4000_0000, u32::MAX] {
            let found = run(program.instructions(), ARCHITECTURE, number, [0; 3]);
            assert_eq!(found, refusal(libc::ENOSYS), "system call {number}");
        }
        assert_eq!(
            run(program.instructions(), 0x4000_0003, 0, [0; 3]),
            refusal(libc::ENOSYS)
        );
    }

    #[test]
    fn a_table_that_changes_at_every_number_compiles() {
        let mut table = [Fate::Allow; NUMBERS];
        for number in (0..NUMBERS / 2).step_by(2) {
            table[number] = Fate::Refuse(1);
        }
        let program = compile(&table);
        for (number, &fate) in (0..).zip(&table) {
            let found = run(program.instructions(), ARCHITECTURE, number, [0; 3]);
            assert_eq!(Some(found), expected(fate), "system call {number}");
        }
    }

    #[test]
    fn arguments_decide() {
        let table = super::super::profile::table(super::super::profile::Granted::DEFAULT);
        let program = compile(&table);
        let call = |number: libc::c_long, arguments| {
            run(
                program.instructions(),
                ARCHITECTURE,
                u32::try_from(number).unwrap(),
                arguments,
            )
        };
        let (allow, not_permitted) = (SECCOMP_RET_ALLOW, refusal(libc::EPERM));
        for (number, arguments, expected) in [
            (libc::SYS_clone, [0x0120_0011, 0, 0], allow),
            (libc::SYS_clone, [0x1000_0011, 0, 0], not_permitted),
            (libc::SYS_unshare, [0x400, 0, 0], allow),
            (libc::SYS_unshare, [0x1000_0000, 0, 0], not_permitted),
            (libc::SYS_socket, [2, 1, 0], allow),
            (libc::SYS_socket, [1, 1, 0], allow),
            (libc::SYS_socket, [16, 3, 0], allow),
            (libc::SYS_socket, [16, 3, 9], refusal(libc::EINVAL)),
            (libc::SYS_socket, [17, 3, 0], not_permitted),
            (libc::SYS_socket, [38, 5, 0], not_permitted),
            (libc::SYS_socket, [40, 1, 0], not_permitted),
            (libc::SYS_personality, [0xffff_ffff, 0, 0], allow),
            (libc::SYS_personality, [0x4_0000, 0, 0], not_permitted),
            (libc::SYS_personality, [0x8, 0, 0], allow),
            (libc::SYS_ioctl, [0, 0x5401, 0], allow),
            (libc::SYS_ioctl, [0, TIOCSTI, 0], not_permitted),
            (libc::SYS_ioctl, [0, TIOCLINUX, 0], not_permitted),
        ] {
            assert_eq!(call(number, arguments), expected, "{number} {arguments:x?}");
        }
    }
}
