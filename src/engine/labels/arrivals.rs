//! An image that was read, from a file or a source: a new sample, or a known one that gains a path, an embedding or a label.

use super::super::context::Cx;
use super::super::event::{EmbeddedImage, Scored, View};
use super::super::fact::{Fact, ReadImage};
use super::super::note::{ImageResult, Note};
use super::super::write::{FileDisposition, Look, NewSample, Predicted, Write};
use super::sheet::Sheet;
use super::{Labels, UnderWay};
use crate::words::{Origin, SampleId, SourceId, TaskId};

impl Labels {
    /// The image of a file is reported once, when it is new. So a file counts once, whatever its name and however often the
    /// daemon died over it.
    pub fn image_read(&mut self, cx: &mut Cx<'_>, read: ReadImage) {
        let ReadImage { path, stamp, image, settled, latency } = read;
        let (id, origin, is_new) = (image.id, Origin::File(path.clone()), !self.known.contains(&image.id));
        if cx.storage_is_out() {
            // It cannot be stored now and is predicted once.
            if is_new && cx.predicts_unstored(id) {
                cx.note(Note::Image(ImageResult::of_new(&image)));
                cx.report_image(&origin, false, &image, latency);
            }
            return;
        }
        cx.write(Write::File { path, stamp, fate: FileDisposition::Sample(id) });
        if is_new {
            if !cx.was_predicted_unstored(&id) {
                cx.note(Note::Image(ImageResult::of_new(&image)));
                cx.report_image(&origin, false, &image, latency);
                let ready_at = cx.now.mono.saturating_sub(latency);
                cx.note(Note::Arrived { settled: Some(settled), ready_at });
            }
            cx.report_novel(&image);
        } else {
            cx.note(Note::Image(ImageResult::Duplicate));
        }
        self.take_in(cx, &origin, image);
    }

    /// A frame was read, and what it shows was reported.
    pub fn frame_read(&mut self, cx: &mut Cx<'_>, source: SourceId, image: EmbeddedImage) {
        if !cx.storage_is_out() {
            self.take_in(cx, &Origin::Source(source), image);
        }
    }

    /// A kept frame was read again for tasks that had not seen it, unless its sample went meanwhile. A label may have waited
    /// for it there.
    pub fn picture_read(&mut self, cx: &mut Cx<'_>, image: EmbeddedImage) {
        if !cx.storage_is_out() && self.known.contains(&image.id) {
            let (id, tasks) = (image.id, tasks_of(&image));
            self.look_again(cx, image);
            self.claim_awaited(cx, &tasks, id);
        }
    }

    /// A new image is stored in one transaction with what was reported of it; a known one only gains a path, an embedding or
    /// a label. A label that waited for it was given after its folder's.
    fn take_in(&mut self, cx: &mut Cx<'_>, origin: &Origin, image: EmbeddedImage) {
        let (id, is_new) = (image.id, !self.known.contains(&image.id));
        let tasks = tasks_of(&image);
        if is_new {
            self.store(cx, origin, image);
        } else {
            self.look_again(cx, image);
        }
        for task in &tasks {
            if let (Some(sheet), Some(path)) = (self.sheets.get_mut(task), origin.path()) {
                sheet.file_lives(&mut cx.of(task), &mut self.under_way, path, id);
            }
        }
        self.claim_awaited(cx, &tasks, id);
        if is_new {
            self.keep_within_quota(cx);
        }
    }

    /// Gives an image the labels that waited for it in these tasks.
    fn claim_awaited(&mut self, cx: &mut Cx<'_>, tasks: &[TaskId], id: SampleId) {
        for task in tasks {
            if let Some(sheet) = self.sheets.get_mut(task) {
                sheet.claim_awaited(&mut cx.of(task), &mut self.under_way, id);
            }
        }
    }

    /// A known image was read again: where a task looks at it for the first time, or another backbone or region, it has an
    /// embedding now.
    fn look_again(&mut self, cx: &mut Cx<'_>, image: EmbeddedImage) {
        let id = image.id;
        let is_embedded = !image.embed.is_zero();
        if is_embedded {
            for (space, embedding) in image.embeddings {
                cx.write(Write::Embedding { id, space, embedding });
            }
        }
        if let Some(jpeg) = image.thumbnail {
            cx.write(Write::Thumbnail { id, jpeg });
        }
        for View { task, space, is_new, .. } in image.views {
            let Some(sheet) = self.sheets.get_mut(&task) else { continue };
            let cx = &mut cx.of(&task);
            if is_new {
                cx.write(Write::Look { task: task.clone(), id, space });
                sheet.index.add(id, None);
                sheet.review.outdated();
                sheet.adopt_files(cx, &mut self.under_way, id);
            }
            if is_new || is_embedded {
                self.under_way.learn(cx, id);
            }
            if is_new && sheet.index.label(&id).is_some() {
                cx.post(Fact::LabelLearnable);
            }
        }
    }

    /// Stores an image that was never seen.
    fn store(&mut self, cx: &mut Cx<'_>, origin: &Origin, image: EmbeddedImage) {
        let id = image.id;
        self.known.add(id);
        let mut looks = Vec::new();
        for View { task, space, prediction, .. } in image.views {
            let predicted = prediction.as_ref().and_then(Predicted::of);
            if let Some(sheet) = self.sheets.get_mut(&task) {
                let at_arrival = predicted.as_ref().map(|predicted| (predicted.label.clone(), predicted.head));
                sheet.index.add(id, at_arrival);
                sheet.review.outdated();
            }
            if let Some(scored) = prediction {
                cx.of(&task).post(Fact::ImagePredicted { id, scored });
            }
            looks.push(Look { task, space, predicted });
        }
        let quota = cx.settings().quota_bytes;
        let picture =
            origin.source().and_then(|source| self.under_way.pictures.admit(id, source, image.picture, quota));
        cx.write(Write::Sample(Box::new(NewSample {
            id,
            origin: origin.clone(),
            bytes: image.bytes,
            arrived_at: cx.now.wall,
            embeddings: image.embeddings,
            group: image.group,
            looks,
            thumbnail: image.thumbnail,
            picture,
        })));
    }
}

impl Sheet {
    /// Gives an image the labels that waited for it.
    fn claim_awaited(&mut self, cx: &mut Cx<'_>, under_way: &mut UnderWay, id: SampleId) {
        for awaited in self.index.awaited.claim(&id) {
            cx.write(Write::DeletePendingLabel { task: cx.task_id(), prefix: awaited.prefix });
            self.set_label(cx, under_way, id, Some(awaited.label), awaited.source, awaited.change);
        }
    }
}

/// The tasks that look at an image.
fn tasks_of(image: &EmbeddedImage) -> Vec<TaskId> {
    image.views.iter().map(|view| view.task.clone()).collect()
}

impl Predicted {
    /// The best class of a prediction.
    fn of(scored: &Scored) -> Option<Self> {
        let (label, probability) = scored.top.first()?.clone();
        Some(Self { label, probability, head: scored.head.version })
    }
}
