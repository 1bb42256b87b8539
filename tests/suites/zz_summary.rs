//! Says at the end what did not run, and why.

use tests::missing;

fn main() {
    let lines = missing::take_all();
    match lines.len() {
        0 => println!("\nEverything ran.\n"),
        count => println!("\n{count} tests did not run:\n  {}\n", lines.join("\n  ")),
    }
}
