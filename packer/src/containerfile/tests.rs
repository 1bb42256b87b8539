//! What the parser makes of files, of bad ones, and of noise.

use std::time::{Duration, Instant};

use super::*;
use crate::package::Command;

fn parsed(text: &str) -> Containerfile {
    Containerfile::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

/// The only stage's instructions behind `FROM scratch`.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut file = parsed(&format!("FROM scratch\n{text}"));
    let stage = file.stages.pop().expect("there is one");
    stage
        .instructions
        .into_iter()
        .map(|located| located.instruction)
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn stages_have_names_platforms_and_arguments() {
    let file = parsed("ARG a=1 b\nfrom --platform=$BUILDPLATFORM x:$a as First\nFROM first\n");
    let arguments = &file.arguments[0].1;
    assert_eq!(arguments[0].default.as_deref(), Some("1"));
    assert_eq!(arguments[1].default, None);
    assert_eq!(file.stages[0].image, "x:$a");
    assert_eq!(file.stages[0].platform.as_deref(), Some("$BUILDPLATFORM"));
    assert_eq!(file.stages[0].name.as_deref(), Some("first"));
    assert_eq!(file.stages[1].position, Position { line: 3, column: 1 });
}

#[test]
fn lines_go_on_and_comments_between_them_mean_nothing() {
    let found = instructions("  ENV a=1 \\\n# no\n\n   b=2 \\  \n c=\\\\\n#x\nLABEL d e # f");
    assert_eq!(
        found,
        [
            Instruction::Env(pairs(&[("a", "1"), ("b", "2"), ("c", "\\\\")])),
            Instruction::Label(pairs(&[("d", "e # f")])),
        ]
    );
}

#[test]
fn a_directive_changes_what_escapes() {
    let file =
        parsed("# syntax=docker/dockerfile:1\n# Escape = `\nFROM x\nENV a=b` c d=\\\\ `\n e=f");
    assert_eq!(file.escape, '`');
    let expected = Instruction::Env(pairs(&[("a", "b` c"), ("d", "\\\\"), ("e", "f")]));
    assert_eq!(file.stages[0].instructions[0].instruction, expected);
    assert_eq!(parsed("# comment\n# escape=`\nFROM x").escape, '\\');
}

#[test]
fn words_end_at_white_space_outside_quotes() {
    let found = instructions(
        "ENV a=\"x y\" b='z w' c=u\\ v\nENV old the rest\nVOLUME /a /b\nVOLUME [\"/c d\"]",
    );
    assert_eq!(
        found,
        [
            Instruction::Env(pairs(&[("a", "\"x y\""), ("b", "'z w'"), ("c", "u\\ v")])),
            Instruction::Env(pairs(&[("old", "the rest")])),
            Instruction::Volume(texts(&["/a", "/b"])),
            Instruction::Volume(texts(&["/c d"])),
        ]
    );
}

#[test]
fn commands_have_two_forms() {
    let found =
        instructions("CMD [\"a\", \"b c\"]\nCMD a \"b c\"\nENTRYPOINT [not json]\nSHELL [\"sh\"]");
    assert_eq!(
        found,
        [
            Instruction::Cmd(Command::Words(texts(&["a", "b c"]))),
            Instruction::Cmd(Command::Line("a \"b c\"".to_owned())),
            Instruction::Entrypoint(Command::Line("[not json]".to_owned())),
            Instruction::Shell(texts(&["sh"])),
        ]
    );
}

#[test]
fn here_documents_are_files_of_a_copy_and_input_of_a_run() {
    let found = instructions("COPY <<A <<-'B' c /d/\n$x\nA\n\t\ty\nB\nRUN <<E cat\nz\nE\nUSER u");
    let Instruction::Copy(copy) = &found[0] else {
        panic!("{found:?}")
    };
    let [
        CopySource::Here(a),
        CopySource::Here(b),
        CopySource::Path(c),
    ] = copy.sources.as_slice()
    else {
        panic!("{copy:?}")
    };
    assert_eq!(
        (a.content.as_str(), a.expands, b.content.as_str(), b.expands),
        ("$x\n", true, "y\n", false)
    );
    assert_eq!((c.as_str(), copy.destination.as_str()), ("c", "/d/"));
    let Instruction::Run { heredocs, .. } = &found[1] else {
        panic!("{found:?}")
    };
    assert_eq!(heredocs[0].content, "z\n");
    assert_eq!(found[2], Instruction::User("u".to_owned()));
}

#[test]
fn health_checks_have_times_of_go() {
    let found = instructions(
        "HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=2 --start-interval=7s CMD a b\nHEALTHCHECK none",
    );
    let Instruction::Healthcheck(Some(check)) = &found[0] else {
        panic!("{found:?}")
    };
    assert_eq!(check.interval, Some(Duration::from_secs(90)));
    assert_eq!(check.timeout, Some(Duration::from_millis(1500)));
    assert_eq!((check.start_period, check.retries), (None, Some(2)));
    assert_eq!(check.start_interval, Some(Duration::from_secs(7)));
    assert_eq!(found[1], Instruction::Healthcheck(None));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, fault) in [
        ("", "1:1: there is no FROM"),
        ("# FROM x", "1:1: there is no FROM"),
        ("ENV a=b", "1:1: only ARG may stand"),
        (
            "FROM x\n  CPY a b",
            "2:3: there is no instruction \"CPY\"; did you mean COPY?",
        ),
        ("FROM x\nCOPY a", "2:1: COPY is given at least one source"),
        ("FROM x\nCOPY", "2:1: COPY needs more"),
        (
            "FROM x\n\nCOPY --form=a b c",
            "3:1: there is no flag --form here; did you mean --from?",
        ),
        (
            "FROM x\nCOPY --from=a --from=b c d",
            "2:1: --from is given twice",
        ),
        ("FROM x\nADD --from=a b c", "2:1: ADD has no --from"),
        (
            "FROM x\nCOPY <<E /a\nb",
            "2:1: the here-document has no end: a line \"E\"",
        ),
        ("FROM x y", "1:1: FROM IMAGE"),
        ("FROM x AS 1y", "1:1: \"1y\" cannot be the name of a stage"),
        ("FROM x\nENV a", "2:1: ENV is given NAME=VALUE"),
        ("FROM x\nENV a=b c", "2:1: \"c\" is no NAME=VALUE"),
        ("FROM x\nSHELL sh -c", "2:1: SHELL is given a list"),
        ("FROM x\nHEALTHCHECK a", "2:1: HEALTHCHECK is given CMD"),
        (
            "FROM x\nHEALTHCHECK --interval=5 CMD a",
            "2:1: \"5\" is no time",
        ),
        ("# escape=x\nFROM x", "1:1: escape is"),
        (
            "FROM x\nCOPY --parents a b",
            "2:1: --parents of newer dockers is not understood",
        ),
        (
            "FROM x\nONBUILD FROM y",
            "2:1: FROM cannot stand behind ONBUILD",
        ),
        (
            "FROM x\nonbuild onbuild RUN y",
            "2:1: ONBUILD cannot stand behind ONBUILD",
        ),
        (
            "FROM x\nONBUILD CPY a b",
            "2:1: there is no instruction \"CPY\"",
        ),
    ] {
        let found = Containerfile::parse(text).expect_err(text).to_string();
        assert!(found.starts_with(fault), "{text}: {found}");
    }
}

