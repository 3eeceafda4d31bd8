//! Networks against the same layers in plain f64 loops: their embeddings, and their gradients by finite differences.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::network::TailNetwork;
use super::workspace::Workspace;
use super::{BadLayer, Clamp, Constant, Made, TailBuilder, TailRunner, Untrainable, Window};
use crate::head::TailWeight;

const RELU: Clamp = Clamp { low: 0.0, high: f32::INFINITY };
const RELU6: Clamp = Clamp { low: 0.0, high: 6.0 };
const SAME: Window = Window { kernel: [3, 3], stride: [1, 1], before: [1, 1], after: [1, 1] };
/// `SAME_UPPER` of an even map at stride 2: one row of zeros more behind than before.
const HALVING: Window = Window { kernel: [3, 3], stride: [2, 2], before: [0, 0], after: [1, 1] };
const EPSILON: f32 = 1e-3;

/// A map of one picture, (channels, height, width).
#[derive(Clone)]
struct Map {
    shape: [usize; 3],
    values: Vec<f64>,
}

/// A layer, by the positions of what it reads; 0 is the cut.
enum Layer {
    Conv { x: usize, name: &'static str, out: usize, window: Window, groups: usize, bias: bool },
    Norm { x: usize, name: &'static str },
    Clamp { x: usize, clamp: Clamp },
    Swish { x: usize },
    Add { a: usize, b: usize },
    Mean { x: usize },
}

/// Layers, with drawn weights.
struct Drawn {
    cut: [usize; 3],
    layers: Vec<Layer>,
    /// Names of weights that stay.
    fixed: &'static [&'static str],
    weights: BTreeMap<String, TailWeight>,
}

impl Drawn {
    fn new(cut: [usize; 3], layers: Vec<Layer>) -> Self {
        let mut drawn = Self { cut, layers, fixed: &[], weights: BTreeMap::new() };
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut channels = vec![cut[0]];
        for layer in &drawn.layers {
            let mut draw = |name: String, shape: Vec<usize>, low: f32, high: f32| {
                let values = (0..shape.iter().product()).map(|_| low + (high - low) * rng.random::<f32>()).collect();
                drawn.weights.entry(name.clone()).or_insert(TailWeight { name, shape, values });
            };
            channels.push(match layer {
                Layer::Conv { x, name, out, window, groups, bias } => {
                    let read = channels[*x] / groups;
                    let bound = 1.7 / ((read * window.kernel[0] * window.kernel[1]) as f32).sqrt();
                    let [height, width] = window.kernel;
                    draw(format!("{name}.w"), vec![*out, read, height, width], -bound, bound);
                    if *bias {
                        draw(format!("{name}.b"), vec![*out], -0.5, 0.5);
                    }
                    *out
                }
                Layer::Norm { x, name } => {
                    let c = channels[*x];
                    for (part, low, high) in
                        [("scale", 0.5, 1.5), ("shift", -0.5, 0.5), ("mean", -0.3, 0.3), ("variance", 0.2, 1.0)]
                    {
                        draw(format!("{name}.{part}"), vec![c], low, high);
                    }
                    c
                }
                Layer::Clamp { x, .. } | Layer::Swish { x } | Layer::Add { a: x, .. } | Layer::Mean { x } => {
                    channels[*x]
                }
            });
        }
        drawn
    }

    fn network(&self) -> TailNetwork {
        let (mut builder, cut) = TailBuilder::new("cut", self.cut).unwrap();
        let weight = |name: String| self.weights[&name].clone();
        let constant = |name: String| {
            let is_trained = !self.fixed.iter().any(|fixed| name.starts_with(fixed));
            Constant { weight: weight(name), is_trained }
        };
        let mut made: Vec<Made> = vec![cut];
        for layer in &self.layers {
            made.push(match layer {
                Layer::Conv { x, name, window, groups, bias, .. } => {
                    let bias = bias.then(|| constant(format!("{name}.b")));
                    builder.convolution(made[*x], constant(format!("{name}.w")), bias, *window, *groups).unwrap()
                }
                Layer::Norm { x, name } => {
                    let part = |part: &str| format!("{name}.{part}");
                    let (scale, shift) = (constant(part("scale")), constant(part("shift")));
                    let (mean, variance) = (weight(part("mean")), weight(part("variance")));
                    builder.normalisation(made[*x], scale, shift, mean, &variance, EPSILON).unwrap()
                }
                Layer::Clamp { x, clamp } => builder.clamp(made[*x], *clamp),
                Layer::Swish { x } => builder.hard_swish(made[*x]),
                Layer::Add { a, b } => builder.add(made[*a], made[*b]).unwrap(),
                Layer::Mean { x } => builder.mean(made[*x]),
            });
        }
        builder.finish(*made.last().unwrap()).unwrap()
    }

