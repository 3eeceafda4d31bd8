//! Whether an embedding is a function of its picture alone: networks that draw numbers or compute with the whole batch
//! are refused wherever a backbone opens, and a head is exported only so that its promise holds one picture at a time.

use std::fs;
use std::path::Path;

use edgetuned::backbone::environment;
use edgetuned::words::Digest;
use ort::session::Session;
use ort::value::TensorRef;

use crate::camera::Part;
use crate::desk::Desk;
use crate::onnx::Attribute::{Int, Ints};
use crate::onnx::Net;

/// Up to `flat`, 8 values of pictures of 16 x 16 in batches of `batch`; `row` has them in two axes written for one picture.
fn net(batch: &str) -> Net {
    let net = Net::default().input("x", &format!("{batch} 3 16 16")).weight("w", &[8, 3, 3, 3]);
    let net = net.node("Conv", "x w", "conv").node("Relu", "conv", "map").node("GlobalAveragePool", "map", "gap");
    net.node("Flatten", "gap", "flat")
        .weight_of("half", &[], Some(0.5))
        .integers("batch", &[0])
        .integers("one", &[1, 8])
}

/// Ends of `flat` in `y` that depend on chance, or on the batch.
fn unsteady() -> Vec<(&'static str, Net, &'static str)> {
    let noise = |op: &'static str| net("n").node(op, "flat", "r").node("Mul", "r flat", "y");
    let norm = |batch| {
        let net = net(batch).weight("g", &[8]).weight("b", &[8]).weight("m", &[8]).weight_of("v", &[8], Some(1.0));
        net.node_with("BatchNormalization", "flat g b m v", "y mean var", &[Int("training_mode", 1)])
    };
    let centred = |batch| {
        let net = net(batch).node_with("ReduceMean", "flat batch", "centre", &[Int("keepdims", 1)]);
        net.node("Sub", "flat centre", "d").node("Add", "d half", "y")
    };
    let norm_by_hand = |batch| {
        let net = net(batch).node_with("ReduceMax", "flat batch", "most", &[Int("keepdims", 1)]).node(
            "Add",
            "most half",
            "m",
        );
        net.node("Div", "flat m", "y")
    };
    vec![
        ("dropout", net("n").flag("yes", true).node("Dropout", "flat half yes", "y"), "has dropout in training mode"),
        ("noise", noise("RandomNormalLike"), "the same picture another embedding every time"),
        ("even noise", noise("RandomUniformLike"), "the same picture another embedding every time"),
        ("norm", norm("n"), "has batch normalisation in training mode"),
        ("norm of four", norm("4"), "has batch normalisation in training mode"),
        ("centre of the batch", centred("n"), "another embedding beside other pictures than alone"),
        ("centre of four", centred("4"), "another embedding beside other pictures than alone"),
        ("largest of the batch", norm_by_hand("n"), "another embedding beside other pictures than alone"),
    ]
}

/// The manifest of `model`, as somebody may have written it by hand.
fn manifest(model: &[u8], tensor: &str) -> String {
    format!(
        "name: net\nfile: net.onnx\nsha256: {}\ninput: {{ tensor: x, layout: nchw, size: [16, 16], channels: rgb, mean: 0, \
         std: 255, resize: stretch }}\nembedding: {{ tensor: {tensor}, dim: 8 }}\n",
        Digest::of(model)
    )
}

#[test]
fn what_depends_on_chance_or_on_other_pictures_is_refused_wherever_it_is_opened() {
    for (name, net, words) in unsteady() {
        let net = net.output("y", "n 8").bytes();
        let desk = Desk::new();
        desk.put("net.onnx", &net);
        println!("{name}");
        let says = [words, "model.eval()"];
        desk.fails("backbone add net.onnx --normalize unit --tensor y", 78, &says);
        assert!(!desk.path("net.yaml").exists());
        desk.put("hand.yaml", manifest(&net, "y").as_bytes());
        desk.shoot("train", Part::Nut, 0..2);
        desk.shoot("train", Part::Gear, 0..2);
        desk.fails("train train --backbone hand.yaml --out h.safetensors", 78, &says);
        let root = desk.root().display();
        let config = format!(
            "mqtt: {{ url: null }}\nbackbone: {{ model: {root}/hand.yaml }}\nstore: {{ path: {root}/state }}\n\
             watch: [{{ path: {root}/train }}]\n"
        );
        desk.put("c.yaml", config.as_bytes());
        let checked = desk.run("check --config c.yaml");
        assert!(checked.code == Some(78) && says.iter().all(|word| checked.out.contains(word)), "{}", checked.out);
        let started = desk.run("run --config c.yaml");
        assert!(started.code == Some(78) && says.iter().all(|word| started.err.contains(word)), "{}", started.err);
        // What comes before it is as good as ever.
        desk.good("backbone add net.onnx --normalize unit --tensor flat");
    }
}

