//! L-BFGS: minimises a smooth function from values and gradients alone.
//!
//! Two-loop recursion with a line search for the strong Wolfe conditions (Nocedal and Wright, Numerical
//! Optimization, algorithms 7.4, 3.5 and 3.6), and an approximate inverse of the Hessian where the caller has one. The
//! interface is ask-and-tell: the caller evaluates the function at [`Lbfgs::query_point`] and passes value and gradient
//! to [`Lbfgs::observe`], so several searches can share one pass over the data. No randomness: the same function and
//! start give the same result.

use std::collections::VecDeque;

/// Steps in the history.
const HISTORY: usize = 6;
/// Sufficient decrease (c1 of the Wolfe conditions).
const C1: f64 = 1e-4;
/// Curvature (c2 of the Wolfe conditions).
const C2: f64 = 0.9;
/// Evaluations that one line search may take.
const MAX_EVALUATIONS: usize = 40;

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stop {
    /// Largest absolute value in the gradient that counts as zero.
    pub gradient: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// Share of the value that rounding may hide.
    pub noise: f64,
}

/// Where and how the search ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minimum {
    /// The point.
    pub at: Vec<f64>,
    /// The function's value there.
    pub value: f64,
    /// Iterations used.
    pub iterations: usize,
    /// Whether the gradient met its tolerance.
    pub converged: bool,
}

/// A point on the search line: step, value, slope along the line.
#[derive(Clone, Copy)]
struct LinePoint {
    step: f64,
    value: f64,
    slope: f64,
}

/// The minimum of the cubic through both points, or their middle when it is too close to an end.
fn cubic_minimum(a: LinePoint, b: LinePoint) -> f64 {
    let middle = f64::midpoint(a.step, b.step);
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step);
    let d2 = (b.step - a.step).signum() * (d1 * d1 - a.slope * b.slope).sqrt();
    let step = b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    let (low, high) = (a.step.min(b.step), a.step.max(b.step));
    let edge = 0.1 * (high - low);
    if step.is_finite() && step > low + edge && step < high - edge { step } else { middle }
}

