//! The bytes of frames that are kept, so that a person can see and label them later and another backbone can embed them.
//!
//! They are let go of in the order of their arrival, those without a label first, when they take more than half of the
//! quota or samples cannot make room. A sample goes with its picture; a picture goes without its sample.

use std::collections::BTreeMap;

use super::super::context::Cx;
use super::super::snapshot::StoredPicture;
use super::super::write::Write;
use crate::words::{Keep, SampleId, SourceId};

/// A picture may take one part in so many of the quota; all together may take half of it.
const ONE_OF: u64 = 32;

/// Which pictures are kept.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// By the order of arrival.
    kept: BTreeMap<u64, StoredPicture>,
    places: BTreeMap<SampleId, u64>,
    bytes: u64,
}

impl Pictures {
    /// What all of them take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps one that just came.
    fn add(&mut self, picture: StoredPicture) {
        let place = self.kept.last_key_value().map_or(0, |(last, _)| last + 1);
        self.bytes += picture.bytes;
        self.places.insert(picture.id, place);
        self.kept.insert(place, picture);
    }

    /// The bytes of a frame, if they are to be stored with it.
    pub fn admit(
        &mut self,
        id: SampleId,
        source: &SourceId,
        picture: Option<Vec<u8>>,
        quota_bytes: u64,
    ) -> Option<Vec<u8>> {
        let picture = picture.filter(|picture| picture.len() as u64 <= quota_bytes / ONE_OF)?;
        self.add(StoredPicture { id, source: source.clone(), bytes: picture.len() as u64 });
        Some(picture)
    }

    /// Its sample goes.
    pub fn remove(&mut self, id: &SampleId) -> Option<StoredPicture> {
        let picture = self.kept.remove(&self.places.remove(id)?)?;
        self.bytes -= picture.bytes;
        Some(picture)
    }

    /// So many tasks have a label for it by now.
    pub fn labelled(&mut self, cx: &mut Cx<'_>, id: &SampleId, tasks: u32) {
        let picture = self.places.get(id).and_then(|place| self.kept.get(place));
        let is_until_then = picture.is_some_and(|picture| {
            let source = cx.settings().sources.iter().find(|source| source.id == picture.source);
            source.is_some_and(|source| source.keep == Keep::Labelled && tasks >= source.tasks)
        });
        if is_until_then {
            self.delete(cx, *id);
        }
    }

    /// Lets go of so many bytes, or of all; how many it were.
    pub fn make_room(&mut self, cx: &mut Cx<'_>, bytes: u64, is_labelled: impl Fn(&SampleId) -> bool) -> u64 {
        let before = self.bytes;
        for with_label in [false, true] {
            let ids: Vec<SampleId> =
                self.kept.values().map(|picture| picture.id).filter(|id| is_labelled(id) == with_label).collect();
            for id in ids {
                if before - self.bytes >= bytes {
                    return before - self.bytes;
                }
                self.delete(cx, id);
            }
        }
        before - self.bytes
    }

    fn delete(&mut self, cx: &mut Cx<'_>, id: SampleId) {
        if self.remove(&id).is_some() {
            cx.write(Write::DeletePicture { id });
        }
    }
}

impl FromIterator<StoredPicture> for Pictures {
    /// Of those that the store has, in the order of arrival.
    fn from_iter<I: IntoIterator<Item = StoredPicture>>(stored: I) -> Self {
        let mut pictures = Self::default();
        stored.into_iter().for_each(|picture| pictures.add(picture));
        pictures
    }
}
