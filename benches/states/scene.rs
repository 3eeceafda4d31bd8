//! What the camera sees: a yard's wall with a gate and two lamps, and what comes between them and the camera.
//!
//! Light is linear, in parts of full daylight; the camera's gain, gamma, noise and shake come last.

use image::RgbImage;
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

pub const WIDTH: u32 = 192;
pub const HEIGHT: u32 = 144;

/// Left, top, right, bottom in parts of width and height: the gate, the left lamp, the right lamp.
pub const REGIONS: [[f32; 4]; 3] = [[0.3, 0.34, 0.7, 0.86], [0.1, 0.2, 0.27, 0.52], [0.73, 0.2, 0.9, 0.52]];

type Colour = [f32; 3];

/// One camera over one yard.
pub struct Site {
    /// Reflectance of every pixel with the gate closed, and of what is behind it.
    closed: Vec<Colour>,
    behind: Vec<Colour>,
    /// Light of each lamp on every pixel, where it is lit.
    glow: [Vec<f32>; 2],
    lamps: [(f32, f32); 2],
    lamp_colour: Colour,
    /// Strength of a lamp beside daylight.
    lamp_power: f32,
}

/// What passes before the gate or lies on the lens: a soft box in parts of the picture.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    pub centre: (f32, f32),
    pub half: (f32, f32),
    pub colour: Colour,
    /// Width of its edge in parts of the picture; large on the lens.
    pub edge: f32,
    /// Lit as the yard is, or by the camera's own light.
    pub is_on_lens: bool,
}

/// Everything about a frame but its noise.
#[derive(Debug, Clone)]
pub struct Moment {
    /// 0 by night, 1 at noon.
    pub daylight: f32,
    /// How far the gate is open, 0..1.
    pub open: f32,
    pub lit: [bool; 2],
    pub bodies: Vec<Body>,
    /// Light straight into the lens: where from, and how strong.
    pub glare: Vec<(f32, f32, f32)>,
    /// Share of what is seen that is haze, 0..1.
    pub haze: f32,
    /// Where shadows of leaves are now.
    pub leaves: f32,
    pub shake: (i32, i32),
    /// What the exposure is off by, as a factor.
    pub drift: f32,
}

impl Site {
    pub fn new(number: u64) -> Self {
        let rng = &mut ChaCha8Rng::seed_from_u64(0x51_7e00 + number);
        let salt: u32 = rng.random();
        let wall = [[0.42, 0.3, 0.24], [0.55, 0.53, 0.5], [0.4, 0.42, 0.36]][rng.random_range(0..3)];
        let gate = [[0.3, 0.33, 0.36], [0.5, 0.48, 0.45], [0.24, 0.3, 0.24], [0.4, 0.22, 0.14]][rng.random_range(0..4)];
        let yard = [[0.3, 0.3, 0.29], [0.24, 0.3, 0.17], [0.36, 0.32, 0.26]][rng.random_range(0..3)];
        let slats: f32 = rng.random_range(9.0..16.0);
        let lamps = [(0.185, rng.random_range(0.3..0.38)), (0.815, rng.random_range(0.3..0.38))];
        let (mut closed, mut behind, mut glow) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
        for (x, y) in pixels() {
            let grain = 0.8 + 0.4 * noise(40.0 * x, 40.0 * y, salt) * (0.6 + 0.8 * noise(5.0 * x, 5.0 * y, salt + 1));
            let brick = if (y * 40.0).fract() < 0.12 { 0.75 } else { 1.0 };
            let mut surface = match y {
                y if y < 0.16 => [0.75, 0.8, 0.9],
                y if y < 0.84 => wall.map(|c: f32| c * grain * brick),
                _ => [0.27, 0.26, 0.25].map(|c: f32| c * grain),
            };
            for (lamp_x, lamp_y) in lamps {
                if (x - lamp_x).abs() < 0.022 && (y - lamp_y).abs() < 0.05 {
                    surface = [0.5, 0.5, 0.48];
                }
            }
            let within = in_box(x, y, GATE);
            let slat = if ((x - GATE[0]) * slats / (GATE[2] - GATE[0])).fract() < 0.14 { 0.55 } else { 1.0 };
            closed.push(if within { gate.map(|c: f32| c * slat * (0.9 + 0.2 * grain)) } else { surface });
            // A drive that narrows, a hedge, and a strip of sky.
            let far = (y - GATE[1]) / (GATE[3] - GATE[1]);
            let drive = (x - 0.5).abs() < 0.05 + 0.13 * far;
            let depth = match far {
                far if far < 0.22 => [0.5, 0.55, 0.62],
                far if far < 0.45 => [0.09, 0.15, 0.07].map(|c: f32| c * (0.5 + noise(60.0 * x, 60.0 * y, salt + 2))),
                _ if drive => yard.map(|c: f32| c * grain),
                _ => [0.13, 0.2, 0.08].map(|c: f32| c * grain),
            };
            behind.push(if within { depth } else { surface });
            for (light, (lamp_x, lamp_y)) in glow.iter_mut().zip(lamps) {
                let (dx, dy) = ((x - lamp_x) * 4.0 / 3.0, y - lamp_y - 0.02);
                light.push(0.012 / (0.012 + dx * dx + dy * dy));
            }
        }
        let warm = rng.random_range(0.6..0.95);
        Self { closed, behind, glow, lamps, lamp_colour: [1.0, 0.5 + 0.5 * warm, warm * warm], lamp_power: 0.22 }
    }

