//! Measures over a size on logarithmic axes, a panel for each, beside what they are compared with.

use super::svg::{Anchor, COMPARED, Drawing, MEASURED, RULE};

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (280.0, 190.0);
const LEFT: f64 = 68.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 26.0;
/// For the last number below the last column.
const MARGIN: f64 = 12.0;

/// A measure, by the size.
pub struct Measure {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
    /// Of the peer.
    pub compared: Vec<(f64, f64)>,
}

/// An SVG document; `peer` is what measures are compared with, `sizes` what the horizontal axes count.
pub fn draw(measures: &[Measure], peer: &str, sizes: &str) -> String {
    // The legend has a place of its own.
    let rows = (measures.len() + 1).div_ceil(COLUMNS);
    let mut drawing = Drawing::new(PANEL.0 * COLUMNS as f64 + MARGIN, PANEL.1 * rows as f64);
    let place = |number: usize| (PANEL.0 * (number % COLUMNS) as f64, PANEL.1 * (number / COLUMNS) as f64);
    for (number, measure) in measures.iter().enumerate() {
        panel(&mut drawing, place(number), measure);
    }
    legend(&mut drawing, place(measures.len()), peer, sizes);
    drawing.finish()
}

fn panel(drawing: &mut Drawing, (left, top): (f64, f64), measure: &Measure) {
    let (from, to) = (left + LEFT, left + PANEL.0 - RIGHT);
    let (upper, lower) = (top + TOP, top + PANEL.1 - BOTTOM);
    let all = || measure.points.iter().chain(&measure.compared).copied();
    let across = Decades::of(all().map(|(size, _)| size));
    let up = Decades::of(all().map(|(_, value)| value));
    let on = |(size, value): (f64, f64)| {
        (from + (to - from) * across.share(size), lower - (lower - upper) * up.share(value))
    };
    for decade in up.each() {
        let (_, y) = on((10_f64.powi(across.first), decade));
        drawing.line(&[(from, y), (to, y)], RULE, 1.0, "");
        drawing.text((from - 6.0, y + 4.0), Anchor::End, &number(decade));
    }
    for decade in across.each() {
        let (x, _) = on((decade, 10_f64.powi(up.first)));
        drawing.line(&[(x, upper), (x, lower)], RULE, 1.0, "");
        drawing.text((x, lower + 15.0), Anchor::Middle, &number(decade));
    }
    for (points, colour, dashes) in [(&measure.compared, COMPARED, "5 3"), (&measure.points, MEASURED, "")] {
        let places: Vec<_> = points.iter().copied().map(on).collect();
        drawing.line(&places, colour, 1.3, dashes);
        for place in places {
            drawing.dot(place, colour);
        }
    }
    drawing.title((from, top + 20.0), measure.name);
}

fn legend(drawing: &mut Drawing, (left, top): (f64, f64), peer: &str, sizes: &str) {
    let entries = [("edgetuned", MEASURED, ""), (peer, COMPARED, "5 3")];
    for (row, (name, colour, dashes)) in entries.into_iter().enumerate() {
        let y = top + TOP + 20.0 * row as f64;
        drawing.line(&[(left + 16.0, y), (left + 40.0, y)], colour, 1.3, dashes);
        drawing.dot((left + 28.0, y), colour);
        drawing.text((left + 48.0, y + 4.0), Anchor::Start, name);
    }
    drawing.text((left + 16.0, top + TOP + 44.0), Anchor::Start, &format!("on the horizontal axes: {sizes}"));
}

/// The powers of ten around values above zero.
struct Decades {
    first: i32,
    last: i32,
}

impl Decades {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor() as i32;
        let most = values.fold(0.0, f64::max).log10().ceil() as i32;
        Self { first: least, last: most.max(least + 1) }
    }

    fn each(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|power| 10_f64.powi(power))
    }

    /// Where a value lies between the first, 0, and the last, 1.
    fn share(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }
}

/// 0.01, 1, 1,000.
pub fn number(value: f64) -> String {
    if value < 1.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
