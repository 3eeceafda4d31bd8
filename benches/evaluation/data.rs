//! Photographs as embeddings: `../shared/data` holds `splits/<set>.<part>.txt` (path, tab, label), the photographs, and
//! `models/*.onnx` (`MODELS.md` there says how each is fed). The bundled backbones come first, each by its bundled name.
//!
//! Embeddings are rounded to half precision, as the store keeps them, and kept in `target/evaluation`.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use edgetuned::backbone::{Manifest, OnnxBackbone, bundled, embed_all};
use edgetuned::head::BackboneRef;
use edgetuned::image::{Limits, Rgb, decode};
use edgetuned::ports::Embedder;
use edgetuned::store::{Cache, CacheOptions, Precision};
use edgetuned::train::{Dataset, Grouper};
use edgetuned::words::{ClassSet, EmbeddingSpace, Label, SampleId};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::parallel;

/// Name, size, mean, standard deviation, channels and width of each model.
const MODELS: [(&str, u32, &str, &str, &str, usize); 4] = [
    ("mobilenetv2-1.0-224-tf2-fp32", 224, "127.5", "127.5", "rgb", 1280),
    ("mobilenetv2-1.0-224-qat-int8", 224, "128.0", "128.0", "rgb", 1280),
    ("squeezenet1.1-227-fp32", 227, "[104.0, 117.0, 123.0]", "1.0", "bgr", 512),
    ("mobilenetv1-0.25-128-fp32", 128, "128.0", "128.0", "rgb", 256),
];

/// Those that have a training split.
pub const SETS: [&str; 2] = ["trashnet", "corn-color"];

/// Backbones that stand for the others where a measurement takes long.
const SOME: [&str; 4] = ["default", "photo", "mobilenetv2-1.0-224-tf2-fp32", "squeezenet1.1-227-fp32"];

const SPLITS: [&str; 5] =
    ["trashnet.train", "trashnet.test", "corn-color.train", "corn-color.test", "corn-segmented.test"];

/// One backbone's embeddings of all splits.
pub struct Photographs {
    /// The bundled name, or the model's.
    pub backbone: String,
    pub manifest: Manifest,
    sets: BTreeMap<&'static str, Set>,
}

/// Labelled embeddings in the order of arrival.
#[derive(Debug, Clone)]
pub struct Set {
    pub space: EmbeddingSpace,
    /// Widths of the parts of an embedding.
    pub parts: Vec<usize>,
    /// (n, d)
    pub z: Array2<f32>,
    /// (n,)
    pub labels: Vec<Label>,
    pub ids: Vec<SampleId>,
    pub groups: Vec<SampleId>,
}

impl Photographs {
    pub fn get(&self, split: &str) -> &Set {
        &self.sets[split]
    }
}

impl Set {
    pub fn n(&self) -> usize {
        self.labels.len()
    }

    pub fn classes(&self) -> ClassSet {
        self.labels.iter().cloned().collect()
    }

    /// Index in `classes` of each label.
    pub fn y(&self, classes: &ClassSet) -> Vec<usize> {
        self.labels.iter().map(|label| classes.index_of(label).expect("its own classes")).collect()
    }

