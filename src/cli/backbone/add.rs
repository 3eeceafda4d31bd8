//! `edgetuned backbone add`: writes the manifest of a user's own model once it is verified.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::backbone::{
    Alone, BadProposal, Candidate, Embedding, Inspection, Manifest, OnnxBackbone, OpenError, Pool, Proposal, Verified,
    Wishes, complete, inspect, propose, verify,
};
use crate::cli::args::Add;
use crate::cli::failure::{Failure, one_line_chain};
use crate::cli::output::{self, Output, write_file};
use crate::cli::values::{divisor, listed, normalization, normalizations, per_channel};
use crate::image::{Channels, Decode, Preprocess, Resize};

#[derive(Debug, Serialize)]
struct Done<'a> {
    manifest: String,
    name: &'a str,
    file: String,
    sha256: String,
    license: &'a str,
    source: &'a str,
    input: &'a str,
    preprocess: &'a Preprocess,
    embedding: &'a Embedding,
    why: &'a str,
    ms_per_image: f64,
    warnings: &'a [String],
    candidates: &'a [Candidate],
    next: String,
}

/// The normalisation: mean, standard deviation, and the order of channels they apply to.
struct Pixels {
    mean: [f32; 3],
    std: [f32; 3],
    channels: Channels,
}

pub fn add(options: &Add, output: Output) -> Result<(), Failure> {
    let found = inspect(&options.file)?;
    let path = options.out.clone().unwrap_or_else(|| options.file.with_extension("yaml"));
    if path.exists() && !options.force {
        return Err(Failure::failed(format!(
            "the manifest {} exists; give --force to replace it, or --out to write another",
            path.display()
        )));
    }
    let resize = resize(options)?;
    let proposal = propose(&found, &wishes(options)).map_err(|error| refused(&options.file, &error))?;
    let pixels = pixels(options, output)?;
    let draft = draft(options, &found, &proposal, (&path, pixels, resize))?;
    let (proposal, draft) = measured(options, &found, proposal, draft)?;
    let text = draft.text();
    let (manifest, verified) = prove(&text, &path, &proposal, &options.file)?;
    write_file(&path, text.as_bytes())?;
    let done = Done {
        manifest: path.display().to_string(),
        name: &manifest.name,
        file: manifest.file.display().to_string(),
        sha256: manifest.sha256.to_string(),
        license: &manifest.license,
        source: &manifest.source,
        input: &manifest.input,
        preprocess: &manifest.preprocess,
        embedding: &manifest.embedding,
        why: &proposal.why,
        ms_per_image: verified.ms_per_image,
        warnings: &verified.warnings,
        candidates: &found.candidates,
        next: format!("edgetuned train DIR --backbone {}", path.display()),
    };
    output.print(&done, |out| describe(&done, options, out))
}

/// The proposal and the manifest with its embedding's width and pooling, as the tensor turned out to be; of the tensors
/// that the model offers the first that is an embedding, unless the user chose one or its pooling.
fn measured(
    options: &Add,
    found: &Inspection,
    mut proposal: Proposal,
    mut draft: Manifest,
) -> Result<(Proposal, Manifest), Failure> {
    let attempt = |proposal: &Proposal, draft: &Manifest| {
        let shape = OnnxBackbone::shape(draft).map_err(|error| unproved(&options.file, &error))?;
        complete(proposal, &shape, options.pool).map_err(|error| refused(&options.file, &error))
    };
    let free = options.tensor.is_none() && options.pool.is_none();
    let mut others = found.candidates.iter().skip(1).filter(|_| free);
    let mut first_failure = None;
    loop {
        match attempt(&proposal, &draft) {
            Ok(embedding) => {
                let embedding = Embedding { inner: options.inner.clone(), ..embedding };
                return Ok((proposal, Manifest { embedding, ..draft }));
            }
            Err(failure) => {
                let failure = first_failure.take().unwrap_or(failure);
                let Some(next) = others.next() else { return Err(failure) };
                first_failure = Some(failure);
                proposal = proposal.of(next);
                draft.embedding.tensor.clone_from(&next.tensor);
            }
        }
    }
}

