//! The disk is full at every write, and at every file.

use std::fs;

use tests::{Mode, World, require};

use super::{image, shell};

/// Loads an image in the place of an older one on a disk that grows step by step until the image
/// fits. `option` is the limit of the disk, `used` is what of it is taken.
fn grow(option: &str, used: &str, step: u32) {
    let world = require!(World::new(Mode::Root));
    world.make_dir("at", 0o755);
    world.write("old.tar", image("localhost/a:1", "old", 1).docker());
    world.write("new.tar", image("localhost/a:1", "new", 12).docker());
    let script = format!(
        "mount -t tmpfs none at && $runner load -q -i old.tar > /dev/null || exit 99
         old=$($runner images -q)
         size=$(df --output={used} -B 1 at | tail -n 1 | tr -d ' ')
         while :; do
             mount -o remount,{option}=$size at || exit 98
             $runner load -q -i new.tar > said 2> error; code=$?
             [ $code = 0 ] && break
             cat error >> errors
             [ $code = 125 ] && [ \"$($runner images -q)\" = $old ] || exit 97
             mount -o remount,{option}=100000000 at
             [ -z \"$($runner system check 2>&1)$(ls at/store/tmp)\" ] || exit 96
             size=$((size + {step}))
         done
         mount -o remount,{option}=100000000 at
         cat said; $runner system check; ls at/store/tmp"
    );
    let outcome = shell(&world, &script).success();
    assert_eq!(outcome.text(), "Loaded image: localhost/a:1", "{outcome}");
    let errors = fs::read_to_string(world.path("errors")).expect("the errors");
    for line in errors.lines() {
        assert!(line.contains("No space left on device"), "{line}");
    }
    // Folders, the blob, twelve files of the tree and the files beside them.
    assert!(errors.lines().count() > 16, "{errors}");
}

#[test]
fn of_blocks() {
    grow("size", "used", 4096);
}

#[test]
fn of_files() {
    grow("nr_inodes", "iused", 1);
}