    /// These rows.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            space: self.space,
            parts: self.parts.clone(),
            z: self.z.select(Axis(0), rows),
            labels: rows.iter().map(|row| self.labels[*row].clone()).collect(),
            ids: rows.iter().map(|row| self.ids[*row]).collect(),
            groups: rows.iter().map(|row| self.groups[*row]).collect(),
        }
    }

    /// Both, one behind the other.
    pub fn with(&self, other: &Self) -> Self {
        let z = ndarray::concatenate(Axis(0), &[self.z.view(), other.z.view()]).expect("one width");
        Self {
            space: self.space,
            parts: self.parts.clone(),
            z,
            labels: [&self.labels[..], &other.labels].concat(),
            ids: [&self.ids[..], &other.ids].concat(),
            groups: [&self.groups[..], &other.groups].concat(),
        }
    }

    /// Rows of each class, in the order of arrival.
    pub fn by_class(&self) -> BTreeMap<Label, Vec<usize>> {
        let mut rows: BTreeMap<Label, Vec<usize>> = BTreeMap::new();
        for (row, label) in self.labels.iter().enumerate() {
            rows.entry(label.clone()).or_default().push(row);
        }
        rows
    }

    /// Rows of `shots` of each class, drawn with `seed` as `edgetuned train --shots` does it.
    pub fn draw(&self, shots: usize, seed: u64) -> Vec<usize> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn = Vec::new();
        for mut rows in self.by_class().into_values() {
            rows.shuffle(&mut random);
            rows.truncate(shots);
            rows.sort_unstable();
            drawn.append(&mut rows);
        }
        drawn
    }

    /// The same, with groups as they are where there are no other pictures.
    pub fn regrouped(self) -> Self {
        let mut grouper = Grouper::default();
        let rows = self.ids.iter().zip(self.z.rows());
        let groups = rows.map(|(id, z)| grouper.assign(*id, &z.to_vec())).collect();
        Self { groups, ..self }
    }

    pub fn dataset(&self) -> Dataset {
        let classes = self.classes();
        let y = self.y(&classes);
        let data = Dataset::new(self.space, self.z.clone(), y, classes, self.groups.clone(), self.ids.clone());
        data.expect("sound data").in_parts(&self.parts)
    }
}

/// What there is to measure with.
pub struct Data {
    pub photographs: Vec<Photographs>,
    /// Bundled backbones that are not measured, and why.
    pub left_out: Vec<String>,
}

impl Data {
    /// Those of [`SOME`] backbones.
    pub fn some(&self) -> Vec<&Photographs> {
        self.photographs.iter().filter(|photographs| SOME.contains(&photographs.backbone.as_str())).collect()
    }

    /// Each of [`SOME`] backbones with each of [`SETS`].
    pub fn backbones_and_sets(&self) -> Vec<(&Photographs, &'static str)> {
        self.some().into_iter().flat_map(|photographs| SETS.map(|set| (photographs, set))).collect()
    }
}

/// The pictures of a split, in its order.
pub fn pictures(split: &str) -> impl Iterator<Item = Rgb> {
    let lines = lines(&shared(), split).expect("it was read before");
    lines.into_iter().map(|(path, _)| picture(&path).expect("the photographs are whole"))
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")
}

/// Everything, once for each backbone; `None` where the data are not.
pub fn load() -> Result<Option<Data>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = shared();
    if !data.is_dir() {
        return Ok(None);
    }
    let cache = root.join(option_env!("CARGO_TARGET_DIR").unwrap_or("target")).join("evaluation");
    let mut models: Vec<(String, Manifest)> = Vec::new();
    let mut left_out = Vec::new();
    for (name, manifest) in bundled::list() {
        match manifest {
            Ok(manifest) if manifest.file.is_file() => {
                match models.iter().find(|(_, other)| other.space() == manifest.space()) {
                    Some((same, _)) => left_out.push(format!("{name}: it is {same} under another name")),
                    None => models.push((name, manifest)),
                }
            }
            Ok(manifest) => left_out.push(format!("{name}: {} is not there", manifest.file.display())),
            Err(reason) => left_out.push(format!("{name}: {reason}")),
        }
    }
    for model in MODELS {
        models.push((model.0.to_owned(), reference(&data, model)?));
    }
    let measured = parallel::map(&models, |(name, manifest)| {
        photographs(name, manifest, &data, &cache).map_err(|reason| format!("{name}: {reason}"))
    });
    Ok(Some(Data { photographs: measured.into_iter().collect::<Result<_, _>>()?, left_out }))
}

