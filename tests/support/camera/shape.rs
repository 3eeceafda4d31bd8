//! Parts as reliefs: for a point of the belt, how far the outline is and how high the surface.
//!
//! Lengths are in units of the part: its outline fits a circle of radius 1.02 around the origin. Long parts lie
//! along x. Distances need not be exact away from the outline, only smooth and of the right sign.

use std::f32::consts::TAU;

use rand::{Rng, RngExt};

use super::Part;

/// A point in units of the part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    fn radius(self) -> f32 {
        length(self.x, self.y)
    }
}

/// What lies at a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relief {
    /// To the outline, negative inside.
    pub(super) distance: f32,
    /// Of the surface above the belt.
    pub(super) height: f32,
    /// The share of light that finds its way there: 1 on open surfaces, less in holes and grooves.
    pub(super) openness: f32,
}

impl Relief {
    fn open(distance: f32, height: f32) -> Self {
        Self { distance, height, openness: 1.0 }
    }
}

/// A part with its own measures.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Nut { hole: f32 },
    Bolt { shaft: f32, thread_from: f32 },
    Washer { hole: f32 },
    Gear { teeth: f32, hole: f32, windows: f32 },
    Screw { shaft: f32 },
    Spring { wire: f32, centre: Vec<[f32; 3]> },
    Pin { half_width: f32 },
    Bearing { balls: f32 },
    Nothing,
}

impl Shape {
    /// A part of this kind with measures within its tolerance.
    pub(super) fn draw(part: Part, rng: &mut impl Rng) -> Self {
        match part {
            Part::Nut => Self::Nut { hole: rng.random_range(0.42..0.5) },
            Part::Bolt => Self::Bolt { shaft: rng.random_range(0.18..0.24), thread_from: rng.random_range(-0.5..0.2) },
            Part::Washer => Self::Washer { hole: rng.random_range(0.42..0.6) },
            Part::Gear => Self::Gear {
                teeth: rng.random_range(11..19) as f32,
                hole: rng.random_range(0.18..0.26),
                windows: rng.random_range(0..4_u8).into(),
            },
            Part::Screw => Self::Screw { shaft: rng.random_range(0.15..0.2) },
            Part::Spring => spring(rng.random_range(5..9), rng.random_range(0.3..0.42), rng.random_range(0.05..0.07)),
            Part::Pin => Self::Pin { half_width: rng.random_range(0.16..0.23) },
            Part::Bearing => Self::Bearing { balls: rng.random_range(8..11) as f32 },
        }
    }

    /// The relief at `p`.
    pub(super) fn at(&self, p: Point) -> Relief {
        match *self {
            Self::Nut { hole } => nut(p, hole),
            Self::Bolt { shaft, thread_from } => bolt(p, shaft, thread_from),
            Self::Washer { hole } => washer(p, hole),
            Self::Gear { teeth, hole, windows } => gear(p, teeth, hole, windows),
            Self::Screw { shaft } => screw(p, shaft),
            Self::Spring { wire, ref centre } => wire_along(p, wire, centre),
            Self::Pin { half_width } => pin(p, half_width),
            Self::Bearing { balls } => bearing(p, balls),
            Self::Nothing => Relief::open(f32::MAX, 0.0),
        }
    }

    /// Whether it is far longer than wide, and so may reach further for the same area.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Bolt { .. } | Self::Screw { .. } | Self::Spring { .. } | Self::Pin { .. })
    }
}

/// Length of (x, y); `hypot` guards against overflow that cannot happen here and takes several times as long.
fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// Rises from 0 at the outline to 1 at `width` inside, round like a worn edge.
fn edge(distance: f32, width: f32) -> f32 {
    let left = 1.0 - (-distance / width).clamp(0.0, 1.0);
    (1.0 - left * left).sqrt()
}

