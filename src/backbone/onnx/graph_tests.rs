use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::backbone::onnx::wire::put_int;

const TINY: &[u8] = include_bytes!("../../../models/tiny-test.onnx");

#[test]
fn inputs_outputs_and_nodes_are_read() {
    let graph = Graph::read(TINY).unwrap();
    let free = Axis::Free("n".into());
    let shape = vec![free.clone(), Axis::Fixed(3), Axis::Fixed(96), Axis::Fixed(96)];
    assert_eq!(graph.inputs, [Tensor { name: "input".into(), element: "float32", shape: Some(shape) }]);
    let shape = vec![free, Axis::Fixed(210)];
    assert_eq!(graph.outputs, [Tensor { name: "embedding".into(), element: "float32", shape: Some(shape) }]);
    assert!(graph.computes("second_layer") && !graph.computes("input") && !graph.external_weights);
    assert_eq!(graph.nodes.last().unwrap().op, "Concat");
}

#[test]
fn an_exposed_inner_tensor_becomes_the_only_output_and_drops_what_comes_after() {
    let whole = Graph::read(TINY).unwrap();
    let cut = expose(TINY, &whole, &["contrast"]).unwrap();
    let graph = Graph::read(&cut).unwrap();
    assert_eq!(graph.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["contrast"]);
    assert_eq!(graph.nodes.last().unwrap().outputs, ["contrast"]);
    assert!(graph.weights.contains_key("to_grey") && !graph.weights.contains_key("mixture"));
    assert!(cut.len() < TINY.len() / 10, "{} bytes are left of {}", cut.len(), TINY.len());
}

#[test]
fn several_tensors_become_outputs_in_the_order_they_are_asked_for() {
    let whole = Graph::read(TINY).unwrap();
    for tensors in [["second_layer", "contrast"], ["contrast", "embedding"], ["embedding", "second_layer"]] {
        let cut = expose(TINY, &whole, &tensors).unwrap();
        let graph = Graph::read(&cut).unwrap();
        assert_eq!(graph.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), tensors);
        let last = if tensors.contains(&"embedding") { "embedding" } else { "second_layer" };
        assert_eq!(graph.nodes.last().unwrap().outputs, [last]);
    }
    assert!(expose(TINY, &whole, &["embedding", "nothing"]).unwrap_err().to_string().contains("\"nothing\""));
}

#[test]
fn exposing_the_declared_output_keeps_the_graph() {
    let whole = Graph::read(TINY).unwrap();
    let same = expose(TINY, &whole, &["embedding"]).unwrap();
    assert_eq!(Graph::read(&same).unwrap(), whole);
}

#[test]
fn a_weight_that_goes_leaves_the_inputs_too() {
    // Files before version 4 of the structure list every weight among the inputs.
    let (mut graph, mut bytes) = (Vec::new(), Vec::new());
    for (inputs, output) in [(["input"].as_slice(), "map"), (&["map", "weight"], "sum")] {
        let mut node = Vec::new();
        for input in inputs {
            put_bytes(&mut node, 1, input.as_bytes());
        }
        put_bytes(&mut node, 2, output.as_bytes());
        put_bytes(&mut graph, NODE, &node);
    }
    for (field, name_field, name) in [(INITIALIZER, 8, "weight"), (INPUT, 1, "input"), (INPUT, 1, "weight")] {
        let mut message = Vec::new();
        put_bytes(&mut message, name_field, name.as_bytes());
        put_bytes(&mut graph, field, &message);
    }
    put_bytes(&mut bytes, GRAPH, &graph);
    for tensor in ["map", "sum"] {
        let cut = expose(&bytes, &Graph::read(&bytes).unwrap(), &[tensor]).unwrap();
        let inputs = Graph::read(&cut).unwrap().inputs;
        assert_eq!(inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(), ["input"], "{tensor}");
    }
}

