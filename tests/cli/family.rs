//! The family of exports that model hubs publish: one small classifier, and one small vision transformer, in every form
//! that its weights, its numbers and its end are written in. Whatever the form, `backbone add` takes the pooled tensor, or
//! says what it did not understand; never class scores without a word.

use serde_json::Value;

use crate::desk::Desk;
use crate::onnx::Attribute::{Floats, Graph, Int, Ints, Text};
use crate::onnx::Net;

/// Classes of all networks here.
const CLASSES: i64 = 5;
/// `TensorProto.DataType`.
const FLOAT16: u64 = 10;
const MICROSOFT: &str = "com.microsoft";

/// What is right for a form.
enum Right {
    /// An embedding of so many values, without a warning.
    Taken(i64),
    /// One of so many values, and a warning with this word.
    Warned(i64, &'static str),
    /// Refused with these words.
    Refused(&'static [&'static str]),
}
use Right::{Refused, Taken, Warned};

fn weights() -> Net {
    Net::default().input("x", "n 3 32 32").weight("w1", &[8, 3, 3, 3]).weight("w2", &[16, 8, 3, 3])
}

/// From `from` to `flat`: two convolutions with weights `w1` and `w2`, the mean over the picture, 16 values.
fn pooled(net: Net, from: &str) -> Net {
    let net = net.node("Conv", &format!("{from} w1"), "c1").node("Relu", "c1", "r1");
    let net = net.node("Conv", "r1 w2", "c2").node("Relu", "c2", "map");
    net.node("GlobalAveragePool", "map", "gap").node("Flatten", "gap", "flat")
}

/// The classifier up to `flat`.
fn cnn() -> Net {
    pooled(weights(), "x")
}

/// The classifier up to its scores, called `to`.
fn scored(to: &str) -> Net {
    cnn().weight("wf", &[CLASSES, 16]).weight("bf", &[CLASSES]).node_with("Gemm", "flat wf bf", to, &[Int("transB", 1)])
}

fn ending(net: Net) -> Net {
    net.output("y", "n 5")
}

/// An end of one step behind the scores.
fn end(op: &str) -> Net {
    ending(scored("s").node(op, "s", "y"))
}

/// Forms of the classifier's end.
fn ends() -> Vec<(&'static str, Net, Right)> {
    let axis = || scored("s").integers("last", &[-1]);
    let softmax = axis().node("ReduceMax", "s last", "m").node("Sub", "s m", "d").node("Exp", "d", "e");
    let softmax = softmax.node("ReduceSum", "e last", "t").node("Div", "e t", "y");
    let sigmoid = scored("s").weight_of("one", &[], Some(1.0)).node("Neg", "s", "n").node("Exp", "n", "e");
    let sigmoid = sigmoid.node("Add", "e one", "o").node("Div", "one o", "y");
    let best = axis().integers("two", &[2]).node("TopK", "s two", "y places").output("places", "n 2");
    let both = scored("logits").node("Softmax", "logits", "y").output("logits", "n 5");
    vec![
        ("scores", ending(scored("y")), Taken(16)),
        ("softmax", end("Softmax"), Taken(16)),
        ("log softmax", end("LogSoftmax"), Taken(16)),
        ("sigmoid", end("Sigmoid"), Taken(16)),
        ("hard sigmoid", end("HardSigmoid"), Taken(16)),
        ("softmax written out", ending(softmax), Taken(16)),
        ("sigmoid written out", ending(sigmoid), Taken(16)),
        ("the largest score's place", scored("s").node("ArgMax", "s", "y").output_of("y", 7, "n 1"), Taken(16)),
        ("the two largest scores", best.output("y", "n 2"), Taken(16)),
        ("the largest score", axis().node("ReduceMax", "s last", "y").output("y", "n 1"), Taken(16)),
        ("scores and probabilities", ending(both), Taken(16)),
        ("a score that is called a class embedding", scored("class_embed").output("class_embed", "n 5"), Taken(16)),
    ]
}

