//! What of a manifest follows from the model: its input, its size, its embedding.
//!
//! What the file leaves open the user has to say; it is never guessed.

use super::export::OPSETS;
use super::inspect::{Candidate, Inspection};
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
    /// The squares that a picture is cut into, where the file shows them.
    pub patch: Option<(u32, u32)>,
    /// The pooled tensor that the embedding, a declared output, depends on.
    pub pooled: Option<String>,
    /// Warnings for the user, the next one among them.
    pub warnings: Vec<String>,
    /// Why no head can be exported with the model, where that is so.
    pub not_exportable: Option<String>,
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
    /// The pictures are grey.
    #[error(
        "the model's input {input:?} has the shape {shape}, one channel, three are needed: train or export it for \
         colour pictures (PyTorch: x.mean(1, keepdim=True) in front takes grey from them)"
    )]
    OneChannel {
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
        !matches!(
            self,
            Self::Inputs { .. }
                | Self::Element { .. }
                | Self::ExternalWeights
                | Self::NoPicture { .. }
                | Self::OneChannel { .. }
        )
    }
}

impl Proposal {
    /// The same with another tensor of the model.
    #[must_use]
    pub fn of(self, other: &Candidate) -> Self {
        let (tensor, why) = (other.tensor.clone(), other.why.to_owned());
        let warnings = other.doubt.iter().cloned().chain(self.not_exportable.clone()).collect();
        Self { tensor, why, pooled: other.pooled.clone(), warnings, ..self }
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
    let (tensor, why, known) = match &wishes.tensor {
        Some(tensor) => {
            let known = found.candidates.iter().find(|candidate| candidate.tensor == *tensor);
            let why = format!("as asked{}", known.map_or(String::new(), |known| format!("; {}", known.why)));
            (tensor.clone(), why, known)
        }
        None => match found.candidates.first() {
            Some(first) => (first.tensor.clone(), first.why.to_owned(), Some(first)),
            None => return Err(BadProposal::NoCandidate),
        },
    };
    let doubt = known.and_then(|known| known.doubt.clone());
    let not_exportable = not_exportable(found.opset);
    let warnings = doubt.into_iter().chain(not_exportable.clone()).collect();
    let pooled = known.and_then(|known| known.pooled.clone());
    let batch = match input.shape.as_deref() {
        Some([Axis::Fixed(batch), ..]) => Some(*batch),
        _ => None,
    };
    let (input, patch) = (input.name.clone(), found.patch);
    Ok(Proposal { input, layout, size, tensor, why, batch, patch, pooled, warnings, not_exportable })
}

/// What `export` will say of a model in operators of version `opset`; said before anything is trained on it.
fn not_exportable(opset: Option<i64>) -> Option<String> {
    let opset = opset.filter(|opset| !OPSETS.contains(opset))?;
    let (least, most) = (OPSETS.start(), OPSETS.end());
    Some(format!(
        "the model uses ONNX operators of version {opset}, 'edgetuned export' adds heads to those of version {least} to \
         {most}: for one ONNX file of backbone and head, export the model with opset_version={most} before you train"
    ))
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
    let one = |axis: &Axis| *axis == Axis::Fixed(1);
    if !axes.iter().any(|axis| is_colour(axis)) && (one(axes[0]) || one(axes[2])) {
        return Err(BadProposal::OneChannel { input: name, shape });
    }
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

/// The embedding that the proposed tensor is, whose shape for one picture was measured; without inner values, which
/// nothing in a file speaks for.
///
/// # Errors
/// [`BadProposal::NoEmbedding`], or [`BadProposal::Pool`] when `pool` was requested and does not fit.
pub fn complete(proposal: &Proposal, shape: &[i64], pool: Option<Pool>) -> Result<Embedding, BadProposal> {
    let Proposal { tensor, layout, size, patch, .. } = proposal;
    let none = || BadProposal::NoEmbedding { tensor: tensor.clone(), shape: shape.to_vec() };
    let (pool, dim) = match pool {
        None => fitting(shape, *layout, *size, *patch).ok_or_else(none)?,
        Some(pool) => {
            let wrong = || BadProposal::Pool { tensor: tensor.clone(), shape: shape.to_vec(), pool };
            (pool, width(shape, pool, *layout, *size).ok_or_else(wrong)?)
        }
    };
    if dim > 65_536 { Err(none()) } else { Ok(Embedding { tensor: tensor.clone(), dim, pool, inner: Vec::new() }) }
}

#[cfg(test)]
#[path = "propose_tests.rs"]
mod tests;
