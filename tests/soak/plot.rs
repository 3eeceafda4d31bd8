//! The picture: a panel for each measure, with the line by which it is judged.

use std::fmt::Write as _;

use crate::report::Judged;
use crate::trend::Trend;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 110.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 14.0;
/// Below the last panel.
const AXIS: f64 = 30.0;

/// An SVG document, dark lines on white.
pub fn draw(panels: &[(&Judged, Trend)]) -> String {
    let height = PANEL * panels.len() as f64 + AXIS;
    let end = panels.iter().filter_map(|(_, trend)| Some(trend.points.last()?.0)).fold(1.0, f64::max);
    let x = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / end;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (number, (judged, trend)) in panels.iter().enumerate() {
        panel(&mut svg, PANEL * number as f64, judged, trend, &x);
    }
    let minutes = end / 60.0;
    let step = if minutes > 12.0 { 5.0 } else { 1.0 };
    let mut minute = 0.0;
    while minute <= minutes {
        let (at, low) = (x(minute * 60.0), height - AXIS + 12.0);
        let unit = if minute == 0.0 { " min" } else { "" };
        line(&mut svg, &format!("<text x=\"{at:.1}\" y=\"{low:.1}\" text-anchor=\"middle\">{minute:.0}{unit}</text>"));
        minute += step;
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, top: f64, judged: &Judged, trend: &Trend, x: &impl Fn(f64) -> f64) {
    let values = trend.points.iter().map(|(_, value)| *value);
    let highest = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.1;
    let (upper, lower) = (top + TOP, top + PANEL - BOTTOM);
    let y = |value: f64| lower - (lower - upper) * value / highest;
    let (left, right) = (x(0.0), WIDTH - RIGHT);
    let from = x(trend.from_s);
    let shade = right - from;
    line(
        svg,
        &format!(
            "<rect x=\"{from:.1}\" y=\"{upper:.1}\" width=\"{shade:.1}\" height=\"{:.1}\" fill=\"#eef3f8\"/>",
            lower - upper
        ),
    );
    for value in [0.0, highest / 1.1] {
        let at = y(value);
        line(svg, &format!("<path d=\"M{left:.1} {at:.1}H{right:.1}\" stroke=\"#ccc\"/>"));
        let places = usize::from(highest < 20.0 && value > 0.0);
        let label = left - 6.0;
        line(svg, &format!("<text x=\"{label:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.places$}</text>", at + 4.0));
    }
    let mut path = String::new();
    for (at, value) in &trend.points {
        let letter = if path.is_empty() { 'M' } else { 'L' };
        write!(path, "{letter}{:.1} {:.1}", x(*at), y(*value)).expect("it is memory");
    }
    line(svg, &format!("<path d=\"{path}\" fill=\"none\" stroke=\"#27598c\" stroke-width=\"1.3\"/>"));
    let end = trend.points.last().map_or(0.0, |(at, _)| *at);
    let middle = f64::midpoint(trend.from_s, end);
    let on = |at: f64| y((trend.level + trend.slope * (at - middle)).clamp(0.0, highest));
    line(
        svg,
        &format!(
            "<path d=\"M{from:.1} {:.1}L{:.1} {:.1}\" stroke=\"#c2571a\" stroke-dasharray=\"5 3\"/>",
            on(trend.from_s),
            x(end),
            on(end)
        ),
    );
    let unit = if judged.unit.is_empty() { String::new() } else { format!(", {}", judged.unit) };
    line(
        svg,
        &format!("<text x=\"{left:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}{unit}</text>", top + 18.0, judged.name),
    );
}

fn line(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}
