use super::*;
use crate::backbone::Candidate;
use crate::words::Digest;

fn axes(shape: &str) -> Vec<Axis> {
    let axis = |word: &str| word.parse().map_or_else(|_| Axis::Free(word.into()), Axis::Fixed);
    shape.split(' ').map(axis).collect()
}

/// A model with an input of `shape`, one candidate, and nothing else.
fn model(shape: &str) -> Inspection {
    let candidate = Candidate {
        tensor: "pool".into(),
        op: "Flatten".into(),
        dim: Some(8),
        pool: Pool::None,
        why: "pooled",
        doubt: None,
        pooled: None,
    };
    Inspection {
        file: "net.onnx".into(),
        bytes: 1,
        sha256: Digest([0; 32]),
        nodes: 1,
        external_weights: false,
        inputs: vec![Tensor { name: "x".into(), element: "float32", shape: Some(axes(shape)) }],
        outputs: Vec::new(),
        candidates: vec![candidate],
        opset: Some(17),
        patch: None,
    }
}

fn wishes(layout: Option<Layout>, size: Option<(u32, u32)>) -> Wishes {
    Wishes { layout, size, ..Wishes::default() }
}

#[test]
fn what_the_file_states_needs_no_arguments() {
    for (shape, layout, size) in [
        ("n 3 224 192", Layout::Nchw, (224, 192)),
        ("1 224 192 3", Layout::Nhwc, (224, 192)),
        ("batch num_channels 96 96", Layout::Nchw, (96, 96)),
    ] {
        let proposal = propose(&model(shape), &Wishes::default()).unwrap();
        let batch = shape.starts_with('1').then_some(1);
        assert_eq!((proposal.input.as_str(), proposal.layout, proposal.size), ("x", layout, size), "{shape}");
        assert_eq!((proposal.tensor.as_str(), proposal.why.as_str(), proposal.batch), ("pool", "pooled", batch));
        assert_eq!(proposal.warnings, Vec::<String>::new());
    }
}

#[test]
fn what_the_file_leaves_open_comes_from_its_owner() {
    let size = Some((160, 192));
    let proposal = propose(&model("n 3 h w"), &wishes(None, size)).unwrap();
    assert_eq!((proposal.layout, proposal.size), (Layout::Nchw, (160, 192)));
    let proposal = propose(&model("n a b c"), &wishes(Some(Layout::Nhwc), size)).unwrap();
    assert_eq!((proposal.layout, proposal.size), (Layout::Nhwc, (160, 192)));
    let mut unstated = model("n");
    unstated.inputs[0].shape = None;
    assert_eq!(propose(&unstated, &wishes(Some(Layout::Nchw), size)).unwrap().size, (160, 192));
    let wishes = Wishes { tensor: Some("inner".into()), input: Some("x".into()), ..Wishes::default() };
    let proposal = propose(&model("n 3 8 8"), &wishes).unwrap();
    assert_eq!((proposal.tensor, proposal.why), ("inner".into(), "as asked".into()));
}

#[test]
fn what_cannot_be_known_is_required_and_what_cannot_be_used_is_refused() {
    let (nchw, size) = (Some(Layout::Nchw), Some((32, 32)));
    let refusal = |shape: &str, wishes: &Wishes| {
        let error = propose(&model(shape), wishes).unwrap_err();
        (error.to_string(), error.is_usage())
    };
    for (shape, wishes, words, usage) in [
        ("n 3 h w", wishes(None, None), "[n, 3, h, w], which leaves its size open; give", true),
        ("n 3 224 3", wishes(None, None), "give --layout nchw (PyTorch) or --layout nhwc", true),
        ("n a b c", wishes(None, size), "give --layout", true),
        ("n 3 224 224", wishes(None, size), "--size 32x32 does not fit it", true),
        ("n 224 224 3", wishes(nchw, None), "--layout nchw does not fit it", true),
        ("n 1 28 28", wishes(None, None), "one channel, three are needed", false),
        ("n 28 28 1", wishes(nchw, None), "one channel, three are needed", false),
        ("n 1 h w", wishes(None, size), "one channel, three are needed", false),
        ("n 4 28 28", wishes(nchw, None), "--layout nchw does not fit it", true),
        ("n 3 224", wishes(None, None), "a picture has four axes", false),
        ("n 3 0 224", wishes(None, None), "a picture has four axes", false),
    ] {
        let (message, is_usage) = refusal(shape, &wishes);
        assert!(message.contains(words) && message.contains("\"x\""), "{shape}: {message}");
        assert_eq!(is_usage, usage, "{message}");
    }
    let other_input = Wishes { input: Some("image".into()), ..Wishes::default() };
    assert!(refusal("n 3 8 8", &other_input).0.contains("no input \"image\", its input is \"x\""));
}

#[test]
fn a_model_that_is_none_for_pictures_is_refused() {
    let refused = |change: fn(&mut Inspection)| {
        let mut model = model("n 3 8 8");
        change(&mut model);
        propose(&model, &Wishes::default()).unwrap_err().to_string()
    };
    let two = refused(|model| model.inputs.push(Tensor { name: "mask".into(), ..Tensor::default() }));
    assert!(two.contains("the inputs \"x\", \"mask\" where one input, an image, is needed"), "{two}");
    assert!(refused(|model| model.inputs.clear()).contains("has no input"));
    assert!(refused(|model| model.inputs[0].element = "float16").contains("takes float16, float32 is needed"));
    assert!(refused(|model| model.external_weights = true).contains("external_data=False"));
    assert!(refused(|model| model.candidates.clear()).contains("name one with --tensor"));
}

#[test]
fn the_measured_shape_decides_width_and_pooling() {
    let proposal = propose(&model("n 3 8 8"), &Wishes::default()).unwrap();
    let of = |shape: &[i64], pool| complete(&proposal, shape, pool).map(|embedding| (embedding.dim, embedding.pool));
    assert_eq!(of(&[1, 1280], None), Ok((1280, Pool::None)));
    assert_eq!(of(&[1, 1280, 7, 7], None), Ok((1280, Pool::Avg)));
    assert_eq!(of(&[1, 65, 384], None), Ok((384, Pool::Cls)));
    assert!(of(&[1, 64, 384], None).is_err());
    let patched = Proposal { patch: Some((4, 4)), ..proposal.clone() };
    let of_patches = |tokens| complete(&patched, &[1, tokens, 384], None).map(|embedding| embedding.pool);
    assert_eq!((of_patches(5), of_patches(65).is_err()), (Ok(Pool::Cls), true));
    assert_eq!(of(&[1, 8, 2, 2], Some(Pool::None)), Ok((32, Pool::None)));
    let message = of(&[1, 1280], Some(Pool::Avg)).unwrap_err().to_string();
    assert!(message.contains("--pool avg does not fit") && message.contains("[1, 1280]"), "{message}");
    let message = of(&[1, 512, 112, 112], Some(Pool::None)).unwrap_err().to_string();
    assert!(message.contains("no embedding follows from that"), "{message}");
    assert!(of(&[7], None).is_ok() && of(&[2, 3], None).is_err() && of(&[1, 0], None).is_err());
}
