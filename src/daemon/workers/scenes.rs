//! What each source shows at present: the burst that a frame belongs to, and whether its bytes are to be kept.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::parts::Embeddings;
use crate::daemon::view_plan::{self, ViewPlan};
use crate::store::{Reader, StoreError};
use crate::train::Scene;
use crate::words::{Keep, SampleId, SourceId};

/// The frames of a scene are one burst for so long: of a camera that sees the same all day, some have to be told apart for
/// heads to be measured on.
const BURST: Duration = Duration::from_mins(1);

/// The scenes of all sources.
#[derive(Debug, Default)]
pub(crate) struct Scenes {
    of: BTreeMap<SourceId, Seen>,
    /// How many values of an embedding are compared, the first ones; `None` for all.
    values: Option<usize>,
}

/// What a source showed.
#[derive(Debug)]
struct Seen {
    keep: Keep,
    /// In the last frame that was kept.
    kept: Option<Scene>,
    /// In the first frame of the present burst, and when that was.
    burst: Option<(Scene, Instant)>,
}

impl Scenes {
    /// Of these sources, as the frames that are kept show them, by the first `values` of their embeddings: what counts as
    /// a change is a distance of these, which inner values would blur.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn restore(
        reader: &Reader,
        plan: &ViewPlan,
        values: usize,
        keep: impl IntoIterator<Item = (SourceId, Keep)>,
    ) -> Result<Self, StoreError> {
        let mut scenes = BTreeMap::new();
        for (source, keep) in keep {
            let mut kept = None;
            if let Some(frame) = reader.last_picture(&source)? {
                let mut embeddings = Embeddings::new();
                for (_, space) in view_plan::parts(plan.of_source(&source)) {
                    embeddings.extend(reader.embedding(&frame, &space)?.map(|embedding| (space, embedding)));
                }
                kept = Some(Scene::new(frame, &first(&embeddings, Some(values))));
            }
            scenes.insert(source, Seen { keep, kept, burst: None });
        }
        Ok(Self { of: scenes, values: Some(values) })
    }

    /// The burst of a frame, and whether its bytes are to be kept.
    pub fn place(
        &mut self,
        source: &SourceId,
        id: SampleId,
        embeddings: &Embeddings,
        now: Instant,
    ) -> (SampleId, bool) {
        let Some(seen) = self.of.get_mut(source) else { return (id, false) };
        let embeddings = &first(embeddings, self.values);
        let goes_on = |(scene, since): &&(Scene, Instant)| !scene.is_over(embeddings) && now - *since < BURST;
        let burst = seen.burst.as_ref().filter(goes_on).map_or(id, |(scene, _)| scene.frame());
        if burst == id {
            seen.burst = Some((Scene::new(id, embeddings), now));
        }
        let is_kept = match seen.keep {
            Keep::None => false,
            Keep::Changed => seen.kept.as_ref().is_none_or(|scene| scene.is_over(embeddings)),
            Keep::Labelled | Keep::All => true,
        };
        if is_kept {
            seen.kept = Some(Scene::new(id, embeddings));
        }
        (burst, is_kept)
    }
}

/// The first `values` of each embedding.
fn first(embeddings: &Embeddings, values: Option<usize>) -> Embeddings {
    let cut = |embedding: &[f32]| embedding[..values.unwrap_or(usize::MAX).min(embedding.len())].to_vec();
    embeddings.iter().map(|(space, embedding)| (*space, cut(embedding))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Digest, EmbeddingSpace};

    const SPACE: EmbeddingSpace = EmbeddingSpace { backbone: Digest([1; 32]), preprocessing: Digest([2; 32]), dim: 2 };

    fn at(angle: f32) -> Embeddings {
        vec![(SPACE, vec![angle.cos(), angle.sin()])]
    }

    #[test]
    fn frames_of_a_scene_are_one_burst_for_a_minute_and_the_first_of_each_scene_is_kept() {
        let (source, start): (SourceId, _) = ("gate".parse().unwrap(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let id = |n: u8| SampleId::of(&[n]);
        let of =
            |keep| Scenes { of: [(source.clone(), Seen { keep, kept: None, burst: None })].into(), values: Some(2) };
        let mut changed = of(Keep::Changed);
        let mut place = |n, angle, seconds| changed.place(&source, id(n), &at(angle), after(seconds));
        assert_eq!(place(1, 0.0, 0), (id(1), true));
        assert_eq!(place(2, 0.1, 59), (id(1), false), "nothing changed");
        assert_eq!(place(3, 0.1, 60), (id(3), false), "a minute passed, and it still shows the same");
        assert_eq!(place(4, 1.0, 61), (id(4), true), "the gate opened");
        assert_eq!(place(5, 0.0, 62), (id(5), true), "and closed");
        assert_eq!(changed.place(&"other".parse().unwrap(), id(6), &at(0.0), start), (id(6), false));
        let inner = |value| vec![(SPACE, vec![1.0, 0.0, value])];
        assert_eq!(changed.place(&source, id(7), &inner(0.0), after(200)), (id(7), false));
        assert_eq!(
            changed.place(&source, id(8), &inner(90.0), after(201)),
            (id(7), false),
            "inner values count nothing"
        );
        for (keep, expected) in [(Keep::None, false), (Keep::Labelled, true), (Keep::All, true)] {
            let mut scenes = of(keep);
            assert_eq!(scenes.place(&source, id(1), &at(0.0), start), (id(1), expected), "{keep:?}");
            assert_eq!(scenes.place(&source, id(2), &at(0.0), start), (id(1), expected), "{keep:?}");
        }
    }
}