/// Reads the manifest back as it will be written, opens its backbone and verifies that.
fn prove(text: &str, path: &Path, proposal: &Proposal, model: &Path) -> Result<(Manifest, Verified), Failure> {
    let manifest = Manifest::parse(text, path)?.resolved();
    let mut backbone = OnnxBackbone::open(&manifest, 1).map_err(|error| unproved(model, &error))?;
    let mut verified = verify(&mut backbone).map_err(|error| {
        let tensor = &manifest.embedding.tensor;
        let reason = one_line_chain(&error);
        Failure::configuration(format!("wrote no manifest for {}: tensor {tensor:?}: {reason}", model.display()))
    })?;
    verified.warnings.splice(0..0, proposal.warnings.iter().cloned());
    verified.warnings.extend(narrow(&manifest, proposal));
    verified.warnings.extend(backbone.cut().alone.map(|alone| one_at_a_time(alone).to_owned()));
    if let Some(batch) = proposal.batch.filter(|batch| *batch > 1) {
        verified.warnings.push(format!(
            "the model takes exactly {batch} pictures at once, so one costs as much as {batch}: export it with a free \
             batch size"
        ));
    }
    Ok((manifest, verified))
}

/// What to know of a model that is given one picture at a time.
fn one_at_a_time(alone: Alone) -> &'static str {
    match alone {
        Alone::Written => {
            "the model takes one picture at a time, whatever its input says: a batch of 1 is written into one of its \
             steps; it is used so, and 'edgetuned export' writes a model for one picture at a time"
        }
        Alone::Quantised => {
            "the model quantises its values by their range in the batch (dynamic quantisation), so pictures beside one \
             change its embedding: it is given one at a time, and 'edgetuned export' writes a model for one at a time"
        }
    }
}

/// A word about a declared output that has fewer values than the pooled tensor that it depends on, as class scores have.
fn narrow(manifest: &Manifest, proposal: &Proposal) -> Option<String> {
    let (tensor, dim) = (proposal.pooled.clone()?, manifest.embedding.dim);
    let embedding = Embedding { tensor: tensor.clone(), ..manifest.embedding.clone() };
    let shape = OnnxBackbone::shape(&Manifest { embedding, ..manifest.clone() }).ok()?;
    let pooled = shape.iter().product::<i64>().unsigned_abs();
    (dim < usize::try_from(pooled).ok()?).then(|| {
        format!(
            "the output {:?} has {dim} values, the pooled tensor {tensor:?} that leads to it {pooled}: if they are class \
             scores, the pooled tensor carries more information; choose it with --tensor {tensor}",
            manifest.embedding.tensor
        )
    })
}

/// What keeps the model from being used, in words for somebody who has no manifest of it yet.
fn unproved(model: &Path, error: &OpenError) -> Failure {
    let reason = match error {
        OpenError::Mismatch { key, expected, found, .. } if key.starts_with("embedding.inner") => {
            format!("the model has {found} where {expected} is needed; choose another tensor with --inner")
        }
        OpenError::Mismatch { expected, found, .. } => {
            format!(
                "the model has {found} where {expected} is needed; export it so, or choose another tensor with --tensor"
            )
        }
        OpenError::Probe { source, .. } => format!(
            "the model fails on a grey probe image with this normalisation; check --normalize, or --mean, --std and \
             --scale: {}",
            one_line_chain(source)
        ),
        error => one_line_chain(error),
    };
    let text = format!("wrote no manifest for {}: {reason}", model.display());
    if error.is_unavailable() { Failure::unavailable(text) } else { Failure::configuration(text) }
}

fn refused(file: &Path, error: &BadProposal) -> Failure {
    let usage = error.is_usage();
    let text = format!("wrote no manifest for {}: {error}", file.display());
    if usage { Failure::usage(text) } else { Failure::configuration(text) }
}

fn wishes(options: &Add) -> Wishes {
    Wishes { input: options.input.clone(), layout: options.layout, size: options.size, tensor: options.tensor.clone() }
}

