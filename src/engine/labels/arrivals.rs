//! An image that was read: a new sample, or a known one that gains a path, an embedding or a label.

use std::path::Path;
use std::time::Duration;

use super::super::context::Cx;
use super::super::event::EmbeddedImage;
use super::super::fact::{Fact, ReadImage};
use super::super::write::{FileDisposition, Look, NewSample, Predicted, Write};
use super::Labels;
use crate::words::TaskId;

impl Labels {
    /// A new image is stored, predicted and reported in one transaction; a known one only gains a path, an embedding
    /// or a label. So a file counts once, whatever its name and however often the daemon died over it.
    pub fn image_read(&mut self, cx: &mut Cx<'_>, read: ReadImage) {
        let ReadImage { path, stamp, image, latency } = read;
        if cx.storage_is_out() {
            // It cannot be stored now and is predicted once.
            if !self.index.contains(&image.id) && cx.predicts_unstored(image.id) {
                cx.report_prediction(&path, &image, latency);
            }
            return;
        }
        let id = image.id;
        cx.write(Write::File { path: path.clone(), stamp, fate: FileDisposition::Sample(id) });
        if self.index.contains(&id) {
            if !image.embed.is_zero() {
                let space = cx.settings().space;
                cx.write(Write::Embedding { id, space, embedding: image.embedding });
                self.learn(cx, id);
            }
            self.file_lives(cx, &path, id);
        } else {
            self.new_sample(cx, &path, image, latency);
        }
    }

    /// Stores, predicts and reports an image that was never seen. A label that waited for it was given
    /// after its folder's.
    fn new_sample(&mut self, cx: &mut Cx<'_>, path: &Path, image: EmbeddedImage, latency: Duration) {
        let id = image.id;
        let predicted = image.prediction.as_ref().and_then(|scored| {
            let (label, probability) = scored.top.first()?.clone();
            Some(Predicted { label, probability, head: scored.head.version })
        });
        self.index.add(id, predicted.as_ref().map(|predicted| (predicted.label.clone(), predicted.head)));
        self.review.outdated();
        if !cx.was_predicted_unstored(&id) {
            cx.report_prediction(path, &image, latency);
        }
        if let Some(scored) = image.prediction {
            cx.report_novel(id, &scored);
            cx.post(Fact::ImagePredicted { id, scored });
        }
        let space = cx.settings().space;
        cx.write(Write::Sample(Box::new(NewSample {
            id,
            path: path.to_owned(),
            bytes: image.bytes,
            arrived_at: cx.now.wall,
            embeddings: vec![(space, image.embedding)],
            group: image.group,
            looks: vec![Look { task: TaskId::default(), space, predicted }],
        })));
        self.file_lives(cx, path, id);
        for awaited in self.index.awaited.claim(&id) {
            cx.write(Write::DeletePendingLabel { task: TaskId::default(), prefix: awaited.prefix });
            self.set_label(cx, id, Some(awaited.label), awaited.source, awaited.change);
        }
        self.keep_within_quota(cx);
    }
}