fn smooth(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn rectangle(p: Point, centre_x: f32, half_x: f32, half_y: f32) -> f32 {
    let (dx, dy) = ((p.x - centre_x).abs() - half_x, p.y.abs() - half_y);
    length(dx.max(0.0), dy.max(0.0)) + dx.max(dy).min(0.0)
}

/// Height of a cylinder of this radius lying along x.
fn cylinder(y: f32, radius: f32) -> f32 {
    (radius * radius - y * y).max(0.0).sqrt()
}

fn nut(p: Point, hole: f32) -> Relief {
    let r = p.radius();
    let flats = p.x.abs().max(0.5 * p.x.abs() + 0.866 * p.y.abs()) - 0.86;
    // The corners of a nut are turned off to a cone.
    let mut height = 0.5 * edge(flats, 0.04) - 0.7 * (r - 0.84).max(0.0);
    let into_hole = hole + 0.1 - r;
    if into_hole > 0.0 {
        height -= 1.6 * into_hole + 0.02 * (into_hole * 200.0).sin();
    }
    let openness = if into_hole > 0.0 { 1.0 - 6.0 * into_hole.min(0.1) } else { 1.0 };
    Relief { distance: flats.max(hole - r), height: height.max(0.02), openness }
}

fn washer(p: Point, hole: f32) -> Relief {
    let r = p.radius();
    let distance = (r - 0.97).max(hole - r);
    Relief::open(distance, 0.1 * edge(distance, 0.05))
}

fn gear(p: Point, teeth: f32, hole: f32, windows: f32) -> Relief {
    let (r, angle) = (p.radius(), p.y.atan2(p.x));
    let tooth = smooth(-0.45, 0.45, (angle * teeth).cos());
    let outline = (r - 0.8 - 0.2 * tooth) * 0.75;
    let keyway = (p.y.abs() - 0.06).max(p.x.abs() - hole - 0.07).max(-p.x);
    let mut distance = outline.max(hole - r).max(-keyway);
    let mut height = 0.3 * edge(outline, 0.05);
    let web = (r - 0.66).max(0.38 - r);
    let recess = smooth(0.03, -0.03, web);
    height -= 0.14 * recess;
    if windows >= 2.0 {
        let count = windows + 2.0;
        let turn = (angle / TAU * count).round() * TAU / count;
        let window = length(p.x - 0.52 * turn.cos(), p.y - 0.52 * turn.sin()) - 0.1;
        distance = distance.max(-window);
    }
    Relief { distance, height: height.max(0.02), openness: 1.0 - 0.3 * recess }
}

fn bolt(p: Point, shaft: f32, thread_from: f32) -> Relief {
    let head = rectangle(p, -0.8, 0.18, 0.46) + 0.1 * (p.y.abs() - 0.36).max(0.0);
    let threaded = smooth(thread_from - 0.02, thread_from + 0.02, p.x);
    let thread = 0.022 * threaded * ((p.x + 0.08 * p.y) * TAU / 0.085).sin();
    let taper = 0.6 * (p.x - 0.92).max(0.0);
    let radius = shaft + thread - taper;
    let rod = (p.y.abs() - radius).max((p.x - 0.2).abs() - 0.82);
    // Three flats of the hexagon are seen: one level, two falling away.
    let head_height = (0.46_f32).min(1.55 * (0.52 - p.y.abs())) * edge(head, 0.05);
    let rod_height = 0.12 + cylinder(p.y, radius.max(0.02)) + thread;
    let height = if head < 0.0 { head_height.max(0.02) } else { rod_height };
    Relief::open(head.min(rod), height)
}

fn screw(p: Point, shaft: f32) -> Relief {
    let cone = 0.46 - 0.95 * (p.x + 0.96).max(0.0);
    let slot = (p.y.abs() - 0.06).max(p.x + 0.88);
    let head = (p.y.abs() - cone.max(shaft * 0.8)).max((p.x + 0.83).abs() - 0.15).max(-slot);
    let taper = shaft * smooth(1.02, 0.35, p.x).sqrt();
    let ridge = ((p.x + 0.25 * p.y) * 8.0).rem_euclid(1.0);
    let thread = 0.055 * (1.0 - 2.0 * (ridge - 0.5).abs()).powi(2) * smooth(-0.55, -0.45, p.x) * smooth(1.0, 0.8, p.x);
    let radius = taper + thread;
    let rod = (p.y.abs() - radius).max((p.x - 0.15).abs() - 0.86);
    let head_height = 0.1 + cylinder(p.y, cone.max(0.02));
    let rod_height = 0.2 + cylinder(p.y, radius.max(0.01)) + thread;
    let height = if head < 0.0 && p.x < -0.7 { head_height } else { rod_height };
    Relief::open(head.min(rod), height)
}

fn pin(p: Point, half_width: f32) -> Relief {
    let chamfer = 0.7 * (p.x.abs() - 0.9).max(0.0);
    let groove = 0.05 * smooth(0.04, 0.02, (p.x - 0.62).abs());
    let radius = half_width - chamfer - groove;
    let hole = length(p.x + 0.66, p.y) - 0.07;
    let distance = (p.y.abs() - radius).max(p.x.abs() - 0.98);
    let openness = 0.2 + 0.8 * smooth(-0.02, 0.01, hole);
    Relief { distance, height: 0.05 + cylinder(p.y, radius.max(0.02)), openness }
}

fn bearing(p: Point, balls: f32) -> Relief {
    let r = p.radius();
    let distance = (r - 0.97).max(0.3 - r);
    let ring = (0.76 - r).min(r - 0.47);
    if ring < 0.0 {
        return Relief::open(distance, (0.3 * edge(distance.max(ring), 0.05)).max(0.02));
    }
    let turn = (p.y.atan2(p.x) / TAU * balls).round() * TAU / balls;
    let off = length(p.x - 0.615 * turn.cos(), p.y - 0.615 * turn.sin());
    let ball = smooth(0.14, 0.12, off);
    Relief { distance, height: 0.04 + cylinder(off, 0.14), openness: 0.22 + 0.78 * ball }
}

/// A helix seen from its side: (x, y, height) along the wire.
fn spring(turns: u8, coil: f32, wire: f32) -> Shape {
    let steps = u16::from(turns) * 24;
    let centre = (0..=steps)
        .map(|step| {
            let along = f32::from(step) / f32::from(steps);
            let turn = along * f32::from(turns) * TAU;
            [(2.0 * along - 1.0) * 0.92, coil * turn.sin(), coil * (1.0 + turn.cos())]
        })
        .collect();
    Shape::Spring { wire, centre }
}

/// A round wire along `centre`, whose points run from x = -0.92 to 0.92 in equal steps.
fn wire_along(p: Point, wire: f32, centre: &[[f32; 3]]) -> Relief {
    let per_unit = (centre.len() - 1) as f32 / 1.84;
    let last = centre.len() - 1;
    let index = |x: f32| (((x + 0.92) * per_unit).max(0.0) as usize).min(last);
    let (mut distance, mut height) = (f32::MAX, 0.0_f32);
    // Twice the wire to either side, so that a shadow's soft edge finds the wire too.
    for pair in centre[index(p.x - 2.0 * wire)..=(index(p.x + 2.0 * wire) + 1).min(last)].windows(2) {
        let ([ax, ay, az], [bx, by, bz]) = (pair[0], pair[1]);
        let (ux, uy) = (bx - ax, by - ay);
        let t = (((p.x - ax) * ux + (p.y - ay) * uy) / (ux * ux + uy * uy)).clamp(0.0, 1.0);
        let off = length(p.x - ax - t * ux, p.y - ay - t * uy);
        distance = distance.min(off - wire);
        if off < wire {
            height = height.max(0.3 * (az + t * (bz - az)) + cylinder(off, wire));
        }
    }
    Relief::open(distance, height)
}
