//! What has to hold of the bytes of frames that are kept: which go and when, what all take together, and that the engine
//! counts them as the store has them.

use edgetuned::engine::{SourceSettings, StoredPicture, Write};
use edgetuned::words::{Keep, SampleId};
use rand::RngExt;

use super::World;

impl World {
    fn source(&self, picture: &StoredPicture) -> &SourceSettings {
        let source = self.settings.sources.iter().find(|source| source.id == picture.source);
        source.expect("sources stay as they are")
    }

    /// Tasks that have a label for a sample.
    fn tasks_with_label(&self, id: &SampleId) -> usize {
        self.tasks().iter().filter(|task| self.model.of(task).label(id).is_some()).count()
    }

    /// Whether a frame was kept until it had its labels, and has them.
    fn has_its_labels(&self, picture: &StoredPicture) -> bool {
        let source = self.source(picture);
        let labels = self.tasks_with_label(&picture.id);
        source.keep == Keep::Labelled && labels > 0 && labels >= source.tasks as usize
    }

    fn bytes_of_pictures(&self) -> u64 {
        self.model.pictures.iter().map(|picture| picture.bytes).sum()
    }

    /// Looks at a change before it is made: bytes go because they were kept until now, or for want of room, and then those
    /// without a label first.
    pub(super) fn check_picture(&self, write: &Write) {
        let Write::DeletePicture { id } = write else { return };
        let Some(picture) = self.model.pictures.iter().find(|picture| picture.id == *id) else {
            panic!("the bytes of {id} go, and are not kept")
        };
        if self.has_its_labels(picture) {
            return;
        }
        let (quota, bytes) = (self.settings.quota_bytes, self.bytes_of_pictures());
        let is_over = bytes > quota / 2 - quota.div_ceil(20);
        assert!(is_over || self.observed.frames.is_searched, "the bytes of {id} go, and {bytes} are kept");
        let is_open = |other: &StoredPicture| self.tasks_with_label(&other.id) == 0;
        let open = self.model.pictures.iter().find(|other| is_open(other));
        let oldest = open.map_or(&self.model.pictures[0], |open| open);
        assert_eq!(oldest.id, *id, "the oldest without a label goes first, then the oldest");
    }

    /// Looks at what a commit left.
    pub(super) fn check_pictures(&self) {
        if self.settings.sources.is_empty() {
            return;
        }
        let (quota, bytes) = (self.settings.quota_bytes, self.bytes_of_pictures());
        assert!(bytes <= quota / 2 + quota / 32, "{bytes} bytes of pictures are kept, and the quota is {quota}");
        for picture in &self.model.pictures {
            assert!(self.model.samples.contains(&picture.id), "the bytes of {} outlive it", picture.id);
            assert!(self.source(picture).keep != Keep::None, "the bytes of {} are kept", picture.id);
        }
        let labelled = self.model.pictures.iter().find(|picture| self.has_its_labels(picture));
        assert!(labelled.is_none(), "{labelled:?} has its labels, and its bytes are kept");
    }

    /// Now and then: what the engine takes pictures for is what the store has.
    pub(super) fn check_sum_of_pictures(&mut self) {
        let is_settled = self.storage.waits_since().is_none() && self.feedback.is_empty();
        if !self.settings.sources.is_empty() && is_settled && self.cameras.rng.random_bool(0.01) {
            self.pictures_are_counted();
        }
    }

    /// What the engine takes pictures for is what the store has; it tells nobody but in its text.
    pub fn pictures_are_counted(&self) {
        let text = format!("{:?}", self.engine);
        let (_, counted) = text.split_once("pictures: Pictures {").expect("the engine counts pictures");
        let (_, counted) = counted.split_once("}, bytes: ").expect("their sum is last");
        let counted: String = counted.chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(counted, self.bytes_of_pictures().to_string(), "the engine's sum of kept bytes is the store's");
    }

    /// When everything has come to rest every task sees the frames whose bytes are kept.
    pub fn kept_frames_are_seen(&self) {
        for picture in &self.model.pictures {
            for task in self.tasks().iter().filter(|task| self.looks_at(task, &picture.id)) {
                let is_seen = self.model.sees(task, &picture.id);
                assert!(is_seen, "{task} looks at the source of {}, and does not see it", picture.id);
            }
        }
    }
}
