//! Says at the end what did not run, and why.

use std::collections::{BTreeMap, BTreeSet};

use tests::missing;

fn main() {
    let lines = missing::take_all();
    let mut by_reason: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in &lines {
        let (test, reason) = line
            .split_once(": did not run, because ")
            .unwrap_or((line, ""));
        by_reason.entry(reason).or_default().insert(test);
    }
    if by_reason.is_empty() {
        println!("\nEverything ran.\n");
    }
    for (reason, tests) in by_reason {
        let tests: Vec<&str> = tests.into_iter().collect();
        println!(
            "\nThese did not run, because {reason}:\n  {}",
            tests.join("\n  ")
        );
    }
}
