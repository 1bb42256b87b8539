//! Profiles against what they say, call by call.

use super::super::interpret::interpret;
use super::*;

fn answer(code: &[Instruction], name: &str, arguments: [u64; 6]) -> u32 {
    interpret(code, ARCHITECTURE, names::number(name).unwrap(), arguments)
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

fn errno(number: u32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number
}

fn compiled(text: &str) -> Vec<Instruction> {
    let profile = Profile::parse(text.as_bytes()).unwrap();
    profile.compile(CapabilitySet::container_default()).unwrap()
}

#[test]
fn each_operator_compares_all_64_bits() {
    let big: u64 = 0x1_0000_0005;
    let samples = [0, 4, 5, 6, big - 1, big, big + 1, 5 << 32, u64::MAX];
    for (operator, fits) in [
        ("EQ", (|one, other| one == other) as fn(u64, u64) -> bool),
        ("NE", |one, other| one != other),
        ("LT", |one, other| one < other),
        ("LE", |one, other| one <= other),
        ("GE", |one, other| one >= other),
        ("GT", |one, other| one > other),
    ] {
        for value in [5, big] {
            let code = compiled(&format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW",
                "args":[{{"index":1,"value":{value},"op":"SCMP_CMP_{operator}"}}]}}]}}"#
            ));
            for sample in samples {
                let expected = if fits(sample, value) { ALLOW } else { errno(1) };
                let found = answer(&code, "read", [0, sample, 0, 0, 0, 0]);
                assert_eq!(found, expected, "{sample:#x} {operator} {value:#x}");
            }
        }
    }
    let code = compiled(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["clone"],"action":"SCMP_ACT_ERRNO","errnoRet":38,
        "args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#,
    );
    assert_eq!(answer(&code, "clone", [0x11, 0, 0, 0, 0, 0]), errno(38));
    assert_eq!(answer(&code, "clone", [0x1000_0011, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn rules_count_by_capability_and_the_other_calls_get_the_default() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
        {"names":["read","write","no_such_call"],"action":"SCMP_ACT_ALLOW"},
        {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
        {"names":["mount"],"action":"SCMP_ACT_KILL_PROCESS","excludes":{"caps":["CAP_SYS_ADMIN"]}},
        {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},
        {"names":["futex"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.0"}}]}"#;
    let code = compiled(text);
    let none = [0; 6];
    assert_eq!(answer(&code, "read", none), ALLOW);
    assert_eq!(answer(&code, "mount", none), libc::SECCOMP_RET_KILL_PROCESS);
    assert_eq!(answer(&code, "futex", none), errno(38));
    // An argument that is named twice is one or the other.
    for (value, expected) in [(0, ALLOW), (8, ALLOW), (4, errno(38))] {
        let found = answer(&code, "personality", [value, 0, 0, 0, 0, 0]);
        assert_eq!(found, expected);
    }
    let all = Profile::parse(text.as_bytes()).unwrap();
    let all = all.compile(CapabilitySet::all()).unwrap();
    assert_eq!(answer(&all, "mount", none), ALLOW);
    // Another architecture, and numbers that nothing has.
    assert_eq!(interpret(&code, 0x4000_0003, 0, [0; 6]), errno(38));
    assert_eq!(
        interpret(&code, ARCHITECTURE, 0x4000_0000, [0; 6]),
        errno(38)
    );
}

#[test]
fn a_call_that_no_rule_names_gets_the_default_whatever_its_number() {
    let code = compiled(
        r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["close","openat"],"action":"SCMP_ACT_TRAP"}]}"#,
    );
    for (name, number) in names::all() {
        let expected = match name {
            "close" | "openat" => libc::SECCOMP_RET_TRAP,
            _ => libc::SECCOMP_RET_LOG,
        };
        let found = interpret(&code, ARCHITECTURE, number, [7; 6]);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn what_is_misspelt_is_refused() {
    for text in [
        "",
        "{}",
        r#"{"defaultAction":"SCMP_ACT_PERHAPS"}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","sycalls":[]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","arg":[]}]}"#,
    ] {
        assert!(Profile::parse(text.as_bytes()).is_err(), "{text}");
    }
    let far = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO",
        "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#;
    let far = Profile::parse(far.as_bytes()).unwrap();
    assert!(matches!(
        far.compile(CapabilitySet::EMPTY),
        Err(BadProfile::Argument(6))
    ));
}
