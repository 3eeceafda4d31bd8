//! What the targets in `fuzz_targets/` share.

use edgetuned::head::{BackboneRef, DenseHead, HeadRecord};
use edgetuned::words::{Digest, EmbeddingSpace, Label, Timestamp};
use ndarray::{Array1, Array2};
use safetensors::SafeTensors;

/// Nothing that is said of hostile bytes is longer than this: 80 characters of them may be escaped with eight each.
const WORDS_MAX: usize = 1_000;

/// Fails when `words` are too many for a person to read, or stand on more lines than one.
pub fn fits_on_a_screen(words: &str) {
    assert!(!words.is_empty() && words.len() <= WORDS_MAX, "{} bytes: {words}", words.len());
    assert!(!words.contains('\n'), "more lines than one: {words}");
}

/// Embeddings of `dim` values.
pub fn space(dim: usize) -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"net"), preprocessing: Digest::of(b"crop"), dim }
}

/// A head of three classes that reads embeddings of `space`.
pub fn record(space: EmbeddingSpace) -> HeadRecord {
    let classes = ["bolt", "gear", "nut"].iter().map(|name| Label::new(name).expect("it is a word")).collect();
    let (weights, bias) = (Array2::from_elem((3, space.dim), 0.5), Array1::from_elem(3, 0.25));
    let dense = DenseHead { space, classes, hidden: None, weights, bias, temperature: 1.0 };
    let backbone = BackboneRef { name: "net".into(), sha256: space.backbone, dim: space.dim };
    HeadRecord {
        manifest: Some("models/net.yaml".into()),
        prior: Some(dense.clone()),
        ..HeadRecord::new(dense, 1, Timestamp(1_700_000_000_000), backbone)
    }
}

/// The same file with the checksums that its content has, as far as it can be read.
pub fn with_right_checksums(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    if let Ok(tensors) = SafeTensors::deserialize(&file) {
        let of = |names: &[&str]| {
            let all: Vec<&[u8]> = names.iter().filter_map(|name| tensors.tensor(name).ok()).map(|t| t.data()).collect();
            Digest::of(&all.concat()).to_string()
        };
        let heldout = of(&["heldout.ids", "heldout.logits"]);
        let names = tensors.names().iter().any(|name| name.starts_with("sets.") || name.starts_with("novelty."));
        let calibration = of(&[
            "sets.scores",
            "novelty.means",
            "novelty.centre",
            "novelty.references",
            "novelty.units",
            "novelty.scores",
        ]);
        put_behind(&mut file, br#"\"heldout_sha256\":\""#, &heldout);
        // A backbone has such a key, too; the one of a calibration comes last.
        if names {
            put_behind(&mut file, br#",\"sha256\":\""#, &calibration);
        }
    }
    if let Err(edgetuned::head::BadHeadFile::Checksum { found, .. }) = HeadRecord::from_bytes(&file) {
        put_behind(&mut file, br#"\"head\":{\"id\":\""#, &found);
    }
    file
}

/// Writes `text` behind the last `key`.
fn put_behind(file: &mut [u8], key: &[u8], text: &str) {
    let Some(at) = file.windows(key.len()).rposition(|window| window == key) else { return };
    if let Some(place) = file.get_mut(at + key.len()..at + key.len() + text.len()) {
        place.copy_from_slice(text.as_bytes());
    }
}
