//! `HardSwish` as exporters write it out: `x` times `clip(x + 3, 0, 6)` or its sixth, in any order of the steps.

use crate::train::{Clamp, Made};

/// What a tensor is.
#[derive(Debug, Clone, Copy)]
pub enum Seen {
    /// A map.
    Map(Made),
    /// `x + 3`
    Shifted(Made),
    /// `factor clip(x + 3, 0, 6)`
    Ramp(Made, f32),
    /// `factor x clip(x + 3, 0, 6)`
    Product(Made, f32),
}

/// What a step makes of [`Seen`].
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A part of the activation.
    Part(Seen),
    /// The whole, of this map.
    HardSwish(Made),
}

const SIXTH: f32 = 1.0 / 6.0;
/// Exporters write a sixth with as few digits as this.
const NEAR: f32 = 1e-4;

/// `HardSigmoid` of a map.
pub fn hard_sigmoid(x: Made, alpha: f32, beta: f32) -> Option<Step> {
    let is_the_one = (alpha - SIXTH).abs() < NEAR && (beta - 0.5).abs() < NEAR;
    is_the_one.then_some(Step::Part(Seen::Ramp(x, SIXTH)))
}

/// A number added.
pub fn shifted(x: Made, by: f32) -> Option<Step> {
    (by.to_bits() == 3_f32.to_bits()).then_some(Step::Part(Seen::Shifted(x)))
}

/// `x + 3`, clamped.
pub fn clamped(x: Made, Clamp { low, high }: Clamp) -> Option<Step> {
    let is_the_one = low.abs() < f32::EPSILON && (high - 6.0).abs() < f32::EPSILON;
    is_the_one.then_some(Step::Part(Seen::Ramp(x, 1.0)))
}

/// A part times a number.
pub fn scaled(part: Seen, by: f32) -> Option<Step> {
    match part {
        Seen::Ramp(x, factor) => Some(Step::Part(Seen::Ramp(x, factor * by))),
        Seen::Product(x, factor) => Some(product(x, factor * by)),
        _ => None,
    }
}

/// A part times a map.
pub fn multiplied(a: Seen, b: Seen) -> Option<Step> {
    match (a, b) {
        (Seen::Map(x), Seen::Ramp(y, factor)) | (Seen::Ramp(y, factor), Seen::Map(x)) if x == y => {
            Some(product(x, factor))
        }
        _ => None,
    }
}

fn product(x: Made, factor: f32) -> Step {
    if (factor - SIXTH).abs() < NEAR { Step::HardSwish(x) } else { Step::Part(Seen::Product(x, factor)) }
}
