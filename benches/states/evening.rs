//! What happens at a yard in an evening: a gate and two lamps that people use, and all that misleads a camera.
//!
//! Everything is drawn from the site's number and the evening's seed. Rates are an hour's: people before the gate 12,
//! vans that stand before it 1.5, low sun 3 by day, headlights 15, insects 6 and the gate's own traffic by night,
//! something on the lens 0.7; leaves, haze, shake and exposure vary all the time.

use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::scene::{Body, Moment};

/// Seconds between frames.
pub const EVERY_S: f64 = 10.0;
/// Frames of an evening: 40 minutes from daylight to night.
pub const FRAMES: usize = 240;
/// Gate, left lamp, right lamp.
pub const TASKS: [(&str, [&str; 2]); 3] =
    [("gate", ["closed", "open"]), ("left lamp", ["off", "on"]), ("right lamp", ["off", "on"])];

const LENGTH_S: f64 = EVERY_S * FRAMES as f64;
/// How long the gate moves.
const MOVES_S: f64 = 12.0;

/// A time from, and a time to, in seconds, and what is then.
struct Span<T> {
    from: f64,
    to: f64,
    what: T,
}

impl<T> Span<T> {
    fn at(&self, s: f64) -> Option<(&T, f64)> {
        (self.from..self.to).contains(&s).then(|| (&self.what, (s - self.from) / (self.to - self.from)))
    }
}

/// An evening; frames come from [`Evening::moment`].
pub struct Evening {
    /// Times at which the gate, the left lamp and the right lamp change; they begin closed and off.
    changes: [Vec<f64>; 3],
    people: Vec<Span<Walk>>,
    bodies: Vec<Span<Body>>,
    sun: Vec<Span<(f32, f32, f32)>>,
    headlights: Vec<Span<(f32, f32, f32)>>,
    haze: f32,
    seed: u64,
}

struct Walk {
    from_x: f32,
    to_x: f32,
    body: Body,
}