    /// The embedding of one picture in f64, with the values of `weights` by name.
    fn plain(&self, picture: &[f32], weights: &BTreeMap<String, Vec<f64>>) -> Vec<f64> {
        let values = picture.iter().copied().map(f64::from).collect();
        let mut maps = vec![Map { shape: self.cut, values }];
        for layer in &self.layers {
            let each = |x: usize, f: &dyn Fn(usize, f64) -> f64| {
                let Map { shape, values } = &maps[x];
                let places = shape[1] * shape[2];
                Map { shape: *shape, values: values.iter().enumerate().map(|(i, v)| f(i / places, *v)).collect() }
            };
            maps.push(match layer {
                Layer::Conv { x, name, out, window, groups, bias } => {
                    let kernels = &weights[&format!("{name}.w")];
                    let bias = bias.then(|| &weights[&format!("{name}.b")][..]);
                    convolved(&maps[*x], kernels, bias, *out, window, *groups)
                }
                Layer::Norm { x, name } => {
                    let part = |part: &str| &weights[&format!("{name}.{part}")];
                    let [scale, shift, mean, variance] = ["scale", "shift", "mean", "variance"].map(part);
                    let epsilon = f64::from(EPSILON);
                    each(*x, &|c, v| (v - mean[c]) / (variance[c] + epsilon).sqrt() * scale[c] + shift[c])
                }
                Layer::Clamp { x, clamp } => each(*x, &|_, v| v.max(f64::from(clamp.low)).min(f64::from(clamp.high))),
                Layer::Swish { x } => each(*x, &|_, v| v * (v + 3.0).clamp(0.0, 6.0) / 6.0),
                Layer::Add { a, b } => {
                    let values = maps[*a].values.iter().zip(&maps[*b].values).map(|(a, b)| a + b).collect();
                    Map { shape: maps[*a].shape, values }
                }
                Layer::Mean { x } => {
                    let Map { shape, values } = &maps[*x];
                    let places = shape[1] * shape[2];
                    let values = values.chunks(places).map(|map| map.iter().sum::<f64>() / places as f64).collect();
                    Map { shape: [shape[0], 1, 1], values }
                }
            });
        }
        let last = maps.last().unwrap();
        last.values
            .chunks(last.shape[1] * last.shape[2])
            .map(|map| map.iter().sum::<f64>() / map.len() as f64)
            .collect()
    }