/// A point with the function's value and gradient there.
#[derive(Default)]
struct Point {
    at: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

/// What the next observation is for.
enum Phase {
    /// The start.
    Start,
    /// A longer and longer step (algorithm 3.5); the last one evaluated, and how many were.
    Bracket { last: LinePoint, evaluated: usize },
    /// A step between `low`, the better end, and `high` (algorithm 3.6).
    Zoom { low: LinePoint, high: LinePoint, evaluated: usize },
    /// Nothing: the search has ended.
    Ended,
}

/// One search for a minimum.
pub(crate) struct Lbfgs {
    stop: Stop,
    /// The best point so far: where the current line starts.
    best: Point,
    direction: Vec<f64>,
    origin: LinePoint,
    phase: Phase,
    /// Where the function is to be evaluated next, and at which step of the line that is.
    query: Vec<f64>,
    step: f64,
    history: History,
    iterations: usize,
}

/// Multiplies a vector by an approximate inverse of the Hessian.
pub(crate) type Precondition<'a> = &'a dyn Fn(&mut [f64]);

impl Lbfgs {
    /// A search from `start` with the history of another one.
    pub fn new(start: Vec<f64>, stop: Stop, history: History) -> Self {
        let origin = LinePoint { step: 0.0, value: 0.0, slope: 0.0 };
        let (best, direction) = (Point::default(), Vec::new());
        Self { stop, best, direction, origin, phase: Phase::Start, query: start, step: 0.0, history, iterations: 0 }
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Where the function is to be evaluated.
    pub fn query_point(&self) -> &[f64] {
        &self.query
    }

    /// The result and the history; the best point so far when it has not ended.
    pub fn into_result(self) -> (Minimum, History) {
        let converged = max_norm(&self.best.gradient) < self.stop.gradient;
        let Point { at, value, .. } = self.best;
        (Minimum { at, value, iterations: self.iterations, converged }, self.history)
    }

    /// Takes the function's value and gradient at [`Lbfgs::query_point`].
    pub fn observe(&mut self, value: f64, gradient: &[f64], precondition: Precondition<'_>) {
        let point = LinePoint { step: self.step, value, slope: dot(gradient, &self.direction) };
        let (origin, limit) = (self.origin, -C2 * self.origin.slope);
        // Near the end differences drown in rounding; `noise` keeps that from being taken for a rise.
        let slack = self.stop.noise * origin.value.abs();
        let too_high = !value.is_finite() || value > origin.value + C1 * point.step * origin.slope + slack;
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let next = match phase {
            Phase::Ended => return,
            Phase::Start => return self.accept(value, gradient, precondition),
            Phase::Bracket { last, evaluated } => {
                if too_high || (evaluated > 0 && value >= last.value + slack) {
                    Some(Phase::Zoom { low: last, high: point, evaluated: 0 })
                } else if point.slope.abs() <= limit {
                    return self.accept(value, gradient, precondition);
                } else if point.slope >= 0.0 {
                    Some(Phase::Zoom { low: point, high: last, evaluated: 0 })
                } else {
                    (evaluated < MAX_EVALUATIONS).then_some(Phase::Bracket { last: point, evaluated: evaluated + 1 })
                }
            }
            Phase::Zoom { mut low, mut high, evaluated } => {
                if too_high || value >= low.value + slack {
                    high = point;
                } else {
                    if point.slope.abs() <= limit {
                        return self.accept(value, gradient, precondition);
                    }
                    if point.slope * (high.step - low.step) >= 0.0 {
                        high = low;
                    }
                    low = point;
                }
                let narrow = (high.step - low.step).abs() <= 1e-14 * low.step.abs();
                (evaluated < MAX_EVALUATIONS && !narrow).then_some(Phase::Zoom { low, high, evaluated: evaluated + 1 })
            }
        };
        match next {
            Some(phase) => {
                let step = match &phase {
                    Phase::Zoom { low, high, .. } => cubic_minimum(*low, *high),
                    _ => 2.0 * point.step,
                };
                self.phase = phase;
                self.step_to(step);
            }
            None => self.restart(precondition),
        }
    }

    /// Takes the point just evaluated as the best one and starts the next line.
    fn accept(&mut self, value: f64, gradient: &[f64], precondition: Precondition<'_>) {
        if !self.best.at.is_empty() {
            let s = difference(&self.query, &self.best.at);
            self.history.push(s, difference(gradient, &self.best.gradient), precondition);
        }
        self.best.at.clone_from(&self.query);
        self.best.gradient.clear();
        self.best.gradient.extend_from_slice(gradient);
        self.best.value = value;
        self.start_line(precondition);
    }

    fn start_line(&mut self, precondition: Precondition<'_>) {
        if max_norm(&self.best.gradient) < self.stop.gradient || self.iterations >= self.stop.iterations {
            self.phase = Phase::Ended;
            return;
        }
        self.iterations += 1;
        self.direction = self.history.direction(&self.best.gradient, precondition);
        let slope = dot(&self.best.gradient, &self.direction);
        self.origin = LinePoint { step: 0.0, value: self.best.value, slope };
        if slope.is_nan() || slope >= 0.0 {
            return self.restart(precondition);
        }
        self.phase = Phase::Bracket { last: self.origin, evaluated: 0 };
        // Without curvature to go by, a first step is of unit length at most.
        let length = if self.history.pairs.is_empty() { dot(&self.direction, &self.direction).sqrt() } else { 1.0 };
        self.step_to(1.0 / length.max(1.0));
    }

    /// Curvature from rounding noise leads nowhere: starts again from the gradient, or ends when that was tried.
    fn restart(&mut self, precondition: Precondition<'_>) {
        if self.history.pairs.is_empty() {
            self.phase = Phase::Ended;
        } else {
            self.history.pairs.clear();
            self.start_line(precondition);
        }
    }

    fn step_to(&mut self, step: f64) {
        self.step = step;
        let line = self.query.iter_mut().zip(&self.best.at).zip(&self.direction);
        line.for_each(|((query, from), d)| *query = from + step * d);
    }
}

/// The last steps `s` with the changes `y` of the gradient over them, and `1 / (y s)`.
#[derive(Default)]
pub(crate) struct History {
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    /// `s y / y P y` of the newest step, P the preconditioner.
    scale: f64,
}

impl History {
    /// `-H g` by the two-loop recursion (algorithm 7.4), `H0 = (s y / y P y) P` of the newest step.
    fn direction(&self, gradient: &[f64], precondition: Precondition<'_>) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for (s, y, rho) in self.pairs.iter().rev() {
            let alpha = rho * dot(s, &q);
            add(&mut q, -alpha, y);
            alphas.push(alpha);
        }
        precondition(&mut q);
        if !self.pairs.is_empty() {
            for q in &mut q {
                *q *= self.scale;
            }
        }
        for ((s, y, rho), alpha) in self.pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = rho * dot(y, &q);
            add(&mut q, alpha - beta, s);
        }
        q
    }

