//! The picture: a panel for each measure, with the line by which it is judged.

use crate::report::Judged;
use crate::svg::{Anchor, COMPARED, Drawing, MEASURED, RULE};
use crate::trend::Trend;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 110.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 14.0;
/// Below the last panel.
const AXIS: f64 = 30.0;

/// An SVG document.
pub fn draw(panels: &[(&Judged, Trend)]) -> String {
    let height = PANEL * panels.len() as f64 + AXIS;
    let end = panels.iter().filter_map(|(_, trend)| Some(trend.points.last()?.0)).fold(1.0, f64::max);
    let x = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / end;
    let mut drawing = Drawing::new(WIDTH, height);
    for (number, (judged, trend)) in panels.iter().enumerate() {
        panel(&mut drawing, PANEL * number as f64, judged, trend, &x);
    }
    let minutes = end / 60.0;
    let step = if minutes > 12.0 { 5.0 } else { 1.0 };
    let mut minute = 0.0;
    while minute <= minutes {
        let unit = if minute == 0.0 { " min" } else { "" };
        let at = (x(minute * 60.0), height - AXIS + 12.0);
        drawing.text(at, Anchor::Middle, &format!("{minute:.0}{unit}"));
        minute += step;
    }
    drawing.finish()
}

fn panel(drawing: &mut Drawing, top: f64, judged: &Judged, trend: &Trend, x: &impl Fn(f64) -> f64) {
    let values = trend.points.iter().map(|(_, value)| *value);
    let highest = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.1;
    let (upper, lower) = (top + TOP, top + PANEL - BOTTOM);
    let y = |value: f64| lower - (lower - upper) * value / highest;
    let (left, right) = (x(0.0), WIDTH - RIGHT);
    drawing.area((x(trend.from_s), upper), (right, lower));
    for value in [0.0, highest / 1.1] {
        let at = y(value);
        drawing.line(&[(left, at), (right, at)], RULE, 1.0, "");
        let places = usize::from(highest < 20.0 && value > 0.0);
        drawing.text((left - 6.0, at + 4.0), Anchor::End, &format!("{value:.places$}"));
    }
    let points: Vec<_> = trend.points.iter().map(|(at, value)| (x(*at), y(*value))).collect();
    drawing.line(&points, MEASURED, 1.3, "");
    let end = trend.points.last().map_or(0.0, |(at, _)| *at);
    let middle = f64::midpoint(trend.from_s, end);
    let on = |at: f64| (x(at), y((trend.level + trend.slope * (at - middle)).clamp(0.0, highest)));
    drawing.line(&[on(trend.from_s), on(end)], COMPARED, 1.0, "5 3");
    let unit = if judged.unit.is_empty() { String::new() } else { format!(", {}", judged.unit) };
    drawing.title((left, top + 18.0), &format!("{}{unit}", judged.name));
}
