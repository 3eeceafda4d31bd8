//! An image that was read: a new sample, or a known one that gains a path, an embedding or a label.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::context::Cx;
use super::super::event::EmbeddedImage;
use super::super::fact::{Fact, ReadImage};
use super::super::step::Act;
use super::super::write::{FileDisposition, LabelSource, NewSample, Predicted, Write};
use super::Labels;
use crate::words::{Component, Label, SampleId};

impl Labels {
    /// A new image is stored, predicted and reported in one transaction; a known one only gains a path, an embedding
    /// or a label. So a file counts once, whatever its name and however often the daemon died over it.
    pub fn image_read(&mut self, cx: &mut Cx<'_>, read: ReadImage) {
        let ReadImage { root, path, stamp, image, latency } = read;
        if cx.storage_is_out() {
            // It cannot be stored now and is predicted once.
            if !self.index.contains(&image.id) && cx.predicts_unstored(image.id) {
                cx.report_prediction(&path, &image, latency);
            }
            return;
        }
        let (id, here_before, twins) = (image.id, image.here_before, image.twins.clone());
        cx.write(Write::File { path: path.clone(), stamp, fate: FileDisposition::Sample(id) });
        if !self.index.contains(&id) {
            self.new_sample(cx, &path, image, latency);
        } else if !image.embed.is_zero() {
            cx.write(Write::Embedding { id, embedding: image.embedding });
            cx.act(Act::UpdateOnline(vec![id]));
        }
        if !here_before && let Some(label) = folder_label(cx, root, &path) {
            self.label_by_folder(cx, id, label, root, &twins);
        }
    }

    /// Stores, predicts and reports an image that was never seen, and gives it the label that waited for it.
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
        cx.write(Write::Sample(Box::new(NewSample {
            id,
            path: path.to_owned(),
            bytes: image.bytes,
            arrived_at: cx.now.wall,
            embedding: image.embedding,
            group: image.group,
            predicted,
        })));
        for awaited in self.index.claim(&id) {
            cx.write(Write::DeletePendingLabel { prefix: awaited.prefix });
            self.set_label(cx, id, Some(awaited.label), awaited.source);
        }
    }

    /// A file in a class folder labels its image; where the same bytes also lie in another class's folder, the first
    /// label stays and the conflict is reported.
    fn label_by_folder(&mut self, cx: &mut Cx<'_>, id: SampleId, label: Label, root: usize, twins: &[PathBuf]) {
        let all = &cx.settings().roots;
        let roots = all.get(root).into_iter().chain(all);
        let label_of = |twin: &PathBuf| roots.clone().find_map(|root| root.label_of(twin).ok()?);
        let other = twins.iter().filter_map(label_of).find(|other| *other != label);
        match (self.index.label(&id), other) {
            (Some(first), Some(other)) if *first != label => {
                let reason = format!(
                    "image {id} is in the folders {other} and {label}; it keeps the label {first}: remove one of the \
                     files"
                );
                cx.error(Component::Watch, reason);
            }
            _ => self.set_label(cx, id, Some(label), LabelSource::Folder),
        }
    }
}

/// The label that the folder of a file gives it.
fn folder_label(cx: &mut Cx<'_>, root: usize, path: &Path) -> Option<Label> {
    match cx.settings().roots.get(root)?.label_of(path) {
        Ok(label) => label,
        Err(reason) => {
            cx.error(Component::Watch, reason);
            None
        }
    }
}
