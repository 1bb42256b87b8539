//! The power fails at any moment of a command.
//!
//! The store lies in a file system in a file. The command is killed at one of the calls that change
//! names or bring something to disk, and the file is copied as it is then: whatever the kernel has
//! not written into it is lost. At a change of names the journal is committed first, without the
//! content of files that nobody brought to disk, as the kernel may do at any time. The copy is
//! mounted, which replays its journal, and that is what the next boot finds.

use std::collections::BTreeMap;
use std::fs;

use tests::client::find;
use tests::{Missing, Mode, World, require};

use super::{image, shell};

const NAME: &str = "localhost/moving:1";

/// What brings something to disk; everything else that is watched changes names.
const SYNCS: [&str; 2] = ["fsync", "syncfs"];
const CALLS: &str = "rename,renameat2,symlink,unlink,fsync,syncfs";

/// Nothing is committed but what is asked for.
const MOUNT: &str = "mount -o loop,commit=600,noauto_da_alloc";

/// A call of a command: its name, and which of its kind it is.
type Moment = (String, usize);

/// Makes the file system that each cut begins with: two generations of a name.
fn prepare() -> Result<World, Missing> {
    let world = World::new(Mode::Root)?;
    for program in ["mkfs.ext4", "strace"] {
        find(program)?;
    }
    world.make_dir("at", 0o755);
    world.write("first.tar", image(NAME, "first", 3).docker());
    world.write("second.tar", image(NAME, "second", 3).docker());
    world.write("third.tar", image(NAME, "third", 3).docker());
    world.write("many.tar", image(NAME, "many", 100).docker());
    let script = format!(
        "truncate -s 32M whole && mkfs.ext4 -q -F -E lazy_itable_init=0 -J size=4 whole &&
         {MOUNT} whole at && $runner load -q -i first.tar && $runner load -q -i second.tar &&
         umount at"
    );
    let made = shell(&world, &script);
    match made.code {
        0 => Ok(world),
        _ => Err(Missing::because(format!(
            "no file system can be mounted: {}",
            made.stderr.trim()
        ))),
    }
}

/// The moments of a command, from a run that nothing disturbs.
fn moments(world: &World, words: &str) -> Vec<Moment> {
    let script = format!(
        "cp whole disk && {MOUNT} disk at &&
         strace -f -qq -o trace -e trace={CALLS} $runner {words} && umount at"
    );
    let _ = shell(world, &script).success();
    let trace = fs::read_to_string(world.path("trace")).expect("the trace");
    let mut counts = BTreeMap::new();
    let mut moments = Vec::new();
    for line in trace.lines() {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let Some((name, _)) = call.split_once('(') else {
            continue;
        };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        // What is thrown away already is of no interest.
        let thrown_away = name == "unlink" && line.contains("/tmp/");
        moments.extend((!thrown_away).then(|| (name.to_owned(), *count)));
    }
    moments
}

/// Cuts the power at a moment and looks at what the next boot finds.
fn cut(world: &World, words: &str, (call, number): &Moment) {
    let commit = match SYNCS.contains(&call.as_str()) {
        true => ":",
        false => ": > at/other && sync at/other",
    };
    let look = "$runner image inspect --format '{{.Id}}' localhost/moving:1";
    let script = format!(
        "cp whole disk && {MOUNT} disk at || exit 99
         {look} > before
         strace -f -qq -o trace -e trace=none -e inject={call}:signal=KILL:when={number} $runner {words}
         {commit}; cp disk after; umount at && {MOUNT} after at || exit 99
         {look} > found; $runner system check > damage
         $runner {words}; echo $? > again
         {look} > then; $runner system check --repair; $runner system check > check
         ls at/store/tmp >> check; umount at"
    );
    let outcome = shell(world, &script).with_code(0);
    let read = |file: &str| fs::read_to_string(world.path(file)).expect("what it said");
    let at = format!("{words}, at {call} {number}\n{outcome}");
    let (before, found, then) = (read("before"), read("found"), read("then"));
    assert!(found == before || found == then, "{at}\n{found}");
    for line in read("damage").lines() {
        let leftover = ["by a command that was killed", "is needed by no image"];
        assert!(
            leftover.iter().any(|words| line.contains(words)),
            "{at}\n{line}"
        );
    }
    let removed = words.starts_with("rmi") && found.is_empty();
    assert!(removed || read("again") == "0\n", "{at}");
    assert_eq!(read("check"), "", "{at}");
}

fn cut_at_every_moment(commands: &[&str]) -> Result<(), Missing> {
    let world = prepare()?;
    for words in commands {
        let moments = moments(&world, words);
        assert!(moments.len() > 2, "{words}: {moments:?}");
        for moment in &moments {
            cut(&world, words, moment);
        }
    }
    Ok(())
}

#[test]
fn a_load_is_whole_or_has_not_been() {
    require!(cut_at_every_moment(&[
        "load -q -i third.tar",
        "load -q -i many.tar"
    ]));
}

#[test]
fn a_name_moves_or_stays() {
    require!(cut_at_every_moment(&[
        "image rollback localhost/moving:1 1",
        "tag localhost/moving:1 localhost/other:1",
    ]));
}

#[test]
fn a_removal_leaves_nothing_half() {
    require!(cut_at_every_moment(&[
        "rmi -f localhost/moving:1",
        "image prune -f -a"
    ]));
}
