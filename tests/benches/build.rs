//! Packing against its goals and its peers: `cargo bench -p tests --bench build [-- PART…]`, where the parts
//! are `program`, `tree`, `again` and `push`.
//!
//! Commands of a fraction of a second take turns with their peer, and what counts is the median of
//! the ratios. Packing a tree of many files takes a minute, and there the processor's time counts,
//! because the time on the clock says little on a machine that does other things as well.

#[path = "build/again.rs"]
mod again;
#[path = "build/program.rs"]
mod program;
#[path = "build/push.rs"]
mod push;
#[path = "build/tree.rs"]
mod tree;

use tests::figures::Part;

const PARTS: [(&str, Part); 4] = [
    ("program", program::measure),
    ("tree", tree::measure),
    ("again", again::measure),
    ("push", push::measure),
];

fn main() {
    tests::figures::measure(&PARTS);
}
