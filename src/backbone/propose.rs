//! What of a manifest follows from the model: its input, its size, its embedding.
//!
//! What the file leaves open the user has to say; it is never guessed.

use super::inspect::Inspection;
use super::manifest::{Embedding, Pool};
use super::onnx::graph::{Axis, Tensor};
use super::pooling::{fitting, width};
use crate::image::Layout;

/// What the user specifies of a model; `None` leaves it to the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Name of the input.
    pub input: Option<String>,
    /// Order of the input's axes.
    pub layout: Option<Layout>,
    /// Height and width.
    pub size: Option<(u32, u32)>,
    /// The embedding tensor.
    pub tensor: Option<String>,
}

/// What follows from the model and its owner's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Name of the input.
    pub input: String,
    /// Order of the input's axes.
    pub layout: Layout,
    /// Height and width.
    pub size: (u32, u32),
    /// The embedding tensor.
    pub tensor: String,
    /// Why it is that one.
    pub why: String,
    /// Pictures that the model takes at once, where the file fixes it.
    pub batch: Option<i64>,
}

/// Why nothing follows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProposal {
    /// More inputs than a picture, or none.
    #[error("the model has {found} where one input, an image, is needed; export it with one input")]
    Inputs {
        /// The inputs, as text.
        found: String,
    },
    /// No input has the name.
    #[error("the model has no input {wanted:?}, its input is {found:?}; correct --input or leave it out")]
    UnknownInput {
        /// The requested name.
        wanted: String,
        /// The name there is.
        found: String,
    },
    /// The input is not of 32-bit floats.
    #[error("the model's input {input:?} takes {found}, float32 is needed; export it with a float32 input")]
    Element {
        /// The input.
        input: String,
        /// What it takes.
        found: &'static str,
    },
    /// Weights are in other files.
    #[error(
        "the model's weights are in separate files, one file is needed; export it into one file (PyTorch: \
         external_data=False)"
    )]
    ExternalWeights,
    /// The input is not an image.
    #[error(
        "the model's input {input:?} has the shape {shape}, a picture has four axes (n, 3, h, w) or (n, h, w, 3); \
         export it with such an input"
    )]
    NoPicture {
        /// The input.
        input: String,
        /// Its shape.
        shape: String,
    },
    /// The channel axis is ambiguous.
    #[error(
        "the model's input {input:?} has the shape {shape}, which leaves open where its 3 colour channels are; give \
         --layout nchw (PyTorch) or --layout nhwc (TensorFlow)"
    )]
    LayoutOpen {
        /// The input.
        input: String,
        /// Its shape.
        shape: String,
    },
    /// Height or width is free.
    #[error(
        "the model's input {input:?} has the shape {shape}, which leaves its size open; give the one that it was \
         trained with, such as --size 224"
    )]
    SizeOpen {
        /// The input.
        input: String,
        /// Its shape.
        shape: String,
    },
    /// The owner's words do not fit the file.
    #[error("the model's input {input:?} has the shape {shape}, {option} does not fit it; correct it or leave it out")]
    Unfitting {
        /// The input.
        input: String,
        /// Its shape.
        shape: String,
        /// The option and its value.
        option: String,
    },
    /// Nothing looks like an embedding.
    #[error("no tensor of the model looks like an embedding; name one with --tensor")]
    NoCandidate,
    /// The tensor is not an embedding.
    #[error(
        "the tensor {tensor:?} has the shape {shape:?} for one picture, no embedding follows from that; choose another \
         with --tensor, or name its pooling with --pool"
    )]
    NoEmbedding {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<i64>,
    },
    /// The pooling does not fit the tensor.
    #[error("the tensor {tensor:?} has the shape {shape:?} for one picture, which --pool {} does not fit; avg wants a \
             map (n, d, h, w), cls a list of tokens (n, tokens, d)", .pool.as_str())]
    Pool {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<i64>,
        /// The requested pooling.
        pool: Pool,
    },
}

impl BadProposal {
    /// True when other options help (exit code 64), false when another model is needed (78).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Inputs { .. } | Self::Element { .. } | Self::ExternalWeights | Self::NoPicture { .. })
    }
}

