//! A manifest as text, with the keys in the order of the documents.

use std::path::Path;

use super::inner::Inner;
use super::manifest::Manifest;
use crate::image::{Decode, Preprocess, Resize};

impl Manifest {
    /// The text that [`parse`](Self::parse) reads back as this manifest.
    ///
    /// The model file is named relative to the manifest when it is in the manifest's folder or below it.
    #[must_use]
    pub fn text(&self) -> String {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let file = self.file.strip_prefix(folder).unwrap_or(&self.file);
        let relative = if file.is_relative() { "  # relative to this manifest" } else { "" };
        let file = file.to_string_lossy();
        let preprocess = &self.preprocess;
        let (layout, channels) = (preprocess.layout.as_str(), preprocess.channels.as_str());
        let scale = match preprocess.scale {
            [1.0, 1.0, 1.0] => String::new(),
            scale => format!("  scale: {}\n", per_channel(scale)),
        };
        let resize = match preprocess.resize {
            Resize::Stretch => "stretch".to_owned(),
            Resize::Crop { ratio } => {
                format!("crop\n  crop_ratio: {ratio:?}  # the side of the crop in the shorter side")
            }
            Resize::Letterbox => "letterbox".to_owned(),
        };
        let pad = match preprocess.pad {
            Preprocess::PAD if preprocess.resize != Resize::Letterbox => String::new(),
            pad => format!("  pad: {pad}\n"),
        };
        let decode = match preprocess.decode {
            Decode::Exact => "",
            Decode::Scaled => "  decode: scaled\n",
        };
        format!(
            "name: {name}\nfile: {file}{relative}\nsha256: {sha256}\nlicense: {license}\n\
             source: {source}\ninput:\n  tensor: {input}\n  layout: {layout}\n  size: [{height}, {width}]  # height, \
             width\n  channels: {channels}\n  # (pixel * scale - mean) / std, on 0..255 values in this order of \
             channels\n  mean: {mean}\n  std: {std}\n{scale}  resize: {resize}\n{pad}{decode}embedding:\n  tensor: {tensor}\n  \
             dim: {dim}\n  pool: {pool}\n{inner}",
            name = scalar(&self.name),
            file = scalar(&file),
            sha256 = self.sha256,
            license = scalar(&self.license),
            source = scalar(&self.source),
            input = scalar(&self.input),
            height = preprocess.size.0,
            width = preprocess.size.1,
            mean = per_channel(preprocess.mean),
            std = per_channel(preprocess.std),
            tensor = scalar(&self.embedding.tensor),
            dim = self.embedding.dim,
            pool = self.embedding.pool.as_str(),
            inner = entries(&self.embedding.inner),
        )
    }
}

/// The key `inner` of an embedding; nothing where there are no entries.
fn entries(inner: &[Inner]) -> String {
    let entry = |Inner { tensor, stat, .. }: &Inner| {
        let stat: Vec<_> = stat.iter().map(|stat| stat.as_str()).collect();
        format!("    - {{ tensor: {}, stat: [{}] }}\n", scalar(tensor), stat.join(", "))
    };
    if inner.is_empty() { String::new() } else { format!("  inner:\n{}", inner.iter().map(entry).collect::<String>()) }
}

/// One number where all are the same, else a list of three.
fn per_channel(values: [f32; 3]) -> String {
    let number = |value: f32| {
        let plain = value.fract() == 0.0 && value.abs() < 1e6;
        if plain { format!("{value:.0}") } else { format!("{value:?}") }
    };
    let [first, second, third] = values.map(number);
    if first == second && second == third { first } else { format!("[{first}, {second}, {third}]") }
}

/// `text` as one YAML value: bare where it cannot be taken for anything else, else between quotes.
fn scalar(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./+ ".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && !text.ends_with(' ');
    let taken = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && text.chars().all(bare) && !taken.contains(&text.to_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => quoted.push_str(&escaped(c)),
        }
    }
    quoted.push('"');
    quoted
}