    fn values(&self) -> BTreeMap<String, Vec<f64>> {
        let of = |weight: &TailWeight| weight.values.iter().copied().map(f64::from).collect();
        self.weights.iter().map(|(name, weight)| (name.clone(), of(weight))).collect()
    }
}

fn convolved(x: &Map, kernels: &[f64], bias: Option<&[f64]>, out: usize, window: &Window, groups: usize) -> Map {
    let [channels, height, width] = x.shape;
    let [rows, columns] = window.of([height, width]).unwrap();
    let (read, [kh, kw]) = (channels / groups, window.kernel);
    let mut values = Vec::new();
    for o in 0..out {
        let first = o / (out / groups) * read;
        for (row, column) in (0..rows * columns).map(|place| (place / columns, place % columns)) {
            let mut sum = bias.map_or(0.0, |bias| bias[o]);
            for (c, k) in (0..read).flat_map(|c| (0..kh * kw).map(move |k| (c, k))) {
                let down = (row * window.stride[0] + k / kw).wrapping_sub(window.before[0]);
                let right = (column * window.stride[1] + k % kw).wrapping_sub(window.before[1]);
                if down < height && right < width {
                    let value = x.values[((first + c) * height + down) * width + right];
                    sum += kernels[(o * read + c) * kh * kw + k] * value;
                }
            }
            values.push(sum);
        }
    }
    Map { shape: [out, rows, columns], values }
}

fn conv(x: usize, name: &'static str, out: usize, window: Window, groups: usize) -> Layer {
    Layer::Conv { x, name, out, window, groups, bias: true }
}

/// `MobileNetV2`'s: expansion, depthwise, projection, sum, last convolution.
fn inverted_residual() -> Drawn {
    let clamp = |x| Layer::Clamp { x, clamp: RELU6 };
    Drawn::new(
        [4, 5, 3],
        vec![
            conv(0, "expand", 8, Window::POINT, 1),
            clamp(1),
            conv(2, "depthwise", 8, SAME, 8),
            clamp(3),
            conv(4, "project", 4, Window::POINT, 1),
            Layer::Add { a: 0, b: 5 },
            conv(6, "last", 6, Window::POINT, 1),
            clamp(7),
            Layer::Mean { x: 8 },
        ],
    )
}

/// `ResNet`'s, with a projection on the way around it and statistics that are not folded.
fn bottleneck() -> Drawn {
    let halved = Window { stride: [2, 2], ..Window::POINT };
    let without = |x, name, out, window| Layer::Conv { x, name, out, window, groups: 1, bias: false };
    Drawn::new(
        [5, 6, 6],
        vec![
            without(0, "first", 7, Window { stride: [2, 2], ..SAME }),
            Layer::Norm { x: 1, name: "norm1" },
            Layer::Clamp { x: 2, clamp: RELU },
            without(3, "second", 7, SAME),
            Layer::Norm { x: 4, name: "norm2" },
            without(0, "around", 7, halved),
            Layer::Norm { x: 6, name: "norm3" },
            Layer::Add { a: 5, b: 7 },
            Layer::Clamp { x: 8, clamp: RELU },
        ],
    )
}

/// `MobileNetV3`'s activation, uneven padding at stride 2, sums that join nothing, one weight at two places.
fn odd_ones() -> Drawn {
    Drawn::new(
        [3, 6, 4],
        vec![
            Layer::Swish { x: 0 },
            conv(1, "twice", 3, Window::POINT, 1),
            Layer::Swish { x: 2 },
            conv(3, "twice", 3, Window::POINT, 1),
            Layer::Clamp { x: 4, clamp: Clamp { low: -0.5, high: 0.75 } },
            Layer::Add { a: 5, b: 3 },
            Layer::Add { a: 6, b: 6 },
            Layer::Clamp { x: 7, clamp: RELU6 },
            conv(8, "halving", 3, HALVING, 3),
            Layer::Norm { x: 9, name: "norm" },
            Layer::Add { a: 9, b: 10 },
            Layer::Clamp { x: 0, clamp: RELU },
            Layer::Mean { x: 12 },
            Layer::Mean { x: 11 },
            Layer::Add { a: 13, b: 14 },
            conv(15, "dense", 5, Window::POINT, 1),
            Layer::Swish { x: 16 },
        ],
    )
}

/// Pictures at the cut, one after another.
fn pictures(drawn: &Drawn, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(77);
    (0..count * drawn.cut.iter().product::<usize>()).map(|_| 6.0 * rng.random::<f32>() - 3.0).collect()
}

/// A batch side by side, as a workspace has it.
fn side_by_side(pictures: &[f32], batch: usize) -> Vec<f32> {
    let row = pictures.len() / batch;
    (0..pictures.len()).map(|i| pictures[i % batch * row + i / batch]).collect()
}

#[test]
fn embeddings_are_those_of_plain_loops_for_one_picture_and_for_batches() {
    for (case, drawn) in [inverted_residual(), bottleneck(), odd_ones()].iter().enumerate() {
        let network = drawn.network();
        let pictures = pictures(drawn, 19);
        let row = pictures.len() / 19;
        let expected: Vec<f64> =
            pictures.chunks(row).flat_map(|picture| drawn.plain(picture, &drawn.values())).collect();
        let near = |found: &[f32], what: &str| {
            let apart = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(found.len() == expected.len() && apart < 1e-5, "case {case}, {what}: {apart}");
        };
        let dim = network.dim();
        near(&TailRunner::original(network.clone()).embed(&pictures), "one by one");
        let mut work = Workspace::new(&network, 19);
        work.input().copy_from_slice(&side_by_side(&pictures, 19));
        network.forward(&network.original(), &mut work);
        let found = work.embeddings(&network);
        near(&(0..19 * dim).map(|i| found[i % dim * 19 + i / dim]).collect::<Vec<_>>(), "together");
    }
}

/// Every operator stands in one of the three: relative to the largest of a weight's gradients within 1e-3.
#[test]
fn gradients_are_those_of_finite_differences_of_plain_loops_in_f64() {
    for (case, drawn) in [inverted_residual(), bottleneck(), odd_ones()].iter().enumerate() {
        let network = drawn.network();
        let (batch, dim) = (5, network.dim());
        let pictures = pictures(drawn, batch);
        let mut rng = ChaCha8Rng::seed_from_u64(case as u64);
        // The loss is a sum of the embeddings' values, each times one of these (dim, batch).
        let factors: Vec<f32> = (0..dim * batch).map(|_| rng.random::<f32>() - 0.5).collect();
        let theta = network.original();
        let mut work = Workspace::new(&network, batch);
        let mut gradient = vec![0.0; theta.len()];
        work.input().copy_from_slice(&side_by_side(&pictures, batch));
        network.forward(&theta, &mut work);
        work.embedding_gradient(&network).copy_from_slice(&factors);
        network.backward(&theta, &mut work, &mut gradient);
        let loss = |weights: &BTreeMap<String, Vec<f64>>| -> f64 {
            let row = pictures.len() / batch;
            let of = |(at, picture): (usize, &[f32])| -> f64 {
                let embedding = drawn.plain(picture, weights);
                embedding.iter().enumerate().map(|(j, z)| z * f64::from(factors[j * batch + at])).sum()
            };
            pictures.chunks(row).enumerate().map(of).sum()
        };
        let mut checked = 0;
        for weight in network.tail(&gradient).weights {
            let mut weights = drawn.values();
            let largest = weight.values.iter().fold(0.0, |largest: f32, g| largest.max(g.abs()));
            assert!(largest > 1e-4, "case {case}, {}: nothing flows back", weight.name);
            for (at, found) in weight.values.iter().enumerate() {
                let mut moved = |by: f64| {
                    let value = &mut weights.get_mut(&weight.name).unwrap()[at];
                    let before = *value;
                    *value += by;
                    let loss = loss(&weights);
                    weights.get_mut(&weight.name).unwrap()[at] = before;
                    loss
                };
                let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                let apart = (numeric - f64::from(*found)).abs();
                assert!(apart < 1e-3 * f64::from(largest), "case {case}, {} {at}: {found}, not {numeric}", weight.name);
                checked += 1;
            }
        }
        assert_eq!(checked, theta.len());
    }
}

#[test]
fn layers_whose_weights_stay_get_no_gradient_and_those_behind_them_the_same() {
    let mut drawn = inverted_residual();
    let gradient_of = |drawn: &Drawn| {
        let network = drawn.network();
        let mut work = Workspace::new(&network, 3);
        work.input().copy_from_slice(&side_by_side(&pictures(drawn, 3), 3));
        let mut gradient = vec![0.0; network.trained()];
        network.forward(&network.original(), &mut work);
        work.embedding_gradient(&network).fill(1.0);
        network.backward(&network.original(), &mut work, &mut gradient);
        network.tail(&gradient).weights
    };
    let all = gradient_of(&drawn);
    drawn.fixed = &["expand", "depthwise", "project"];
    let last = gradient_of(&drawn);
    assert_eq!(last.iter().map(|weight| &weight.name[..]).collect::<Vec<_>>(), ["last.w", "last.b"]);
    assert_eq!(last, all[6..]);
    let (all, last) = (Drawn { fixed: &[], ..inverted_residual() }.network(), drawn.network());
    assert!(last.bytes(32).total() < all.bytes(32).total());
}

#[test]
fn a_sum_or_a_clamp_behind_a_layer_takes_no_memory_of_its_own() {
    // The cut, three convolutions, the sum within the third, the last convolution, the mean.
    assert_eq!(inverted_residual().network().shapes.len(), 6);
    assert_eq!(inverted_residual().network().steps.len(), 5);
}

#[test]
fn a_tail_goes_into_a_head_and_back_and_one_of_another_network_is_refused() {
    let network = inverted_residual().network();
    let theta: Vec<f32> = (0..network.trained()).map(|i| i as f32).collect();
    let tail = network.tail(&theta);
    assert_eq!(network.values_of(&tail).unwrap(), theta);
    let mut other = tail.clone();
    other.input.push('x');
    assert!(network.values_of(&other).unwrap_err().to_string().contains("\"cutx\""));
    let mut other = tail.clone();
    other.weights[2].shape = vec![72];
    assert!(network.values_of(&other).unwrap_err().to_string().contains("depthwise.w"));
    other.weights.truncate(2);
    assert!(network.values_of(&other).is_err());
}

#[test]
fn layers_that_do_not_fit_are_refused_before_any_memory_is_taken() {
    let weight = |shape: &[usize], values: usize| Constant {
        weight: TailWeight { name: "w".to_owned(), shape: shape.to_vec(), values: vec![0.5; values] },
        is_trained: true,
    };
    let refused = |shape: &[usize], values, window, groups| {
        let (mut builder, cut) = TailBuilder::new("cut", [4, 5, 5]).unwrap();
        builder.convolution(cut, weight(shape, values), None, window, groups).unwrap_err()
    };
    let huge = usize::MAX / 2;
    assert!(matches!(refused(&[8, 2, 1, 1], 16, Window::POINT, 2), BadLayer::Groups { groups: 2, .. }));
    assert!(matches!(refused(&[8, 1, 3, 3], 72, SAME, 4), BadLayer::Groups { .. }));
    assert!(matches!(refused(&[8, 3, 1, 1], 24, Window::POINT, 1), BadLayer::Shape { .. }));
    assert!(matches!(refused(&[huge, 4, 1, 1], 4, Window::POINT, 1), BadLayer::Shape { .. }));
    assert!(matches!(refused(&[], 0, Window::POINT, 1), BadLayer::Shape { .. }));
    assert!(matches!(
        refused(&[1, 4, 6, 1], 24, Window { kernel: [6, 1], ..Window::POINT }, 1),
        BadLayer::Window { .. }
    ));
    let padded = Window { before: [1 << 14; 2], ..Window::POINT };
    assert_eq!(refused(&[8, 4, 1, 1], 32, padded, 1), BadLayer::Huge);
    for shape in [[0, 5, 5], [huge, huge, huge], [1 << 12, 1 << 7, 1 << 7]] {
        assert_eq!(TailBuilder::new("cut", shape).unwrap_err(), BadLayer::Huge);
    }
    let (mut builder, cut) = TailBuilder::new("cut", [4, 5, 5]).unwrap();
    let mut infinite = weight(&[4, 4, 1, 1], 16);
    infinite.weight.values[3] = f32::NAN;
    assert!(matches!(builder.convolution(cut, infinite, None, Window::POINT, 1), Err(BadLayer::Value { .. })));
    let small = builder.mean(cut);
    assert!(matches!(builder.add(cut, small), Err(BadLayer::Sides { .. })));
    assert_eq!(builder.finish(cut).unwrap_err(), Untrainable::Nothing);
    let (mut builder, cut) = TailBuilder::new("cut", [1024, 5, 5]).unwrap();
    let made = builder.convolution(cut, weight(&[5120, 1024, 1, 1], 5120 << 10), None, Window::POINT, 1).unwrap();
    let words = builder.finish(made).unwrap_err().to_string();
    assert!(words.contains("80 MiB for the layers") && words.contains("more than 64 MiB"), "{words}");
}
