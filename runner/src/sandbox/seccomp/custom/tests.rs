//! Profiles against what they say, call by call.

use serde_json::{Value, json};

use super::super::interpret::interpret;
use super::*;
use crate::noise::{Random, damage};

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

const NAMES: [&str; 5] = ["read", "write", "socket", "clone", "personality"];

/// A profile of a few rules, none of which was thought about.
fn any_profile(random: &mut Random) -> Value {
    const ACTIONS: [&str; 5] = ["ALLOW", "ERRNO", "KILL_PROCESS", "LOG", "TRACE"];
    const OPERATORS: [&str; 7] = ["EQ", "NE", "LT", "LE", "GE", "GT", "MASKED_EQ"];
    let one = |random: &mut Random, these: &[&str]| these[random.below(these.len())].to_owned();
    let argument = |random: &mut Random| {
        let operator = format!("SCMP_CMP_{}", one(random, &OPERATORS));
        let (value, other) = (any_value(random), any_value(random));
        json!({"index": random.below(3), "op": operator, "value": value, "valueTwo": other})
    };
    let rule = |random: &mut Random| {
        let names = [one(random, &NAMES), one(random, &NAMES)];
        let action = format!("SCMP_ACT_{}", one(random, &ACTIONS));
        let arguments: Vec<_> = (0..random.below(4)).map(|_| argument(random)).collect();
        json!({"names": names, "action": action, "args": arguments})
    };
    let rules: Vec<_> = (0..random.below(6)).map(|_| rule(random)).collect();
    json!({"defaultAction": format!("SCMP_ACT_{}", one(random, &ACTIONS)), "syscalls": rules})
}

/// A number at one of the places where halves begin and end.
fn any_value(random: &mut Random) -> u64 {
    const VALUES: [u64; 9] = [
        0,
        1,
        5,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 32,
        (1 << 32) + 5,
        5 << 32,
        u64::MAX,
    ];
    VALUES[random.below(VALUES.len())]
}

/// What a profile says of a call, without any program: the first rule whose arguments fit, or else the
/// last one without arguments, or else the default.
fn said(profile: &Profile, name: &str, arguments: [u64; 6]) -> u32 {
    let mut otherwise = returned(profile.default_action, profile.default_errno_ret);
    let mut first = None;
    for rule in profile.syscalls.iter().flatten() {
        if !rule.names.iter().any(|one| one == name) {
            continue;
        }
        let action = returned(rule.action, rule.errno_ret);
        let fits = |argument: &Argument| {
            let found = arguments[argument.index as usize];
            match argument.op {
                Operator::Equal => found == argument.value,
                Operator::Differs => found != argument.value,
                Operator::Below => found < argument.value,
                Operator::AtMost => found <= argument.value,
                Operator::AtLeast => found >= argument.value,
                Operator::Above => found > argument.value,
                Operator::MaskedEqual => found & argument.value == argument.value_two,
            }
        };
        let all: Vec<&Argument> = rule.args.iter().flatten().collect();
        let repeats = all
            .iter()
            .any(|one| all.iter().filter(|two| one.index == two.index).count() > 1);
        let holds = match repeats {
            true => all.into_iter().any(fits),
            false => all.into_iter().all(fits),
        };
        match &rule.args {
            Some(list) if !list.is_empty() => first = first.or(holds.then_some(action)),
            _ => otherwise = action,
        }
    }
    first.unwrap_or(otherwise)
}

#[test]
fn any_profile_becomes_a_program_that_answers_as_it_says() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3000 {
        let text = any_profile(&mut random).to_string();
        let profile = Profile::parse(text.as_bytes()).unwrap();
        let code = profile.compile(CapabilitySet::container_default()).unwrap();
        for name in NAMES {
            for _ in 0..8 {
                let arguments = [(); 6].map(|()| any_value(&mut random));
                let (found, expected) = (
                    answer(&code, name, arguments),
                    said(&profile, name, arguments),
                );
                assert_eq!(found, expected, "{name} {arguments:x?} {text}");
            }
        }
    }
}

#[test]
fn damaged_profiles_are_refused_or_become_whole_programs() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut refused = 0;
    for _ in 0..4000 {
        let mut profile = any_profile(&mut random);
        for _ in 0..=random.below(2) {
            damage(&mut profile, &mut random);
        }
        let text = profile.to_string();
        let compiled = Profile::parse(text.as_bytes())
            .and_then(|profile| profile.compile(CapabilitySet::EMPTY));
        match compiled {
            Err(_) => refused += 1,
            // Whatever is asked, the end of the program is a return, and nothing leads beyond it.
            Ok(code) => {
                let ends = code
                    .last()
                    .is_some_and(|Instruction(kind, ..)| u32::from(*kind) == BPF_RET | BPF_K);
                let inside =
                    code.iter()
                        .enumerate()
                        .all(
                            |(at, Instruction(kind, yes, no, value))| match u32::from(*kind) {
                                kind if kind == BPF_JMP | BPF_JA => {
                                    at + 1 + (*value as usize) < code.len()
                                }
                                kind if kind & 7 == BPF_JMP => {
                                    at + 1 + usize::from(*yes.max(no)) < code.len()
                                }
                                _ => true,
                            },
                        );
                assert!(ends && inside && code.len() <= LONGEST, "{text}");
            }
        }
    }
    assert!(
        (400..3900).contains(&refused),
        "{refused} of 4000 were refused"
    );
}