#[test]
fn dropout_that_is_off_and_axes_that_stay_are_no_reason_to_refuse() {
    for net in [
        net("n").flag("no", false).node("Dropout", "flat half no", "y"),
        net("n").node("Dropout", "flat", "y"),
        net("4").node("Identity", "flat", "y"),
        net("n").node_with("LpNormalization", "flat", "y", &[Int("axis", 1)]),
    ] {
        let desk = Desk::new();
        desk.put("net.onnx", &net.output("y", "n 8").bytes());
        assert_eq!(desk.good("backbone add net.onnx --normalize unit")["embedding"]["tensor"], "y");
    }
}

/// Probabilities of `n` plain pictures of different greys, all at once.
fn run(model: &Path, n: usize) -> Result<Vec<f32>, ort::Error> {
    let mut session = Session::builder(&environment().unwrap()).unwrap().commit_from_file(model).unwrap();
    let values: Vec<f32> = (0..n * 768).map(|k| ((k * 7919 % 255) as f32 / 255.0) * (1 + k / 768) as f32).collect();
    let outputs = session.run(ort::inputs![TensorRef::from_array_view(([n, 3, 16, 16], &*values)).unwrap()])?;
    Ok(outputs[0].try_extract_tensor::<f32>()?.1.to_vec())
}

/// Networks whose head is exported for one picture at a time, or whose values are of another type than float32.
fn exportable() -> Vec<(&'static str, Net, bool)> {
    let written = net("n").node("Reshape", "gap one", "row").output("row", "n 8");
    let half = net("n").node_with("Cast", "flat", "row", &[Int("to", 10)]).output_of("row", 10, "n 8");
    let quantised = net("n").weight_of("s", &[], Some(0.01)).bytes_weight("z", &[]);
    let quantised =
        quantised.node("QuantizeLinear", "flat s z", "q").node("Flatten", "q", "row").output_of("row", 2, "n 8");
    let dynamic = Net::default().input("x", "n 3 16 16").bytes_weight("w", &[8, 3, 3, 3]).bytes_weight("z", &[]);
    let dynamic = dynamic.node("DynamicQuantizeLinear", "x", "xq xs xz").node("ConvInteger", "xq w xz z", "ci");
    let dynamic = dynamic.node_with("Cast", "ci", "cf", &[Int("to", 1)]).weight_of("ws", &[], Some(0.01));
    let dynamic = dynamic.node("Mul", "xs ws", "scale").node("Mul", "cf scale", "c");
    let dynamic = dynamic.node_with("ReduceMean", "c", "row", &[Ints("axes", &[2, 3]), Int("keepdims", 0)]).opset(17);
    vec![
        ("a batch of 1 written inside", written, true),
        ("quantised by the batch", dynamic.output("row", "n 8"), true),
        ("float16", half, false),
        ("uint8", quantised, false),
    ]
}

#[test]
fn an_exported_model_answers_of_a_picture_alone_what_it_answers_of_it_among_others() {
    for (name, net, alone) in exportable() {
        let net = net.bytes();
        let desk = Desk::with_pictures();
        desk.put("net.onnx", &net);
        println!("{name}");
        let added = desk.run("backbone add net.onnx --normalize unit --tensor row --json");
        assert!(added.code == Some(0) && added.err.is_empty(), "{}", added.err);
        let warned = added.document()["warnings"].to_string().contains("one ");
        assert_eq!(warned, alone, "{}", added.out);
        desk.good("train train --backbone net.yaml --out h.safetensors");
        let done = desk.good("export --head h.safetensors --backbone net.yaml --out m.onnx");
        assert_eq!(done["batch"].as_i64(), alone.then_some(1), "{done}");
        assert!(done["largest_difference"].as_f64().unwrap() < 1e-4, "{done}");
        let model = desk.path("m.onnx");
        let one = run(&model, 1).unwrap();
        match run(&model, 4) {
            Ok(four) => assert!(one.iter().zip(&four).all(|(a, b)| (a - b).abs() < 1e-4) && !alone),
            Err(error) => assert!(alone, "{error}"),
        }
        assert!(fs::metadata(&model).unwrap().len() > 0);
    }
}

#[test]
fn what_onnx_runtime_says_comes_in_one_line_without_its_source_code() {
    let desk = Desk::new();
    let unknown = net("n").node_of("vendor", "Secret", "flat", "y", &[]).output("y", "n 8").bytes();
    desk.put("unknown.onnx", &unknown);
    let fails = net("n").integers("wrong", &[3, 5]).node("Reshape", "gap wrong", "y").output("y", "n 8").bytes();
    desk.put("fails.onnx", &fails);
    for (command, words) in [
        ("backbone add unknown.onnx --normalize unit --tensor y", "Secret"),
        ("backbone add fails.onnx --normalize unit --tensor y", "cannot be reshaped"),
    ] {
        let ran = desk.run(command);
        assert_eq!((ran.code, ran.err.lines().count()), (Some(78), 1), "{}", ran.err);
        assert!(ran.err.contains(words), "{}", ran.err);
        for noise in
            ["onnxruntime_src", ".cc:", ".h:", "::", "\u{1b}[", "restart", "manifest of it", "correct the manifest"]
        {
            assert!(!ran.err.contains(noise), "{noise:?} is in {}", ran.err);
        }
    }
}