/// Forms of the classifier itself.
fn heads() -> Vec<(&'static str, Net, Right)> {
    let dense = |net: Net| net.weight("wf", &[16, CLASSES]);
    let einsum = |words| ending(dense(cnn()).node_with("Einsum", "flat wf", "y", &[Text("equation", words)]));
    let unit = |net: Net, from: &str, to: &str| {
        net.node("ReduceL2", &format!("{from} last"), &format!("{to}_l")).node("Div", &format!("{from} {to}_l"), to)
    };
    let cosine = unit(cnn().weight("w", &[CLASSES, 16]).integers("last", &[-1]), "w", "wn");
    let cosine = unit(cosine, "flat", "fn").node_with("Transpose", "wn", "wt", &[Ints("perm", &[1, 0])]);
    let cosine = cosine.weight_of("s", &[], Some(30.0)).node("MatMul", "fn wt", "cos").node("Mul", "cos s", "y");
    let computed =
        dense(cnn()).weight("gain", &[1, CLASSES]).node("Mul", "wf gain", "wg").node("MatMul", "flat wg", "y");
    let two = cnn().weight("a", &[16, CLASSES]).weight("b", &[16, CLASSES]).node("MatMul", "flat a", "sa");
    let two = two.node("MatMul", "flat b", "sb").node("Add", "sa sb", "y");
    let wide = cnn().node("GlobalMaxPool", "map", "gmp").node("Flatten", "gmp", "flatmax");
    let wide = wide.node_with("Concat", "flat flatmax", "both", &[Int("axis", 1)]).weight("wf", &[32, CLASSES]);
    let left = cnn().weight("wf", &[CLASSES, 16]).node("Transpose", "flat", "t").node("MatMul", "wf t", "st");
    let prototypes = cnn().weight("p", &[1, CLASSES, 16]).integers("one", &[1]).integers("last", &[-1]);
    let prototypes =
        prototypes.node("Unsqueeze", "flat one", "rows").node("Sub", "rows p", "d").node("Mul", "d d", "q");
    let prototypes = prototypes.node_with("ReduceSum", "q last", "y", &[Int("keepdims", 0)]);
    let picked = cnn().integers("from", &[0]).integers("to", &[CLASSES]).integers("axis", &[1]);
    let picked = picked.node("Slice", "flat from to axis", "y");
    let projected = unit(dense(cnn()).integers("last", &[-1]).node("MatMul", "flat wf", "p"), "p", "y");
    vec![
        ("einsum", einsum("bd,dk->bk"), Taken(16)),
        ("einsum without an arrow", einsum("bd, dk"), Taken(16)),
        ("cosines with weights of length 1", ending(cosine), Taken(16)),
        ("weights that are computed", ending(computed), Taken(16)),
        ("two classifiers added", ending(two), Taken(16)),
        ("a classifier of two poolings", ending(wide.node("MatMul", "both wf", "y")), Taken(32)),
        ("weights on the left", ending(left.node("Transpose", "st", "y")), Taken(16)),
        ("distances from prototypes", ending(prototypes), Warned(16, "not known here (ReduceSum)")),
        ("five of the pooled values", ending(picked), Warned(CLASSES, "the pooled tensor \"gap\" that leads to it 16")),
        ("pooled values alone", cnn().output("flat", "n 16"), Taken(16)),
        ("a projection of length 1", ending(projected), Taken(CLASSES)),
    ]
}

