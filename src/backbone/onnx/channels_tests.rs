use super::*;

use crate::backbone::drawn::Attribute::{Int, Ints};
use crate::backbone::drawn::{Net, body};

/// Channels of `tensor` in `net`.
fn of(net: Net, tensor: &str) -> Option<i64> {
    channels(&Graph::read(&net.bytes()).unwrap()).get(tensor).copied()
}

#[test]
fn a_convolution_tells_the_channels_of_what_follows_it() {
    let net = || body().weight("d", &[8, 1, 3, 3]).weight("p", &[12, 8, 1, 1]);
    let net = || net().node_with("Conv", "map d", "depthwise", &[Int("group", 8)]).node("Conv", "depthwise p", "wide");
    for (tensor, wanted) in [("conv", 8), ("map", 8), ("depthwise", 8), ("wide", 12)] {
        assert_eq!(of(net(), tensor), Some(wanted), "{tensor}");
    }
    assert_eq!(of(net(), "input"), None);
    let pooled = net().node_with("MaxPool", "wide", "small", &[Ints("kernel_shape", &[2, 2])]);
    assert_eq!(
        of(pooled.node_with("Transpose", "small", "turned", &[Ints("perm", &[0, 2, 3, 1])]), "turned"),
        Some(12)
    );
    let up = net().weight("u", &[12, 5, 2, 2]).node_with("ConvTranspose", "wide u", "up", &[Int("group", 2)]);
    assert_eq!(of(up, "up"), Some(10));
}

#[test]
fn sums_gates_and_joined_maps_are_counted() {
    let net = || body().weight("p", &[8, 8, 1, 1]).node("Conv", "map p", "b").node("Add", "map b", "sum");
    assert_eq!(of(net(), "sum"), Some(8));
    let places = net().weight("one", &[1, 8, 1, 1]).node("Conv", "sum one", "place").node("Sigmoid", "place", "gate");
    assert_eq!(of(places.node("Mul", "gate sum", "gated"), "gated"), Some(8));
    let joined = net().weight("q", &[3, 8, 1, 1]).node("Conv", "sum q", "c");
    assert_eq!(of(joined.node_with("Concat", "map c b", "all", &[Int("axis", 1)]), "all"), Some(19));
    let unknown = net().node("Mystery", "sum", "odd").node_with("Concat", "map odd", "all", &[Int("axis", 1)]);
    assert_eq!(of(unknown, "all"), None);
    let beside = net().node_with("Concat", "map b", "all", &[Int("axis", 3)]);
    assert_eq!(of(beside, "all"), None, "side by side");
    assert_eq!(of(net().integers("to", &[0, 2, 32, 32]).node("Reshape", "sum to", "shaped"), "shaped"), None);
}

#[test]
fn a_quantised_network_is_read_through_its_quantisation() {
    let net = body().weight("s", &[]).bytes_weight("z", &[]).bytes_weight("wq", &[12, 8, 3, 3]);
    let net = net.node("QuantizeLinear", "map s z", "q").node("DequantizeLinear", "q s z", "dq");
    let net = net.node("DequantizeLinear", "wq s z", "w2").node("Conv", "dq w2", "deep");
    let net = net.node("QuantizeLinear", "deep s z", "deepq").node("DequantizeLinear", "deepq s z", "deepdq");
    assert_eq!(of(net, "deepdq"), Some(12));
    let integers = body().weight("s", &[]).bytes_weight("z", &[]).bytes_weight("wq", &[5, 8, 1, 1]);
    let integers = integers.node("QuantizeLinear", "map s z", "q").node("QLinearConv", "q s z wq s z s z", "deep");
    assert_eq!(of(integers, "deep"), Some(5));
}

#[test]
fn files_that_run_in_circles_or_state_absurd_shapes_end() {
    let round = body().node("Add", "map b", "a").node("Relu", "a", "b").node("Add", "a b", "c");
    assert_eq!(of(round, "c"), Some(8));
    let mut doubled = body();
    for step in 0..80 {
        let from = if step == 0 { "map".to_owned() } else { format!("t{}", step - 1) };
        doubled = doubled.node_with("Concat", &format!("{from} {from}"), &format!("t{step}"), &[Int("axis", 1)]);
    }
    assert_eq!(of(doubled, "t79"), None, "more channels than can be counted");
}
