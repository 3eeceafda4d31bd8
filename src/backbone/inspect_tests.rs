//! The ends of known families of networks, drawn small: what comes first is what their users take for the embedding.

use super::*;

use crate::backbone::drawn::Attribute::{Int, Integers, Ints};
use crate::backbone::drawn::{Net, body};

/// The likeliest candidate of `net` as `tensor dim pool`, dim being ? where the file does not state it.
fn first(net: Net) -> String {
    listed(net).into_iter().next().unwrap_or_default()
}

fn listed(net: Net) -> Vec<String> {
    let graph = Graph::read(&net.bytes()).unwrap();
    let dim = |candidate: &Candidate| candidate.dim.map_or("?".to_owned(), |dim| dim.to_string());
    candidates(&graph).iter().map(|one| format!("{} {} {}", one.tensor, dim(one), one.pool.as_str())).collect()
}

#[test]
fn mobilenet_v2_and_resnet_pool_flatten_and_classify() {
    let net = || body().weight("fc", &[1000, 8]).output("output", "n 1000");
    let end = [Int("transB", 1)];
    let old = net().node("GlobalAveragePool", "map", "gap").node("Flatten", "gap", "flat");
    let old = old.node_with("Gemm", "flat fc", "output", &end);
    assert_eq!(listed(old), ["flat 8 none", "gap 8 none", "map 8 avg", "output 1000 none"]);
    // As torch.export writes it: a mean over axes that are among the weights, a reshape to a computed shape.
    let new = net().integers("axes", &[-2, -1]).node("ReduceMean", "map axes", "mean");
    let new = new.node("Shape", "mean", "shape").node("Reshape", "mean shape", "view");
    assert_eq!(first(new.node_with("Gemm", "view fc", "output", &end)), "view 8 none");
    // Or among the nodes, as others write it; a mean over other axes is no pooling.
    let why = |axes: &[i64]| {
        let net = body().node_with("Constant", "", "axes", &[Integers("value", axes)]);
        let net = net.node("ReduceMean", "map axes", "mean").weight("head", &[8, 9]).node("MatMul", "mean head", "o");
        candidates(&Graph::read(&net.output("o", "n 9").bytes()).unwrap())[0].why
    };
    assert_eq!(why(&[-1, -2]), "pooled, what the classifier reads");
    assert_eq!(why(&[1, 3]), "what the last dense layers read");
}

#[test]
fn mobilenet_v3_has_a_layer_between_pooling_and_classifier_and_gates_that_pool() {
    // A gate in the body (squeeze and excite), then pooling, a convolution of 1 x 1, a written-out hard swish, a dense
    // layer.
    let net = body().weight("w1", &[8, 8, 1, 1]).weight("w2", &[20, 8, 1, 1]).weight("fc", &[20, 1000]);
    let net = net.weight("three", &[1]).weight("six", &[1]).output("scores", "n 1000");
    let gated = net.node("GlobalAveragePool", "map", "squeeze").node("Conv", "squeeze w1", "excite");
    let gated = gated.node("HardSigmoid", "excite", "gate").node("Mul", "map gate", "gated");
    let net = gated.node("GlobalAveragePool", "gated", "gap").node("Conv", "gap w2", "wide");
    let net = net.node("Add", "wide three", "up").node("Clip", "up", "clip").node("Div", "clip six", "part");
    let net =
        net.node("Mul", "wide part", "swish").node("Flatten", "swish", "flat").node("MatMul", "flat fc", "scores");
    let listed = listed(net);
    assert_eq!(listed, ["gap 8 none", "gated 8 avg", "flat 20 none", "swish 20 none", "scores 1000 none"]);
}

#[test]
fn a_classifier_may_be_a_convolution_behind_the_pooling() {
    let net = body().weight("fc", &[1001, 8, 1, 1]).output("prob", "n 1001");
    let net = net.node_with("AveragePool", "map", "pool", &[Ints("kernel_shape", &[16, 16])]);
    let net = net.node("Conv", "pool fc", "logits").node("Squeeze", "logits", "flat").node("Softmax", "flat", "prob");
    assert_eq!(first(net), "pool 8 none");
}

