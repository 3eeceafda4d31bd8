//! An image that was read: a new sample, or a known one that gains a path, an embedding or a label.

use std::path::Path;
use std::time::Duration;

use super::super::context::Cx;
use super::super::event::{EmbeddedImage, Scored, View};
use super::super::fact::{Fact, ReadImage};
use super::super::write::{FileDisposition, Look, NewSample, Predicted, Write};
use super::sheet::Sheet;
use super::{Labels, UnderWay};
use crate::words::{SampleId, TaskId};

impl Labels {
    /// A new image is stored, predicted and reported in one transaction; a known one only gains a path, an embedding
    /// or a label. So a file counts once, whatever its name and however often the daemon died over it.
    pub fn image_read(&mut self, cx: &mut Cx<'_>, read: ReadImage) {
        let ReadImage { path, stamp, image, latency } = read;
        if cx.storage_is_out() {
            // It cannot be stored now and is predicted once.
            if !self.known.contains(&image.id) && cx.predicts_unstored(image.id) {
                report_predictions(cx, &path, &image, latency);
                for View { task, prediction, .. } in image.views {
                    if let Some(scored) = prediction {
                        cx.of(&task).post(Fact::ImageJudged { id: image.id, source: None, scored });
                    }
                }
            }
            return;
        }
        cx.write(Write::File { path: path.clone(), stamp, fate: FileDisposition::Sample(image.id) });
        if self.known.contains(&image.id) {
            self.looked_at_again(cx, &path, image);
        } else {
            self.new_sample(cx, &path, image, latency);
        }
    }

    /// A known image was read again: its file lives, and where a task looks at it for the first time, or another
    /// backbone or region, it has an embedding now.
    fn looked_at_again(&mut self, cx: &mut Cx<'_>, path: &Path, image: EmbeddedImage) {
        let id = image.id;
        let is_embedded = !image.embed.is_zero();
        if is_embedded {
            for (space, embedding) in image.embeddings {
                cx.write(Write::Embedding { id, space, embedding });
            }
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
            sheet.file_lives(cx, &mut self.under_way, path, id);
            sheet.claim_awaited(cx, &mut self.under_way, id);
        }
    }

    /// Stores, predicts and reports an image that was never seen. A label that waited for it was given
    /// after its folder's.
    fn new_sample(&mut self, cx: &mut Cx<'_>, path: &Path, image: EmbeddedImage, latency: Duration) {
        let id = image.id;
        self.known.add(id);
        let was_predicted = cx.was_predicted_unstored(&id);
        if !was_predicted {
            report_predictions(cx, path, &image, latency);
        }
        let mut looks = Vec::new();
        for View { task, space, prediction, .. } in image.views {
            let predicted = prediction.as_ref().and_then(Predicted::of);
            if let Some(sheet) = self.sheets.get_mut(&task) {
                let at_arrival = predicted.as_ref().map(|predicted| (predicted.label.clone(), predicted.head));
                sheet.index.add(id, at_arrival);
                sheet.review.outdated();
            }
            if let Some(scored) = prediction {
                let cx = &mut cx.of(&task);
                cx.report_novel(id, &scored);
                if !was_predicted {
                    cx.post(Fact::ImageJudged { id, source: None, scored: scored.clone() });
                }
                cx.post(Fact::ImagePredicted { id, scored });
            }
            looks.push(Look { task, space, predicted });
        }
        let tasks: Vec<TaskId> = looks.iter().map(|look| look.task.clone()).collect();
        cx.write(Write::Sample(Box::new(NewSample {
            id,
            path: path.to_owned(),
            bytes: image.bytes,
            arrived_at: cx.now.wall,
            embeddings: image.embeddings,
            group: image.group,
            looks,
        })));
        for task in tasks {
            let Some(sheet) = self.sheets.get_mut(&task) else { continue };
            let cx = &mut cx.of(&task);
            sheet.file_lives(cx, &mut self.under_way, path, id);
            sheet.claim_awaited(cx, &mut self.under_way, id);
        }
        self.keep_within_quota(cx);
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

impl Predicted {
    /// The best class of a prediction.
    fn of(scored: &Scored) -> Option<Self> {
        let (label, probability) = scored.top.first()?.clone();
        Some(Self { label, probability, head: scored.head.version })
    }
}

fn report_predictions(cx: &mut Cx<'_>, path: &Path, image: &EmbeddedImage, latency: Duration) {
    for view in &image.views {
        cx.of(&view.task).report_prediction(path, image.id, view.prediction.as_ref(), latency);
    }
}
