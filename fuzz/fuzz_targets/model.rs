//! The surgery on ONNX files: a network is read or refused, and one that is cut or gets a head is a network again,
//! with the output that was asked for.
//!
//! The first two bytes of an input choose the tensor.
#![no_main]

use std::path::Path;

use edgetuned::backbone::{
    BadModel, CannotExport, Cut, Graph, Inspection, Manifest, PROBABILITIES, Taken, Wishes, complete, expose, propose,
    with_head,
};
use edgetuned_fuzz::{fits_on_a_screen, record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, model)) = data.split_first_chunk::<2>() else { return };
    let graph = match Graph::read(model) {
        Ok(graph) => graph,
        Err(bad) => return fits_on_a_screen(&bad.to_string()),
    };
    let names: usize = graph.nodes.iter().map(|node| node.inputs.len() + node.outputs.len() + 1).sum();
    assert!(names <= model.len(), "{names} names in {} bytes", model.len());
    proposed(model);
    let outputs: Vec<&String> = graph.nodes.iter().flat_map(|node| &node.outputs).collect();
    let chosen = usize::from(u16::from_le_bytes(*choice));
    match outputs.get(chosen % outputs.len().max(1)) {
        Some(tensor) => cut(model, &graph, tensor),
        None => assert!(matches!(expose(model, &graph, &["x"]), Err(BadModel::UnknownTensor { .. }))),
    }
});

/// What is proposed of a file is something that the file has.
fn proposed(model: &[u8]) {
    let inspection = Inspection::of(Path::new("net.onnx"), model).expect("it was read");
    assert!(inspection.candidates.len() <= 10);
    match propose(&inspection, &Wishes::default()) {
        Ok(proposal) => {
            assert!(inspection.candidates.iter().any(|candidate| candidate.tensor == proposal.tensor));
            for shape in [[1, 8, 1, 1].as_slice(), &[1, 8, 4, 4], &[1, 17, 8], &[1, 8], &[-1, 0]] {
                if let Ok(embedding) = complete(&proposal, shape, None) {
                    assert!((1..=65_536).contains(&embedding.dim), "{embedding:?}");
                }
            }
        }
        Err(bad) => assert!(!bad.to_string().is_empty()),
    }
}

/// `tensor` becomes the only output; cutting again changes nothing; a head can be put behind it.
fn cut(model: &[u8], graph: &Graph, tensor: &str) {
    let cut = match expose(model, graph, &[tensor]) {
        Ok(cut) => cut,
        Err(bad) => {
            assert!(tensor.is_empty(), "a node computes it: {bad}");
            return;
        }
    };
    let after = Graph::read(&cut).unwrap_or_else(|bad| panic!("{tensor:?}: {bad}"));
    assert_eq!(outputs(&after), [tensor]);
    assert!(after.nodes.len() <= graph.nodes.len() && after.weights.len() <= graph.weights.len());
    assert!(after.nodes.iter().all(|node| graph.nodes.contains(node)), "a node that was not there");
    assert_eq!(expose(&cut, &after, &[tensor]).as_ref(), Ok(&cut), "{tensor:?} is cut out twice");
    let manifest = manifest(tensor);
    let embedding = Taken { shape: vec![1, 4, 2, 2], widening: None };
    let shape = Cut { embedding, inner: Vec::new(), alone: None };
    match with_head(model, &manifest, &shape, &record(manifest.space())) {
        Ok(whole) => {
            let whole = Graph::read(&whole).unwrap_or_else(|bad| panic!("{tensor:?}: {bad}"));
            assert_eq!(outputs(&whole), [PROBABILITIES]);
            assert!(whole.nodes.len() > after.nodes.len());
        }
        Err(bad @ (CannotExport::Opset { .. } | CannotExport::NameTaken)) => fits_on_a_screen(&bad.to_string()),
        Err(CannotExport::Model(bad)) => panic!("it was cut before: {bad}"),
    }
}

fn outputs(graph: &Graph) -> Vec<&str> {
    graph.outputs.iter().map(|output| output.name.as_str()).collect()
}

/// One that makes rows of four values of whatever `tensor` is.
fn manifest(tensor: &str) -> Manifest {
    let text = "name: net\nfile: net.onnx\nsha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n\
                input: { tensor: input, layout: nchw, size: [8, 8], channels: rgb, mean: 0, std: 1, resize: crop }\n\
                embedding: { tensor: x, dim: 4, pool: avg }\n";
    let mut manifest = Manifest::parse(text, Path::new("net.yaml")).expect("it is a good one");
    manifest.embedding.tensor = tensor.to_owned();
    manifest
}