#[test]
fn a_classifier_may_be_a_convolution_before_the_pooling() {
    let net = || {
        let net = body().weight("fc", &[10, 8, 1, 1]).node("Dropout", "map", "drop").node("Conv", "drop fc", "conv10");
        net.node("Relu", "conv10", "relu10").node("GlobalAveragePool", "relu10", "pool10")
    };
    let classifier = net().node("Flatten", "pool10", "flat").node("Softmax", "flat", "prob").output("prob", "n 10");
    assert_eq!(first(classifier), "drop 8 avg");
    // Without a softmax, and as wide as no class list, the pooled convolution is the embedding.
    assert_eq!(first(net().node("Flatten", "pool10", "flat").output("flat", "n 10")), "flat 10 none");
}

#[test]
fn a_model_without_its_classifier_outputs_the_embedding_or_the_map() {
    let pooled = body().node("GlobalAveragePool", "map", "gap").node("Flatten", "gap", "flat").output("flat", "n 8");
    assert_eq!(first(pooled), "flat 8 none");
    assert_eq!(first(body().output("map", "n 8 16 16")), "map 8 avg");
    assert_eq!(first(body().node("Transpose", "map", "nhwc").output("nhwc", "n 16 16 8")), "nhwc 8 avg");
}

#[test]
fn a_declared_embedding_comes_before_everything_else() {
    let net = body().weight("fc", &[1000, 8]).node("GlobalAveragePool", "map", "gap").node("Flatten", "gap", "flat");
    let net = net.node("Flatten", "gap", "embedding").node_with("Gemm", "flat fc", "logits", &[Int("transB", 1)]);
    let net = net.output("logits", "n 1000").output("embedding", "n 8");
    assert_eq!(listed(net)[..2], ["embedding 8 none", "flat 8 none"]);
    // A dense layer makes scores, unless its output is called otherwise and is as wide as no class list.
    let projected = |name, width: i64| {
        let net =
            body().weight("fc", &[8, width]).node("GlobalAveragePool", "map", "gap").node("Flatten", "gap", "flat");
        first(net.node("MatMul", "flat fc", name).output(name, &format!("n {width}")))
    };
    assert_eq!(projected("image_embeds", 512), "image_embeds 512 none");
    assert_eq!(projected("image_embeds", 1000), "flat 8 none");
    assert_eq!(projected("output", 512), "flat 8 none");
}

/// (n, tokens, 8) out of a map, ending in a layer normalisation.
fn transformer() -> Net {
    let net = body().integers("tokens", &[0, 8, -1]).node("Reshape", "map tokens", "patches");
    let net = net.node_with("Transpose", "patches", "rows", &[Ints("perm", &[0, 2, 1])]).weight("mlp", &[8, 8]);
    let net = net.node("MatMul", "rows mlp", "mixed").node("Add", "mixed rows", "sum").weight("gamma", &[8]);
    net.node("LayerNormalization", "sum gamma", "last_hidden_state").integers("zero", &[0])
}

#[test]
fn a_vision_transformer_outputs_its_class_token_or_all_tokens() {
    let tokens = || transformer().output("last_hidden_state", "n 257 8");
    assert_eq!(first(tokens()), "last_hidden_state 8 cls");
    let pooler = tokens().node_with("Gather", "last_hidden_state zero", "pooler_output", &[Int("axis", 1)]);
    assert_eq!(listed(pooler.output("pooler_output", "n 8")), ["pooler_output 8 none", "last_hidden_state 8 cls"]);
    assert_eq!(first(transformer().output("last_hidden_state", "n tokens 8")), "last_hidden_state 8 cls");
    // 256 tokens are the squares of the picture and nothing else.
    assert_eq!(first(transformer().output("last_hidden_state", "n 256 8")), "");
    let classifier = tokens().node_with("Gather", "last_hidden_state zero", "token", &[Int("axis", 1)]);
    let classifier = classifier.weight("fc", &[8, 1000]).node("MatMul", "token fc", "dense").weight("bias", &[1000]);
    let classifier = classifier.node("Add", "dense bias", "logits").output("logits", "n 1000");
    assert_eq!(listed(classifier), ["token 8 none", "last_hidden_state 8 cls", "logits 1000 none"]);
}

