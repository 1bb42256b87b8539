//! A small plot of how long a start takes, as bars below each other.

use tests::svg::Svg;

/// The length of the longest bar, in pixels.
const LENGTH: f64 = 420.0;
/// Where the bars begin.
const LEFT: f64 = 210.0;
/// The distance between two bars.
const STEP: f64 = 22.0;

/// Draws the time of ours, which is 1, and of each peer.
pub(super) fn draw(peers: &[(&str, f64)]) -> String {
    let mut bars = vec![("runner run --rm", 1.0)];
    bars.extend(peers);
    bars.sort_by(|one, other| one.1.total_cmp(&other.1));
    let longest = bars.last().map_or(1.0, |(_, time)| *time);
    let mut svg = Svg::new(LEFT + LENGTH + 60.0, STEP * bars.len() as f64 + 30.0);
    svg.text(10.0, 16.0, "time to start true and end, runner = 1");
    for (number, (name, time)) in bars.iter().enumerate() {
        let y = 28.0 + STEP * number as f64;
        let length = (LENGTH * time / longest).max(1.0);
        svg.text(10.0, y + 12.0, name);
        svg.rectangle((LEFT, y), (length, STEP - 6.0), usize::from(*time == 1.0));
        let digits = if *time < 10.0 { 2 } else { 0 };
        svg.text(LEFT + length + 5.0, y + 12.0, &format!("{time:.digits$}"));
    }
    svg.finish()
}