/// Forms of weights and files, and numbers in float16.
fn forms() -> Vec<(&'static str, Net, Right)> {
    let constant = |net: Net, name: &str, shape: &[i64]| net.node_with("Constant", "", name, &[Floats("value", shape)]);
    let constants = constant(Net::default().input("x", "n 3 32 32"), "w1", &[8, 3, 3, 3]);
    let constants = constant(pooled(constant(constants, "w2", &[16, 8, 3, 3]), "x"), "wf", &[16, CLASSES]);
    let half = |to: &str| {
        let net = Net::default().input("x", "n 3 32 32").half_weight("w1", &[8, 3, 3, 3]);
        let net = net.half_weight("w2", &[16, 8, 3, 3]).half_weight("wf", &[16, CLASSES]);
        let net = net.node_with("Cast", "x", "xh", &[Int("to", FLOAT16 as i64)]);
        pooled(net, "xh").node("MatMul", "flat wf", to)
    };
    let keeps = half("s").node_with("Cast", "s", "y", &[Int("to", 1)]);
    let pure = Net::default().input_of("x", FLOAT16, "n 3 32 32").half_weight("w1", &[8, 3, 3, 3]);
    let pure = pooled(pure.half_weight("w2", &[16, 8, 3, 3]), "x").output_of("flat", FLOAT16, "n 16");
    vec![
        ("weights in Constant nodes", ending(constants.node("MatMul", "flat wf", "y")), Taken(16)),
        ("float16 inside", ending(keeps), Taken(16)),
        ("float16 inside and at the end", half("y").output_of("y", FLOAT16, "n 5"), Taken(16)),
        ("float16 throughout", pure, Refused(&["takes float16, float32 is needed"])),
        (
            "operators to come",
            ending(scored("y")).opset(23),
            Warned(16, "'edgetuned export' adds heads to those of version 7 to 22"),
        ),
        ("a file to come", ending(scored("y")).ir(99), Refused(&["its ir_version is 99", "reads 1"])),
        (
            "grey",
            Net::default().input("x", "n 1 32 32").node("Relu", "x", "y").output("y", "n 1 32 32"),
            Refused(&["one channel, three are needed"]),
        ),
        (
            "a batch of -1",
            pooled(
                Net::default().input("x", "-1 3 32 32").weight("w1", &[8, 3, 3, 3]).weight("w2", &[16, 8, 3, 3]),
                "x",
            )
            .output("flat", "-1 16"),
            Taken(16),
        ),
        (
            "a batch of 1 written inside",
            ending(
                cnn()
                    .integers("one", &[1, 16])
                    .node("Reshape", "gap one", "row")
                    .weight("wf", &[16, CLASSES])
                    .node("MatMul", "row wf", "y"),
            ),
            Warned(16, "one picture at a time"),
        ),
    ]
}

/// Quantised forms, as model hubs name them `model_quantized`, `uint8`, `q4` and `bnb4` among others.
fn quantised() -> Vec<(&'static str, Net, Right)> {
    let q = |net: Net| net.weight_of("s", &[], Some(0.02)).bytes_weight("z", &[]);
    let qdq = q(cnn()).bytes_weight("wq", &[CLASSES, 16]).node("QuantizeLinear", "flat s z", "fq");
    let qdq = qdq.node("DequantizeLinear", "fq s z", "fd").node("DequantizeLinear", "wq s z", "wf");
    let qdq = qdq.node_with("Gemm", "fd wf", "y", &[Int("transB", 1)]);
    let operators = q(Net::default().input("x", "n 3 32 32")).bytes_weight("w1", &[16, 3, 3, 3]);
    let operators = operators.weight_of("so", &[], Some(0.3)).node("QuantizeLinear", "x s z", "xq").node(
        "QLinearConv",
        "xq s z w1 s z so z",
        "cq",
    );
    let channels = [Int("channels_last", 0)];
    let operators = operators.node_of(MICROSOFT, "QLinearGlobalAveragePool", "cq so z so z", "gq", &channels);
    let operators = operators.node("Flatten", "gq", "fq").bytes_weight("wf", &[CLASSES, 16]);
    let operators = operators.node_of(MICROSOFT, "QGemm", "fq so z wf s z - so z", "sq", &[Int("transB", 1)]);
    let four = |op: &'static str| {
        ending(cnn().node_of(MICROSOFT, op, "flat wq scales", "y", &[Int("K", 16), Int("N", CLASSES)]))
    };
    vec![
        (
            "quantised dynamically",
            ending(dynamic(dynamic(dynamic_body(), "f1", "wd1", "f2"), "f2", "wd2", "y")),
            Warned(16, "dynamic quantisation"),
        ),
        (
            "quantised at its end",
            ending(dynamic(cnn().bytes_weight("wd", &[16, CLASSES]), "flat", "wd", "y")),
            Taken(16),
        ),
        ("quantised and dequantised", ending(qdq), Taken(16)),
        ("quantised operators", ending(operators.node("DequantizeLinear", "sq so z", "y")), Taken(16)),
        ("q4", four("MatMulNBits").bytes_weight("wq", &[CLASSES, 1, 8]).weight("scales", &[CLASSES]), Taken(16)),
        ("bnb4", four("MatMulBnb4").bytes_weight("wq", &[40]).weight("scales", &[2]), Taken(16)),
    ]
}

