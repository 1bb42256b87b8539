//! A small plot of requests a second and CPU a request, as bars beside each other.

use std::fmt::Write;

/// The height of the longest bar, in pixels.
const HEIGHT: f64 = 140.0;
/// The distance between two bars.
const STEP: f64 = 28.0;
/// A bar that would be longer ends here; its number says the rest.
const MOST: f64 = 4.0;
const COLORS: [&str; 6] = [
    "#9aa0a6", "#d9480f", "#f2b01e", "#2b8a3e", "#00add8", "#364fc7",
];

/// Draws, for each load, the ratios of all peers in requests a second and in CPU a request.
pub(crate) fn draw(names: &[&str], loads: &[(String, Vec<f64>, Vec<f64>)]) -> String {
    let group = STEP * names.len() as f64 + 24.0;
    let half = group * loads.len() as f64 + 20.0;
    let (width, height) = (half * 2.0 + 20.0, HEIGHT + 80.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n"
    );
    let rates: Vec<_> = loads
        .iter()
        .map(|(load, rates, _)| (load.as_str(), rates.as_slice()))
        .collect();
    let costs: Vec<_> = loads
        .iter()
        .map(|(load, _, costs)| (load.as_str(), costs.as_slice()))
        .collect();
    bars(&mut svg, 20.0, group, "requests/s, raw loop = 1", &rates);
    bars(
        &mut svg,
        20.0 + half,
        group,
        "CPU a request, raw loop = 1 (bars end at 4)",
        &costs,
    );
    for (number, name) in names.iter().enumerate() {
        let x = 20.0 + 110.0 * number as f64;
        rectangle(&mut svg, (x, HEIGHT + 58.0), (10.0, 10.0), number);
        text(&mut svg, x + 14.0, HEIGHT + 67.0, name);
    }
    svg + "</svg>\n"
}

/// Groups of bars, one group a load.
fn bars(svg: &mut String, left: f64, group: f64, title: &str, loads: &[(&str, &[f64])]) {
    let highest = loads
        .iter()
        .flat_map(|(_, values)| values.iter().copied())
        .fold(1.0, f64::max)
        .min(MOST);
    text(svg, left, 14.0, title);
    for (place, (load, values)) in loads.iter().enumerate() {
        let left = left + group * place as f64;
        for (number, value) in values.iter().enumerate() {
            let (x, height) = (
                left + STEP * number as f64,
                HEIGHT * value.min(highest) / highest,
            );
            let y = HEIGHT + 30.0 - height;
            rectangle(svg, (x, y), (STEP - 4.0, height), number);
            let digits = if *value < 10.0 { 2 } else { 0 };
            text(svg, x, y - 3.0, &format!("{value:.digits$}"));
        }
        text(svg, left, HEIGHT + 44.0, load);
    }
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), color: usize) {
    let color = COLORS[color % COLORS.len()];
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.0}\" y=\"{y:.1}\" width=\"{width:.0}\" height=\"{height:.1}\" fill=\"{color}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\">{text}</text>");
}
