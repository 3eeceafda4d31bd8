//! L-BFGS: minimises a smooth function from values and gradients alone.
//!
//! Two-loop recursion with a line search for the strong Wolfe conditions (Nocedal and Wright, Numerical
//! Optimization, algorithms 7.4, 3.5 and 3.6). No randomness: the same function and start give the same result.

use std::collections::VecDeque;

/// Steps that are remembered.
const MEMORY: usize = 10;
/// Sufficient decrease.
const C1: f64 = 1e-4;
/// Curvature.
const C2: f64 = 0.9;
/// Evaluations that one line search may take.
const MAX_TRIALS: usize = 40;

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stop {
    /// Largest absolute value in the gradient that counts as zero.
    pub gradient: f64,
    /// Iterations at most.
    pub iterations: usize,
}

/// Where and how the search ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Minimum {
    /// The place.
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
struct Trial {
    step: f64,
    value: f64,
    slope: f64,
}

/// The function being minimised, with the last point where it was evaluated.
struct Search<F> {
    function: F,
    at: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

impl<F: FnMut(&[f64], &mut [f64]) -> f64> Search<F> {
    /// Evaluates at `from + step * direction`.
    fn walk(&mut self, from: &[f64], direction: &[f64], step: f64) -> Trial {
        self.at.iter_mut().zip(from).zip(direction).for_each(|((at, from), d)| *at = from + step * d);
        self.value = (self.function)(&self.at, &mut self.gradient);
        Trial { step, value: self.value, slope: dot(&self.gradient, direction) }
    }

    /// Moves to a step that meets the strong Wolfe conditions (algorithm 3.5); false when none was found.
    fn line_search(&mut self, from: &[f64], direction: &[f64], origin: Trial, first: f64) -> bool {
        let (mut last, mut step) = (origin, first);
        for trial_number in 0..MAX_TRIALS {
            let trial = self.walk(from, direction, step);
            let too_high = !trial.value.is_finite() || trial.value > origin.value + C1 * step * origin.slope;
            if too_high || (trial_number > 0 && trial.value >= last.value) {
                return self.zoom(from, direction, origin, last, trial);
            }
            if trial.slope.abs() <= -C2 * origin.slope {
                return true;
            }
            if trial.slope >= 0.0 {
                return self.zoom(from, direction, origin, trial, last);
            }
            last = trial;
            step *= 2.0;
        }
        false
    }

    /// Narrows the bracket between `low` (the better end) and `high` (algorithm 3.6).
    fn zoom(&mut self, from: &[f64], direction: &[f64], origin: Trial, mut low: Trial, mut high: Trial) -> bool {
        for _ in 0..MAX_TRIALS {
            let trial = self.walk(from, direction, between(low, high));
            let too_high = !trial.value.is_finite() || trial.value > origin.value + C1 * trial.step * origin.slope;
            if too_high || trial.value >= low.value {
                high = trial;
            } else {
                if trial.slope.abs() <= -C2 * origin.slope {
                    return true;
                }
                if trial.slope * (high.step - low.step) >= 0.0 {
                    high = low;
                }
                low = trial;
            }
            if (high.step - low.step).abs() <= 1e-14 * low.step.abs() {
                break;
            }
        }
        false
    }
}

/// The minimum of the cubic through both trials, or their middle when it lies too close to an end.
fn between(a: Trial, b: Trial) -> f64 {
    let middle = f64::midpoint(a.step, b.step);
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step);
    let d2 = (b.step - a.step).signum() * (d1 * d1 - a.slope * b.slope).sqrt();
    let step = b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    let (low, high) = (a.step.min(b.step), a.step.max(b.step));
    let edge = 0.1 * (high - low);
    if step.is_finite() && step > low + edge && step < high - edge { step } else { middle }
}

/// Minimises `function` from `start`; it is given a place, writes its gradient there and returns its value.
///
/// Ends at the best place found when rounding leaves no way further down; `converged` is then false.
pub(super) fn minimise(start: Vec<f64>, stop: Stop, mut function: impl FnMut(&[f64], &mut [f64]) -> f64) -> Minimum {
    let mut gradient = vec![0.0; start.len()];
    let value = function(&start, &mut gradient);
    let mut best = (start.clone(), gradient.clone(), value);
    let mut search = Search { function, at: start, gradient, value };
    let mut memory = Memory::default();
    let mut iterations = 0;
    while max_norm(&best.1) >= stop.gradient && iterations < stop.iterations {
        iterations += 1;
        let direction = memory.direction(&best.1);
        let origin = Trial { step: 0.0, value: best.2, slope: dot(&best.1, &direction) };
        // The first step has no curvature to go by: start with one of unit length.
        let first = if memory.0.is_empty() { 1.0 / dot(&best.1, &best.1).sqrt().max(1.0) } else { 1.0 };
        if origin.slope >= 0.0 || !search.line_search(&best.0, &direction, origin, first) {
            if memory.0.is_empty() {
                break;
            }
            // Curvature from rounding noise leads nowhere: begin anew from the gradient.
            memory.0.clear();
            continue;
        }
        memory.learn(difference(&search.at, &best.0), difference(&search.gradient, &best.1));
        best = (search.at.clone(), search.gradient.clone(), search.value);
    }
    let converged = max_norm(&best.1) < stop.gradient;
    Minimum { at: best.0, value: best.2, iterations, converged }
}

/// The last steps `s` with the changes `y` of the gradient over them, and `1 / (y s)`.
#[derive(Default)]
struct Memory(VecDeque<(Vec<f64>, Vec<f64>, f64)>);

impl Memory {
    /// `-H g` by the two-loop recursion (algorithm 7.4), `H0 = (s y / y y) I` of the newest step.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut alphas = Vec::with_capacity(self.0.len());
        for (s, y, rho) in self.0.iter().rev() {
            let alpha = rho * dot(s, &q);
            add(&mut q, -alpha, y);
            alphas.push(alpha);
        }
        if let Some((_, y, rho)) = self.0.back() {
            let scale = 1.0 / (rho * dot(y, y));
            for q in &mut q {
                *q *= scale;
            }
        }
        for ((s, y, rho), alpha) in self.0.iter().zip(alphas.into_iter().rev()) {
            let beta = rho * dot(y, &q);
            add(&mut q, alpha - beta, s);
        }
        q
    }

    /// Remembers a step unless its curvature is lost in rounding.
    fn learn(&mut self, s: Vec<f64>, y: Vec<f64>) {
        let curvature = dot(&s, &y);
        if curvature > 1e-16 * dot(&y, &y).sqrt() * dot(&s, &s).sqrt() {
            if self.0.len() == MEMORY {
                self.0.pop_front();
            }
            self.0.push_back((s, y, 1.0 / curvature));
        }
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

    const TIGHT: Stop = Stop { gradient: 1e-9, iterations: 500 };

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
        let found = minimise(vec![0.0], Stop { gradient: 1e-30, iterations: 7 }, |p, g| {
            g[0] = -(-p[0]).exp();
            (-p[0]).exp()
        });
        assert!(!found.converged && found.iterations <= 7 && found.value < 1.0, "{found:?}");
    }
}
