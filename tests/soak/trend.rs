//! Whether a measure grows, whatever its noise.

use crate::measures::median;

/// One point stands for so many seconds.
pub const POINT_S: f64 = 10.0;

/// A measure over time: the median of every ten seconds, and the line through the last two thirds.
#[derive(Debug, Clone)]
pub struct Trend {
    /// (seconds, value)
    pub points: Vec<(f64, f64)>,
    /// From here on it is judged.
    pub from_s: f64,
    /// Value a second; the median of the slopes between any two points (Theil 1950, Sen 1968), which stays as it is while
    /// fewer than 29 % of the points are off.
    pub slope: f64,
    /// The median of the points that are judged.
    pub level: f64,
}

impl Trend {
    /// Of values that were measured at these seconds; `None` with fewer than two points to judge.
    pub fn of(values: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let mut points: Vec<(f64, Vec<f64>)> = Vec::new();
        for (at, value) in values {
            let middle = ((at / POINT_S).floor() + 0.5) * POINT_S;
            match points.last_mut() {
                Some((last, values)) if *last >= middle => values.push(value),
                _ => points.push((middle, vec![value])),
            }
        }
        let points: Vec<(f64, f64)> =
            points.into_iter().filter_map(|(at, values)| Some((at, median(values)?))).collect();
        let from_s = points.last()?.0 / 3.0;
        let judged: Vec<_> = points.iter().copied().filter(|(at, _)| *at >= from_s).collect();
        let pairs = judged.iter().enumerate().flat_map(|(at, a)| judged[at + 1..].iter().map(move |b| (a, b)));
        let slope = median(pairs.map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)).collect())?;
        let level = median(judged.iter().map(|(_, value)| *value).collect())?;
        Some(Self { points, from_s, slope, level })
    }

    /// How much it grows in the time that is judged, by its slope.
    pub fn growth(&self) -> f64 {
        self.points.last().map_or(0.0, |(end, _)| self.slope * (end - self.from_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(value: impl Fn(f64) -> f64) -> Trend {
        Trend::of((0..600).map(|at| (f64::from(at), value(f64::from(at))))).unwrap()
    }

    #[test]
    fn what_grows_is_found_and_what_grew_at_first_only_is_not() {
        let leak = trend(|at| 1_000.0 + 0.5 * at + (at * 7.7).sin() * 20.0);
        assert!((leak.slope - 0.5).abs() < 0.02 && (leak.growth() - 200.0).abs() < 10.0, "{leak:?}");
        let warm = trend(|at| 1_000.0 + at.min(150.0));
        assert!(warm.growth().abs() < 1e-9 && (warm.level - 1_150.0).abs() < 1e-9, "{warm:?}");
    }

    #[test]
    fn peaks_do_not_sway_it() {
        let peaks = trend(|at| if at as u32 % 60 < 14 { 5_000.0 + at } else { 10.0 });
        assert!(peaks.growth().abs() < 1e-9 && (peaks.level - 10.0).abs() < 1e-9, "{peaks:?}");
    }
}
