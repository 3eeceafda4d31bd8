//! One picture: what is drawn from the seed, and how it is lit and seen.

use std::f32::consts::TAU;

use image::RgbImage;
use rand::{Rng, RngExt};

use super::shape::{Point, Relief, Shape};
use super::texture::{Colour, Ground, mixed, noise, scaled};
use super::{Light, Part};

/// Linear colours of bare steel, zinc, brass, copper and black oxide.
const METALS: [Colour; 5] =
    [[0.52, 0.54, 0.56], [0.6, 0.6, 0.55], [0.62, 0.44, 0.16], [0.58, 0.28, 0.16], [0.09, 0.09, 0.1]];

/// Everything about a picture but its sensor noise.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    size: (u32, u32),
    shape: Shape,
    ground: Ground,
    metal: Colour,
    gloss: f32,
    salt: u32,
    /// Where the part lies: centre in pixels, radius in pixels, rotation, and how far the view is tilted.
    centre: (f32, f32),
    radius_px: f32,
    turn: (f32, f32),
    squeeze: f32,
    /// Towards the lamp in the picture's plane, and up.
    lamp: [f32; 3],
    tint: Colour,
    /// Falls off by this much over the picture, away from the lamp.
    falloff: f32,
    blur: f32,
    noise: f32,
}

impl Scene {
    /// Draws everything that varies.
    pub(super) fn draw(part: Part, light: &Light, size: (u32, u32), rng: &mut impl Rng) -> Self {
        let (width, height) = (size.0 as f32, size.1 as f32);
        let side = width.min(height);
        let shape = Shape::draw(part, rng);
        let reach = if shape.is_long() { rng.random_range(0.3..0.46) } else { rng.random_range(0.24..0.4) };
        let radius_px = side * reach;
        let place = |length: f32, at: f32| {
            let free = (length / 2.0 - radius_px * 1.04).max(0.0);
            length / 2.0 + free * at
        };
        let centre = (place(width, rng.random_range(-1.0..1.0_f32)), place(height, rng.random_range(-1.0..1.0_f32)));
        let angle = rng.random_range(0.0..TAU);
        let metal = METALS[[0, 0, 0, 1, 1, 2, 3, 4][rng.random_range(0..8_usize)]];
        let azimuth = (light.azimuth_deg + rng.random_range(-25.0..25.0_f32)).to_radians();
        let elevation = (light.elevation_deg + rng.random_range(-8.0..8.0_f32)).clamp(15.0, 85.0).to_radians();
        let warmth = light.warmth + rng.random_range(-0.15..0.15_f32);
        let exposure = light.brightness * rng.random_range(0.85..1.2_f32);
        Self {
            size,
            shape,
            ground: Ground::draw(side, rng),
            metal: scaled(metal, rng.random_range(0.85..1.15)),
            gloss: rng.random_range(0.3..1.0),
            salt: rng.random(),
            centre,
            radius_px,
            turn: (angle.cos(), angle.sin()),
            squeeze: rng.random_range(0.88..1.0),
            lamp: [azimuth.cos() * elevation.cos(), azimuth.sin() * elevation.cos(), elevation.sin()],
            tint: scaled([1.0 + 0.22 * warmth, 1.0, 1.0 - 0.3 * warmth], exposure),
            falloff: rng.random_range(0.05..0.4),
            blur: if rng.random_bool(0.5) { rng.random_range(0.0..0.8) } else { 0.0 },
            noise: rng.random_range(0.004..0.02),
        }
    }

    /// The same without the part.
    pub(super) fn emptied(self) -> Self {
        Self { shape: Shape::Nothing, ..self }
    }

    /// The picture; `rng` gives the sensor's noise.
    pub(super) fn render(&self, rng: &mut impl Rng) -> RgbImage {
        let (width, height) = self.size;
        let mut pixels: Vec<Colour> = Vec::with_capacity((width * height) as usize);
        for y in 0..height {
            for x in 0..width {
                pixels.push(self.seen(x as f32 + 0.5, y as f32 + 0.5));
            }
        }
        if self.blur > 0.05 {
            blur(&mut pixels, width as usize, self.blur * self.size.1.min(self.size.0) as f32 / 240.0);
        }
        let mut picture = RgbImage::new(width, height);
        for (to, from) in picture.pixels_mut().zip(&pixels) {
            let grain = rng.next_u64().to_le_bytes();
            for channel in 0..3 {
                // The mean of two bytes stands in for a bell curve; the root is the display's gamma of 2.
                let bell = (f32::from(grain[2 * channel]) + f32::from(grain[2 * channel + 1]) - 255.0) / 128.0;
                let value = from[channel].clamp(0.0, 1.0).sqrt() + self.noise * bell;
                to.0[channel] = (value * 255.0 + 0.5) as u8;
            }
        }
        picture
    }