fn exponential(rng: &mut impl Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

/// Spans at random times, so many an hour, each of a length between the two.
fn spans<T>(
    rng: &mut ChaCha8Rng,
    an_hour: f64,
    [least, most]: [f64; 2],
    [begin, end]: [f64; 2],
    mut draw: impl FnMut(&mut ChaCha8Rng) -> T,
) -> Vec<Span<T>> {
    let (mut spans, mut from) = (Vec::new(), begin);
    loop {
        from += exponential(rng, 3600.0 / an_hour);
        if from > end {
            return spans;
        }
        let to = from + rng.random_range(least..most);
        spans.push(Span { from, to, what: draw(rng) });
    }
}

/// Times of changes between two states that last at least so long and about so long more.
fn changes(rng: &mut ChaCha8Rng, [first, second]: [(f64, f64); 2]) -> Vec<f64> {
    let (mut at, mut times) = (0.0, Vec::new());
    loop {
        let (least, more) = if times.len() % 2 == 0 { first } else { second };
        at += least + exponential(rng, more);
        if at > LENGTH_S {
            return times;
        }
        times.push(at);
    }
}

impl Evening {
    pub fn new(site: u64, seed: u64) -> Self {
        let rng = &mut ChaCha8Rng::seed_from_u64(1_000_003 * site + seed);
        let lamp = [(90.0, 300.0), (90.0, 240.0)];
        let whole = [0.0, LENGTH_S];
        let (day, night) = ([0.0, 0.5 * LENGTH_S], [0.55 * LENGTH_S, LENGTH_S]);
        let cloth = |rng: &mut ChaCha8Rng| [0; 3].map(|_| rng.random_range(0.04..0.6_f32));
        let people = spans(rng, 12.0, [8.0, 60.0], whole, |rng| {
            let height = rng.random_range(0.16..0.24);
            let from_x = if rng.random_bool(0.5) { 0.25 } else { 0.75 };
            // Some pass, some stand and wait.
            let to_x = if rng.random_bool(0.6) { 1.0 - from_x } else { rng.random_range(0.4..0.6) };
            let half = (rng.random_range(0.03..0.07), height);
            let body = Body { centre: (0.0, 0.86 - height), half, colour: cloth(rng), edge: 0.01, is_on_lens: false };
            Walk { from_x, to_x, body }
        });
        let mut bodies = spans(rng, 1.5, [40.0, 300.0], whole, |rng| {
            let colour = if rng.random_bool(0.5) { [rng.random_range(0.4..0.8_f32); 3] } else { cloth(rng) };
            let half = (rng.random_range(0.13..0.24), rng.random_range(0.16..0.22));
            Body { centre: (rng.random_range(0.4..0.6), 0.66), half, colour, edge: 0.012, is_on_lens: false }
        });
        bodies.extend(spans(rng, 6.0, [5.0, 50.0], night, |rng| Body {
            centre: (rng.random_range(0.1..0.9), rng.random_range(0.2..0.8)),
            half: (rng.random_range(0.01..0.08), rng.random_range(0.01..0.05)),
            colour: [14.0; 3],
            edge: 0.09,
            is_on_lens: true,
        }));
        bodies.extend(spans(rng, 0.7, [60.0, 500.0], whole, |rng| Body {
            centre: (rng.random_range(0.2..0.8), rng.random_range(0.2..0.8)),
            half: (rng.random_range(0.1..0.4), rng.random_range(0.1..0.4)),
            colour: cloth(rng),
            edge: 0.2,
            is_on_lens: true,
        }));
        let sun = spans(rng, 3.0, [40.0, 300.0], day, |rng| {
            (rng.random_range(0.0..1.0), rng.random_range(0.0..0.45), rng.random_range(0.5..2.5))
        });
        let headlights = spans(rng, 15.0, [4.0, 25.0], night, |rng| {
            (rng.random_range(0.2..0.8), rng.random_range(0.45..0.8), rng.random_range(0.15..1.2))
        });
        let changes = [changes(rng, [(60.0, 240.0), (45.0, 120.0)]), changes(rng, lamp), changes(rng, lamp)];
        let haze = rng.random_range(0.0_f32..0.7).powi(2);
        Self { changes, people, bodies, sun, headlights, haze, seed: rng.random() }
    }

    /// When each task's truth changes, in seconds; it begins with the first class.
    pub fn changes(&self, task: usize) -> Vec<f64> {
        // The gate is open from half of its way on.
        let later = if task == 0 { MOVES_S / 2.0 } else { 0.0 };
        self.changes[task].iter().map(|at| at + later).collect()
    }

    /// The class of each task at this time.
    pub fn truth(&self, task: usize, s: f64) -> usize {
        self.changes(task).iter().filter(|at| **at <= s).count() % 2
    }

    /// What the camera sees at this time.
    pub fn moment(&self, s: f64) -> Moment {
        let rng = &mut ChaCha8Rng::seed_from_u64(self.seed ^ (s * 1000.0) as u64);
        let daylight = ((0.62 * LENGTH_S - s) / (0.62 * LENGTH_S)).clamp(0.0, 1.0).powf(1.4) as f32;
        let moved = self.changes[0].iter().filter(|at| **at <= s).count();
        let since = self.changes[0][..moved].last().map_or(f64::MAX, |at| s - at);
        let way = (since / MOVES_S).min(1.0) as f32;
        let open = if moved % 2 == 1 {
            way
        } else if moved == 0 {
            0.0
        } else {
            1.0 - way
        };
        let mut bodies: Vec<Body> = self.bodies.iter().filter_map(|span| span.at(s)).map(|(body, _)| *body).collect();
        bodies.extend(self.people.iter().filter_map(|span| span.at(s)).map(|(walk, way)| {
            // Who stays stands still for the second half.
            let way = if (walk.from_x + walk.to_x - 1.0).abs() < 1e-6 { way } else { (2.0 * way).min(1.0) };
            Body { centre: (walk.from_x + (walk.to_x - walk.from_x) * way as f32, walk.body.centre.1), ..walk.body }
        }));
        // Clouds pass before the sun; headlights sweep.
        let mut glare: Vec<_> = self.sun.iter().filter_map(|span| span.at(s)).map(|(sun, _)| *sun).collect();
        for sun in &mut glare {
            sun.2 *= rng.random_range(0.3..1.0) * daylight.max(0.2);
        }
        for ((x, y, strength), way) in self.headlights.iter().filter_map(|span| span.at(s)) {
            glare.push((x + 0.5 * (way as f32 - 0.5), *y, *strength));
        }
        let wave = |period: f64, phase: u64| {
            ((s / period + (self.seed >> phase & 0xff) as f64) * std::f64::consts::TAU).sin() as f32
        };
        Moment {
            daylight,
            open,
            lit: [self.truth(1, s) == 1, self.truth(2, s) == 1],
            bodies,
            glare,
            haze: (self.haze * (1.0 + 0.5 * wave(900.0, 0))).clamp(0.0, 0.75),
            leaves: 0.6 * wave(47.0, 8) + 2.0 * (s / LENGTH_S) as f32,
            shake: (rng.random_range(-1..=1), rng.random_range(-1..=1)),
            drift: 1.0 + 0.25 * wave(610.0, 16) + rng.random_range(-0.08..0.08),
        }
    }
}