/// Pieces of files, put together at random: nothing panics, hangs or points outside of the text, and
/// what was understood means the same with other white space around it.
#[test]
fn noise_is_an_error_or_a_file_and_takes_no_time() {
    const PIECES: [&str; 34] = [
        "FROM ",
        "scratch",
        " AS a",
        "\n",
        "COPY ",
        "--from=a ",
        "<<E ",
        "E\n",
        "\\\n",
        "\\",
        "\"",
        "'",
        "$",
        "${a:-",
        "}",
        "[\"a\"",
        ", \"b\"]",
        "ENV ",
        "a=b ",
        "RUN ",
        "# escape=`\n",
        "`",
        "#",
        "HEALTHCHECK ",
        "--interval=1s ",
        "CMD ",
        "\t",
        " ",
        "ü",
        "\u{0}",
        "\r\n",
        "ARG ",
        "/x/",
        "EXPOSE 1-2\n",
    ];
    let (began, mut seed) = (Instant::now(), 0x9e37_79b9_7f4a_7c15_u64);
    let mut random = |below: usize| {
        // xorshift64*: the same noise each time.
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        usize::try_from(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0) % below
    };
    let mut understood = 0;
    for _ in 0..20_000 {
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
        let count = random(24);
        let start = if random(2) == 0 { "FROM x\n" } else { "" };
        let noise = (0..count)
            .map(|_| PIECES[random(PIECES.len())])
            .collect::<String>();
        let text = format!("{start}{noise}");
        match Containerfile::parse(&text) {
            Err(fault) => {
                let lines = text.lines().count().max(1);
                assert!(
                    (1..=lines).contains(&fault.position.line),
                    "{text:?}: {fault}"
                );
            }
            Ok(file) => {
                understood += 1;
                let again = parsed(&format!("{text}\n \n# the end"));
                assert_eq!(file, again, "{text:?}");
            }
        }
        let _ = expand(&noise, '\\', &|_| Some("v".to_owned()));
        let _ = expand_raw(&noise, &|_| None);
    }
    assert!(understood > 100, "the noise is too wild: {understood}");
}