    /// The share of pixels whose middle lies on the part.
    pub(super) fn coverage(&self) -> f32 {
        let (width, height) = self.size;
        let on_part = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x as f32 + 0.5, y as f32 + 0.5)))
            .filter(|&(x, y)| self.relief(x, y).distance < 0.0)
            .count();
        on_part as f32 / (width * height) as f32
    }

    /// The relief under a place of the picture.
    fn relief(&self, x_px: f32, y_px: f32) -> Relief {
        let (dx, dy) = ((x_px - self.centre.0) / self.radius_px, (y_px - self.centre.1) / self.radius_px);
        let dy = dy / self.squeeze;
        let p = Point { x: dx * self.turn.0 + dy * self.turn.1, y: dy * self.turn.0 - dx * self.turn.1 };
        self.shape.at(p)
    }

    /// The light that one pixel receives.
    fn seen(&self, x: f32, y: f32) -> Colour {
        let ground = self.ground.at(x, y);
        let (dx, dy) = ((x - self.centre.0) / self.radius_px, (y - self.centre.1) / self.radius_px);
        let mut colour = scaled(ground, 0.35 + 0.65 * self.lamp[2]);
        if dx * dx + dy * dy < 2.2 {
            let here = self.relief(x, y);
            // A pixel is 1/radius_px wide in units of the part; the outline passes over it linearly.
            let inside = (0.5 - here.distance * self.radius_px).clamp(0.0, 1.0);
            if inside < 1.0 {
                colour = scaled(colour, self.shadow(x, y, here.distance));
            }
            if inside > 0.0 {
                colour = mixed(colour, self.metal_at(x, y, here), inside);
            }
        }
        let (width, height) = (self.size.0 as f32, self.size.1 as f32);
        let along = (x / width - 0.5) * self.lamp[0] + (y / height - 0.5) * self.lamp[1];
        let lit = 1.0 + self.falloff * along;
        [colour[0] * self.tint[0] * lit, colour[1] * self.tint[1] * lit, colour[2] * self.tint[2] * lit]
    }

    /// How much light reaches the ground beside the part, 0..1.
    fn shadow(&self, x: f32, y: f32, distance: f32) -> f32 {
        let throw = 0.22 / self.lamp[2].max(0.3);
        if distance > throw + 0.1 {
            return 1.0;
        }
        let throw = throw * self.radius_px;
        let caster = self.relief(x + self.lamp[0] * throw, y + self.lamp[1] * throw).distance;
        let cast = ((0.07 - caster) / 0.14).clamp(0.0, 1.0);
        let contact = (1.0 - distance / 0.1).clamp(0.0, 1.0);
        (1.0 - 0.62 * cast) * (1.0 - 0.3 * contact * contact)
    }

    /// The part's surface, lit: a soft sky, a lamp and its highlight.
    fn metal_at(&self, x: f32, y: f32, here: Relief) -> Colour {
        let slope = |dx: f32, dy: f32| {
            let there = self.relief(x + dx, y + dy);
            let rise = if there.distance > 0.0 { -here.height } else { there.height - here.height };
            (rise * self.radius_px).clamp(-2.0, 2.0)
        };
        let (nx, ny) = (-slope(1.0, 0.0), -slope(0.0, 1.0));
        let brushed = noise(x / 9.0, y / 0.9, self.salt) - 0.5;
        let (nx, ny) = (nx + 0.05 * brushed, ny + 0.12 * brushed);
        let length = (nx * nx + ny * ny + 1.0).sqrt();
        let normal = [nx / length, ny / length, 1.0 / length];
        let facing = dot(normal, self.lamp);
        let half = [self.lamp[0], self.lamp[1], self.lamp[2] + 1.0];
        let shine = (dot(normal, half) / dot(half, half).sqrt()).max(0.0);
        let highlight = shine.powi(40) * 0.6 * self.gloss + shine.powi(8) * 0.06;
        // Metal mirrors a bright ceiling towards the lamp and the dark hall away from it.
        let tilt = normal[0] * self.lamp[0] + normal[1] * self.lamp[1];
        let sky = 0.5 + 0.5 * (tilt * 1.6).clamp(-1.0, 1.0);
        let diffuse = 0.14 + 0.42 * facing.max(0.0) + 0.62 * sky * sky;
        scaled(self.metal, diffuse).map(|channel| here.openness * (channel + highlight))
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A lens out of focus: rows, then columns, weighed (w, 1, w) with w from a bell curve of `sigma_px`.
fn blur(pixels: &mut [Colour], width: usize, sigma_px: f32) {
    let w = (-0.5 / (sigma_px * sigma_px)).exp();
    let norm = 1.0 / (1.0 + 2.0 * w);
    for stride in [1, width] {
        let sharp = pixels.to_vec();
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let x = i % width;
            let first = i < stride || (stride == 1 && x == 0);
            let last = i + stride >= sharp.len() || (stride == 1 && x + 1 == width);
            let before = sharp[if first { i } else { i - stride }];
            let after = sharp[if last { i } else { i + stride }];
            for channel in 0..3 {
                pixel[channel] = norm * (sharp[i][channel] + w * (before[channel] + after[channel]));
            }
        }
    }
}
