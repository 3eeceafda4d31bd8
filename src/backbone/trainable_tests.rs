use super::*;
use crate::backbone::drawn::{Attribute, Net};
use crate::backbone::manifest::Pool;
use crate::train::TailRunner;

use Attribute::{Float, Int, Ints, Text};

const SAME: [Attribute<'static>; 2] = [Ints("kernel_shape", &[3, 3]), Ints("pads", &[1, 1, 1, 1])];

fn conv(net: Net, from: &str, to: &str, shape: &[i64], attributes: &[Attribute<'_>]) -> Net {
    let (w, b) = (format!("{to}.w"), format!("{to}.b"));
    let net = net.weight(&w, shape).weight(&b, &shape[..1]);
    net.node_with("Conv", &format!("{from} {w} {b}"), to, attributes)
}

fn depthwise(net: Net, from: &str, to: &str, channels: i64, stride: &[i64]) -> Net {
    let [kernel, pads] = SAME;
    let attributes = [kernel, pads, Int("group", channels), Ints("strides", stride)];
    conv(net, from, to, &[channels, 1, 3, 3], &attributes)
}

/// An embedding of the mean over the map `from`.
fn pooled(net: Net, from: &str) -> Net {
    let net = net.node("GlobalAveragePool", from, "mean").node("Flatten", "mean", "embedding");
    net.output("embedding", "n 6")
}

/// `MobileNetV2`'s two last blocks and its last convolution.
fn mobile() -> Net {
    let mut net = conv(Net::default().input("input", "n 3 8 8"), "input", "stem", &[4, 3, 1, 1], &[]);
    for (from, to) in [("stem", "one"), ("one", "two")] {
        let [expand, relu, deep, project] = ["expand", "relu", "deep", "project"].map(|part| format!("{to}.{part}"));
        net = conv(net, from, &expand, &[8, 4, 1, 1], &[]).node("Relu", &expand, &relu);
        net = depthwise(net, &relu, &deep, 8, &[1, 1]).node("Relu", &deep, &format!("{to}.relu2"));
        net = conv(net, &format!("{to}.relu2"), &project, &[4, 8, 1, 1], &[]);
        net = net.node("Add", &format!("{from} {project}"), to);
    }
    pooled(conv(net, "two", "last", &[6, 4, 1, 1], &[]).node("Relu", "last", "relu"), "relu")
}

/// Chains of depthwise and pointwise convolutions, as `MobileNetV1`'s.
fn chain(stride: &[i64]) -> Net {
    let net = conv(Net::default().input("input", "n 3 8 8"), "input", "stem", &[5, 3, 1, 1], &[]);
    let net = depthwise(net.node("Relu", "stem", "first"), "first", "deep1", 5, stride).node("Relu", "deep1", "a");
    let net = conv(net, "a", "point1", &[9, 5, 1, 1], &[]).node("Relu", "point1", "b");
    let net = depthwise(net, "b", "deep2", 9, &[1, 1]).node("Relu", "deep2", "c");
    pooled(conv(net, "c", "last", &[6, 9, 1, 1], &[]), "last")
}

/// `ResNet`'s last two blocks.
fn residual() -> Net {
    let mut net = conv(Net::default().input("input", "n 3 8 8"), "input", "stem", &[6, 3, 1, 1], &[]);
    for (from, to) in [("stem", "one"), ("one", "two")] {
        let [first, relu, second, sum] = ["first", "relu", "second", "sum"].map(|part| format!("{to}.{part}"));
        net = conv(net, from, &first, &[6, 6, 3, 3], &SAME).node("Relu", &first, &relu);
        net = conv(net, &relu, &second, &[6, 6, 3, 3], &SAME);
        net = net.node("Add", &format!("{second} {from}"), &sum).node("Relu", &sum, to);
    }
    pooled(net, "two")
}

fn cut(bytes: &[u8], layers: TailLayers) -> Result<String, NotTrainable> {
    tail_input(&Graph::read(bytes).unwrap(), "embedding", layers)
}

fn network(bytes: &[u8], input: &str, shape: [usize; 3], layers: TailLayers) -> Result<TailNetwork, NotTrainable> {
    let embedding = Embedding { tensor: "embedding".to_owned(), dim: 6, pool: Pool::None, inner: Vec::new() };
    tail_network(bytes, &Graph::read(bytes).unwrap(), input, &embedding, shape, layers)
}

fn trained(network: &TailNetwork) -> Vec<String> {
    network.tail(&network.original()).weights.into_iter().map(|weight| weight.name).collect()
}

#[test]
fn the_cut_is_where_everything_passes_and_where_it_is_smallest_within_a_block() {
    let (conv, block) = (TailLayers::LastConv, TailLayers::LastBlock);
    for (net, layers, expected) in [
        (mobile(), conv, "two"),
        (mobile(), block, "one"),
        // 9 channels, 5 channels, of equals the later.
        (chain(&[1, 1]), block, "a"),
        (chain(&[2, 2]), block, "a"),
        (chain(&[1, 1]), conv, "c"),
        (residual(), conv, "one"),
        (residual(), block, "one"),
    ] {
        let bytes = net.bytes();
        assert_eq!(cut(&bytes, layers).unwrap(), expected, "{layers:?}");
    }
}

#[test]
fn a_map_before_a_stride_is_taken_for_four_times_as_large() {
    // 5 channels of 8 x 8 before the stride, 9 of 4 x 4 behind it.
    let net = conv(Net::default().input("input", "n 3 8 8"), "input", "stem", &[5, 3, 1, 1], &[]);
    let halved = conv(net, "stem", "halved", &[9, 5, 1, 1], &[Ints("strides", &[2, 2])]);
    let deep = depthwise(halved, "halved", "deep", 9, &[1, 1]);
    let bytes = pooled(conv(deep, "deep", "last", &[6, 9, 1, 1], &[]), "last").bytes();
    assert_eq!(cut(&bytes, TailLayers::LastBlock).unwrap(), "halved");
}

#[test]
fn the_layers_asked_for_are_trained_and_no_weight_that_another_step_reads() {
    let bytes = mobile().bytes();
    let last = network(&bytes, "two", [4, 8, 8], TailLayers::LastConv).unwrap();
    assert_eq!(trained(&last), ["last.w", "last.b"]);
    let block = network(&bytes, "one", [4, 8, 8], TailLayers::LastBlock).unwrap();
    assert_eq!(trained(&block).len(), 8);
    assert!(trained(&block).contains(&"two.deep.w".to_owned()));
    // The convolution before the last one is within the tail, and stays.
    let bytes = residual().bytes();
    let last = network(&bytes, "one", [6, 8, 8], TailLayers::LastConv).unwrap();
    assert_eq!(trained(&last), ["two.second.w", "two.second.b"]);
    let shared = Net::default().input("input", "n 6 4 4").weight("w", &[6, 6, 1, 1]);
    let shared = shared.node("Conv", "input w", "before").node("Relu", "before", "cut");
    let net = conv(shared.node("Conv", "cut w", "again"), "again", "last", &[6, 6, 1, 1], &[]);
    let bytes = pooled(net, "last").bytes();
    let network = network(&bytes, "cut", [6, 4, 4], TailLayers::LastBlock).unwrap();
    assert_eq!(trained(&network), ["last.w", "last.b"]);
}

#[test]
fn a_weight_in_half_precision_is_named_as_in_the_file_and_widened() {
    let net = Net::default().input("input", "n 2 2 2").node("Relu", "input", "cut").half_weight("w.f16", &[6, 2, 1, 1]);
    let net = net.node_with("Cast", "w.f16", "w", &[Int("to", 1)]).node("Conv", "cut w", "last");
    let bytes = pooled(net, "last").bytes();
    let network = network(&bytes, "cut", [2, 2, 2], TailLayers::LastConv).unwrap();
    let tail = network.tail(&network.original());
    assert_eq!((&tail.weights[0].name[..], &tail.weights[0].shape[..]), ("w.f16", &[6, 2, 1, 1][..]));
    assert!(tail.weights[0].values.iter().all(|value| value.abs() <= 0.5 && *value != 0.0));
}

#[test]
fn a_weight_that_a_constant_step_holds_stays_as_it_is() {
    let net = Net::default().input("input", "n 2 2 2").node("Relu", "input", "cut");
    let net = net.node_with("Constant", "", "w", &[Attribute::Floats("value", &[6, 2, 1, 1])]);
    let net = net.weight("b", &[6]).node("Conv", "cut w b", "last");
    let network = network(&pooled(net, "last").bytes(), "cut", [2, 2, 2], TailLayers::LastConv).unwrap();
    assert_eq!(trained(&network), ["b"]);
}

/// Every form of the activation, of 1 and -2, behind a convolution by 1: 4 / 6 and -2 / 6.
#[test]
fn a_hard_swish_is_known_however_it_is_written() {
    let scalars = |net: Net| {
        let values = [("three", 3.0), ("zero", 0.0), ("six", 6.0), ("sixth", 1.0 / 6.0)];
        values.into_iter().fold(net, |net, (name, value)| net.weight_of(name, &[], Some(value)))
    };
    let ramp = |net: Net| net.node("Add", "x three", "shifted").node("Clip", "shifted zero six", "ramp");
    let forms: [&dyn Fn(Net) -> Net; 6] = [
        &|net| net.node("HardSwish", "x", "y"),
        &|net| {
            let number = [Float("alpha", 1.0 / 6.0), Float("beta", 0.5)];
            net.node_with("HardSigmoid", "x", "gate", &number).node("Mul", "x gate", "y")
        },
        &|net| ramp(net).node("Mul", "x ramp", "product").node("Div", "product six", "y"),
        &|net| ramp(net).node("Mul", "ramp x", "product").node("Mul", "sixth product", "y"),
        &|net| ramp(net).node("Div", "ramp six", "gate").node("Mul", "gate x", "y"),
        &|net| ramp(net).node("Mul", "ramp sixth", "gate").node("Mul", "x gate", "y"),
    ];
    for (form, write) in forms.iter().enumerate() {
        let net = scalars(Net::default().input("input", "n 1 1 2").node("Relu", "input", "cut"));
        let net = net.weight_of("w", &[6, 1, 1, 1], Some(1.0)).node("Conv", "cut w", "x");
        let bytes = pooled(write(net), "y").bytes();
        let network = network(&bytes, "cut", [1, 1, 2], TailLayers::LastConv).unwrap();
        let found = TailRunner::original(network).embed(&[1.0, -2.0]);
        assert!(found.iter().all(|z| (z - 1.0 / 6.0).abs() < 1e-6), "form {form}: {found:?}");
    }
}

/// Maps of ones under kernels of ones: the number of places under the kernel, by hand.
#[test]
fn padding_and_stride_are_those_of_onnx() {
    let cases: [(&[Attribute<'_>], f32); 5] = [
        (&[Ints("pads", &[1, 1, 1, 1])], (4.0 * 4.0 + 8.0 * 6.0 + 4.0 * 9.0) / 16.0),
        (&[Ints("strides", &[2, 2]), Ints("pads", &[0, 0, 1, 1])], (9.0 + 6.0 + 6.0 + 4.0) / 4.0),
        (&[Ints("strides", &[2, 2]), Text("auto_pad", "SAME_UPPER")], (9.0 + 6.0 + 6.0 + 4.0) / 4.0),
        (&[Ints("strides", &[2, 2]), Text("auto_pad", "SAME_LOWER")], (4.0 + 6.0 + 6.0 + 9.0) / 4.0),
        (&[Text("auto_pad", "VALID")], 9.0),
    ];
    for (attributes, expected) in cases {
        let net = Net::default().input("input", "n 1 4 4").node("Relu", "input", "cut");
        let net = net.weight_of("w", &[6, 1, 3, 3], Some(1.0)).node_with("Conv", "cut w", "x", attributes);
        let bytes = pooled(net, "x").bytes();
        let network = network(&bytes, "cut", [1, 4, 4], TailLayers::LastConv).unwrap();
        assert!((TailRunner::original(network).embed(&[1.0; 16])[0] - expected).abs() < 1e-5);
    }
}

/// A tail of one convolution with `attributes` and what `behind` makes of its map `x`.
fn told(attributes: &[Attribute<'_>], behind: impl Fn(Net) -> Net) -> String {
    let net = Net::default().input("input", "n 8 4 4").node("Relu", "input", "cut").weight("w", &[6, 8, 1, 1]);
    let bytes = behind(net.node_with("Conv", "cut w", "x", attributes)).output("embedding", "n 6").bytes();
    network(&bytes, "cut", [8, 4, 4], TailLayers::LastConv).unwrap_err().to_string()
}

#[test]
fn what_is_not_trained_is_refused_by_operator_and_name_with_what_to_do() {
    let plain = |net: Net| pooled(net, "x");
    let behind = |op: &'static str, inputs: &'static str| move |net: Net| pooled(net.node(op, inputs, "y"), "y");
    let computed = |net: Net| {
        let net = net.weight_of("zero", &[], Some(0.0)).node("Neg", "zero", "low");
        pooled(net.node("Clip", "x low", "y"), "y")
    };
    let cases = [
        (told(&[Int("group", 4)], plain), "Conv \"x\" with group 4"),
        (told(&[Ints("dilations", &[2, 2])], plain), "Conv \"x\" with dilations [2, 2]"),
        (told(&[Ints("strides", &[0, 1])], plain), "Conv \"x\" with strides [0, 1]"),
        (told(&[Ints("pads", &[-1, 0, 0, 0])], plain), "Conv \"x\" with pads [-1, 0, 0, 0]"),
        (told(&[Text("auto_pad", "SAME")], plain), "Conv \"x\" with auto_pad \"SAME\""),
        (told(&[], behind("Sigmoid", "x")), "Sigmoid \"y\" is an operator"),
        (told(&[], behind("Concat", "x x")), "Concat \"y\" is an operator"),
        (told(&[], behind("Mul", "x x")), "Mul \"y\" is no part of a HardSwish"),
        (told(&[], behind("Add", "x w")), "Add \"y\" of a map and a constant"),
        (told(&[], behind("HardSigmoid", "x")), "HardSigmoid \"y\" is not that of a HardSwish"),
        (told(&[], computed), "Clip \"y\" with a computed bound"),
        (told(&[], |net| net.node("Flatten", "x", "embedding")), "Flatten \"embedding\" changes the axes of a map"),
        (told(&[], |net| net.node_with("ReduceMean", "x", "embedding", &[Ints("axes", &[1, 2])])), "a whole map"),
    ];
    for (words, expected) in cases {
        assert!(words.contains(expected) && words.ends_with("train the head alone"), "{words:?} lacks {expected:?}");
    }
    let quantised = told(&[], |net| {
        let net = net.weight_of("scale", &[], Some(0.1)).bytes_weight("zero", &[]);
        pooled(net.node("QuantizeLinear", "x scale zero", "q").node("DequantizeLinear", "q scale zero", "y"), "y")
    });
    assert!(quantised.contains("quantised") && quantised.contains("float32"), "{quantised}");
    let two = Net::default().input("input", "n 6 4 4").node("Relu", "input", "cut").weight("w", &[6, 6, 1, 1]);
    let two = two.node("Conv", "cut w", "x").node("Add", "x input", "y");
    let bytes = pooled(two, "y").bytes();
    let beside = network(&bytes, "cut", [6, 4, 4], TailLayers::LastConv).unwrap_err();
    assert!(matches!(beside, NotTrainable::Beside { .. }), "{beside}");
}

#[test]
fn hostile_files_are_refused_and_nothing_panics() {
    let embedding = |pool| Embedding { tensor: "embedding".to_owned(), dim: 6, pool, inner: Vec::new() };
    let circle = Net::default().input("input", "n 6 2 2").weight("w", &[6, 6, 1, 1]);
    let circle = circle.node("Add", "input last", "cut").node("Conv", "cut w", "last");
    let itself = Net::default().input("input", "n 6 2 2").weight("w", &[6, 6, 1, 1]).node("Conv", "x w", "x");
    let bare = Net::default().input("input", "n 6 2 2").node("Relu", "input", "cut").node("Conv", "cut gone", "last");
    let lonely = Net::default().input("input", "n 6 2 2").node("Relu", "input", "cut").node("Conv", "", "last");
    let whole = Net::default().input("input", "n 6 2 2").node("Relu", "input", "cut").integers("w", &[1, 2]);
    let whole = whole.node("Conv", "cut w", "last");
    let nets = [circle, bare, lonely, whole].map(|net| pooled(net, "last")).into_iter().chain([pooled(itself, "x")]);
    let mut files: Vec<Vec<u8>> = nets.map(Net::bytes).collect();
    let good = mobile().bytes();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        files.extend([bad, good[..at].to_vec()]);
    }
    let mut refused = 0;
    for bytes in &files {
        let Ok(graph) = Graph::read(bytes) else { continue };
        for layers in [TailLayers::LastConv, TailLayers::LastBlock] {
            let found = tail_input(&graph, "embedding", layers).unwrap_or_else(|_| "cut".to_owned());
            for (pool, shape) in [(Pool::None, [4, 8, 8]), (Pool::Avg, [6, 2, 2]), (Pool::Cls, [usize::MAX; 3])] {
                let read = tail_network(bytes, &graph, &found, &embedding(pool), shape, layers);
                refused += usize::from(read.is_err());
            }
        }
    }
    assert!(refused > 30, "{refused} were refused");
    assert!(matches!(cut(&files[0], TailLayers::LastConv), Err(NotTrainable::Operator { .. })));
    for bytes in &files[1..5] {
        assert!(network(bytes, "cut", [6, 2, 2], TailLayers::LastConv).is_err());
    }
    let words = |bytes: &[u8]| cut(bytes, TailLayers::LastBlock).unwrap_err().to_string();
    assert!(
        words(&pooled(Net::default().input("input", "n 6 2 2").node("Relu", "input", "r"), "r").bytes())
            .contains("there is no convolution")
    );
    assert!(words(&Net::default().input("input", "n 6").node("Relu", "input", "r").bytes()).contains("no tensor"));
}