#[test]
fn a_mean_within_a_normalisation_is_no_pooling() {
    let net = transformer().node_with("ReduceMean", "sum", "centre", &[Ints("axes", &[-1])]);
    let net = net.node("Sub", "sum centre", "out").output("out", "n 256 8");
    assert_eq!(first(net), "");
}

#[test]
fn a_quantised_network_is_read_through_its_quantisation() {
    let net = body().weight("s", &[]).bytes_weight("z", &[]).bytes_weight("fcq", &[1000, 8]).output("logits", "n 1000");
    let net = net.node("GlobalAveragePool", "map", "gap").node("Flatten", "gap", "flat");
    let net = net.node("QuantizeLinear", "flat s z", "flatq").node("DequantizeLinear", "flatq s z", "flatdq");
    let net = net.node("DequantizeLinear", "fcq s z", "fc").node_with("Gemm", "flatdq fc", "g", &[Int("transB", 1)]);
    let net = net.node("QuantizeLinear", "g s z", "gq").node("DequantizeLinear", "gq s z", "logits");
    // What stays uint8 cannot be an output.
    assert_eq!(listed(net), ["flatdq 8 none", "flat 8 none", "gap 8 none", "map 8 avg", "logits 1000 none"]);
}

#[test]
fn an_nhwc_model_pools_over_the_axes_in_the_middle() {
    let net = Net::default().input("x", "n 16 16 3").weight("w", &[8, 3, 1, 1]).weight("fc", &[8, 1000]);
    let net = net.node_with("Transpose", "x", "nchw", &[Ints("perm", &[0, 3, 1, 2])]).node("Conv", "nchw w", "conv");
    let net = net.node_with("Transpose", "conv", "nhwc", &[Ints("perm", &[0, 2, 3, 1])]).stated("nhwc", "n 16 16 8");
    let net = net.node_with("ReduceMean", "nhwc", "mean", &[Ints("axes", &[1, 2]), Int("keepdims", 0)]);
    let net = net.node("MatMul", "mean fc", "predictions").output("predictions", "n 1000");
    assert_eq!(listed(net), ["mean 8 none", "nhwc 8 avg", "predictions 1000 none"]);
}

#[test]
fn dense_layers_without_a_pooling_give_what_the_last_of_them_reads() {
    let net = body().weight("fc6", &[2048, 64]).weight("fc8", &[64, 1000]).node("Flatten", "map", "flat");
    let net = net.node("MatMul", "flat fc6", "six").node("Relu", "six", "relu").node("MatMul", "relu fc8", "scores");
    assert_eq!(listed(net.output("scores", "n 1000"))[..2], ["relu 64 none", "flat 2048 none"]);
}

#[test]
fn files_that_run_in_circles_end() {
    let round = body().node("Relu", "b", "a").node("Relu", "a", "b").node("Add", "a b", "out").output("out", "n 8");
    assert_eq!(first(round), "out 8 none");
    let own = body().node("Identity", "own", "own").weight("fc", &[8, 1000]).node("MatMul", "own fc", "out");
    assert_eq!(first(own.output("out", "n 1000")), "own 8 none");
    let mut deep = body().node("GlobalAveragePool", "map", "t0");
    for step in 0..20_000 {
        deep = deep.node("Identity", &format!("t{step}"), &format!("t{}", step + 1));
    }
    for _ in 0..5_000 {
        deep = deep.output("t20000", "n 8");
    }
    assert_eq!(first(deep), "t20000 8 none");
}