/// Without a word it is the crop that classification models are mostly evaluated with.
fn resize(options: &Add) -> Result<Resize, Failure> {
    let resize = options.resize.unwrap_or(Resize::CROP);
    match (resize, options.crop_ratio) {
        (Resize::Stretch | Resize::Letterbox, Some(_)) => {
            Err(Failure::usage("--crop-ratio belongs to --resize crop; leave one of them out"))
        }
        (Resize::Crop { .. }, Some(ratio)) => Ok(Resize::Crop { ratio }),
        (resize, None) => Ok(resize),
    }
}

/// By the options; where they are missing, a person at a terminal is asked.
fn pixels(options: &Add, output: Output) -> Result<Pixels, Failure> {
    let mut pixels = match (options.normalize, options.mean, options.std) {
        (Some(known), ..) => Pixels { mean: known.mean, std: known.std, channels: known.channels },
        (None, Some(mean), Some(std)) => Pixels { mean, std, channels: Channels::Rgb },
        _ => {
            let person = io::stdin().is_terminal() && io::stderr().is_terminal() && !output.json;
            let answer = if person { ask(&mut io::stdin().lock(), &mut io::stderr()) } else { None };
            answer.ok_or_else(|| {
                Failure::usage(
                    "an ONNX file does not say how pixels were normalised in training: give --normalize imagenet \
                     (torchvision, most of timm, DINOv2), inception (TensorFlow's MobileNets), unit, none, caffe or \
                     clip, or --mean and --std; the model's publisher says which",
                )
            })?
        }
    };
    pixels.channels = options.channels.unwrap_or(pixels.channels);
    Ok(pixels)
}

/// Asks until an answer is valid; `None` at the end of the input.
fn ask(answers: &mut dyn BufRead, to: &mut dyn Write) -> Option<Pixels> {
    writeln!(to, "{}", normalizations()).ok()?;
    loop {
        write!(to, "Name, or mean and std (127.5 127.5): ").and_then(|()| to.flush()).ok()?;
        let mut answer = String::new();
        if answers.read_line(&mut answer).ok()? == 0 {
            return None;
        }
        match &answer.split_whitespace().collect::<Vec<_>>()[..] {
            [name] => match normalization(name) {
                Ok(known) => return Some(Pixels { mean: known.mean, std: known.std, channels: known.channels }),
                Err(error) => writeln!(to, "{error}").ok()?,
            },
            [mean, std] => match (per_channel(mean), divisor(std)) {
                (Ok(mean), Ok(std)) => return Some(Pixels { mean, std, channels: Channels::Rgb }),
                (Err(error), _) | (_, Err(error)) => writeln!(to, "{error}").ok()?,
            },
            _ => {}
        }
    }
}

/// The manifest without its embedding's width and pooling.
fn draft(
    options: &Add,
    found: &Inspection,
    proposal: &Proposal,
    (path, pixels, resize): (&PathBuf, Pixels, Resize),
) -> Result<Manifest, Failure> {
    let stem = options.file.file_stem().and_then(|stem| stem.to_str()).filter(|stem| !stem.trim().is_empty());
    let file = beside(&options.file, path);
    let (Some(stem), Some(_)) = (stem, file.to_str()) else {
        return Err(Failure::failed(format!(
            "cannot name {} in a manifest: it is not UTF-8; rename it",
            file.display()
        )));
    };
    let Pixels { mean, std, channels } = pixels;
    let (layout, size, scale) = (proposal.layout, proposal.size, options.scale.unwrap_or([1.0; 3]));
    let pad = options.pad.unwrap_or(Preprocess::PAD);
    let decode = options.decode.unwrap_or_default();
    Ok(Manifest {
        path: path.clone(),
        name: options.name.clone().unwrap_or_else(|| stem.to_owned()),
        file,
        sha256: found.sha256,
        license: options.license.clone().unwrap_or_default(),
        source: options.source.clone().unwrap_or_default(),
        input: proposal.input.clone(),
        preprocess: Preprocess { size, layout, channels, mean, std, scale, resize, pad, decode },
        embedding: Embedding { tensor: proposal.tensor.clone(), dim: 1, pool: Pool::None, inner: Vec::new() },
        tail: None,
        provider: None,
        stands_in: None,
    })
}