    /// Adds a step unless its curvature is lost in rounding.
    fn push(&mut self, s: Vec<f64>, y: Vec<f64>, precondition: Precondition<'_>) {
        let curvature = dot(&s, &y);
        if curvature > 1e-16 * dot(&y, &y).sqrt() * dot(&s, &s).sqrt() {
            if self.pairs.len() == HISTORY {
                self.pairs.pop_front();
            }
            let mut shaped = y.clone();
            precondition(&mut shaped);
            self.scale = curvature / dot(&y, &shaped);
            self.pairs.push_back((s, y, 1.0 / curvature));
        }
    }

    /// Makes it the history of the function with `more / 2 ||p||^2` added over the first `count` parameters p; steps
    /// that then show no curvature are dropped.
    pub fn shift_l2(&mut self, more: f64, count: usize) {
        for (s, y, rho) in &mut self.pairs {
            y[..count].iter_mut().zip(&*s).for_each(|(y, s)| *y += more * s);
            *rho = 1.0 / dot(s, y);
        }
        let lost = |s: &[f64], y: &[f64]| dot(s, y) <= 1e-8 * dot(y, y).sqrt() * dot(s, s).sqrt();
        self.pairs.retain(|(s, y, _)| !lost(s, y));
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], scale: f64, what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += scale * what);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn max_norm(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |norm, a| norm.max(a.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIGHT: Stop = Stop { gradient: 1e-9, iterations: 500, noise: 0.0 };

    fn minimise(start: Vec<f64>, stop: Stop, mut function: impl FnMut(&[f64], &mut [f64]) -> f64) -> Minimum {
        let mut gradient = vec![0.0; start.len()];
        let mut search = Lbfgs::new(start, stop, History::default());
        while !search.has_ended() {
            let value = function(search.query_point(), &mut gradient);
            search.observe(value, &gradient, &|_| {});
        }
        search.into_result().0
    }

    #[test]
    fn the_rosenbrock_valley_is_followed_to_its_end() {
        let found = minimise(vec![-1.2, 1.0], TIGHT, |p, g| {
            let (a, b) = (1.0 - p[0], p[1] - p[0] * p[0]);
            g[0] = -2.0 * a - 400.0 * p[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        });
        assert!(found.converged && found.iterations < 60, "{found:?}");
        assert!((found.at[0] - 1.0).abs() < 1e-8 && (found.at[1] - 1.0).abs() < 1e-8, "{found:?}");
    }

    #[test]
    fn an_ill_conditioned_bowl_is_solved() {
        let scale = |i: usize| 10.0_f64.powf(i as f64 / 20.0);
        let found = minimise(vec![0.0; 40], TIGHT, |p, g| {
            (0..40).for_each(|i| g[i] = scale(i) * (p[i] - 1.0));
            (0..40).map(|i| scale(i) * (p[i] - 1.0).powi(2) / 2.0).sum()
        });
        assert!(found.converged, "{found:?}");
        assert!(found.at.iter().all(|p| (p - 1.0).abs() < 1e-8), "{found:?}");
    }

    #[test]
    fn a_function_without_minimum_ends_with_the_iterations() {
        let found = minimise(vec![0.0], Stop { gradient: 1e-30, iterations: 7, noise: 0.0 }, |p, g| {
            g[0] = -(-p[0]).exp();
            (-p[0]).exp()
        });
        assert!(!found.converged && found.iterations <= 7 && found.value < 1.0, "{found:?}");
    }
}