/// What follows from `found` and `wishes`.
///
/// # Errors
/// [`BadProposal`] when the model is none for pictures, or leaves open what `wishes` does not say.
pub fn propose(found: &Inspection, wishes: &Wishes) -> Result<Proposal, BadProposal> {
    let [input] = &found.inputs[..] else {
        let names: Vec<_> = found.inputs.iter().map(|input| format!("{:?}", input.name)).collect();
        let found = if names.is_empty() { "no input".into() } else { format!("the inputs {}", names.join(", ")) };
        return Err(BadProposal::Inputs { found });
    };
    if let Some(wanted) = wishes.input.as_ref().filter(|wanted| **wanted != input.name) {
        return Err(BadProposal::UnknownInput { wanted: wanted.clone(), found: input.name.clone() });
    }
    if found.external_weights {
        return Err(BadProposal::ExternalWeights);
    }
    if input.element != "float32" {
        return Err(BadProposal::Element { input: input.name.clone(), found: input.element });
    }
    let (layout, size) = picture(input, wishes)?;
    let (tensor, why) = match &wishes.tensor {
        Some(tensor) => {
            let known = found.candidates.iter().find(|candidate| candidate.tensor == *tensor);
            (tensor.clone(), format!("as asked{}", known.map_or(String::new(), |known| format!("; {}", known.why))))
        }
        None => match found.candidates.first() {
            Some(first) => (first.tensor.clone(), first.why.to_owned()),
            None => return Err(BadProposal::NoCandidate),
        },
    };
    let batch = match input.shape.as_deref() {
        Some([Axis::Fixed(batch), ..]) => Some(*batch),
        _ => None,
    };
    Ok(Proposal { input: input.name.clone(), layout, size, tensor, why, batch })
}

/// Layout, height and width of the picture that `input` takes.
fn picture(input: &Tensor, wishes: &Wishes) -> Result<(Layout, (u32, u32)), BadProposal> {
    let name = input.name.clone();
    let shape = shown(input);
    let free = Axis::Free(String::new());
    let axes = match input.shape.as_deref() {
        None => [&free, &free, &free],
        Some([_, a, b, c]) => [a, b, c],
        Some(_) => return Err(BadProposal::NoPicture { input: name, shape }),
    };
    let layout = match (wishes.layout, is_colour(axes[0]), is_colour(axes[2])) {
        (Some(layout), ..) => layout,
        (None, true, false) => Layout::Nchw,
        (None, false, true) => Layout::Nhwc,
        _ => return Err(BadProposal::LayoutOpen { input: name, shape }),
    };
    let unfitting = |option: String| BadProposal::Unfitting { input: name.clone(), shape: shape.clone(), option };
    let (sides, colours) = match layout {
        Layout::Nchw => ([axes[1], axes[2]], axes[0]),
        Layout::Nhwc => ([axes[0], axes[1]], axes[2]),
    };
    if matches!(colours, Axis::Fixed(length) if *length != 3) {
        return Err(match wishes.layout {
            Some(_) => unfitting(format!("--layout {}", layout.as_str())),
            None => BadProposal::NoPicture { input: name, shape },
        });
    }
    let side = |axis: &Axis, wish: Option<u32>| match (axis, wish) {
        (Axis::Fixed(length), Some(wish)) if i64::from(wish) != *length => {
            let (h, w) = wishes.size.unwrap_or((wish, wish));
            Err(unfitting(format!("--size {h}x{w}")))
        }
        (Axis::Fixed(length), _) => u32::try_from(*length)
            .ok()
            .filter(|length| (1..=4096).contains(length))
            .ok_or_else(|| BadProposal::NoPicture { input: name.clone(), shape: shape.clone() }),
        (Axis::Free(_), Some(wish)) => Ok(wish),
        (Axis::Free(_), None) => Err(BadProposal::SizeOpen { input: name.clone(), shape: shape.clone() }),
    };
    Ok((layout, (side(sides[0], wishes.size.map(|size| size.0))?, side(sides[1], wishes.size.map(|size| size.1))?)))
}