#[test]
fn what_is_numbered_as_a_node_and_is_none_shifts_no_other() {
    let (mut graph, mut bytes) = (Vec::new(), Vec::new());
    put_int(&mut graph, NODE, 8);
    for (input, output) in [("input", "map"), ("map", "mean"), ("mean", "more")] {
        let mut node = Vec::new();
        put_bytes(&mut node, 1, input.as_bytes());
        put_bytes(&mut node, 2, output.as_bytes());
        put_bytes(&mut graph, NODE, &node);
    }
    put_bytes(&mut bytes, GRAPH, &graph);
    let cut = Graph::read(&expose(&bytes, &Graph::read(&bytes).unwrap(), &["mean"]).unwrap()).unwrap();
    assert_eq!(cut.nodes.iter().map(|node| node.outputs[0].as_str()).collect::<Vec<_>>(), ["map", "mean"]);
}

#[test]
fn of_two_names_of_one_output_the_last_one_counts_when_it_is_cut_out_too() {
    let mut info = Vec::new();
    put_bytes(&mut info, 1, b"contrast");
    put_bytes(&mut info, 1, b"second_layer");
    let (mut graph, mut bytes) = (Vec::new(), TINY.to_vec());
    put_bytes(&mut graph, OUTPUT, &info);
    put_bytes(&mut bytes, GRAPH, &graph);
    let read = Graph::read(&bytes).unwrap();
    assert_eq!(read.outputs.last().unwrap().name, "second_layer");
    for tensor in ["contrast", "second_layer"] {
        let outputs = Graph::read(&expose(&bytes, &read, &[tensor]).unwrap()).unwrap().outputs;
        assert_eq!(outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), [tensor]);
    }
}

#[test]
fn an_unknown_tensor_is_refused_with_names_near_it() {
    let graph = Graph::read(TINY).unwrap();
    let message = expose(TINY, &graph, &["embeding"]).unwrap_err().to_string();
    assert!(message.contains("\"embeding\"") && message.contains("near it are \"embedding\""), "{message}");
    let message = expose(TINY, &graph, &["zzz"]).unwrap_err().to_string();
    assert!(message.contains("its outputs are \"embedding\""), "{message}");
    assert!(expose(TINY, &graph, &["input"]).is_err());
    assert!(expose(TINY, &graph, &[""]).is_err());
}

#[test]
fn a_graph_in_two_pieces_is_read_as_one() {
    let mut bytes = TINY.to_vec();
    let (mut info, mut graph) = (Vec::new(), Vec::new());
    put_bytes(&mut info, 1, b"contrast");
    put_bytes(&mut graph, OUTPUT, &info);
    put_bytes(&mut bytes, GRAPH, &graph);
    let read = Graph::read(&bytes).unwrap();
    assert_eq!(read.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["embedding", "contrast"]);
    assert_eq!(Graph::read(&expose(&bytes, &read, &["contrast"]).unwrap()).unwrap().outputs.len(), 1);
}

#[test]
fn a_model_cut_anywhere_is_called_truncated() {
    for percent in 1..100 {
        let cut = &TINY[..TINY.len() * percent / 100];
        assert_eq!(Graph::read(cut), Err(BadModel::Truncated { bytes: cut.len() }), "{percent} %");
    }
    assert_eq!(Graph::read(b""), Err(BadModel::NotOnnx { found: "none" }));
    assert!(matches!(Graph::read(b"not a model at all"), Err(BadModel::NotOnnx { .. } | BadModel::Truncated { .. })));
}

#[test]
fn five_thousand_mutations_are_read_or_refused_without_panic() {
    // Without most of the weights' bytes the mutations hit structure.
    let whole = Graph::read(TINY).unwrap();
    let small = expose(TINY, &whole, &["contrast"]).unwrap();
    for seed in 0..5_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = small.clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        if rng.random_bool(0.2) {
            bytes.truncate(rng.random_range(0..=bytes.len()));
        }
        let outcome = std::panic::catch_unwind(|| {
            if let Ok(graph) = Graph::read(&bytes) {
                let names: usize = graph.nodes.iter().map(|node| node.inputs.len() + node.outputs.len() + 1).sum();
                assert!(names <= bytes.len(), "more names than bytes");
                let _ = expose(&bytes, &graph, &["contrast"]);
            }
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
