use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::backbone::drawn::Net;
use crate::backbone::onnx::graph::Graph;

/// `y` = twice the function `own:Twice`, which calls `own:Once` two times.
fn nested() -> Vec<u8> {
    let once = Net::default().node("Relu", "i", "hidden").node("Neg", "hidden", "o");
    let twice = Net::default().node_of("own", "Once", "i", "middle", &[]).node_of("own", "Once", "middle", "o", &[]);
    let net = Net::default().input("x", "n 3 8 8").node_of("own", "Twice", "x", "y", &[]).output("y", "n 3 8 8");
    net.function("own", "Once", "i", "o", &once).function("own", "Twice", "i", "o", &twice).bytes()
}

#[test]
fn calls_are_replaced_by_bodies_with_names_of_their_own() {
    let graph = Graph::read(&inlined(&nested()).unwrap()).unwrap();
    let steps: Vec<_> = graph.nodes.iter().map(|node| format!("{} {}", node.op, node.outputs[0])).collect();
    assert_eq!(steps, ["Relu Once_2/hidden", "Neg Twice_1/middle", "Relu Once_3/hidden", "Neg y"]);
}

#[test]
fn a_function_that_calls_itself_ends_and_so_does_one_that_grows() {
    let own = Net::default().node_of("own", "Own", "i", "m", &[]).node_of("own", "Own", "m", "o", &[]);
    let net = Net::default().input("x", "n 3 8 8").node_of("own", "Own", "x", "y", &[]).output("y", "n 3 8 8");
    let bytes = net.function("own", "Own", "i", "o", &own).bytes();
    let whole = inlined(&bytes).unwrap();
    assert!(whole.len() < 2 * GROWTH * bytes.len(), "{} bytes of {}", whole.len(), bytes.len());
}

#[test]
fn five_thousand_mutations_are_read_or_refused_without_panic() {
    let good = nested();
    for seed in 0..5_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = good.clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        let outcome = std::panic::catch_unwind(|| inlined(&bytes).is_ok_and(|whole| Graph::read(&whole).is_ok()));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
