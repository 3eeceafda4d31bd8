//! The calibration's part of a head file.

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{BadHeadFile, Kept, finite, floats, matrix, raw, wrong};
use crate::head::{Calibration, Conformal, Novelty, NoveltyParts, Ranked};
use crate::words::Digest;

/// What the tensors do not say.
#[derive(Serialize, Deserialize)]
pub(super) struct Counts {
    /// Held-out scores behind the sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sets: Option<u32>,
    /// Held-out scores behind the threshold of novelty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    novelty: Option<u32>,
    /// SHA-256 of the tensors' bytes, one behind the other.
    sha256: Digest,
}

/// The tensors of `calibration`, and what they do not say; `None` when there is nothing in it.
pub(super) fn parts(calibration: &Calibration) -> (Option<Counts>, Vec<Kept>) {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let list = |name, values: &[f32]| (name, Dtype::F32, vec![values.len()], bytes(values));
    let mut kept: Vec<Kept> = Vec::new();
    if let Some(conformal) = &calibration.conformal {
        kept.push(list("sets.scores", conformal.scores().values()));
    }
    if let Some(novelty) = &calibration.novelty {
        let NoveltyParts { means, centre, references, location, scale, heldout } = novelty.parts();
        let codes = references.iter().flat_map(|code| code.to_le_bytes()).collect();
        let values: Vec<f32> = means.iter().copied().collect();
        kept.push(("novelty.means", Dtype::F32, means.shape().to_vec(), bytes(&values)));
        kept.push(list("novelty.centre", &centre.to_vec()));
        kept.push(("novelty.references", Dtype::I8, references.shape().to_vec(), codes));
        kept.push(list("novelty.units", &[*location, *scale].concat()));
        kept.push(list("novelty.scores", heldout.values()));
    }
    if kept.is_empty() {
        return (None, kept);
    }
    let all: Vec<u8> = kept.iter().flat_map(|(.., bytes)| bytes).copied().collect();
    let counts = Counts {
        sets: calibration.conformal.as_ref().map(|conformal| conformal.scores().n() as u32),
        novelty: calibration.novelty.as_ref().map(|novelty| novelty.parts().heldout.n() as u32),
        sha256: Digest::of(&all),
    };
    (Some(counts), kept)
}

/// The calibration of a head that reads embeddings of `d` values.
pub(super) fn read(tensors: &SafeTensors<'_>, counts: Option<&Counts>, d: usize) -> Result<Calibration, BadHeadFile> {
    let Some(counts) = counts else { return Ok(Calibration::default()) };
    let conformal = counts.sets.map(|n| {
        let scores = ranked(tensors, "sets.scores", n)?;
        Conformal::new(scores).ok_or_else(|| wrong("sets.scores", "values from 0 to 1", "others"))
    });
    let conformal = conformal.transpose()?;
    let novelty = counts.novelty.map(|n| novelty(tensors, n, d)).transpose()?;
    let calibration = Calibration { conformal, novelty };
    let found = parts(&calibration).0.map(|counts| counts.sha256);
    if found != Some(counts.sha256) {
        let found = found.map_or("of nothing".to_owned(), |digest| digest.short());
        return Err(BadHeadFile::Checksum { expected: counts.sha256.short(), found });
    }
    Ok(calibration)
}

fn novelty(tensors: &SafeTensors<'_>, n: u32, d: usize) -> Result<Novelty, BadHeadFile> {
    let rows = |name| Ok(tensors.tensor(name).map_err(BadHeadFile::Container)?.shape().first().copied().unwrap_or(0));
    let (k, m) = (rows("novelty.means")?, rows("novelty.references")?);
    let means = finite("novelty.means", floats(tensors, "novelty.means", &[k, d])?)?;
    let centre = floats(tensors, "novelty.centre", &[d])?;
    let codes = raw(tensors, "novelty.references", Dtype::I8, &[m, d])?;
    let units = floats(tensors, "novelty.units", &[4])?;
    let parts = NoveltyParts {
        means: matrix((k, d), means),
        centre: centre.into(),
        references: matrix((m, d), codes.iter().map(|code| i8::from_le_bytes([*code])).collect()),
        location: [units[0], units[1]],
        scale: [units[2], units[3]],
        heldout: ranked(tensors, "novelty.scores", n)?,
    };
    Novelty::new(parts).map_err(|bad| BadHeadFile::Part { part: bad.part, expected: bad.expected, found: bad.found })
}

fn ranked(tensors: &SafeTensors<'_>, name: &'static str, n: u32) -> Result<Ranked, BadHeadFile> {
    let length = tensors.tensor(name).map_err(BadHeadFile::Container)?.shape().first().copied().unwrap_or(0);
    let values = floats(tensors, name, &[length])?;
    let found = format!("{length} values of {n}");
    Ranked::from_parts(n, values).ok_or_else(|| wrong(name, "finite values in ascending order, all or 1000", found))
}