/// Functions, graphs within nodes, operators that nobody knows.
fn hidden() -> Vec<(&'static str, Net, Right)> {
    let head = Net::default().node("MatMul", "h w", "s").node("Softmax", "s", "o");
    let function = ending(cnn().weight("wf", &[16, CLASSES]).node_of("own", "Head", "flat wf", "y", &[]));
    let nested = Net::default().node("Flatten", "m", "f").node_of("own", "Head", "f w", "o", &[]);
    let nested = ending(cnn().weight("wf", &[16, CLASSES]).node_of("own", "Nest", "gap wf", "y", &[]))
        .function("own", "Nest", "m w", "o", &nested);
    let whole = Net::default().node("Conv", "i a", "c").node("Relu", "c", "m").node("GlobalAveragePool", "m", "g");
    let whole = whole.node("Flatten", "g", "pooled").node("MatMul", "pooled b", "o");
    let all = Net::default().input("x", "n 3 32 32").weight("w1", &[16, 3, 3, 3]).weight("wf", &[16, CLASSES]);
    let all = ending(all.node_of("own", "All", "x w1 wf", "y", &[])).function("own", "All", "i a b", "o", &whole);
    let branch = |name: &str| Net::default().node("MatMul", "flat wf", name).output(name, "n 5");
    let (yes, no) = (branch("a"), branch("b"));
    let choice = cnn().weight("wf", &[16, CLASSES]).flag("choice", true);
    let choice = choice.node_with("If", "choice", "y", &[Graph("then_branch", &yes), Graph("else_branch", &no)]);
    let inner = Net::default().node_with("If", "c", "o", &[Graph("then_branch", &yes), Graph("else_branch", &no)]);
    let unseen = cnn().flag("choice", true).node_of("own", "Choice", "flat choice", "y", &[]);
    let foreign = |op: &str| ending(cnn().node_of("vendor", op, "flat", "y", &[]));
    let weighed = ending(cnn().weight("wf", &[16, CLASSES]).node_of("vendor", "Dense", "flat wf", "y", &[]));
    vec![
        ("a head in a function", function.function("own", "Head", "h w", "o", &head), Taken(16)),
        ("a head in a function in a function", nested.function("own", "Head", "h w", "o", &head), Taken(16)),
        ("all of it in a function", all, Taken(16)),
        ("a head in a branch", ending(choice), Warned(16, "a step that is not known here (If)")),
        (
            "a function with branches",
            ending(unseen).function("own", "Choice", "flat c", "o", &inner),
            Warned(16, "own:Choice"),
        ),
        ("an operator of a vendor", foreign("Head"), Warned(16, "vendor:Head")),
        (
            "an operator of a vendor and a softmax",
            ending(cnn().node_of("vendor", "Head", "flat", "s", &[]).node("Softmax", "s", "y")),
            Taken(16),
        ),
        ("an operator of a vendor with weights", weighed, Taken(16)),
        (
            "a classifier of the operators of machine learning",
            ending(cnn().node_of("ai.onnx.ml", "LinearClassifier", "flat", "label y", &[])),
            Taken(16),
        ),
    ]
}