/// The model's path relative to the manifest's folder if it is in it or below; else its full path.
fn beside(file: &Path, manifest: &Path) -> PathBuf {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let full = |folder: &Path| folder.canonicalize().or_else(|_| Path::new(".").join(folder).canonicalize());
    // A model may be a link, so its own name stays.
    let Some((name, real)) = file.file_name().zip(full(file.parent().unwrap_or(Path::new(""))).ok()) else {
        return file.to_owned();
    };
    let real = real.join(name);
    match full(folder) {
        Ok(top) => real.strip_prefix(&top).map(|below| folder.join(below)).unwrap_or(real),
        Err(_) => real,
    }
}

fn describe(done: &Done<'_>, options: &Add, out: &mut dyn Write) -> io::Result<()> {
    let Preprocess { size: (h, w), layout, channels, mean, std, resize, pad, decode, .. } = done.preprocess;
    let (layout, channels) = (layout.as_str(), channels.as_str());
    writeln!(out, "wrote      {}", done.manifest)?;
    writeln!(out, "model      {}, SHA-256 {}", done.file, done.sha256)?;
    writeln!(
        out,
        "input      {}: {layout}, {h}x{w}, {channels}, mean {}, std {}",
        done.input,
        listed(*mean),
        listed(*std)
    )?;
    let chosen =
        if options.resize.is_some() { "" } else { "; the usual way of classification models, --resize changes it" };
    match resize {
        Resize::Stretch => writeln!(out, "resize     stretch")?,
        Resize::Crop { ratio } => writeln!(
            out,
            "resize     crop: shorter side to {:.0}, then the centre {h}x{w}{chosen}",
            f64::from(*h.min(w)) / f64::from(*ratio)
        )?,
        Resize::Letterbox => writeln!(out, "resize     letterbox, border {pad}")?,
    }
    if *decode == Decode::Scaled {
        writeln!(out, "decode     scaled: large JPEGs at a half, a quarter or an eighth")?;
    }
    let Embedding { tensor, dim, pool, inner } = done.embedding;
    writeln!(out, "embedding  {tensor}: {dim} values, pool {} ({})", pool.as_str(), done.why)?;
    for inner in inner {
        let stat: Vec<_> = inner.stat.iter().map(|stat| stat.as_str()).collect();
        writeln!(out, "inner      {}: {} values, {} of each channel", inner.tensor, inner.width(), stat.join(" and "))?;
    }
    writeln!(
        out,
        "probe      different images get different embeddings; {:.1} ms per image on one thread",
        done.ms_per_image
    )?;
    done.warnings.iter().try_for_each(|warning| writeln!(out, "warning    {warning}"))?;
    for other in done.candidates.iter().filter(|other| other.tensor != *tensor) {
        writeln!(out, "other      {}", output::candidate(other))?;
    }
    writeln!(out, "next       {}", done.next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answers: &str) -> (Option<Pixels>, String) {
        let mut prompts = Vec::new();
        let pixels = ask(&mut answers.as_bytes(), &mut prompts);
        (pixels, String::from_utf8(prompts).unwrap())
    }

    #[test]
    fn an_answer_is_a_name_or_two_numbers() {
        let (pixels, prompts) = answered("caffe\n");
        let pixels = pixels.unwrap();
        assert_eq!((pixels.mean[0], pixels.channels), (103.939, Channels::Bgr));
        assert!(prompts.contains("imagenet") && prompts.contains("58.395,57.12,57.375"), "{prompts}");
        let (pixels, _) = answered("123.675,116.28,103.53 58\n");
        assert_eq!(pixels.map(|pixels| (pixels.mean[1], pixels.std)), Some((116.28, [58.0; 3])));
    }

    #[test]
    fn a_wrong_answer_is_prompted_for_again_and_no_answer_is_no_choice() {
        let (pixels, prompts) = answered("imagnet\n127.5 0\n\nunit\n");
        assert_eq!(pixels.map(|pixels| pixels.std), Some([255.0; 3]));
        assert!(prompts.contains("expected one of imagenet") && prompts.contains("not 0"), "{prompts}");
        assert!(answered("").0.is_none() && answered("what\n").0.is_none());
    }
}