/// The manifest of one of [`MODELS`].
fn reference(
    data: &Path,
    (name, size, mean, std, channels, dim): (&str, u32, &str, &str, &str, usize),
) -> Result<Manifest, Box<dyn Error>> {
    let file = data.join(format!("models/{name}.onnx")).canonicalize()?;
    let sha256 = edgetuned::words::Digest::of(&std::fs::read(&file)?);
    let text = format!(
        "name: {name}\nfile: {}\nsha256: {sha256}\ninput: {{ tensor: input, layout: nchw, size: [{size}, {size}], \
         channels: {channels}, mean: {mean}, std: {std}, resize: crop }}\n\
         embedding: {{ tensor: embedding, dim: {dim} }}\n",
        file.display()
    );
    Ok(Manifest::parse(&text, &data.join("models").join(format!("{name}.yaml")))?)
}

fn photographs(name: &str, manifest: &Manifest, data: &Path, cache: &Path) -> Result<Photographs, Box<dyn Error>> {
    let mut backbone = OnnxBackbone::open(manifest, 1)?;
    let space = backbone.space();
    let reference = BackboneRef { name: manifest.name.clone(), sha256: backbone.sha256(), dim: space.dim };
    let options = CacheOptions { space, backbone: &reference, precision: Precision::F16 };
    let mut cache = Cache::open(cache, &options)?;
    let mut sets = BTreeMap::new();
    for split in SPLITS {
        sets.insert(split, set(&mut backbone, &mut cache, data, split)?);
    }
    Ok(Photographs { backbone: name.to_owned(), manifest: manifest.clone(), sets })
}

fn set(backbone: &mut OnnxBackbone, cache: &mut Cache, data: &Path, split: &str) -> Result<Set, Box<dyn Error>> {
    let mut files: Vec<(PathBuf, SampleId)> = Vec::new();
    let mut labels = Vec::new();
    for (path, label) in lines(data, split)? {
        let id = SampleId::of(&std::fs::read(&path)?);
        files.push((path, id));
        labels.push(label);
    }
    let mut missing = Vec::new();
    for (path, id) in &files {
        if cache.get(id)?.is_none() {
            missing.push((path.clone(), *id));
        }
    }
    let mut embedded = Vec::new();
    embed_all(
        backbone,
        missing,
        |(path, _), preprocess, regions| {
            let looked = preprocess.look(&std::fs::read(path)?, &Limits::default(), regions);
            looked.map(|looked| looked.tensors).map_err(std::io::Error::other)
        },
        |(_, id), result| {
            embedded.push((id, result.expect("the photographs are whole")));
            ControlFlow::Continue(())
        },
    )?;
    cache.put(embedded.iter().map(|(id, z)| (id, z.as_slice())))?;
    let mut values = Vec::new();
    let (mut grouper, mut groups) = (Grouper::default(), Vec::new());
    for (_, id) in &files {
        let z = cache.get(id)?.ok_or("it was put there")?;
        groups.push(grouper.assign(*id, &z));
        values.extend(z);
    }
    let space = backbone.space();
    let z = Array2::from_shape_vec((files.len(), space.dim), values)?;
    Ok(Set { space, parts: backbone.parts(), z, labels, ids: files.into_iter().map(|(_, id)| id).collect(), groups })
}

/// Pictures of a split and their labels, in its order.
fn lines(data: &Path, split: &str) -> Result<Vec<(PathBuf, Label)>, Box<dyn Error>> {
    let text = std::fs::read_to_string(data.join(format!("splits/{split}.txt")))?;
    let line = |line: &str| -> Result<_, Box<dyn Error>> {
        let (path, label) = line.split_once('\t').ok_or("a line is a path, a tab and a label")?;
        Ok((data.join(path), Label::new(label)?))
    };
    text.lines().map(line).collect()
}

fn picture(path: &Path) -> std::io::Result<Rgb> {
    decode(&std::fs::read(path)?, &Limits::default()).map_err(std::io::Error::other)
}