/// A picture of `side` cut into patches of 8, a class token before them where `first`, one dense layer and a
/// normalisation by `dense`: `tokens`, 24 wide.
fn vit(side: &str, first: bool, dense: impl Fn(Net, &str, &str) -> Net) -> Net {
    let net =
        Net::default().input("x", &format!("n 3 {side}")).weight("wp", &[24, 3, 8, 8]).integers("rows", &[0, 24, -1]);
    let net = net.node_with("Conv", "x wp", "patches", &[Ints("kernel_shape", &[8, 8]), Ints("strides", &[8, 8])]);
    let net =
        net.node("Reshape", "patches rows", "flat").node_with("Transpose", "flat", "cut", &[Ints("perm", &[0, 2, 1])]);
    let net = if first {
        let net = net.weight("class", &[1, 1, 24]).integers("zero", &[0]).integers("three", &[3]);
        let net = net.node("Shape", "cut", "shape").node("Gather", "shape zero", "n").integers("ones", &[1, 1]);
        let net = net.node_with("Concat", "n ones", "many", &[Int("axis", 0)]).node("Expand", "class many", "classes");
        net.node_with("Concat", "classes cut", "all", &[Int("axis", 1)])
    } else {
        net.node("Identity", "cut", "all")
    };
    let net = net.node_with("Transpose", "all", "keys", &[Ints("perm", &[0, 2, 1])]).node("MatMul", "all keys", "like");
    let net = dense(net.node("Softmax", "like", "share"), "all", "values").node("MatMul", "share values", "mixed");
    let net = net.node("Add", "mixed all", "sum").weight("gamma", &[24]);
    net.node("LayerNormalization", "sum gamma", "tokens").integers("first", &[0])
}

fn float(net: Net, from: &str, to: &str) -> Net {
    net.weight("wm", &[24, 24]).node("MatMul", &format!("{from} wm"), to)
}

/// Forms of the transformer.
fn transformers() -> Vec<(&'static str, Net, Right)> {
    let token =
        |net: Net| net.node_with("Gather", "tokens first", "token", &[Int("axis", 1)]).node("Flatten", "token", "row");
    let scores = |net: Net| ending(net.weight("wf", &[24, CLASSES]).node("MatMul", "row wf", "y"));
    let nbits = |net: Net, from: &str, to: &str| {
        let net = net.bytes_weight("wm", &[24, 2, 8]).weight("sm", &[48]);
        let attributes = [Int("K", 24), Int("N", 24), Int("bits", 4), Int("block_size", 16)];
        net.node_of(MICROSOFT, "MatMulNBits", &format!("{from} wm sm"), to, &attributes)
    };
    let head = |net: Net| {
        let attributes = [Int("K", 24), Int("N", CLASSES), Int("bits", 4), Int("block_size", 16)];
        let net = net.bytes_weight("wh", &[CLASSES, 2, 8]).weight("sh", &[2 * CLASSES]);
        ending(net.node_of(MICROSOFT, "MatMulNBits", "row wh sh", "y", &attributes))
    };
    let ints = |net: Net, from: &str, to: &str| dynamic(net.bytes_weight("wi", &[24, 24]), from, "wi", to);
    let mean = |net: Net| net.integers("one", &[1]).node_with("ReduceMean", "tokens one", "row", &[Int("keepdims", 0)]);
    let list = |side, first, tokens: &str| vit(side, first, float).output("tokens", &format!("n {tokens} 24"));
    let none: &[&str] = &["no tensor of the model looks like an embedding", "--tensor"];
    vec![
        ("a transformer's scores", scores(token(vit("32 32", true, float))), Taken(24)),
        ("in q4", head(token(vit("32 32", true, nbits))), Taken(24)),
        (
            "quantised dynamically",
            ending(dynamic(token(vit("32 32", true, ints)).bytes_weight("wj", &[24, CLASSES]), "row", "wj", "y")),
            Warned(24, "dynamic quantisation"),
        ),
        ("the mean of its tokens", scores(mean(vit("32 32", false, float))), Taken(24)),
        ("its tokens, class token first", list("32 32", true, "17"), Taken(24)),
        ("its tokens, class token first, oblong", list("32 48", true, "25"), Taken(24)),
        ("its tokens without a class token", list("32 32", false, "16"), Refused(none)),
        ("its tokens without a class token, oblong", list("32 48", false, "24"), Refused(none)),
        (
            "its tokens without a class token, of which the file says no number",
            list("32 48", false, "tokens"),
            Refused(&["no embedding follows from that"]),
        ),
    ]
}