/// Whether the axis is that of the colours, by its length or by the name that exporters give it.
fn is_colour(axis: &Axis) -> bool {
    match axis {
        Axis::Fixed(length) => *length == 3,
        Axis::Free(name) => name.to_lowercase().contains("channel"),
    }
}

/// The shape as the file states it, `[n, 3, ?, ?]`.
fn shown(input: &Tensor) -> String {
    let Some(axes) = &input.shape else { return "[…] (not stated)".into() };
    let axes = axes.iter().map(|axis| match axis {
        Axis::Fixed(length) => length.to_string(),
        Axis::Free(name) => if name.is_empty() { "?" } else { name }.to_owned(),
    });
    format!("[{}]", axes.collect::<Vec<_>>().join(", "))
}

/// The embedding that the proposed tensor is, whose shape for one picture was measured.
///
/// # Errors
/// [`BadProposal::NoEmbedding`], or [`BadProposal::Pool`] when `pool` was requested and does not fit.
pub fn complete(proposal: &Proposal, shape: &[i64], pool: Option<Pool>) -> Result<Embedding, BadProposal> {
    let Proposal { tensor, layout, size, .. } = proposal;
    let none = || BadProposal::NoEmbedding { tensor: tensor.clone(), shape: shape.to_vec() };
    let (pool, dim) = match pool {
        None => fitting(shape, *layout, *size).ok_or_else(none)?,
        Some(pool) => {
            let wrong = || BadProposal::Pool { tensor: tensor.clone(), shape: shape.to_vec(), pool };
            (pool, width(shape, pool, *layout, *size).ok_or_else(wrong)?)
        }
    };
    if dim > 65_536 { Err(none()) } else { Ok(Embedding { tensor: tensor.clone(), dim, pool }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Candidate;
    use crate::words::Digest;

    fn axes(shape: &str) -> Vec<Axis> {
        let axis = |word: &str| word.parse().map_or_else(|_| Axis::Free(word.into()), Axis::Fixed);
        shape.split(' ').map(axis).collect()
    }

    /// A model with an input of `shape`, one candidate, and nothing else.
    fn model(shape: &str) -> Inspection {
        let candidate =
            Candidate { tensor: "pool".into(), op: "Flatten".into(), dim: Some(8), pool: Pool::None, why: "pooled" };
        Inspection {
            file: "net.onnx".into(),
            bytes: 1,
            sha256: Digest([0; 32]),
            nodes: 1,
            external_weights: false,
            inputs: vec![Tensor { name: "x".into(), element: "float32", shape: Some(axes(shape)) }],
            outputs: Vec::new(),
            candidates: vec![candidate],
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
            let wanted =
                Proposal { input: "x".into(), layout, size, tensor: "pool".into(), why: "pooled".into(), batch };
            assert_eq!(proposal, wanted, "{shape}");
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
            ("n 1 28 28", wishes(None, None), "give --layout", true),
            ("n 1 28 28", wishes(nchw, None), "--layout nchw does not fit it", true),
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
        let of =
            |shape: &[i64], pool| complete(&proposal, shape, pool).map(|embedding| (embedding.dim, embedding.pool));
        assert_eq!(of(&[1, 1280], None), Ok((1280, Pool::None)));
        assert_eq!(of(&[1, 1280, 7, 7], None), Ok((1280, Pool::Avg)));
        assert_eq!(of(&[1, 257, 384], None), Ok((384, Pool::Cls)));
        assert_eq!(of(&[1, 8, 2, 2], Some(Pool::None)), Ok((32, Pool::None)));
        let message = of(&[1, 1280], Some(Pool::Avg)).unwrap_err().to_string();
        assert!(message.contains("--pool avg does not fit") && message.contains("[1, 1280]"), "{message}");
        let message = of(&[1, 512, 112, 112], Some(Pool::None)).unwrap_err().to_string();
        assert!(message.contains("no embedding follows from that"), "{message}");
        assert!(of(&[7], None).is_ok() && of(&[2, 3], None).is_err() && of(&[1, 0], None).is_err());
    }
}