    /// The picture, by a camera whose gain follows the light with a delay; `gain` is the last one and becomes this one.
    pub fn render(&self, moment: &Moment, gain: &mut f32, rng: &mut impl Rng) -> RgbImage {
        let mut light: Vec<Colour> = self.light(moment);
        let mean = light.iter().map(|c| (c[0] + c[1] + c[2]) / 3.0).sum::<f32>() / light.len() as f32;
        let wanted = (0.2 / mean.max(1e-4)).clamp(0.25, 14.0);
        *gain = if *gain == 0.0 { wanted } else { 0.35 * *gain + 0.65 * wanted };
        // By night the picture is grey, and noisy.
        let grey = ((0.12 - moment.daylight) / 0.08).clamp(0.0, 1.0);
        for colour in &mut light {
            let luma = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
            *colour = colour.map(|c| (c + (luma - c) * grey * 0.8) * *gain * moment.drift);
        }
        let sigma = 0.012 * gain.sqrt();
        let mut picture = RgbImage::new(WIDTH, HEIGHT);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let from = |at: u32, by: i32, end: u32| at.saturating_add_signed(by).min(end - 1);
            let colour = light[(from(y, moment.shake.1, HEIGHT) * WIDTH + from(x, moment.shake.0, WIDTH)) as usize];
            let grain = rng.next_u64().to_le_bytes();
            for channel in 0..3 {
                let bell = (f32::from(grain[2 * channel]) + f32::from(grain[2 * channel + 1]) - 255.0) / 128.0;
                pixel.0[channel] = ((colour[channel].clamp(0.0, 1.0).sqrt() + sigma * bell) * 255.0 + 0.5) as u8;
            }
        }
        picture
    }

    /// What reaches the lens, row by row.
    fn light(&self, moment: &Moment) -> Vec<Colour> {
        // Daylight, and the camera's own lamp by night.
        let day = moment.daylight.max(0.0);
        let sky = [day * (0.9 + 0.1 * day), day * 0.95, day * (1.05 - 0.1 * day)];
        let own = 0.035 * (1.0 - day * 4.0).clamp(0.0, 1.0);
        let edge = GATE[0] + (GATE[2] - GATE[0]) * moment.open;
        pixels()
            .enumerate()
            .map(|(i, (x, y))| {
                let surface = if x < edge { self.behind[i] } else { self.closed[i] };
                let shade = 1.0 - 0.45 * day * noise(9.0 * x + moment.leaves, 9.0 * y, 77).powi(3) * 2.0;
                let mut lit = sky.map(|c| c * shade + own);
                for lamp in (0..2).filter(|lamp| moment.lit[*lamp]) {
                    for (lit, colour) in lit.iter_mut().zip(self.lamp_colour) {
                        *lit += self.lamp_power * colour * self.glow[lamp][i];
                    }
                }
                let mut seen = [0, 1, 2].map(|c| surface[c] * lit[c]);
                for (lamp, (lamp_x, lamp_y)) in self.lamps.iter().enumerate().filter(|(lamp, _)| moment.lit[*lamp]) {
                    let near = ((x - lamp_x) / 0.02).powi(2) + ((y - lamp_y) / 0.04).powi(2);
                    let core = self.lamp_power * 3.0 * (-near).exp() + 0.05 * self.glow[lamp][i].powi(2);
                    seen = [0, 1, 2].map(|c| seen[c] + core * self.lamp_colour[c]);
                }
                for body in &moment.bodies {
                    let out = ((x - body.centre.0).abs() - body.half.0).max((y - body.centre.1).abs() - body.half.1);
                    let cover = (0.5 - out / body.edge).clamp(0.0, 1.0);
                    let own =
                        [0, 1, 2].map(|c| body.colour[c] * if body.is_on_lens { 0.3 * day + own } else { lit[c] });
                    seen = [0, 1, 2].map(|c| seen[c] + (own[c] - seen[c]) * cover);
                }
                let veil = day * 0.75 + own;
                seen = seen.map(|c| c + (veil - c) * moment.haze);
                for (from_x, from_y, strength) in &moment.glare {
                    let d = ((x - from_x) * 4.0 / 3.0).powi(2) + (y - from_y).powi(2);
                    let added = strength * (0.02 / (0.02 + d) + 0.12);
                    seen = [seen[0] + added, seen[1] + 0.95 * added, seen[2] + 0.85 * added];
                }
                seen
            })
            .collect()
    }
}

/// Where the gate is.
const GATE: [f32; 4] = [0.34, 0.4, 0.66, 0.82];

fn in_box(x: f32, y: f32, [left, top, right, bottom]: [f32; 4]) -> bool {
    (left..right).contains(&x) && (top..bottom).contains(&y)
}

/// The middle of every pixel in parts of width and height, row by row.
fn pixels() -> impl Iterator<Item = (f32, f32)> {
    let part = |at: u32, of: u32| (at as f32 + 0.5) / of as f32;
    (0..HEIGHT).flat_map(move |y| (0..WIDTH).map(move |x| (part(x, WIDTH), part(y, HEIGHT))))
}

/// Smooth noise in 0..1 with a grain of one unit.
fn noise(x: f32, y: f32, salt: u32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let at = |dx: i32, dy: i32| {
        let mut hash = ((left as i32 + dx) as u32).wrapping_mul(0x9e37_79b1)
            ^ ((top as i32 + dy) as u32).wrapping_mul(0x85eb_ca77)
            ^ salt;
        hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
        hash = (hash ^ (hash >> 12)).wrapping_mul(0x297a_2d39);
        (hash >> 8) as f32 / 16_777_216.0
    };
    let upper = at(0, 0) + (at(1, 0) - at(0, 0)) * fx;
    let lower = at(0, 1) + (at(1, 1) - at(0, 1)) * fx;
    upper + (lower - upper) * fy
}