/// `to` = `from` times the weight `by` of uint8, quantised by the range of what `from` has.
fn dynamic(net: Net, from: &str, by: &str, to: &str) -> Net {
    let own = |name: &str| format!("{to}_{name}");
    let net = net.weight_of(&own("ws"), &[], Some(0.01)).bytes_weight(&own("wz"), &[]);
    let net = net.node("DynamicQuantizeLinear", from, &format!("{} {} {}", own("q"), own("s"), own("z")));
    let net = net.node("MatMulInteger", &format!("{} {by} {} {}", own("q"), own("z"), own("wz")), &own("sum"));
    let net = net.node_with("Cast", &own("sum"), &own("float"), &[Int("to", 1)]);
    let net = net.node("Mul", &format!("{} {}", own("s"), own("ws")), &own("scale"));
    net.node("Mul", &format!("{} {}", own("float"), own("scale")), to)
}

/// A body whose convolution is quantised by the range of the batch: `f1`, 16 values.
fn dynamic_body() -> Net {
    let net = Net::default().input("x", "n 3 32 32").bytes_weight("wc", &[16, 3, 3, 3]).bytes_weight("zc", &[]);
    let net = net.node("DynamicQuantizeLinear", "x", "xq xs xz").node("ConvInteger", "xq wc xz zc", "ci");
    let net = net.node_with("Cast", "ci", "cf", &[Int("to", 1)]).node("Mul", "cf xs", "c").node("Relu", "c", "m");
    let net = net.bytes_weight("wd1", &[16, 12]).bytes_weight("wd2", &[12, CLASSES]);
    net.node("GlobalAveragePool", "m", "g").node("Flatten", "g", "f1")
}

/// What `backbone add` makes of `net`: the exit code, and its document.
fn added(net: Net) -> (Option<i32>, Value, String) {
    let desk = Desk::new();
    desk.put("net.onnx", &net.bytes());
    let ran = desk.run("backbone add net.onnx --normalize unit --resize stretch --json");
    (ran.code, ran.document(), ran.err)
}

fn check(forms: Vec<(&'static str, Net, Right)>) {
    let mut wrong = Vec::new();
    for (name, net, right) in forms {
        let (code, document, said) = added(net);
        let warnings: Vec<&str> =
            document["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let dim = document["embedding"]["dim"].as_i64();
        let good = match right {
            Taken(wanted) => dim == Some(wanted) && warnings.is_empty() && said.is_empty(),
            Warned(wanted, word) => {
                dim == Some(wanted) && warnings.iter().any(|said| said.contains(word)) && said.is_empty()
            }
            Refused(words) => {
                code != Some(0) && said.lines().count() == 1 && words.iter().all(|word| said.contains(word))
            }
        };
        if !good {
            wrong.push(format!("{name}: {} {warnings:?} {said}", document["embedding"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whatever_a_classifier_ends_in_its_pooled_tensor_is_the_embedding() {
    check(ends());
}

#[test]
fn whatever_form_a_classifier_has_its_pooled_tensor_is_the_embedding() {
    check(heads());
}

#[test]
fn whatever_numbers_a_network_computes_in_its_embedding_is_found_or_it_is_said_why_not() {
    check(forms());
    check(quantised());
}

#[test]
fn what_is_hidden_in_functions_is_seen_and_what_is_not_seen_is_said() {
    check(hidden());
}

#[test]
fn a_transformer_has_a_class_token_only_where_there_is_one_token_more_than_patches() {
    check(transformers());
}
