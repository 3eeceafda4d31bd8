//! What lies under the parts, and the grain of surfaces: noise from a hash of the place, so no state is needed.

use rand::{Rng, RngExt};

/// A colour as linear red, green, blue, 0..1.
pub(super) type Colour = [f32; 3];

/// Each channel of `a` times `by`.
#[inline]
pub(super) fn scaled(a: Colour, by: f32) -> Colour {
    a.map(|channel| channel * by)
}

/// `a` where `t` is 0, `b` where it is 1.
#[inline]
pub(super) fn mixed(a: Colour, b: Colour, t: f32) -> Colour {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// Smooth noise in 0..1 with a grain of one unit.
pub(super) fn noise(x: f32, y: f32, salt: u32) -> f32 {
    let (left, top) = (floor(x), floor(y));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let (sx, sy) = (fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy));
    let at = |dx, dy| lattice(left.wrapping_add(dx), top.wrapping_add(dy), salt);
    let upper = at(0, 0) + (at(1, 0) - at(0, 0)) * sx;
    let lower = at(0, 1) + (at(1, 1) - at(0, 1)) * sx;
    upper + (lower - upper) * sy
}

/// The whole number at or below; `f32::floor` is a call into the library on processors taken at their oldest.
#[inline]
fn floor(x: f32) -> i32 {
    x as i32 - i32::from(x < (x as i32) as f32)
}

#[inline]
fn lattice(x: i32, y: i32, salt: u32) -> f32 {
    let mut hash = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77) ^ salt;
    hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
    hash = (hash ^ (hash >> 12)).wrapping_mul(0x297a_2d39);
    (hash >> 8) as f32 / 16_777_216.0
}

/// Kinds of ground.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Belt,
    Plate,
    Bench,
    Tray,
}

/// The ground under a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    kind: Kind,
    base: Colour,
    turn: (f32, f32),
    grain_px: f32,
    salt: u32,
}

impl Ground {
    /// A belt, a brushed plate, a wooden bench or a plastic tray, for pictures whose shorter side has `side_px`.
    pub(super) fn draw(side_px: f32, rng: &mut impl Rng) -> Self {
        let shade = rng.random_range(0.8..1.2_f32);
        let tint = rng.random_range(0.0..1.0_f32);
        let (kind, base) = match rng.random_range(0..10_u8) {
            0..5 => (Kind::Belt, mixed([0.045, 0.05, 0.055], [0.03, 0.075, 0.06], tint)),
            5..7 => (Kind::Plate, mixed([0.3, 0.31, 0.32], [0.2, 0.22, 0.25], tint)),
            7..8 => (Kind::Bench, mixed([0.36, 0.22, 0.11], [0.24, 0.14, 0.07], tint)),
            _ => (Kind::Tray, mixed([0.05, 0.13, 0.27], [0.1, 0.24, 0.2], tint)),
        };
        let angle = rng.random_range(-0.12..0.12_f32);
        Self {
            kind,
            base: scaled(base, shade),
            turn: (angle.cos(), angle.sin()),
            grain_px: side_px / 240.0,
            salt: rng.random(),
        }
    }

    /// Its colour at a pixel.
    pub(super) fn at(&self, x_px: f32, y_px: f32) -> Colour {
        let (x, y) = (x_px / self.grain_px, y_px / self.grain_px);
        let (x, y) = (x * self.turn.0 - y * self.turn.1, x * self.turn.1 + y * self.turn.0);
        let wear = noise(x / 47.0, y / 47.0, self.salt);
        let grain = match self.kind {
            Kind::Belt => {
                let weave = 1.0 - 0.22 * f32::from(u8::from((triangle(x / 7.0) - triangle(y / 7.0)).abs() < 0.16));
                weave * (0.8 + 0.4 * noise(x / 1.6, y / 1.6, self.salt))
            }
            Kind::Plate => 0.78 + 0.44 * noise(x / 31.0, y / 1.1, self.salt),
            Kind::Bench => {
                let ring = triangle(y / 23.0 + 1.7 * noise(x / 90.0, y / 23.0, self.salt));
                0.72 + 0.3 * ring + 0.2 * noise(x / 26.0, y / 1.3, self.salt)
            }
            Kind::Tray => 0.9 + 0.2 * noise(x / 2.2, y / 2.2, self.salt),
        };
        scaled(self.base, grain * (0.78 + 0.44 * wear))
    }
}

/// A triangle wave of period 1 in 0..1.
fn triangle(x: f32) -> f32 {
    (2.0 * (x - floor(x) as f32) - 1.0).abs()
}