/// `c` as YAML escapes it.
fn escaped(c: char) -> String {
    let code = u32::from(c);
    if code > 0xffff { format!("\\U{code:08x}") } else { format!("\\u{code:04x}") }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, seq::IndexedRandom};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::backbone::inner::both;
    use crate::backbone::{Embedding, Inner, Pool, Stat};
    use crate::image::{Channels, Layout, Preprocess};
    use crate::words::Digest;

    /// Texts that YAML could take for something else, and some of any characters.
    fn text(random: &mut ChaCha8Rng) -> String {
        let hard = [
            "net",
            "null",
            "No",
            "~",
            "1",
            "1e3",
            ".5",
            "0x1f",
            "- a",
            "a: b",
            "a #b",
            "#",
            "a\tb",
            "a\nb",
            "é ü",
            "\"",
            "\\",
            "'",
            "{a}",
            "[b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "|",
            ">",
            "a,b",
            "/model/Gemm:0",
            "2024-01-01",
            "😀",
            "\u{feff}x",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "MIT OR Apache-2.0",
            " x",
            "x ",
            "?",
            "y",
            ":",
            "=",
            "<<",
            "0o7",
        ];
        let mut text = (*hard.choose(random).unwrap()).to_owned();
        for _ in 0..random.random_range(0..4) {
            text.extend(char::from_u32(random.random_range(1..0x11_0000)));
        }
        text
    }

    fn manifest(random: &mut ChaCha8Rng) -> Manifest {
        let three = |random: &mut ChaCha8Rng| {
            let any: [f32; 3] = std::array::from_fn(|_| f32::from_bits(random.random()));
            let few = [0.0, -0.5, 127.5, 58.395, 1e-30, 1e30, 255.0, 1.0 / 3.0];
            let number = |value: f32| if value.is_finite() { value } else { 104.0 };
            match random.random_range(0..3) {
                0 => [*few.choose(random).unwrap(); 3],
                1 => std::array::from_fn(|_| *few.choose(random).unwrap()),
                _ => any.map(number),
            }
        };
        let named = |text: String| if text.trim().is_empty() { "x".to_owned() } else { text };
        let mut inner: Vec<Inner> = Vec::new();
        for _ in 0..random.random_range(0..4_u8) {
            let stat = match random.random_range(0..3_u8) {
                0 => vec![Stat::Mean],
                1 => vec![Stat::Std],
                _ => both(),
            };
            let tensor = format!("{}{}", named(text(random)), inner.len());
            inner.push(Inner { tensor, stat, channels: None });
        }
        let path = Path::new(*["/models/net.yaml", "net.yaml", "below/net.yaml"].choose(random).unwrap());
        let file = text(random).replace(['/', '\0'], "_");
        Manifest {
            path: path.to_owned(),
            name: named(text(random)),
            file: path.parent().unwrap().join(file),
            sha256: Digest(random.random()),
            license: text(random),
            source: if random.random() { String::new() } else { text(random) },
            input: named(text(random)),
            preprocess: Preprocess {
                size: (random.random_range(1..4097), random.random_range(1..4097)),
                layout: *[Layout::Nchw, Layout::Nhwc].choose(random).unwrap(),
                channels: *[Channels::Rgb, Channels::Bgr].choose(random).unwrap(),
                mean: three(random),
                std: three(random).map(|value| if value == 0.0 { 1.0 } else { value }),
                scale: three(random),
                resize: match random.random_range(0..3) {
                    0 => Resize::Stretch,
                    1 => Resize::Crop { ratio: random.random_range(0.05..1.0) },
                    _ => Resize::Letterbox,
                },
                pad: random.random(),
                decode: *[Decode::Exact, Decode::Scaled].choose(random).unwrap(),
            },
            embedding: Embedding {
                tensor: named(text(random)),
                dim: random.random_range(1..65_537),
                pool: *[Pool::None, Pool::Avg, Pool::Cls].choose(random).unwrap(),
                inner,
            },
            tail: None,
            provider: None,
            stands_in: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back_equal() {
        for seed in 0..2000 {
            let manifest = manifest(&mut ChaCha8Rng::seed_from_u64(seed));
            let text = manifest.text();
            let read =
                Manifest::parse(&text, &manifest.path).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
            assert_eq!(read, manifest, "seed {seed}:\n{text}");
        }
    }

    #[test]
    fn the_keys_are_in_the_order_of_the_bundled_manifest() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-test.yaml");
        let keys = |text: &str| -> Vec<String> {
            let keys = text.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key.to_owned());
            keys.filter(|key| !key.trim_start().starts_with('#')).collect()
        };
        let written = Manifest::load(&path).unwrap().text();
        assert_eq!(keys(&written), keys(&std::fs::read_to_string(&path).unwrap()), "{written}");
        assert!(written.contains("file: tiny-test.onnx ") && written.contains("mean: 127.5\n"), "{written}");
    }
}
