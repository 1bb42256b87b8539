//! A small plot of requests a second and CPU a request, as bars beside each other.

use tests::svg::Svg;

/// The height of the longest bar, in pixels.
const HEIGHT: f64 = 140.0;
/// The distance between two bars.
const STEP: f64 = 28.0;
/// A bar that would be longer ends here; its number says the rest.
const MOST: f64 = 4.0;
/// Draws, for each load, the ratios of all peers in requests a second and in CPU a request.
pub(crate) fn draw(names: &[&str], loads: &[(String, Vec<f64>, Vec<f64>)]) -> String {
    let group = STEP * names.len() as f64 + 24.0;
    let half = group * loads.len() as f64 + 20.0;
    let (width, height) = (half * 2.0 + 20.0, HEIGHT + 80.0);
    let mut svg = Svg::new(width, height);
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
        svg.rectangle((x, HEIGHT + 58.0), (10.0, 10.0), number);
        svg.text(x + 14.0, HEIGHT + 67.0, name);
    }
    svg.finish()
}

/// Groups of bars, one group a load.
fn bars(svg: &mut Svg, left: f64, group: f64, title: &str, loads: &[(&str, &[f64])]) {
    let highest = loads
        .iter()
        .flat_map(|(_, values)| values.iter().copied())
        .fold(1.0, f64::max)
        .min(MOST);
    svg.text(left, 14.0, title);
    for (place, (load, values)) in loads.iter().enumerate() {
        let left = left + group * place as f64;
        for (number, value) in values.iter().enumerate() {
            let (x, height) = (
                left + STEP * number as f64,
                HEIGHT * value.min(highest) / highest,
            );
            let y = HEIGHT + 30.0 - height;
            svg.rectangle((x, y), (STEP - 4.0, height), number);
            let digits = if *value < 10.0 { 2 } else { 0 };
            svg.text(x, y - 3.0, &format!("{value:.digits$}"));
        }
        svg.text(left, HEIGHT + 44.0, load);
    }
}
