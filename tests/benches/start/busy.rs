//! Starts while the disk has much to do: how much later than usual the last ones are.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use tests::World;
use tests::ratio::Side;

/// How many starts of each kind; the 99th of a hundred is what is looked at.
const STARTS: usize = 200;

/// How much is written before it has to be on the disk, again and again.
const WRITTEN: usize = 32 << 20;

/// Prints for each side, which take turns, the median and the 99th of a hundred starts.
pub(super) fn show(world: &World, sides: &[Side<'_>]) {
    let file = world.folder().join("busy");
    let (busy, is_over) = channel();
    let times = std::thread::scope(|scope| {
        scope.spawn(|| keep_busy(&file, is_over));
        // Dropped at the end of this, also when a start fails.
        let _busy = busy;
        let mut times = vec![Vec::new(); sides.len()];
        for _ in 0..STARTS {
            for (side, times) in sides.iter().zip(&mut times) {
                times.push(side.measure().as_secs_f64() * 1e3);
            }
        }
        times
    });
    println!("\n| busy disk | p99/median | median | p99 | starts |\n|---|---|---|---|---|");
    for (side, mut times) in sides.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let (median, late) = (times[STARTS / 2], times[STARTS * 99 / 100]);
        println!(
            "| {} | {:.1} | {median:.1} ms | {late:.1} ms | {STARTS} |",
            side.name,
            late / median
        );
    }
}

/// Writes and syncs until the other end of the channel is gone.
fn keep_busy(path: &Path, is_over: Receiver<()>) {
    let block = vec![7; 1 << 20];
    while is_over.try_recv() == Err(TryRecvError::Empty) {
        let mut file = File::create(path).expect("a file");
        for _ in 0..WRITTEN / block.len() {
            file.write_all(&block).expect("room on the disk");
        }
        file.sync_all().expect("to sync");
    }
}
